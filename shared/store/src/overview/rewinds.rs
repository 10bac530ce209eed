//! The last rewind of each stream within a day, as a person looks at it.

use std::collections::HashMap;

use serde::Serialize;
use tidemark_core::Millis;

use super::streams::StreamOverview;
use crate::query::{all, get};
use crate::{Store, StoreError};

/// Somebody set the stream's readers back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RewindView {
    /// Database clock.
    pub at: Millis,
    pub who: String,
    /// To when, and why, in words.
    pub what: String,
}

impl RewindView {
    pub fn words(&self) -> String {
        format!("by {}: {}", self.who, self.what)
    }
}

pub(super) async fn add(store: &Store, streams: &mut [StreamOverview]) -> Result<(), StoreError> {
    let sql = "SELECT subject, at, who, COALESCE(reason, '') FROM tidemark_act WHERE verb = 'rewind' AND at > {now} - 86400000 ORDER BY id LIMIT 5000";
    let mut last: HashMap<String, RewindView> = HashMap::new();
    for row in all(&store.db, sql, vec![]).await? {
        last.insert(get(&row, 0)?, RewindView { at: get(&row, 1)?, who: get(&row, 2)?, what: get(&row, 3)? });
    }
    streams.iter_mut().for_each(|stream| stream.rewound = last.remove(&stream.name));
    Ok(())
}
