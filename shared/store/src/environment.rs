//! The one row that says where this database was adopted and how far its pulse is; and the place and the timeline it is found at now.
//!
//! A first look adopts the place by itself. What is older than what was seen of it is held (`holds`); what is seen is remembered by this process and, as a text, by
//! whoever keeps a witness outside. Whether it is another place, or an older database, is decided in the core.

use std::sync::atomic::Ordering;

use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::environment::{Place, Pulse, Standing, Witnessed, doubt};

use crate::query::{get, one, run, scalar};
use crate::{Store, StoreError, acts, holds};

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub pulse: Pulse,
    /// `None` when what is kept cannot be read.
    pub place: Option<Place>,
    pub timeline: Option<i64>,
    pub beat_at: Option<Millis>,
    pub adopted_at: Millis,
    pub now: Millis,
}

impl Environment {
    fn standing(&self) -> Standing {
        let silent = self.beat_at.map(|at| (self.now - at).max(0));
        Standing { beats: self.pulse.beats, silent, timeline: self.timeline }
    }

    /// How far a witness's text says this very database was.
    pub fn seen_by(&self, witness: Option<&str>) -> Option<i64> {
        let witness = witness.and_then(Pulse::parse)?;
        (witness.lineage == self.pulse.lineage).then_some(witness.beats)
    }

    /// Why it may be a restored one, by what a witness and the server say.
    pub fn doubt(&self, witness: Option<&str>, timeline: Option<i64>, guard: Millis) -> Option<String> {
        doubt(self.standing(), Witnessed { beats: self.seen_by(witness), timeline }, guard)
    }
}

/// `None` before anything has started on this database.
pub async fn load(store: &Store) -> Result<Option<Environment>, StoreError> {
    let sql = "SELECT lineage, beats, place, timeline, beat_at, adopted_at, {now} FROM tidemark_environment WHERE id = 1";
    let Some(row) = one(&store.db, sql, vec![]).await? else { return Ok(None) };
    Ok(Some(Environment {
        pulse: Pulse { lineage: get(&row, 0)?, beats: get(&row, 1)? },
        place: serde_json::from_str(&get::<String>(&row, 2)?).ok(),
        timeline: get(&row, 3)?,
        beat_at: get(&row, 4)?,
        adopted_at: get(&row, 5)?,
        now: get(&row, 6)?,
    }))
}

/// Where this database is.
pub async fn place(store: &Store) -> Result<Place, StoreError> {
    if !store.is_postgres() {
        let file: Option<String> = scalar(&store.db, "SELECT file FROM pragma_database_list WHERE name = 'main'", vec![]).await?;
        return Ok(place_of_file(&file.unwrap_or_default()));
    }
    let sql = "SELECT CAST(oid AS BIGINT), CAST(datname AS TEXT) FROM pg_database WHERE datname = current_database()";
    let row = one(&store.db, sql, vec![]).await?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "this database".into(), remedy: "connect again".into() })?;
    let system = "SELECT CAST(system_identifier AS TEXT) FROM pg_control_system()";
    Ok(Place::Postgres {
        system: if may_call(store, "pg_control_system()").await? { Some(scalar(&store.db, system, vec![]).await?) } else { None },
        oid: get(&row, 0)?,
        database: get(&row, 1)?,
        schema: store.schema.clone(),
    })
}

/// A file that is not there, one in memory, is named as it is.
fn place_of_file(file: &str) -> Place {
    let whole = std::fs::canonicalize(file).map_or_else(|_| file.to_owned(), |path| path.display().to_string());
    #[cfg(unix)]
    let inode = std::fs::metadata(file).ok().map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata));
    #[cfg(not(unix))]
    let inode = None;
    Place::Sqlite { file: whole, inode }
}

/// PostgreSQL's timeline, where the role may ask for it.
pub async fn timeline(store: &Store) -> Result<Option<i64>, StoreError> {
    if !store.is_postgres() || !may_call(store, "pg_control_checkpoint()").await? {
        return Ok(None);
    }
    let sql = "SELECT CAST(timeline_id AS BIGINT) FROM pg_control_checkpoint()";
    Ok(Some(scalar(&store.db, sql, vec![]).await?))
}

/// Asked in a statement of its own: a statement that names a function it may not call fails as a whole.
async fn may_call(store: &Store, function: &str) -> Result<bool, StoreError> {
    scalar(&store.db, "SELECT has_function_privilege($1, 'EXECUTE')", vec![function.into()]).await
}

