//! Which mapping of a stream is in force: a process that starts with another one makes it so, and everything is read anew; those that still go by the old one do nothing more.

use tidemark_core::bug::{Bug, planted};
use tidemark_core::spec::StreamSpec;

use crate::query::{get, one, run, scalar};
use crate::rows::Mapped;
use crate::streams::{self, Stream};
use crate::{Store, StoreError, brakes};

/// Makes the stream's row if it has none: a new stream stands at `plan_ready`. A changed mapping re-reads everything, once: new fields then meet. A window that was
/// open under the old mapping is abandoned, or its end would pass for the end of the new reading.
pub async fn register(store: &Store, spec: &StreamSpec) -> Result<Stream, StoreError> {
    let table = store.qualify(&spec.table).to_string();
    let digest = spec.digest();
    // A process that stands still may hold the stream's row: whoever starts with the mapping that is known asks for no lock.
    let brakes = "SELECT count(*) FROM tidemark_stream s JOIN tidemark_brake b ON b.stream_id = s.id WHERE s.name = $1 AND s.mapping_digest = $2";
    if scalar::<i64>(&store.db, brakes, vec![spec.name.clone().into(), digest.clone().into()]).await? < brakes::PER_STREAM {
        register_anew(store, spec, &table, &digest).await?;
    }
    streams::find(store, &spec.name)
        .await?
        .ok_or_else(|| StoreError::Missing { what: format!("stream {}", spec.name), remedy: "run `tidemark migrate`".into() })
}

async fn register_anew(store: &Store, spec: &StreamSpec, table: &str, digest: &str) -> Result<(), StoreError> {
    if planted(Bug::ResumesAcrossMappings) {
        let sql = "UPDATE tidemark_stream SET mapping_digest = $2 WHERE name = $1";
        run(&store.db, sql, vec![spec.name.clone().into(), digest.into()]).await?;
    }
    let tx = store.begin().await?;
    let one_way = i64::from(spec.is_one_way());
    let sql = "INSERT INTO tidemark_stream (name, connection, object, table_name, mapping_digest, one_way) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
    let (name, connection, object) = (spec.name.clone(), spec.connection.clone(), spec.object.clone());
    run(&tx, sql, vec![name.clone().into(), connection.into(), object.into(), table.into(), digest.into(), one_way.into()])
        .await?;
    // What was agreed on with a CRM is not what was delivered, nor is a delivery's key a record's id.
    let other = "SELECT count(*) FROM tidemark_stream WHERE name = $1 AND one_way <> $2";
    if scalar::<i64>(&tx, other, vec![name.clone().into(), one_way.into()]).await? > 0 {
        let (kind, was) = if spec.is_one_way() { ("one-way", "two-way") } else { ("two-way", "one-way") };
        return Err(StoreError::Missing {
            what: format!("{name} as a {kind} stream"),
            remedy: format!("it stands there as a {was} one; give the connection another name, so that it begins anew"),
        });
    }
    let sql = "UPDATE tidemark_stream SET table_name = $2, mapping_digest = $3, fast_until = NULL, walk_owed = 1, walk_position = NULL, walk_pass = NULL, fence = fence + 1,
        lease_until = NULL, reason = 'the mapping changed: everything is read once more' WHERE name = $1 AND mapping_digest <> $3";
    if run(&tx, sql, vec![name.clone().into(), table.into(), digest.into()]).await? == 1 {
        let sql = "UPDATE tidemark_window SET state = 'abandoned', ended_at = {now} WHERE state IN ('open', 'drained')
            AND stream_id = (SELECT id FROM tidemark_stream WHERE name = $1)";
        run(&tx, sql, vec![name.into()]).await?;
    }
    brakes::register(&tx, &spec.name).await?;
    tx.commit().await
}

/// Whether this process goes by the mapping that is in force: another may have been started with a changed one.
pub async fn is_in_force(store: &Store, mapped: &Mapped) -> Result<bool, StoreError> {
    let sql = "SELECT mapping_digest FROM tidemark_stream WHERE id = $1";
    let Some(row) = one(&store.db, sql, vec![mapped.id.into()]).await? else { return Ok(false) };
    Ok(get::<String>(&row, 0)? == mapped.spec.digest() || planted(Bug::OldMappingReads))
}
