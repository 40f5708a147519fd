# SPDX-License-Identifier: MIT
"""chaos.py LADE [--seconds N] [--seed N] [--into NAME]... [--processes N] [--rate N] [--json FILE]

`lade run` on a real Kafka while its processes are killed, stopped and paused at random, and at the
points of a message's life that matter: forming, enriching, before the fence, fence sent, commit
sent and unanswered, written, a revoked lane held. Afterwards a checker compares what is in the sink
with what was sent.

NAME: sqlite, postgres or kafka (all exactly once), or least (at least once, into SQLite); by
default all of them. LADE is a build with -Dfault_points=true. The last line of each is
'NAME: sent N, lost N, doubled N, reordered N, kills N'; the status is 1 if something was lost,
doubled or reordered.
"""

import argparse
import collections
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "components"))
from check import check  # noqa: E402
from component import Unavailable  # noqa: E402
from kafka import Kafka  # noqa: E402
from postgres import Postgres  # noqa: E402

PARTITIONS = 6
SESSION_MS = 2000
PHASES = ["forming", "enriching", "writing", "fence", "commit", "written", "revoke"]
QUIET_SECONDS = 90  # for the last process to finish what is left

HEAD = """config: 1
pipeline: {name}
databases: {{ main: "{database}" }}
source:
  kafka:
    brokers: "{servers}"
    topics: [{name}-in]
    group: {name}
    librdkafka: {{ session.timeout.ms: "{session}", heartbeat.interval.ms: "300" }}{instance}
batch: {{ max_messages: 200, linger: 5ms }}
steps:
  - transform:
      fields: {{ p: "integer .p", s: "integer .s" }}
      query: select i, json_object('p', p, 's', s) as value from batch
delivery: {delivery}
drain_timeout: 2s
"""
SINKS = {
    "sqlite": """sink:
  - sqlite: { db: main, table: t, create: true, columns: { p: "integer .p", s: "integer .s" } }
""",
    "postgres": """sink:
  - postgres: { db: main, table: t, columns: { p: "integer .p", s: "integer .s" } }
""",
    "kafka": """sink: { kafka: { topic: kafka-out, key: .p } }
""",
}
SINKS["least"] = SINKS["sqlite"]


class Producer(threading.Thread):
    """Sends numbered messages to each partition until it is stopped."""

    def __init__(self, servers, topic, rate):
        super().__init__(daemon=True)
        from confluent_kafka import Producer as Client
        self.client = Client({"bootstrap.servers": servers, "enable.idempotence": True,
                              "acks": "all", "linger.ms": 5, "compression.type": "lz4",
                              "queue.buffering.max.messages": 1000000})
        self.topic, self.rate = topic, rate
        self.sent = {p: 0 for p in range(PARTITIONS)}
        self.ending = threading.Event()
        self.failed = []

    def told(self, error, _):
        if error:
            self.failed.append(str(error))

    def run(self):
        began, n = time.monotonic(), 0
        while not self.ending.is_set():
            due = int((time.monotonic() - began) * self.rate)
            while n < due:
                p = n % PARTITIONS
                value = '{"p":%d,"s":%d,"pad":"%s"}' % (p, self.sent[p], "x" * 60)
                try:
                    self.client.produce(self.topic, value, partition=p, callback=self.told)
                except BufferError:
                    break
                self.sent[p] += 1
                n += 1
            self.client.poll(0.01)
        if self.client.flush(60) or self.failed:
            raise RuntimeError(f"the producer failed: {self.failed[:3]}")

    def stop(self):
        self.ending.set()
        self.join()


