//! What Redis alone can do to a queue, and that workers outlive it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::time::{Duration, Instant};

use support::*;
use tidemark_queue::{Depth, Queue, QueueConfig, QueueError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_with_different_prefixes_do_not_see_each_others_hints() {
    let server = RedisServer::start();
    let (here, there) = (server.queue("here").await, server.queue("here:too").await);
    let (work, mut told) = start_reporting(&here);
    there.push(&hints(0..5)).await.unwrap();
    here.push(&hints(7..8)).await.unwrap();
    assert_eq!(within(told.recv()).await, Some(7));
    assert_eq!(there.depth().await.unwrap(), Depth { waiting: 5, running: 0 });
    work.stop().await;
    assert!(told.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_asks_for_an_answer_and_touches_no_key() {
    let mut bench = redis().await;
    bench.queue.push(&hints(0..3)).await.unwrap();
    let server = bench.redis.as_ref().unwrap();
    let dirty = || async {
        server
            .run::<String>("INFO persistence")
            .await
            .lines()
            .find(|line| line.starts_with("rdb_changes_since_last_save"))
            .unwrap()
            .to_owned()
    };
    let before = dirty().await;
    Queue::probe(&server.config("test")).await.unwrap();
    assert_eq!((dirty().await, bench.queue.depth().await.unwrap().waiting), (before, 3));
    let config = server.config("test");
    bench.redis.as_mut().unwrap().kill();
    assert!(matches!(Queue::probe(&config).await, Err(QueueError::Unreachable { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatchers_that_push_at_once_stay_below_what_one_fetch_can_move() {
    let server = RedisServer::start();
    let (a, b, c, d) = tokio::join!(server.queue("test"), server.queue("test"), server.queue("test"), server.queue("test"));
    let all = hints(0..8_000);
    let (a_took, b_took, c_took, d_took) = tokio::join!(a.push(&all), b.push(&all), c.push(&all), d.push(&all));
    let took = a_took.unwrap() + b_took.unwrap() + c_took.unwrap() + d_took.unwrap();
    assert!((2_000..=3_500).contains(&took), "took {took}");
    let (work, mut told) = start_reporting(&a);
    for _ in 0..took {
        within(told.recv()).await.unwrap();
    }
    assert_eq!(a.liveness().restarts, 0);
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_too_deep_to_fetch_from_is_cleared_by_the_next_push() {
    let bench = redis().await;
    let server = bench.redis.as_ref().unwrap();
    flood(server).await;
    assert_eq!(bench.queue.push(&hints(1..2)).await.unwrap(), 1);
    assert_eq!(bench.queue.depth().await.unwrap(), Depth { waiting: 1, running: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_meets_a_queue_too_deep_to_fetch_from_clears_it_and_goes_on() {
    let bench = redis().await;
    let server = bench.redis.as_ref().unwrap();
    let (work, mut told) = start_reporting(&bench.queue);
    bench.queue.push(&hints(1..2)).await.unwrap();
    told_of(&mut told, 1).await;
    flood(server).await;
    eventually("the flood is gone", || async { server.run::<usize>("ZCARD test:scheduled").await == 0 }).await;
    bench.queue.push(&hints(2..3)).await.unwrap();
    told_of(&mut told, 2).await;
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_without_data_stops_no_worker_for_good() {
    let bench = redis().await;
    let server = bench.redis.as_ref().unwrap();
    let (work, mut told) = start_reporting(&bench.queue);
    eventually("a heartbeat", || async { bench.queue.liveness().beat_age.is_some() }).await;
    server.run::<()>("RPUSH test:active 01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    eventually("the worker was started again", || async { bench.queue.liveness().restarts > 0 }).await;
    bench.queue.push(&hints(1..2)).await.unwrap();
    told_of(&mut told, 1).await;
    eventually("the id is gone", || async { bench.queue.depth().await.unwrap() == Depth::default() }).await;
    assert_eq!(bench.queue.liveness().restarts, 1);
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_of_a_kind_we_do_not_know_is_dropped_and_the_worker_goes_on() {
    let bench = redis().await;
    let server = bench.redis.as_ref().unwrap();
    bench.queue.push(&hints(1..2)).await.unwrap();
    let ids: Vec<String> = server.run("HKEYS test:data").await;
    server.run::<()>(&format!(r#"HSET test:data {} {{"kind":"dance","stream":1}}"#, ids[0])).await;
    let (work, mut told) = start_reporting(&bench.queue);
    bench.queue.push(&hints(2..3)).await.unwrap();
    assert_eq!(within(told.recv()).await, Some(2));
    eventually("the queue is empty", || async { bench.queue.depth().await.unwrap() == Depth::default() }).await;
    assert_eq!(bench.queue.liveness().restarts, 0);
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stalls_for_more_than_a_second_kills_no_worker() {
    let bench = redis().await;
    let (work, mut told) = start_reporting(&bench.queue);
    eventually("a heartbeat", || async { bench.queue.liveness().beat_age.is_some() }).await;
    bench.redis.as_ref().unwrap().run::<()>("CLIENT PAUSE 1200 ALL").await;
    let paused = Instant::now();
    bench.queue.push(&hints(1..2)).await.unwrap();
    told_of(&mut told, 1).await;
    assert!(paused.elapsed() > Duration::from_secs(1), "the server did stall");
    assert_eq!(bench.queue.liveness().restarts, 0);
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_go_on_with_later_hints_after_everything_was_flushed() {
    let bench = redis().await;
    let (work, mut told) = start_reporting(&bench.queue);
    bench.queue.push(&hints(1..2)).await.unwrap();
    told_of(&mut told, 1).await;
    bench.redis.as_ref().unwrap().run::<()>("FLUSHALL").await;
    eventually("the worker was started again", || async { bench.queue.liveness().restarts > 0 }).await;
    bench.queue.push(&hints(2..3)).await.unwrap();
    told_of(&mut told, 2).await;
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_outlive_a_server_that_dies_and_comes_back_empty() {
    let mut bench = redis().await;
    let (work, mut told) = start_reporting(&bench.queue);
    bench.queue.push(&hints(1..2)).await.unwrap();
    told_of(&mut told, 1).await;
    bench.redis.as_mut().unwrap().kill();
    assert!(matches!(within(bench.queue.ping()).await, Err(QueueError::Unreachable { .. })));
    bench.redis.as_mut().unwrap().restart();
    eventually("hints are taken again", || async { bench.queue.push(&[hint(2)]).await.is_ok() }).await;
    told_of(&mut told, 2).await;
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_can_be_stopped_while_the_server_is_away() {
    let mut bench = redis().await;
    let (work, mut told) = start_reporting(&bench.queue);
    bench.queue.push(&hints(1..2)).await.unwrap();
    told_of(&mut told, 1).await;
    bench.redis.as_mut().unwrap().kill();
    eventually("the worker noticed", || async { bench.queue.liveness().restarts > 0 }).await;
    let asked = Instant::now();
    work.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_outlives_the_loss_of_the_server_and_its_slot_stays_taken() {
    let bench = redis().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (finish, begun) = (std::sync::Arc::new(tokio::sync::Notify::new()), std::sync::Arc::new(tokio::sync::Semaphore::new(0)));
    let (waiting, beginning) = (finish.clone(), begun.clone());
    let work = Work::start(&bench.queue, tidemark_queue::WorkerSettings { concurrency: 1, ..settings() }, move |hint| {
        let (tell, waiting, beginning) = (tell.clone(), waiting.clone(), beginning.clone());
        async move {
            beginning.add_permits(1);
            if hint.stream == 1 {
                waiting.notified().await;
            }
            tell.send(hint.stream).unwrap();
        }
    });
    bench.queue.push(&hints(1..2)).await.unwrap();
    within(begun.acquire()).await.unwrap().forget();
    // The heartbeat of a worker that Redis no longer knows is an error, which makes apalis drop what it runs.
    bench.redis.as_ref().unwrap().run::<()>("FLUSHALL").await;
    eventually("the worker was started again", || async { bench.queue.liveness().restarts > 0 }).await;
    bench.queue.push(&hints(2..3)).await.unwrap();
    let taken = Depth { waiting: 0, running: 1 };
    eventually("the new worker took a hint", || async { bench.queue.depth().await.unwrap() == taken }).await;
    assert_eq!(begun.available_permits(), 0, "the one slot is still taken");
    finish.notify_one();
    assert_eq!(within(told.recv()).await, Some(1));
    assert_eq!(within(told.recv()).await, Some(2));
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hints_of_a_dead_worker_are_given_to_another() {
    let bench = redis().await;
    let server = bench.redis.as_ref().unwrap();
    let begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let beginning = begun.clone();
    let dead = Work::start(&bench.queue, settings(), move |_| {
        beginning.add_permits(1);
        std::future::pending()
    });
    bench.queue.push(&hints(1..2)).await.unwrap();
    within(begun.acquire()).await.unwrap().forget();
    dead.vanish().await;
    // Its last heartbeat is made an old one, to spare the test the 30 s that a worker must have been silent.
    let workers: Vec<String> = server.run("ZRANGE test:workers 0 -1").await;
    server.run::<()>(&format!("ZADD test:workers 1 {}", workers[0])).await;
    let (work, mut told) = start_reporting(&bench.queue);
    told_of(&mut told, 1).await;
    work.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_soon_and_without_its_password() {
    let port = free_port();
    let url = format!("redis://:hunter2@127.0.0.1:{port}/").into();
    let asked = Instant::now();
    let error = Queue::connect(&QueueConfig::Redis { url, prefix: "test".into() }).await.err().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(6));
    assert!(matches!(error, QueueError::Unreachable { .. }));
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_refused_password_is_reported_at_once() {
    let server = RedisServer::start();
    drop(server.queue("test").await);
    server.run::<()>("CONFIG SET requirepass swordfish").await;
    let url = format!("redis://:hunter2@127.0.0.1:{}/", server.port()).into();
    let asked = Instant::now();
    let error = Queue::connect(&QueueConfig::Redis { url, prefix: "test".into() }).await.err().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_url_or_prefix_that_cannot_be_used_is_a_matter_of_settings() {
    for (url, prefix) in [("localhost", "test"), ("rediss://localhost/", "test"), ("redis://localhost/", "a b")] {
        let config = QueueConfig::Redis { url: url.to_owned().into(), prefix: prefix.into() };
        let error = Queue::connect(&config).await.err().unwrap();
        assert!(matches!(error, QueueError::Settings { .. }), "{error}");
    }
}

/// Puts more ids into the schedule than one fetch can move.
async fn flood(server: &RedisServer) {
    let ids: Vec<String> = (0..9_000).map(|n| format!("1 flood-{n}")).collect();
    server.run::<()>(&format!("ZADD test:scheduled {}", ids.join(" "))).await;
}
