# SPDX-License-Identifier: MIT
"""postgres.py LADE [NAME...] - `lade run` with a real PostgreSQL: files into a table exactly once,
enrichment, what is refused, and what happens to a server; all cases, or the named ones."""

import json
import os
import random
import signal
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

HEAD = """config: 1
pipeline: {name}
databases: {{ main: "{url}" }}
source: {{ file: {{ path: in.ndjson, follow: {follow} }} }}
batch: {{ max_messages: 100, linger: 5ms }}
"""
SINK = """sink:
  - postgres: {{ db: main, table: {table}, {more} }}
delivery: {delivery}
errors: {{ backoff: 10ms..200ms, max_reject_rate: 100%{errors} }}
"""
LETTERS = ", dead_letter: { table: dead }"
COLUMNS = "columns: { k: \"integer .k\", v: \"text? .v\" }"
STEP = """steps:
  - sql:
      db: main
      keys: {{ k: "integer .k" }}
      query: "{query}"
      into: .found
      {more}
"""


def pipeline(p, name, table, steps="", follow="false", delivery="exactly_once", more=COLUMNS,
             errors=LETTERS):
    return HEAD.format(name=name, url=p.url, follow=follow) + steps + \
        SINK.format(table=table, more=more, delivery=delivery, errors=errors)


def lines(numbers, **more):
    return "".join(json.dumps({"k": n, **more}) + "\n" for n in numbers)


def column(p, table, what="k"):
    return [r[0] for r in p.sql(f"select {what} from {table} order by 1")]


def holds(p, table, numbers, what="k"):
    got, wanted = column(p, table, what), sorted(numbers)
    if got == wanted:
        return []
    return [f"{table}: {len(got)} rows, not {len(wanted)}: missing "
            f"{sorted(set(wanted) - set(got))[:5]}, too many {sorted(set(got) - set(wanted))[:5]}"]


def wait_for(p, table, numbers):
    """Until the table holds these."""
    until = time.monotonic() + PATIENCE_SECONDS
    complaints = ["never looked"]
    while complaints and time.monotonic() < until:
        try:
            complaints = holds(p, table, numbers)
        except Exception as e:  # the server is away, or the table not there yet
            complaints = [str(e)]
        time.sleep(0.02)
    return complaints


def end_of(run):
    """What a run says that ends by itself; one that does not is killed, and said to."""
    try:
        return run.communicate(timeout=PATIENCE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        run.kill()
        return f"it did not end: {run.communicate()[0]}"


def check(d, *arguments):
    return subprocess.run([LADE, "check", *arguments, "p.yaml"], cwd=d.path, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def file_into_a_table(p):
    p.sql("create table a (k int8 primary key, v text)")
    with Folder(LADE, pipeline(p, "a", "a")) as d:
        d.write("in.ndjson", lines(range(1000), v="x"))
        complaints = ended(d.run(), 0, "1000 messages") + holds(p, "a", range(1000))
        tap.point("a file is read into a table", complaints)
        complaints = ended(d.run(), 0) + holds(p, "a", range(1000))
        d.write("in.ndjson", lines(range(1000, 1100)), "a")
        complaints += ended(d.run(), 0, "100 messages") + holds(p, "a", range(1100))
        tap.point("a second run goes on behind what was written", complaints)


def killed(p):
    p.sql("create table b (k int8 primary key, v text)")
    chance, count = random.Random(5), 100000
    with Folder(LADE, pipeline(p, "b", "b", STEP.format(
            query="select i, pg_sleep(0.002)::text as nap from batch where k % 50 = 0",
            more="timeout: 30s"))) as d:
        d.write("in.ndjson", lines(range(count)))
        kills = 0
        while kills < 12:
            run, before = d.start(), p.sql("select count(*) from b")[0][0]
            while run.poll() is None and p.sql("select count(*) from b")[0][0] == before \
                    and kills % 3:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.1))
            run.send_signal(signal.SIGKILL)
            run.communicate()
            kills += 1
        part = p.sql("select count(*) from b")[0][0]
        complaints = ended(d.run(), 0) + holds(p, "b", range(count))
        if not 0 < part < count:
            complaints.append(f"{part} rows after the kills: nothing was interrupted")
        tap.point("kill -9 at random moments loses nothing and doubles nothing", complaints)


