# SPDX-License-Identifier: MIT
"""check_test.py - the checker finds a lost, a doubled, a reordered and a strange message that were
planted, and doubles beyond what a crash may leave; and nothing where nothing is wrong."""

import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "house"))
import tap  # noqa: E402
from check import check  # noqa: E402

SENT = {0: 1000, 1: 500, 5: 1}


def rows(seed):
    """All that was sent, the partitions mixed at random, each in its order."""
    chance, left = random.Random(seed), {p: 0 for p in SENT}
    while left:
        p = chance.choice(list(left))
        yield p, left[p]
        left[p] += 1
        if left[p] == SENT[p]:
            del left[p]


def expect(name, planted, windows=None, letters=(), is_poison=None, **wanted):
    v = check(SENT, planted, windows, letters, is_poison)
    got = {k: getattr(v, k) for k in ("lost", "doubled", "reordered", "strange")}
    if windows is not None:
        got["beyond"], got["allowed"] = v.beyond, v.allowed
    want = dict(lost=0, doubled=0, reordered=0, strange=0, **{})
    want.update(wanted)
    tap.point(name, [] if got == want else [f"{got}, expected {want}"])


def main():
    good = list(rows(1))
    at = good.index((0, 700))
    expect("nothing is wrong with all of it in order", good)
    expect("a lost message is found", good[:at] + good[at + 1:], lost=1)
    expect("one that is lost at the end is found", [r for r in good if r != (5, 0)], lost=1)
    expect("a doubled message is found", good + [good[at]], doubled=1)
    expect("a reordered message is found", good[:at] + good[at + 1:] + [good[at]], reordered=1)
    expect("a message that nobody sent is found", good + [(0, 1000), (3, 0)], strange=2)
    twice = good[:at] + [(0, n) for n in range(690, 700)] + good[at:]
    expect("what a crash may leave is allowed once", twice, {0: [(690, 700)]},
           doubled=10, beyond=0, allowed=10)
    expect("and not a second time", twice + [(0, 695)], {0: [(690, 700)], 1: [(0, 2)]},
           doubled=11, beyond=1, allowed=12)
    expect("but by two crashes", twice + [(0, 695)], {0: [(690, 700), (650, 700)]},
           doubled=11, beyond=0, allowed=60)
    expect("nor what was committed before it, nor of another partition", twice,
           {0: [(692, 700)], 1: [(0, 500)]}, doubled=10, beyond=2, allowed=508)
    healthy = [r for r in good if r[1] % 100 != 7]
    ill = [r for r in good if r[1] % 100 == 7]
    poison = {"is_poison": lambda number: number % 100 == 7}
    expect("a letter for each that is to be refused is right", healthy, None, ill[::-1], **poison)
    expect("a lost letter is found", healthy, None, ill[1:], **poison, lost=1)
    expect("a doubled letter is found", healthy, None, ill + ill[:1], **poison, doubled=1)
    expect("what should have been refused is found in the sink", good, None, ill, **poison,
           strange=len(ill))
    expect("a letter of a good message is found", healthy[1:], None, ill + healthy[:1], **poison,
           strange=1, lost=1)
    with tempfile.TemporaryDirectory() as d:
        for name, lines in (("sent", SENT.items()), ("rows", good[1:])):
            with open(f"{d}/{name}", "w", encoding="ascii") as f:
                f.writelines(f"{a} {b}\n" for a, b in lines)
        r = subprocess.run([sys.executable, f"{HERE}/check.py", f"{d}/sent", f"{d}/rows"],
                           stdout=subprocess.PIPE, text=True)
        tap.point("the program says so and fails",
                  [] if r.returncode == 1 and "sent 1501, lost 1, doubled 0" in r.stdout
                  else [f"status {r.returncode}: {r.stdout}"])
    tap.done()


main()
