//! Tells what the owed pushes of a stream would do to records, from the plan that sending them would begin with. Sends nothing, asks no CRM, and claims nothing.

use serde::Serialize;
use tidemark_core::push::{Plan, Subject, plan};
use tidemark_core::record::{RemoteId, RowKey};
use tidemark_store::rows::{self, Mapped};
use tidemark_store::{Store, StoreError, debts, links};

const PAGE: u32 = 500;
/// How many of each kind are named; the counts go on.
const SAMPLE_MAX: usize = 5;

/// What would be done, with the first few of each: the row's key, and the properties that would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WouldSend {
    pub creates: Act,
    pub updates: Act,
    pub archives: Act,
    /// Those that wait for a person or for their parent, once they are looked at.
    pub waits: usize,
    /// Those that come to nothing: both sides say the same.
    pub nothing: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Act {
    pub count: usize,
    pub sample: Vec<String>,
}

impl Act {
    fn add(&mut self, key: &RowKey, properties: &[&str]) {
        self.count += 1;
        if self.sample.len() < SAMPLE_MAX {
            let of = properties.join(", ");
            self.sample.push(if of.is_empty() { format!("row {key}") } else { format!("row {key}: {of}") });
        }
    }
}

/// Looks through everything that is owed of one stream.
pub async fn would_send(store: &Store, mapped: &Mapped) -> Result<WouldSend, StoreError> {
    let mut would = WouldSend::default();
    let mut after = String::new();
    loop {
        let keys = debts::owing_rows(store, mapped.id, &after, PAGE).await?;
        let Some(last) = keys.last() else { return Ok(would) };
        after.clone_from(last);
        let keys: Vec<RowKey> = keys.into_iter().map(RowKey).collect();
        look_at(store, mapped, &keys, &mut would).await?;
    }
}

async fn look_at(store: &Store, mapped: &Mapped, keys: &[RowKey], would: &mut WouldSend) -> Result<(), StoreError> {
    let spec = &mapped.spec;
    let rows = rows::of_keys(store, mapped, keys).await?;
    let links = links::of_rows(store, mapped, keys).await?;
    let now = store.now().await?;
    // Parents go first: by the time a child is sent they have records.
    let parents = vec![Some(RemoteId::new("")); spec.fields.len()];
    for key in keys {
        let row = rows.iter().find(|row| row.key == *key);
        let link = links.get(key).map(|link| &link.view);
        let subject = Subject { row, link, reborn: false, parents: &parents, just_read: true, heir: false, now };
        let name = |at: usize| spec.fields.get(at).map(|field| field.property.as_str());
        match plan(spec, &subject) {
            Plan::Create { .. } => would.creates.add(key, &[]),
            Plan::Update { fields, references, .. } => {
                let sent = fields.iter().map(|sent| sent.field).chain(references.iter().map(|reference| reference.field));
                would.updates.add(key, &sent.filter_map(name).collect::<Vec<_>>());
            }
            Plan::Archive => would.archives.add(key, &[]),
            Plan::Park { .. } | Plan::WaitForParent { .. } => would.waits += 1,
            Plan::Nothing { .. }
            | Plan::NotOurs { .. }
            | Plan::Bury
            | Plan::Forget
            | Plan::HandOver { .. }
            | Plan::ReadFirst(_)
            | Plan::FindLost => would.nothing += 1,
        }
    }
    Ok(())
}
