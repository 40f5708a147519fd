# SPDX-License-Identifier: MIT
"""pipeline.py LADE [NAME...] - `lade run` from outside: files, databases, a service that
misbehaves, signals, and kill -9 at random moments; all of it, or the named functions."""

import fcntl
import http.server
import json
import os
import pty
import random
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
import tap  # noqa: E402

LADE = os.path.abspath(sys.argv[1])
KILLS = 50
KAFKA_TOO = "LADE_BACKEND" not in os.environ  # whose waits are long, and no back end's


def lade(*args, feed=None, timeout=60, env=None):
    return subprocess.run([LADE, *args], input=feed, timeout=timeout, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, **(env or {})))


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def rows(path, sql):
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def wait_for_row(path):
    for _ in range(2000):
        try:
            if rows(path, "select count(*) from t")[0][0]:
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.005)


class Service(http.server.ThreadingHTTPServer):
    """Answers by what its path asks for, and counts."""

    daemon_threads = True

    def __init__(self):
        self.calls = 0
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """A client that has given up is part of the test."""

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.calls += 1
        what = self.path.rsplit("/", 1)[-1]
        if what == "reset":
            self.connection.close()
            return
        if what == "hang":
            time.sleep(3)
        if what.startswith("steady"):
            time.sleep(0.05)
        status = {"missing": 404, "busy": 503, "bad": 422}.get(what, 200)
        body = b"not json" if what == "garbage" else json.dumps({"for": what}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ONCE = """config: 1
pipeline: once
source: {{ file: {{ path: {dir}/in.ndjson }} }}
batch: {{ max_messages: 100, linger: 5ms }}
concurrency: 2
steps:
  - transform:
      fields: {{ id: "integer .id" }}
      query: select i, json_object('id', id, 'twice', id * 2) as value from batch where id % 7
sink:
  - sqlite: {{ path: {dir}/out.db, table: t, create: true,
              columns: {{ id: "integer .id", twice: "integer .twice" }} }}
delivery: exactly_once
errors: {{ dead_letter: {{ table: dead }} }}
"""


def numbered(first, last):
    """Lines, of which one in a thousand is bad."""
    return "".join('{"id":%d}\n' % i if i % 1000 else '{"id":"x%d"}\n' % i
                   for i in range(first, last + 1))


def once(folder, n):
    write(f"{folder}/in.ndjson", numbered(1, n))
    return write(f"{folder}/p.yaml", ONCE.format(dir=folder))


def expected_once(n):
    return [(i, 2 * i) for i in range(1, n + 1) if i % 7 and i % 1000]


def kill_nine():
    with tempfile.TemporaryDirectory() as d:
        n, kills, complaints = 150000, 0, []
        config = once(d, n)
        rng = random.Random(7)
        for attempt in range(400):
            p = subprocess.Popen([LADE, "run", "--quiet", config], stderr=subprocess.PIPE,
                                 text=True)
            try:
                _, said = p.communicate(timeout=rng.uniform(0.005, 0.045)
                                        if kills < KILLS else 60)
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGKILL)
                p.communicate()
                kills += 1
                continue
            if p.returncode == 0 and kills < KILLS:  # a quick machine: there is more to do
                with open(f"{d}/in.ndjson", "a", encoding="utf-8") as f:
                    f.write(numbered(n + 1, n + 50000))
                n += 50000
                continue
            if p.returncode != 0:
                complaints.append(f"status {p.returncode}: {said}")
            break
        got = rows(f"{d}/out.db", "select id, twice from t order by id")
        if got != expected_once(n):
            complaints.append(f"{len(got)} rows, expected {len(expected_once(n))}; "
                              f"{len(got) - len(set(got))} doubled")
        dead = rows(f"{d}/out.db", "select count(*), count(distinct \"offset\") from dead")[0]
        if dead != (n // 1000, n // 1000):
            complaints.append(f"dead letters: {dead}, expected {n // 1000} of each")
        if kills < KILLS:
            complaints.append(f"only {kills} kills")
        tap.point(f"{KILLS} kills at random moments leave the tables of an undisturbed run",
                  complaints)


def stops_at_random():
    with tempfile.TemporaryDirectory() as d:
        n, complaints, stops = 60000, [], 0
        config = once(d, n)
        rng = random.Random(11)
        for attempt in range(200):
            p = subprocess.Popen([LADE, "run", config], stderr=subprocess.PIPE, text=True)
            try:
                said = p.communicate(timeout=rng.uniform(0.03, 0.09) if stops < 25 else 60)[1]
            except subprocess.TimeoutExpired:
                p.terminate()
                said = p.communicate(timeout=40)[1]
                stops += 1
                # Before main the kernel answers: nothing was begun.
                if p.returncode == -signal.SIGTERM and not said:
                    continue
                if p.returncode == 0 and "unfinished" not in said:
                    continue
            if p.returncode or stops >= 25:
                break
        if p.returncode:
            complaints.append(f"status {p.returncode}: {said}")
        got = rows(f"{d}/out.db", "select id, twice from t order by id")
        if got != expected_once(n):
            complaints.append(f"{len(got)} rows, expected {len(expected_once(n))}")
        tap.point("25 SIGTERMs at random moments lose nothing and double nothing", complaints)


def two_processes():
    with tempfile.TemporaryDirectory() as d:
        n, complaints = 400000, []
        config = once(d, n)
        first = subprocess.Popen([LADE, "run", config], stderr=subprocess.PIPE, text=True)
        wait_for_row(f"{d}/out.db")
        second = lade("run", "--quiet", config)
        said = first.communicate(timeout=60)[1]
        if f"in.ndjson is taken over from process {first.pid}, which runs" not in second.stderr:
            complaints.append(f"the second does not say whose it was: {second.stderr}")
        third = lade("run", "--quiet", config)
        if "taken over" in third.stderr or "goes on from" in third.stderr:
            complaints.append(f"of one that has ended it is said: {third.stderr}")
        if second.returncode:
            complaints.append(f"the second: {second.returncode}: {second.stderr}")
        if first.returncode != 1 or "has taken this pipeline over" not in said:
            complaints.append(f"the first: {first.returncode}: {said}")
        got = rows(f"{d}/out.db", "select id, twice from t order by id")
        if got != expected_once(n):
            complaints.append(f"{len(got)} rows, expected {len(expected_once(n))}")
        tap.point("a second process takes the pipeline over, the first says so and writes no more",
                  complaints)


def again_does_nothing():
    with tempfile.TemporaryDirectory() as d:
        config = once(d, 2000)
        complaints = []
        size = os.path.getsize(f"{d}/in.ndjson")
        for new in (True, False):
            r = lade("run", config)
            complaints += [r.stderr] if r.returncode else []
            said = ("2000 messages in" in r.stderr, "nothing new:" in r.stderr)
            if said != (new, not new):
                complaints.append(f"new: {new}, but said {r.stderr}")
        if f"in.ndjson was finished at byte {size}\n" not in r.stderr:
            complaints.append(f"not that it was finished: {r.stderr}")
        if rows(f"{d}/out.db", "select id, twice from t order by id") != expected_once(2000):
            complaints.append("the table differs")
        with open(f"{d}/in.ndjson", "a", encoding="utf-8") as f:
            f.write('{"id":2001}\n')
        lade("run", config)
        if rows(f"{d}/out.db", "select max(id) from t") != [(2001,)]:
            complaints.append("what was appended was not read")
        write(f"{d}/in.ndjson", '{"id":5}\n')
        r = lade("run", config)
        if r.returncode != 1 or "cut" not in r.stderr + "replaced":
            complaints.append(f"a cut file: status {r.returncode}: {r.stderr}")
        tap.point("a second run does nothing and says so, an appended line is read, a cut file is "
                  "refused", complaints)


BAD = """config: 1
pipeline: bad
source: {{ stdin: {{}}, max_message_bytes: 1KiB }}
batch: {{ linger: 5ms }}
steps:
  - transform:
      fields: {{ n: "json .n" }}
      query: select i, json_object('n', json(n)) as value from batch
sink: [ file: {{ path: {dir}/out.ndjson }} ]
{errors}
"""


def bad_lines():
    with tempfile.TemporaryDirectory() as d:
        lines = ['{"n":1}', "not json", "[1]", '{"n":"' + "x" * 2000 + '"}', '{"m":1}',
                 '{"n":9007199254740993}', '{"n":2}']
        config = write(f"{d}/p.yaml", BAD.format(
            dir=d, errors=f"errors: {{ dead_letter: {{ file: {d}/dead.ndjson }} }}"))
        r = lade("run", config, feed="\n".join(lines) + "\n")
        out = open(f"{d}/out.ndjson", encoding="utf-8").read().splitlines()
        dead = [json.loads(x) for x in open(f"{d}/dead.ndjson", encoding="utf-8")]
        complaints = [r.stderr] if r.returncode else []
        if out != ['{"n":1}', '{"n":9007199254740993}', '{"n":2}']:
            complaints.append(f"out: {out}")
        if len(dead) != 4 or any("error" not in x for x in dead):
            complaints.append(f"dead: {dead}")
        tap.point("each bad line gets its verdict and its reason, the rest goes on", complaints)

        config = write(f"{d}/p.yaml", BAD.format(dir=d, errors=""))
        r = lade("run", config, feed='{"n":1}\nnot json\n')
        tap.point("without a dead letter a bad line stops the run with status 4 and the remedy",
                  [] if r.returncode == 4 and "line 2" in r.stderr and "dead_letter:" in r.stderr
                  else [f"status {r.returncode}: {r.stderr}"])


ROWS = """config: 1
pipeline: rows
source: {{ file: {{ path: {dir}/in }} }}
batch: {{ linger: 5ms }}
sink: [ sqlite: {{ path: {dir}/out.db, table: t, create: true,
                  columns: {{ k: "integer .k" }} }} ]
{more}
"""


def refused_rows():
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/in", '{"k":1}\n{"k":"x"}\n{"k":3}\n')
        config = write(f"{d}/p.yaml", ROWS.format(dir=d, more="delivery: exactly_once"))
        complaints = []
        for _ in range(2):
            r = lade("run", config)
            if r.returncode != 4 or "line 2" not in r.stderr or "table:" not in r.stderr:
                complaints.append(f"status {r.returncode}: {r.stderr}")
        advice = "".join(x[2:] + "\n" for x in r.stderr.splitlines()[-2:])
        write(config, ROWS.format(dir=d, more="delivery: exactly_once\n" + advice))
        r = lade("run", config)
        if r.returncode or rows(f"{d}/out.db", "select k from t") != [(1,), (3,)]:
            complaints.append(f"after the advice: {r.returncode}: {r.stderr}")
        tap.point("a row that SQLite refuses stops exactly once before it, run after run, and "
                  "the advice is valid", complaints)

        write(config, f"""config: 1
pipeline: rows
source: {{ file: {{ path: {d}/in }} }}
sink:
  - sqlite: {{ path: {d}/two.db, table: t, create: true, columns: {{ k: "text .k" }} }}
  - sqlite: {{ path: {d}/two.db, table: u, create: true, columns: {{ k: "integer .k" }} }}
errors: {{ dead_letter: {{ table: dead }} }}
""")
        r = lade("run", config)
        got = rows(f"{d}/two.db", "select count(*) from dead") if not r.returncode else None
        tap.point("what the second of two tables refuses is in the dead letters of the first",
                  [] if got == [(1,)] else [f"{got}, status {r.returncode}: {r.stderr}"])


ODD = """config: 1
pipeline: odd
databases: {{ main: "sqlite:{dir}/odd.db" }}
source: {{ stdin: {{}} }}
steps:
  - sql:
      db: main
      keys: {{ k: "integer .k" }}
      query: "select b.i, case b.k when 1 then {value} else 'x' end as x from batch b"
      into: .x
      many: {many}
sink: [ stdout: {{}} ]
errors: {{ max_reject_rate: 100%, dead_letter: {{ file: {dir}/dead.ndjson }} }}
"""


def odd_answers():
    """What a query has for a message, and no message can be given."""
    for value, many, word in (("cast(x'ff' as text)", "false", "not UTF-8"),
                              ("cast(x'ff' as text)", "true", "not UTF-8"),
                              ("hex(zeroblob(9000000))", "true", "more than 16 MiB")):
        with tempfile.TemporaryDirectory() as d:
            sqlite3.connect(f"{d}/odd.db").execute("create table t(k)")
            config = write(f"{d}/p.yaml", ODD.format(dir=d, value=value, many=many))
            r = lade("run", "--quiet", config, feed='{"k":1}\n{"k":2}\n')
            dead = ""
            if os.path.exists(f"{d}/dead.ndjson"):
                with open(f"{d}/dead.ndjson", encoding="utf-8") as f:
                    dead = f.read()
        tap.point(f"an answer that no message can have rejects its message alone: {value}, "
                  f"many: {many}", [] if r.returncode == 0 and '"k":2' in r.stdout and
                  word in dead and dead.count("\n") == 1 else [r.stderr, dead])


SPLIT = """config: 1
pipeline: split
source: {{ stdin: {{}} }}
steps:
  - transform: {{ fields: {{ n: "integer .n" }}, query: "{query}" }}
sink: [ stdout: {{}} ]
errors: {{ max_reject_rate: 100%, dead_letter: {{ file: {dir}/dead.ndjson }} }}
"""


def split():
    with tempfile.TemporaryDirectory() as d:
        feed = "".join('{"n":%d}\n' % i for i in range(6))
        for name, query, out, dead in (
                ("a message with a good and a bad row is rejected whole, once",
                 "select i, json_object('a', n) as value from batch union all "
                 "select i, case n when 3 then '7' else json_object('b', n) end from batch",
                 10, 1),
                ("an aggregate with a bad row is rejected as one",
                 "select json_object('a', count(*)) as value from batch union all select '7'",
                 0, 6)):
            config = write(f"{d}/p.yaml", SPLIT.format(dir=d, query=query))
            r = lade("run", config, feed=feed)
            letters = open(f"{d}/dead.ndjson", encoding="utf-8").read().splitlines()
            os.unlink(f"{d}/dead.ndjson")
            tap.point(name, [] if r.returncode == 0 and len(r.stdout.splitlines()) == out
                      and len(letters) == dead
                      else [f"status {r.returncode}: {r.stdout} {letters} {r.stderr}"])


def live_line():
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/in", "".join('{"id":%d}\n' % i for i in range(1000)))
        config = write(f"{d}/p.yaml", f"""config: 1
pipeline: live
source: {{ file: {{ path: {d}/in }} }}
sink: [ file: {{ path: /dev/full }} ]
shutdown_timeout: 10ms
""")
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        p = subprocess.Popen([LADE, "run", config], stderr=theirs)
        os.close(theirs)
        said, asked = b"", False
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # nobody has the other end any more
                break
            said += more
            if not asked and said.count(b"[####") == 2:
                p.terminate()
                asked = True
        os.close(ours)
        p.wait(timeout=20)
        shown = [x for x in said.decode().split("\r\033[K") if x.startswith("[")]
        complaints = [x for x in shown if len(x) >= 60 or "100 %" not in x]
        if p.returncode != 3 or not shown or "1000 messages in" not in said.decode():
            complaints.append(f"status {p.returncode}: {said!r}")
        tap.point("on a terminal the live line fits its width, and the summary follows",
                  complaints)


def standard_descriptors():
    with tempfile.TemporaryDirectory() as d:
        config = write(f"{d}/p.yaml", "config: 1\npipeline: p\nsource: { stdin: {} }\n"
                                      "sink: [ stdout: {} ]\n")
        complaints = []
        for close in ("<&-", ">&-"):
            r = subprocess.run(f"echo '{{}}' | {LADE} run {config} {close}", shell=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=20)
            if r.returncode != 1 or "Bad file descriptor" not in r.stderr:
                complaints.append(f"{close}: status {r.returncode}: {r.stderr}")
        tap.point("a closed stdin or stdout is said, not mistaken for another file", complaints)


def locked_database():
    with tempfile.TemporaryDirectory() as d:
        config = once(d, 500)
        lade("run", config)
        with open(f"{d}/in.ndjson", "a", encoding="utf-8") as f:
            f.write('{"id":501}\n')
        holder = sqlite3.connect(f"{d}/out.db", isolation_level=None)
        holder.execute("begin immediate")
        p = subprocess.Popen([LADE, "run", config], stderr=subprocess.PIPE, text=True)
        said = p.stderr.readline()
        holder.execute("rollback")
        holder.close()
        said += p.communicate(timeout=30)[1]
        complaints = []
        if p.returncode or "locked" not in said or "works again" not in said:
            complaints.append(f"status {p.returncode}: {said}")
        if rows(f"{d}/out.db", "select max(id) from t") != [(501,)]:
            complaints.append("the row is missing")
        tap.point("a database that another program holds is waited for, visibly", complaints)


HTTP = """config: 1
pipeline: ask
source: {{ stdin: {{}} }}
batch: {{ linger: 5ms }}
steps:
  - http: {{ get: "{address}/at/{{.what}}", into: .answer, timeout: 300ms, retries: 1,
            concurrency: 8, on_error: {on_error} }}
sink: [ stdout: {{}} ]
errors: {{ max_attempts: 2, backoff: 10ms..50ms, dead_letter: {{ file: {dir}/dead.ndjson }} }}
"""


def service():
    with tempfile.TemporaryDirectory() as d:
        server = Service()
        kinds = ["fine", "missing", "busy", "bad", "reset", "hang", "garbage"]
        feed = "".join('{"what":"%s"}\n' % k for k in kinds * 3)
        config = write(f"{d}/p.yaml", HTTP.format(address=server.address, dir=d,
                                                  on_error="keep"))
        r = lade("run", config, feed=feed)
        out = [json.loads(x) for x in r.stdout.splitlines()]
        complaints = [r.stderr] if r.returncode else []
        answered = [x["what"] for x in out if "answer" in x]
        if answered != ["fine"] * 3 or len(out) != 18:  # "bad" blames the message
            complaints.append(f"answered: {answered}, {len(out)} lines; {r.stderr}")
        if server.calls > 12:
            complaints.append(f"{server.calls} requests for 7 addresses: not shared")
        tap.point("a service that is missing, busy, bad, resets, hangs or talks garbage",
                  complaints)

        for how in ("reject", "retry"):
            config = write(f"{d}/p.yaml", HTTP.format(address=server.address, dir=d,
                                                      on_error=how))
            if os.path.exists(f"{d}/dead.ndjson"):
                os.unlink(f"{d}/dead.ndjson")
            # What passes counts only when others pass meanwhile.
            p = subprocess.Popen([LADE, "run", config], stdin=subprocess.PIPE, text=True,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            p.stdin.write("".join('{"what":"%s"}\n' % k for k in kinds))
            for i in range(300 if how == "retry" else 1):
                p.stdin.write('{"what":"fine%d"}\n' % i)
                p.stdin.flush()
                time.sleep(0.01)
            said = p.communicate(timeout=40)[1]
            wrong = [x["error"] for x in map(json.loads, open(f"{d}/dead.ndjson",
                                                             encoding="utf-8"))
                     if "/at/" + json.loads(x["value"])["what"] + ":" not in x["error"]]
            tap.point(f"with on_error: {how} a dead letter names its own request and reason",
                      wrong + ([said] if p.returncode else []))

        config = write(f"{d}/p.yaml", HTTP.format(address="http://127.0.0.1:9", dir=d,
                                                  on_error="reject"))
        r = lade("run", config, feed='{"what":"x"}\n')
        dead = open(f"{d}/dead.ndjson", encoding="utf-8").read()
        tap.point("a service that is down rejects with what happened",
                  [] if r.returncode == 0 and "127.0.0.1" in dead
                  else [f"status {r.returncode}: {r.stderr}; {dead}"])


SHARED = """config: 1
pipeline: shared
databases: {{ main: "sqlite:{dir}/look.db" }}
source: {{ file: {{ path: {dir}/in }} }}
batch: {{ max_messages: 20 }}
concurrency: 8
order: none
steps:
  - sql:
      db: main
      keys: {{ k: "integer .k" }}
      query: select b.i, l.v from batch b join look l on l.k = b.k
      into: .found
      cache: {{ ttl: 1ms }}
sink: [ file: {{ path: {dir}/out }} ]
errors: {{ max_reject_rate: 100%, dead_letter: {{ file: {dir}/dead }} }}
"""


def shared_failures():
    with tempfile.TemporaryDirectory() as d:
        db = sqlite3.connect(f"{d}/look.db")
        db.execute("create table look (k integer, v text)")
        db.executemany("insert into look values (?, ?)", [(k, f"v{k}") for k in range(40)]
                       + [(k, "twice") for k in range(0, 40, 13)])
        db.commit()
        db.close()
        rng = random.Random(3)
        keys = [rng.randrange(40) for _ in range(3000)]
        write(f"{d}/in", "".join('{"k":%d}\n' % k for k in keys))
        r = lade("run", write(f"{d}/p.yaml", SHARED.format(dir=d)))
        dead = [json.loads(x) for x in open(f"{d}/dead", encoding="utf-8")]
        good = [x for x in dead if json.loads(x["value"])["k"] % 13]
        complaints = [r.stderr] if r.returncode else []
        complaints += [f"rejected for another's fault: {x}" for x in good[:5]]
        if len(dead) - len(good) != sum(k % 13 == 0 for k in keys):
            complaints.append(f"{len(dead) - len(good)} bad ones are rejected")
        complaints += [f"the place of another one: {x}" for x in dead
                       if "(i = 0)" not in x["error"]][:5]
        tap.point("messages that wait for one query of a cache share no blame and no place",
                  complaints)
        config = write(f"{d}/p.yaml", SHARED.format(dir=d).replace("l.v", "b.m as v"))
        outcomes = [lade("check", "--connect", config), lade("run", config)]
        tap.point("an sql step that reads m does not begin",
                  [f"status {r.returncode}: {r.stderr}" for r in outcomes
                   if r.returncode != 1 or "only a transform can read m" not in r.stderr])


SAME = """config: 1
pipeline: same
databases: {{ main: "sqlite::memory:" }}
source: {{ file: {{ path: {dir}/in }} }}
batch: {{ max_messages: 1000 }}
concurrency: 1
steps:
  - sql:
      db: main
      keys: {{ k: "integer? .k", t: "text? .t", d: "double? .d" }}
      query: >
        select i, coalesce(k, 'none') || '/' || coalesce(t, 'none') || '/' || coalesce(d, 'none')
        as seen, (select count(*) from batch) as n from batch where t is not 'gone'
      into: .found
sink: [ file: {{ path: {dir}/out }} ]
"""


def same_keys():
    rng = random.Random(5)
    texts = [None, "", "a", "a" * 8, "a" * 9, "a" * 200 + "b", "a" * 200 + "c", "gone"]
    sent = [{"k": rng.choice([None, 0, 1, -1]), "t": rng.choice(texts),
             "d": rng.choice([None, 0.5, -2.0])} for _ in range(3000)]
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/in", "".join(json.dumps(m) + "\n" for m in sent))
        r = lade("run", write(f"{d}/p.yaml", SAME.format(dir=d)))
        out = [json.loads(line) for line in open(f"{d}/out", encoding="utf-8")]

    def seen(m):
        return "/".join("none" if m[x] is None else str(m[x]) for x in "ktd")
    complaints = [f"{m}: {got}" for m, got in zip(sent, out)
                  if got.get("found", {}).get("seen") != (None if m["t"] == "gone" else seen(m))]
    tap.point("messages of the same keys get the same row, and others theirs",
              complaints[:5] if r.returncode == 0 and len(out) == len(sent) else [r.stderr])
    batches = [out[at:at + 1000] for at in range(0, 3000, 1000)]
    wanted = [len({seen(m) for m in sent[at:at + 1000]}) for at in range(0, 3000, 1000)]
    asked = [{m["found"]["n"] for m in b if "found" in m} for b in batches]
    tap.point("and are asked for once", [] if asked == [{n} for n in wanted]
              else [f"{asked}, and {wanted} differ"])


TURNS = """config: 1
pipeline: turns
source: {{ stdin: {{}} }}
batch: {{ max_messages: 200 }}
steps:
  - http: {{ get: "{address}/at/{{.what}}", into: .answer, timeout: 1s, retries: 0,
            concurrency: 1, on_error: reject }}
sink: [ stdout: {{}} ]
"""


def turns():
    with tempfile.TemporaryDirectory() as d:
        server = Service()
        r = lade("run", write(f"{d}/p.yaml", TURNS.format(address=server.address)),
                 feed="".join('{"what":"steady%d"}\n' % i for i in range(140)))
        tap.point("a request that waits long for its turn is not late",
                  [] if r.returncode == 0 and len(r.stdout.splitlines()) == 140
                  else [f"status {r.returncode}, {len(r.stdout.splitlines())} lines; {r.stderr}"])


LONG_KEY = """config: 1
pipeline: long_key
databases: {{ main: "sqlite:{dir}/look.db" }}
source: {{ stdin: {{}} }}
steps:
  - sql:
      db: main
      keys: {{ k: "text .k" }}
      query: select b.i, l.v from batch b join look l on l.k = b.k
      into: .found
      cache: {{ ttl: 60s }}
sink: [ stdout: {{}} ]
"""


def long_key():
    with tempfile.TemporaryDirectory() as d:
        db = sqlite3.connect(f"{d}/look.db")
        db.execute("create table look (k text, v integer)")
        keys = ["a", "x" * 70000, "b", "y" * 70000]
        db.executemany("insert into look values (?, ?)", [(k, i) for i, k in enumerate(keys)])
        db.commit()
        db.close()
        r = lade("run", write(f"{d}/p.yaml", LONG_KEY.format(dir=d)),
                 feed="".join('{"k":"%s"}\n' % k for k in keys))
        found = [json.loads(x).get("found") for x in r.stdout.splitlines()]
        tap.point("a key that is too long for a cache is looked up all the same",
                  [] if r.returncode == 0 and found == [{"v": i} for i in range(4)]
                  else [f"status {r.returncode}: {found}; {r.stderr}"])


def signals():
    with tempfile.TemporaryDirectory() as d:
        config = write(f"{d}/p.yaml", f"""config: 1
pipeline: slow
source: {{ stdin: {{}} }}
batch: {{ linger: 20ms }}
sink: [ file: {{ path: {d}/out.ndjson }} ]
""")
        p = subprocess.Popen([LADE, "run", config], stdin=subprocess.PIPE, text=True,
                             stderr=subprocess.PIPE)
        p.stdin.write('{"a":1}\n{"a":2}\n')
        p.stdin.flush()
        for _ in range(200):
            if os.path.exists(f"{d}/out.ndjson") and os.path.getsize(f"{d}/out.ndjson"):
                break
            time.sleep(0.02)
        p.send_signal(signal.SIGTERM)
        _, said = p.communicate(timeout=20)
        out = open(f"{d}/out.ndjson", encoding="utf-8").read()
        tap.point("SIGTERM: reading ends, what was read is finished, status 0",
                  [] if p.returncode == 0 and out == '{"a":1}\n{"a":2}\n'
                  else [f"status {p.returncode}: {said}: {out!r}"])

        os.mkfifo(f"{d}/fifo")
        config = write(f"{d}/f.yaml", f"""config: 1
pipeline: unwritten
source: {{ file: {{ path: {d}/fifo }} }}
sink: [ file: {{ path: {d}/read.ndjson }} ]
""")
        p = subprocess.Popen([LADE, "run", config], stderr=subprocess.PIPE, text=True)
        for _ in range(200):
            if os.path.exists(f"{d}/read.ndjson"):
                break
            time.sleep(0.02)
        time.sleep(0.1)
        p.send_signal(signal.SIGTERM)
        try:
            said = p.communicate(timeout=10)[1]
        except subprocess.TimeoutExpired:
            p.kill()
            said = p.communicate()[1]
        tap.point("SIGTERM is heard though nobody has opened the FIFO for writing",
                  [] if p.returncode == 0 and "stopping" not in said
                  else [f"status {p.returncode}: {said}"])

        config = write(f"{d}/q.yaml", """config: 1
pipeline: full
source: { stdin: {} }
sink: [ file: { path: /dev/full } ]
shutdown_timeout: 1s
""")
        p = subprocess.Popen([LADE, "run", config], stdin=subprocess.PIPE, text=True,
                             stderr=subprocess.PIPE)
        p.stdin.write('{"a":1}\n')
        p.stdin.close()
        time.sleep(0.5)
        p.send_signal(signal.SIGTERM)
        said = p.stderr.read()
        p.wait(timeout=20)
        tap.point("a full disk is waited out, visibly; given up in time it is status 3",
                  [] if p.returncode == 3 and "room" in said and "unfinished" in said
                  and "full: stopping: 1 message is being finished, at most 1 s" in said
                  else [f"status {p.returncode}: {said}"])


STDOUT = """config: 1
pipeline: shown
source: {{ file: {{ path: {dir}/in }} }}
sink: [ stdout: {{}} ]
"""


def stdout_that_fails():
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/in", "".join('{"id":%d}\n' % i for i in range(100000)))
        config = write(f"{d}/p.yaml", STDOUT.format(dir=d))
        for name, shell, wanted in (
                ("a full stdout ends the run with status 1 and what to do", "> /dev/full",
                 ("No space left", "`file` sink")),
                ("nobody behind stdout ends the run with status 1, and it says so", "| head -1",
                 ("nobody reads",))):
            try:
                r = subprocess.run(f"set -o pipefail; {LADE} run {config} {shell}", shell=True,
                                   executable="/bin/bash", timeout=20, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                said = f"status {r.returncode}: {r.stderr}"
                complaints = [said] if r.returncode != 1 else []
            except subprocess.TimeoutExpired as e:
                said, complaints = str(e.stderr), ["it runs for ever"]
            complaints += [f"no {x!r} in {said}" for x in wanted if x not in said]
            tap.point(name, complaints)


def file_too_large():
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/in", "".join('{"id":%d}\n' % i for i in range(20000)))
        config = write(f"{d}/p.yaml", STDOUT.format(dir=d).replace(
            "stdout: {}", f"file: {{ path: {d}/out }}") + "shutdown_timeout: 10ms\n")
        p = subprocess.Popen(["bash", "-c", f"ulimit -f 64; exec {LADE} run "
                              f"{config}"], stderr=subprocess.PIPE, text=True)
        said = p.stderr.readline()
        p.terminate()
        said += p.communicate(timeout=20)[1]
        size = os.path.getsize(f"{d}/out")
        tap.point("a file that may grow no more is said with the remedy, and waited for",
                  [] if p.returncode == 3 and "ulimit" in said
                  and open(f"{d}/out", encoding="utf-8").read()[-1:] in ("", "\n")
                  else [f"status {p.returncode}, {size} bytes: {said}"])


def connect_changes_nothing():
    with tempfile.TemporaryDirectory() as d:
        config = once(d, 10)
        before = sorted(os.listdir(d))
        r = lade("check", "--connect", config)
        complaints = [r.stderr] if r.returncode else []
        write(f"{d}/f.yaml", STDOUT.format(dir=d).replace("/in }", "/in.ndjson }").replace(
            "stdout: {}", f"file: {{ path: {d}/torn }}") + f"errors: {{ dead_letter: {{ file: "
            f"{d}/dead }} }}\n")
        write(f"{d}/torn", "half a li")
        r = lade("check", "--connect", f"{d}/f.yaml")
        complaints += [r.stderr] if r.returncode else []
        if open(f"{d}/torn", encoding="utf-8").read() != "half a li":
            complaints.append("the torn line was cut")
        if sorted(os.listdir(d)) != sorted(before + ["f.yaml", "torn"]):
            complaints.append(f"there are now {sorted(os.listdir(d))}")
        sqlite3.connect(f"{d}/out.db").execute("create table other (a)")
        r = lade("check", "--connect", config)
        tables = rows(f"{d}/out.db", "select name from sqlite_schema")
        if r.returncode or tables != [("other",)]:
            complaints.append(f"tables: {tables}; {r.stderr}")
        tap.point("check --connect makes no file and no table, and cuts nothing", complaints)

        complaints = []
        for path in ("out.db", "f"):
            kind = "sqlite" if path == "out.db" else "file"
            text = open(config if kind == "sqlite" else f"{d}/f.yaml", encoding="utf-8").read()
            text = text.replace(f"{d}/{'out.db' if kind == 'sqlite' else 'torn'}",
                                f"{d}/no/such/{path}")
            r = lade("check", "--connect", write(f"{d}/n.yaml", text))
            if r.returncode != 1 or f"{d}/no/such/{path}" not in r.stderr:
                complaints.append(f"{kind}: status {r.returncode}: {r.stderr}")
        config = once(d, 10)
        sqlite3.connect(f"{d}/out.db").execute("create table t (id integer)")
        r = lade("check", "--connect", config)
        if r.returncode != 1 or "twice" not in r.stderr:
            complaints.append(f"a table without a column: status {r.returncode}: {r.stderr}")
        tap.point("check --connect finds a folder that is not there and a table that does not fit",
                  complaints)


def stopped_in_a_file():
    with tempfile.TemporaryDirectory() as d:
        for name, text, wanted in (
                ("at_least_once", STDOUT.format(dir=d), "from its beginning"),
                ("exactly_once", ROWS.format(dir=d, more="delivery: exactly_once")
                 .replace("{ k: ", "{ id: ").replace(".k", ".id"), "goes on from there")):
            write(f"{d}/in", "".join('{"id":%d}\n' % i for i in range(3000000)))
            config = write(f"{d}/p.yaml", text)
            p = subprocess.Popen([LADE, "run", "--quiet", config], stderr=subprocess.PIPE,
                                 stdout=subprocess.PIPE if "stdout" in text else None, text=True)
            if p.stdout:
                p.stdout.readline()
            else:
                wait_for_row(f"{d}/out.db")
            p.terminate()
            said = p.communicate(timeout=40)[1]
            tap.point(f"a signal in the middle of a file, {name}: how far, and what comes next",
                      [] if p.returncode == 0 and "signal" in said and wanted in said
                      and " of 4" in said else [f"status {p.returncode}: {said}"])


def beside_the_pipeline():
    with tempfile.TemporaryDirectory() as d:
        os.mkdir(f"{d}/p")
        write(f"{d}/p/in", '{"k":1}\n')
        write(f"{d}/p/secret", "rows\n")
        write(f"{d}/p/p.yaml", """config: 1
pipeline: "${file:secret}"
databases: { main: "sqlite:out.db" }
source: { file: in }
sink: [ sqlite: { db: main, table: t, create: true, columns: { k: "integer .k" } } ]
delivery: exactly_once
errors: { dead_letter: { table: dead } }
""")
        complaints = []
        for where, path in ((d, "p/p.yaml"), (f"{d}/p", "p.yaml"), ("/", f"{d}/p/p.yaml")):
            r = subprocess.run([LADE, "run", path], cwd=where, text=True, timeout=20,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if r.returncode or rows(f"{d}/p/out.db", "select k from t") != [(1,)]:
                complaints.append(f"{path} in {where}: status {r.returncode}: {r.stderr}")
        tap.point("paths are relative to the pipeline's file wherever it is run: one position",
                  complaints)
        os.unlink(f"{d}/p/in")
        r = subprocess.run([LADE, "check", "--connect", "p/p.yaml"], cwd=d, text=True, timeout=20,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tap.point("what is not there is named as it was looked for",
                  [] if r.returncode == 1 and "p/in: No such file" in r.stderr
                  else [f"status {r.returncode}: {r.stderr}"])
        with open(f"{d}/p/p.yaml", encoding="utf-8") as f:
            text = f.read().replace('"${file:secret}"', "piped")
        write(f"{d}/in", '{"k":2}\n')
        r = subprocess.run(f"{LADE} run <(cat <<'E'\n{text}E\n)",
                           shell=True, executable="/bin/bash", cwd=d, text=True, timeout=20,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tap.point("a pipeline that is no file has paths relative to the working directory",
                  [] if r.returncode == 0 and rows(f"{d}/out.db", "select k from t") == [(2,)]
                  else [f"status {r.returncode}: {r.stderr}"])


TRIED = """config: 1
pipeline: tried
source: {{ file: in }}
batch: {{ max_messages: 4 }}
steps:
  - name: ask
    http: {{ get: "{address}/at/{{.what}}", into: .answer, on_error: reject, retries: 0 }}
  - name: pick
    transform:
      query: select i, json_object('n', m->'$.answer.for') as value from batch
             where m->>'$.what' <> 'dull'
sink:
  - sqlite: {{ path: out.db, table: t, create: true, columns: {{ n: "text .n" }} }}
delivery: exactly_once
"""


def tried():
    with tempfile.TemporaryDirectory() as d:
        server = Service()
        write(f"{d}/in", "".join('{"what":"%s"}\n' % w for w in
                                 ("fine", "dull", "bad", "next", "no", "never")))
        write(f"{d}/p.yaml", TRIED.format(address=server.address))
        r = lade("try", "-n", "5", f"{d}/p.yaml")
        wanted = ["read: 4 messages of", '  1  {"what":"fine"}', "ask: 4 requests",
                  '  1  {"what":"fine","answer":{"for": "fine"}}', "  3  rejected by ask: ",
                  "pick: 1 query, some messages are left out", '  4  {"n":"next"}',
                  "5 read, 3 would be written, 1 dropped, 1 rejected; nothing was written"]
        complaints = [f"not said: {x}: {r.stdout}" for x in wanted if x not in r.stdout][:1]
        complaints += [] if r.returncode == 0 and "never" not in r.stdout else [r.stderr]
        complaints += [x for x in os.listdir(d) if x not in ("in", "p.yaml")]
        tap.point("try shows each step of so many messages, and writes nothing", complaints)
        for arguments, reason in ((["-n", "0", "x"], "wants a number"), (["-n"], "wants a number"),
                                  ([], "which pipeline?"), (["--all", "x"], "unknown argument")):
            r = lade("try", *arguments)
            tap.point(f"try {' '.join(arguments)}: {reason}",
                      [] if r.returncode == 2 and reason in r.stderr else [r.stderr])
        r = lade("show", "--effective", f"{d}/p.yaml")
        write(f"{d}/again.yaml", r.stdout)
        again = lade("show", "--effective", f"{d}/again.yaml")
        tap.point("show --effective prints what can be read again, and is the same then",
                  [] if r.returncode == again.returncode == 0 and r.stdout == again.stdout
                  and "linger: 50ms" in r.stdout else [r.stdout, r.stderr, again.stderr])
        tap.point("show --effective keeps paths as they are in the file, and says where that is",
                  [] if f"it is to be in {d}/" in r.stdout and "path: in\n" in r.stdout
                  else [r.stdout])
        r = lade("show", f"{d}/p.yaml")
        tap.point("show says what it can show",
                  [] if r.returncode == 2 and "--effective" in r.stderr else [r.stderr])


def slow_source():
    with tempfile.TemporaryDirectory() as d:
        config = write(f"{d}/p.yaml", f"""config: 1
pipeline: slow
source: {{ stdin: {{}} }}
batch: {{ max_messages: 40, linger: 60ms, idle: 20ms, ahead: 2 }}
sink: [ file: {{ path: {d}/out.ndjson }} ]
""")
        p = subprocess.Popen([LADE, "run", config], stdin=subprocess.PIPE, text=True,
                             stderr=subprocess.PIPE)
        for i in range(4):
            p.stdin.write('{"a":%d}\n' % i)
            p.stdin.flush()
            time.sleep(0.15)
        p.stdin.close()
        said = p.stderr.read()
        p.wait(timeout=20)
        out = open(f"{d}/out.ndjson", encoding="utf-8").read()
        tap.point("a source with pauses is read to its end, in batches closed by idle",
                  [] if p.returncode == 0 and out.count("\n") == 4 and "idle 4" in said
                  else [f"status {p.returncode}: {said}: {out!r}"])


def mistakes():
    with tempfile.TemporaryDirectory() as d:
        complaints = []

        def expect(status, pattern, text, verb="check"):
            r = lade(verb, write(f"{d}/m.yaml", text), feed="")
            if r.returncode != status or pattern not in r.stderr:
                complaints.append(f"expected {status} and {pattern!r}, got {r.returncode}: "
                                  f"{r.stderr}")

        head = "config: 1\npipeline: m\n"
        sink = "sink: [ stdout: {} ]\n"
        expect(78, "m.yaml:3:", head + "sourc: { stdin: {} }\n" + sink)
        expect(78, "source", head + "sourc: { stdin: {} }\n" + sink)
        expect(78, "exactly_once", head + "source: { stdin: {} }\n" + sink
               + "delivery: exactly_once\n")
        expect(1, "/nonexistent", head + "source: { file: { path: /nonexistent } }\n" + sink,
               "run")
        expect(78, "kafka", head + "source: { kafka: { topics: [a] } }\n" + sink)
        expect(78, "lade check --keys", head + "xyzzy: 1\n" + sink)
        write(f"{d}/in", '[{"a":1},\n{"a":2}]\n')
        expect(4, "one JSON object a line", head + f"source: {{ file: {d}/in }}\n" + sink, "run")
        write(f"{d}/in", '{"a":1}\n\n')
        expect(4, "the line is empty", head + f"source: {{ file: {d}/in }}\n" + sink, "run")
        write(f"{d}/in", "this is no database at all\n")
        expect(1, f"sink sqlite: {d}/in: file is not a database", head + "source: { stdin: {} }\n"
               f"sink: [ sqlite: {{ path: {d}/in, table: t }} ]\n", "run")
        r = lade("check", d)
        complaints += [] if r.returncode == 78 and "pipeline.yaml" in r.stderr else [r.stderr]
        r = lade("rnu")
        complaints += [] if r.returncode == 2 and "did you mean run?" in r.stderr else [r.stderr]
        r = lade("run", "--quite", "x")
        complaints += [] if r.returncode == 2 and "--quite" in r.stderr.splitlines()[0] \
            and len(r.stderr.splitlines()) == 2 else [r.stderr]
        r = lade("run")
        complaints += [] if r.returncode == 2 else [f"no argument: {r.returncode}"]
        r = lade("run", f"{d}/none.yaml")
        complaints += [] if r.returncode == 78 else [f"no file: {r.returncode}: {r.stderr}"]
        tap.point("mistakes in configuration and arguments say where and what", complaints)


def queries():
    """What a database says about a query is a mistake of the configuration: it has a place."""
    head = "config: 1\npipeline: q\ndatabases: { db: \"sqlite:p.db\" }\nsource: { stdin: {} }\n"
    sink = "sink: [ stdout: {} ]\n"
    transform = """steps:
  - transform:
      query: >
        select i,
          json_object('ä', 1)
        frm batch
"""
    quoted = "steps:\n  - transform: { query: 'select i, nope as value\n     from batch' }\n"
    literal = """steps:
  - name: places
    sql:
      db: db
      keys: { k: "text .k" }
      query: |
        select b.i,
               p.nme
        from batch b join p on p.k = b.k
      into: .p
"""
    substituted = """steps:
  - transform:
      query: "select ${env:LADE_TEST_WORD:-i} nope from batch"
"""
    complaints = []

    def expect(status, place, words, text, *args):
        r = lade(*args, write(f"{d}/q.yaml", text), feed="")
        line = r.stderr.splitlines()[0] if r.stderr else ""
        if r.returncode != status or not line.startswith(f"{d}/q.yaml:{place}: ") or \
                words not in line:
            complaints.append(f"{args}: {r.returncode} {r.stderr!r}, not {status} at {place}")

    with tempfile.TemporaryDirectory() as d:
        for args in (("check",), ("check", "--connect"), ("try",), ("run",)):
            expect(78, "10:13", 'step transform1: the query: near "batch"',
                   head + transform + sink, *args)
        expect(78, "6:36", "no such column: nope", head + quoted + sink, "check")
        expect(78, "7:14", "the query does not return a column named value",
               head + substituted + sink, "check")
        tap.point("what SQLite says about a query comes with its place in the configuration",
                  complaints)

        complaints.clear()
        r = lade("check", write(f"{d}/q.yaml", head + literal + sink))
        if r.returncode:
            complaints.append(f"without the file: {r.returncode}: {r.stderr}")
        if os.path.exists(f"{d}/p.db"):
            complaints.append("check has made the database")
        sqlite3.connect(f"{d}/p.db").execute("create table p (k, name)")
        for args in (("check",), ("check", "--connect"), ("try",), ("run",)):
            expect(1, "12:16", "step places: ", head + literal + sink, *args)
        r = lade("run", "--log", "json", f"{d}/q.yaml")
        end = json.loads(r.stderr.splitlines()[-1])
        if not end.get("message", "").startswith(f"{d}/q.yaml:12:16: "):
            complaints.append(f"as JSON: {r.stderr}")
        tap.point("check prepares a query whose database is there, and passes others by",
                  complaints)


class Flaky(http.server.BaseHTTPRequestHandler):
    """Busy for the first few requests."""
    left = 4

    def do_GET(self):
        Flaky.left -= 1
        self.send_response(503 if Flaky.left >= 0 else 200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"1")

    def log_message(self, *_):
        pass


def summaries():
    """What a run says at its end: each message once, words in the singular, names of any length."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as d:
        config = write(f"{d}/p.yaml", f"""config: 1
pipeline: summed
source: {{ stdin: {{}} }}
batch: {{ max_messages: 1 }}
steps:
  - name: a-service-with-a-name
    http: {{ get: "http://127.0.0.1:{server.server_port}/{{.k}}", into: .x, retries: 0 }}
sink: {{ file: {{ path: {d}/out }} }}
errors: {{ backoff: 1ms..5ms }}
""")
        r = lade("run", config, feed='{"k":1}\n')
        server.shutdown()
        lines = r.stderr.splitlines()
        step = next((x for x in lines if "a-service-with-a-name  " in x), "")
        complaints = [r.stderr] if r.returncode else []
        if " 5 requests for 1 message, 4 tried again, 4 failed; " not in step:
            complaints.append(f"the step: {step!r} {r.stderr}")
        table = [x for x in lines if x.startswith("  ")]
        if len({re.match("  [a-z-]+ +", x).end() for x in table if "/out" not in x}) != 1:
            complaints.append(f"figures do not stand below one another: {table}")
        if not any(x.startswith(f"  file {d}/out") and x.endswith(" 1 written") for x in table):
            complaints.append(f"the sink has no name: {table}")
        tap.point("a summary counts each message once, retries apart, and names its sinks",
                  complaints)


def folders():
    """A file that cannot be made: which folder, why, and what to do."""
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        os.mkdir(f"{d}/closed", 0o755)
        write(f"{d}/closed/there", "")
        os.chmod(f"{d}/closed/there", 0o444)
        head = "config: 1\npipeline: f\nsource: { stdin: {} }\nadmin: none\n"
        nobody = {"user": 65534} if os.geteuid() == 0 else {}
        if not nobody:
            os.chmod(f"{d}/closed", 0o555)

        def expect(path, *words):
            config = write(f"{d}/p.yaml", head + f"sink: {{ file: {{ path: {d}/{path} }} }}\n")
            for verb in (("run",), ("check", "--connect")):
                r = subprocess.run([LADE, *verb, config], input="", text=True, timeout=60,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **nobody)
                if r.returncode != 1 or not r.stderr.startswith(f"{config}:5:") or \
                        not all(w in r.stderr for w in words):
                    complaints.append(f"{verb}, {path}: {r.returncode}: {r.stderr!r}")

        complaints = []
        expect("closed/new", "Permission denied", f"may make no file in the folder {d}/closed;")
        expect("closed/there", "Permission denied", "may not write it")
        expect("no/such/file", "No such file or directory", f"the folder {d}/no/such; make it")
        expect("p.yaml/file", "Not a directory", f"{d}/p.yaml;")
        expect("closed", "Is a directory", "name a file in it")
        os.chmod(f"{d}/closed", 0o755)
        tap.point("a file that cannot be made says which folder, why, and what to do", complaints)


class Away:
    """Commands that wait for a broker, which takes ten seconds, while other tests go on."""

    SOURCE = 'source: { kafka: { brokers: "127.0.0.1:9", topics: [a], group: g } }\n'
    SINK = 'sink: { kafka: { brokers: "127.0.0.1:9", topic: a } }\n'

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.source = self.start("source", self.SOURCE + "sink: { stdout: {} }\n",
                                 "check", "--connect")
        self.sink = self.start("sink", "source: { stdin: {} }\n" + self.SINK, "check", "--connect")
        self.tried = self.start("tried", self.SOURCE + "sink: { stdout: {} }\n",
                                "try", "--timeout", "3s")

    def start(self, name, text, *command):
        config = write(f"{self.folder.name}/{name}.yaml",
                       "config: 1\npipeline: b\nadmin: none\n" + text)
        return subprocess.Popen([LADE, *command, config], stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def brokers_away(away=None):
    """Kafka's troubles begin with what to look at; librdkafka's own words stand behind."""
    away = away or Away()
    words = ["127.0.0.1:9: no broker answers: do they run, are the addresses right", "(", "Local: "]
    for name, p, place in (("source", away.source, "4:18"), ("sink", away.sink, "5:16")):
        said = p.communicate(timeout=60)[1]
        complaints = [w for w in [f"{name}.yaml:{place}: {name} kafka: ", *words]
                      if w not in said.replace("sink kafka a: ", "sink kafka: ")]
        complaints += [] if p.returncode == 1 else [f"status {p.returncode}"]
        tap.point(f"a broker that is away from a {name} comes with what to look at",
                  complaints and [*complaints, said])
    said = away.tried.communicate(timeout=60)[1]
    complaints = [w for w in words if w not in said]
    if said.count("b: source kafka: ") != 1:
        complaints.append("it is not said once")
    tap.point("a try of it says so once", complaints and [*complaints, said])
    away.folder.cleanup()


def another_name():
    """The place in a file is kept by its path as it is written: check says so, and SQL mends it."""
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/in.ndjson", '{"k":1}\n{"k":2}\n')
        text = """config: 1
pipeline: p
admin: none
source: { file: in.ndjson }
sink: { sqlite: { path: o.db, table: t, create: true, columns: { k: "integer .k" } } }
delivery: exactly_once
"""
        config = write(f"{d}/p.yaml", text)
        complaints = [r.stderr for r in (lade("run", config),) if r.returncode]
        r = lade("check", config)
        complaints += [r.stdout] if "is kept by this path" in r.stdout else []
        write(config, text.replace("in.ndjson", f"{d}/in.ndjson"))
        r = lade("check", config)
        if f"p.yaml:4:17: the place in {d}/in.ndjson is kept by this path" not in r.stdout:
            complaints.append(f"check does not say so: {r.stdout}{r.stderr}")
        with sqlite3.connect(f"{d}/o.db") as db:
            db.execute(f"update lade_offsets set topic = '{d}/in.ndjson'"
                       " where pipeline = 'p' and topic = 'in.ndjson'")
        db.close()
        r = lade("run", config)
        got = rows(f"{d}/o.db", "select k from t")
        if r.returncode or got != [(1,), (2,)]:
            complaints.append(f"after the update: {r.returncode} {r.stderr} {got}")
        tap.point("a file that is named otherwise is another one, which check says", complaints)


def tried_in_vain():
    """A try of what is down ends, in time, with what it waited for."""
    head = "config: 1\npipeline: v\nadmin: none\n"
    stdin, sink = "source: { stdin: {} }\n", "sink: { stdout: {} }\n"
    http = 'steps: [ { name: ask, http: { get: "http://127.0.0.1:9/{.k}", into: .x } } ]\n'
    sql = """steps:
  - name: look
    sql: { db: main, keys: { k: "text .k" }, query: "select b.i, 1 as x from batch b", into: .x }
"""
    postgres = 'databases: { main: "postgres://app@127.0.0.1:9/x" }\n'
    kafka = 'source: { kafka: { brokers: "127.0.0.1:9", topics: [a], group: g } }\n'
    cases = (("HTTP", stdin + http + sink, ("ask: http://127.0.0.1:9/1", "connect")),
             ("PostgreSQL", stdin + postgres + sql + sink, ("look: ", "refused")),
             ("a table", "source: { postgres: { db: main, table: t, key: id, xid: x } }\n"
              + postgres + sink, ("refused",)),
             ("Kafka", kafka + sink, ("source kafka: ", "127.0.0.1:9")),
             ("a source that says nothing", stdin + sink, ("no message has come",)))
    with tempfile.TemporaryDirectory() as d:
        began, all_of_them = time.monotonic(), []
        for i, (name, text, words) in enumerate(cases):
            p = subprocess.Popen([LADE, "try", "--timeout", "1s",
                                  write(f"{d}/p{i}.yaml", head + text)], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if "nothing" not in name:
                p.stdin.write('{"k":1}\n')
                p.stdin.flush()
            all_of_them.append((name, words, p))
        for name, words, p in all_of_them:
            try:
                p.wait(60)
            except subprocess.TimeoutExpired:
                p.kill()
            said = p.communicate()[0]
            last = said.splitlines()[-1] if said else ""
            complaints = [w for w in words if w not in last]
            if p.returncode != 1 or "v" != last.partition(":")[0] and ".yaml:" not in last:
                complaints.append(f"status {p.returncode}")
            if "given up after 1 s: " not in last and name != "a table":
                complaints.append("it does not say that it was given up")
            tap.point(f"a try that waits for {name} ends and says so",
                      complaints and complaints + [f"{time.monotonic() - began:.1f} s", said])
    with tempfile.TemporaryDirectory() as d:
        config = write(f"{d}/p.yaml", head + stdin + sink)
        complaints = [f"{w}: {r.returncode} {r.stderr}" for w in ("", "0s", "5", "x", "25h")
                      for r in [lade("try", "--timeout", w, config, feed="")]
                      if r.returncode != 2 or "a duration" not in r.stderr]
        r = lade("try", "--timeout", "500ms", config, feed='{"k":1}\n')
        complaints += [] if r.returncode == 0 and "1 read" in r.stdout else [r.stderr]
        tap.point("--timeout wants a duration, and one that is not reached changes nothing",
                  complaints)


def five_minutes():
    with tempfile.TemporaryDirectory() as d:
        complaints = []
        made = lade("new", f"{d}/my orders")
        commands = [x.strip() for x in made.stdout.splitlines() if x.startswith("  ")]
        if made.returncode or len(commands) != 3:
            complaints.append(made.stdout + made.stderr)
        for command in commands:
            r = subprocess.run(command, shell=True, text=True, timeout=60,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if r.returncode:
                complaints.append(f"{command}: {r.returncode}: {r.stdout}")
        if commands and "Ada" not in r.stdout:
            complaints.append(f"the last command shows: {r.stdout}")
        tap.point("lade new prints three commands, and each succeeds as printed", complaints)
        os.unlink(f"{d}/my orders/pipeline.yaml")
        r = lade("new", f"{d}/my orders")
        tap.point("lade new writes nothing over what is there, nor half of what it makes",
                  [] if r.returncode == 1 and "orders.ndjson: File exists" in r.stderr
                  and not os.path.exists(f"{d}/my orders/pipeline.yaml")
                  else [f"status {r.returncode}: {r.stderr}"])


SIMULATED = """config: 1
pipeline: simulated
databases: { main: "sqlite:places.db" }
source: { file: in.ndjson }
delivery: exactly_once
batch: { max_messages: 7, linger: 20ms }
concurrency: 3
steps:
  - name: place
    sql:
      db: main
      keys: { code: "text .to" }
      query: select b.i, p.name from batch b join p using (code)
      into: .place
  - name: weather
    http: { get: "http://weather.example/{.to}", into: .weather, timeout: 400ms }
sink:
  - sqlite:
      path: out.db
      table: t
      create: true
      columns: { id: "integer .id", name: "text .place.name", wind: "integer .weather.wind" }
"""


def simulate(folder, seed, **env):
    """`lade run` of that pipeline in a simulation: how it ended, its trace, the rows it wrote."""
    os.makedirs(f"{folder}/saved", exist_ok=True)
    r = lade("run", f"{folder}/p.yaml", env={
        "LADE_BACKEND": "sim", "LADE_SEED": str(seed), "LADE_TRACE": f"{folder}/trace",
        "LADE_SIM_HTTP": f"{folder}/services", "LADE_SIM_SAVE": f"{folder}/saved", **env})
    with open(f"{folder}/trace", encoding="utf-8") as f:
        trace = f.read()
    saved = [f"{folder}/saved/{n}" for n in os.listdir(f"{folder}/saved") if n.endswith("out.db")]
    found = rows(saved[0], "select id, name, wind from t order by id") if saved else None
    for name in saved:
        os.unlink(name)
    return r, trace, found


def in_the_simulation():
    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/p.yaml", SIMULATED)
        write(f"{d}/in.ndjson", "".join(f'{{"id":{i},"to":"{"OCL"[i % 3]}"}}\n'
                                        for i in range(40)))
        write(f"{d}/services", "http://weather.example/\t200\t30\t{\"wind\":3}\n"
                               "http://weather.example/O\t200\t30\t{\"wind\":5}\n")
        db = sqlite3.connect(f"{d}/places.db")
        db.execute("create table p(code text, name text)")
        db.executemany("insert into p values (?, ?)", [("O", "Oslo"), ("C", "Cork"),
                                                       ("L", "Lima")])
        db.commit()
        db.close()
        wanted = [(i, ["Oslo", "Cork", "Lima"][i % 3], 5 if i % 3 == 0 else 3)
                  for i in range(40)]
        r, trace, found = simulate(d, 7)
        tap.point("in the simulation a pipeline makes the rows that it makes outside",
                  [] if r.returncode == 0 and found == wanted
                  else [f"status {r.returncode}, {found}: {r.stderr}"])
        tap.point("it writes nothing there",
                  [] if not os.path.exists(f"{d}/out.db") else ["out.db is there"])
        _, again, _ = simulate(d, 7)
        _, other, _ = simulate(d, 8)
        tap.point("one seed is one trace, byte for byte, and another is another",
                  [] if trace == again != other and len(trace) > 1000
                  else [f"{len(trace)}, {len(again)}, {len(other)} bytes"])
        bad = [f"seed {seed}: status {r.returncode}, {found}: {r.stderr}"
               for seed in range(1, 31)
               for r, _, found in [simulate(d, seed, LADE_SIM="cut=700,reset=30,no_name=100")]
               if r.returncode != 0 or found != wanted]
        tap.point("connections that break and names that are not found cost time, and no row", bad)
        r, _, _ = simulate(d, 7, LADE_SIM_HTTP="")
        q = lade("run", f"{d}/p.yaml", env={"LADE_BACKEND": "sim"})
        write(f"{d}/wrong", "# services\nhttp://weather.example/ 200\n")
        w, _, _ = simulate(d, 7, LADE_SIM_HTTP=f"{d}/wrong")
        tap.point("without a table of services, or with a wrong one, it says what is missing",
                  [] if [r.returncode, q.returncode, w.returncode] == [78] * 3
                  and "LADE_SIM_HTTP=TABLE" in q.stderr and f"{d}/wrong:2:" in w.stderr
                  else [f"{p.returncode}: {p.stderr}" for p in (r, q, w)])


def main():
    only = sys.argv[2:]
    for name in only:
        globals()[name]()
    if only:
        tap.done()
    away = Away() if KAFKA_TOO else None
    five_minutes()
    mistakes()
    queries()
    summaries()
    folders()
    if KAFKA_TOO:
        tried_in_vain()
    another_name()
    tried()
    bad_lines()
    refused_rows()
    odd_answers()
    split()
    live_line()
    standard_descriptors()
    locked_database()
    again_does_nothing()
    slow_source()
    service()
    shared_failures()
    same_keys()
    turns()
    long_key()
    signals()
    stdout_that_fails()
    file_too_large()
    connect_changes_nothing()
    stopped_in_a_file()
    beside_the_pipeline()
    in_the_simulation()
    stops_at_random()
    two_processes()
    kill_nine()
    if away:
        brokers_away(away)
    tap.done()


main()
