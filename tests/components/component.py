# SPDX-License-Identifier: MIT
"""component.py - what the real components have in common: a folder, a free port, a process that
ends with its parent, and what to say where one cannot be had."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 60


class Unavailable(Exception):
    """Why a component cannot be had here. Where LADE_COMPONENTS=required, that is a failure."""

    @staticmethod
    def is_failure():
        return os.environ.get("LADE_COMPONENTS") == "required"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Component:
    """A server in a folder of its own, which is removed with it."""

    end_signal = signal.SIGTERM
    user = None  # a passwd entry to run as, or None: as we are

    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix=f"lade-{name}-")
        self.process = None
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def path(self, name):
        return f"{self.folder}/{name}"

    def _as_user(self):
        """In the child: becomes the user, and ends when the parent does."""
        os.setsid()
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, self.end_signal)

    def _call(self, *command):
        """Runs a command to its end, as the user."""
        r = subprocess.run(command, cwd=self.folder, preexec_fn=self._as_user, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode != 0:
            raise RuntimeError(f"{command[0]}: status {r.returncode}: {r.stdout[-2000:]}")
        return r.stdout

    def _launch(self, *command):
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=self._as_user)

    def _wait_until(self, ready):
        until = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}: {self.said()}")
            if time.monotonic() > until:
                raise TimeoutError(f"not ready after {PATIENCE_SECONDS} s: {self.said()}")
            time.sleep(0.02)

    def said(self):
        """The end of its log."""
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def stop(self):
        """Ends it cleanly; its data stay."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.end_signal)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self):
        """kill -9; its data stay."""
        if self.process:
            try:
                self.signal(signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        self.process = None

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
