//! Watches what stops without a failure: a trigger of ours that is dropped or disabled, a brake that trips. Each is told within a tick, once. Never installs a trigger,
//! answers no brake.

use tidemark_core::brake::answer;
use tidemark_core::window::millis;
use tidemark_store::capture::{self, Captured};
use tidemark_store::watch::{Change, note};
use tidemark_store::{Store, StoreError, acts, brakes};
use tracing::{error, info};

/// Looks at each table once. Returns how many changed since anybody looked.
pub async fn once(store: &Store, tables: &[Captured]) -> Result<usize, StoreError> {
    let mut changed = 0;
    for table in tables {
        let standing = capture::verify(store, &table.shape, &table.specs()).await?;
        let walk_every = table.specs.iter().map(|spec| millis(spec.poll.settled_every)).min().unwrap_or_default();
        let name = &table.shape.table;
        match note(store, &table.shape, standing, walk_every).await? {
            None => continue,
            Some(Change::Lost) => error!(
                table = %name,
                "capture on {name} is lost: triggers of it or of a partition are missing or disabled (`tidemark capture --verify` names them); edits in the order system are found by comparing every row until `tidemark migrate` puts them back"
            ),
            Some(Change::Back) => {
                info!(table = %name, "capture on {name} is back; every row is compared once for what was changed meanwhile");
            }
        }
        changed += 1;
    }
    Ok(changed)
}

/// Tells of brakes that tripped since anybody looked. Returns how many.
pub async fn brakes(store: &Store) -> Result<usize, StoreError> {
    let tripped = brakes::untold(store).await?;
    for one in &tripped {
        let (stream, things, done, act) = (&one.stream, one.direction.things(), one.act.done(), one.act.word());
        error!(
            stream = %stream, direction = one.direction.word(), act,
            "the brake of {stream} is on: {} {things} were {done} within a day, and more are to be; they wait until `{}`",
            one.most,
            answer(stream, one.act)
        );
        let reason = format!("more than {} {things} were to be {done} within a day: the rest waits for a person", one.most);
        acts::record(store, "tidemark", "brake", &format!("stream {stream}"), Some(&reason)).await?;
    }
    Ok(tripped.len())
}
