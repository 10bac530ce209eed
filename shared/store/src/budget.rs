//! Budgets shared by every worker: for each bucket the rate as one moving time (GCRA), for the connection the day as a counter.
//!
//! All of it is one row per connection, so that one update decides: a call of one bucket can never pass a day that a call of another has just spent. A call books the
//! next free slot and starts within it, or books another: slots that are not used lapse by themselves, so nothing can leak or be returned twice.

use tidemark_core::Millis;
use tidemark_core::source::Bucket;

use crate::query::{get, one, run, scalar};
use crate::{Store, StoreError};

/// What one bucket admits, and all of them together in a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    /// Slots that may be used at once after a quiet time.
    pub burst: u32,
    /// Of every bucket of the connection, in the unit in which the vendor counts: calls, unless some cost more.
    pub per_day: Option<u64>,
    /// A slot farther ahead than this is not booked; the caller does something else meanwhile.
    pub wait_max: Millis,
}

/// A booked slot, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Start the call after `wait` milliseconds, and no later than a moment after that. `recorded`: somebody wants to see what is said in it.
    Slot { wait: Millis, recorded: bool },
    /// The rate's next slot is farther away than the caller waits.
    Busy { wait: Millis },
    /// The day is spent; it ends in `wait` milliseconds (UTC midnight of the database's clock).
    DaySpent { wait: Millis },
    /// The connection is paused: no call at all.
    Paused,
}

/// What a call is booked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purse {
    /// A bucket of the connection; the day is counted over all of them.
    Of(Bucket),
    /// The background's share, with a day of its own, beside the connection's.
    Background,
}

impl Purse {
    /// The row. Its key still names the bucket that each had a row for once; `general` is the connection's.
    fn row(self) -> &'static str {
        match self {
            Self::Of(_) => "general",
            Self::Background => "background",
        }
    }

    /// The column of its moving time.
    fn tat(self) -> &'static str {
        match self {
            Self::Of(Bucket::General) | Self::Background => "tat_us",
            Self::Of(Bucket::Search) => "search_tat_us",
        }
    }
}

/// Books one call. One statement decides over rate, day and pause, so that any number of workers share them exactly.
pub async fn book(store: &Store, connection: &str, purse: Purse, rate: Rate) -> Result<Grant, StoreError> {
    #[expect(clippy::cast_possible_truncation, reason = "microseconds between two calls")]
    let interval = (1_000_000.0 / rate.per_second.max(0.000_1)) as i64;
    let slack = interval * i64::from(rate.burst.saturating_sub(1));
    let per_day = rate.per_day.and_then(|per_day| i64::try_from(per_day).ok()).unwrap_or(i64::MAX);
    let (now, today, tat) = ("({now} * 1000)", "({now} / 86400000)", purse.tat());
    let purse_row = purse.row();
    // slot = the later of the moving time and now less the burst's slack; a slot in the past is due now.
    let greatest = if store.is_postgres() { "GREATEST" } else { "max" };
    let slot = format!("{greatest}(b.{tat}, {now} - $2)");
    let row = if store.is_postgres() { "b." } else { "" };
    let sql = format!(
        "UPDATE tidemark_budget AS b SET {tat} = {slot} + $3, day = {today}, day_calls = CASE WHEN b.day = {today} THEN b.day_calls + 1 ELSE 1 END
         WHERE b.connection = $1 AND b.bucket = '{purse_row}' AND {slot} - {now} <= $4 AND (b.day <> {today} OR b.day_calls < $5)
           AND EXISTS (SELECT 1 FROM tidemark_connection c WHERE c.name = $1 AND c.state = 'running')
         RETURNING {row}{tat} - $3 - {now}, (SELECT c.record_until > {{now}} AND c.record_left > 0 FROM tidemark_connection c WHERE c.name = $1)"
    );
    let values = vec![connection.into(), slack.into(), interval.into(), (rate.wait_max * 1_000).into(), per_day.into()];
    if let Some(row) = one(&store.db, &sql, values).await? {
        let ahead: i64 = get(&row, 0)?;
        let recorded = get::<Option<bool>>(&row, 1)?.unwrap_or(false);
        return Ok(Grant::Slot { wait: (ahead.max(0) + 999) / 1_000, recorded });
    }
    why_not(store, connection, purse, per_day, rate.wait_max).await
}

/// Takes what a call cost beyond one of the day, once it was made: whoever is under way at that moment may draw a little more than the day has.
pub async fn spend(store: &Store, connection: &str, purses: &[Purse], units: u32) -> Result<(), StoreError> {
    for purse in purses {
        let sql = format!(
            "UPDATE tidemark_budget SET day_calls = CASE WHEN day = {{now}} / 86400000 THEN day_calls ELSE 0 END + $2, day = {{now}} / 86400000
             WHERE connection = $1 AND bucket = '{}'",
            purse.row()
        );
        run(&store.db, &sql, vec![connection.into(), i64::from(units).into()]).await?;
    }
    Ok(())
}

/// What the connection has spent today, in the unit in which the vendor counts, UTC by the database's clock.
pub async fn spent_today(store: &Store, connection: &str) -> Result<i64, StoreError> {
    let sql = "SELECT CAST(COALESCE(sum(day_calls), 0) AS BIGINT) FROM tidemark_budget WHERE connection = $1 AND bucket = 'general' AND day = {now} / 86400000";
    scalar(&store.db, sql, vec![connection.into()]).await
}

async fn why_not(store: &Store, connection: &str, purse: Purse, per_day: i64, wait_max: Millis) -> Result<Grant, StoreError> {
    let (tat, purse_row) = (purse.tat(), purse.row());
    let sql = format!(
        "SELECT c.state, b.{tat} / 1000 - {{now}}, b.day = {{now}} / 86400000 AND b.day_calls >= $2, 86400000 - {{now}} % 86400000
        FROM tidemark_connection c LEFT JOIN tidemark_budget b ON b.connection = c.name AND b.bucket = '{purse_row}' WHERE c.name = $1"
    );
    let row = one(&store.db, &sql, vec![connection.into(), per_day.into()]).await?;
    let row = row.ok_or_else(|| StoreError::Missing {
        what: format!("connection {connection}"),
        remedy: "start with the present configuration once".into(),
    })?;
    if get::<String>(&row, 0)? != "running" {
        return Ok(Grant::Paused);
    }
    let Some(wait) = get::<Option<i64>>(&row, 1)? else {
        let sql = "INSERT INTO tidemark_budget (connection, bucket) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        run(&store.db, sql, vec![connection.into(), purse_row.into()]).await?;
        return Ok(Grant::Busy { wait: 1 });
    };
    if get::<Option<bool>>(&row, 2)?.unwrap_or(false) {
        return Ok(Grant::DaySpent { wait: get(&row, 3)? });
    }
    // What was in the way is gone already (the row was being made by another worker): ask again.
    Ok(Grant::Busy { wait: if wait < wait_max { 1 } else { wait } })
}
