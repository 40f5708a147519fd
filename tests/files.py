# SPDX-License-Identifier: MIT
"""files.py LADE [NAME...] - `lade run` reading files: by pattern, as they grow, as they are
rotated, cut and replaced, and FIFOs; all of it, or the named functions."""

import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
import folder  # noqa: E402
import tap  # noqa: E402
from folder import PATIENCE_SECONDS, ended, stop  # noqa: E402

LADE = os.path.abspath(sys.argv[1])

PIPELINE = """config: 1
pipeline: files
databases: {{ main: "sqlite:out.db" }}
batch: {{ linger: 5ms }}
source: {{ {source} }}
sink:
  - sqlite:
      {{ db: main, table: t, create: true, columns: {{ k: "integer .k", f: "text @topic" }} }}
delivery: {delivery}
errors: {{ dead_letter: {{ table: dead }} }}
"""


class Folder(folder.Folder):
    """A folder with a pipeline that reads files."""

    def __init__(self, source, delivery="exactly_once"):
        super().__init__(LADE, PIPELINE.format(source=source, delivery=delivery))

    def append(self, name, *numbers):
        self.write(name, "".join(f'{{"k":{n}}}\n' for n in numbers), "a")


def by_pattern():
    with Folder('file: "in-*.ndjson"') as d:
        complaints = ended(d.run(), 1, "in-*.ndjson: no file matches")
        tap.point("a pattern that no file matches is an error", complaints)
        d.append("in-b.ndjson", *range(100, 200))
        d.append("in-a.ndjson", *range(0, 100))
        d.append("other.ndjson", 1000)
        complaints = ended(d.run(), 0, "200 messages")
        if d.rows() != list(range(200)):
            complaints.append(f"rows: {d.rows()}")
        if d.rows("distinct f") != ["in-a.ndjson", "in-b.ndjson"]:
            complaints.append(f"topics: {d.rows('distinct f')}")
        tap.point("files of a pattern are read in the order of their names, a lane each",
                  complaints)
        d.append("in-a.ndjson", 1)
        d.append("in-c.ndjson", 2)
        complaints = ended(d.run(), 0, "2 messages")
        tap.point("a second run reads what is new in each of them, and new ones",
                  complaints + d.wait([*range(200), 1, 2]))
        os.unlink(f"{d.path}/out.db")
        r = d.run(LADE_BACKEND="sim", LADE_SEED="3")
        tap.point("a pattern is read in a simulation as well", ended(r, 0, "202 messages"))


def one_named_like_a_pattern():
    with Folder('file: "in[1].ndjson"') as d:
        d.append("in[1].ndjson", 1, 2)
        d.append("in1.ndjson", 3)
        tap.point("a file whose name looks like a pattern is that file",
                  ended(d.run(), 0, "2 messages") + d.wait([1, 2]))


def as_it_grows():
    with Folder("file: { path: log, follow: true }") as d:
        p = d.start()
        time.sleep(0.3)
        d.append("log", 1, 2)
        complaints = d.wait([1, 2])
        d.write("log", '{"k":', "a")
        time.sleep(0.6)
        complaints += d.wait([1, 2])
        d.write("log", '3}\n{"k":4}\n', "a")
        complaints += d.wait([1, 2, 3, 4]) + stop(p)
        tap.point("a followed file is waited for, and a line until it is whole", complaints)
        d.append("log", 5)
        p = d.start()
        complaints = d.wait([1, 2, 3, 4, 5])
        d.append("log", 6)
        complaints += d.wait([1, 2, 3, 4, 5, 6]) + stop(p)
        tap.point("a follower goes on where it was stopped", complaints)


def new_ones():
    with Folder('file: { path: "*.log", follow: true }') as d:
        p = d.start()
        complaints = []
        for i in range(5):
            d.append(f"{i}.log", 2 * i)
            complaints += d.wait(range(2 * i + 1))
            d.append("0.log", 2 * i + 1)
            complaints += d.wait(range(2 * i + 2))
        tap.point("new files of a pattern are found while others grow", complaints + stop(p))


def rotated():
    with Folder("file: { path: log, follow: true }") as d:
        p, sent, complaints = d.start(), 0, []
        for n in range(6):
            d.append("log", *range(sent, sent + 50))
            sent += 50
            if n == 0:
                complaints += d.wait(range(sent))
            d.rename("log", f"log.{n}")
            if n % 2:
                # Who had it open goes on writing for a moment.
                d.append(f"log.{n}", sent)
                sent += 1
            d.append("log", sent)
            sent += 1
            if n > 3:
                complaints += d.wait(range(sent))
        complaints += d.wait(range(sent)) + stop(p)
        tap.point("a file that is rotated is read to its end before the next", complaints)


