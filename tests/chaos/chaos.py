# SPDX-License-Identifier: MIT
"""chaos.py LADE [--seconds N] [--seed N | --seeds A..B] [--into NAME]... [--processes N]
         [--rate N | --messages N] [--poison] [--full] [--upset NAME]... [--json FILE]

`lade run` on a real Kafka while its processes are killed, stopped and paused at random, and at the
points of a message's life that matter. Afterwards a checker compares what is in the sink with what
was sent.

NAME: sqlite, postgres or kafka (all exactly once), or least (at least once, into SQLite); by
default all of them. LADE is a build with -Dfault_points=true. The last line of each is
'NAME: sent N, lost N, doubled N, reordered N, kills N'; the status is 1 if something was lost,
doubled or reordered; of least, if more was doubled than was finished and not committed, or in
flight, when a process was killed.

--messages N sends N messages in all, in --seconds. With --poison some must be refused (poison.py),
and each of these is to be a dead letter, once. --full demands that what the run was to meet it has
met: over all seeds each phase of a sink was hit 20 times, and each of its counters is above 0.

--upset NAME leaves the processes alone and upsets what they need (upsets.py): the broker, the
database, the connections to it, its disk, a service. They must go on without being started again,
and with at most 128 MiB each.
"""

import argparse
import collections
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "components"))
from actors import Process, Producer, Watcher  # noqa: E402
from check import check  # noqa: E402
from component import Unavailable  # noqa: E402
from kafka import Kafka  # noqa: E402
from postgres import Postgres  # noqa: E402
from sinks import SINKS  # noqa: E402
from upsets import UPSETS, Impossible  # noqa: E402

PARTITIONS = 6
SESSION_MS = 2000
PEAK_MIB = 128       # that a process may take while what it needs is away
QUIET_SECONDS = 120  # for the last process to finish what is left
HITS_MIN = 20        # of each phase, in a full run

# What they are is said in services/pipeline/phase.h; a database has a fence, Kafka the offsets.
PHASES = ["forming", "enriching", "writing", "commit", "written", "revoke"]
# Microseconds between a question and the kill: a moment after it is sent, or while it is answered.
DELAYS_US = {"fence": [1, 50, 150], "offsets": [1, 500, 2000], "commit": [250, 1000, 3000]}


class Run:
    """One seed into one sink: processes, a producer, some trouble, and a verdict."""

    def __init__(self, options, sink, seed, k):
        self.options, self.sink, self.seed, self.k = options, sink, seed, k
        self.chance = random.Random(f"{seed} {sink.name}")
        self.kills, self.complaints = collections.Counter(), []
        self.pauses = self.stops = self.upsets = 0
        self.processes = [Process(os.path.abspath(options.lade), sink.folder, n, self.ended)
                          for n in range(options.processes)]

    def ended(self, one, how, wrong):
        """A process has told how it ended."""
        if how in ("stopped", "unfinished"):
            self.stops += 1
        else:
            self.kills[how] += 1
        if wrong:
            self.complaints.append(wrong)
        if how != "stopped":
            self.sink.note_end(self.of_others(one))

    def of_others(self, one):
        """Partitions that were another one's before, and still are."""
        all_of_them = set()
        for other in self.processes:
            if other is not one and not other.wake_at and not other.is_gone():
                before = other.lanes
                other.look()
                all_of_them |= before & other.lanes
        return all_of_them

    def goes_on(self, producer, end):
        """Whether there is more to come: messages, or time."""
        return not self.complaints and (producer.is_alive() if self.options.messages
                                        else time.monotonic() < end)

    def run(self):
        began = time.monotonic()
        self.sink.prepare(self.options.processes, SESSION_MS)
        producer = Producer(self.k.servers, self.sink.topic, PARTITIONS, self.options.rate,
                            self.options.messages, self.sink.kinds)
        watcher = Watcher(self.processes)
        producer.start()
        watcher.start()
        try:
            self.trouble(producer, began + self.options.seconds)
            self.finish(self.processes[0], producer.sent)
        finally:
            watcher.stop()
            for one in self.processes:
                if one.process:
                    one.process.kill()
        v = self.sink.judge(producer.sent, check)
        self.took = time.monotonic() - began
        return v

    def finish(self, one, sent):
        """The last process finishes what is left, undisturbed."""
        if not one.process:
            one.start()
        total, until = sum(sent.values()), time.monotonic() + QUIET_SECONDS
        while time.monotonic() < until and not one.is_gone() and not self.sink.done(total):
            time.sleep(0.3)
        one.stop()

    def counters(self):
        """What all processes have told before their ends."""
        return dict(sum((one.total() for one in self.processes), collections.Counter()))

    def peak_mib(self):
        return max(one.peak_kib for one in self.processes) // 1024


