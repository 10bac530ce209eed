//! What is true of the embedded queue alone: its file is for one process and for one run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use support::*;
use tidemark_queue::{Depth, Queue, QueueConfig, QueueError};

#[tokio::test]
async fn opening_the_file_again_forgets_what_was_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = QueueConfig::Embedded { file: directory.path().join("below").join("queue.db") };
    let first = Queue::connect(&config).await.unwrap();
    first.push(&hints(0..10)).await.unwrap();
    drop(first);
    let second = Queue::connect(&config).await.unwrap();
    assert_eq!(second.depth().await.unwrap(), Depth::default());
}

#[tokio::test]
async fn a_file_in_use_is_neither_wiped_nor_shared() {
    let directory = tempfile::tempdir().unwrap();
    let config = QueueConfig::Embedded { file: directory.path().join("queue.db") };
    let first = Queue::connect(&config).await.unwrap();
    first.push(&hints(0..10)).await.unwrap();
    let refused = Queue::connect(&config).await.err().unwrap();
    assert!(matches!(refused, QueueError::Held { .. }), "{refused}");
    assert_eq!(first.depth().await.unwrap().waiting, 10);
}