def rotated_while_it_is_down():
    with Folder("file: { path: log, follow: true }") as d:
        d.append("log", *range(100))
        p = d.start()
        complaints = d.wait(range(100)) + stop(p)
        d.append("log", *range(100, 150))
        d.rename("log", "log.1")
        d.append("log", *range(150, 170))
        p = d.start()
        complaints += d.wait(range(170)) + stop(p)
        tap.point("what was renamed while nobody read is found and read to its end first",
                  complaints)
    with Folder("file: { path: log, follow: true }") as d:
        d.append("log")
        p = d.start()
        d.wait_claimed()
        p.kill()
        p.communicate()
        d.append("log", 1)
        d.rename("log", "log.1")
        d.append("log", 2)
        p = d.start()
        tap.point("also what was begun, and of which nothing was kept", d.wait([1, 2]) + stop(p))
    with Folder("file: { path: log, follow: true }") as d:
        d.append("log", 1)
        p = d.start()
        complaints = d.wait([1]) + stop(p)
        d.rename("log", "log.2")
        os.unlink(f"{d.path}/log.2")
        d.append("log", 170)
        r = d.run()
        tap.point("what was removed while nobody read stops it, and it says what to do",
                  ended(r, 1, "on_truncate: restart"))


def kills_and_rotations():
    """kill -9 at random moments while a writer appends and rotates: each row once."""
    with Folder("file: { path: log, follow: true }") as d:
        last, chance, done = 3000, random.Random(7), threading.Event()

        def writer():
            generation = 0
            for n in range(last):
                d.append("log", n)
                if chance.random() < 0.004:
                    d.rename("log", f"log.{generation}")
                    generation += 1
                if n % 10 == 0:
                    time.sleep(0.01)
            done.set()

        d.append("log")
        p = d.start()
        d.wait_claimed()
        p.kill()
        p.communicate()
        thread = threading.Thread(target=writer)
        thread.start()
        kills, complaints, p = 0, [], None
        while not done.is_set():
            p = d.start()
            time.sleep(chance.uniform(0.1, 0.6))
            p.kill()
            p.communicate()
            kills += 1
        thread.join()
        p = d.start()
        complaints = d.wait(range(last)) + stop(p)
        rows = d.rows()
        if rows != list(range(last)):
            at = next((i for i, k in enumerate(rows) if k != i), len(rows))
            complaints.append(f"row {at} of {len(rows)}: {rows[at:at + 5]}")
        tap.point("kill -9 while a log is written and rotated: every row once, in order",
                  complaints)
        print(f"# {kills} kills")


def compressed():
    with Folder("file: { path: log, follow: true }") as d:
        d.append("log", 1)
        p = d.start()
        complaints = d.wait([1]) + stop(p)
        d.rename("log", "log.2")
        d.append("log", 2)
        d.write("log.1.gz", "no text")
        time.sleep(0.02)
        d.rename("log", "log.0")
        d.append("log", 3)
        p = d.start()
        said = p.communicate(timeout=60)[0]
        tap.point("a rotated file that is compressed before it was read stops it",
                  complaints + ([] if p.returncode == 1 and "log.1.gz" in said
                                else [f"status {p.returncode}: {said}"]))


def cut():
    with Folder("file: { path: log, follow: true }") as d:
        d.append("log", 1, 2, 3)
        p = d.start()
        complaints = d.wait([1, 2, 3])
        d.write("log", "")
        said = p.communicate(timeout=60)[0]
        complaints += ([] if p.returncode == 1 and "it was cut" in said and "restart" in said
                       else [f"status {p.returncode}: {said}"])
        tap.point("a followed file that is cut stops it, and it says what to do", complaints)
    with Folder("file: { path: log, follow: true, on_truncate: restart }") as d:
        d.append("log", 1, 2, 3)
        p = d.start()
        complaints = d.wait([1, 2, 3])
        d.write("log", "")
        time.sleep(1)
        d.append("log", 4)
        complaints += d.wait([1, 2, 3, 4]) + stop(p)
        p = d.start()
        d.append("log", 5)
        complaints += d.wait([1, 2, 3, 4, 5]) + stop(p)
        tap.point("with on_truncate: restart it is read from its beginning", complaints)


