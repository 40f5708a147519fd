# SPDX-License-Identifier: MIT
"""mutants.py - each mutant still applies, is small, and the table says what notices it."""

import os
import re
import subprocess

import tap

FEWEST = 40
LAYERS = {"core", "sync", "io", "stream", "cache"}


def changed(text):
    """How many lines a patch takes away or puts in, whichever is more."""
    lines = [s for s in text.splitlines()
             if s.startswith(("+", "-")) and not s.startswith(("+++ ", "--- "))]
    return max(sum(s[0] == "-" for s in lines), sum(s[0] == "+" for s in lines))


def form(name, text):
    """What a patch must show."""
    bad = []
    if not re.match(r"[A-Z][^\n]{10,98}\.\n\n--- a/src/", text):
        bad.append(f"{name}: must begin with a sentence and a blank line")
    if not 1 <= changed(text) <= 2:
        bad.append(f"{name}: changes {changed(text)} lines")
    return bad


def applies(name, text):
    """Tries a patch on the tree."""
    done = subprocess.run(["patch", "-p1", "--dry-run", "-s", "-f"], input=text, text=True,
                          cwd=tap.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return [f"{name} does not apply: {done.stdout.strip()}"] if done.returncode else []


def unnoticed(names, table):
    """Mutants without a line in the table, and those that nothing noticed."""
    lines = {m[1]: [c.strip() for c in m[0].strip("|").split("|")]
             for m in re.finditer(r"^\| `([\w-]+)` \|.*$", table, re.M)}
    bad = [f"docs/mutants.md: no line for {n}" for n in names if n not in lines]
    bad += [f"docs/mutants.md: {n} is no mutant" for n in lines if n not in names]
    return bad + [f"docs/mutants.md: nothing notices {n}" for n in names if n in lines
                  and not any(c not in ("", "-") for c in lines[n][2:5])]


def main():
    good = "A mistake is made.\n\n--- a/src/a.c\n+++ b/src/a.c\n@@ -1 +1 @@\n-a\n+b\n"
    tap.point("self-test: a good patch", form("a", good))
    tap.rejects("a patch that says nothing", form("a", good[20:]), "a: must begin")
    tap.rejects("a patch of many lines", form("a", good + "+c\n+d\n"), "3 lines")
    tap.rejects("a patch that does not apply", applies("a", good), "a does not apply")
    line = "| `a` | A mistake | - | core/a: b |  | 1 |\n"
    tap.point("self-test: a complete table", unnoticed(["a"], line))
    tap.rejects("a mutant without a line", unnoticed(["a", "b"], line), "no line for b")
    tap.rejects("a mutant that is gone", unnoticed([], line), "a is no mutant")
    tap.rejects("a mutant that survives", unnoticed(["a"], line.replace("core/a: b", "-")),
                "nothing notices a")

    folder = f"{tap.ROOT}/tests/mutants"
    names = sorted(n.removesuffix(".patch") for n in os.listdir(folder) if n.endswith(".patch"))
    texts = {n: tap.read(f"tests/mutants/{n}.patch") for n in names}
    tap.point("each patch is a sentence and one line changed",
              [c for n in names for c in form(n, texts[n])])
    tap.point("each patch applies", [c for n in names for c in applies(n, texts[n])])
    layers = {re.search(r"^--- a/src/(\w+)", t, re.M)[1] for t in texts.values()}
    tap.point(f"there are {FEWEST} of them, in each layer that has tasks",
              [f"only {len(names)}"] * (len(names) < FEWEST) + sorted(LAYERS - layers))
    chaos = sorted(n for n in os.listdir(f"{tap.ROOT}/tests/chaos/mutants") if n != "run")
    tap.point("and so does each of the chaos",
              [c for n in chaos for c in applies(n, tap.read(f"tests/chaos/mutants/{n}"))])
    tap.point("the table has each, and something notices it",
              unnoticed(names, tap.read("docs/mutants.md")))
    tap.done()


if __name__ == "__main__":
    main()
