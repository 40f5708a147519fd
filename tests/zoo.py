# SPDX-License-Identifier: MIT
"""zoo.py PROGRAM SOURCE ... - what the explorer says of each program of the zoo.

A bad program says in its first comment what is found ("Found: LOST WORK, ..."), and marks the
line that must be named with a comment "named: why". A fixed one must have no finding, and every
suspension point of it must have been cancelled.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
import tap  # noqa: E402


def explore(program):
    """(status, output) of a program with scenarios."""
    done = subprocess.run([program], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=100)
    return done.returncode, done.stdout


def wanted(source):
    """What a bad program must be found guilty of, and the places that must be named."""
    text = open(source).read()
    found = re.search(r"^ \* Found: ([A-Z][A-Z ]*[A-Z])", text, re.M)
    name = os.path.basename(source)
    named = [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1)
             if "/* named:" in line]
    return (found[1] if found else None), named


def bad(source, status, output):
    """Complaints about a bad program."""
    kind, named = wanted(source)
    complaints = [] if kind else [f"{source} does not say what is found"]
    complaints += [] if named else [f"{source} marks no line"]
    if status != 1:
        complaints.append(f"exit status {status} instead of 1")
    # One finding must be of that kind and name those lines, all of them.
    for finding in output.split("\nFINDING ")[1:]:
        finding = re.sub(r"\n  the last events:.*?\n  replay", "\n  replay", finding, flags=re.S)
        if kind and f": {kind}\n" in finding and all(re.search(re.escape(n) + r"\b", finding)
                                                     for n in named):
            return complaints
    return complaints + [f"no finding '{kind}' that names {', '.join(named)}", output[:4000]]


def fixed(status, output):
    """Complaints about a fixed program."""
    complaints = [] if status == 0 else [f"exit status {status}", output[:4000]]
    if " 0 findings, coverage 100 %" not in output:
        complaints += ["not all of it was cancelled", output[-1000:]]
    return complaints


def told():
    """{name: (finding, help)} of the table in docs/zoo.md."""
    text = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs/zoo.md")).read()
    rows = re.findall(r"^\| \[(\w+)\]\(\S+\) .*\| ([A-Z ]+) \| (with[a-z ]+) \|$", text, re.M)
    return {name: (kind, means) for name, kind, means in rows}


def page(sources):
    """Complaints about docs/zoo.md: it tells of each bad program, and what that says itself."""
    rows = told()
    complaints = []
    for source in sources:
        name = os.path.basename(source).removesuffix("_bad.c")
        said = re.search(r"^ \* Found: ([A-Z ]+), (with\S*) an ", open(source).read(), re.M)
        means = f"{said[2]} an invariant" if said and said[2] == "with" else "without help"
        if not said or rows.pop(name, None) != (said[1], means):
            complaints.append(f"docs/zoo.md and {source} do not say the same")
    return complaints + [f"docs/zoo.md tells of {name}, which is not there" for name in rows]


def main(arguments):
    for program, source in zip(arguments[::2], arguments[1::2]):
        status, output = explore(program)
        name = os.path.basename(source)[:-2].replace("_", " ")
        if source.endswith("_bad.c") or wanted(source)[0]:
            tap.point(f"found: {name}", bad(source, status, output))
        else:
            tap.point(f"clean: {name}", fixed(status, output))
    sources = [s for s in arguments[1::2] if s.endswith("_bad.c") and "/zoo/" in s]
    if sources:
        tap.point("docs/zoo.md tells of each of them", page(sources))
    tap.done()


if __name__ == "__main__":
    main(sys.argv[1:])
