# SPDX-License-Identifier: MIT
"""command.py LADE VERSION - what the command says without a verb."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))

import tap


def outcome(status, out, *argv, stdout=subprocess.PIPE, **env):
    """Complaints unless the command ends with @status and says each word of @out."""
    done = subprocess.run([sys.argv[1], *argv], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, text=True, env=dict(os.environ, **env))
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
tap.point("lade help is lade --help", outcome(0, ["usage: lade", "--version"], "help"))
tap.point("a misspelt option gets a guess", [
    *outcome(2, ["did you mean --version?"], "--verson"),
    *outcome(2, ["did you mean --quiet?"], "run", "--quite", "x"),
    *outcome(2, ["did you mean --connect?"], "check", "--conect", "x")])
tap.point("an empty name, and a folder in one that is missing, are named as such", [
    *outcome(78, ["the name of the pipeline is empty"], "check", ""),
    *outcome(1, ["there is no folder /nonexistent/a; make it first"], "new",
             "/nonexistent/a/b/")])
with open("/dev/full", "w") as full:
    tap.point("lade --version on a full disk fails", outcome(1, [], "--version", stdout=full))
PIPELINE = """config: 1
pipeline: p
source: { file: { path: in.ndjson } }
sink: [ file: { path: out.ndjson } ]
"""


def settings():
    with tempfile.TemporaryDirectory() as d:
        for name, text in (("p.yaml", PIPELINE), ("in.ndjson", '{"a":1}\n')):
            with open(f"{d}/{name}", "w", encoding="utf-8") as f:
                f.write(text)
        bad = []
        for env, said in (
                ({"LADE_BACKEND": "foo"}, "LADE_BACKEND=foo: "),
                ({"LADE_CORES": "0"}, "LADE_CORES=0: a number of cores"),
                ({"LADE_CORES": "x"}, "LADE_CORES=x: a number of cores"),
                ({"LADE_SEED": "abc"}, "LADE_SEED=abc: a number"),
                ({"LADE_SEED": "-1"}, "LADE_SEED=-1: a number"),
                ({"LADE_SIM": "cut=1,latenzy=3"}, "latenzy=3 is no setting; there are order="),
                ({"LADE_SIM": "cut"}, "cut is no setting"),
                ({"LADE_BACKEND": "sim", "LADE_TRACE": "/nonexistent/f"},
                 "LADE_TRACE=/nonexistent/f: No such file"),
                ({"LADE_BACKEND": "sim", "LADE_SIM_SAVE": "/nonexistent/a"},
                 "LADE_SIM_SAVE=/nonexistent/a: No such file"),
                ({"LADE_BACKEND": "sim", "LADE_SIM_SAVE": f"{d}/in.ndjson"},
                 f"LADE_SIM_SAVE={d}/in.ndjson: a folder is expected")):
            bad += outcome(78, [f"lade: {list(env)[-1]}=", said], "run", f"{d}/p.yaml", **env)
        tap.point("a setting of the environment that is none is refused by its own name", bad)
        tap.point("lade --version says which setting is wrong",
                  outcome(0, ["back end none: LADE_BACKEND=foo: "], "--version",
                          LADE_BACKEND="foo"))
        tap.point("a simulated run says at its end that no file was written, and its seed",
                  outcome(0, ["simulation, seed 7: no file was written"], "run", f"{d}/p.yaml",
                          LADE_BACKEND="sim", LADE_SEED="7"))
        bad = outcome(0, [f"simulation, seed 1: what was written is in {d}/new"], "run",
                      os.path.relpath(f"{d}/p.yaml"), LADE_BACKEND="sim",
                      LADE_SIM_SAVE=f"{d}/new")
        kept = os.listdir(f"{d}/new") if os.path.isdir(f"{d}/new") else []
        tap.point("what a simulation wrote is kept in a folder that is made, under whole names",
                  bad + [f"{name} is no whole name" for name in kept if name[0] != "%"]
                  + ([] if len(kept) == 1 else [f"kept {kept}"]))


settings()
tap.done()
