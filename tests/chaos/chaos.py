# SPDX-License-Identifier: MIT
"""chaos.py LADE [--seconds N] [--seed N | --seeds A..B] [--into NAME]... [--processes N]
         [--rate N | --messages N] [--full] [--json FILE]

`lade run` on a real Kafka while its processes are killed, stopped and paused at random, and at the
points of a message's life that matter. Afterwards a checker compares what is in the sink with what
was sent.

NAME: sqlite, postgres or kafka (all exactly once), or least (at least once, into SQLite); by
default all of them. LADE is a build with -Dfault_points=true. The last line of each is
'NAME: sent N, lost N, doubled N, reordered N, kills N'; the status is 1 if something was lost,
doubled or reordered; of least, if more was doubled than was finished and not committed, or in
flight, when a process was killed.

--messages N sends N messages in all, in --seconds. --full demands that what the run was to meet it
has met: over all seeds each phase of a sink was hit 20 times, and each of its counters is above 0.
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

PARTITIONS = 6
SESSION_MS = 2000
QUIET_SECONDS = 120  # for the last process to finish what is left
HITS_MIN = 20        # of each phase, in a full run

# What they are is said in services/pipeline/phase.h; a database has a fence, Kafka the offsets.
PHASES = ["forming", "enriching", "writing", "commit", "written", "revoke"]
# Microseconds between a question and the kill: a moment after it is sent, or while it is answered.
DELAYS_US = {"fence": [1, 50, 150], "offsets": [1, 500, 2000], "commit": [250, 1000, 3000]}


class Chaos:
    def __init__(self, options, sink, seed, k, hits):
        self.options, self.sink, self.seed, self.k = options, sink, seed, k
        self.chance = random.Random(f"{seed} {sink.name}")
        self.hits = hits  # kills by phase of this sink in all runs
        self.kills, self.complaints = collections.Counter(), []
        self.pauses = self.stops = 0
        self.phases = [p for p in PHASES + [sink.own_phase]
                       if p != "revoke" or options.processes > 1]
        self.processes = [Process(os.path.abspath(options.lade), sink.folder, n, self.ended)
                          for n in range(options.processes)]

    def ended(self, one, how, wrong):
        """A process has told how it ended."""
        if how in ("stopped", "unfinished"):
            self.stops += 1
        else:
            self.kills[how] += 1
            self.hits[how] += 1
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

    def start(self, one):
        """Most are started to die at a point; often at the one that was hit least."""
        if self.chance.random() < 0.2:
            one.start()
            return
        phase = self.chance.choice(self.phases)
        if self.chance.random() < 0.5:
            phase = min(self.phases, key=lambda p: (self.hits[p], self.chance.random()))
        many = {"forming": 2000, "revoke": 1}.get(phase, self.chance.choice([4, 30]))
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
        if one.wake_at or one.is_gone() or (one.phase and self.chance.random() < 0.6):
            return  # it will die by itself
        act = self.chance.random()
        if len(self.processes) > 1 and act < 0.35:
            self.pause(one)
        elif act < 0.5:
            one.stop()
        else:
            one.kill()

    def disturb_while(self, producer):
        """Until all is sent."""
        end = time.monotonic() + self.options.seconds
        pause = 2 / len(self.processes)
        while not self.complaints and (producer.is_alive() if self.options.messages
                                       else time.monotonic() < end):
            until = time.monotonic() + pause * self.chance.uniform(0.5, 1.5)
            while time.monotonic() < until:
                self.keep_running()
                time.sleep(0.05)
            self.disturb()

    def run(self):
        began = time.monotonic()
        self.sink.prepare(self.options.processes, SESSION_MS)
        producer = Producer(self.k.servers, self.sink.topic, PARTITIONS, self.options.rate,
                            self.options.messages)
        watcher = Watcher(self.processes)
        producer.start()
        watcher.start()
        try:
            self.keep_running()
            self.disturb_while(producer)
            producer.stop()
            for one in self.processes:
                if one.process:
                    one.kill()
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


def one_run(options, into, seed, k, p, tally):
    with tempfile.TemporaryDirectory(prefix="lade-chaos-") as folder:
        sink = SINKS[into](folder, k, p, PARTITIONS)
        chaos = Chaos(options, sink, seed, k, tally.hits)
        v = chaos.run()
    counters = chaos.counters()
    tally.counters.update(counters)
    tally.phases = chaos.phases
    for line in chaos.complaints + v.examples:
        print(f"# {into}: {line}")
    print(f"# {into}: seed {seed}; kills by phase: {listed(chaos.kills)}; {chaos.pauses} pauses, "
          f"{chaos.stops} stops; told by the processes: {listed(counters)}; "
          f"{chaos.peak_mib()} MiB at most; {chaos.took:.0f} s")
    if into == "least":
        print(f"# least: {v.doubled} doubled of {v.allowed} that may be")
    print(f"{into}: sent {v.sent}, lost {v.lost}, doubled {v.doubled}, reordered {v.reordered}, "
          f"kills {sum(chaos.kills.values())}", flush=True)
    return sink.is_good(v) and not chaos.complaints, {
        "date": datetime.date.today().isoformat(), "into": into, "seed": seed,
        "seconds": round(chaos.took), "processes": options.processes, "sent": v.sent,
        "lost": v.lost, "doubled": v.doubled, "reordered": v.reordered,
        "kills": dict(chaos.kills), "pauses": chaos.pauses, "stops": chaos.stops,
        "counters": counters, "peak_mib": chaos.peak_mib(), "versions": versions()}


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
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", help="a file that gets a line for each run")
    options = parser.parse_args()
    options.processes = options.processes or (3 if options.full else 1)
    if options.messages:
        options.rate = max(1, int(options.messages / options.seconds))
    return options


def run_all(options, tallies):
    """Each seed has a broker and a database of its own."""
    good = True
    for seed in options.seeds:
        with Kafka(fast=bool(options.messages)) as k, Postgres() as p:
            for into in options.into or sorted(SINKS):
                fine, result = one_run(options, into, seed, k, p,
                                       tallies.setdefault(into, Tally()))
                good = good and fine
                if options.json:
                    with open(options.json, "a", encoding="utf-8") as f:
                        f.write(json.dumps(result) + "\n")
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
