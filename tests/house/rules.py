# SPDX-License-Identifier: MIT
"""rules.py - every sentence of docs/semantics.md has tests, or says what it waits for.

A line of tests/rules.tsv is: id, tab, tests | later: what. Either side may stand alone. Tests
are separated by commas; one is PROGRAM:NAME, where PROGRAM is the path of its NAME_test.c
without `_test.c` and without a leading src/ (core/scope, services/pipeline/batch, tests/story)
and NAME a function that the program gives to TAP or its kin, or compile-fail:NAME, or
house/CHECK:NAME, where tests/house/CHECK.py has a point of that name, _ for a blank.
"""

import os
import re

import tap


def sentences(text):
    """The ids, in order."""
    return re.findall(r"^- \*\*([M\d]+\.\d+)\*\* \S", text, re.M)


def gaps(ids):
    """What is missing in the numbers: rules 1 to 31 and M, each counted from 1."""
    want = []
    for rule in [*map(str, range(1, 32)), "M"]:
        count = sum(i.startswith(rule + ".") for i in ids)
        want += [f"{rule}.{n}" for n in range(1, max(count, 1) + 1)]
    return [f"docs/semantics.md: {i} is missing or out of order" for i, j in
            zip(want, [*ids, *[None] * len(want)]) if i != j][:1]


def source(program):
    """The path of a program's source."""
    if program.startswith("house/"):
        return f"tests/{program}.py"
    if program.startswith(("services/", "cli/", "tests/")):
        return program + "_test.c"
    return f"src/{program}_test.c"


def exists(test, sources):
    """Whether a test PROGRAM:NAME is in the sources: {path: text}."""
    program, _, name = test.partition(":")
    if program == "compile-fail":
        return f"tests/compile-fail/{name}.c" in sources
    text = sources.get(source(program), "")
    if program.startswith("house/"):
        return bool(name) and f'tap.point("{name.replace("_", " ")}",' in text
    return bool(name and re.search(rf"\bTAP(_DIES|_FINDS|_URING)?\(\s*{re.escape(name)}\s*[,)]",
                                   text))


def complaints(ids, table, sources):
    """(complaints, [(id, what it waits for)]) for the lines of the table."""
    bad, later, seen = [], [], set()
    for number, line in enumerate(table.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        where = f"tests/rules.tsv:{number}"
        key, tab, rest = line.partition("\t")
        tests, _, what = rest.partition("later:")
        tests = [t.strip() for t in tests.strip().rstrip("|").split(",") if t.strip()]
        if not tab or not (tests or what.strip()):
            bad.append(f"{where}: {key} has neither a test nor later: what")
        if key not in ids:
            bad.append(f"{where}: docs/semantics.md has no sentence {key}")
        if key in seen:
            bad.append(f"{where}: {key} a second time")
        seen.add(key)
        bad += [f"{where}: {key}: no test {t} in {source(t.partition(':')[0])}"
                for t in tests if not exists(t, sources)]
        if what.strip():
            later.append((key, what.strip()))
    bad += [f"tests/rules.tsv: no line for sentence {i}" for i in ids if i not in seen]
    bad += [f"docs/semantics.md: {i} a second time" for i in set(ids) if ids.count(i) > 1]
    return bad, later


def self_tests():
    sources = {"src/core/a_test.c": "\tTAP(works);\n\tTAP_DIES(\n\t\tdies, \"x\");\n",
               "tests/compile-fail/c.c": "",
               "tests/house/h.py": 'tap.point("it holds", [])\n'}
    ids = ["1.1", "1.2", "M.1"]
    good = ("1.1\tcore/a:works, core/a:dies, house/h:it_holds\n"
            "1.2\tcompile-fail:c | later: more\nM.1\tlater: all\n")
    bad, later = complaints(ids, good, sources)
    tap.point("self-test: a good table passes", bad)
    tap.point("self-test: what waits is found",
              [] if later == [("1.2", "more"), ("M.1", "all")] else [later])

    def check(table, of=tuple(ids)):
        return complaints(list(of), table, sources)[0]

    tap.rejects("a row with neither", check(good + "1.1\t\n"), "1.1 has neither")
    tap.rejects("an empty later", check("1.1\tlater: \n"), "1.1 has neither")
    tap.rejects("a row of no sentence", check(good + "9.9\tlater: x\n"), "no sentence 9.9")
    tap.rejects("a test that is not there", check("1.1\tcore/a:work\n"), "no test core/a:work")
    tap.rejects("a program that is not there", check("1.1\tcore/b:works\n"), "no test core/b")
    tap.rejects("a point that a check has not", check("1.1\thouse/h:it\n"), "no test house/h:it")
    tap.rejects("a sentence without a row", check("1.1\tcore/a:works\n"), "for sentence 1.2")
    tap.rejects("a row twice", check(good + "1.1\tlater: x\n"), "1.1 a second time")
    tap.rejects("a sentence twice", check(good, ids + ["1.1"]), "semantics.md: 1.1 a second")
    whole = [f"{rule}.1" for rule in [*range(1, 32), "M"]]
    tap.point("self-test: whole numbers pass", gaps(whole))
    tap.rejects("a rule without sentences", gaps(whole[:7] + whole[8:]), "8.1 is missing")
    tap.rejects("a gap in the numbers", gaps(["1.1", "1.3"] + whole[1:]), "1.2 is missing")


def main():
    self_tests()
    ids = sentences(tap.read("docs/semantics.md"))
    sources = {p: tap.read(p) for p in tap.files(".c", ".py")}
    tap.point("the sentences are numbered without a gap", gaps(ids))
    bad, later = complaints(ids, tap.read("tests/rules.tsv"), sources)
    tap.point("each sentence of docs/semantics.md has tests or says what it waits for", bad)
    for key, what in later:
        print(f"# {key} later: {what}")
    if later:
        tap.point("sentences that wait for something", [],
                  skip=f"{len(later)} of the {len(ids)} sentences of docs/semantics.md")
    tap.done()


if __name__ == "__main__":
    main()
