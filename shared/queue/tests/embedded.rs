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

#[tokio::test]
async fn a_probe_leaves_the_file_and_its_folder_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let config = |name: &str| QueueConfig::Embedded { file: directory.path().join(name) };
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    Queue::probe(&config("queue.db")).await.unwrap();
    Queue::probe(&config("below/queue.db")).await.unwrap();
    assert!(names().is_empty(), "{:?}", names());

    let queue = Queue::connect(&config("queue.db")).await.unwrap();
    queue.push(&hints(0..10)).await.unwrap();
    let (before, bytes) = (names(), std::fs::read(directory.path().join("queue.db-wal")).unwrap());
    Queue::probe(&config("queue.db")).await.unwrap();
    assert_eq!((names(), std::fs::read(directory.path().join("queue.db-wal")).unwrap()), (before, bytes));
    assert_eq!(queue.depth().await.unwrap().waiting, 10);
}

#[tokio::test]
async fn a_probe_names_the_place_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    std::fs::create_dir(directory.path().join("folder.db")).unwrap();
    // Below a file, and over a folder: what an administrator cannot write either.
    for (name, place) in [("file/queue.db", "file"), ("folder.db", "folder.db")] {
        let config = QueueConfig::Embedded { file: directory.path().join(name) };
        let refused = Queue::probe(&config).await.unwrap_err();
        let place = directory.path().join(place);
        assert!(matches!(&refused, QueueError::Settings { reason } if reason.contains(&*place.to_string_lossy())), "{refused}");
    }
}
