# SPDX-License-Identifier: MIT
"""sinks.py - what the pipelines of chaos.py write into: how it is made, read and judged."""

import re
import sqlite3
import time

import poison

HEAD = """config: 1
pipeline: {name}
{databases}admin: {{ socket: p{number}.sock }}
source:
  kafka:
    brokers: "{servers}"
    topics: [{topic}]
    group: {name}
    librdkafka: {{ session.timeout.ms: "{session}", heartbeat.interval.ms: "300" }}{instance}
batch: {{ max_messages: 200, linger: 5ms }}
steps:
{steps}  - transform:
      fields: {{ p: "integer .p", s: "integer .s", v: "integer .v" }}
      query: select i, json_object('p', p, 's', s, 'v', v) as value from batch
delivery: {delivery}
drain_timeout: 2s
errors: {{ dead_letter: {letters}, max_reject_rate: 100% }}
"""
# Of one partition in a process: max_in_flight, ten batches, and what waits before the batches.
IN_FLIGHT_MAX = 10 * 200 + 2048
COLUMNS = 'columns: { p: "integer .p", s: "integer .s", v: "integer .v" }'
RECORD = re.compile(rb'"p":(\d+),"s":(\d+)')


# What moves the offsets, for those who look for the cause of a double.
MOVES = """
create table moves (m bigserial, part int8, was int8, next int8, epoch_was int8, epoch int8,
	owner text, x xid8, at timestamptz default clock_timestamp());
create function note_move() returns trigger language plpgsql as $$ begin
	insert into moves (part, was, next, epoch_was, epoch, owner, x) values (new.part,
		old.next_offset, new.next_offset, old.epoch, new.epoch, new.owner,
		pg_current_xact_id());
	return new;
end $$;
create function watch_moves() returns event_trigger language plpgsql as $$ begin
	if to_regclass('lade_offsets') is not null then
		create or replace trigger moved after update on lade_offsets
			for each row execute function note_move();
	end if;
end $$;
create event trigger watch_moves on ddl_command_end when tag in ('CREATE TABLE')
	execute function watch_moves();
"""


class Sink:
    name = own_phase = None
    counters = []         # of the processes, which a full run must have raised
    delivery = "exactly_once"
    databases = steps = ""
    dead_letter = "{ table: dead }"
    can_refuse = poison.AT_A_DATABASE

    def __init__(self, folder, k, p, partitions):
        self.folder, self.k, self.p, self.partitions = folder, k, p, partitions
        self.reader = None    # of the group's offsets
        self.topic = f"{self.name}-in"
        self.kinds = ()       # of poison

    def prepare(self, processes, session_ms):
        for number in range(processes):
            # Alone it keeps its partitions under its name; among others the group shares them.
            instance = "\n    instance: alone" if processes == 1 else ""
            text = HEAD.format(name=self.name, databases=self.databases, number=number,
                               topic=self.topic, session=session_ms, servers=self.k.servers,
                               instance=instance, delivery=self.delivery,
                               letters=self.dead_letter, steps=self.steps) + self.sink()
            with open(f"{self.folder}/p{number}.yaml", "w", encoding="utf-8") as f:
                f.write(text)
        self.k.create(self.topic, self.partitions)
        self.make()

    def note_end(self, others):
        """A process has ended without saying so; @others: partitions that others have."""

    def note_pause(self, others):
        """A process is paused."""

    def note_loss(self, others):
        """A process has lost partitions although it lives and was not paused."""

    def look(self):
        """Time passes."""

    def refused(self):
        """What check() is to know of dead letters."""
        return {"letters": self.letters(), "is_poison": poison.is_poison} if self.kinds else {}

    def judge(self, sent, check):
        v = check(sent, self.rows(), **self.refused())
        if v.doubled:
            v.examples += self.evidence(v.doubles)
        return v

    def evidence(self, doubles):
        """What there is to say about doubled messages: first whose fault it is."""
        sent = [tuple(map(int, RECORD.search(m.value()).groups())) for m in self.k.read(self.topic)]
        return [f"partition {p}, message {s} is {sent.count((p, s))} times in the topic"
                for p, s in doubles]

    def is_good(self, verdict):
        return verdict.perfect()

    def committed(self):
        """The group's offsets, by partition."""
        from confluent_kafka import Consumer, TopicPartition
        if not self.reader:
            self.reader = Consumer({"bootstrap.servers": self.k.servers, "group.id": self.name,
                                    "log_level": 2})
        asked = [TopicPartition(self.topic, p) for p in range(self.partitions)]
        return {t.partition: max(t.offset, 0) for t in self.reader.committed(asked, timeout=60)}


