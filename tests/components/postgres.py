# SPDX-License-Identifier: MIT
"""postgres.py - a real PostgreSQL 15 for tests: a cluster of its own on a free port."""

import importlib.util
import os
import pwd
import re
import signal
import subprocess
import time

from component import Component, Unavailable, free_port

BIN = "/usr/lib/postgresql/15/bin"
USER = "app"
PASSWORD = "secret"
NOT_NOW = "in recovery|starting up|not yet accepting|shutting down"  # SQLSTATE 57P03


class Postgres(Component):
    """`with Postgres() as p:` - p.url and p.env say where it is; p.sql() asks it."""

    end_signal = signal.SIGINT  # fast: connections are ended, data are safe

    def __init__(self, fsync=False, **settings):
        if not os.path.exists(f"{BIN}/postgres"):
            raise Unavailable("no PostgreSQL 15: run tests/components/setup")
        if not importlib.util.find_spec("psycopg2"):
            raise Unavailable("no psycopg2 for this Python: use Debian's own, after "
                              "tests/components/setup")
        if os.getuid() == 0:  # it refuses to run as root
            self.user = pwd.getpwnam("postgres")
        super().__init__("postgres")
        self.port = free_port()
        self.url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        self.env = {"LADE_TEST_POSTGRES": self.url}
        with open(self.path("password"), "w", encoding="utf-8") as f:
            f.write(PASSWORD)
        os.chmod(self.path("password"), 0o644)
        self._call(f"{BIN}/initdb", "-D", "data", "-U", USER, "--pwfile=password", "-N",
                   "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8")
        self.settings = {"listen_addresses": "127.0.0.1", "port": self.port,
                         "unix_socket_directories": self.folder,
                         "fsync": "on" if fsync else "off", **settings}

    def start(self):
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        until = time.monotonic() + 20
        while True:
            self._launch(f"{BIN}/postgres", "-D", "data", *options)
            try:
                self._wait_until(self._answers)
                return
            except RuntimeError as e:
                # Backends outlive a server that was killed until they notice.
                if "is still in use" not in str(e) or time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def _answers(self):
        import psycopg2
        try:
            psycopg2.connect(self.url).close()
            return True
        except psycopg2.OperationalError:
            return False

    def connect(self):
        """A connection, also while the server recovers from the death of one of its processes."""
        import psycopg2
        until = time.monotonic() + 30
        while True:
            try:
                db = psycopg2.connect(self.url)
                db.autocommit = True
                return db
            except psycopg2.OperationalError as e:
                if time.monotonic() > until or not re.search(NOT_NOW, str(e)):
                    raise
            time.sleep(0.05)

    def sql(self, query, *args):
        """The rows of a query, or none."""
        db = self.connect()
        try:
            with db.cursor() as c:
                c.execute(query, args or None)
                return c.fetchall() if c.description else []
        finally:
            db.close()


if __name__ == "__main__":
    import sys
    with Postgres() as server:
        print(server.url, flush=True)
        subprocess.run(sys.argv[1:] or ["cat"], env=dict(os.environ, **server.env), check=False)
