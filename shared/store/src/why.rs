//! Loads everything that is known of one row or record, for whoever asks why it is as it is. Changes nothing, and calls no CRM.

use sea_orm::QueryResult;
use tidemark_core::base::Base;
use tidemark_core::link::LinkState;
use tidemark_core::record::{RemoteId, Row, RowKey};
use tidemark_core::spec::StreamSpec;
use tidemark_core::why::{Asked, DebtFacts, Facts, LinkFacts, RowFacts};

use crate::debts::Kind;
use crate::links::By;
use crate::query::{get, one};
use crate::rows::{self, Lock, Mapped};
use crate::{Store, StoreError, children, lineage};

/// The newest entries that are shown of one thing.
const HISTORY_MAX: usize = 200;

/// What is known of `asked` in a stream. `mapped` are streams with their tables at hand, this one and its parents; a process that may not look into order tables gives
/// none, and hears of links, debts and history only.
pub async fn look(store: &Store, stream: i64, spec: &StreamSpec, asked: &Asked, mapped: &[Mapped]) -> Result<Facts, StoreError> {
    let own = mapped.iter().find(|mapped| mapped.id == stream);
    let mut facts = Facts { halted: halted(store, spec).await?, ..Facts::default() };
    if asked.may_be_row() {
        facts.row = row(store, own, asked.text()).await?;
        // The key as the database writes it, which somebody may have typed in another form.
        let key = if let RowFacts::Found(row) = &facts.row { row.key.clone() } else { RowKey::new(asked.text()) };
        facts.link = link(store, stream, spec, By::Row, key.as_str()).await?;
        facts.push = debt(store, stream, Kind::Push, key.as_str()).await?;
        facts.row_key = facts.is_known().then_some(key);
    }
    if asked.may_be_record() {
        let found = link(store, stream, spec, By::Remote, asked.text()).await?;
        if facts.row_key.is_some() {
            let own_id = facts.link.as_ref().and_then(|link| link.remote_id.as_ref());
            facts.also_a_record = found.is_some() && own_id.map(RemoteId::as_str) != Some(asked.text());
        } else {
            facts.read = debt(store, stream, Kind::Read, asked.text()).await?;
            facts.link = found;
            facts.remote_id = facts.is_known().then(|| RemoteId::new(asked.text()));
        }
    }
    complete(store, stream, own, &mut facts).await?;
    facts.parent_kept_back = parent_kept_back(store, stream, spec, &facts, mapped).await?;
    Ok(facts)
}

/// The other side of a link that was found by one, and what happened to it.
async fn complete(store: &Store, stream: i64, own: Option<&Mapped>, facts: &mut Facts) -> Result<(), StoreError> {
    let Some(link) = facts.link.clone() else { return Ok(()) };
    if let (None, Some(key)) = (&facts.row_key, link.row_key) {
        facts.row = row(store, own, key.as_str()).await?;
        facts.push = debt(store, stream, Kind::Push, key.as_str()).await?;
        facts.row_key = Some(key);
    }
    if let (None, Some(id)) = (&facts.remote_id, link.remote_id) {
        facts.read = debt(store, stream, Kind::Read, id.as_str()).await?;
        facts.remote_id = Some(id);
    }
    facts.history = lineage::of_link(&store.db, link.id, HISTORY_MAX + 1).await?;
    facts.older = facts.history.len() > HISTORY_MAX;
    facts.history.truncate(HISTORY_MAX);
    Ok(())
}

/// A text that cannot be a key of the table names no row.
async fn row(store: &Store, mapped: Option<&Mapped>, key: &str) -> Result<RowFacts, StoreError> {
    let Some(mapped) = mapped else { return Ok(RowFacts::NotLooked) };
    let rows = match rows::by_keys(&store.db, mapped, std::iter::once(key), Lock::Free).await {
        Err(error) if error.is_about_data() => Vec::new(),
        rows => rows?,
    };
    Ok(rows.into_iter().next().map_or(RowFacts::Absent, RowFacts::Found))
}