def enriched(p):
    p.sql("create table c (k int8, v text)")
    p.sql("create table names (k int8 primary key, name text, price numeric(8,2), since"
          " timestamptz, tags jsonb)")
    p.sql("insert into names select i, 'n' || i, i / 4.0, to_timestamp(i), '{\"a\":[1]}'"
          " from generate_series(0, 99) i")
    steps = STEP.format(query="select b.i, n.name, n.price, n.since, n.tags from batch b join names"
                              " n on n.k = b.k % 200;", more="cache: { ttl: 60s }")
    with Folder(LADE, pipeline(p, "c", "c", steps,
                               more="columns: { k: \"integer .k\", v: \"json? .found\" }")) as d:
        d.write("in.ndjson", lines(range(400)))
        p.sql("alter table c alter v type jsonb using v::jsonb")
        complaints = ended(d.run(), 0, "400 messages", "queries for 400 messages")
        rows = dict(p.sql("select k, v from c"))
        wanted = {"name": "n7", "price": 1.75, "since": "1970-01-01T00:00:07.000000Z",
                  "tags": {"a": [1]}}
        if rows.get(7) != wanted or rows.get(207) != wanted or rows.get(107) is not None:
            complaints.append(f"{rows.get(7)} {rows.get(207)} {rows.get(107)}")
        tap.point("messages get what one query per batch has found", complaints)
        shown = subprocess.run([LADE, "show", "--effective", "p.yaml"], cwd=d.path, text=True,
                               stdout=subprocess.PIPE, check=False).stdout
        complaints = [] if "# with batch(i, \"k\") as (select" in shown else [shown]
        d.write("p.yaml", pipeline(p, "c", "c", steps).replace(
            p.url, p.url.replace(":secret@", "@") + "?sslmode=disable&password=secret&user=app"))
        shown += subprocess.run([LADE, "show", "--effective", "p.yaml"], cwd=d.path, text=True,
                                stdout=subprocess.PIPE, check=False).stdout
        if "secret" in shown or "password=***&user=app" not in shown:
            complaints.append("the password is shown")
        tap.point("what is sent is shown, and the password is not", complaints)
    for query, word in (("select b.i, i::text::interval as x from batch b", "cast it"),
                        ("select 1 as x from batch b", "must return b.i"),
                        ("select b.i, k from nowhere b", "p.yaml:10:34: step sql1: main: "
                         "relation \"nowhere\" does not exist (SQLSTATE 42P01); create the table"),
                        ("insert into c select k from batch returning k as i", "SQLSTATE"),
                        ("select 1; select 2", "SQLSTATE 42601")):
        with Folder(LADE, pipeline(p, "c2", "c", STEP.format(query=query, more=""))) as d:
            d.write("in.ndjson", lines(range(4)))
            tap.point(f"the query is refused: {query}", ended(check(d, "--connect"), 1, word))


def poison(p):
    p.sql("create table e (k int8 primary key, v text check (v <> 'bad'), n int2)")
    bad = {17: {"v": "bad"}, 333: {"v": "nul\0"}, 501: {"n": 70000}, 502: {"n": 70000},
           503: {"n": "x"}, 777: {"k": 776}}
    with Folder(LADE, pipeline(p, "e", "e", more="extra: reject")) as d:
        d.write("in.ndjson", "".join(json.dumps({"k": n, "v": "x", "n": 1, **bad.get(n, {})}) + "\n"
                                     for n in range(1000)))
        d.write("in.ndjson", "not json\n" + lines([2000], v="y", other=1), "a")
        complaints = ended(d.run(), 0, "rejected 8")
        complaints += holds(p, "e", set(range(1000)) - set(bad))
        reasons = [r[0] for r in p.sql("select reason from dead order by line")]
        wanted = ["e_v_check", "", "out of range", "out of range", "not an integer",
                  "already exists", "", "no column other"]
        if len(reasons) != 8 or not all(w in r for w, r in zip(wanted, reasons)):
            complaints.append(f"{reasons}")
        tap.point("each bad row stands alone, with its reason, and the rest is written", complaints)
    p.sql("create table e2 (k int8 primary key, v text)")
    with Folder(LADE, pipeline(p, "e2", "e2", errors="")) as d:
        d.write("in.ndjson", lines(list(range(50)) + [3] + list(range(50, 60))))
        complaints = ended(d.run(), 4, "already exists", "dead_letter") + holds(p, "e2", [])
        tap.point("without dead letters the first one stops it, and nothing is written",
                  complaints)
    with Folder(LADE, pipeline(p, "e3", "e2")) as d:
        d.write("in.ndjson", lines([3] * 100 + list(range(4, 8))))
        complaints = ended(d.run(), 0, "rejected 99") + holds(p, "e2", range(3, 8))
        tap.point("rows that are in each other's way: the later ones are rejected", complaints)


