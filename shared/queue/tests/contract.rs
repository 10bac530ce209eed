//! What both kinds of queue promise to the dispatcher and to handlers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::*;
use tidemark_queue::{Depth, QueueError, WAITING_MAX, WorkerSettings};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

on_both_queues! {
    every_hint_that_was_taken_reaches_a_handler,
    a_backlog_larger_than_the_queue_may_hold_drains,
    a_push_stops_at_the_most_that_may_wait,
    no_hint_leaves_the_queue_before_a_handler_is_free_for_it,
    a_worker_that_is_full_still_sends_heartbeats_while_hints_wait,
    a_panic_in_a_handler_is_contained_and_the_worker_goes_on,
    a_graceful_stop_finishes_what_is_in_flight,
    a_handler_that_outlasts_grace_is_dropped,
    a_worker_dropped_by_its_caller_drops_its_handlers,
    tidying_removes_finished_hints_and_leaves_waiting_ones,
    a_running_worker_shows_signs_of_life,
    what_was_testified_last_is_told,
    settings_that_cannot_work_are_refused,
}

async fn every_hint_that_was_taken_reaches_a_handler(bench: Bench) {
    let (work, mut told) = start_reporting(&bench.queue);
    assert_eq!(bench.queue.push(&hints(0..300)).await.unwrap(), 300);
    let mut seen = HashSet::new();
    within(async {
        while seen.len() < 300 {
            seen.insert(told.recv().await.unwrap());
        }
    })
    .await;
    assert!((0..300).all(|stream| seen.contains(&stream)));
    work.stop().await;
    assert_eq!(bench.queue.depth().await.unwrap(), Depth::default());
}

async fn what_was_testified_last_is_told(bench: Bench) {
    assert_eq!(bench.queue.last_testimony().await.unwrap(), None);
    for said in ["a 1", "a 22"] {
        bench.queue.testify(said).await.unwrap();
        assert_eq!(bench.queue.last_testimony().await.unwrap().as_deref(), Some(said));
    }
    bench.queue.tidy().await.unwrap();
    assert_eq!(bench.queue.depth().await.unwrap(), Depth::default(), "it is no hint");
    assert!(bench.queue.last_testimony().await.unwrap().is_some());
}

async fn a_backlog_larger_than_the_queue_may_hold_drains(bench: Bench) {
    // On Redis more than one fetch could ever move: without the limit on what may wait, no worker would get a single hint.
    let backlog = hints(0..if bench.redis.is_some() { 9_000 } else { 2_500 });
    let mut left = &backlog[bench.queue.push(&backlog).await.unwrap()..];
    let (work, mut told) = start_reporting(&bench.queue);
    let mut seen = HashSet::new();
    while seen.len() < backlog.len() {
        // As a dispatcher would, look again after a while rather than after each hint.
        for _ in 0..(backlog.len() - seen.len()).min(500) {
            seen.insert(within(told.recv()).await.unwrap());
        }
        left = &left[bench.queue.push(left).await.unwrap()..];
    }
    assert_eq!(bench.queue.liveness().restarts, 0);
    work.stop().await;
}

async fn a_push_stops_at_the_most_that_may_wait(bench: Bench) {
    let most = usize::try_from(WAITING_MAX).unwrap();
    assert_eq!(bench.queue.push(&hints(0..1_900)).await.unwrap(), 1_900);
    assert_eq!(bench.queue.push(&hints(0..5_000)).await.unwrap(), most - 1_900);
    assert_eq!(bench.queue.push(&hints(0..1)).await.unwrap(), 0);
    assert_eq!(bench.queue.depth().await.unwrap(), Depth { waiting: WAITING_MAX, running: 0 });
}

async fn no_hint_leaves_the_queue_before_a_handler_is_free_for_it(bench: Bench) {
    let (free, most, now) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (free, most, now) = (free.clone(), most.clone(), now.clone());
        Work::start(&bench.queue, WorkerSettings { concurrency: 3, ..settings() }, move |_| {
            let (free, most, now) = (free.clone(), most.clone(), now.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                free.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
            }
        })
    };
    bench.queue.push(&hints(0..20)).await.unwrap();
    let three_taken = Depth { waiting: 17, running: 3 };
    eventually("three hints are taken", || async { bench.queue.depth().await.unwrap() == three_taken }).await;
    free.add_permits(20);
    eventually("the queue is empty", || async { bench.queue.depth().await.unwrap() == Depth::default() }).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    work.stop().await;
}

async fn a_panic_in_a_handler_is_contained_and_the_worker_goes_on(bench: Bench) {
    let (tell, mut told) = unbounded_channel();
    let work = Work::start(&bench.queue, WorkerSettings { concurrency: 1, ..settings() }, move |hint| {
        let tell = tell.clone();
        async move {
            assert!(hint.stream != 1, "a handler that panics, on purpose");
            tell.send(hint.stream).unwrap();
        }
    });
    bench.queue.push(&hints(1..2)).await.unwrap();
    bench.queue.push(&hints(2..3)).await.unwrap();
    told_of(&mut told, 2).await;
    eventually("the queue is empty", || async { bench.queue.depth().await.unwrap() == Depth::default() }).await;
    assert_eq!(bench.queue.liveness().restarts, 0);
    work.stop().await;
}

