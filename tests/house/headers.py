# SPDX-License-Identifier: MIT
"""headers.py BUILD - each public header compiles alone, in gnu11 and gnu17, under both
compilers, without a warning."""

import os
import shutil
import subprocess
import sys

import tap

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wstrict-prototypes",
            "-Wmissing-prototypes", "-Werror"]


def compile_text(compiler, standard, text, build):
    """What the compiler says about @text; nothing when all is well."""
    done = subprocess.run([compiler, f"-std={standard}", *WARNINGS, "-I", f"{tap.ROOT}/include",
                           "-I", f"{build}/include", "-x", "c", "-c", "-O1", "-o", "/dev/null",
                           "-"], input=text, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return [done.stdout] if done.returncode != 0 or done.stdout else []


def main():
    build = sys.argv[1]
    headers = sorted(f for folder in (f"{tap.ROOT}/include/lade", f"{build}/include/lade")
                     for f in os.listdir(folder) if f.endswith(".h"))
    for compiler in ("gcc", "clang-14"):
        if not shutil.which(compiler):
            tap.point(f"public headers under {compiler}", [], skip=f"no {compiler} here")
            continue
        tap.rejects(f"a narrowing header under {compiler}",
                    compile_text(compiler, "gnu17",
                                 "static inline char f(int a) { return a; }\n", build), "onversion")
        for standard in ("gnu11", "gnu17"):
            for header in headers:
                # Twice: the guard is a promise as well.
                text = f"#include <lade/{header}>\n" * 2 + "extern int used;\n"
                tap.point(f"{header} alone under {compiler} in {standard}",
                          compile_text(compiler, standard, text, build))
    tap.done()


main()