class Kills(Run):
    """The processes are killed, stopped and paused."""

    def __init__(self, options, sink, seed, k, hits):
        super().__init__(options, sink, seed, k)
        self.hits = hits  # kills by phase of this sink in all runs
        self.phases = [p for p in PHASES + [sink.own_phase]
                       if p != "revoke" or options.processes > 1]

    def ended(self, one, how, wrong):
        super().ended(one, how, wrong)
        self.hits[how] += 1

    def start(self, one):
        """Most are started to die at a point; often at the one that was hit least."""
        if self.chance.random() < 0.2:
            one.start()
            return
        phase = self.chance.choice(self.phases)
        if self.chance.random() < 0.5:
            phase = min(self.phases, key=lambda p: (self.hits[p], self.chance.random()))
        many = {"forming": 2000, "revoke": 1}.get(phase, self.chance.choice([2, 10]))
        then = self.chance.choice(DELAYS_US.get(phase, [0]))
        if len(self.processes) > 1 and self.chance.random() < 0.2:
            # It wakes up when others have its partitions, and goes on writing.
            phase, then = self.chance.choice(["writing", "commit", self.sink.own_phase]), "stop"
        one.start(phase, self.chance.randint(1, many), then)

    def keep_running(self):
        self.sink.look()
        for one in self.processes:
            one.wake_if_due()
            if not one.wake_at and not one.is_gone() and one.is_stopped():
                self.pause(one)
            if one.figures.get("lost", 0) > one.lost:
                one.lost = one.figures["lost"]
                self.sink.note_loss(self.of_others(one))
            if one.process and one.is_gone():
                one.reap()
            if not one.process:
                self.start(one)

    def pause(self, one):
        """Beyond the session's time."""
        self.pauses += 1
        one.pause(SESSION_MS / 1000 * self.chance.uniform(1.2, 2))
        self.sink.note_pause(self.of_others(one))

    def disturb(self):
        """One act of violence, or of its end."""
        one = self.chance.choice(self.processes)
        if one.wake_at or one.is_gone() or (one.phase and self.chance.random() < 0.9):
            return  # it will die by itself
        act = self.chance.random()
        if len(self.processes) > 1 and act < 0.35:
            self.pause(one)
        elif act < 0.5:
            one.stop()
        else:
            one.kill()

    def trouble(self, producer, end):
        self.keep_running()
        pause = 2 / len(self.processes)
        while self.goes_on(producer, end):
            until = time.monotonic() + pause * self.chance.uniform(0.5, 1.5)
            while time.monotonic() < until:
                self.keep_running()
                time.sleep(0.05)
            self.disturb()
        producer.stop()
        for one in self.processes:
            if one.process:
                one.kill()


class Upsets(Run):
    """What the processes need is upset; they go on by themselves, and without much memory."""

    phases = []

    def __init__(self, options, sink, seed, k, upset):
        super().__init__(options, sink, seed, k)
        self.upset = upset

    def run(self):
        self.upset.prepare()
        try:
            return super().run()
        finally:
            self.upset.end()

    def trouble(self, producer, end):
        for one in self.processes:
            one.start()
        while self.goes_on(producer, end) or not self.upsets:
            time.sleep(self.chance.uniform(1, 3))
            self.upset.act()
            self.upsets += 1
            for one in self.processes:
                if one.is_gone():
                    one.reap()
                    self.complaints.append(f"process {one.number} has ended")
        producer.stop()
        self.complaints += self.upset.complaints()

    def finish(self, one, sent):
        super().finish(one, sent)
        for other in self.processes[1:]:
            if other.process:
                other.stop()
        if self.peak_mib() > PEAK_MIB:
            self.complaints.append(f"it took {self.peak_mib()} MiB")


def listed(counts):
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"


def versions():
    lade = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"],
                          stdout=subprocess.PIPE, text=True).stdout.strip()
    import confluent_kafka
    return {"lade": lade, "kafka": "4.3.1", "postgres": "15",
            "librdkafka of the producer": confluent_kafka.libversion()[0]}


class Tally:
    """What all runs into one sink have met."""

    def __init__(self):
        self.hits, self.counters = collections.Counter(), collections.Counter()

    def missing(self, phases, counters):
        """What a full run must have met and has not."""
        return [f"{p} was hit {self.hits[p]} times of {HITS_MIN}" for p in phases
                if self.hits[p] < HITS_MIN] + \
               [f"{c} is 0" for c in counters if not self.counters[c]]