def fifos():
    with Folder("file: { path: pipe, follow: true }", "at_least_once") as d:
        os.mkfifo(f"{d.path}/pipe")
        p = d.start()
        d.append("pipe", 1, 2)
        complaints = d.wait([1, 2])
        d.append("pipe", 3)
        tap.point("a followed FIFO is read on when another one writes to it",
                  complaints + d.wait([1, 2, 3]) + stop(p))
    with Folder("file: pipe", "exactly_once") as d:
        os.mkfifo(f"{d.path}/pipe")
        r = d.run()
        tap.point("exactly_once of a FIFO is refused", ended(r, 78, "cannot be read again"))
    with Folder("file: pipe", "at_least_once") as d:
        os.mkfifo(f"{d.path}/pipe")
        r = subprocess.run([LADE, "check", "p.yaml"], cwd=d.path, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        tap.point("check says that a FIFO is read at most once", ended(r, 0, "at most once"))


def many():
    with Folder('file: "d/*"') as d:
        os.mkdir(f"{d.path}/d")
        for i in range(2000):
            d.append(f"d/{i:04}", i)
        r = d.run()
        tap.point("more files than may be open are read one after the other",
                  ended(r, 0, "2000 messages") + d.wait(range(2000)))
        for i in range(2000, 10001):
            d.append(f"d/{i:05}")
        tap.point("more than 10,000 files are refused, with what to do",
                  ended(d.run(), 1, "more than 10000 files match"))


CSV = """config: 1
pipeline: csv
databases: {{ main: "sqlite:out.db" }}
source: {{ file: {{ path: in.csv{follow} }}, format: csv{csv} }}
batch: {{ linger: 5ms, max_messages: {batch} }}
sink:
  - sqlite:
      {{ db: main, table: t, create: true, columns: {{ k: "integer .k", f: "text? .f" }} }}
delivery: exactly_once
errors: {{ dead_letter: {{ table: dead }}, max_reject_rate: 100% }}
"""


def csv():
    def fresh(text, follow="", csv="", batch=500):
        d.write("p.yaml", CSV.format(follow=follow, csv=csv, batch=batch))
        d.write("in.csv", text)
        for name in ("out.db", "out.db-wal", "out.db-shm"):
            if os.path.exists(f"{d.path}/{name}"):
                os.unlink(f"{d.path}/{name}")

    with Folder("stdin:", "at_least_once") as d:
        fresh('k,f\r\n1,x\r\n2,"a, ""b""\nc"\r\n3,\r\n\r\n4,""')
        complaints = ended(d.run(), 0, "4 messages")
        if d.rows("f") != ["x", 'a, "b"\nc', None, ""]:
            complaints.append(str(d.rows("f")))
        tap.point("records of CSV are messages, also over several lines", complaints)
        fresh('k,f\n1,x\n2\n3,a"b\n4,\xff\n5,y\n6,"z\n7,\n')
        complaints = ended(d.run(), 0, "rejected 3")
        complaints += [] if d.rows() == [1, 4, 5] else [str(d.rows())]
        reasons = d.rows("reason", "dead")
        for reason, wanted in zip(reasons, ("1 fields, where", "a quote stands", "none ends it")):
            complaints += [] if wanted in reason else [reason]
        lines = d.rows("line", "dead")
        complaints += [] if lines == [3, 4, 7] else [f"lines: {lines}"]
        tap.point("bad records are rejected, each with its reason and line", complaints)
        fresh("1;x\n2;y\n", csv=', csv: { delimiter: ";", header: [k, f] }')
        tap.point("a delimiter and names may be given", ended(d.run(), 0) + d.wait([1, 2]))
        fresh("k,k\n1,2\n")
        tap.point("a header that is none stops it and says what to do",
                  ended(d.run(), 1, 'two fields of the name "k"', "header: [a, b]"))
        fresh("k," + "f" * 70000 + "\n1,2\n")
        tap.point("a header beyond its limit stops it",
                  ended(d.run(), 1, "its header is longer than 65534 bytes"))
        d.write("p.yaml", CSV.format(follow="", csv=", csv: { delimiter: ab }", batch=5))
        complaints = ended(d.run(), 78, "a delimiter is one byte")
        d.write("p.yaml", CSV.format(follow="", csv=", csv: { header: [a, a] }", batch=5))
        complaints += ended(d.run(), 78, "two fields of the name")
        tap.point("what no CSV can be is refused", complaints)
        fresh("k,f\n" + "".join(f'{k},"{k}\n"\n' for k in range(20000)), batch=50)
        complaints = []
        for _ in range(5):
            p = d.start()
            time.sleep(0.08)
            p.kill()
            p.communicate()
        complaints = ended(d.run(), 0) + d.wait(range(20000))
        complaints += [] if d.rows("f")[-1] == "19999\n" else d.rows("f")[-1:]
        tap.point("a file of CSV that was left in its middle is read on with its header",
                  complaints)
        fresh("k,", follow=", follow: true")
        p = d.start()
        for part in ("f\n", "1,x\n2", ',"two', '\nlines', '"\n', "3,y\n"):
            time.sleep(0.3)
            d.write("in.csv", part, "a")
        complaints = d.wait([1, 2, 3]) + stop(p)
        complaints += [] if d.rows("f") == ["x", "two\nlines", "y"] else [str(d.rows("f"))]
        tap.point("a followed file of CSV gives a record when it is whole", complaints)


PLAIN = """config: 1
pipeline: plain
source: {{ file: in, format: {format} }}
{steps}
sink: [ {sink} ]
delivery: {delivery}
errors: {{ dead_letter: {{ {dead} }}, max_reject_rate: 100% }}
"""
TO_TABLE = """sqlite: { path: out.db, table: t, create: true,
            columns: { k: "integer @line", f: "text ." } }"""
TO_OBJECTS = """steps:
  - transform: { fields: { t: "text .", at: "integer @offset" },
                 query: "select i, json_object('m', m, 't', t, 'at', at) as value from batch" }
  - transform: { fields: { t: "text .t", at: "integer .at" }, query: "select i, json_object('m',
                 m->>'$.m', 't', t, 'at', at) as value from batch" }"""


def plain():
    lines = [b"plain", b"", b'{"k": 1}', b'"quoted" \\', "Grüße".encode(), b"tab\t\r\x01", b"007"]
    odd = [b"\xff\xfe", b"\xed\xa0\x80", b"ab\x00c"]

    def fresh(what, **how):
        d.write("p.yaml", PLAIN.format(**{"steps": "", "sink": "file: out", "dead": "file: dead",
                                          "delivery": "at_least_once", **how}))
        with open(f"{d.path}/in", "wb") as f:
            f.write(b"".join(x + b"\n" for x in what))
        for name in ("out", "dead", "out.db", "out.db-wal", "out.db-shm"):
            if os.path.exists(f"{d.path}/{name}"):
                os.unlink(f"{d.path}/{name}")

    def came(name="out"):
        with open(f"{d.path}/{name}", "rb") as f:
            return f.read().split(b"\n")[:-1]

    with Folder("stdin:", "at_least_once") as d:
        fresh(lines + odd, format="bytes")
        tap.point("bytes are handed on as they came",
                  ended(d.run(), 0, "10 messages", "rejected 0") +
                  ([] if came() == lines + odd else [str(came())]))
        fresh(lines + odd, format="text")
        complaints = ended(d.run(), 0, "10 messages", "rejected 2")
        complaints += [] if came() == lines + odd[2:] else [str(came())]
        dead = [json.loads(x) for x in came("dead")]
        if [(x.get("value_base64"), x["line"]) for x in dead] != [("//4=", 8), ("7aCA", 9)]:
            complaints.append(str(dead))
        if "byte 0xff is not UTF-8 here at byte 0" not in dead[0]["error"]:
            complaints.append(str(dead))
        tap.point("text is UTF-8, or rejected, and handed on as it came", complaints)
        fresh(lines, format="text", sink=TO_TABLE, delivery="exactly_once", dead="table: dead")
        complaints = ended(d.run(), 0, "rejected 0")
        if d.rows("f") != [x.decode() for x in lines]:
            complaints.append(str(d.rows("f")))
        tap.point("a text is one value, at the path .", complaints)
        fresh(lines, format="text", steps=TO_OBJECTS)
        complaints = ended(d.run(), 0, "rejected 0")
        got = [json.loads(x) for x in came()]
        if [(x["m"], x["t"]) for x in got] != [(x.decode(), x.decode()) for x in lines]:
            complaints.append(str(got))
        tap.point("a transform makes objects of texts, which m is in SQL", complaints)
        fresh([b"5", b"x", b"7"], format="text",
              sink=TO_TABLE.replace("text .", "integer ."))
        tap.point("a text converts, or the message is rejected",
                  ended(d.run(), 0, "rejected 1") + d.wait([1, 3]))
        r = subprocess.run([LADE, "try", "p.yaml"], cwd=d.path, text=True, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        tap.point("`lade try` shows texts as JSON", ended(r, 0, '"x"'))


TESTS = [csv, plain, by_pattern, one_named_like_a_pattern, as_it_grows, new_ones, rotated,
         rotated_while_it_is_down, compressed, kills_and_rotations, cut, fifos, many]


def main():
    for test in [globals()[name] for name in sys.argv[2:]] or TESTS:
        test()
    tap.done()


main()