async fn a_graceful_stop_finishes_what_is_in_flight(bench: Bench) {
    let (started, finish) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let (tell, mut told) = unbounded_channel();
    let work = {
        let (started, finish) = (started.clone(), finish.clone());
        Work::start(&bench.queue, WorkerSettings { concurrency: 1, ..settings() }, move |hint| {
            let (started, finish, tell) = (started.clone(), finish.clone(), tell.clone());
            async move {
                started.add_permits(1);
                finish.notified().await;
                tell.send(hint.stream).unwrap();
            }
        })
    };
    bench.queue.push(&hints(0..2)).await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    work.ask_to_stop();
    finish.notify_one();
    work.stop().await;
    assert!(told.try_recv().is_ok(), "the handler in flight finished");
    assert!(told.try_recv().is_err(), "no other was begun");
    assert_eq!(bench.queue.depth().await.unwrap(), Depth { waiting: 1, running: 0 });
}

/// A future that says when it is dropped unfinished.
struct DropNotice(Arc<Semaphore>);

impl Drop for DropNotice {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

fn start_endless(bench: &Bench, grace: Duration) -> (Work, Arc<Semaphore>, Arc<Semaphore>) {
    let (started, dropped) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (starting, dropping) = (started.clone(), dropped.clone());
    let work = Work::start(&bench.queue, WorkerSettings { grace, ..settings() }, move |_| {
        let (starting, dropping) = (starting.clone(), dropping.clone());
        async move {
            let _notice = DropNotice(dropping);
            starting.add_permits(1);
            std::future::pending::<()>().await;
        }
    });
    (work, started, dropped)
}

async fn a_handler_that_outlasts_grace_is_dropped(bench: Bench) {
    let (work, started, dropped) = start_endless(&bench, Duration::from_millis(200));
    bench.queue.push(&hints(0..1)).await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    let asked = Instant::now();
    work.stop().await;
    assert!(asked.elapsed() >= Duration::from_millis(200) && asked.elapsed() < Duration::from_secs(3));
    assert_eq!(dropped.available_permits(), 1);
}

async fn a_worker_that_is_full_still_sends_heartbeats_while_hints_wait(bench: Bench) {
    let (work, started, _dropped) = start_endless(&bench, Duration::ZERO);
    bench.queue.push(&hints(0..100)).await.unwrap();
    within(started.acquire_many(8)).await.unwrap().forget();
    let first = Instant::now();
    eventually("a heartbeat after the slots were taken", || async {
        bench.queue.liveness().beat_age.is_some_and(|age| age < first.elapsed())
    })
    .await;
    work.stop().await;
}

async fn a_worker_dropped_by_its_caller_drops_its_handlers(bench: Bench) {
    let (work, started, dropped) = start_endless(&bench, Duration::from_secs(5));
    bench.queue.push(&hints(0..1)).await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    work.vanish().await;
    within(dropped.acquire()).await.unwrap().forget();
}

async fn tidying_removes_finished_hints_and_leaves_waiting_ones(bench: Bench) {
    let (work, mut told) = start_reporting(&bench.queue);
    bench.queue.push(&hints(0..1_200)).await.unwrap();
    for _ in 0..1_200 {
        within(told.recv()).await.unwrap();
    }
    work.stop().await;
    bench.queue.push(&hints(2_000..2_005)).await.unwrap();
    bench.queue.tidy().await.unwrap();
    if let Some(redis) = &bench.redis {
        assert_eq!(redis.run::<usize>("HLEN test:data").await, 5);
        assert_eq!(redis.run::<usize>("SCARD test:done").await, 0);
        assert_eq!(redis.run::<Vec<String>>("KEYS test:meta:*").await.len(), 5);
        assert_eq!(redis.run::<Vec<String>>("KEYS test:workers*").await.len(), 0, "an ended worker leaves nothing");
    }
    let (work, mut told) = start_reporting(&bench.queue);
    for _ in 0..5 {
        assert!((2_000..2_005).contains(&within(told.recv()).await.unwrap()));
    }
    work.stop().await;
}

async fn a_running_worker_shows_signs_of_life(bench: Bench) {
    assert_eq!(bench.queue.liveness().beat_age, None);
    bench.queue.ping().await.unwrap();
    let (work, _told) = start_reporting(&bench.queue);
    eventually("a heartbeat", || async { bench.queue.liveness().beat_age.is_some() }).await;
    let liveness = bench.queue.liveness();
    assert!(liveness.turn_age.unwrap() < Duration::from_secs(5));
    assert_eq!(liveness.restarts, 0);
    work.stop().await;
}

async fn settings_that_cannot_work_are_refused(bench: Bench) {
    for bad in [WorkerSettings { concurrency: 0, ..settings() }, WorkerSettings { poll_every: Duration::ZERO, ..settings() }] {
        let refused = within(bench.queue.work(bad, CancellationToken::new(), |_| async {})).await;
        assert!(matches!(refused, Err(QueueError::Settings { .. })));
    }
}
