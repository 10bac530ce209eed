//! Lineage as it is remembered: what a transaction changed is gathered while it works and written in one statement before it commits. Kept for a while, pruned by age.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, QueryResult};
use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::lineage::{Because, Entry, Source, What, from_json, of_agreement, of_push, to_json};
use tidemark_core::page::KnownLink;
use tidemark_core::push::Sent;
use tidemark_core::record::RemoteId;
use tidemark_core::spec::StreamSpec;

use crate::dialect::{in_list, list, table};
use crate::query::{all, get, run};
use crate::{Store, StoreError};

/// What one transaction has to tell. Nothing that did not change is in it, and an empty one costs no statement.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    notes: Vec<Note>,
    /// Of links that are being made, by their record.
    unlinked: Vec<(RemoteId, Vec<Because>, Base)>,
}

#[derive(Debug)]
struct Note {
    link: i64,
    what: What,
    source: Source,
    fields: Option<String>,
}

impl Notes {
    /// A record was merged into its row, or met it.
    pub(crate) fn merged(&mut self, spec: &StreamSpec, link: i64, source: Source, met: bool, because: &[Because], base: &Base) {
        let fields = to_json(spec, link, because, base);
        if met || fields.is_some() {
            self.notes.push(Note { link, what: if met { What::Met } else { What::Changed }, source, fields });
        }
    }

    /// The same for a link whose number is not known yet.
    pub(crate) fn met(&mut self, record: &RemoteId, because: Vec<Because>, base: Base) {
        self.unlinked.push((record.clone(), because, base));
    }

    /// The links that were made. One that somebody else made meanwhile has nothing to tell.
    pub(crate) fn linked(&mut self, spec: &StreamSpec, source: Source, links: &HashMap<RemoteId, i64>) {
        for (record, because, base) in std::mem::take(&mut self.unlinked) {
            if let Some(link) = links.get(&record) {
                self.merged(spec, *link, source, true, &because, &base);
            }
        }
    }

    /// A push was answered.
    pub(crate) fn sent(&mut self, spec: &StreamSpec, link: &KnownLink, attempt: i64, sent: &[Sent], after: &Base, created: bool) {
        let fields = to_json(spec, link.id, &of_push(&link.view.base, sent, after, created), after);
        if created || fields.is_some() {
            let what = if created { What::Created } else { What::Changed };
            self.notes.push(Note { link: link.id, what, source: Source::Push { attempt }, fields });
        }
    }

    /// A push found nothing to send, and the base moved.
    pub(crate) fn agreed(&mut self, spec: &StreamSpec, link: &KnownLink, attempt: i64, after: &Base) {
        let because = of_agreement(&link.view.base, after);
        self.merged(spec, link.id, Source::Push { attempt }, false, &because, after);
    }

    /// A row was deleted, and its record archived or left alone. One that never had a record leaves nothing to tell.
    pub(crate) fn buried(&mut self, link: &KnownLink, attempt: i64, archived: bool) {
        if link.remote_id.is_none() {
            return;
        }
        let what = if archived { What::Archived } else { What::Left };
        self.notes.push(Note { link: link.id, what, source: Source::Push { attempt }, fields: None });
    }

    /// A record is gone from the CRM, and what its row came to; or it came back.
    pub(crate) fn whole(&mut self, link: i64, what: What) {
        self.whole_by(link, what, Source::Read);
    }

    /// The same through any source.
    pub(crate) fn whole_by(&mut self, link: i64, what: What, source: Source) {
        self.notes.push(Note { link, what, source, fields: None });
    }

