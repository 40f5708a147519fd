# SPDX-License-Identifier: MIT
"""folder.py - a folder with a pipeline in it, for tests that run the command and look at what it
did: started, stopped, killed, and the rows of its SQLite database."""

import os
import signal
import sqlite3
import subprocess
import tempfile
import time

PATIENCE_SECONDS = 60


class Folder:
    """A folder with a pipeline in it, which this command runs."""

    def __init__(self, command, pipeline):
        self.temporary = tempfile.TemporaryDirectory()
        self.path = self.temporary.name
        self.command = command
        self.write("p.yaml", pipeline)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def write(self, name, text, mode="w"):
        with open(f"{self.path}/{name}", mode, encoding="utf-8") as f:
            f.write(text)

    def rename(self, name, other):
        os.rename(f"{self.path}/{name}", f"{self.path}/{other}")

    def start(self):
        return subprocess.Popen([self.command, "run", "p.yaml"], cwd=self.path, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, **env):
        return subprocess.run([self.command, "run", "p.yaml"], cwd=self.path, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, **env))

    def rows(self, what="k", table="t"):
        try:
            db = sqlite3.connect(f"file:{self.path}/out.db?mode=ro", uri=True, timeout=20)
        except sqlite3.OperationalError:
            return []
        try:
            return [r[0] for r in db.execute(f"select {what} from {table} order by rowid")]
        except sqlite3.OperationalError:
            return []
        finally:
            db.close()

    def wait_claimed(self):
        """Until a lane is begun."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.rows("1", "(select 1 as rowid from lade_offsets)"):
            if time.monotonic() > until:
                raise TimeoutError("no lane was begun")
            time.sleep(0.01)

    def wait(self, numbers):
        """Until the rows are these, in any order; says what is wrong, or nothing."""
        until = time.monotonic() + PATIENCE_SECONDS
        while sorted(self.rows()) != sorted(numbers):
            if time.monotonic() > until:
                return [f"{len(self.rows())} rows, not {len(numbers)}: {self.rows()[-5:]}"]
            time.sleep(0.02)
        return []


def stop(p):
    """Asks a pipeline to stop; says what is wrong, or nothing."""
    p.send_signal(signal.SIGTERM)
    try:
        said = p.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired:
        p.kill()
        return ["SIGTERM did not end it: " + p.communicate()[0]]
    return [] if p.returncode == 0 else [f"status {p.returncode}: {said}"]


def ended(r, status, *words):
    """What is wrong with how it ended."""
    if r.returncode == status and all(w in r.stdout for w in words):
        return []
    return [f"status {r.returncode}: {r.stdout}"]
