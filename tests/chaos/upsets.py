# SPDX-License-Identifier: MIT
"""upsets.py - what happens to the components that a pipeline needs, while it goes on."""

import http.server
import os
import random
import signal
import subprocess
import threading
import time

from proxy import Proxy

FULL_MIB = 48  # of the disk that becomes full


class Impossible(Exception):
    """Why this trouble cannot be made here."""


class Upset:
    """One kind of trouble. act() makes it once, and returns when it is over."""

    settings = {}   # of the database
    needs = ["postgres", "kafka"]  # the sinks that it is about

    def __init__(self, options, sink, k, p, seed):
        self.options, self.sink, self.k, self.p = options, sink, k, p
        self.chance = random.Random(f"{seed} {type(self).__name__}")

    def prepare(self):
        """Before the pipeline is written."""

    def act(self):
        raise NotImplementedError

    def end(self):
        """All is as it was."""

    def complaints(self):
        return []


class BrokerKilled(Upset):
    """kill -9 of the broker; now and then it is away for longer than a transaction may take."""

    def act(self):
        self.k.kill()
        time.sleep(self.chance.choice([0, 1, 3, 12 if self.options.seconds > 10 else 3]))
        self.k.start()


class BrokerRestarted(Upset):
    """A clean restart of the broker."""

    def act(self):
        self.k.stop()
        self.k.start()


class DatabaseRestarted(Upset):
    """PostgreSQL ends at once, as by pg_ctl stop -m immediate, and comes back."""

    needs = ["postgres"]

    def act(self):
        self.p.process.send_signal(signal.SIGQUIT)
        self.p.process.wait()
        time.sleep(self.chance.uniform(0, 2))
        self.p.start()


class CommitKilled(Upset):
    """The server process that commits is killed: each commit takes 20 ms, so it mostly hits one."""

    needs = ["postgres"]
    settings = {"fsync": True, "commit_delay": 20000, "commit_siblings": 0}

    def prepare(self):
        self.killed = 0

    def act(self):
        for _ in range(50):
            found = self.p.sql("select pid from pg_stat_activity where application_name like"
                               " 'lade %' and state = 'active' and query ~ '^insert|lade_offsets'"
                               " limit 1")
            if found:
                os.kill(found[0][0], signal.SIGKILL)
                self.killed += 1
                break
            time.sleep(0.003)
        time.sleep(self.chance.uniform(0, 1))

    def complaints(self):
        return [] if self.killed else ["no commit was found to be killed"]


class Cut(Upset):
    """Connections to the database end after any number of bytes, in the middle of a write."""

    needs = ["postgres"]

    def prepare(self):
        self.proxy = Proxy(self.p.port, self.chance.random())
        self.sink.database(self.p.url.replace(f":{self.p.port}/", f":{self.proxy.port}/"))

    def act(self):
        self.proxy.cutting = True
        time.sleep(3)
        self.proxy.cutting = False

    def end(self):
        self.proxy.close()

    def complaints(self):
        return [] if self.proxy.cuts > 1 else [f"only {self.proxy.cuts} connections were cut"]


class Slow(Upset):
    """Somebody holds a lock on the table."""

    needs = ["postgres"]

    def act(self):
        db = self.p.connect()
        try:
            db.autocommit = False
            with db.cursor() as c:
                c.execute("lock table t in exclusive mode")
                time.sleep(self.chance.uniform(2, 5))
            db.rollback()
        finally:
            db.close()


class Full(Upset):
    """The database's disk is full."""

    needs = ["postgres"]

    def prepare(self):
        self.disk = self.p.path("disk")
        os.mkdir(self.disk)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL_MIB}m", "none",
                               self.disk], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Impossible(f"a disk that can be full needs mount: {done.stderr.strip()}")
        os.makedirs(self.disk + "/space")
        os.chown(self.disk + "/space", self.p.user.pw_uid, self.p.user.pw_gid)
        self.p.sql(f"create tablespace tiny location '{self.disk}/space'")
        self.sink.tablespace = " tablespace tiny"
        self.met = 0

    def act(self):
        filler = self.disk + "/filler"
        with open(filler, "wb") as f:
            try:
                while f.write(b"x" * 65536):
                    f.flush()
            except OSError:
                pass
            try:
                f.close()
            except OSError:
                pass
        before = self.rows()
        time.sleep(3)
        self.met += self.rows() == before
        os.unlink(filler)

    def rows(self):
        time.sleep(0.5)
        return self.p.sql("select sum(next_offset) from lade_offsets")[0][0]

    def end(self):
        self.p.kill()  # it has files open there
        subprocess.run(["umount", "-l", self.disk], check=False)

    def complaints(self):
        return [] if self.met else ["nothing was held up by a full disk"]


class Service(http.server.ThreadingHTTPServer):
    allow_reuse_address = daemon_threads = True


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"wind":7}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Http(Upset):
    """The service that batches are enriched from is away, for a minute where there is one."""

    def prepare(self):
        self.service, self.port = None, 0
        self.begin()
        self.sink.steps += f"""  - name: weather
    http:
      get: "http://127.0.0.1:{self.port}/at/{{.p}}"
      into: .weather
      timeout: 400ms
      cache: {{ ttl: 200ms }}
      on_error: retry
"""

    def begin(self):
        self.service = Service(("127.0.0.1", self.port), Answer)
        self.port = self.service.server_port
        threading.Thread(target=self.service.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.service.shutdown()
        self.service.server_close()

    def act(self):
        self.stop()
        time.sleep(60 if self.options.seconds > 100 else 4)
        self.begin()

    def end(self):
        self.stop()


UPSETS = {"broker-killed": BrokerKilled, "broker-restarted": BrokerRestarted,
          "database-restarted": DatabaseRestarted, "commit-killed": CommitKilled, "cut": Cut,
          "slow": Slow, "full": Full, "http": Http}