class Process:
    """One process of the pipeline, started again whenever it is gone."""

    def __init__(self, chaos, number):
        self.chaos, self.number = chaos, number
        self.process = self.phase = None
        self.log = None

    def start(self, phase=None):
        env = {k: v for k, v in os.environ.items() if k != "LADE_DIE_AT"}
        self.phase = phase
        if phase:
            count = self.chaos.chance.randint(1, 400 if phase == "forming" else
                                              1 if phase == "revoke" else 12)
            delay = self.chaos.chance.choice([0, 200, 1000, 3000]) \
                if phase in ("fence", "commit") else 0
            env["LADE_DIE_AT"] = f"{phase}:{count}" + (f":{delay}" if delay else "")
        self.log = tempfile.TemporaryFile(dir=self.chaos.folder)
        self.process = subprocess.Popen(
            [self.chaos.lade, "run", "--quiet", f"p{self.number}.yaml"], cwd=self.chaos.folder,
            stdout=self.log, stderr=self.log, env=env)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def reap(self, asked=None):
        """Counts how it ended; @asked: the signal that was sent to it."""
        status = self.process.wait()
        said = self.said()
        self.log.close()
        self.process = None
        if status == -signal.SIGKILL:
            dead = re.search(r"^dies: (\w+)", said, re.M)
            self.chaos.kills[dead.group(1) if dead else "anywhere"] += 1
        elif status != 0 and not (asked and status == 3):
            self.chaos.complaints.append(f"status {status}: {said[-600:]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.reap()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.reap(signal.SIGTERM)


class Chaos:
    def __init__(self, options, into, k, p):
        self.options, self.into, self.k, self.p = options, into, k, p
        self.chance = random.Random(options.seed)
        self.lade = os.path.abspath(options.lade)
        self.kills, self.complaints = collections.Counter(), []
        self.pauses = 0
        self.temporary = tempfile.TemporaryDirectory(prefix="lade-chaos-")
        self.folder = self.temporary.name
        self.database = p.url if into == "postgres" else "sqlite:out.db"

    def prepare(self):
        for number in range(self.options.processes):
            # Alone it keeps its partitions under its name; among others the group shares them.
            instance = "\n    instance: alone" if self.options.processes == 1 else ""
            text = HEAD.format(name=self.into, database=self.database, session=SESSION_MS,
                               servers=self.k.servers, instance=instance,
                               delivery="at_least_once" if self.into == "least"
                               else "exactly_once") + SINKS[self.into]
            with open(f"{self.folder}/p{number}.yaml", "w", encoding="utf-8") as f:
                f.write(text)
        self.k.create(f"{self.into}-in", PARTITIONS)
        if self.into == "kafka":
            self.k.create("kafka-out", PARTITIONS)
        if self.into == "postgres":
            self.p.sql("create table t (n bigserial, p int, s int)")

    def rows(self):
        """(partition, number) in the order in which they were written."""
        if self.into == "postgres":
            return self.p.sql("select p, s from t order by n")
        if self.into == "kafka":
            return [(m["p"], m["s"]) for m in
                    (json.loads(m.value()) for m in self.k.read("kafka-out"))]
        import sqlite3
        try:
            with sqlite3.connect(f"file:{self.folder}/out.db?mode=ro", uri=True, timeout=30) as db:
                return list(db.execute("select p, s from t order by rowid"))
        except sqlite3.OperationalError:
            return []

    def disturb(self, processes):
        """One act of violence, or of its end."""
        one = self.chance.choice(processes)
        act = self.chance.random()
        if one.phase and one.process.poll() is None and act < 0.5:
            return  # it will die by itself
        if len(processes) > 1 and act < 0.65:
            self.pauses += 1
            one.process.send_signal(signal.SIGSTOP)
            time.sleep(SESSION_MS / 1000 * 1.5)
            one.process.send_signal(signal.SIGCONT)
        elif act < 0.75:
            one.stop()
        else:
            one.kill()

    def keep_running(self, processes):
        for one in processes:
            if one.process and one.process.poll() is not None:
                one.reap()
            if not one.process:
                one.start(self.chance.choice(PHASES) if self.chance.random() < 0.8 else None)

    def run(self):
        self.prepare()
        processes = [Process(self, n) for n in range(self.options.processes)]
        producer = Producer(self.k.servers, f"{self.into}-in", self.options.rate)
        producer.start()
        end = time.monotonic() + self.options.seconds
        pause = 2 / self.options.processes
        self.keep_running(processes)
        while time.monotonic() < end and not self.complaints:
            until = time.monotonic() + pause * self.chance.uniform(0.5, 1.5)
            while time.monotonic() < until:
                self.keep_running(processes)
                time.sleep(0.05)
            self.disturb(processes)
        producer.stop()
        for one in processes:
            if one.process:
                one.kill()
        return self.finish(processes[0], producer.sent)

    def finish(self, one, sent):
        """The last process finishes what is left, undisturbed."""
        one.start()
        total, until = sum(sent.values()), time.monotonic() + QUIET_SECONDS
        while time.monotonic() < until and one.process.poll() is None:
            if self.into == "kafka":
                done = sum(max(o, 0) for o in
                           self.k.committed("kafka", "kafka-in").values()) >= total
            else:
                done = len(set(self.rows())) >= total
            if done:
                break
            time.sleep(0.3)
        one.stop()
        return check(sent, self.rows())


def one_run(options, into, k, p):
    chaos = Chaos(options, into, k, p)
    v = chaos.run()
    kills = sum(chaos.kills.values())
    for line in chaos.complaints + v.examples:
        print(f"# {into}: {line}")
    print(f"# {into}: kills by phase: "
          + ", ".join(f"{n} {c}" for n, c in sorted(chaos.kills.items()))
          + f"; {chaos.pauses} pauses; seed {options.seed}")
    print(f"{into}: sent {v.sent}, lost {v.lost}, doubled {v.doubled}, reordered {v.reordered}, "
          f"kills {kills}", flush=True)
    if into == "least":  # doubles are what it says
        good = v.lost == 0 and not v.strange
    else:
        good = v.perfect()
    return good and not chaos.complaints, {
        "into": into, "seed": options.seed, "seconds": options.seconds,
        "processes": options.processes, "sent": v.sent, "lost": v.lost, "doubled": v.doubled,
        "reordered": v.reordered, "kills": dict(chaos.kills), "pauses": chaos.pauses}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lade")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", action="append", choices=sorted(SINKS))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rate", type=int, default=2000, help="messages a second")
    parser.add_argument("--json", help="a file that gets a line for each run")
    options = parser.parse_args()
    good = True
    try:
        with Kafka() as k, Postgres() as p:
            for into in options.into or sorted(SINKS):
                fine, result = one_run(options, into, k, p)
                good = good and fine
                if options.json:
                    with open(options.json, "a", encoding="utf-8") as f:
                        f.write(json.dumps(result) + "\n")
    except Unavailable as e:
        print(f"script/chaos: {e}", file=sys.stderr)
        sys.exit(1 if e.is_failure() else 77)  # 77: a test that is skipped
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
