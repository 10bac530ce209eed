//! What came of a push, in one transaction: the links are locked again and only the fields that were sent move; debts are paid, left, or followed by reads.

use std::collections::{HashMap, HashSet};

use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::delete::Gone;
use tidemark_core::lineage::{Source, What};
use tidemark_core::link::LinkState;
use tidemark_core::page::KnownLink;
use tidemark_core::push::{Sent, settled};
use tidemark_core::record::{RemoteId, Row, RowKey, Value};
use tidemark_core::stale::held_until;

use crate::debts::{self, Claim, Kind, Unpaid};
use crate::lineage::Notes;
use crate::links::{self, Buried, By};
use crate::owing::{self, Owing};
use crate::rows::{self, Lock, Mapped};
use crate::session::Tx;
use crate::settled_links::{self, LinkSettled, unmark};
pub use crate::settlement::Settlement;
use crate::{Store, StoreError, aliases, brakes, changes, children, holds, row_writes, terms};

/// A push whose record waits for a person is looked at again this much later.
const PARKED_MS: Millis = 60_000;

/// Settles a batch of claims. Anything a claimer that was overtaken brings is ignored, except what the CRM now holds: that is true whoever wrote it. In a database that was
/// put back since the claim nothing is settled: its row is another than was sent, and everything is read again.
pub async fn settle(store: &Store, mapped: &Mapped, fence: &str, settlements: &[Settlement<'_>]) -> Result<(), StoreError> {
    if settlements.is_empty() {
        return Ok(());
    }
    let tx = store.begin().await?;
    holds::prove_unbroken(&tx, store, mapped, settlements.iter().map(|settlement| settlement.claim().claimed_at)).await?;
    let keys: Vec<&str> = settlements.iter().map(|settlement| settlement.claim().subject.as_str()).collect();
    let links = links::locked(&tx, mapped, By::Row, keys.iter().copied()).await?;
    let links: HashMap<RowKey, KnownLink> = links.into_iter().filter_map(|link| Some((link.row_key.clone()?, link))).collect();
    let foreign = foreign_links(&tx, mapped, settlements, &links).await?;
    let present = if planted(Bug::BaseFromTheRowAtSettle) {
        rows::by_keys(&tx, mapped, keys.iter().copied(), Lock::Free).await?
    } else {
        Vec::new()
    };
    let mut settling = Settling::default();
    for settlement in settlements {
        let link = links.get(&RowKey::new(settlement.claim().subject.as_str()));
        if settlement.is_final() {
            settling.unmark.extend(link.map(|link| link.id));
        }
        settling.ghosts.extend(link.and_then(|link| {
            let left = settlement.ghosts(mapped, fence, &link.view.ghosts);
            (left != link.view.ghosts).then(|| (link.id, left.to_json(&mapped.spec)))
        }));
        settling.add(mapped, settlement, link, &foreign, &present);
    }
    settling.write(&tx, mapped, fence).await?;
    tx.commit().await?;
    Ok(())
}

/// Records that another row's link holds already: two rows, one record.
async fn foreign_links(
    tx: &Tx,
    mapped: &Mapped,
    settlements: &[Settlement<'_>],
    links: &HashMap<RowKey, KnownLink>,
) -> Result<HashMap<RemoteId, KnownLink>, StoreError> {
    let created: Vec<&str> = settlements
        .iter()
        .filter_map(|settlement| match settlement {
            Settlement::Written { claim, remote_id, .. } | Settlement::Found { claim, remote_id, .. } => {
                let own = links.get(&RowKey::new(claim.subject.as_str())).and_then(|link| link.remote_id.as_ref());
                (own != Some(remote_id)).then_some(remote_id.as_str())
            }
            _ => None,
        })
        .collect();
    if created.is_empty() {
        return Ok(HashMap::new());
    }
    let links = links::locked(tx, mapped, By::Remote, created.into_iter()).await?;
    Ok(links.into_iter().filter_map(|link| Some((link.remote_id.clone()?, link))).collect())
}

#[derive(Default)]
struct Settling<'a> {
    links: Vec<LinkSettled>,
    remote_ids: Vec<(&'a str, &'a str)>,
    buried: Vec<Buried>,
    /// Links of rows that were gone before anything was sent.
    forgotten: Vec<i64>,
    /// Records that buried links leave to whoever waits for them.
    left: Vec<RemoteId>,
    /// Links that give their record up, and the rows that take it over.
    released: Vec<i64>,
    heirs: Vec<&'a str>,
    /// Ids that lead to another record since the two were merged in the CRM, and links whose record is another row's by that.
    aliases: Vec<(RemoteId, RemoteId)>,
    doubles: Vec<i64>,
    /// Tombstones whose row is back.
    resumed: Vec<i64>,
    paid: Vec<&'a Claim>,
    unpaid: Vec<(&'a Claim, Unpaid<'a>)>,
    reads: Vec<(&'a str, Millis)>,
    /// Pushes that wait for a read, with its record.
    after_reads: Vec<(&'a Claim, &'a str, Unpaid<'a>)>,
    unmark: Vec<i64>,
    /// Links whose ghosts are others now.
    ghosts: Vec<(i64, Option<String>)>,
    notes: Notes,
}

impl<'a> Settling<'a> {
    fn add(
        &mut self,
        mapped: &Mapped,
        settlement: &'a Settlement<'a>,
        link: Option<&KnownLink>,
        foreign: &HashMap<RemoteId, KnownLink>,
        present: &[Row],
    ) {
        let spec = &mapped.spec;
        let attempt = i64::from(settlement.claim().attempts) + 1;
        match settlement {
            Settlement::NotOurs { claim } => self.paid.push(claim),
            Settlement::Nothing { claim, base } => {
                if let (Some(base), Some(link)) = (base, link) {
                    self.notes.agreed(spec, link, attempt, base);
                    self.links.push(LinkSettled {
                        id: link.id,
                        base: base.to_json(spec),
                        remote_id: None,
                        modified: None,
                        written: false,
                        open: base.is_open(),
                    });
                }
                self.pay(mapped, claim, base.as_ref().or(link.map(|link| &link.view.base)));
            }
            Settlement::Written { claim, sent, remote_id, created, .. } if spec.is_one_way() => {
                self.delivered(mapped, claim, link, sent, (remote_id, *created));
            }
            Settlement::Written { claim, sent, remote_id, modified, answered, created, complete, .. } => {
                let other = foreign.get(remote_id).filter(|other| Some(other.id) != link.map(|link| link.id));
                // It was written under an id that the CRM has merged into this one meanwhile.
                let old = link.and_then(|link| Some((link.id, link.remote_id.clone()?))).filter(|(_, old)| old != remote_id);
                self.aliases.extend(old.iter().map(|(_, old)| (old.clone(), remote_id.clone())));
                if let Some(other) = other {
                    if let Some((link, _)) = old {
                        self.doubles.push(link);
                        self.notes.whole_by(link, What::Doubled, Source::Push { attempt });
                    }
                    let unpaid = Unpaid::Parked {
                        class: "duplicate",
                        code: Some("two rows, one record"),
                        cause: if other.row_key.is_some() {
                            "the CRM says this is the record of another row"
                        } else {
                            "the record's row is gone"
                        },
                        next_step: "merge the two rows, or correct the value they share, then retry",
                    };
                    return self.unpaid.push((claim, unpaid));
                }
                let Some(link) = link else { return self.paid.push(claim) };
                let mut base = settled(spec, &link.view.base, sent, answered, *created);
                if let Some(row) = present.iter().find(|row| row.key.as_str() == claim.subject) {
                    // Only with the bug planted that this design excludes.
                    for sent in sent {
                        if let Some(Some(field)) = base.fields.get_mut(sent.field) {
                            field.row = row.field(sent.field).map(str::to_owned);
                        }
                    }
                }
                self.notes.sent(spec, link, attempt, sent, &base, *created);
                self.links.push(LinkSettled::written(link, spec, &base, remote_id, *modified));
                if link.remote_id.as_ref() != Some(remote_id) {
                    self.remote_ids.push((&claim.subject, remote_id.as_str()));
                }
                if old.is_some() {
                    self.notes.whole_by(link.id, What::Rebound, Source::Push { attempt });
                }
                if modified.is_none() || old.is_some() {
                    self.reads.push((remote_id.as_str(), 0));
                }
                if *complete {
                    self.pay(mapped, claim, Some(&base));
                }
            }
            Settlement::Found { claim, remote_id, modified } => {
                let Some(link) = link else { return self.paid.push(claim) };
                // Another row's record was merged into it before anybody heard of it: it is that row's now, and nothing of this one is left.
                if foreign.get(remote_id).is_some_and(|other| other.id != link.id) {
                    self.notes.buried(link, attempt, false);
                    self.buried.push(Buried { id: link.id, gone: Gone::Both, modified: None, mark: None });
                    return self.paid.push(claim);
                }
                let base = settled(spec, &link.view.base, &[], &[], false);
                self.notes.sent(spec, link, attempt, &[], &base, false);
                self.links.push(LinkSettled::written(link, spec, &base, remote_id, *modified));
            }
            Settlement::Referred { claim, fields, complete } => {
                let mut base = link.map(|link| link.view.base.clone()).unwrap_or_default();
                if let Some(link) = link {
                    base.fields.resize(spec.fields.len(), None);
                    for (at, row) in fields {
                        base.fields[*at] = Some(tidemark_core::base::FieldBase::agreed(row.clone(), row.clone()));
                    }
                    let sent = |(at, row): &(usize, Value)| Sent { field: *at, row: row.clone(), record: row.clone() };
                    let sent: Vec<Sent> = fields.iter().map(sent).collect();
                    self.notes.sent(spec, link, attempt, &sent, &base, false);
                    self.links.push(LinkSettled {
                        id: link.id,
                        base: base.to_json(spec),
                        remote_id: None,
                        modified: None,
                        written: true,
                        open: base.is_open(),
                    });
                }
                if *complete {
                    self.pay(mapped, claim, Some(&base));
                }
            }
            Settlement::Buried { claim, archived } => {
                if let Some(link) = link {
                    self.notes.buried(link, attempt, *archived);
                    let none_left = *archived || link.view.gone == Some(Gone::Record) || link.remote_id.is_none();
                    let gone = if none_left { Gone::Both } else { Gone::Row };
                    self.left.extend(link.remote_id.clone());
                    self.buried.push(Buried { id: link.id, gone, modified: None, mark: None });
                }
                self.paid.push(claim);
            }
            Settlement::Forgotten { claim } => {
                self.forgotten.extend(link.map(|link| link.id));
                self.paid.push(claim);
            }
            Settlement::HandedOver { claim, heir } => {
                if let Some(link) = link {
                    self.notes.buried(link, attempt, false);
                    self.released.push(link.id);
                    self.heirs.push(heir.as_str());
                }
                self.paid.push(claim);
            }
            Settlement::ReadFirst { claim, remote_id, due_at, cause } => {
                self.reads.push((remote_id.as_str(), 0));
                self.after_reads.push((claim, remote_id.as_str(), Unpaid::Later { due_at: *due_at, cause }));
            }
            Settlement::Unheard { claim, unpaid, .. } | Settlement::Unpaid { claim, unpaid } => {
                self.unpaid.push((claim, unpaid.clone()));
            }
        }
    }

    /// Somebody answered for a delivery: its key is what the next one is made from. There is no record, and nothing to read.
    fn delivered(
        &mut self,
        mapped: &Mapped,
        claim: &'a Claim,
        link: Option<&KnownLink>,
        sent: &[Sent],
        (key, created): (&RemoteId, bool),
    ) {
        if let Some(link) = link {
            let base = settled(&mapped.spec, &link.view.base, sent, &[], created);
            let attempt = i64::from(claim.attempts) + 1;
            let known = |sent: &&Sent| link.view.base.get(sent.field).is_none_or(|known| known.record != sent.record);
            let news: Vec<Sent> = sent.iter().filter(known).cloned().collect();
            self.notes.sent(&mapped.spec, link, attempt, &news, &base, created);
            self.resumed.extend((link.view.state == LinkState::Tombstone).then_some(link.id));
            self.links.push(LinkSettled::written(link, &mapped.spec, &base, key, None));
        }
        self.paid.push(claim);
    }

    /// The claim is paid, unless something of its row is held back for now.
    fn pay(&mut self, mapped: &Mapped, claim: &'a Claim, base: Option<&Base>) {
        match base.and_then(|base| held_until(&mapped.spec, base)) {
            Some(until) => self.unpaid.push((claim, Unpaid::Held { until })),
            None => self.paid.push(claim),
        }
    }

    /// Rows that are gone, and records that were merged into others. A row that waited for the record of a row that is gone now may have it.
    async fn write_merged(&self, tx: &Tx, mapped: &Mapped, fence: &str) -> Result<(), StoreError> {
        aliases::remember(tx, mapped.id, &self.aliases).await?;
        for link in &self.doubles {
            aliases::double(tx, *link).await?;
        }
        links::bury(tx, &self.buried).await?;
        links::unmake(tx, &self.forgotten, fence).await?;
        for link in &self.released {
            aliases::release(tx, *link).await?;
        }
        owing::owe(tx, mapped.id, Kind::Push, self.heirs.iter().copied(), 0, Owing::Freed).await?;
        if !self.left.is_empty() {
            let heirs = aliases::awaited(tx, mapped.id, self.left.iter().map(RemoteId::as_str)).await?;
            let heirs: Vec<&str> = heirs.values().flatten().map(String::as_str).collect();
            owing::owe(tx, mapped.id, Kind::Push, heirs.into_iter(), 0, Owing::Freed).await?;
        }
        Ok(())
    }

    async fn write(mut self, tx: &Tx, mapped: &Mapped, fence: &str) -> Result<(), StoreError> {
        links::resume(tx, &self.resumed).await?;
        settled_links::write(tx, &self.links).await?;
        settled_links::write_ghosts(tx, &self.ghosts).await?;
        self.write_merged(tx, mapped, fence).await?;
        unmark(tx, fence, &self.unmark).await?;
        self.notes.write(tx).await?;
        if mapped.spec.remote_id.is_some() && !self.remote_ids.is_empty() {
            // Rows somebody else holds are left alone: the next read of the record writes its id.
            let keys = self.remote_ids.iter().map(|(key, _)| *key);
            let free: HashSet<RowKey> =
                rows::by_keys(tx, mapped, keys, Lock::Skip).await?.into_iter().map(|row| row.key).collect();
            let pairs: Vec<(&str, &str)> =
                self.remote_ids.iter().copied().filter(|(key, _)| free.contains(&RowKey::new(*key))).collect();
            // An id the order system refuses spoils nobody else's: a read of its record follows, which meets the same refusal and is parked with its cause.
            let refused = write_remote_ids(tx, mapped, pairs).await?;
            self.reads.extend(refused.into_iter().map(|id| (id, 0)));
        }
        let (rows, records): (Vec<&str>, Vec<&str>) = self.remote_ids.iter().copied().unzip();
        children::free(tx, &mapped.spec, &rows, &records).await?;
        // Asked before the reads are owed anew: what a person has yet to say is tried again with the push, not with each second.
        if !self.after_reads.is_empty() {
            let held = brakes::parked_reads(tx, mapped.id, self.after_reads.iter().map(|(_, record, _)| *record)).await?;
            let cause = "its record waits for a person";
            let later = |(claim, record, unpaid): (&'a Claim, &str, Unpaid<'a>)| match unpaid {
                Unpaid::Later { due_at, .. } if held.contains(record) => {
                    (claim, Unpaid::Later { due_at: due_at + PARKED_MS, cause })
                }
                unpaid => (claim, unpaid),
            };
            self.unpaid.extend(std::mem::take(&mut self.after_reads).into_iter().map(later));
        }
        owing::owe(tx, mapped.id, Kind::Read, self.reads.iter().map(|(id, _)| *id), 0, Owing::Freed).await?;
        debts::pay(tx, fence, &self.paid).await?;
        for (claim, unpaid) in &self.unpaid {
            debts::leave(tx, fence, claim, unpaid).await?;
        }
        Ok(())
    }
}

/// Writes the ids the order system takes; gives back those it refuses.
async fn write_remote_ids<'a>(tx: &Tx, mapped: &Mapped, pairs: Vec<(&'a str, &'a str)>) -> Result<Vec<&'a str>, StoreError> {
    let terms = terms::ask(tx, mapped).await?;
    let (mut written, mut refused, mut parts) = (Vec::new(), Vec::new(), vec![pairs]);
    while let Some(mut part) = parts.pop() {
        let savepoint = tx.savepoint().await?;
        match row_writes::set_remote_ids(&savepoint, mapped, &part).await {
            Ok(_) => {
                savepoint.commit().await?;
                written.extend(part.into_iter().map(|(key, _)| key));
            }
            Err(error) if error.is_about_data() => {
                savepoint.rollback().await?;
                if let [(_, id)] = part.as_slice() {
                    refused.push(*id);
                } else {
                    let right = part.split_off(part.len() / 2);
                    parts.extend([right, part]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    changes::end_own(tx, mapped, &terms, &written, &[]).await?;
    Ok(refused)
}
