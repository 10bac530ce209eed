//! Writes what settling a push, or a person's word, leaves of links: their base, what they have seen, what is still unheard; and ends our mark on them. Decides nothing.

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::page::KnownLink;
use tidemark_core::record::RemoteId;
use tidemark_core::spec::StreamSpec;

use crate::StoreError;
use crate::dialect::{in_list, list, table};
use crate::query::run;
use crate::session::Tx;

/// What a link holds once its push is settled, or a person has decided.
pub(crate) struct LinkSettled {
    pub(crate) id: i64,
    pub(crate) base: String,
    pub(crate) remote_id: Option<RemoteId>,
    pub(crate) modified: Option<Millis>,
    pub(crate) written: bool,
    /// A field still waits for a person.
    pub(crate) open: bool,
}

impl LinkSettled {
    /// What was written to this record, or found to have been, is known now.
    pub(crate) fn written(
        link: &KnownLink,
        spec: &StreamSpec,
        base: &Base,
        remote_id: &RemoteId,
        modified: Option<Millis>,
    ) -> Self {
        let (base, open) = (base.to_json(spec), base.is_open());
        Self { id: link.id, base, remote_id: Some(remote_id.clone()), modified, written: true, open }
    }
}

/// Moves the links on; what a link has seen never goes back.
pub(crate) async fn write(tx: &Tx, links: &[LinkSettled]) -> Result<(), StoreError> {
    if links.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let texts: Vec<(String, Option<String>)> =
        links.iter().map(|link| (link.id.to_string(), link.modified.map(|stamp| stamp.to_string()))).collect();
    let mut cells = Vec::with_capacity(links.len() * 6);
    for (link, (id, modified)) in links.iter().zip(&texts) {
        let (written, open) = (link.written.then_some("1"), link.open.then_some("1"));
        cells.extend([
            Some(id.as_str()),
            Some(link.base.as_str()),
            link.remote_id.as_ref().map(RemoteId::as_str),
            modified.as_deref(),
            written,
            open,
        ]);
    }
    let (source, values) = table(backend, 1, 6, &cells);
    let sql = format!(
        "UPDATE tidemark_link AS t SET base = v.c1, remote_id = COALESCE(v.c2, t.remote_id), version = t.version + 1,
            state = CASE WHEN COALESCE(v.c2, t.remote_id) IS NULL THEN t.state ELSE 'linked' END,
            seen = CASE WHEN t.seen IS NULL OR CAST(v.c3 AS BIGINT) > t.seen THEN COALESCE(CAST(v.c3 AS BIGINT), t.seen) ELSE t.seen END,
            written_at = CASE WHEN v.c4 = '1' THEN {{now}} ELSE t.written_at END,
            open_since = CASE WHEN v.c5 = '1' THEN COALESCE(t.open_since, {{now}}) END
         FROM {source} WHERE t.id = CAST(v.c0 AS BIGINT)"
    );
    run(tx, &sql, values).await?;
    Ok(())
}

/// Writes what is left of unheard writes.
pub(crate) async fn write_ghosts(tx: &Tx, links: &[(i64, Option<String>)]) -> Result<(), StoreError> {
    if links.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = links.iter().map(|(id, _)| id.to_string()).collect();
    let cells: Vec<Option<&str>> =
        links.iter().zip(&ids).flat_map(|((_, left), id)| [Some(id.as_str()), left.as_deref()]).collect();
    let (source, values) = table(tx.get_database_backend(), 1, 2, &cells);
    let sql = format!("UPDATE tidemark_link AS t SET ghosts = v.c1 FROM {source} WHERE t.id = CAST(v.c0 AS BIGINT)");
    run(tx, &sql, values).await?;
    Ok(())
}

/// Ends our mark on the links: pages may merge them again.
pub(crate) async fn unmark(db: &impl ConnectionTrait, fence: &str, ids: &[i64]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    let backend = db.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_link SET push_until = NULL, push_fence = NULL WHERE push_fence = $1 AND id {}",
        in_list(backend, 2, "bigint")
    );
    run(db, &sql, vec![fence.into(), list(backend, texts.iter().map(String::as_str))]).await?;
    Ok(())
}
