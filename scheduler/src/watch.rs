//! Watches capture: a trigger of ours that is dropped or disabled is told within a tick, and every row is compared until it is back. Never installs one.

use tidemark_core::window::millis;
use tidemark_store::capture::{self, Captured};
use tidemark_store::watch::{Change, note};
use tidemark_store::{Store, StoreError};
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
                "capture on {name} is lost: its triggers are missing or disabled; edits in the order system are found by comparing every row until `tidemark migrate` puts them back"
            ),
            Some(Change::Back) => {
                info!(table = %name, "capture on {name} is back; every row is compared once for what was changed meanwhile");
            }
        }
        changed += 1;
    }
    Ok(changed)
}
