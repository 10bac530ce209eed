//! The true present state, as outsiders check it: no lag, no lateness, archived and merged records included.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    ObjectType, Refusal,
    record::{Author, Life, Record, Version},
    stamp,
    store::Store,
};

/// One record as it truly is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    pub id: String,
    /// Only properties with a value; id and stamps stand beside them.
    pub properties: BTreeMap<String, String>,
    /// Also true for a record that was merged away.
    pub archived: bool,
    pub merged_into: Option<String>,
    pub created_at: String,
    pub modified_at: String,
    /// False while the newest version cannot be read by anyone yet.
    pub committed: bool,
    pub versions: usize,
    /// Linked ids by kind of object.
    pub associations: BTreeMap<&'static str, Vec<String>>,
}

/// One version of one record.
#[derive(Debug, Clone, Serialize)]
pub struct VersionView {
    pub written_ms: i64,
    pub stamp_ms: i64,
    pub commit_ms: i64,
    pub index_ms: i64,
    pub stamp: String,
    /// `api`, `human` or `calculation`.
    pub source: &'static str,
    /// `active`, `archived` or `merged`.
    pub life: &'static str,
    pub properties: BTreeMap<String, String>,
}

pub(crate) fn list(store: &Store, object: ObjectType, now_ms: i64) -> Vec<Snapshot> {
    store.table(object).records().map(|record| snapshot(store, record, now_ms)).collect()
}

/// Oldest first.
pub(crate) fn versions(store: &Store, object: ObjectType, id: &str) -> Result<Vec<VersionView>, Refusal> {
    let record = store.vendor.number(object, id).and_then(|id| store.table(object).find(id));
    let record = record.ok_or_else(|| store.vendor.missing(object, id))?;
    let mut views: Vec<VersionView> = record.versions().map(view).collect();
    views.reverse();
    Ok(views)
}

fn snapshot(store: &Store, record: &Record, now_ms: i64) -> Snapshot {
    let head = record.head();
    let mut associations = BTreeMap::new();
    for to in ObjectType::ALL {
        let ids: Vec<String> = store.links.of((record.object, record.id), to).map(|id| store.vendor.id(to, id)).collect();
        if !ids.is_empty() {
            associations.insert(to.plural(), ids);
        }
    }
    Snapshot {
        id: store.vendor.id(record.object, record.id),
        properties: (*head.props).clone(),
        archived: head.life != Life::Active,
        merged_into: match head.life {
            Life::MergedInto(winner) => Some(store.vendor.id(record.object, winner)),
            Life::Active | Life::Archived | Life::Erased => None,
        },
        created_at: stamp::iso(record.created_ms),
        modified_at: stamp::iso(head.stamp_ms),
        committed: head.commit_ms <= now_ms,
        versions: record.versions().count(),
        associations,
    }
}

fn view(version: &Version) -> VersionView {
    VersionView {
        written_ms: version.written_ms,
        stamp_ms: version.stamp_ms,
        commit_ms: version.commit_ms,
        index_ms: version.index_ms,
        stamp: stamp::iso(version.stamp_ms),
        source: match version.author {
            Author::Api => "api",
            Author::Human => "human",
            Author::Calculation => "calculation",
        },
        life: match version.life {
            Life::Active => "active",
            Life::Archived => "archived",
            Life::MergedInto(_) => "merged",
            Life::Erased => "erased",
        },
        properties: (*version.props).clone(),
    }
}
