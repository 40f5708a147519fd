# SPDX-License-Identifier: MIT
"""verbs.py LADE [NAME...] - a running pipeline looked at from outside: /metrics and /health, `lade
top` and `lade tap`; and the verbs that need none: all of it, or the named functions."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import folder  # noqa: E402
import tap  # noqa: E402

LADE = os.path.abspath(sys.argv[1])
PATIENCE_SECONDS = 60

LIVE = """config: 1
pipeline: live
databases: { main: "sqlite:out.db" }
batch: { linger: 5ms, max_messages: 100 }
source: { file: { path: in.ndjson, follow: true } }
steps:
  - name: double
    transform:
      fields: { k: "integer .k" }
      query: >
        select i, json_object('k', k, 'twice', 2 * k) as value from batch where k <> 13
sink:
  - sqlite: { db: main, table: t, create: true, columns: { k: "integer .k" } }
delivery: exactly_once
unhealthy_after: 1s
errors: { dead_letter: { table: dead } }
"""


class Live(folder.Folder):
    """A pipeline that follows a file, with a folder of its own for sockets."""

    def __init__(self, more="metrics: 127.0.0.1:0\n"):
        super().__init__(LADE, LIVE + more)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=f"{self.path}/run")
        os.mkdir(f"{self.path}/run", 0o700)
        self.write("in.ndjson", "")
        self.running = []

    def __exit__(self, *_):
        for p in self.running:
            if p.poll() is None:
                p.kill()
            p.wait()
        super().__exit__()

    def start(self, *args):
        log = open(f"{self.path}/log{len(self.running)}", "w", encoding="utf-8")
        p = subprocess.Popen([LADE, "run", *args, "p.yaml"], cwd=self.path, env=self.env,
                             stdout=log, stderr=log)
        self.running.append(p)
        return p

    def log(self, i=0):
        with open(f"{self.path}/log{i}", encoding="utf-8") as f:
            return f.read()

    def port(self):
        """The port of the metrics, once it is said."""
        return int(until(lambda: re.search(r"metrics at port (\d+)", self.log()))[1])

    def add(self, *numbers):
        self.write("in.ndjson", "".join(f'{{"k":{n}}}\n' for n in numbers), "a")

    def lade(self, *args, **options):
        return subprocess.run([LADE, *args], cwd=self.path, env=self.env, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def socket(self, name="live"):
        return f"{self.path}/run/lade/{name}.sock"


def until(ask, what="what was waited for did not come"):
    """What @ask says, once it is something."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (said := ask()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)
    return said


def get(port, path, method="GET"):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request(method, path)
    r = c.getresponse()
    return r.status, r.getheader("Content-Type"), r.read().decode()


def raw(port, text):
    """What is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(text)
        got = b""
        while part := s.recv(65536):
            got += part
    return got.decode()


def expect(*pairs):
    """A complaint for each (what, is, should be) that differs."""
    return [f"{what}: {a!r}, not {b!r}" for what, a, b in pairs if a != b]


def within(text, *words):
    return [f"no {w!r} in: {text!r}" for w in words if w not in text]


def ended(r, status, *words):
    """What is wrong with how a command ended, and what it said."""
    return expect(("status", r.returncode, status)) + within(r.stdout + (r.stderr or ""), *words)


def figures(text):
    """{"name{labels}": value} of Prometheus' text; complains in place of a value."""
    got = {}
    for line in text.splitlines():
        if m := re.fullmatch(r"([a-z_]+\{[^}]*\}) ([0-9.e+-]+)", line):
            got[m[1].replace('pipeline="live",', "").replace('pipeline="live"', "")] = float(m[2])
        elif not re.fullmatch(r"# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge|histogram))", line):
            got[f"not understood: {line}"] = 1
    return got


def metrics():
    with Live() as d:
        d.start()
        port = d.port()
        d.add(*range(10, 210))
        d.write("in.ndjson", "no message\n", "a")
        got = until(lambda: (f := figures(get(port, "/metrics")[2]))
                    and f["lade_messages_in_total{}"] == 201
                    and f["lade_in_flight_messages{}"] == 0 and f)
        tap.point("figures say what was read, written, dropped, rejected and kept", expect(
            *((n, got.get(n), v) for n, v in {
                "lade_messages_out_total{}": 199, "lade_messages_dropped_total{}": 1,
                "lade_messages_rejected_total{}": 1, "lade_dead_letters_total{}": 1,
                "lade_batch_messages_count{}": got['lade_batch_messages_bucket{le="+Inf"}'],
                "lade_batch_messages_sum{}": 201, "lade_message_seconds_count{}": 201,
                'lade_lane_offset{lane="in.ndjson",part="0"}':
                    os.path.getsize(f"{d.path}/in.ndjson"),
                'lade_lane_lag_bytes{lane="in.ndjson",part="0"}': 0,
                'lade_step_asked_total{step="double"}': 200,
                'lade_sink_written_total{sink="sqlite t"}': 199,
                'lade_sink_down_seconds{sink="sqlite t"}': 0,
                "lade_oldest_message_seconds{}": 0}.items()))
            + [n for n in got if n.startswith("not")])
        text = get(port, "/metrics")[2]
        buckets = [float(v) for v in re.findall(r'lade_step_seconds_bucket\{[^}]*\} (\S+)', text)]
        closed = sum(v for n, v in got.items() if n.startswith("lade_batches_total"))
        tap.point("buckets grow up to the count, and every batch has a reason",
                  expect(("buckets", buckets, sorted(buckets)), ("closed", closed,
                         got["lade_batch_messages_count{}"]))
                  + ([] if len(buckets) > 10 and buckets[-1] > 0 else [f"buckets: {buckets}"]))
        names = re.findall(r"^# TYPE (\S+)", text, re.M)
        bare = {re.sub(r"_(bucket|sum|count)$", "", n) for n in re.findall(r"^([a-z_]+)\{", text,
                                                                          re.M)}
        tap.point("each metric has its HELP and TYPE once, before its values",
                  expect(("twice", sorted(set(names)), sorted(names)),
                         ("without", sorted(bare - set(names)), [])))
        tap.point("a finished pipeline is healthy",
                  expect(("health", get(port, "/health"),
                          (200, "text/plain; charset=utf-8", "ok\n"))))


