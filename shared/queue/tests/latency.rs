//! How soon an idle worker takes a hint. Apart from the other tests, whose load would be measured too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::time::{Duration, Instant};

use support::*;
use tidemark_queue::WorkerSettings;
use tokio::sync::mpsc::unbounded_channel;

on_both_queues! { ninety_nine_of_a_hundred_hints_start_within_200_ms }

async fn ninety_nine_of_a_hundred_hints_start_within_200_ms(bench: Bench) {
    let (tell, mut told) = unbounded_channel();
    let work = Work::start(&bench.queue, WorkerSettings { poll_every: Duration::from_millis(50), ..settings() }, move |_| {
        let tell = tell.clone();
        async move {
            tell.send(Instant::now()).unwrap();
        }
    });
    let mut latencies = Vec::new();
    for stream in 0..100 {
        let pushed = Instant::now();
        bench.queue.push(&[hint(stream)]).await.unwrap();
        latencies.push(within(told.recv()).await.unwrap() - pushed);
    }
    latencies.sort();
    eprintln!("p50 {:?}, p99 {:?}, worst {:?}", latencies[49], latencies[98], latencies[99]);
    assert!(latencies[98] < Duration::from_millis(200), "p99 was {:?}", latencies[98]);
    work.stop().await;
}