def upserts(p):
    p.sql("create table f (k int8, part int8, v text, version int8, n serial, primary key"
          " (part, k))")
    more = "key: [part, k], on_conflict: {}, {} columns: {{ part: \"integer @partition\", " \
        "k: \"integer .k\", v: \"text .v\", version: \"integer? .version\" }}"
    with Folder(LADE, pipeline(p, "f", "f", more=more.format("update", ""))) as d:
        d.write("in.ndjson", "".join(lines([n % 10], v=str(n)) for n in range(995)))
        complaints = ended(d.run(), 0, "995 written") + holds(p, "f", range(10))
        if column(p, "f", "v") != sorted(str(n) for n in range(985, 995)):
            complaints.append(str(column(p, "f", "v")))
        tap.point("one key many times in a batch: the last one counts", complaints)
    with Folder(LADE, pipeline(p, "f2", "f", more=more.format("update", "version: version,"))) as d:
        d.write("in.ndjson", "".join(json.dumps({"k": 3, "v": f"v{n}", "version": n}) + "\n"
                                     for n in (1, 5, 3)))
        complaints = ended(d.run(), 0)
        d.write("in.ndjson", lines([3], v="old", version=4) + lines([3], v="v6", version=6), "a")
        complaints += ended(d.run(), 0)
        d.write("in.ndjson", lines([3], v="older", version=2), "a")
        complaints += ended(d.run(), 0)
        if p.sql("select v from f where k = 3") != [("v6",)]:
            complaints.append(str(p.sql("select * from f")))
        tap.point("with a version only a newer row replaces one", complaints)
    with Folder(LADE, pipeline(p, "f3", "f", more=more.format("nothing", ""))) as d:
        d.write("in.ndjson", lines([3, 20, 20], v="late"))
        complaints = ended(d.run(), 0)
        if p.sql("select k, v from f where k in (3, 20) order by 1") != [(3, "v6"), (20, "late")]:
            complaints.append(str(p.sql("select * from f")))
        tap.point("with nothing the row that is there stays", complaints)


def schema(p):
    p.sql("create table g (k int8 not null, v text, must text not null)")
    for table, more, words in (
            ("g", COLUMNS, ("must", "has no default")),
            ("nosuch", COLUMNS, ("no such table", "create table nosuch (\"k\" int8 not null")),
            ("g", "columns: { k: \"integer .k\", must: \"text .v\", nope: \"text .v\" }",
             ("nope", "no such column")),
            ("g", "key: [k], on_conflict: update, columns: { k: \"integer .k\","
                  " must: \"text .v\" }", ("create unique index on public.g (\"k\")",)),
            ("g", "columns: { k: \"timestamp .k\", must: \"text .v\" }", ("cannot cast",))):
        with Folder(LADE, pipeline(p, "g", table, more=more)) as d:
            d.write("in.ndjson", "")
            tap.point(f"check --connect says what is missing: {words[0]}",
                      ended(check(d, "--connect"), 1, *words))
    with Folder(LADE, pipeline(p, "g2", "g2", more="create: true, key: [k], " + COLUMNS)) as d:
        d.write("in.ndjson", lines(range(5), v="x"))
        complaints = ended(check(d, "--connect"), 0)
        if p.sql("select to_regclass('g2')") != [(None,)]:
            complaints.append("check has made the table")
        complaints += ended(d.run(), 0) + holds(p, "g2", range(5))
        tap.point("a table is made when that is asked for, and not by check", complaints)
    p.sql("create table g3 (id bigserial primary key, k int8, v text, at timestamptz default"
          " now() not null, twice int8 generated always as (k * 2) stored)")
    with Folder(LADE, pipeline(p, "g3", "g3", more="extra: ignore")) as d:
        d.write("in.ndjson", lines(range(5), v="x", other=1))
        complaints = ended(d.run(), 0) + holds(p, "g3", range(1, 6), "id")
        complaints += holds(p, "g3", range(0, 10, 2), "twice")
        tap.point("columns are found by name, and defaults are used", complaints)
    with Folder(LADE, pipeline(p, "g4", "g2").replace(p.url, p.url.replace("secret", "s3cr3t"))) \
            as d:
        d.write("in.ndjson", "")
        r = check(d, "--connect")
        complaints = ended(r, 1, "28P01", "p.yaml:")
        if "s3cr3t" in r.stdout:
            complaints.append("the password is said")
        tap.point("a wrong password is said, without the password", complaints)


def restarted(p):
    p.sql("create table h (k int8 primary key, v text)")
    with Folder(LADE, pipeline(p, "h", "h", STEP.format(
            query="select i, k as same from batch", more=""), follow="true")) as d:
        d.write("in.ndjson", lines(range(500)))
        run = d.start()
        complaints = wait_for(p, "h", range(500))
        p.stop()
        d.write("in.ndjson", lines(range(500, 1000)), "a")
        time.sleep(0.3)
        p.start()
        complaints += wait_for(p, "h", range(1000))
        for n in range(5):
            at = 1000 + n * 500
            d.write("in.ndjson", lines(range(at, at + 500)), "a")
            time.sleep(0.02 * n)
            p.kill()
            p.start()
            complaints += wait_for(p, "h", range(at + 500))
        complaints += stop(run)
        tap.point("a server that is stopped or killed is waited for: nothing lost or doubled",
                  complaints)
    with Folder(LADE, pipeline(p, "h2", "h", follow="true")) as d:
        d.write("in.ndjson", lines(range(3500, 3600)))
        p.stop()
        run = d.start()
        time.sleep(0.3)
        p.start()
        complaints = wait_for(p, "h", range(3600)) + stop(run)
        tap.point("a server that is not there yet is waited for", complaints)


