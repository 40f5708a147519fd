# SPDX-License-Identifier: MIT
"""real_verbs.py LADE [NAME...] - `lade offsets`, `lade dlq` and `lade run --processes` on a real
Kafka and a real PostgreSQL; all cases, or the named ones."""

import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "house"))
sys.path.insert(0, os.path.join(HERE, "components"))
import tap  # noqa: E402
from component import Unavailable  # noqa: E402
from folder import PATIENCE_SECONDS, Folder, ended, stop  # noqa: E402
from kafka import Kafka  # noqa: E402
from postgres import Postgres  # noqa: E402

LADE = os.path.abspath(sys.argv[1])
PARTITIONS = 3

SOURCE = """config: 1
pipeline: {name}
source: {{ kafka: {{ brokers: "{servers}", topics: [{name}], group: {name} }} }}
batch: {{ linger: 5ms }}
"""
INTO_SQLITE = """databases: { main: "sqlite:out.db" }
sink: { sqlite: { db: main, table: t, create: true, columns: { k: "integer .k" } } }
"""
INTO_POSTGRES = """databases: {{ main: "{url}" }}
sink: {{ postgres: {{ db: main, table: {name}, columns: {{ k: "integer .k" }} }} }}
delivery: exactly_once
"""


def lade(d, *args):
    return subprocess.run([LADE, *args], cwd=d.path, text=True, timeout=90,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def wait_for(what):
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if what():
            return []
        time.sleep(0.05)
    return ["it did not come"]


def send(k, topic, numbers, **more):
    """Numbers into partitions by turns, each with its number for a time, too."""
    from confluent_kafka import Producer
    p = Producer({"bootstrap.servers": k.servers})
    for n in numbers:
        p.produce(topic, json.dumps({"k": n}), key=f"key-{n}", partition=n % PARTITIONS,
                  timestamp=1700000000000 + n * 1000, **more)
    p.flush()


def table_of(text):
    """The rows of `offsets show`: partition -> next offset, begin, end, lag."""
    return {int(r[0]): r[1:] for r in re.findall(
        r"^\S+ +(\d+) +(\d+|-) +(\d+|-) +(\d+|-) +(\d+|-) ", text, re.M)}


def expect(what, got, wanted):
    return [] if got == wanted else [f"{what}: {got}, not {wanted}"]


def offsets_of_a_group(k, _):
    k.create("group", PARTITIONS)
    send(k, "group", range(30))
    with Folder(LADE, SOURCE.format(name="group", servers=k.servers) + INTO_SQLITE) as d:
        r = lade(d, "offsets", "show", "p.yaml")
        tap.point("of a group that has never been the log is shown",
                  ended(r, 0, "group group: there is none yet")
                  + expect("rows", table_of(r.stdout), {n: ("-", "0", "10", "-")
                                                        for n in range(3)}))
        p = d.start()
        complaints = d.wait(range(30))
        complaints += wait_for(lambda: sum(max(o, 0) for o in
                                           k.committed("group", "group").values()) == 30)
        r = lade(d, "offsets", "show", "p.yaml")
        tap.point("offsets of a group are shown with lag and members", complaints
                  + ended(r, 0, "group group: Stable, 1 member\n", "lade at 127.0.0.1")
                  + expect("rows", table_of(r.stdout), {n: ("10", "0", "10", "0")
                                                        for n in range(3)}))
        tap.point("while it has members none is set, whatever is said", [
            c for more in ((), ("--force",)) for c in ended(
                lade(d, "offsets", "set", *more, "p.yaml", "group", "earliest"), 1,
                "the group group has 1 member (lade at", "stop them first")])
        complaints = stop(p)
        tap.point("a number wants a partition, and to be in its log", complaints
                  + ended(lade(d, "offsets", "set", "p.yaml", "group", "3"), 1,
                          "has 3 partitions: which?")
                  + ended(lade(d, "offsets", "set", "--part", "1", "p.yaml", "group", "11"), 1,
                          "has the offsets 0 to 10, and not 11")
                  + ended(lade(d, "offsets", "set", "--part", "7", "p.yaml", "group", "1"), 1,
                          "no offset is kept of group, partition 7; there are: group/0"))
        complaints = ended(lade(d, "offsets", "set", "--part", "1", "p.yaml", "group", "8"), 0,
                           "group, partition 1: was 10, is 8; the next run")
        p = d.start()
        complaints += d.wait([*range(30), 25, 28]) + stop(p)
        tap.point("the next run goes on where it was set", complaints)
        complaints = ended(lade(d, "offsets", "set", "p.yaml", "group",
                                "2023-11-14T22:13:47.500Z"), 0, "partition 2: was 10, is 9")
        r = lade(d, "offsets", "show", "p.yaml")
        tap.point("a time is the first message of that time or later", complaints
                  + expect("rows", {n: x[0] for n, x in table_of(r.stdout).items()},
                           {0: "10", 1: "9", 2: "9"}))
        complaints = ended(lade(d, "offsets", "set", "p.yaml", "group", "latest"), 0, "is 10") + \
            ended(lade(d, "offsets", "set", "p.yaml", "group", "earliest"), 0,
                  "partition 0: was 10, is 0", "partition 2: was 10, is 0")
        tap.point("earliest and latest are of all partitions", complaints)


def offsets_in_postgres(k, pg):
    pg.sql("create table inpg (k int8)")
    k.create("inpg", PARTITIONS)
    send(k, "inpg", range(30))

    def rows():
        return sorted(r[0] for r in pg.sql("select k from inpg"))
    text = SOURCE.format(name="inpg", servers=k.servers) + \
        INTO_POSTGRES.format(name="inpg", url=pg.url)
    with Folder(LADE, text) as d:
        tap.point("before the first run PostgreSQL keeps none", ended(
            lade(d, "offsets", "show", "p.yaml"), 0, "inpg: no offsets are kept yet"))
        p = d.start()
        complaints = wait_for(lambda: rows() == list(range(30)))
        r = lade(d, "offsets", "show", "p.yaml")
        complaints += ended(r, 0, f"process {p.pid} on", ", which runs", "1 member") + expect(
            "rows", table_of(r.stdout), {n: ("10", "0", "10", "0") for n in range(3)})
        tap.point("offsets in PostgreSQL are shown with lag and process", complaints)
        tap.point("and not set while the group has members", ended(
            lade(d, "offsets", "set", "--part", "0", "p.yaml", "inpg", "5"), 1, "--force"))
        complaints = ended(lade(d, "offsets", "set", "--force", "--part", "0", "p.yaml", "inpg",
                                "5"), 0, "was 10, is 5, epoch 2")
        send(k, "inpg", [30])
        complaints += wait_for(lambda: 30 in rows())
        tap.point("with --force the lane is taken away, and what was read of it is read again",
                  complaints + stop(p))
        before = len(rows())
        complaints = ended(lade(d, "offsets", "set", "p.yaml", "inpg", "earliest"), 0,
                           "partition 0: was 11, is 0", "partition 2: was 10, is 0")
        p = d.start()
        complaints += wait_for(lambda: len(rows()) == before + 31)
        tap.point("from the beginning all is written again", complaints + stop(p))
    pg.sql("create table infile (k int8)")
    with Folder(LADE, "config: 1\npipeline: infile\nsource: { file: in.ndjson }\n"
                + INTO_POSTGRES.format(name="infile", url=pg.url)) as d:
        d.write("in.ndjson", "".join(json.dumps({"k": n}) + "\n" for n in range(9)))
        complaints = ended(d.run(), 0)
        tap.point("a file's offset in PostgreSQL is a line's beginning", complaints
                  + ended(lade(d, "offsets", "set", "p.yaml", "in.ndjson", "10"), 1,
                          "which begins at byte 9")
                  + ended(lade(d, "offsets", "set", "p.yaml", "in.ndjson", "2026-01-01"), 1,
                          "only messages of Kafka have a time")
                  + ended(lade(d, "offsets", "set", "p.yaml", "in.ndjson", "72"), 0, "is 72")
                  + ended(d.run(), 0, "1 message"))
        pg.sql("update lade_offsets set owner = 'process 1 on elsewhere' where topic = 'in.ndjson'")
        tap.point("whoever runs on another host is not seen, and told", ended(
            lade(d, "offsets", "set", "p.yaml", "in.ndjson", "earliest"), 1,
            "process 1 on elsewhere had this lane last")
            + ended(lade(d, "offsets", "set", "--force", "p.yaml", "in.ndjson", "earliest"), 0))


def main():
    wanted = sys.argv[2:]
    try:
        with Kafka() as k, Postgres() as pg:
            for test in TESTS:
                if not wanted or test.__name__ in wanted:
                    test(k, pg)
    except Unavailable as e:
        if e.is_failure():
            raise
        print(f"1..0 # SKIP {e}")
        return
    tap.done()


TESTS = [offsets_of_a_group, offsets_in_postgres]

if __name__ == "__main__":
    main()