async fn link(store: &Store, stream: i64, spec: &StreamSpec, by: By, item: &str) -> Result<Option<LinkFacts>, StoreError> {
    let column = match by {
        By::Row => "row_key",
        By::Remote => "remote_id",
    };
    let sql = format!(
        "SELECT id, row_key, remote_id, state, base, created_at, made, COALESCE(push_until, 0) > {{now}}, ghosts IS NOT NULL
         FROM tidemark_link WHERE stream_id = $1 AND {column} = $2"
    );
    let Some(row) = one(&store.db, &sql, vec![stream.into(), item.into()]).await? else { return Ok(None) };
    let state = match get::<String>(&row, 3)?.as_str() {
        "creating" => LinkState::Creating,
        "tombstone" => LinkState::Tombstone,
        "double" => LinkState::Double,
        _ => LinkState::Linked,
    };
    Ok(Some(LinkFacts {
        id: get(&row, 0)?,
        row_key: get::<Option<String>>(&row, 1)?.map(RowKey),
        remote_id: get::<Option<String>>(&row, 2)?.map(RemoteId),
        state,
        base: Base::from_json(spec, &get::<String>(&row, 4)?),
        since: get(&row, 5)?,
        made: get(&row, 6)?,
        push_under_way: get(&row, 7)?,
        unheard: get(&row, 8)?,
    }))
}

async fn debt(store: &Store, stream: i64, kind: Kind, subject: &str) -> Result<Option<DebtFacts>, StoreError> {
    let sql = "SELECT state, attempts, cause, next_step, due_at, COALESCE(lease_until, 0) > {now} FROM tidemark_debt
        WHERE stream_id = $1 AND kind = $2 AND subject = $3";
    let read = |row: &QueryResult| {
        Ok(DebtFacts {
            state: get(row, 0)?,
            attempts: get(row, 1)?,
            cause: get(row, 2)?,
            next_step: get(row, 3)?,
            due_at: get(row, 4)?,
            leased: get(row, 5)?,
        })
    };
    one(&store.db, sql, vec![stream.into(), kind.word().into(), subject.into()]).await?.as_ref().map(read).transpose()
}

/// Why nothing is read or written in the stream at the moment.
async fn halted(store: &Store, spec: &StreamSpec) -> Result<Option<String>, StoreError> {
    let sql = "SELECT s.state, s.reason, c.state, c.reason FROM tidemark_stream s LEFT JOIN tidemark_connection c ON c.name = s.connection WHERE s.name = $1";
    let Some(row) = one(&store.db, sql, vec![spec.name.clone().into()]).await? else { return Ok(None) };
    let (stream, reason): (String, Option<String>) = (get(&row, 0)?, get(&row, 1)?);
    let (connection, why): (Option<String>, Option<String>) = (get(&row, 2)?, get(&row, 3)?);
    let because = |reason: Option<String>| reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Ok(if stream == "plan_ready" {
        Some(format!("the stream waits for its go, and nothing is read or written before `tidemark resume {}`", spec.name))
    } else if stream != "running" {
        Some(format!("the stream is {stream}{}", because(reason)))
    } else {
        connection.filter(|state| state != "running").map(|state| format!("the connection is {state}{}", because(why)))
    })
}

/// The row that a push waits for is itself kept out of the CRM.
async fn parent_kept_back(
    store: &Store,
    stream: i64,
    spec: &StreamSpec,
    facts: &Facts,
    mapped: &[Mapped],
) -> Result<bool, StoreError> {
    let (Some(key), Some("parent")) = (&facts.row_key, facts.push.as_ref().map(|debt| debt.state.as_str())) else {
        return Ok(false);
    };
    let Some((object, parent)) = children::parent_of(store, stream, key.as_str()).await? else { return Ok(false) };
    let of_object = |mapped: &&Mapped| mapped.spec.connection == spec.connection && mapped.spec.object == object;
    let Some(mapped) = mapped.iter().find(of_object) else { return Ok(false) };
    let rows: Vec<Row> = rows::of_keys(store, mapped, &[RowKey(parent)]).await?;
    Ok(rows.iter().any(|row| !row.is_sendable(&mapped.spec)))
}
