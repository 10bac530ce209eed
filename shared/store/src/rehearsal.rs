//! Loads what a page is planned from, as applying it does, and lets go of everything again: what a first meeting would come to is told from the same plan.

use tidemark_core::freshness::Heard;
use tidemark_core::page::{Known, Step, plan};
use tidemark_core::record::Record;
use tidemark_core::spec::StreamSpec;
use tidemark_core::survivor::absorb;
use tidemark_core::window::Reader;

use crate::known::{load, resolve_references};
use crate::page::Parents;
use crate::rows::Mapped;
use crate::{Store, StoreError};

/// A page of records with what was known of them.
#[derive(Debug)]
pub struct Rehearsed {
    pub records: Vec<Record>,
    pub known: Known,
    heard: Heard,
}

impl Rehearsed {
    /// The steps that applying the page would take.
    pub fn steps<'a>(&'a self, spec: &'a StreamSpec) -> Vec<Step<'a>> {
        plan(spec, &self.records, &self.known, self.heard, 0)
    }
}

/// Loads what a page is planned from as `apply_page` does, and lets go of everything again.
pub async fn rehearse(
    store: &Store,
    mapped: &Mapped,
    parents: &Parents<'_>,
    mut records: Vec<Record>,
) -> Result<Rehearsed, StoreError> {
    let heard = Heard::Page { asked_at: store.now().await?, commit_lag: 0, reader: Reader::Fast, orders_until: None };
    let tx = store.begin().await?;
    resolve_references(&tx, mapped, parents, &mut records).await?;
    let mut known = load(&tx, mapped, &records, heard, false).await?;
    tx.rollback().await?;
    known.absorbed = absorb(&mapped.spec, &records, &known);
    Ok(Rehearsed { records, known, heard })
}
