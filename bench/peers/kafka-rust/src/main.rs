// SPDX-License-Identifier: MIT
//! peer-kafka WORK SERVERS TOPIC GROUP COUNT - what lade run does, in Rust: rdkafka, Tokio's
//! current-thread runtime, serde_json, tokio-postgres.
//!
//! WORK: drop          parse every message, sum its fields, nothing else
//!       postgres      one `= any` query per batch, one unnest insert (at least once)
//!       kafka         one `= any` query per batch, out into TOPIC-out in transactions
//!
//! POSTGRES in the environment is the server; the table `out` is there already. It ends after COUNT
//! messages and prints them with a checksum.

use std::collections::HashMap;
use std::env;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt;

const BATCH: usize = 500;
const LINGER: Duration = Duration::from_millis(50);
const TRANSACTION: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
struct Flight<'a> {
    seq: u64,
    producer: u32,
    #[serde(borrow)]
    date: &'a str,
    delay: Option<i64>,
    distance: Option<i64>,
    origin: &'a str,
    destination: &'a str,
    #[serde(borrow)]
    pad: &'a str,
}

impl Flight<'_> {
    fn sum(&self) -> u64 {
        self.seq
            .wrapping_add(self.producer as u64)
            .wrapping_add(self.delay.unwrap_or(0) as u64)
            .wrapping_add(self.distance.unwrap_or(0) as u64)
            .wrapping_add((self.date.len() + self.origin.len() + self.destination.len() + self.pad.len()) as u64)
    }
}

#[derive(Serialize)]
struct Enriched<'a> {
    seq: u64,
    producer: u32,
    date: &'a str,
    delay: Option<i64>,
    distance: Option<i64>,
    origin: &'a str,
    destination: &'a str,
    pad: &'a str,
    from_city: Option<&'a str>,
    to_city: Option<&'a str>,
}

fn consumer(servers: &str, topic: &str, group: &str) -> StreamConsumer {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("fetch.queue.backoff.ms", "20")
        .set("socket.nagle.disable", "true")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("to subscribe");
    consumer
}

/// Where each partition goes behind a batch.
fn positions(batch: &[BorrowedMessage], into: &mut HashMap<(String, i32), i64>) {
    for m in batch {
        match into.get_mut(&(m.topic().to_owned(), m.partition())) {
            Some(at) => *at = m.offset() + 1,
            None => {
                into.insert((m.topic().to_owned(), m.partition()), m.offset() + 1);
            }
        }
    }
}

fn list(at: &HashMap<(String, i32), i64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in at {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .expect("an offset");
    }
    list
}

struct Cities {
    client: tokio_postgres::Client,
    ask: tokio_postgres::Statement,
    insert: tokio_postgres::Statement,
}

impl Cities {
    async fn new() -> Cities {
        let url = env::var("POSTGRES").expect("POSTGRES");
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .expect("PostgreSQL");
        tokio::spawn(connection);
        let ask = client
            .prepare("select iata, city from airports where iata = any($1)")
            .await
            .expect("the table airports");
        let insert = client
            .prepare(
                "insert into out (part, at, seq, producer, delay, from_city, to_city) \
                 select * from unnest($1::int4[], $2::int8[], $3::int8[], $4::int4[], $5::int8[], $6::text[], $7::text[])",
            )
            .await
            .expect("the table out");
        Cities { client, ask, insert }
    }

    async fn of(&self, flights: &[Flight<'_>]) -> HashMap<String, String> {
        let mut codes: Vec<&str> = Vec::with_capacity(flights.len() * 2);
        for f in flights {
            codes.push(f.origin);
            codes.push(f.destination);
        }
        codes.sort_unstable();
        codes.dedup();
        let rows = self.client.query(&self.ask, &[&codes]).await.expect("cities");
        rows.iter().map(|r| (r.get(0), r.get(1))).collect()
    }
}

fn parse<'a>(batch: &'a [BorrowedMessage]) -> Vec<Flight<'a>> {
    batch
        .iter()
        .map(|m| serde_json::from_slice(m.payload().expect("a value")).expect("a flight"))
        .collect()
}

async fn insert(cities: &Cities, batch: &[BorrowedMessage<'_>], flights: &[Flight<'_>]) {
    let known = cities.of(flights).await;
    let city = |iata: &str| known.get(iata).map(String::as_str);
    let parts: Vec<i32> = batch.iter().map(|m| m.partition()).collect();
    let offsets: Vec<i64> = batch.iter().map(|m| m.offset()).collect();
    let seqs: Vec<i64> = flights.iter().map(|f| f.seq as i64).collect();
    let producers: Vec<i32> = flights.iter().map(|f| f.producer as i32).collect();
    let delays: Vec<Option<i64>> = flights.iter().map(|f| f.delay).collect();
    let from: Vec<Option<&str>> = flights.iter().map(|f| city(f.origin)).collect();
    let to: Vec<Option<&str>> = flights.iter().map(|f| city(f.destination)).collect();
    cities
        .client
        .execute(&cities.insert, &[&parts, &offsets, &seqs, &producers, &delays, &from, &to])
        .await
        .expect("the insert");
}

