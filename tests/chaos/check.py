#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py SENT ROWS - compares what is in a sink with what was sent, by id.

SENT has a line 'PARTITION COUNT' for each partition: the messages 0 to COUNT - 1 were acknowledged
there. ROWS has a line 'PARTITION NUMBER' for each row, in the order in which the rows were written.
Prints 'sent N, lost N, doubled N, reordered N, strange N'; the status is 1 unless all but the first
are 0.

At least once, a message may be doubled, but not any: whoever ends without saying so leaves messages
that it has finished and not committed, and what is in flight. chaos.py knows which these are: right
after each end it reads the group's offset of a partition and the last number of it in the sink.
Those from the one to the other, a window, may come once more; a message that has come more often
than windows say is beyond what may be. Who was only paused may also still write what it had in
flight; its windows are as much longer.

A message that is to be refused belongs into the dead letters, once, and any other into the sink:
what is in the wrong place is strange.
"""

import itertools
import sys


class Verdict:
    def __init__(self, sent):
        """@sent: how many messages each partition was sent, by partition."""
        self.sent = sum(sent.values())
        self.lost = self.doubled = self.reordered = self.strange = 0
        self.letters = 0  # of what was to be refused
        self.allowed = 0  # doubles that there may be
        self.beyond = 0   # doubles that may not be
        self.examples = []
        self.doubles = []  # the first of them, as (partition, number)

    def note(self, what, partition, number):
        if len(self.examples) < 10:
            self.examples.append(f"{what}: partition {partition}, message {number}")

    def perfect(self):
        return not (self.lost or self.doubled or self.reordered or self.strange)

    def __str__(self):
        return (f"sent {self.sent}, lost {self.lost}, doubled {self.doubled}, "
                f"reordered {self.reordered}, strange {self.strange}")


def covered(count, windows):
    """How many of the windows (first, end) each of @count messages is in."""
    steps = [0] * (count + 1)
    for first, end in windows:
        if first < end:
            steps[min(first, count)] += 1
            steps[min(end, count)] -= 1
    now, covers = 0, []
    for step in steps[:count]:
        now += step
        covers.append(now)
    return covers


def judge_doubles(v, again, sent, windows):
    """@again: how often each (partition, number) came once more; @windows: those of a partition."""
    for partition, count in sent.items():
        covers = covered(count, windows.get(partition, []))
        v.allowed += sum(covers)
        for number, times in again.get(partition, {}).items():
            if times > covers[number]:
                v.beyond += times - covers[number]
                v.note("doubled, which it may not be", partition, number)


def check(sent, rows, windows=None, letters=(), is_poison=None):
    """@rows: (partition, number) in the order in which they were written; @letters: those of the
    dead letters, in any.

    @windows: by partition, (first, end) of what may come once more. @is_poison(number): whether it
    is to be refused."""
    v = Verdict(sent)
    again = {p: {} for p in sent}
    seen = {p: bytearray(n) for p, n in sent.items()}
    last = {p: -1 for p in sent}
    everything = itertools.chain(((*row, False) for row in rows),
                                 ((*letter, True) for letter in letters))
    for partition, number, is_letter in everything:
        if partition not in seen or not 0 <= number < len(seen[partition]) or \
                bool(is_poison and is_poison(number)) != is_letter:
            v.strange += 1
            v.note("strange letter" if is_letter else "strange", partition, number)
            continue
        v.letters += is_letter
        if seen[partition][number]:
            v.doubled += 1
            if len(v.doubles) < 3 and (partition, number) not in v.doubles:
                v.doubles.append((partition, number))
            again[partition][number] = again[partition].get(number, 0) + 1
            if windows is None:
                v.note("doubled", partition, number)
            continue  # where it stands among the others its first row has said
        seen[partition][number] = 1
        if is_letter:
            continue
        if number < last[partition]:
            v.reordered += 1
            v.note("reordered", partition, number)
        last[partition] = max(last[partition], number)
    for partition, was_seen in seen.items():
        missing = was_seen.count(0)
        v.lost += missing
        if missing:
            v.note("lost", partition, was_seen.index(0))
    if windows is not None:
        judge_doubles(v, again, sent, windows)
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
