// SPDX-License-Identifier: MIT
//! cores [OPS] - the works of `script/bench cores` on Tokio's multi-thread runtime, two workers.
//!
//! Prints work, who, metric, unit and value: the CPU time of the whole process per operation,
//! and operations a second. bench/peers/README.md says what each work is.

use std::future::Future;
use std::time::Instant;

use tokio::sync::mpsc;

const PLACES: usize = 128;
const AT_ONCE: usize = 64;

async fn cross_item(n: u64) {
    let (tx, mut rx) = mpsc::channel::<u64>(PLACES);
    let consumer = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(x) = rx.recv().await {
            sum += x;
        }
        sum
    });
    let producer = tokio::spawn(async move {
        for i in 0..n {
            tx.send(i).await.unwrap();
        }
    });
    producer.await.unwrap();
    assert_eq!(consumer.await.unwrap(), n * (n - 1) / 2);
}

async fn cross_batch(n: u64) {
    let (tx, mut rx) = mpsc::channel::<[u64; AT_ONCE]>(PLACES / AT_ONCE);
    let consumer = tokio::spawn(async move {
        let mut sum = 0u64;
        while let Some(batch) = rx.recv().await {
            sum += batch.iter().sum::<u64>();
        }
        sum
    });
    let producer = tokio::spawn(async move {
        for i in (0..n).step_by(AT_ONCE) {
            let mut batch = [0; AT_ONCE];
            for (j, x) in batch.iter_mut().enumerate() {
                *x = i + j as u64;
            }
            tx.send(batch).await.unwrap();
        }
    });
    producer.await.unwrap();
    assert!(consumer.await.unwrap() > 0);
}

async fn round_trip(n: u64) {
    let (to, mut asked) = mpsc::channel::<u64>(1);
    let (from, mut answers) = mpsc::channel::<u64>(1);
    let echo = tokio::spawn(async move {
        while let Some(x) = asked.recv().await {
            from.send(x).await.unwrap();
        }
    });
    let call = tokio::spawn(async move {
        for i in 0..n {
            to.send(i).await.unwrap();
            assert_eq!(answers.recv().await, Some(i));
        }
    });
    call.await.unwrap();
    echo.await.unwrap();
}

async fn start_join(n: u64) {
    let sum = tokio::spawn(async move {
        let mut sum = 0;
        for i in 0..n {
            sum += tokio::spawn(async move { 2 * i }).await.unwrap();
        }
        sum
    });
    assert_eq!(sum.await.unwrap(), n * (n - 1));
}

fn cpu_ns() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: t is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

async fn measure<F, Fut>(name: &str, count: u64, work: F)
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output = ()>,
{
    work(count / 10 + 2).await;
    let (cpu, wall) = (cpu_ns(), Instant::now());
    work(count).await;
    let took = wall.elapsed().as_secs_f64();
    println!("{name}\ttokio\tns\tCPU ns\t{:.1}", (cpu_ns() - cpu) / count as f64);
    println!("{name}\ttokio\trate\t1/s\t{:.0}", count as f64 / took);
}

fn main() {
    let ops = std::env::args().nth(1).map_or(1_000_000, |s| s.parse().expect("OPS"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        measure("cross_item", ops, cross_item).await;
        measure("cross_batch_of_64", ops, cross_batch).await;
        measure("cross_round_trip", ops / 10, round_trip).await;
        measure("cross_start_join", ops / 10, start_join).await;
    });
}