    /// Everything in one statement.
    pub(crate) async fn write(&self, db: &impl ConnectionTrait) -> Result<(), StoreError> {
        if self.notes.is_empty() {
            return Ok(());
        }
        let numbers: Vec<(String, Option<String>)> = self
            .notes
            .iter()
            .map(|note| (note.link.to_string(), note.source.stored().1.map(|number| number.to_string())))
            .collect();
        let mut cells = Vec::with_capacity(self.notes.len() * 5);
        for (note, (link, number)) in self.notes.iter().zip(&numbers) {
            cells.extend([
                Some(link.as_str()),
                Some(note.what.word()),
                Some(note.source.stored().0),
                number.as_deref(),
                note.fields.as_deref(),
            ]);
        }
        let (source, values) = table(db.get_database_backend(), 1, 5, &cells);
        let sql = format!(
            "INSERT INTO tidemark_lineage (link_id, at, what, source, source_number, fields)
             SELECT CAST(v.c0 AS BIGINT), {{now}}, v.c1, v.c2, CAST(v.c3 AS BIGINT), v.c4 FROM {source} WHERE true ORDER BY v.n"
        );
        run(db, &sql, values).await?;
        Ok(())
    }
}

/// A record that came back has a new link: what happened to the old one is its history.
pub(crate) async fn inherit(db: &impl ConnectionTrait, stream: i64, met: &[(RemoteId, i64)]) -> Result<(), StoreError> {
    for (record, former) in met {
        let sql = "UPDATE tidemark_lineage SET link_id = (SELECT id FROM tidemark_link WHERE stream_id = $1 AND remote_id = $2)
            WHERE link_id = $3 AND EXISTS (SELECT 1 FROM tidemark_link WHERE stream_id = $1 AND remote_id = $2)";
        run(db, sql, vec![stream.into(), record.as_str().into(), (*former).into()]).await?;
        let sql = "INSERT INTO tidemark_lineage (link_id, at, what, source)
            SELECT id, {now}, $3, $4 FROM tidemark_link WHERE stream_id = $1 AND remote_id = $2";
        let (what, source) = (What::Restored.word(), Source::Read.stored().0);
        run(db, sql, vec![stream.into(), record.as_str().into(), what.into(), source.into()]).await?;
    }
    Ok(())
}

/// What the pushes of these links did since then, by link.
pub async fn pushed_since(store: &Store, links: &[i64], since: Millis) -> Result<HashMap<i64, Vec<Entry>>, StoreError> {
    let backend = store.db.get_database_backend();
    let texts: Vec<String> = links.iter().map(i64::to_string).collect();
    let sql = format!(
        "SELECT at, what, source, source_number, fields, link_id FROM tidemark_lineage WHERE source = 'push' AND at >= $1 AND link_id {}",
        in_list(backend, 2, "bigint")
    );
    let mut entries: HashMap<i64, Vec<Entry>> = HashMap::new();
    for row in all(&store.db, &sql, vec![since.into(), list(backend, texts.iter().map(String::as_str))]).await? {
        entries.entry(get(&row, 5)?).or_default().push(entry(&row)?);
    }
    Ok(entries)
}

/// What happened to a link, newest first.
pub(crate) async fn of_link(db: &impl ConnectionTrait, link: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
    let sql = format!(
        "SELECT at, what, source, source_number, fields FROM tidemark_lineage WHERE link_id = $1 ORDER BY id DESC LIMIT {limit}"
    );
    all(db, &sql, vec![link.into()]).await?.iter().map(entry).collect()
}

fn entry(row: &QueryResult) -> Result<Entry, StoreError> {
    Ok(Entry {
        at: get(row, 0)?,
        what: What::from_word(&get::<String>(row, 1)?),
        source: get(row, 2)?,
        number: get(row, 3)?,
        fields: from_json(get::<Option<String>>(row, 4)?.as_deref()),
    })
}

/// Forgets what happened before `before`, a bounded number at a time. Ids follow time, so that the oldest are found without an index of their age.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tidemark_lineage WHERE at < $1 AND id IN (SELECT id FROM tidemark_lineage ORDER BY id LIMIT 5000)";
    run(&store.db, sql, vec![before.into()]).await
}
