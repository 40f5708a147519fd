# SPDX-License-Identifier: MIT
"""command.py LADE VERSION - what the command says without a verb."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))

import tap


def outcome(status, out, *argv, stdout=subprocess.PIPE):
    """Complaints unless the command ends with @status and says each word of @out."""
    done = subprocess.run([sys.argv[1], *argv], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, text=True)
    said = (done.stdout or "") + done.stderr
    bad = [f"ended with {done.returncode}, not {status}"] if done.returncode != status else []
    return bad + [f"{word!r} is not in {said!r}" for word in out if word not in said]


tap.rejects("another exit status", outcome(1, [], "--version"), "ended with 0")
tap.rejects("a missing word", outcome(0, ["no such word"], "--version"), "is not in")
tap.point("lade --version names version, commit, compiler and libraries",
          outcome(0, [f"lade {sys.argv[2]}\n", "\ncommit ", "liburing ", "sqlite "], "--version"))
tap.point("lade --help says what there is", outcome(0, ["usage: lade", "--version"], "--help"))
tap.point("lade alone says what there is, and fails", outcome(2, ["usage: lade"]))
tap.point("lade with an unknown argument names it", outcome(2, ["'--nope'"], "--nope"))
tap.point("lade with a verb that is not there says so",
          outcome(2, ["no verb 'serve'", "usage: lade"], "serve"))
with open("/dev/full", "w") as full:
    tap.point("lade --version on a full disk fails", outcome(1, [], "--version", stdout=full))
tap.done()
