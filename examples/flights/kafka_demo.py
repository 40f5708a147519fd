# SPDX-License-Identifier: MIT
"""kafka_demo.py LADE WEATHER - a broker, PostgreSQL, a slow weather service, a producer and three
processes of one pipeline, of which one is killed; at the end: was anything lost or doubled?"""

import json
import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [f"{ROOT}/tests/components", f"{ROOT}/tests/chaos"]
from check import check  # noqa: E402
from component import free_port  # noqa: E402
from kafka import Kafka  # noqa: E402
from postgres import Postgres  # noqa: E402

LADE, WEATHER = sys.argv[1:3]
PARTITIONS, PROCESSES, SECONDS = 6, 3, 45
KILL_AT, BACK_AT, LOOK_EVERY = 15, 25, 9


def say(text):
    print(f"\n{text}", flush=True)


def load_airports(p):
    p.sql("create table airports (iata text primary key, name text, city text, state text,"
          " country text, latitude float8, longitude float8)")
    db = p.connect()
    with open(f"{HERE}/airports.csv", encoding="utf-8") as f:
        db.cursor().copy_expert("copy airports from stdin csv header", f)
    db.close()


def start(number, env):
    folder = f"{ROOT}/build/demo-kafka/process-{number}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/log", "ab") as log:
        return subprocess.Popen([LADE, "run", f"{HERE}/kafka.yaml"], stdout=log, stderr=log,
                                env=dict(env, XDG_RUNTIME_DIR=folder))


def look(number):
    """Has `lade top` look at one of them for a second, in which flights are to go on."""
    folder = f"{ROOT}/build/demo-kafka/process-{number}"
    return subprocess.Popen([LADE, "top", "--once", "flights"], stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, XDG_RUNTIME_DIR=folder))


def replay(producer, flights, sent, chance, seconds):
    """Bursts of flights with gaps between, each numbered in its partition."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(chance.randint(20, 300)):
            p = chance.randrange(PARTITIONS)
            producer.produce("flights", json.dumps({"number": sent[p], **next(flights)}),
                             partition=p)
            sent[p] += 1
        producer.poll(0)
        time.sleep(chance.uniform(0.05, 0.4))


def endless(path):
    while True:
        with open(path, encoding="utf-8") as f:
            for line in f:
                yield json.loads(line)


def demo(k, p, env):
    from confluent_kafka import Producer
    k.create("flights", PARTITIONS)
    load_airports(p)
    p.sql("create table delays (n bigserial, part int, number int, date text, delay int,"
          " from_city text, to_city text, wind int)")
    processes = [start(n, env) for n in range(PROCESSES)]
    producer = Producer({"bootstrap.servers": k.servers, "enable.idempotence": True,
                         "linger.ms": 5})
    flights, sent = endless(f"{HERE}/flights-20k.ndjson"), {n: 0 for n in range(PARTITIONS)}
    chance = random.Random(1)
    for second in range(0, SECONDS, 1):
        replay(producer, flights, sent, chance, 1)
        if second == KILL_AT:
            say("kill -9 of the second process; the others take its partitions over")
            processes[1].kill()
            processes[1].wait()
        if second == BACK_AT:
            say("and here it is again")
            processes[1] = start(1, env)
        if second % LOOK_EVERY == LOOK_EVERY - 1:
            top = look(0)
            replay(producer, flights, sent, chance, 2)
            say(f"{sum(sent.values())} flights sent; lade top, first process:")
            print(top.communicate()[0], end="", flush=True)
    producer.flush(30)
    total, until = sum(sent.values()), time.monotonic() + 60
    while p.sql("select count(*) from delays")[0][0] < total and time.monotonic() < until:
        time.sleep(0.2)
    for one in processes:
        one.terminate()
    for one in processes:
        one.wait()
    say("the five worst routes, by one query:")
    for route, n, mean in p.sql(
            "select from_city || ' - ' || to_city, count(*), round(avg(delay), 1) from delays"
            " where from_city is not null and to_city is not null group by 1"
            " having count(*) >= 20 order by 3 desc limit 5"):
        print(f"  {route:45} {n:5} flights, {mean} minutes late")
    return check(sent, p.sql("select part, number from delays order by n"))


def main():
    port = free_port()
    weather = subprocess.Popen([WEATHER, f"127.0.0.1:{port}", "42"])
    try:
        say("starting Apache Kafka and PostgreSQL in temporary folders")
        with Kafka() as k, Postgres() as p:
            env = dict(os.environ, KAFKA=k.servers, POSTGRES=p.url,
                       WEATHER=f"http://127.0.0.1:{port}")
            say(f"{PROCESSES} processes of examples/flights/kafka.yaml, {SECONDS} s of flights")
            verdict = demo(k, p, env)
            say(f"the checker compares what was sent with the table: {verdict}, kills 1")
    finally:
        weather.kill()
    for example in verdict.examples:
        print(f"  {example}")
    sys.exit(0 if verdict.perfect() else 1)


main()
