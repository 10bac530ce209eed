//! The brakes of each stream as a person looks at them: what was let through within a day, which are on, and what waits behind them.

use std::collections::HashMap;

use serde::Serialize;
use tidemark_core::Millis;
use tidemark_core::brake::{Act, Direction, Tally, answer};

use super::streams::{StreamOverview, place};
use crate::brakes::kind;
use crate::query::{all, get};
use crate::{Store, StoreError};

/// One brake that has something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrakeView {
    /// `in` writes rows, `out` writes records.
    pub direction: Direction,
    pub act: Act,
    /// Let through within a day without asking.
    pub day: i64,
    /// So many pass, as of when it was last asked.
    pub most: i64,
    /// On since then; `None` while it is off.
    pub tripped_at: Option<Millis>,
    /// When somebody last let through what waited.
    pub answered_at: Option<Millis>,
    /// Debts that wait behind it.
    pub held: i64,
}

impl BrakeView {
    /// Somebody is asked.
    pub fn is_on(&self) -> bool {
        self.tripped_at.is_some() || self.held > 0
    }

    /// `180 records are not deleted: 50 within a day pass without asking`.
    pub fn words(&self) -> String {
        let (things, done) = (self.direction.things(), self.act.done());
        let waiting = match self.held {
            0 => format!("no more {things} are {done}"),
            1 => format!("1 of the {things} is not {done}"),
            held => format!("{held} {things} are not {done}"),
        };
        format!("{waiting}: {} within a day pass without asking", self.most)
    }

    /// The command that lets them through.
    pub fn remedy(&self, stream: &str) -> String {
        answer(stream, self.act)
    }
}

pub(super) async fn add(store: &Store, streams: &mut [StreamOverview], at: &HashMap<i64, usize>) -> Result<(), StoreError> {
    let held = "SELECT stream_id, kind, class, count(*) FROM tidemark_debt WHERE state = 'parked' AND class LIKE 'brake_%' GROUP BY stream_id, kind, class LIMIT 8000";
    let mut waiting: HashMap<(i64, String, String), i64> = HashMap::new();
    for row in all(&store.db, held, vec![]).await? {
        waiting.insert((get(&row, 0)?, get(&row, 1)?, get(&row, 2)?), get(&row, 3)?);
    }
    let sql = "SELECT stream_id, direction, act, tally, most, tripped_at, answered_at, {now} FROM tidemark_brake
        WHERE tally <> '' OR tripped_at IS NOT NULL OR answered_at IS NOT NULL ORDER BY stream_id, direction, act LIMIT 8000";
    for row in all(&store.db, sql, vec![]).await? {
        let (direction, act) = (Direction::from_word(&get::<String>(&row, 1)?), Act::from_word(&get::<String>(&row, 2)?));
        let (Some(direction), Some(act)) = (direction, act) else { continue };
        let kind = kind(direction).word().to_owned();
        let held = waiting.get(&(get(&row, 0)?, kind, act.class().to_owned())).copied().unwrap_or(0);
        let day = Tally::parse(&get::<String>(&row, 3)?).within_day(get(&row, 7)?);
        let view =
            BrakeView { direction, act, day, most: get(&row, 4)?, tripped_at: get(&row, 5)?, answered_at: get(&row, 6)?, held };
        if let Some(stream) = place(streams, at, &row)? {
            stream.brakes.push(view);
        }
    }
    Ok(())
}