async fn drop_all(servers: &str, topic: &str, group: &str, count: u64) -> (u64, u64) {
    let consumer = consumer(servers, topic, group);
    let stream = consumer.stream().chunks_timeout(BATCH, LINGER);
    tokio::pin!(stream);
    let (mut seen, mut sum) = (0, 0u64);
    while seen < count {
        let chunk = stream.next().await.expect("a batch");
        let batch: Vec<BorrowedMessage> = chunk.into_iter().map(|m| m.expect("a message")).collect();
        for f in parse(&batch) {
            sum = sum.wrapping_add(f.sum());
        }
        seen += batch.len() as u64;
    }
    (seen, sum)
}

async fn into_postgres(servers: &str, topic: &str, group: &str, count: u64) -> (u64, u64) {
    let cities = Cities::new().await;
    let consumer = consumer(servers, topic, group);
    let stream = consumer.stream().chunks_timeout(BATCH, LINGER);
    tokio::pin!(stream);
    let (mut seen, mut sum, mut at, mut committed) = (0, 0u64, HashMap::new(), Instant::now());
    while seen < count {
        let chunk = stream.next().await.expect("a batch");
        let batch: Vec<BorrowedMessage> = chunk.into_iter().map(|m| m.expect("a message")).collect();
        let flights = parse(&batch);
        insert(&cities, &batch, &flights).await;
        for f in &flights {
            sum = sum.wrapping_add(f.sum());
        }
        positions(&batch, &mut at);
        seen += batch.len() as u64;
        if committed.elapsed() > Duration::from_secs(1) {
            consumer.commit(&list(&at), CommitMode::Async).expect("to commit");
            committed = Instant::now();
        }
    }
    consumer.commit(&list(&at), CommitMode::Sync).expect("to commit");
    (seen, sum)
}

async fn into_kafka(servers: &str, topic: &str, group: &str, count: u64) -> (u64, u64) {
    let cities = Cities::new().await;
    let consumer = consumer(servers, topic, group);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", format!("{group}-1"))
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .expect("a producer");
    let out = format!("{topic}-out");
    let forever = Duration::from_secs(60);
    producer.init_transactions(forever).expect("transactions");
    let stream = consumer.stream().chunks_timeout(BATCH, LINGER);
    tokio::pin!(stream);
    let (mut seen, mut sum) = (0, 0u64);
    while seen < count {
        let (began, mut at, mut sent) = (Instant::now(), HashMap::new(), Vec::new());
        producer.begin_transaction().expect("a transaction");
        while seen < count && began.elapsed() < TRANSACTION {
            let chunk = stream.next().await.expect("a batch");
            let batch: Vec<BorrowedMessage> = chunk.into_iter().map(|m| m.expect("a message")).collect();
            let flights = parse(&batch);
            let known = cities.of(&flights).await;
            for (f, m) in flights.iter().zip(&batch) {
                sum = sum.wrapping_add(f.sum());
                let value = serde_json::to_vec(&Enriched {
                    seq: f.seq,
                    producer: f.producer,
                    date: f.date,
                    delay: f.delay,
                    distance: f.distance,
                    origin: f.origin,
                    destination: f.destination,
                    pad: f.pad,
                    from_city: known.get(f.origin).map(String::as_str),
                    to_city: known.get(f.destination).map(String::as_str),
                })
                .expect("JSON");
                let record = FutureRecord::to(&out).payload(&value).key(m.key().unwrap_or(b""));
                sent.push(producer.send_result(record).map_err(|e| e.0).expect("room"));
            }
            positions(&batch, &mut at);
            seen += batch.len() as u64;
        }
        for delivery in sent {
            delivery.await.expect("an answer").expect("delivered");
        }
        let group = consumer.group_metadata().expect("the group");
        producer
            .send_offsets_to_transaction(&list(&at), &group, forever)
            .expect("offsets");
        producer.commit_transaction(forever).expect("a commit");
    }
    (seen, sum)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argv: Vec<String> = env::args().collect();
    if argv.len() != 6 {
        eprintln!("usage: peer-kafka drop|postgres|kafka SERVERS TOPIC GROUP COUNT");
        std::process::exit(2);
    }
    let count: u64 = argv[5].parse().expect("a count");
    let (servers, topic, group) = (&argv[2], &argv[3], &argv[4]);
    let (seen, sum) = match argv[1].as_str() {
        "drop" => drop_all(servers, topic, group, count).await,
        "postgres" => into_postgres(servers, topic, group, count).await,
        _ => into_kafka(servers, topic, group, count).await,
    };
    println!("{seen}\t{sum}");
}