def cut(p):
    """Connections end in the middle of whatever they do."""
    p.sql("create table j (k int8 primary key, v text)")
    with Folder(LADE, pipeline(p, "j", "j", STEP.format(
            query="select i, k as same from batch", more=""))) as d:
        d.write("in.ndjson", lines(range(30000)))
        run, cuts = d.start(), 0
        while run.poll() is None:
            cuts += p.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where"
                          " application_name = 'lade j'")[0][0]
            time.sleep(0.01)
        said = run.communicate()[0]
        complaints = [] if run.returncode == 0 else [said]
        if cuts < 5:
            complaints.append(f"only {cuts} connections were cut")
        complaints += holds(p, "j", range(30000))
        tap.point("connections that are cut at any moment lose and double nothing", complaints)


def fenced(p):
    """A second process takes the lane over while the first one sleeps."""
    p.sql("create table i (k int8, v text)")
    with Folder(LADE, pipeline(p, "i", "i", follow="true")) as d:
        d.write("in.ndjson", lines(range(100)))
        first = d.start()
        complaints = wait_for(p, "i", range(100))
        first.send_signal(signal.SIGSTOP)
        d.write("in.ndjson", lines(range(100, 200)), "a")
        second = d.start()
        complaints += wait_for(p, "i", range(200))
        first.send_signal(signal.SIGCONT)
        said = end_of(first)
        if first.returncode != 1 or "has taken this pipeline over" not in said or \
                f"(process {second.pid} on " not in said:
            complaints.append(f"the first one: {first.returncode}: {said}")
        d.write("in.ndjson", lines(range(200, 250)), "a")
        complaints += wait_for(p, "i", range(250))
        second.send_signal(signal.SIGTERM)
        said = end_of(second)
        complaints += holds(p, "i", range(250))
        if second.returncode != 0 or \
                f"in.ndjson is taken over from process {first.pid} on " not in said:
            complaints.append(f"the second one: {second.returncode}: {said}")
        tap.point("who is fenced writes nothing, and says so", complaints)
        epoch = p.sql("select epoch, next_offset from lade_offsets where pipeline = 'i'")
        if epoch != [(2, os.path.getsize(f"{d.path}/in.ndjson"))]:
            complaints = [str(epoch)]
        tap.point("each claim raises the epoch, and the offset is where the file ends", complaints)


def six_lanes(p):
    """One lane of six is another's: the transaction that has all of them writes nothing."""
    p.sql("create table m (k int8, v text)")
    text = pipeline(p, "m", "m", follow="true").replace("in.ndjson", "in-*.ndjson") \
        .replace("max_messages: 100, linger: 5ms", "max_messages: 600, linger: 2s")
    with Folder(LADE, text) as d:
        for lane in range(6):
            d.write(f"in-{lane}.ndjson", lines(range(lane * 100, lane * 100 + 100)))
        run = d.start()
        complaints = wait_for(p, "m", range(600))
        if p.sql("select count(*) from lade_offsets where pipeline = 'm'") != [(6,)]:
            complaints.append("there are not six lanes")
        p.sql("update lade_offsets set epoch = epoch + 1, owner = 'somebody' where pipeline = 'm'"
              " and topic like '%%in-3%%'")
        for lane in range(6):
            d.write(f"in-{lane}.ndjson", lines(range(1000 + lane * 100, 1100 + lane * 100)), "a")
        said = end_of(run)
        if run.returncode != 1 or "somebody" not in said:
            complaints.append(f"{run.returncode}: {said}")
        complaints += holds(p, "m", range(600))
        tap.point("one fenced lane of six: nothing is written of any", complaints)


def lost_commits(p):
    """A failover to a server that has not all commits: the offset is before what was kept."""
    p.sql("create table n (k int8, v text)")
    with Folder(LADE, pipeline(p, "n", "n", follow="true")) as d:
        d.write("in.ndjson", lines(range(100)))
        run = d.start()
        complaints = wait_for(p, "n", range(100))
        p.sql("with o as (update lade_offsets set next_offset = 0 where pipeline = 'n')"
              " delete from n")
        d.write("in.ndjson", lines(range(100, 110)), "a")
        said = end_of(run)
        if run.returncode != 1 or "has lost commits" not in said:
            complaints.append(f"{run.returncode}: {said}")
        run = d.start()
        complaints += wait_for(p, "n", range(110)) + stop(run)
        tap.point("a database that has lost commits is noticed; the next run goes on from there",
                  complaints)


