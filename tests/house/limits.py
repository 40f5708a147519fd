# SPDX-License-Identifier: MIT
"""limits.py - every limit in the source is on docs/limits.md, with a test that reaches it.

A limit is a constant whose name says so (ENDINGS), or a field of a configuration in include/lade
whose comment gives its default. A row of the page is: names, value, what happens, tests; a name
that several files use for their own limits is followed by its file: `BYTES_MAX` (channel.c).
"""

import os
import re

import rules
import tap

ENDINGS = "_MAX|_AT_ONCE|_ENTRIES|_THREADS|_MAX_DEFAULT|_MAX_NS|_SCOPE_VALUES|_INLINE_BUDGET"


def rows(page):
    """(line number, names, tests) of each row of the page's tables."""
    for number, line in enumerate(page.splitlines(), 1):
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and cells[0] not in ("limit", "---"):
            yield number, cells[0], cells[3]


def names(cell):
    """{(name, file or None)} of a row's first cell."""
    found, files = [], re.findall(r"\((\w+\.\w)\)", cell)
    for part in re.split(r"\(\w+\.\w\)", cell):
        file = files.pop(0) if files else None
        found += [(n, None if n.startswith("LADE_") else file)
                  for n in re.findall(r"`(\w+)`", part)]
    return set(found)


def constants(path, text):
    """The limits that a file defines."""
    if path.endswith("_test.c"):
        return []
    return re.findall(rf"^#define (\w*(?:{ENDINGS}))\b", text, re.M)


def complaints(page, sources):
    """What is missing on the page, and what it names that is not there."""
    bad, known = [], set()
    for number, cell, tests in rows(page):
        known |= names(cell)
        bad += [f"docs/limits.md:{number}: no test {t.strip()}" for t in tests.split(",")
                if not rules.exists(t.strip(), sources)]
    for path, text in sources.items():
        if not path.startswith(("src/", "include/")):
            continue
        base = os.path.basename(path)
        bad += [f"{path}: {c} is not on docs/limits.md" for c in constants(path, text)
                if not {(c, base), (c, None)} & known]
    every = {c for path, text in sources.items() for c in constants(path, text)}
    bad += [f"docs/limits.md: {n} is no limit of the source" for n, _ in sorted(known, key=str)
            if re.search(rf"(?:{ENDINGS})$", n) and n not in every]
    return bad


def self_tests():
    sources = {"src/io/a.c": "#define JOBS_MAX 4\n", "src/io/b.c": "#define JOBS_MAX 5\n",
               "include/lade/c.h": "#define LADE_CASES_MAX 12\n",
               "src/io/a_test.c": "#define TEST_MAX 1\n\tTAP(full);\n"}
    head = "| limit | value | at the limit | tests |\n|---|---|---|---|\n"
    good = (head + "| `JOBS_MAX` (a.c), `JOBS_MAX` (b.c) | 4 | waits | io/a:full |\n"
            + "| `LADE_CASES_MAX` | 12 | -EINVAL | io/a:full |\n")

    tap.point("self-test: a good page passes", complaints(good, sources))
    tap.rejects("a limit of one file only", complaints(good.replace(", `JOBS_MAX` (b.c)", ""),
                                                       sources), "b.c: JOBS_MAX is not on")
    tap.rejects("a limit that is not there", complaints(good.replace("CASES_MAX", "FACES_MAX"),
                                                        sources), "c.h: LADE_CASES_MAX is not",
                "FACES_MAX is no limit")
    tap.rejects("a test that is not there", complaints(good.replace(":full", ":empty"), sources),
                "no test io/a:empty")
    tap.rejects("a row without a test", complaints(good.replace("io/a:full", ""), sources),
                "no test")


def main():
    self_tests()
    sources = {p: tap.read(p) for p in tap.files(".c", ".h")}
    tap.point("every limit of the source is on docs/limits.md with its tests",
              complaints(tap.read("docs/limits.md"), sources))
    tap.done()


if __name__ == "__main__":
    main()
