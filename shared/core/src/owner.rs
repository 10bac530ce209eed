//! Who decides a field, and which column tells when its row was changed. Part of a stream's mapping; decides nothing itself.

use serde::{Deserialize, Serialize};

/// Whose value stands when both sides changed a field, or when the losing side changed it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The CRM's value stands; a local change is put right by a read.
    Crm,
    /// The order database's value stands; a change in the CRM is put right by a push.
    Orders,
    /// Either side may change it; when both did, a person decides.
    Hold,
    /// Either side may change it; when both did, the later change stands, and this owner decides where that cannot be told.
    Newest(Fallback),
}

/// Who decides where nobody can tell which side was changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    Crm,
    Orders,
    Hold,
}

impl Fallback {
    pub fn owner(self) -> Owner {
        match self {
            Self::Crm => Owner::Crm,
            Self::Orders => Owner::Orders,
            Self::Hold => Owner::Hold,
        }
    }
}

impl Owner {
    /// Who decides where times are of no use: at a first meeting, or where they cannot be told apart.
    #[must_use]
    pub fn without_times(self) -> Self {
        match self {
            Self::Newest(fallback) => fallback.owner(),
            Self::Crm | Self::Orders | Self::Hold => self,
        }
    }

    /// As the file writes it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Crm => "crm",
            Self::Orders => "orders",
            Self::Hold => "hold",
            Self::Newest(Fallback::Crm) => "newest, else crm",
            Self::Newest(Fallback::Orders) => "newest, else orders",
            Self::Newest(Fallback::Hold) => "newest, else hold",
        }
    }
}

/// The column in which the order system keeps when it changed a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowModified {
    pub column: String,
    /// The zone of a column that names none, seconds east of Greenwich.
    pub east_secs: i32,
}
