# SPDX-License-Identifier: MIT
"""exports.py LIBLADE - liblade.so shows what its public headers declare, and nothing else."""

import re
import subprocess
import sys

import form
import layers
import tap


def declared(headers):
    """The names of the functions and objects that must come from the library, with a place."""
    names = {}
    for path, text in headers:
        for line, name, _, head in form.declarations(text):
            if not re.match(r"#define|.*\bstatic\b", head, re.S):
                names[name] = f"{path}:{line}"
        for m in re.finditer(r"^extern [^;(]*?\b(lade_\w+)\s*(\[[^;]*)?;", text, re.M):
            names[m[1]] = path
    return names


def complaints(names, shown):
    return [f"{place}: {name} is not exported: is it between LADE_API_BEGIN and LADE_API_END, "
            "and defined?" for name, place in sorted(names.items()) if name not in shown] + [
        f"{name} is exported but no public header declares it"
        for name in sorted(shown - set(names))]


def main():
    names = declared([("a.h", "/* a */\nint lade_a(void);\nint lade_b(int);\n"
                       "static inline int lade_c(void)\n{\n\treturn 0;\n}\n"
                       "extern const int lade_d;\n")])
    bad = complaints(names, {"lade_b", "lade_x"})
    tap.rejects("a hidden public function", bad, "lade_a is not exported")
    tap.rejects("a hidden public object", bad, "lade_d is not exported")
    tap.rejects("a private function that shows", bad, "lade_x is exported but")
    tap.point("self-test: three findings there", bad[3:])

    nm = subprocess.run(["nm", "-D", "--defined-only", sys.argv[1]], stdout=subprocess.PIPE,
                        text=True, check=True)
    shown = {line.split()[2].split("@")[0] for line in nm.stdout.splitlines()
             if line.split()[1] != "A"}
    library = set(layers.whole_library(tap.parts()))
    headers = [(f"include/lade/{h}", tap.read(f"include/lade/{h}"))
               for h, layer in layers.public_headers().items() if layer in library]
    tap.point("liblade.so exports what its headers declare", complaints(declared(headers), shown))
    tap.done()


main()