def odd_requests():
    with Live() as d:
        d.start()
        port = d.port()
        complaints = expect(("404", get(port, "/metric")[0], 404),
                            ("405", get(port, "/metrics", "POST")[0], 405),
                            ("HEAD", get(port, "/metrics", "HEAD")[::2], (200, "")),
                            ("query", get(port, "/health?full=1")[0], 200))
        for text, status in ((b"\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"\0\n\n", 400),
                             (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000, 431),
                             (b"GET /metrics SPDY\r\n\r\n", 400)):
            got = raw(port, text)
            complaints += within(got[:40], f"HTTP/1.1 {status} ")
        tap.point("what is no request for a page gets the status that says so", complaints)
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
        began = time.monotonic()
        said = get(port, "/health")[0]
        took = time.monotonic() - began
        tap.point("connections that say nothing are ended after a while, and others get their turn",
                  expect(("health", said, 200))
                  + ([] if 3 < took < 25 else [f"it took {took:.1f} s"])
                  + within(idle[0].recv(100).decode(), "408"))
        for s in idle:
            s.close()


def a_port_that_is_taken():
    with Live(), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Live(f"metrics: 127.0.0.1:{port}\n") as d:
            tap.point("a port that is taken is an error, before anything is read",
                      ended(d.lade("run", "p.yaml"), 1, f"127.0.0.1:{port} is taken",
                            "choose another port"))
    with Live("metrics: localhost:80\n") as d:
        tap.point("a name is no address to listen at", ended(
            d.lade("check", "p.yaml"), 78, 'p.yaml:17:10: metrics.listen: "localhost:80" is no'))
    with Live("metrics: :9464\n") as d:
        tap.point("an address that everybody reaches is pointed out", ended(
            d.lade("check", "p.yaml"), 0, "anybody who reaches :9464"))


def a_sink_that_is_down():
    with Live() as d:
        d.start()
        port = d.port()
        d.add(1)
        d.wait([1])
        db = sqlite3.connect(f"{d.path}/out.db", isolation_level=None)
        db.execute("begin exclusive")
        d.add(2)
        status, _, text = until(lambda: (h := get(port, "/health"))[0] == 503 and "is down" in h[2]
                                and h)
        tap.point("a sink that is down for too long fails /health, with the message and its place",
                  expect(("status", status, 503))
                  + within(text, "the oldest message (in.ndjson, byte 8) is unfinished for",
                           "it waits for sink", "sink sqlite t is down since", "locked"))
        picture = d.lade("top", "--once").stdout
        tap.point("top names the oldest message, what it waits for, and the sink that is down",
                  within(picture, "oldest    in.ndjson, byte 8:", "waits for sink sqlite",
                         "  down for ", "locked", "1 in flight"))
        db.execute("rollback")
        until(lambda: get(port, "/health")[0] == 200)
        tap.point("when it is back the message is written, and all is well", d.wait([1, 2]))


def top():
    with Live() as d:
        tap.point("without a running pipeline top says where it looked",
                  ended(d.lade("top"), 1, "no pipeline runs", f"{d.path}/run/lade"))
        d.start()
        until(lambda: os.path.exists(d.socket()))
        mode = os.stat(d.socket()).st_mode & 0o777
        tap.point("the socket is its user's alone", expect(
            ("mode", oct(mode), "0o600"),
            ("folder", oct(os.stat(f"{d.path}/run/lade").st_mode & 0o777), "0o700")))
        d.add(*range(100, 400))
        d.wait([*range(100, 400)])
        for args in ((), ("live",), ("p.yaml",), (d.socket(),)):
            r = d.lade("top", "--once", *args)
            tap.point(f"top --once {' '.join(args).replace(d.path, '')} prints one picture",
                      ended(r, 0, "live: process", "300 in, 300 out", "closed by items 3",
                            "double               transform", "sqlite t", "in.ndjson",
                            "p50", "0 bytes")
                      + ([] if "\033" not in r.stdout else ["it moves the cursor"]))
        tap.point("another name is an error that says which there are",
                  ended(d.lade("top", "--once", "lives"), 1, "no pipeline listens", "live"))
        script = subprocess.run(["script", "-qec", f"{LADE} top", "/dev/null"], input=b"q",
                                cwd=d.path, env=dict(d.env, TERM="xterm"), timeout=60,
                                stdout=subprocess.PIPE)
        tap.point("on a terminal it is drawn in place, until q", expect(
            ("status", script.returncode, 0))
            + within(script.stdout.decode(), "\033[?1049h", "live: process", "\033[?1049l")
            + within(script.stdout.decode(), "-/s in, -/s out"))


def several_processes():
    with Live("") as d:
        first = d.start()
        until(lambda: os.path.exists(d.socket()))
        second = d.start()
        other = d.socket(f"live-{second.pid}")
        until(lambda: os.path.exists(other))
        tap.point("a second process of a pipeline has a socket with its number",
                  within(d.log(1), f"live-{second.pid}")
                  + ended(d.lade("top", "--once"), 2, "which pipeline?", f"live-{second.pid}")
                  + ended(d.lade("top", "--once", f"live-{second.pid}"), 0,
                          f"process {second.pid}"))
        first.kill()
        first.wait()
        d.start()
        until(lambda: f"process {d.running[2].pid}" in d.lade("top", "--once", "live").stdout)
        tap.point("a socket that a killed process left is replaced", [])
        second.kill()
        second.wait()
        tap.point("a process that was killed is not among those that run",
                  ended(d.lade("top", "--once"), 0, f"process {d.running[2].pid}")
                  + ([other] if os.path.exists(other) else []))
        d.running[2].send_signal(signal.SIGTERM)
        d.running[2].wait(timeout=60)
        tap.point("who ends takes its socket away",
                  expect(("left", os.listdir(f"{d.path}/run/lade"), [])))
    with Live("admin: { socket: own.sock }\n") as d:
        d.start()
        until(lambda: os.path.exists(f"{d.path}/own.sock"))
        tap.point("a socket's name that was asked for and is taken is an error", ended(
            d.lade("run", "p.yaml"), 1, "own.sock is the socket of a process that runs"))
        tap.point("the pipeline's file says where its socket is",
                  ended(d.lade("top", "--once", "p.yaml"), 0, "live: process"))
    with Live("admin: none\n") as d:
        d.start()
        d.add(1)
        tap.point("without a socket nothing is made", d.wait([1])
                  + expect(("folder", os.path.exists(f"{d.path}/run/lade"), False))
                  + ended(d.lade("top", "p.yaml"), 1, "has no socket"))
    with Live("") as d:
        os.mkdir(f"{d.path}/run/lade", 0o755)
        d.start()
        d.add(1)
        tap.point("a folder that others can read is not used, which is told",
                  d.wait([1]) + within(d.log(), "its folder is not this user's alone"))


def taps():
    with Live("") as d:
        d.start()
        until(lambda: os.path.exists(d.socket()))
        p = subprocess.Popen([LADE, "tap", "double", "--n", "3"], cwd=d.path, env=d.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        numbers = iter(range(100, 10000000))

        def feed():
            d.add(*(next(numbers) for _ in range(10)))
            return p.poll() is not None
        until(feed)
        got = [json.loads(line) for line in p.stdout.read().splitlines()]
        tap.point("tap prints so many messages as they are behind the step",
                  expect(("how many", len(got), 3), ("status", p.returncode, 0),
                         ("twice", [m["twice"] for m in got], [2 * m["k"] for m in got])))
        tap.point("a step that is not there is an error that says which there are",
                  ended(d.lade("tap", "dubble"), 1, "no step 'dubble'; there are source, double"))
        p = subprocess.Popen([LADE, "tap", "source", "live", "--every", "50", "--n", "4"],
                             cwd=d.path, env=d.env, text=True, stdout=subprocess.PIPE)
        until(feed)
        got = [json.loads(line)["k"] for line in p.stdout.read().splitlines()]
        tap.point("of the source each so many-th is shown, as it was read",
                  expect(("distances", [b - a for a, b in zip(got, got[1:])], [50, 50, 50])))
        tap.point("a number that is none is refused", ended(d.lade("tap", "source", "--n", "0"),
                                                            2, "--n wants a number"))


def a_slow_reader():
    with Live("") as d:
        d.write("in.ndjson", "".join(f'{{"k":{n},"x":"{"x" * 5000}"}}\n' for n in range(2000)))
        d.start()
        with socket.socket(socket.AF_UNIX) as s:
            until(lambda: s.connect_ex(d.socket()) == 0)  # it is there before anybody listens
            s.sendall(b'{"ask":"tap","step":"source"}\n')
            s.settimeout(60)
            more = range(2000, 6000)
            d.write("in.ndjson", "".join(f'{{"k":{n},"x":"{"x" * 5000}"}}\n' for n in more), "a")
            complaints = d.wait([k for k in range(6000) if k != 13])
            got = s.recv(1 << 20)
            while b'"lost":' not in got:
                d.write("in.ndjson", '{"k":13}\n', "a")
                got = got[-100:] + s.recv(1 << 20)
        tap.point("a slow reader does not hold the pipeline up; it loses samples and is told",
                  complaints)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(d.socket())
            for ask, said in ((b"x\n", "a request is a JSON object"),
                              (b'{"ask":1}\n', "ask for top, health or tap"),
                              (b'{"ask":"' + b"x" * 5000 + b'"}\n', "at most 4,096 bytes"),
                              (b'{"ask":"health"}\n', '"healthy":true')):
                s.sendall(ask)
                complaints += within(s.recv(65536).decode(), said)
        tap.point("what is no request is answered with what is one", complaints)
        several = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for s in several:
            s.connect(d.socket())
            s.sendall(b'{"ask":"tap","step":"source"}\n')
            time.sleep(0.05)
        several[4].settimeout(60)
        tap.point("a fifth who looks is told to come later",
                  within(several[4].recv(65536).decode(), "others look already"))
        for s in several:
            s.close()


STEPS = """config: 1
pipeline: steps
databases: {{ main: "sqlite:places.db" }}
source: {{ kafka: {{ brokers: "none:9092", topics: [places], group: g }} }}
steps:
  - name: places
    sql:
      db: main
      keys: {{ id: "integer .id" }}
      query: select b.i, p.name, p.size from batch b join places p on p.id = b.id
      into: .place
      {sql}
  - name: rates
    http: {{ get: "http://rates.example/{{.id}}", into: .rate, retries: 1 {http} }}
  - name: shape
    transform:
      fields: {{ id: "integer .id", place: "json? .place", rate: "json? .rate", k: "text? @key" }}
      query: >
        select i, json_object('id', id, 'place', json(place), 'rate', json(rate), 'k', k) as value
        from batch where id <> 13
sink: {{ stdout: }}
"""

GIVEN = """pipeline: p.yaml
cases:
  - name: one
    input:
{input}
    answers:
      rates: [ {{ url: "http://rates.example/7", body: {{ eur: 1.50 }} }},
               {{ url: "http://rates.example/8", status: 503 }} ]
{more}
"""


def cases(given, more, sql="", http="", rows=((7, "Oslo", 3),)):
    """How `lade test` ends with this case."""
    with folder.Folder(LADE, STEPS.format(sql=sql, http=http)) as d:
        db = sqlite3.connect(f"{d.path}/places.db")
        db.execute("create table places(id integer, name text, size integer)")
        db.executemany("insert into places values (?, ?, ?)", rows)
        db.commit()
        db.close()
        os.mkdir(f"{d.path}/t")
        os.rename(f"{d.path}/p.yaml", f"{d.path}/t/p.yaml")
        os.rename(f"{d.path}/places.db", f"{d.path}/t/places.db")
        d.write("t/cases.yaml", GIVEN.format(
            input="".join(f"      - {line}\n" for line in given),
            more="".join(f"    {line}\n" for line in more)))
        r = subprocess.run([LADE, "test", "t/cases.yaml"], cwd=d.path, text=True, timeout=60,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        r.left = sorted(os.listdir(f"{d.path}/t"))
        return r


def test_verb():
    keep = ", on_error: keep"
    r = cases(["{ value: { id: 7 }, key: here }", "{ id: 13 }", "{ id: 9 }"],
              ["output:",
               "  - { id: 7, place: { size: 3, name: Oslo }, rate: { eur: 1.5 }, k: here }",
               "  - '{\"id\":9,\"rate\":null,\"place\":{},\"k\":null}'", "dropped: 1"])
    tap.point("lade test: a database is read for real, a service is simulated, nothing is written",
              ended(r, 65, "output 2 (line 14), .place: expected {}, found null")
              + expect(("left", r.left, ["cases.yaml", "p.yaml", "places.db"])))
    r = cases(["{ id: 7 }", "'no JSON'", "{ id: x }"],
              ["output: [ { id: 7, place: { size: 3, name: Oslo }, rate: { eur: 1.5 }, k: } ]",
               "rejected: [ { input: 2, step: source }, { step: places, reason: .id } ]"])
    tap.point("rejected messages are expected with step and reason",
              ended(r, 0, "ok   t/cases.yaml:3: one", "1 case passed"))
    r = cases(["{ id: 7 }", "{ id: 13 }"], ["output: []", "rejected: [ { step: places } ]",
                                            "dropped: 0"])
    tap.point("each thing that differs is told with its place", ended(
        r, 65, "FAIL t/cases.yaml:3: one", 'output 1: not expected, of input 1: {"id":7',
        "rejected (line 12): expected one by places, found none", "dropped: expected 0, found 1",
        "1 of 1 cases failed"))
    r = cases(["{ id: 8 }"], ["output: [ { id: 8, place: , rate: , k: } ]"], http=keep)
    tap.point("a reply of 503 is tried again and then kept without", ended(r, 0, "1 case passed"))
    r = cases(["{ id: 8 }"], ["output: []"])
    tap.point("what would be tried for ever fails after an hour of simulated time", ended(
        r, 65, "step rates still fails after an hour of simulated time", "503"))
    r = cases(["{ id: 1 }", "{ id: 2 }"], [
        "  places: [ { id: 1, name: A }, { id: 1, name: B } ]",
        "output:", "  - { id: 1, place: [ { name: A }, { name: B } ], rate: , k: }",
        "  - { id: 2, place: [], rate: , k: }"], sql="many: true")
    tap.point("rows that the case gives are in place of the database",
              ended(r, 0, "1 case passed"))
    with tempfile.TemporaryDirectory() as d:
        os.mkdir(f"{d}/o")
        for path, cwd in ((f"{d}/o/p.yaml", "/"), ("p.yaml", f"{d}/o")):
            with open(f"{d}/o/p.yaml", "w", encoding="utf-8") as f:
                f.write("config: 1\npipeline: p\nsource: { stdin: {} }\nsink: { stdout: {} }\n")
            r = subprocess.run([LADE, "test", path], cwd=cwd, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, timeout=60)
            written = re.search(r"Write (\S+),\n((?:  .*\n)+)and run lade test (\S+);", r.stdout)
            complaints = ended(r, 78, f"{path}:1:1: this is a pipeline")
            if not written:
                complaints.append(f"it does not show how: {r.stdout}")
            else:
                with open(os.path.join(cwd, written[1]), "w", encoding="utf-8") as f:
                    f.write(written[2])
                complaints += ended(subprocess.run([LADE, "test", written[3]], cwd=cwd, text=True,
                                                   stdout=subprocess.PIPE, timeout=60), 0,
                                    "1 case passed")
            tap.point(f"given a pipeline, {'away' if cwd == '/' else 'here'}, it shows cases"
                      " that can be pasted and run", complaints)
    for line, words in (
            ("outputs: []", ("unknown key 'outputs'; did you mean output?", ":10:5:")),
            ("output: [ '{' ]", ("expected JSON:", ":10:15:")),
            ("dropped: some", ("dropped: expected a number", ":10:14:")),
            ("output: [ { value: 1, kee: 2 } ]", ("unknown key 'kee'; did you mean key?",))):
        tap.point(f"lade test: {line} is refused with its place",
                  ended(cases(["{ id: 7 }"], [line]), 78, *words))
    r = cases(["{ id: 7 }"], ["  shape: []"])
    tap.point("answers of a step that asks nobody are refused",
              ended(r, 78, "the pipeline has no step 'shape' that asks anybody"))
    r = subprocess.run([LADE, "test", "/nonexistent.yaml"], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    tap.point("a file that is not there is wrong", ended(r, 78, "/nonexistent.yaml: No such file"))
    example = os.path.join(tap.ROOT, "examples/flights/cases.yaml")
    r = subprocess.run([LADE, "test", example], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    tap.point("the example's cases pass", ended(r, 0, "4 cases passed"))


LETTERS = """config: 1
pipeline: letters
source: {{ file: in.ndjson }}
steps:
  - name: gate
    sql:
      db: main
      keys: {{ k: "integer .k", open: "integer? .open" }}
      query: select b.i, 1 as ok from batch b join gate g on g.k = b.k
      into: .gate
      on_missing: reject
databases: {{ main: "sqlite:out.db" }}
sink:
  - sqlite:
      {{ db: main, table: t, columns: {{ k: "integer .k", at: "integer @offset" }} }}
delivery: {delivery}
errors: {{ max_reject_rate: 100%, dead_letter: {{ {dead} }} }}
"""


class Letters(folder.Folder):
    """A pipeline that rejects what its table does not know."""

    def __init__(self, dead, delivery="exactly_once"):
        super().__init__(LADE, LETTERS.format(dead=dead, delivery=delivery))
        self.sql("create table gate(k integer); create table t(k integer, at integer);"
                 "insert into gate values (1), (2)")

    def sql(self, text):
        db = sqlite3.connect(f"{self.path}/out.db")
        db.executescript(text)
        db.close()

    def lade(self, *args):
        return subprocess.run([LADE, *args], cwd=self.path, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def dlq():
    for dead, name in (("table: dead", "dead of out.db"), ("file: dead.ndjson", "dead.ndjson")):
        delivery = "exactly_once" if dead.startswith("table") else "at_least_once"
        with Letters(dead, delivery) as d:
            tap.point(f"dlq, {dead}: none yet is none", ended(
                d.lade("dlq", "list", "p.yaml"), 0, f"{name}: 0 dead letters"))
            d.write("in.ndjson", '{"k":1}\n{"k":3}\n{"k":4}\nbad \\ \x01\n{"k":5}\n{"k":2}\n')
            complaints = ended(d.run(), 0, "6 messages")
            r = d.lade("dlq", "list", "p.yaml")
            complaints += ended(r, 0, f"{name}: 4 dead letters", "the query has no row for it")
            counts = re.findall(r"^ +(\d+)  .*?  +(\d+) +(\w+) +(.*)$", r.stdout, re.M)
            complaints += expect(("groups", [(n, s) for n, _, s, _ in counts],
                                  [("3", "gate"), ("1", "source")]))
            tap.point(f"dlq list, {dead}: letters are counted by step and error", complaints)
            tap.point(f"dlq show, {dead}: one is printed whole", ended(
                d.lade("dlq", "show", "p.yaml", counts[1][1]), 0, "step          source",
                "offset 24, line 4", "bad \\ \x01\n")
                + ended(d.lade("dlq", "show", "p.yaml", "123456"), 1, "no letter 123456")
                + ended(d.lade("dlq", "show", "p.yaml", "x"), 2, "is no ID"))
            d.sql("insert into gate values (4), (5)")
            r = d.lade("dlq", "replay", "--step", "nope", "p.yaml")
            tap.point(f"dlq replay, {dead}: a step that is not there is told with those that are",
                      ended(r, 2, "no step 'nope'", "there are source, ", "gate"))
            tap.point(f"dlq replay, {dead}: of one step, those that pass are written", ended(
                d.lade("dlq", "replay", "--step", "gate", "p.yaml"), 0,
                "3 replayed: 2 written, 0 dropped, 1 rejected again")
                + expect(("rows", sorted(d.rows("k || ':' || at")),
                          sorted(["1:0", "4:16", "5:32", "2:40"]))))
            tap.point(f"dlq list, {dead}: what is left are those that did not", ended(
                d.lade("dlq", "list", "p.yaml"), 0, "2 dead letters", "gate", "source"))
            tap.point(f"dlq replay, {dead}: a letter that is rejected again is still there", ended(
                d.lade("dlq", "replay", "p.yaml"), 0,
                "2 replayed: 0 written, 0 dropped, 2 rejected again")
                + ended(d.lade("dlq", "list", "p.yaml"), 0, "2 dead letters"))
            d.sql("insert into gate values (3)")
            for crash in range(3):
                more = range(1000 * (crash + 1), 1000 * (crash + 2))
                d.write("in.ndjson", "".join(f'{{"k":{k}}}\n' for k in more), "a")
            d.run()
            d.sql("with recursive n(k) as (select 1000 union all select k + 1 from n"
                  " where k < 3999) insert into gate select k from n")
            for delay in (0.02, 0.03, 0.05, 0.08):
                p = subprocess.Popen([LADE, "dlq", "replay", "p.yaml"], cwd=d.path,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(delay)
                p.kill()
                p.wait()
            r = d.lade("dlq", "replay", "p.yaml")
            tap.point(f"dlq replay, {dead}: killed at any moment it loses none",
                      ended(r, 0, "replayed")
                      + expect(("rows", sorted({int(k) for k in d.rows()}),
                                [1, 2, 3, 4, 5, *range(1000, 4000)]))
                      # A kill between a letter that is written anew and its end doubles it.
                      + ended(d.lade("dlq", "list", "p.yaml"), 0, " dead letter", "source"))
    with Letters("file: dead.ndjson", "at_least_once") as d:
        letter = {"pipeline": "letters", "topic": "in.ndjson", "partition": 0, "offset": 0,
                  "line": 1, "step": "gate", "error": "", "attempts": 1,
                  "first_failure": "2026-11-22T20:00:00Z", "value": "x"}
        errors = ['.at: "x1" is no number', '.at: "y" is no number', ".at: 17 is no \"n\" at 3",
                  "http://h:80/at/7: status 422", "http://h:80/at/8: status 422",
                  "http://h:80/at/8: status 413", "the column's type, the row's 'a' at 2026-01-02",
                  "the column's type, the row's 'b c' at 2025-12-31", "x (SQLSTATE 23505): id=1",
                  "x (SQLSTATE 23502): id=1", "x (SQLSTATE 23505): id=5f3a"]
        d.write("dead.ndjson", "".join(json.dumps(dict(letter, offset=n, error=e)) + "\n"
                                       for n, e in enumerate(errors)))
        r = d.lade("dlq", "list", "p.yaml")
        tap.point("dlq list groups errors that differ in their values alone, with an example",
                  ended(r, 0, "11 dead letters", '.at: "…" is no number\n', 'as: .at: "x1" is no',
                        "http://h:80/…: status 422\n", "http://h:80/at/8: status 413\n",
                        "the column's type, the row's '…' at N\n",
                        "x (SQLSTATE 23505): id=N\n", "x (SQLSTATE 23502): id=1\n",
                        '.at: 17 is no "n" at 3')
                  + expect(("kinds", len(re.findall(r" gate ", r.stdout)), 7)))
    text = LETTERS.format(dead="file: dead.ndjson", delivery="at_least_once")
    text = text.replace("in.ndjson }", "in.csv, format: csv }")
    with Letters("file: dead.ndjson", "at_least_once") as d:
        d.write("p.yaml", text)
        d.write("in.csv", "k,open\n1,\n5,\n2,x,y\n")
        complaints = ended(d.run(), 0, "3 messages")
        d.sql("insert into gate values (5)")
        tap.point("of CSV a letter of a step is an object, and replayed as that", complaints
                  + ended(d.lade("dlq", "replay", "p.yaml"), 0,
                          "2 replayed: 1 written, 0 dropped, 1 rejected again")
                  + expect(("rows", d.rows(), [1, 5])))
        d.write("in.csv", '\ufeffk,"open",more\r\n')
        tap.point("what was no record of CSV is read again by the header as it is now", ended(
            d.lade("dlq", "replay", "p.yaml"), 0, "1 replayed: 0 written, 0 dropped, 1 rejected")
            + ended(d.lade("dlq", "list", "p.yaml"), 0, "gate", '.open: "x" is not'))
        d.write("in.csv", "k,open\n2,3,4\n")
        d.write("dead.ndjson", "")
        d.run()
        os.unlink(f"{d.path}/in.csv")
        tap.point("without the file the header is wanted from the pipeline", ended(
            d.lade("dlq", "replay", "p.yaml"), 1, "in.csv: its header cannot be read (No such"))
        d.write("p.yaml", text.replace("format: csv",
                                       "format: csv, csv: { header: [k, a, open] }"))
        tap.point("and is taken from there", ended(
            d.lade("dlq", "replay", "p.yaml"), 0, "1 replayed: 1 written"))
    with Letters("file: dead.ndjson", "at_least_once") as d:
        d.write("in.ndjson", '{"k":7}\n')
        d.run()
        d.lade("dlq", "replay", "p.yaml")
        os.unlink(f"{d.path}/dead.ndjson")
        d.write("in.ndjson", '{"k":8}\n')
        d.run()
        tap.point("a new file of letters is not taken for the one that was replayed", ended(
            d.lade("dlq", "list", "p.yaml"), 0, "1 dead letter\n"))
        d.write("dead.ndjson", '{"k":8}x\n', "a")
        tap.point("what is no letter is told with its place", ended(
            d.lade("dlq", "list", "p.yaml"), 1, "is no dead letter of lade"))
    with Live("") as d:
        d.write("p.yaml", "config: 1\npipeline: x\nsource: { stdin: }\nsink: { stdout: }\n")
        tap.point("a pipeline without dead letters says how to have them", ended(
            d.lade("dlq", "list", "p.yaml"), 1, "dead_letter: { file: rejected.ndjson }"))


def offsets():
    with Live("") as d:
        tap.point("before the first run no offsets are kept", ended(
            d.lade("offsets", "show", "p.yaml"), 0, "no offsets are kept yet")
            + ended(d.lade("offsets", "set", "p.yaml", "in.ndjson", "0"), 1, "it has not run"))
        d.add(10, 11, 12)
        p = d.start()
        d.wait([10, 11, 12])
        tap.point("offsets are shown with the process that has them", ended(
            d.lade("offsets", "show", "p.yaml"), 0, "in.ndjson", " 27 ",
            f"process {p.pid}, which runs"))
        tap.point("set is refused while a process has the lane", ended(
            d.lade("offsets", "set", "p.yaml", "in.ndjson", "0"), 1,
            f"process {p.pid} runs the pipeline", "--force"))
        tap.point("with --force it is set, and that process writes nothing more", ended(
            d.lade("offsets", "set", "--force", "p.yaml", "in.ndjson", "9"), 0,
            "was 27, is 9, epoch 2"))
        d.add(14)
        p.wait(timeout=60)
        tap.point("the one that was fenced says who has taken over",
                  expect(("status", p.returncode, 1))
                  + within(d.log(), "lade offsets set) has taken this pipeline over"))
        for to, word in (("10", "byte 10 is within a line, which begins at byte 9"),
                         ("1000", "has 36 bytes"), ("-1", "unknown argument"),
                         ("x", "an offset is a number")):
            r = d.lade("offsets", "set", "p.yaml", "in.ndjson", to)
            tap.point(f"{to} is no offset of the file", within(r.stderr, word)
                      + ([] if r.returncode in (1, 2) else [f"status {r.returncode}"]))
        tap.point("another topic is told which there are", ended(
            d.lade("offsets", "set", "p.yaml", "out.ndjson", "0"), 1, "there are: in.ndjson/0"))
        d.start()
        tap.point("the next run goes on where it was set", d.wait([10, 11, 12, 11, 12, 14]))
        d.write("q.yaml", "config: 1\npipeline: x\nsource: { file: in.ndjson }\n"
                          "sink: { stdout: }\n")
        tap.point("at_least_once keeps no offsets of files", ended(
            d.lade("offsets", "show", "q.yaml"), 1, "each run reads its files from their"))


def new():
    r = subprocess.run([LADE, "new"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pairs = re.findall(r"\w+-\w+", r.stderr.partition("pairs:")[2])
    tap.point("lade new lists its pairs", expect(("status", r.returncode, 2)) + (
        [] if {"file-sqlite", "stdin-stdout", "file-file"} <= set(pairs) else [r.stderr]))
    message = '{"id":1,"customer":"Ada","cents":1200}\n{"id":2,"customer":"Eve","cents":12}\n'
    for pair in pairs:
        with folder.Folder(LADE, "") as d:
            def lade(*args, **options):
                return subprocess.run([LADE, *args], cwd=d.path, text=True, timeout=60,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
            complaints = ended(lade("new", pair, "n.yaml"), 0, "n.yaml is there", "check n.yaml")
            complaints += ended(lade("check", "n.yaml"), 0, f"ok: {pair}")
            complaints += ended(lade("new", pair, "n.yaml"), 1, "File exists")
            with open(f"{d.path}/n.yaml", encoding="utf-8") as f:
                complaints += expect(("stdout", lade("new", pair).stdout, f.read()))
            d.write("orders.ndjson", message)
            source, sink = pair.split("-")
            if source in ("file", "stdin") and sink in ("sqlite", "file", "stdout"):
                r = lade("run", "n.yaml", input=message)
                complaints += ended(r, 0, "2 messages in ", "1, dropped 1, rejected 0")
                wanted = {"id": 1, "customer": "Ada", "euros": 12.0}
                if sink == "sqlite":
                    db = sqlite3.connect(f"{d.path}/orders.db")
                    got = db.execute("select id, customer, euros from orders").fetchall()
                    db.close()
                    complaints += expect(("rows", got, [tuple(wanted.values())]))
                elif sink == "file":
                    with open(f"{d.path}/large.ndjson", encoding="utf-8") as f:
                        complaints += expect(("lines", json.loads(f.read()), wanted))
                else:
                    complaints += expect(("stdout", json.loads(r.stdout), wanted))
            tap.point(f"lade new {pair} writes a pipeline that works", complaints)
    r = subprocess.run([LADE, "new", "file-nowhere", "x.yaml"], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    tap.point("a pair that is not there is told", ended(r, 2, "there is no pair 'file-nowhere'"))
    with folder.Folder(LADE, "") as d:
        def make(name):
            return subprocess.run([LADE, "new", name], cwd=d.path, text=True, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        complaints = []
        for name in ("kafka-mysql", "sqlite-file"):
            complaints += ended(make(name), 2, f"there is no pair '{name}'", "pairs:", f"./{name}")
        complaints += ended(make("./kafka-mysql"), 0, "pipeline.yaml")
        complaints += ended(make("my-orders"), 0, "pipeline.yaml")
        tap.point("a folder is not taken for a pair that is not there, nor made of one",
                  complaints)


def logs():
    with Live("") as d:
        d.start("--log", "json")
        d.add(1)
        d.wait([1])
        db = sqlite3.connect(f"{d.path}/out.db", isolation_level=None)
        db.execute("begin exclusive")
        d.add(2)
        until(lambda: '"trouble"' in d.log())
        time.sleep(3)  # it goes on failing
        db.execute("rollback")
        complaints = d.wait([1, 2])
        until(lambda: '"recovered"' in d.log())
        d.running[0].send_signal(signal.SIGTERM)
        d.running[0].wait(timeout=60)
        lines = [json.loads(line) for line in d.log().splitlines()]
        events = [e["event"] for e in lines]
        tap.point("with --log json each line is an object, and a failure one line, not one each",
                  complaints + expect(
                      ("trouble", events.count("trouble"), 1),
                      ("recovered", events.count("recovered"), 1),
                      ("last", events[-2:], ["summary", "end"]),
                      ("figures", [lines[-2][n] for n in ("in", "out", "rejected")], [2, 2, 0]),
                      ("status", lines[-1]["status"], 0),
                      ("names", {e["pipeline"] for e in lines}, {"live"}))
                  + [f"no time: {e}" for e in lines
                     if not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", e["time"])])
        tap.point("another log is refused", ended(d.lade("run", "--log", "xml", "p.yaml"), 2,
                                                  "--log wants json or text"))
    with Live("") as d:
        d.write("p.yaml", LIVE.replace("follow: true", "follow: false").replace(
            "errors: { dead_letter: { table: dead } }\n", ""))
        d.write("in.ndjson", 'b\x01d "\n')
        r = d.lade("run", "--log", "json", "--quiet", "p.yaml")
        last = json.loads(r.stderr.splitlines()[-1])
        tap.point("what has lines of its own is one line of JSON", expect(
            ("status", r.returncode, 4), ("event", last["event"], "end"),
            ("exit", last["status"], 4)) + within(last["message"], "\n", "dead_letter"))


def man_page():
    said = subprocess.run([LADE, "--help"], stdout=subprocess.PIPE, text=True).stdout
    verbs = re.findall(r"^  ([a-z]+)  ", said, re.M)
    path = f"{os.path.dirname(os.path.abspath(__file__))}/../man/lade.1.scd"
    with open(path, encoding="utf-8") as f:
        synopsis, described = f.read().split("# DESCRIPTION", 1)
    tap.point("each verb of --help is in the man page's synopsis, and described",
              [v for v in verbs if f"*lade* *{v}*" not in synopsis]
              + [v for v in verbs if f"\n*{v}*" not in described]
              + ([] if len(verbs) > 9 else [said]))


def short_options():
    def lade(*args):
        r = subprocess.run([LADE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
        return r.returncode, r.stdout, r.stderr
    verbs = re.findall(r"^  ([a-z]+)  ", lade("--help")[1], re.M)
    tap.point("-h behind a verb is --help", [
        f"{v}: {lade(v, '-h')}" for v in verbs
        if lade(v, "-h") != lade(v, "--help") or lade(v, "-h")[0] != 0]
        + ([] if len(verbs) > 9 else [verbs]))
    tap.point("-V and version are --version", expect(
        ("-V", lade("-V"), lade("--version")), ("version", lade("version"), lade("--version")),
        ("status", lade("-V")[0], 0)))


ALL = (man_page, short_options, metrics, odd_requests, a_port_that_is_taken, a_sink_that_is_down,
       top, several_processes, taps, a_slow_reader, test_verb, dlq, offsets, new, logs)


for test in ALL:
    if len(sys.argv) < 3 or test.__name__ in sys.argv[2:]:
        test()
tap.done()
