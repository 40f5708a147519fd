// SPDX-License-Identifier: MIT
//! peer-tokio [OPS [WORK]] - the works of `script/bench micro` on Tokio's current-thread runtime.
//!
//! Each work is done OPS times (default 1,000,000) after a tenth of that to warm up, and
//! printed as work, who, metric, unit and value: CPU nanoseconds of this process per
//! operation. bench/peers/README.md says what each work is. Where Tokio has two ways, both
//! are measured: inline (the futures are part of the awaiting task) and spawned (tasks of
//! their own, as lade's are).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};

const CHANNEL_ITEMS: usize = 128;
const BATCH_ITEMS: usize = 500;
const BATCH_LINGER: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);

/// Suspends once and is ready to go on at once. tokio::task::yield_now() does the same, but
/// lets the driver poll for events before it goes on: it is measured by itself.
struct SuspendOnce(bool);

impl Future for SuspendOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn suspend_once() -> SuspendOnce {
    SuspendOnce(false)
}

async fn yield_now(n: u64) {
    let other = tokio::spawn(async move {
        for _ in 0..n / 2 {
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..n / 2 {
        tokio::task::yield_now().await;
    }
    other.await.unwrap();
}

async fn yield_wake(n: u64) {
    let other = tokio::spawn(async move {
        for _ in 0..n / 2 {
            suspend_once().await;
        }
    });
    for _ in 0..n / 2 {
        suspend_once().await;
    }
    other.await.unwrap();
}

async fn double(x: u64) -> u64 {
    x * 2
}

async fn start_join(n: u64) {
    let mut sum = 0;
    for i in 0..n {
        sum += tokio::spawn(double(i)).await.unwrap();
    }
    assert_eq!(sum, n * (n - 1));
}

/// Two results of different types, as a row and a reply would be.
async fn load_user(id: u64) -> (u64, u32) {
    suspend_once().await;
    (id, 7)
}

async fn load_price(id: u64) -> f64 {
    suspend_once().await;
    id as f64 * 0.5
}

async fn join_two_inline(n: u64) {
    let mut sum = 0.0;
    for i in 0..n {
        let (user, price) = tokio::join!(load_user(i), load_price(i));
        sum += user.0 as f64 + price;
    }
    assert!(sum > 0.0);
}

async fn join_two_spawned(n: u64) {
    let mut sum = 0.0;
    for i in 0..n {
        let user = tokio::spawn(load_user(i));
        let price = tokio::spawn(load_price(i));
        sum += user.await.unwrap().0 as f64 + price.await.unwrap();
    }
    assert!(sum > 0.0);
}

async fn produce(tx: mpsc::Sender<u64>, n: u64) {
    for i in 0..n {
        tx.send(i).await.unwrap();
    }
}

async fn chan_buffered(n: u64) {
    let (tx, mut rx) = mpsc::channel(CHANNEL_ITEMS);
    let producer = tokio::spawn(produce(tx, n));
    let mut sum = 0;
    while let Some(i) = rx.recv().await {
        sum += i;
    }
    producer.await.unwrap();
    assert_eq!(sum, n * (n - 1) / 2);
}

/// Tokio has no channel without a buffer; one of one item is the nearest.
async fn chan_unbuffered(n: u64) {
    let (ping, mut pinged) = mpsc::channel(1);
    let (pong, mut ponged) = mpsc::channel(1);
    let other = tokio::spawn(async move {
        while let Some(i) = pinged.recv().await {
            let i: u64 = i;
            pong.send(i + 1).await.unwrap();
        }
    });
    let mut at = 0;
    for _ in 0..n {
        ping.send(at).await.unwrap();
        at = ponged.recv().await.unwrap();
    }
    drop(ping);
    other.await.unwrap();
    assert_eq!(at, n);
}

async fn within(n: u64) {
    for i in 0..n {
        let got = tokio::time::timeout(DEADLINE, load_price(i)).await;
        assert!(got.is_ok());
    }
}

/// Waits for something that never comes.
async fn never(id: u64) -> u64 {
    std::future::pending::<()>().await;
    id
}

async fn sleep_hour(id: u64) -> u64 {
    tokio::time::sleep(HOUR).await;
    id
}

macro_rules! race_three_inline {
    ($name:ident, $loser:ident) => {
        async fn $name(n: u64) {
            let mut sum = 0;
            for i in 0..n {
                sum += tokio::select! {
                    a = $loser(i) => a + 1,
                    b = double(i) => b,
                    c = $loser(i) => c + 2,
                };
            }
            assert_eq!(sum, n * (n - 1));
        }
    };
}

macro_rules! race_three_spawned {
    ($name:ident, $loser:ident) => {
        async fn $name(n: u64) {
            let mut sum = 0;
            for i in 0..n {
                let mut a = tokio::spawn($loser(i));
                let mut b = tokio::spawn(double(i));
                let mut c = tokio::spawn($loser(i));
                sum += tokio::select! {
                    a = &mut a => a.unwrap() + 1,
                    b = &mut b => b.unwrap(),
                    c = &mut c => c.unwrap() + 2,
                };
                a.abort();
                c.abort();
                assert!(a.await.unwrap_err().is_cancelled());
                assert!(c.await.unwrap_err().is_cancelled());
            }
            assert_eq!(sum, n * (n - 1));
        }
    };
}

race_three_inline!(race_never_inline, never);
race_three_inline!(race_sleep_inline, sleep_hour);
race_three_spawned!(race_never_spawned, never);
race_three_spawned!(race_sleep_spawned, sleep_hour);

/// What tokio_stream::wrappers::ReceiverStream is.
struct Items(mpsc::Receiver<u64>);

impl Stream for Items {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        self.0.poll_recv(cx)
    }
}

async fn timed_batch(n: u64) {
    let (tx, rx) = mpsc::channel(CHANNEL_ITEMS);
    let producer = tokio::spawn(produce(tx, n));
    let batches = Items(rx).chunks_timeout(BATCH_ITEMS, BATCH_LINGER);
    tokio::pin!(batches);
    let mut sum = 0;
    while let Some(batch) = batches.next().await {
        for i in batch {
            sum += i;
        }
    }
    producer.await.unwrap();
    assert_eq!(sum, n * (n - 1) / 2);
}

fn cpu_ns() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: t is a timespec that the call may write.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    assert_eq!(rc, 0);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

struct Bench {
    rt: tokio::runtime::Runtime,
    ops: u64,
    only: Option<String>,
}

impl Bench {
    /// In a task: the future given to block_on() itself is woken the slow way.
    fn run<F: Future<Output = ()> + Send + 'static>(&self, f: F) {
        self.rt.block_on(async { tokio::spawn(f).await.unwrap() });
    }

    fn measure<F>(&self, work: &str, who: &str, f: impl Fn(u64) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.only.as_deref().is_some_and(|only| only != work) {
            return;
        }
        self.run(f(self.ops / 10 + 2));
        let before = cpu_ns();
        self.run(f(self.ops));
        let ns = (cpu_ns() - before) / self.ops as f64;
        println!("{work}\t{who}\tns\tns\t{ns:.2}");
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let ops = args.next().map_or(1_000_000, |s| s.parse().expect("OPS is a number"));
    assert!(ops >= 2, "OPS is at least 2");
    let bench = Bench {
        rt: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
        ops,
        only: args.next(),
    };

    bench.measure("yield", "tokio", yield_now);
    bench.measure("yield", "tokio wake", yield_wake);
    bench.measure("start_join", "tokio", start_join);
    bench.measure("join_two", "tokio join!", join_two_inline);
    bench.measure("join_two", "tokio spawn", join_two_spawned);
    bench.measure("chan_buffered", "tokio", chan_buffered);
    bench.measure("chan_unbuffered", "tokio", chan_unbuffered);
    bench.measure("within", "tokio", within);
    bench.measure("race_three", "tokio select!", race_never_inline);
    bench.measure("race_three", "tokio spawn", race_never_spawned);
    bench.measure("race_three_sleep", "tokio select!", race_sleep_inline);
    bench.measure("race_three_sleep", "tokio spawn", race_sleep_spawned);
    bench.measure("timed_batch", "tokio", timed_batch);
}