/// Whether this database is where it was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    Home,
    Elsewhere { known: Option<Place>, now: Place },
}

/// Compares the place with the one that was adopted; where none was, this one is.
pub async fn whereabouts(store: &Store) -> Result<Whereabouts, StoreError> {
    let now = place(store).await?;
    let known = match load(store).await? {
        Some(environment) => environment,
        None => {
            adopt_first(store, &now).await?;
            return Ok(Whereabouts::Home);
        }
    };
    Ok(match known.place {
        Some(place) if now.is(&place) => Whereabouts::Home,
        known => Whereabouts::Elsewhere { known, now },
    })
}

async fn adopt_first(store: &Store, place: &Place) -> Result<(), StoreError> {
    let lineage = if store.is_postgres() { "CAST(gen_random_uuid() AS TEXT)" } else { "lower(hex(randomblob(16)))" };
    let sql = format!(
        "INSERT INTO tidemark_environment (id, lineage, place, timeline) VALUES (1, {lineage}, $1, $2) ON CONFLICT (id) DO NOTHING"
    );
    run(&store.db, &sql, vec![text(place).into(), timeline(store).await?.into()]).await?;
    Ok(())
}

fn text(place: &Place) -> String {
    serde_json::to_string(place).unwrap_or_default()
}

/// A person says that this is the place from now on.
pub async fn adopt_place(store: &Store, place: &Place, who: &str, reason: Option<&str>) -> Result<(), StoreError> {
    let timeline = timeline(store).await?;
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_environment SET place = $1, timeline = $2, adopted_at = {now} WHERE id = 1";
    run(&tx, sql, vec![text(place).into(), timeline.into()]).await?;
    acts::record_in(&tx, who, "adopt", &format!("the place: {place}"), reason).await?;
    tx.commit().await
}

/// The most this process has seen of the pulse.
pub(crate) fn most_seen(store: &Store) -> i64 {
    if planted(Bug::RestoreUnnoticed) { 0 } else { store.seen.load(Ordering::SeqCst) }
}

/// How often a look may be overtaken by somebody else's beat before it is left to the next.
const LOOKS_MAX: u32 = 5;

/// Looks whether the database is older than this process, or the `witness` outside, has seen it. If so everything that would be sent is held, and why is told to the one
/// who looked first. The witness's text has to be read before this is called: it follows the database.
pub async fn look(store: &Store, witness: Option<&str>, guard: Millis) -> Result<Option<String>, StoreError> {
    let seen = store.seen.load(Ordering::SeqCst);
    let timeline = timeline(store).await?;
    if planted(Bug::RestoreUnnoticed) {
        return Ok(None);
    }
    for _ in 0..LOOKS_MAX {
        let Some(environment) = load(store).await? else { return Ok(None) };
        let beats = environment.seen_by(witness).max((seen > 0).then_some(seen));
        let Some(why) = doubt(environment.standing(), Witnessed { beats, timeline }, guard) else {
            store.seen.fetch_max(environment.pulse.beats, Ordering::SeqCst);
            if timeline.is_some() && timeline != environment.timeline {
                let sql = "UPDATE tidemark_environment SET timeline = $1 WHERE id = 1";
                run(&store.db, sql, vec![timeline.into()]).await?;
            }
            return Ok(None);
        };
        // From here on this process sends nothing from a database that is behind, whoever writes that down.
        store.seen.fetch_max(beats.unwrap_or_default(), Ordering::SeqCst);
        let most = beats.unwrap_or_default().max(environment.pulse.beats);
        if holds::begin(store, &environment, most, timeline, &why).await? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// The pulse moves by one; with what a witness outside is to repeat. `None` before anything was adopted.
pub async fn beat(store: &Store) -> Result<Option<Pulse>, StoreError> {
    let sql = "UPDATE tidemark_environment SET beats = beats + 1, beat_at = {now} WHERE id = 1 AND beats >= $1 RETURNING lineage, beats";
    let seen = store.seen.load(Ordering::SeqCst);
    let Some(row) = one(&store.db, sql, vec![seen.into()]).await? else { return Ok(None) };
    let pulse = Pulse { lineage: get(&row, 0)?, beats: get(&row, 1)? };
    store.seen.fetch_max(pulse.beats, Ordering::SeqCst);
    Ok(Some(pulse))
}