class IntoPostgres(Sink):
    """Each batch is also enriched by a query that takes a while, some longer than the next one."""

    steps = """  - name: look
    sql:
      db: main
      keys: { p: "integer .p" }
      query: select b.i, 1 as one from batch b, pg_sleep(random() * 0.01)
      into: .looked
"""
    name, own_phase, counters = "postgres", "fence", ["fenced", "lost", "late"]

    def __init__(self, folder, k, p, partitions):
        super().__init__(folder, k, p, partitions)
        self.tablespace = ""
        self.database(p.url)

    def database(self, url):
        self.databases = f'databases: {{ main: "{url}" }}\n'

    def sink(self):
        return f"sink:\n  - postgres: {{ db: main, table: t, {COLUMNS} }}\n"

    def make(self):
        self.p.sql("create table t (n bigserial, p int, s int, v int,"
                   " x xid8 default pg_current_xact_id(),"
                   f" at timestamptz default clock_timestamp()){self.tablespace}")
        self.p.sql(MOVES)

    def evidence(self, doubles):
        """The transactions of each copy, and what these moved."""
        yield from super().evidence(doubles)
        for p, s in doubles:
            yield f"partition {p}, message {s}: its rows:"
            for n, x, at in self.p.sql("select n, x::text, at::text from t where p = %s and s = %s"
                                       " order by n", p, s):
                yield f"  row {n} at {at}, transaction {x}; with it (partition, first, last, rows):"
                yield "    " + str(self.p.sql("select p, min(s), max(s), count(*) from t"
                                              " where x = %s::xid8 group by p", x))
            for row in self.p.sql("select x::text, at::text, was, next, epoch_was, epoch, owner"
                                  " from moves where part = %s and next between %s and %s"
                                  " order by m", p, s - 2500, s + 2500):
                yield f"  transaction, time, from, to, epochs, owner: {row}"

    def letters(self):
        return self.p.sql('select part, "offset" from dead')

    def done(self, total):
        try:
            return (self.p.sql("select sum(next_offset) from lade_offsets")[0][0] or 0) >= total
        except Exception:  # it may not be there yet
            return False

    def rows(self):
        """(partition, number) in the order in which they were written."""
        db = self.p.connect()
        try:
            db.autocommit = False
            with db.cursor("rows") as c:
                c.itersize = 20000
                c.execute("select p, s from t order by n")
                yield from c
        finally:
            db.close()


class IntoSqlite(Sink):
    name, own_phase, counters = "sqlite", "fence", ["fenced", "lost", "late"]
    databases = 'databases: { main: "sqlite:out.db" }\n'

    def sink(self):
        return f"sink:\n  - sqlite: {{ db: main, table: t, {COLUMNS} }}\n"

    def make(self):
        with sqlite3.connect(f"{self.folder}/out.db") as db:
            db.execute("pragma journal_mode = wal")
            db.execute("create table t (p integer not null, s integer not null,"
                       f" v integer not null check (v < {poison.TOO_LARGE}))")

    def ask(self, query):
        with sqlite3.connect(f"{self.folder}/out.db", timeout=30) as db:
            return db.execute(query).fetchall()

    def done(self, total):
        try:
            return (self.ask("select sum(next_offset) from lade_offsets")[0][0] or 0) >= total
        except sqlite3.OperationalError:
            return False

    def rows(self):
        return self.ask("select p, s from t order by rowid")

    def letters(self):
        return self.ask('select part, "offset" from dead')


class IntoKafka(Sink):
    name, own_phase, counters = "kafka", "offsets", ["aborted", "lost", "late"]
    dead_letter = "{ kafka: kafka-dead }"
    can_refuse = poison.BEFORE_THE_SINK

    def sink(self):
        return "sink: { kafka: { topic: kafka-out, key: .p } }\n"

    def make(self):
        self.k.create("kafka-out", self.partitions)
        self.k.create("kafka-dead", self.partitions)

    def done(self, total):
        return sum(self.committed().values()) >= total

    def rows(self):
        return [tuple(map(int, RECORD.search(m.value()).groups()))
                for m in self.k.read("kafka-out")]

    def letters(self):
        named = (dict(m.headers()) for m in self.k.read("kafka-dead"))
        return [(int(h["x-dl-partition"]), int(h["x-dl-offset"])) for h in named]


class AtLeastOnce(IntoSqlite):
    """The same table, without offsets in it."""

    name, counters, delivery = "least", [], "at_least_once"

    def __init__(self, *args):
        super().__init__(*args)
        self.looked_at = 0
        self.before = self.now = {p: 0 for p in range(self.partitions)}
        self.windows = {p: [] for p in range(self.partitions)}

    def make(self):
        super().make()
        self.ask("create index by_number on t (p, s)")

    def look(self):
        """Keeps the offsets of a moment ago."""
        if time.monotonic() - self.looked_at > 0.5:
            self.before, self.now = self.now, self.committed()
            self.looked_at = time.monotonic()

    def note_end(self, others, in_flight=0, committed=None):
        """What is not committed now may come once more, and what still is in flight."""
        ends = {p: s + 1 for p, s in self.ask("select p, max(s) from t group by p")}
        for p, offset in (committed or self.committed()).items():
            if p in others:
                continue
            self.windows[p].append((offset, ends.get(p, 0) + in_flight))

    def note_pause(self, others):
        self.note_end(others, IN_FLIGHT_MAX)

    def note_loss(self, others):
        # It is noticed a little later: whoever has them now may have committed already.
        self.note_end(others, IN_FLIGHT_MAX, self.before)

    def done(self, total):
        return sum(self.committed().values()) >= total

    def judge(self, sent, check):
        return check(sent, self.rows(), self.windows, **self.refused())

    def is_good(self, verdict):
        return not (verdict.lost or verdict.strange or verdict.beyond)


SINKS = {s.name: s for s in (IntoPostgres, IntoSqlite, IntoKafka, AtLeastOnce)}