def make_run(options, sink, seed, k, p, tally):
    if options.upset:
        return Upsets(options, sink, seed, k,
                      UPSETS[options.upset](options, sink, k, p, seed))
    return Kills(options, sink, seed, k, tally.hits)


def say(into, run, v):
    for line in run.complaints + v.examples:
        print(f"# {into}: {line}")
    print(f"# {into}: seed {run.seed}; "
          + (f"{run.upsets} times {run.options.upset}; " if run.options.upset else
             f"kills by phase: {listed(run.kills)}; {run.pauses} pauses, {run.stops} stops; ")
          + (f"{v.letters} dead letters; " if run.options.poison else "")
          + f"told by the processes: {listed(run.counters())}; {run.peak_mib()} MiB at most; "
          f"{run.took:.0f} s")
    if into == "least":
        print(f"# least: {v.doubled} doubled of {v.allowed} that may be")
    print(f"{into}: sent {v.sent}, lost {v.lost}, doubled {v.doubled}, reordered {v.reordered}, "
          f"kills {sum(run.kills.values())}", flush=True)


def record(into, run, v):
    """A run as a line of JSON."""
    return {"date": datetime.date.today().isoformat(), "into": into, "seed": run.seed,
            "upset": run.options.upset, "letters": v.letters, "seconds": round(run.took),
            "processes": run.options.processes, "sent": v.sent, "lost": v.lost,
            "doubled": v.doubled, "reordered": v.reordered, "kills": dict(run.kills),
            "pauses": run.pauses, "stops": run.stops, "upsets": run.upsets,
            "counters": run.counters(), "peak_mib": run.peak_mib(), "versions": versions()}


def one_run(options, into, seed, tally):
    """Each has a broker and a database of its own."""
    settings = UPSETS[options.upset].settings if options.upset else {}
    with Kafka(fast=bool(options.messages)) as k, Postgres(**settings) as p, \
            tempfile.TemporaryDirectory(prefix="lade-chaos-") as folder:
        sink = SINKS[into](folder, k, p, PARTITIONS)
        sink.kinds = sink.can_refuse if options.poison else ()
        run = make_run(options, sink, seed, k, p, tally)
        v = run.run()
    tally.counters.update(run.counters())
    tally.phases = run.phases
    say(into, run, v)
    if options.json:
        with open(options.json, "a", encoding="utf-8") as f:
            f.write(json.dumps(record(into, run, v)) + "\n")
    return sink.is_good(v) and not run.complaints


def try_run(options, into, seed, tally):
    try:
        return one_run(options, into, seed, tally)
    except Impossible as e:
        print(f"# {into}: {options.upset} is left out: {e}")
        return True


def seed_list(text):
    first, _, last = text.partition("..")
    return list(range(int(first), int(last or first) + 1))


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lade")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", "--seeds", dest="seeds", type=seed_list, default=[1])
    parser.add_argument("--into", action="append", choices=sorted(SINKS))
    parser.add_argument("--processes", type=int)
    parser.add_argument("--rate", type=int, default=2000, help="messages a second")
    parser.add_argument("--messages", type=int, help="in all, in place of a rate")
    parser.add_argument("--poison", action="store_true", help="some messages must be refused")
    parser.add_argument("--upset", dest="upsets", action="append",
                        choices=[*sorted(UPSETS), "all"])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", help="a file that gets a line for each run")
    options = parser.parse_args()
    options.upsets = sorted(UPSETS) if options.upsets == ["all"] else options.upsets or [None]
    options.processes = options.processes or (3 if options.full else 1)
    if options.messages:
        options.rate = max(1, int(options.messages / options.seconds))
    return options


def run_all(options, tallies):
    good = True
    for upset in options.upsets:
        options.upset = upset
        for into in options.into or (UPSETS[upset].needs if upset else sorted(SINKS)):
            for seed in options.seeds if not upset or into in UPSETS[upset].needs else []:
                good = try_run(options, into, seed, tallies.setdefault(into, Tally())) and good
    return good


def main():
    options, tallies = parse(), {}
    try:
        good = run_all(options, tallies)
    except Unavailable as e:
        print(f"script/chaos: {e}", file=sys.stderr)
        sys.exit(1 if e.is_failure() else 77)  # 77: a test that is skipped
    for into, tally in tallies.items():
        if len(options.seeds) > 1:
            print(f"# {into}: in all: {listed(tally.hits)}; {listed(tally.counters)}")
        missing = tally.missing(tally.phases, SINKS[into].counters) if options.full else []
        for what in missing:
            print(f"{into}: {what}")
        good = good and not missing
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
