# SPDX-License-Identifier: MIT
"""compile_fail.py BUILD - the commonest mistakes, and the one line that each of them gets.

Each tests/compile-fail/NAME.c names in its first lines what both compilers must say:

	/* expect: REGEX */
	/* flags: -O2 */         (where the mistake needs them)

It must fail with exactly one error, in that file, which matches. For what it finds in a macro gcc
names the macro's own place first, and then in a note the place of its use: that one counts.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import tap

FLAGS = ["-std=gnu17", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O1"]


def option(text, name):
    m = re.search(rf"^/\* {name}: (.*?) \*/$", "\n".join(text.splitlines()[:4]), re.M)
    return m[1] if m else None


def complaints(compiler, path, build):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    expect = option(text, "expect")
    if not expect:
        return [f"{path}: has no /* expect: REGEX */ in its first lines"]
    done = subprocess.run([compiler, *FLAGS, "-I", f"{tap.ROOT}/include", "-I",
                           f"{build}/include", *(option(text, "flags") or "").split(), "-c",
                           "-o", "/dev/null", path], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    errors = re.findall(r"^[^\s:]+:[\d: ]*(?:fatal )?error: .*", done.stdout, re.M)
    errors = list(dict.fromkeys(errors))  # gcc repeats some, word for word
    in_macro = re.search(rf"^{re.escape(path)}:[\d: ]*note: in expansion of macro", done.stdout,
                         re.M)
    if done.returncode == 0:
        return [f"{path}: {compiler} accepts it"]
    if len(errors) != 1:
        return [f"{path}: {len(errors)} error lines instead of one:", done.stdout]
    if not errors[0].startswith(path + ":") and not in_macro:
        return [f"{path}: the error is shown in another file:", done.stdout]
    if not re.search(expect, errors[0]):
        return [f"{path}: expected /{expect}/, got: {errors[0]}"]
    return []


def self_tests(compiler, build):
    samples = {
        "a mistake that compiles": ("/* expect: x */\nint a;\n", "accepts it"),
        "a mistake with another message": ("/* expect: no such words */\nint a = b;\n", "got: "),
        "a mistake with two errors": ("/* expect: b */\nint a = b;\nint c = d;\n", "2 error"),
        "a case that expects nothing": ("int a = b;\n", "has no"),
        "an error in a header": ('/* expect: b */\n#include "bad.h"\n', "another file"),
    }
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/bad.h", "w") as f:
            f.write("int a = b;\n")
        for number, (name, (text, wanted)) in enumerate(samples.items()):
            path = f"{folder}/sample{number}.c"
            with open(path, "w") as f:
                f.write(text)
            tap.rejects(f"{name} under {compiler}", complaints(compiler, path, build), wanted)


def main():
    build = sys.argv[1]
    folder = f"{tap.ROOT}/tests/compile-fail"
    cases = sorted(f for f in os.listdir(folder) if f.endswith(".c")) \
        if os.path.isdir(folder) else []
    for compiler in ("gcc", "clang-14"):
        if not shutil.which(compiler):
            tap.point(f"mistakes under {compiler}", [], skip=f"no {compiler} here")
            continue
        self_tests(compiler, build)
        for case in cases:
            tap.point(f"{case.removesuffix('.c').replace('_', ' ')} under {compiler}",
                      complaints(compiler, f"{folder}/{case}", build))
    tap.done()


main()
