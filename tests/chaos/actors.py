# SPDX-License-Identifier: MIT
"""actors.py - who takes part in a run of chaos.py: a producer, processes of the pipeline, and who
watches them."""

import collections
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import poison

# What a process tells of itself: names of the figures that `lade top` gets.
FIGURES = ["fenced", "aborted", "lost", "late", "rewound", "retries"]


class Producer(threading.Thread):
    """Sends numbered messages to each partition, until it is stopped or has sent @total; among them
    poison of some kinds."""

    def __init__(self, servers, topic, partitions, rate, total=None, kinds=()):
        super().__init__(daemon=True)
        from confluent_kafka import Producer as Client
        self.client = Client({"bootstrap.servers": servers, "enable.idempotence": True,
                              "acks": "all", "linger.ms": 5, "compression.type": "lz4",
                              "log_level": 2, "queue.buffering.max.messages": 1000000})
        self.topic, self.rate, self.total, self.kinds = topic, rate, total, kinds
        self.sent = {p: 0 for p in range(partitions)}
        self.ending = threading.Event()
        self.failed = []

    def told(self, error, _):
        if error:
            self.failed.append(str(error))

    def run(self):
        began, n, pad = time.monotonic(), 0, "x" * 60
        partitions = len(self.sent)
        while not self.ending.is_set() and n != self.total:
            due = int((time.monotonic() - began) * self.rate)
            due = min(due, self.total or due)
            while n < due:
                p = n % partitions
                value = poison.value(p, self.sent[p], self.kinds, pad)
                try:
                    self.client.produce(self.topic, value, partition=p, callback=self.told)
                except BufferError:
                    break
                self.sent[p] += 1
                n += 1
            self.client.poll(0.01)
        if self.client.flush(120) or self.failed:
            self.failed.append("not all was acknowledged")

    def stop(self):
        self.ending.set()
        self.join()
        if self.failed:
            raise RuntimeError(f"the producer failed: {self.failed[:3]}")


class Process:
    """One process of the pipeline, started again whenever it is gone."""

    def __init__(self, lade, folder, number, tell):
        self.lade, self.folder, self.number = lade, folder, number
        self.tell = tell      # called with this, what ended it and what was wrong, if anything
        self.process = self.phase = self.log = None
        self.wake_at = None   # when it is stopped by SIGSTOP
        self.figures = {}     # the latest it has told
        self.lost = 0         # of them, what somebody has noted
        self.lanes = set()    # the partitions that it had then
        self.dead = collections.Counter()  # those of all before this one
        self.peak_kib = 0
        self.lock = threading.Lock()  # of figures and dead

    def start(self, phase=None, at=1, then=0):
        """@phase: where it dies, the @at-th time, after so many microseconds; or "stop"."""
        env = {k: v for k, v in os.environ.items() if k != "LADE_DIE_AT"}
        self.phase = phase
        if phase:
            env["LADE_DIE_AT"] = f"{phase}:{at}:{then}"
        self.log = tempfile.TemporaryFile(dir=self.folder)
        self.process = subprocess.Popen(
            [self.lade, "run", "--quiet", f"p{self.number}.yaml"], cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def is_gone(self):
        return self.process is None or self.process.poll() is not None

    def is_stopped(self):
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
                return f.read().rpartition(")")[2].split()[0] == "T"
        except (OSError, AttributeError):
            return False

    def look(self):
        """Asks for its figures; a process that is stopped, or not there yet, tells nothing."""
        if self.is_gone() or self.wake_at or self.is_stopped():
            return
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(0.5)
                s.connect(f"{self.folder}/p{self.number}.sock")
                s.sendall(b'{"ask":"top"}\n')
                got = b""
                while b'"end"' not in got:
                    more = s.recv(65536)
                    if not more:
                        return
                    got += more
            lines = [json.loads(line) for line in got.splitlines()]
            told = lines[0]
            with self.lock:
                if told.get("pid") == self.process.pid:
                    self.lanes = {line["part"] for line in lines if line["what"] == "lane"}
                    self.figures = {name: told.get(name, 0) for name in FIGURES}
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
                self.peak_kib = max(self.peak_kib,
                                    int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)))
        except (OSError, ValueError, AttributeError):
            pass

    def total(self):
        return self.dead + collections.Counter(self.figures)

    def reap(self, asked=None):
        """Tells how it ended; @asked: the signal that was sent to it."""
        status = self.process.wait()
        said = self.said()
        self.log.close()
        with self.lock:
            self.process, self.wake_at = None, None
            self.dead, self.figures, self.lanes = self.total(), {}, set()
            self.lost = 0
        wrong = ""
        if status == -signal.SIGKILL:
            dead = re.search(r"^dies: (\w+)", said, re.M)
            how = dead.group(1) if dead else "anywhere"
        else:
            how = "unfinished" if status == 3 else "stopped"
            # One that has just begun knows no signal yet.
            if status != 0 and not (asked and status in (3, -signal.SIGTERM)):
                wrong = f"status {status}: {said[-600:]}"
        self.tell(self, how, wrong)

    def kill(self):
        self.look()
        self.process.send_signal(signal.SIGKILL)
        self.reap()

    def stop(self):
        self.look()
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)  # it may have stopped itself
        self.reap(signal.SIGTERM)

    def pause(self, seconds):
        self.look()
        if self.is_gone():
            return
        self.process.send_signal(signal.SIGSTOP)
        self.wake_at = time.monotonic() + seconds

    def wake_if_due(self):
        if self.wake_at and time.monotonic() > self.wake_at:
            self.wake_at = None
            self.process.send_signal(signal.SIGCONT)


class Watcher(threading.Thread):
    """Looks at all processes a few times a second."""

    def __init__(self, processes):
        super().__init__(daemon=True)
        self.processes = processes
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(0.25):
            for one in self.processes:
                one.look()

    def stop(self):
        self.ending.set()
        self.join()
