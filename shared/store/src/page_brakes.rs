//! Asks the brakes about what a batch of records is about to do to rows. What they hold is not written: it becomes an owed read that waits for a person, and the
//! window passes.

use std::collections::HashMap;

use tidemark_core::brake::{Act, Direction, Item, Ruling, act_on_row, passes};
use tidemark_core::page::{Known, Step};
use tidemark_core::record::{Record, RemoteId};

use crate::rows::Mapped;
use crate::session::Tx;
use crate::{StoreError, brakes};

/// The steps, those that a brake holds turned into `Step::Held`. `passed` is what owed reads of the records are let through for; `read_debts`: more may be owed than those.
pub(crate) async fn hold_back<'a>(
    tx: &Tx,
    mapped: &Mapped,
    records: &[Record],
    known: &Known,
    mut steps: Vec<Step<'a>>,
    passed: &HashMap<&str, &str>,
    read_debts: bool,
) -> Result<Vec<Step<'a>>, StoreError> {
    // A page may show what an owed read is let through for before that read is made.
    let owed = match read_debts {
        true => brakes::passed_reads(tx, mapped.id, records.iter().map(|record| record.id.as_str())).await?,
        false => HashMap::new(),
    };
    let passed = |id: &RemoteId| passed.get(id.as_str()).copied().or_else(|| owed.get(id.as_str()).map(String::as_str));
    let (mut asked, mut items) = (Vec::new(), Vec::new());
    for (at, (record, step)) in records.iter().zip(&steps).enumerate() {
        let key = match step {
            Step::Merge { key, .. } | Step::Bind { key, .. } | Step::Rebind { key, .. } | Step::Lift { key, .. } => Some(key),
            _ => None,
        };
        let Some(act) = act_on_row(step, key.and_then(|key| known.rows.get(key))) else { continue };
        let link = known.links.get(&record.id).or_else(|| known.links_by_row.get(key?));
        let passed = passes(passed(&record.id), act);
        items.push(Item { act, passed, counted_at: link.and_then(|link| link.counted_in), owed_at: None });
        asked.push((at, link.map(|link| link.id)));
    }
    let rulings = brakes::ask(tx, mapped, Direction::In, &items).await?;
    let mut counted = Vec::new();
    for (((at, link), item), ruling) in asked.into_iter().zip(items).zip(rulings) {
        match ruling {
            Ruling::Passes => {}
            Ruling::Counted => counted.extend(link.filter(|_| item.act == Act::Update)),
            Ruling::Held => steps[at] = Step::Held { act: item.act },
        }
    }
    brakes::count_links(tx, Direction::In, &counted).await?;
    Ok(steps)
}
