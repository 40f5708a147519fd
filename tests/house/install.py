# SPDX-License-Identifier: MIT
"""install.py BUILD MESON - what is installed is complete: a program finds it by pkg-config,
compiles, links against the shared and the static library, and runs."""

import glob
import os
import re
import subprocess
import sys
import tempfile

import tap

PROGRAM = """#include <stdio.h>
%s
extern const void *const everything[];
int main(void) { return !everything[0] || puts(LADE_VERSION) < 0; }
"""


def sources(root):
    """Two files: one includes all headers, the other links all that liblade.so shows."""
    headers = sorted(os.path.basename(h) for h in glob.glob(f"{root}/**/lade/*.h", recursive=True))
    shared = glob.glob(f"{root}/**/liblade.so.0", recursive=True)[0]
    names = re.findall(r" [TDRB] (lade_\w+)", said(["nm", "-D", "--defined-only", shared])[0])
    return (PROGRAM % "\n".join(f"#include <lade/{h}>" for h in headers),
            "".join(f"extern char {n}[];\n" for n in names)
            + "const void *const everything[] = { %s };\n" % ", ".join(["everything", *names]))


def said(command, **options):
    """(output, complaints) of a command."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **options)
    return done.stdout, [f"failed: {' '.join(command)}", done.stdout] if done.returncode else []


def uses(root, flags, link):
    """Complaints about a program that is compiled with @flags and linked with @link."""
    for name, text in zip(("program.c", "names.c"), sources(root)):
        with open(f"{root}/{name}", "w") as f:
            f.write(text)
    _, bad = said(["cc", *flags, "-o", f"{root}/program", f"{root}/program.c", f"{root}/names.c",
                   *link])
    if bad:
        return bad
    libdir = os.path.dirname(glob.glob(f"{root}/**/liblade.so.0", recursive=True)[0])
    text, bad = said([f"{root}/program"], env={**os.environ, "LD_LIBRARY_PATH": libdir})
    version, _ = said(["pkg-config", "--modversion", "lade"], env=pkg_config(root))
    return bad or ([] if text == version else [f"prints {text!r}, pkg-config says {version!r}"])


def pkg_config(root):
    folder = os.path.dirname(glob.glob(f"{root}/**/lade.pc", recursive=True)[0])
    return {**os.environ, "PKG_CONFIG_LIBDIR": folder + ":" + system_path(),
            "PKG_CONFIG_SYSROOT_DIR": ""}


def system_path():
    return said(["pkg-config", "--variable", "pc_path", "pkg-config"])[0].strip()


def flags_of(root, *options):
    """pkg-config's words, with the paths below the temporary root."""
    text, bad = said(["pkg-config", *options, "lade"], env=pkg_config(root))
    prefix = said(["pkg-config", "--variable=prefix", "lade"], env=pkg_config(root))[0].strip()
    words = [w.replace(prefix, root + prefix, 1) if w[2:].startswith(prefix) else w
             for w in text.split()]
    return words, bad


def main():
    build, meson = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as root:
        _, bad = said([meson, "install", "-C", build, "--no-rebuild", "--destdir", root])
        tap.point("meson install works with a DESTDIR", bad)
        wanted = ["liblade.so.0", "liblade.so", "liblade.a", "lade.pc", "lade-0/lade/version.h"]
        for pattern in wanted + (["bin/lade"] if os.path.exists(f"{build}/lade") else []):
            tap.point(f"{pattern} is installed",
                      [] if glob.glob(f"{root}/**/{pattern}", recursive=True) else ["it is not"])
        cflags, bad = flags_of(root, "--cflags")
        tap.point("the flags name lade-0 and the stack probes", bad + [
            f"no {w} in {cflags}" for w in ("/lade-0", "-fstack-clash-protection")
            if not any(c.endswith(w) for c in cflags)])
        link, bad = flags_of(root, "--libs")
        tap.point("the shared library links liblade alone",
                  bad + [f"links {w}" for w in link if w.startswith("-l") and w != "-llade"])
        tap.point("a program runs on the shared library", uses(root, cflags, link))
        static, bad = flags_of(root, "--libs", "--static")
        static = [w.replace("-llade", "-l:liblade.a") for w in static]
        tap.point("a program runs on the static library", bad + uses(root, cflags, static))
        tap.rejects("a program without lade's flags", uses(root, [], link), "No such file")
    tap.done()


main()
