# SPDX-License-Identifier: MIT
"""plugin.py LADE MISBEHAVE SCORE - a step of `lade run` in a shared library: what it says of
messages, what is said of it when it cannot be had, and who is named when it crashes."""

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
import tap  # noqa: E402
from folder import Folder, ended  # noqa: E402

LADE, MISBEHAVE, SCORE = (os.path.abspath(p) for p in sys.argv[1:4])

PIPELINE = """config: 1
pipeline: plugin
source: {{ file: in.ndjson }}
steps:
  - plugin: {{ path: "{path}"{more} }}
sink: {{ file: out.ndjson }}
errors: {{ backoff: 1ms..5ms, max_reject_rate: 100%, dead_letter: {{ file: dead.ndjson }} }}
"""


def folder(path, *messages, more=""):
    d = Folder(LADE, PIPELINE.format(path=path, more=more))
    d.write("in.ndjson", "".join(json.dumps(m) + "\n" for m in messages))
    return d


def lines(d, name):
    with open(f"{d.path}/{name}", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def what_it_says():
    words = ["set", "drop", "reject", "retry", "no json", "pass"]
    with folder(MISBEHAVE, *({"do": w} for w in words), more=", into: .got") as d:
        complaints = ended(d.run(), 0)
        out = lines(d, "out.ndjson")
        want = [{"do": "set", "got": [1]}, {"do": "retry"}, {"do": "pass"}]
        if out != want:
            complaints.append(f"out: {out}")
        dead = [(m["value"], m["error"]) for m in lines(d, "dead.ndjson")]
        if [v for v, _ in dead] != ['{"do": "reject"}', '{"do": "no json"}'] \
                or dead[0][1] != "told to" or "not JSON" not in dead[1][1]:
            complaints.append(f"dead: {dead}")
        tap.point("a plugin passes, drops, rejects, tries again, and sets a value", complaints)
    with folder(MISBEHAVE, *({"do": "blame" if n == 7 else "pass"} for n in range(20))) as d:
        complaints = ended(d.run(), 0)
        if len(lines(d, "out.ndjson")) != 19 or len(lines(d, "dead.ndjson")) != 1:
            complaints.append("not the one that is to blame")
        tap.point("of a batch that it refuses the one that is to blame is found", complaints)


def what_is_said_of_it():
    with folder("./none.so", {}) as d:
        tap.point("one that is not there is named", ended(d.run(), 1, "none.so"))
    with folder(os.path.realpath("/lib/x86_64-linux-gnu/libm.so.6"), {}) as d:
        tap.point("a library that is no plugin is told so",
                  ended(d.run(), 1, "exports no lade_plugin()"))
    with folder(MISBEHAVE, {}, more=", config: fail") as d:
        tap.point("what it says when it cannot begin is passed on",
                  ended(d.run(), 1, "told to fail"))
    with folder(MISBEHAVE, {"do": "crash"}) as d:
        r = d.run()
        complaints = [] if r.returncode < 0 or r.returncode == 1 else [f"status {r.returncode}"]
        # AddressSanitizer takes such signals for itself, and names the library in its own words.
        words = "libmisbehave" if "AddressSanitizer" in r.stdout else \
            f"crashed in the plugin {MISBEHAVE}"
        if words not in r.stdout:
            complaints.append(r.stdout[-500:])
        tap.point("a plugin that crashes is named", complaints)


def the_example():
    flights = [{"delay": 10}, {"delay": 200}, {}]
    with folder(SCORE, *flights, more=', into: .score, config: "120"') as d:
        complaints = ended(d.run(), 0)
        out = lines(d, "out.ndjson")
        if out != [{"delay": 10, "score": 95}, {"score": 100}]:
            complaints.append(f"out: {out}")
        tap.point("the example scores flights and drops the late ones", complaints)


def as_printed():
    """The line in the example and the one in the header, by plain cc as anybody has it."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    for path in ("examples/score.c", "include/lade/plugin.h"):
        with open(f"{root}/{path}", encoding="utf-8") as f:
            found = re.search(r"(cc -Werror=implicit[^/]*?)-o \w+\.so score\.c", f.read())
        if not found:
            tap.point(f"the line of {path} builds the example", ["there is no line"])
            continue
        words = re.sub(r"\\\n \*|\$\(pkg-config --cflags lade\)", " ", found[1]).split()
        with Folder(LADE, "") as d:
            r = subprocess.run([*words, f"-I{root}/include", "-o", f"{d.path}/score.so",
                                f"{root}/examples/score.c"], text=True, timeout=60,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            complaints = [r.stdout] if r.returncode or r.stdout else []
            if not complaints and shutil.which("nm"):
                said = subprocess.run(["nm", "-D", f"{d.path}/score.so"], text=True, timeout=60,
                                      stdout=subprocess.PIPE).stdout
                complaints = [] if " T lade_plugin" in said else [said]
            tap.point(f"the line of {path} builds the example", complaints)


what_it_says()
what_is_said_of_it()
the_example()
as_printed()
tap.done()
