//! A link as the decisions see it: where it stands, what was last agreed, and how new the newest version is that it incorporates.

use crate::Millis;
use crate::base::Base;
use crate::delete::Gone;
use crate::ghost::Ghosts;

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    Linked,
    /// A create was begun for the row; whether the record exists is not known while no lease lives.
    Creating,
    /// One side is gone; kept so that neither is made again.
    Tombstone,
    /// The record was merged into one that belongs to another row: two rows, one record. Nothing is sent for the row until a person has merged the rows.
    Double,
}

impl LinkState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Creating => "creating",
            Self::Tombstone => "tombstone",
            Self::Double => "double",
        }
    }
}

/// What the merge needs to know of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    pub state: LinkState,
    /// Of a tombstone: which side is gone, where that is known.
    pub gone: Option<Gone>,
    pub base: Base,
    /// Newest remote version the link incorporates, by the CRM's stamp; of a tombstone the version that was deleted.
    pub seen: Option<Millis>,
    /// When a push of this link last settled, database clock.
    pub written_at: Option<Millis>,
    /// A push of this link is under way.
    pub push_leased: bool,
    /// What was sent with an unknown outcome.
    pub ghosts: Ghosts,
}
