// SPDX-License-Identifier: MIT
//! idle TASKS wait|sleep - the work of `script/bench idle` on Tokio's current-thread runtime.
//!
//! Prints work, who, metric, unit and value: what /proc/self/status says of the process, less
//! what it was before the first task, and CPU time, each divided by the tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes in RAM, and of page tables, which the first does not count.
fn memory_now() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let bytes = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kib| kib.parse::<f64>().ok())
            .expect(name)
            * 1024.0
    };
    (bytes("VmRSS:"), bytes("VmPTE:"))
}

fn cpu_ns() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: t is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

async fn idle(tasks: usize, sleep: bool) {
    let begun = Arc::new(Notify::new());
    let before = memory_now();
    let mut from = cpu_ns();
    let handles: Vec<JoinHandle<()>> = (0..tasks)
        .map(|_| {
            let begun = begun.clone();
            match sleep {
                true => tokio::spawn(tokio::time::sleep(Duration::from_secs(3600))),
                false => tokio::spawn(async move { begun.notified().await }),
            }
        })
        .collect();
    // What is spawned after the others runs after them: all are at their wait then.
    tokio::spawn(async {}).await.unwrap();
    let started = cpu_ns() - from;
    let now = memory_now();
    from = cpu_ns();
    begun.notify_waiters();
    if sleep {
        handles.iter().for_each(|task| task.abort());
    }
    for task in handles {
        assert_eq!(task.await.is_err(), sleep);
    }
    let ended = cpu_ns() - from;

    let work = if sleep { "idle_sleep" } else { "idle_wait" };
    let row = |metric: &str, unit: &str, value: f64| {
        println!("{work}\ttokio\t{metric}\t{unit}\t{:.1}", value / tasks as f64);
    };
    let tables = now.1 - before.1;
    row("bytes", "bytes a task, resident and page tables", now.0 - before.0 + tables);
    row("bytes", "of them page tables", tables);
    row("ns", "CPU ns to start one", started);
    row("ns", "CPU ns to end one", ended);
}

fn main() {
    let mut args = std::env::args().skip(1);
    let tasks = args.next().and_then(|s| s.parse().ok()).expect("TASKS");
    let sleep = args.next().as_deref() == Some("sleep");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(idle(tasks, sleep));
}
