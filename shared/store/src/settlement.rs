//! What came of a claim: the outcomes a worker can bring home, and what each leaves to be remembered of what was sent. Writes nothing.

use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::ghost::Ghosts;
use tidemark_core::push::Sent;
use tidemark_core::record::{RemoteId, RowKey, Value};

use crate::debts::{Claim, Unpaid};
use crate::rows::Mapped;

/// What came of one claimed push.
#[derive(Debug)]
pub enum Settlement<'a> {
    /// Nothing of the row is sent as it stands, whatever is held.
    NotOurs {
        claim: &'a Claim,
    },
    /// Nothing had to be sent; the base may have moved.
    Nothing {
        claim: &'a Claim,
        base: Option<Base>,
    },
    /// The CRM took it. `complete` is false while references are still to be sent.
    Written {
        claim: &'a Claim,
        sent: Vec<Sent>,
        remote_id: RemoteId,
        modified: Option<Millis>,
        answered: Vec<(String, Value)>,
        /// When the answer was there, database clock.
        heard_at: Millis,
        created: bool,
        complete: bool,
    },
    /// The record of a row that was deleted while it was being made: the delete may reach it now.
    Found {
        claim: &'a Claim,
        remote_id: RemoteId,
        modified: Option<Millis>,
    },
    /// References were sent: fields and the parents' row keys they now hold.
    Referred {
        claim: &'a Claim,
        fields: Vec<(usize, Value)>,
        complete: bool,
    },
    /// The row is gone; its record is archived now, or left alone.
    Buried {
        claim: &'a Claim,
        archived: bool,
    },
    /// The row is gone, and nothing ever left for its record.
    Forgotten {
        claim: &'a Claim,
    },
    /// The row is gone; its record is the heir's from now on.
    HandedOver {
        claim: &'a Claim,
        heir: RowKey,
    },
    /// The record has to be read by id before anything is sent; the push is looked at again after it.
    ReadFirst {
        claim: &'a Claim,
        remote_id: RemoteId,
        due_at: Millis,
        cause: String,
    },
    /// The CRM may have taken it or may yet: what was sent stays remembered.
    Unheard {
        claim: &'a Claim,
        unpaid: Unpaid<'a>,
        /// It has landed by then or never will.
        landed_by: Millis,
    },
    Unpaid {
        claim: &'a Claim,
        unpaid: Unpaid<'a>,
    },
}

impl Settlement<'_> {
    /// Nothing more will be sent for this claim.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Written { complete: false, .. } | Self::Found { .. } | Self::Referred { complete: false, .. })
    }

    pub(crate) fn claim(&self) -> &Claim {
        match self {
            Self::NotOurs { claim }
            | Self::Nothing { claim, .. }
            | Self::Written { claim, .. }
            | Self::Found { claim, .. }
            | Self::Referred { claim, .. }
            | Self::Buried { claim, .. }
            | Self::Forgotten { claim }
            | Self::HandedOver { claim, .. }
            | Self::ReadFirst { claim, .. }
            | Self::Unheard { claim, .. }
            | Self::Unpaid { claim, .. } => claim,
        }
    }

    /// What of this claim and of others may still show in the record, of what the link knew of.
    pub(crate) fn ghosts(&self, mapped: &Mapped, fence: &str, known: &Ghosts) -> Ghosts {
        match self {
            // Whatever was told before, this is what was told last.
            Self::Written { .. } if mapped.spec.is_one_way() => Ghosts::default(),
            Self::Unheard { landed_by, .. } => known.given_up(fence, *landed_by),
            Self::Written { claim, sent, modified, answered, heard_at, .. } => {
                // Without a stamp nobody can tell which of the versions that are shown later are older than this write.
                let is_told = |field: usize| {
                    let property = mapped.spec.fields.get(field).map(|field| &field.property);
                    modified.is_some() && answered.iter().any(|(told, _)| Some(told) == property)
                };
                known.overwritten(sent, claim.claimed_at).untold(fence, is_told, *heard_at)
            }
            _ => known.without(fence),
        }
    }
}
