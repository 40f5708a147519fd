#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""faults_all.py [--full | --seconds=N] [PROGRAM[@BACKEND]...] - unit tests with a failing call.

Each PROGRAM, and without one all of build/, is a unit test that is linked with faults.c under the
library and faults_env.c beside it. It is run once to count the library's system calls (and what it
hands to io_uring), those of them that a signal can interrupt, and its allocations; then again and
again, with the n-th of them failing: for n = 1, 2, 3, 5, 8, 13 and so on while the seconds last,
each n for all programs before the next, and up to FEW only for those that are slow. --full takes
every n, however long that is. Allocations are not counted where a test makes some fail by itself.

That a test fails then is no wonder, and no mistake. These are: a signal, but for the abort of a
value that is read although its task has failed, which is what lade promises to tests that go on; a
sanitizer's report; a program that does not end; a descriptor more than before. Memory that is lost
is faults_test's to find: a test that fails halfway may keep its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

SECONDS = 40       # for all runs, where nothing else is said
HANG_SECONDS = 20  # and ten times what the program takes
KINDS = ("error", "interrupt", "allocate")
SLOW_SECONDS = 0.5 # a program that takes longer has FEW faults on a day like any other
FEW = 3
BAIL = 4           # TAP_BAIL of tap.h
SANITIZER = re.compile(r"(ERROR|WARNING|SUMMARY): \w+Sanitizer|runtime error:")
RESULT_READ = re.compile(r"lade: misuse: .* is read although it ended with -\d+ \(.*\)\s*$")


def steps(count):
    """1, 2, 3, 5, 8 and so on up to count."""
    a, b = 1, 2
    while a <= count:
        yield a
        a, b = b, a + b


def judge(status, out, said):
    """What is wrong with a run, or None. said: what the program wrote at its end, or None."""
    if status is None:
        return "never ends"
    if SANITIZER.search(out):
        return "a sanitizer's report"
    if status == -signal.SIGABRT and RESULT_READ.search(out):
        return None
    if status < 0:
        return signal.Signals(-status).name
    if status == BAIL and "Bail out!" in out:
        return None
    if status not in (0, 1) or not said:
        return f"exit status {status}"
    if int(said[1]) > int(said[0]):
        return f"{said[0]} descriptors before and {said[1]} after"
    return None


class Program:
    """One test program on one back end."""

    def __init__(self, argument):
        self.path, _, self.backend = argument.partition("@")
        self.seconds = 0   # that a run takes
        self.counts = {kind: 0 for kind in KINDS}
        self.wrong = []

    def name(self):
        on = f" on {self.backend}" if self.backend else ""
        return os.path.basename(self.path).removeprefix("faulty_") + on

    def run(self, fault):
        """One run; returns (status, output, what it said at its end or None)."""
        env = {k: v for k, v in os.environ.items() if k != "LADE_BACKEND"}
        with tempfile.TemporaryDirectory() as folder:
            env |= {"LADE_FAULT": fault, "LADE_FAULT_SAID": folder + "/said",
                    "ASAN_OPTIONS": env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
            if self.backend:
                env["LADE_BACKEND"] = self.backend
            with subprocess.Popen([self.path], env=env, stdin=subprocess.DEVNULL, text=True,
                                  errors="replace", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, start_new_session=True) as p:
                try:
                    out = p.communicate(timeout=HANG_SECONDS + 10 * self.seconds)[0]
                    status = p.returncode
                except subprocess.TimeoutExpired:
                    os.killpg(p.pid, signal.SIGKILL)
                    out, status = p.communicate()[0], None
            try:
                with open(folder + "/said") as f:
                    return status, out, f.read().split(None, 5)
            except OSError:
                return status, out, None

    def measure(self):
        """Counts its calls."""
        began = time.monotonic()
        status, out, said = self.run("count")
        self.seconds = time.monotonic() - began
        if status != 0 or not said:
            self.wrong.append(f"{self.name()} fails without a fault: {out[-300:]}")
        else:
            self.counts = dict(zip(KINDS, map(int, said[2:5])))

    def numbers(self, kind, full):
        """Which calls are to fail."""
        if full:
            return range(1, self.counts[kind] + 1)
        return [n for n in steps(self.counts[kind])
                if n <= FEW or self.seconds <= SLOW_SECONDS]

    def attempt(self, kind, n):
        status, out, said = self.run(f"{kind}:{n}")
        wrong = judge(status, out, said)
        if wrong:
            self.wrong.append(f"LADE_FAULT={kind}:{n} LADE_BACKEND={self.backend} {self.path}: "
                              f"{wrong}: {' / '.join(out.strip().splitlines()[-3:])[-300:]}")


def built():
    """The arguments of the test that is this program, in build/."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    out = subprocess.run(["meson", "introspect", "--tests", root + "/build"], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return next(t["cmd"][2:] for t in json.loads(out) if t["name"] == "tests/faults_all")


def self_test():
    """What judge() must tell apart."""
    said = ["5", "5", "9", "3", "4", "read"]
    value = "lade: misuse: a.c:1: the value of task t is read although it ended with -12 (No)"
    return [
        judge(0, "", said) is None, judge(1, "", said) is None,
        judge(1, "", ["5", "6", *said[2:]]) is not None, judge(1, "", None) is not None,
        judge(None, "", None) is not None, judge(-11, "", None) is not None,
        judge(-6, "", None) is not None, judge(-6, value, None) is None,
        judge(BAIL, "Bail out! x", None) is None, judge(3, "", said) is not None,
        judge(1, "==1==ERROR: AddressSanitizer: x", said) is not None,
        list(steps(9)) == [1, 2, 3, 5, 8], list(steps(0)) == [],
    ]


def line(well, text):
    line.number += 1
    print(f"{'ok' if well else 'not ok'} {line.number} - {text}", flush=True)
    return well


line.number = 0


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    full = "--full" in sys.argv
    seconds = [int(a.split("=")[1]) for a in sys.argv if a.startswith("--seconds=")] or [SECONDS]
    until = time.monotonic() + seconds[0]
    well = line(all(self_test()), "self-test: what is a mistake and what is not")
    programs = [Program(a) for a in arguments or built()]
    for p in programs:
        p.measure()
    # All programs with a small n before any with a larger one.
    rounds = sorted((n, i, kind) for i, p in enumerate(programs) for kind in KINDS
                    for n in p.numbers(kind, full))
    runs = reached = 0
    for n, i, kind in rounds:
        if not full and time.monotonic() > until:
            break
        programs[i].attempt(kind, n)
        runs, reached = runs + 1, n
    for p in programs:
        for wrong in p.wrong:
            print("# " + wrong)
        counts = ", ".join(f"{kind} {count}" for kind, count in p.counts.items())
        well &= line(not p.wrong, f"{p.name()}: {counts}")
    print(f"# {runs} runs of {len(rounds)}, up to call {reached}")
    print(f"1..{line.number}")
    sys.exit(not well)


if __name__ == "__main__":
    main()
