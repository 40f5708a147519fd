#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py SENT ROWS - compares what is in a sink with what was sent, by id.

SENT has a line 'PARTITION COUNT' for each partition: the messages 0 to COUNT - 1 were acknowledged
there. ROWS has a line 'PARTITION NUMBER' for each row, in the order in which the rows were written.
Prints 'sent N, lost N, doubled N, reordered N, strange N'; the status is 1 unless all but the first
are 0.
"""

import sys


class Verdict:
    def __init__(self, sent):
        """@sent: how many messages each partition was sent, by partition."""
        self.sent = sum(sent.values())
        self.lost = self.doubled = self.reordered = self.strange = 0
        self.examples = []

    def note(self, what, partition, number):
        if len(self.examples) < 10:
            self.examples.append(f"{what}: partition {partition}, message {number}")

    def perfect(self):
        return not (self.lost or self.doubled or self.reordered or self.strange)

    def __str__(self):
        return (f"sent {self.sent}, lost {self.lost}, doubled {self.doubled}, "
                f"reordered {self.reordered}, strange {self.strange}")


def check(sent, rows):
    """@rows: (partition, number) in the order in which they were written."""
    v = Verdict(sent)
    seen = {p: bytearray(n) for p, n in sent.items()}
    last = {p: -1 for p in sent}
    for partition, number in rows:
        if partition not in seen or not 0 <= number < len(seen[partition]):
            v.strange += 1
            v.note("strange", partition, number)
            continue
        if seen[partition][number]:
            v.doubled += 1
            v.note("doubled", partition, number)
            continue  # where it stands among the others its first row has said
        seen[partition][number] = 1
        if number < last[partition]:
            v.reordered += 1
            v.note("reordered", partition, number)
        last[partition] = max(last[partition], number)
    for partition, was_seen in seen.items():
        missing = was_seen.count(0)
        v.lost += missing
        if missing:
            v.note("lost", partition, was_seen.index(0))
    return v


def pairs(path):
    with open(path, encoding="ascii") as f:
        for line in f:
            a, b = line.split()
            yield int(a), int(b)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    v = check(dict(pairs(sys.argv[1])), pairs(sys.argv[2]))
    print(v)
    for example in v.examples:
        print(f"  {example}")
    sys.exit(0 if v.perfect() else 1)


if __name__ == "__main__":
    main()
