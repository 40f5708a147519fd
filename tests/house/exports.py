# SPDX-License-Identifier: MIT
"""exports.py LIBRARY... - liblade.so and each liblade-NAME.so show what their public headers
declare, and nothing else."""

import os
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


def parts_in(library, order):
    """The parts that a shared library is made from, by its file's name."""
    name = re.match(r"liblade(?:-(\w+))?\.so", os.path.basename(library))
    return [f"src/connectors/{name[1]}"] if name[1] else layers.whole_library(order)


def shown_by(library):
    """The names that a shared library defines for others; versions themselves are no names."""
    nm = subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE,
                        text=True, check=True)
    return {line.split()[2].split("@")[0] for line in nm.stdout.splitlines()
            if line.split()[1] != "A"}


def main():
    names = declared([("a.h", "/* a */\nint lade_a(void);\nint lade_b(int);\n"
                       "static inline int lade_c(void)\n{\n\treturn 0;\n}\n"
                       "extern const int lade_d;\n")])
    bad = complaints(names, {"lade_b", "lade_x"})
    tap.rejects("a hidden public function", bad, "lade_a is not exported")
    tap.rejects("a hidden public object", bad, "lade_d is not exported")
    tap.rejects("a private function that shows", bad, "lade_x is exported but")
    tap.point("self-test: three findings there", bad[3:])

    order = tap.parts()
    tap.point("self-test: a module's library is made from its own part",
              [] if parts_in("build/liblade-json.so.0.1.0", order) == ["src/connectors/json"]
              and "src/io" in parts_in("build/liblade.so.0.1.0", order) else ["it is not"])
    for library in sys.argv[1:]:
        parts = parts_in(library, order)
        headers = [(f"include/lade/{h}", tap.read(f"include/lade/{h}"))
                   for h, part in layers.public_headers().items() if part in parts]
        names = declared(headers)
        bad = complaints(names, shown_by(library))
        tap.point(f"{os.path.basename(library)} exports what its headers declare",
                  bad if names else bad + ["they declare nothing"])
    tap.done()


main()