def from_kafka(p):
    """Six partitions, exactly once, with kill -9: nothing lost, doubled, or out of order."""
    name = "a topic is read into a table exactly once, whatever is killed"
    p.sql("create table o (n serial, k int8, part int8, pos int8, name text)")
    text = pipeline(p, "o", "o", STEP.format(
        query="select i, 'n' || k as name from batch", more=""),
        more="columns: { k: \"integer .k\", part: \"integer @partition\","
             " pos: \"integer @offset\", name: \"text .found.name\" }")
    chance, count = random.Random(7), 30000
    try:
        with Kafka() as k:
            k.create("o", 6)
            source = f"source: {{ kafka: {{ brokers: \"{k.servers}\", topics: [o], group: o," \
                " librdkafka: { session.timeout.ms: \"2000\" } } }"
            text = text.replace("source: { file: { path: in.ndjson, follow: false } }", source)
            with Folder(LADE, text) as d:
                for kills in range(8):
                    at = kills * count // 8
                    k.send("o", [json.dumps({"k": n}) for n in range(at, at + count // 8)])
                    run, before = d.start(), p.sql("select count(*) from o")[0][0]
                    until = time.monotonic() + PATIENCE_SECONDS
                    while p.sql("select count(*) from o")[0][0] == before and run.poll() is None \
                            and time.monotonic() < until:
                        time.sleep(0.002)
                    time.sleep(chance.uniform(0, 0.05))
                    run.send_signal(signal.SIGKILL)
                    run.communicate()
                run = d.start()
                complaints = wait_for(p, "o", range(count)) + stop(run)
                wrong = p.sql("select count(*) from (select pos, lag(pos) over (partition by part"
                              " order by n) as before from o) x where pos <= before")
                if wrong != [(0,)]:
                    complaints.append(f"{wrong[0][0]} out of order")
                if p.sql("select count(*) from o where name <> 'n' || k") != [(0,)]:
                    complaints.append("rows with another's name")
                tap.point(name, complaints)
    except Unavailable as e:
        tap.point(name, [str(e)] if e.is_failure() else [], skip=str(e))


def deleted(p):
    """Messages of Kafka without a value delete rows, whatever is killed."""
    name = "rows are written and deleted as the last message of each key says, whatever is killed"
    p.sql("create table t (id int8 primary key, k int8)")
    p.sql("create table child (id int8 references t)")
    text = pipeline(p, "t", "t", more="key: [id], on_conflict: update, columns:"
                    " { id: \"integer @key\", k: \"integer .k\" }")
    chance, count, left = random.Random(13), 8000, {}
    try:
        with Kafka() as k:
            k.create("t", 6)
            text = text.replace(
                "source: { file: { path: in.ndjson, follow: false } }",
                f"source: {{ kafka: {{ brokers: \"{k.servers}\", topics: [t], group: t,"
                " librdkafka: { session.timeout.ms: \"2000\" } } }")
            with Folder(LADE, text) as d:
                for kills in range(6):
                    sent = []
                    for n in range(kills * count, (kills + 1) * count):
                        key = chance.randrange(3000)
                        gone = chance.random() < 0.5
                        sent.append((str(key), None if gone else json.dumps({"k": n})))
                        left[key] = None if gone else n
                    k.send("t", sent)
                    run, before = d.start(), p.sql("select next_offset from lade_offsets where"
                                                   " pipeline = 't' order by part")
                    until = time.monotonic() + PATIENCE_SECONDS
                    while p.sql("select next_offset from lade_offsets where pipeline = 't'"
                                " order by part") == before and time.monotonic() < until:
                        time.sleep(0.002)
                    time.sleep(chance.uniform(0, 0.05))
                    run.send_signal(signal.SIGKILL)
                    run.communicate()
                run, wanted = d.start(), [(i, n) for i, n in sorted(left.items()) if n is not None]
                until = time.monotonic() + PATIENCE_SECONDS
                while (got := p.sql("select id, k from t order by id")) != wanted and \
                        time.monotonic() < until:
                    time.sleep(0.05)
                complaints = [] if got == wanted else [f"{len(got)} rows, not {len(wanted)}"]
                tap.point(name, complaints)
                p.sql("insert into t values (9000, 1), (9001, 1), (9002, 1)")
                p.sql("insert into child values (9001)")
                k.send("t", [("9000", None), ("9001", None), ("x", None), ("9002", None),
                             ("9003", '{"k":3}')])
                until = time.monotonic() + PATIENCE_SECONDS
                while (reasons := p.sql("select reason from dead where pipeline = 't'"
                                        " order by 1")) and len(reasons) < 2 or not reasons:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.05)
                complaints = holds(p, "t where id >= 9000", [9001, 9003], "id") + stop(run)
                if len(reasons) != 2 or "not an integer" not in reasons[0][0] or \
                        "foreign key" not in reasons[1][0]:
                    complaints.append(str(reasons))
                tap.point("a row that cannot be deleted stands alone, and the rest is written",
                          complaints)
    except Unavailable as e:
        tap.point(name, [str(e)] if e.is_failure() else [], skip=str(e))


def table_source(p, name, follow="false", delivery="exactly_once"):
    text = pipeline(p, name, f"{name}_out", follow=follow, delivery=delivery,
                    more="columns: { k: \"integer .id\", v: \"text? .v\","
                         " n: \"integer @offset\" }")
    return text.replace(f"file: {{ path: in.ndjson, follow: {follow} }}",
                        f"postgres: {{ db: main, table: {name}, key: id, xid: xid,"
                        f" follow: {follow} }}")


def from_table(p):
    """A table that grows: a lower number that commits last is not left out."""
    for name in ("q", "r"):
        p.sql(f"create table {name} (id bigserial primary key, v text,"
              " xid xid8 not null default pg_current_xact_id())")
        p.sql(f"create index on {name} (xid, id)")
        p.sql(f"create table {name}_out (k int8, v text, n int8)")
    with Folder(LADE, table_source(p, "q", "true")) as d:
        run = d.start()
        slow, quick = p.connect(), p.connect()
        slow.autocommit = False
        s, q = slow.cursor(), quick.cursor()
        s.execute("insert into q (v) values ('slow') returning id")
        low = s.fetchone()[0]
        q.execute("insert into q (v) select 'quick' from generate_series(1, 50) returning id")
        high = [r[0] for r in q.fetchall()]
        time.sleep(1)
        complaints = [] if low < min(high) else ["the numbers are not as the test wants them"]
        complaints += holds(p, "q_out", [])  # none may pass the one that is not known yet
        slow.commit()
        complaints += wait_for(p, "q_out", [low, *high])
        q.execute("insert into q (v) values ('late') returning id")
        late = q.fetchone()[0]
        complaints += wait_for(p, "q_out", [low, *high, late]) + stop(run)
        if p.sql("select k from q_out order by n") != [(k,) for k in (low, *high, late)]:
            complaints.append("not in order")
        tap.point("of two transactions the one with the lower number commits last: nothing is lost",
                  complaints)
        slow.close()
        quick.close()
    chance, count = random.Random(9), 30000
    with Folder(LADE, table_source(p, "r")) as d:
        p.sql(f"insert into r (v) select 'x' || i from generate_series(1, {count}) i")
        kills = 0
        while kills < 6:
            run = d.start()
            time.sleep(chance.uniform(0.02, 0.2))
            run.send_signal(signal.SIGKILL)
            run.communicate()
            kills += 1
        complaints = ended(d.run(), 0) + holds(p, "r_out", range(1, count + 1))
        complaints += ended(d.run(), 0) + holds(p, "r_out", range(1, count + 1))
        tap.point("a table is read exactly once, whatever is killed", complaints)
        d.write("p.yaml", table_source(p, "r").replace("xid: xid", "xid: nope"))
        complaints = ended(check(d, "--connect"), 1, "nope", "42703")
        d.write("p.yaml", table_source(p, "r").replace("table: r_out", "table: r"))
        tap.point("a wrong column, and a table that would be read into itself, are refused",
                  complaints + ended(check(d), 78, "would never end"))
        d.write("p.yaml", table_source(p, "r", delivery="at_least_once").replace("r_out", "r2"))
        p.sql("create table r2 (k int8, v text, n int8)")
        complaints = ended(d.run(), 0) + holds(p, "r2", range(1, count + 1))
        tap.point("at least once reads it from its beginning", complaints)


def settled(p):
    """A key without xid is read when it has been there for a while."""
    p.sql("create table s (id bigserial primary key, v text)")
    p.sql("create table s_out (k int8, v text, n int8)")
    text = table_source(p, "s", "true").replace("xid: xid", "settle: 1s")
    with Folder(LADE, text) as d:
        complaints = ended(check(d), 0, "longer than settle (1 s)", "add xid xid8")
        tap.point("without xid check says what may be left out", complaints)
        p.sql("insert into s (v) select 'x' from generate_series(1, 3000)")
        began, run = time.monotonic(), d.start()
        slow = p.connect()
        slow.autocommit = False
        s = slow.cursor()
        s.execute("insert into s (v) values ('slow')")
        p.sql("insert into s (v) values ('quick')")
        time.sleep(0.5)
        slow.commit()
        complaints = wait_for(p, "s_out", range(1, 3003))
        took = time.monotonic() - began
        if not 1 <= took < 10:
            complaints.append(f"after {took:.1f} s")
        run.send_signal(signal.SIGKILL)
        run.communicate()
        p.sql("insert into s (v) values ('later')")
        run = d.start()
        complaints += wait_for(p, "s_out", range(1, 3004)) + stop(run)
        tap.point("a row with a lower key that commits within settle is not left out", complaints)
        d.write("p.yaml", text.replace("follow: true", "follow: false"))
        p.sql("insert into s (v) select 'y' from generate_series(1, 10)")
        complaints = ended(d.run(), 0, "10 messages") + holds(p, "s_out", range(1, 3014))
        tap.point("without follow it ends when all that was there has settled", complaints)
        p.sql("alter table s add xid xid8 not null default pg_current_xact_id()")
        d.write("p.yaml", text.replace("settle: 1s", "xid: xid"))
        tap.point("what is kept of a key alone is not taken for a transaction's",
                  ended(d.run(), 1, "xid added or left out since"))
        d.write("p.yaml", text.replace("settle: 1s", "settle: 1s, xid: xid"))
        tap.point("settle and xid exclude one another", ended(check(d), 78, "without xid"))


def outbox_pipeline(p, name, follow, more=""):
    text = pipeline(p, name, f"{name}_out", steps=more, follow=follow,
                    more="columns: { k: \"integer .id\", v: \"text? .v\","
                         " n: \"integer @offset\" }")
    return text.replace(f"file: {{ path: in.ndjson, follow: {follow} }}",
                        f"postgres: {{ db: main, table: {name}, key: id, outbox: true,"
                        f" follow: {follow} }}")


def outbox(p):
    """Rows are deleted as they are written; two processes share them."""
    for name in ("u", "w", "x"):
        p.sql(f"create table {name} (id bigserial primary key, v text)")
        p.sql(f"create table {name}_out (k int8, v text, n int8)")
    p.sql("alter table u_out add check (v <> 'bad')")
    p.sql("insert into u (v) select case when i = 77 then 'bad' else 'x' end"
          " from generate_series(1, 2500) i")
    text = outbox_pipeline(p, "u", "false")
    with Folder(LADE, text) as d:
        complaints = ended(check(d, "--connect"), 0)
        r = subprocess.run([LADE, "try", "-n", "3", "p.yaml"], cwd=d.path, text=True, timeout=60,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        complaints += ended(r, 0, '"id":3', "3 read") + holds(p, "u", range(1, 2501), "id")
        tap.point("check and try take nothing out of an outbox", complaints)
        complaints = ended(d.run(), 0, "2500 messages", "rejected 1") + holds(p, "u", [], "id")
        complaints += holds(p, "u_out", set(range(1, 2501)) - {77})
        if p.sql("select count(*) from u_out where n <> k") != [(0,)]:
            complaints.append("@offset is not the key")
        if p.sql("select line, \"offset\" from dead where pipeline = 'u'") != [(0, 77)]:
            complaints.append(str(p.sql("select * from dead where pipeline = 'u'")))
        tap.point("rows are deleted as they are written, the rejected one too", complaints)
        for old, new, word in (("delivery: exactly_once", "delivery: at_least_once",
                                "delivery: exactly_once"),
                               ("outbox: true", "outbox: true, xid: xid", "leave it out"),
                               (SINK[:20], "sink:\n  - file: out\n  - postgres: ",
                                "must be a table of the database")):
            d.write("p.yaml", text.replace(old, new))
            tap.point(f"an outbox is refused: {word}", ended(check(d), 78, word))
    count, nap = 60000, STEP.format(query="select i, pg_sleep(0.0005)::text as nap from batch"
                                    " where k % 50 = 0", more="timeout: 30s").replace(".k", ".id")
    with Folder(LADE, outbox_pipeline(p, "w", "true", nap)) as d:
        p.sql(f"insert into w (v) select 'x' from generate_series(1, {count // 2})")
        chance, runs, shared = random.Random(17), [d.start(), d.start()], 0
        tries = 2000  # to see that both have claims
        for kills in range(8):
            p.sql(f"insert into w (v) select 'y' from generate_series(1, {count // 16})")
            before = p.sql("select count(*) from w_out")[0][0]
            until = time.monotonic() + PATIENCE_SECONDS
            while p.sql("select count(*) from w_out")[0][0] == before and \
                    time.monotonic() < until:
                time.sleep(0.005)
            until = time.monotonic() + chance.uniform(0, 0.1)
            while time.monotonic() < until or (kills == 7 and not shared and tries):
                shared += p.sql("select count(distinct pid) from pg_locks where relation ="
                                " 'w'::regclass and mode = 'RowShareLock'")[0][0] == 2
                tries -= 1
            runs[kills % 2].send_signal(signal.SIGKILL)
            runs[kills % 2].communicate()
            runs[kills % 2] = d.start()
        complaints = wait_for(p, "w_out", range(1, count + 1)) + holds(p, "w", [], "id")
        for run in runs:
            complaints += stop(run)
        if not shared:
            complaints.append("the two never had claims at the same time")
        tap.point("two processes share an outbox, killed at any moment: each row once", complaints)
    slow = STEP.format(query="select i, pg_sleep(0.2)::text as nap from batch where i = 0",
                       more="timeout: 30s").replace(".k", ".id")
    with Folder(LADE, outbox_pipeline(p, "x", "true", slow)) as d:
        p.sql("insert into x (v) select 'x' from generate_series(1, 6000)")
        run, stolen = d.start(), 0
        until = time.monotonic() + PATIENCE_SECONDS
        while p.sql("select count(*) from x") != [(0,)] and time.monotonic() < until:
            # The claim's connection ends, and somebody else writes rows of it.
            if stolen < 4 and p.sql("select pg_terminate_backend(pid) from pg_stat_activity where"
                                    " application_name = 'lade x' and state ="
                                    " 'idle in transaction'"):
                stolen += p.sql("with d as (delete from x where id in (select id from x order by"
                                " id limit 10) returning id), i as (insert into x_out (k) select"
                                " id from d) select count(*) > 0 from d")[0][0]
            time.sleep(0.02)
        complaints = wait_for(p, "x_out", range(1, 6001)) + stop(run)
        if stolen < 4:
            complaints.append(f"only {stolen} claims were broken")
        tap.point("of a claim that is lost another one's rows are left alone", complaints)


def stopped_while_away(p):
    """A pipeline with nothing under way ends at once, though the database is away."""
    for name in ("y", "z"):
        p.sql(f"create table {name} (id bigserial primary key, v text,"
              " xid xid8 not null default pg_current_xact_id())")
        p.sql(f"create table {name}_out (k int8, v text, n int8)")
        p.sql(f"insert into {name} (v) values ('x')")
    for name, text in (("a table", table_source(p, "y", "true")),
                       ("an outbox", outbox_pipeline(p, "z", "true"))):
        with Folder(LADE, text) as d:
            run = d.start()
            complaints = wait_for(p, "y_out" if name == "a table" else "z_out", [1])
            time.sleep(0.5)
            p.stop()
            time.sleep(2)
            began = time.monotonic()
            complaints += stop(run)
            if time.monotonic() - began > 5:
                complaints.append(f"it took {time.monotonic() - began:.1f} s")
            p.start()
        tap.point(f"{name} whose server is away does not keep a pipeline from ending", complaints)


def templates(p):
    """What `lade new` writes: its SQL can be pasted, and then it works."""
    for pair in ("postgres-postgres", "postgres-sqlite", "postgres-file", "postgres-stdout",
                 "file-postgres", "stdin-postgres", "kafka-postgres", "postgres-kafka"):
        p.sql("drop table if exists incoming, orders, dead_letters, lade_offsets")
        with Folder(LADE, "") as d:
            def lade(*args, **options):
                return subprocess.run([LADE, *args], cwd=d.path, text=True, check=False,
                                      env=dict(os.environ, DATABASE=p.url), timeout=60,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
            text = lade("new", pair).stdout
            d.write("n.yaml", text)
            complaints = ended(lade("check", "n.yaml"), 0, f"ok: {pair}")
            head = text.partition("\n\n")[0]
            sql = [x[4:] for x in head.splitlines() if x.startswith("#   ") and "echo" not in x
                   and not x.startswith("#   {")]
            tables = [t for t, end in (("incoming", 0), ("orders", 1))
                      if pair.split("-")[end] == "postgres"]
            for table in tables:
                if f"create table {table} (" not in "\n".join(sql):
                    complaints.append(f"no SQL for {table}: {head}")
            if complaints or "kafka" in pair:
                p.sql("\n".join(sql))
                tap.point(f"the SQL of lade new {pair} makes its tables", complaints)
                continue
            for create in (True, False):
                p.sql("drop table if exists incoming, orders, dead_letters, lade_offsets")
                # Without create: true the table must be what the comment says.
                d.write("n.yaml", text if create else text.replace("create: true", "#create: true"))
                statements = "\n".join(sql)
                if create and "orders" in tables:
                    statements = statements.partition("create table orders")[0]
                if statements.strip():
                    p.sql(statements)
                message = '{"id":1,"customer":"Ada","cents":1200}\n'
                d.write("orders.ndjson", message)
                complaints += ended(lade("check", "--connect", "n.yaml"), 0)
                r = lade("run", "n.yaml", input=message)
                complaints += ended(r, 0, "1 message in")
                if "orders" in tables and p.sql("select * from orders") != [(1, "Ada", 12.0)]:
                    complaints.append(f"orders: {p.sql('select * from orders')}")
            tap.point(f"lade new {pair}: its SQL can be pasted, and then it works", complaints)


def at_least_once(p):
    p.sql("create table l (k int8 primary key, v text)")
    text = pipeline(p, "l", "l", delivery="at_least_once", more="key: [k], on_conflict: update, "
                    + COLUMNS)
    with Folder(LADE, text) as d:
        d.write("in.ndjson", lines(range(1000)))
        complaints = ended(d.run(), 0) + holds(p, "l", range(1000)) + ended(d.run(), 0)
        tap.point("at least once keeps no offsets in the database", complaints +
                  holds(p, "l", range(1000)))
    with Folder(LADE, text.replace(p.url, p.url + "?prepare=false")) as d:
        d.write("in.ndjson", lines(range(1500)))
        tap.point("statements need not be kept prepared",
                  ended(d.run(), 0) + holds(p, "l", range(1500)))


CASES = [file_into_a_table, killed, enriched, poison, upserts, schema, restarted, cut, fenced,
         six_lanes, lost_commits, from_kafka, deleted, from_table, settled, outbox,
         stopped_while_away, at_least_once, templates]


def main():
    names = sys.argv[2:]
    unknown = set(names) - {c.__name__ for c in CASES}
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    try:
        with Postgres() as p:
            for case in CASES:
                if not names or case.__name__ in names:
                    case(p)
    except Unavailable as e:
        if not e.is_failure():
            print(f"1..0 # SKIP {e}")
            return
        tap.point("there is a PostgreSQL", [str(e)])
    tap.done()


main()
