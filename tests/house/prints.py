# SPDX-License-Identifier: MIT
"""prints.py PROGRAM FILE - the program ends with status 0 and prints what the file holds."""

import subprocess
import sys

import tap


def complaints(command, expected):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    bad = []
    if done.returncode != 0:
        bad += [f"ended with status {done.returncode}:", done.stderr]
    if done.stdout != expected:
        bad += ["printed:", done.stdout, "instead of:", expected]
    return bad


def main():
    tap.rejects("another output", complaints(["echo", "a"], "b\n"), "instead of")
    tap.rejects("a failure", complaints(["false"], ""), "status 1")
    with open(sys.argv[2], encoding="utf-8") as f:
        tap.point(f"prints what {sys.argv[2].rsplit('/', 1)[-1]} holds",
                  complaints([sys.argv[1]], f.read()))
    tap.done()


main()
