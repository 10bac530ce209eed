//! How CRMs are spoken to: the trait, the connectors, and nothing of databases or queues.
//!
//! Each method of [`Crm`] is exactly one HTTP call, so that its caller can pace, fence and record every call. Reading and writing many records in one call is
//! the rule; a connector without a batch endpoint says `batch_rows_max = 1`.

mod address;
pub mod catalog;
pub mod connect;
pub mod description;
pub mod engine;
pub mod errors;
pub mod hooks;
pub mod http;
pub mod hubspot;
mod redact;
mod refusal;
mod request;
pub mod seal;
mod tape;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::hook::Event;
use tidemark_core::record::{Record, RemoteId, Value};
use tidemark_core::recording::Tape;
use tidemark_core::source::{Page, Position, SourceTraits};
use tidemark_core::webhook::Signature;

pub use catalog::Catalog;
pub use connect::{CONNECTORS, ConnectError};
pub use tape::recorded;
pub use tidemark_core::property::Property;
pub use tidemark_core::source::Bucket;

/// What one HTTP call came to. Every call has one, whatever its result.
#[derive(Debug, Clone)]
pub struct Callout {
    pub method: &'static str,
    /// The path with ids replaced: fit for grouping.
    pub endpoint: String,
    pub status: Option<u16>,
    /// `None` for a success.
    pub class: Option<Class>,
    pub elapsed_ms: u32,
    /// What it takes of the day's budget, in the unit in which the vendor counts.
    pub cost: u32,
    /// Calls left in the vendor's window, when the answer said so.
    pub quota_left: Option<i64>,
    /// CRM's `Date` header minus our clock at the middle of the call, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Only of a call that was made within [`recorded`].
    pub tape: Option<Box<Tape>>,
}

/// The result of one call together with its record.
#[derive(Debug)]
pub struct Answer<T> {
    pub result: Result<T, Failure>,
    pub callout: Callout,
}

impl Callout {
    /// A call of which nothing is known yet.
    pub(crate) fn new(method: &'static str, endpoint: String) -> Self {
        Self {
            method,
            endpoint,
            status: None,
            class: None,
            elapsed_ms: 0,
            cost: 1,
            quota_left: None,
            clock_offset_ms: None,
            tape: None,
        }
    }
}

impl<T> Answer<T> {
    /// A call that a connector has no way to make.
    pub(crate) fn unasked(method: &'static str, endpoint: String, failure: Failure) -> Self {
        let callout = Callout { class: Some(failure.class), ..Callout::new(method, endpoint) };
        Self { result: Err(failure), callout }
    }
}

/// A budget the vendor sets unless the configuration sets a lower one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketLimit {
    pub bucket: Bucket,
    pub per_second: f64,
    /// Calls that may be made at once after a quiet time.
    pub burst: u32,
}

/// Who answers behind the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    pub environment: String,
}

/// One page of the closed window `[from, until)` by modified stamp.
#[derive(Debug, Clone)]
pub struct PageRequest<'a> {
    pub object: &'a str,
    /// Which value of a record goes to which place of `Record::values`; `None` marks a place left empty (a reference).
    pub properties: &'a [Option<String>],
    pub external_key: Option<&'a str>,
    pub from: Millis,
    pub until: Millis,
    /// `None` for the first page.
    pub position: Option<&'a Position>,
    pub rows_max: u16,
    /// Where the CRM keeps a list of deletes, those of the window are told behind its last record: archived records of an id and a time alone.
    pub deletes: bool,
    /// Where the CRM's own feed of changes was left ([`Page::feed`]).
    pub feed: Option<&'a str>,
}

/// Records by their ids, at most `read_rows_max`. Ids without a record, and of archived ones, are simply absent from the answer. Of an id that was merged away the answer may hold the
/// survivor, under the survivor's own id and once: its `absorbed` then names the id that was asked for.
#[derive(Debug, Clone)]
pub struct ReadIds<'a> {
    pub object: &'a str,
    pub properties: &'a [Option<String>],
    pub external_key: Option<&'a str>,
    pub ids: &'a [RemoteId],
}

/// Records whose `property` equals one of `values`, at most `batch_rows_max` values: what is written is looked up first.
#[derive(Debug, Clone)]
pub struct LookUp<'a> {
    pub object: &'a str,
    pub properties: &'a [Option<String>],
    pub external_key: Option<&'a str>,
    pub property: &'a str,
    pub values: &'a [String],
    /// The property is unique in this CRM, so that a consistent look-up exists; else the search index answers, late.
    pub unique: bool,
}

/// What a batch does to each of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind<'a> {
    Create,
    Update,
    /// Create, or update what holds our key in this unique property.
    Upsert {
        key_property: &'a str,
    },
    Archive,
}

#[derive(Debug, Clone)]
pub struct WriteItem {
    /// Echoed by the CRM where it can: ties an outcome to its item.
    pub trace: String,
    /// For updates and archives.
    pub id: Option<RemoteId>,
    /// For upserts: our row key.
    pub key: Option<String>,
    /// For updates and archives: the version that was read just now. Where the CRM can tell, a record that has another by now is left as it is (`Conflict`).
    pub version: Option<String>,
    pub fields: Vec<(String, Value)>,
}

#[derive(Debug, Clone)]
pub struct WriteBatch<'a> {
    pub object: &'a str,
    pub kind: WriteKind<'a>,
    pub items: &'a [WriteItem],
}

/// One delivery of a one-way stream.
#[derive(Debug, Clone, Copy)]
pub struct Posted<'a> {
    pub object: &'a str,
    /// The row's key.
    pub row: &'a str,
    /// The idempotency key.
    pub id: &'a str,
    pub event: Event,
    /// JSON.
    pub body: &'a [u8],
}

/// What the CRM says it now holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub id: RemoteId,
    pub modified: Option<Millis>,
    /// `None` where the answer does not tell.
    pub created: Option<bool>,
    /// The properties the answer carried; empty when it has no body.
    pub fields: Vec<(String, Value)>,
}

/// One entry per item, in the items' order. `Err` with `maybe_done` where the CRM did not say.
pub type Outcomes = Vec<Result<Written, Failure>>;

/// What a connector has to ask before it can make a call for an object. Each is a call of its own, booked and recorded like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A token is missing, or has worn out.
    SignIn,
    /// What an object's properties are, so that values are sent in their types.
    Describe(String),
}

/// Meets what has to be asked before the next call for this object, for who makes few calls and books none.
pub async fn ready(crm: &dyn Crm, object: &str) -> Result<(), Failure> {
    for _ in 0..NEEDS_MAX {
        let Some(need) = crm.need(object) else { break };
        crm.meet(&need).await.result?;
    }
    Ok(())
}

/// More than a connector ever needs first: one that never has enough is asked all the same, and tells.
const NEEDS_MAX: usize = 4;

/// What a connection signs in with, where all processes can share what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// A digest of what is configured: another one is another beginning.
    pub digest: String,
    /// Each answer holds the next refresh token, and the one that was sent is spent.
    pub rotates: bool,
}

/// A token that nobody uses yet.
#[derive(Debug, Clone)]
pub struct Token {
    /// What has to be kept of it: a secret.
    pub text: SecretString,
    /// For how long it can be used; `None` where nobody says.
    pub lives: Option<Duration>,
}

/// One kind of CRM behind one set of credentials.
#[async_trait]
pub trait Crm: Send + Sync + std::fmt::Debug {
    /// The connector's name, as in `connector = "…"`.
    fn connector(&self) -> &str;
    /// Fails when the connector does not know the object.
    fn traits(&self, object: &str) -> Result<SourceTraits, Failure>;
    fn limits(&self) -> Vec<BucketLimit>;
    /// What the CRM keeps of a record that was archived, for whoever has to forget a person.
    fn archive_leaves(&self) -> Option<&str> {
        None
    }
    /// Records of this object can be deleted so that nothing brings them back ([`Crm::erase`]).
    fn can_erase(&self, _object: &str) -> bool {
        false
    }
    /// How the CRM signs the webhooks it sends; `None` where it signs none.
    fn webhook(&self) -> Option<&Signature> {
        None
    }
    /// Most records [`Crm::read_archived`] is asked for at once.
    fn archived_rows_max(&self, object: &str) -> u16 {
        self.traits(object).map_or(1, |traits| traits.read_rows_max)
    }
    /// Deletes are told where they are asked for ([`PageRequest::deletes`]).
    fn tells_deletes(&self, _object: &str) -> bool {
        false
    }
    /// Pages and look-ups show this property. Of one that only a read by id shows, a record's place is left out ([`Record::left_out`]).
    fn is_listed(&self, _object: &str, _property: &str) -> bool {
        true
    }
    /// Which bucket reading pages and non-unique look-ups draw on.
    fn search_bucket(&self) -> Bucket;
    /// True when the property can be looked up consistently (`LookUp::unique`).
    fn is_unique(&self, object: &str, property: &str) -> bool;

    /// Tells of one row, where nothing but telling is possible. A connector that keeps records has no such call.
    async fn deliver(&self, posted: &Posted<'_>) -> Answer<()> {
        let message = format!("{} keeps records: nothing is delivered to its {}", self.connector(), posted.object);
        Answer::unasked("POST", String::new(), Failure::new(Class::Schema, message))
    }

    /// What [`Crm::describe`] answers says what the CRM would refuse.
    fn describes(&self) -> bool {
        false
    }

    /// [`Crm::describe`] answers for this object.
    fn can_describe(&self, _object: &str) -> bool {
        self.describes()
    }

    /// What has to be asked before the next call for this object; asked again after it was met.
    fn need(&self, _object: &str) -> Option<Need> {
        None
    }
    /// Meets one need. Only what `need` names is ever asked for.
    async fn meet(&self, need: &Need) -> Answer<()> {
        Answer::unasked("GET", String::new(), Failure::new(Class::Malformed, format!("nothing has to be asked for: {need:?}")))
    }

    /// What can be shared by all processes instead of signing in each by itself.
    fn grant(&self) -> Option<Grant> {
        None
    }
    /// Signs in, with what was kept of the last token where there is one. What comes of it is in use only once it is adopted.
    async fn ask_token(&self, _kept: Option<&SecretString>) -> Answer<Token> {
        Answer::unasked("POST", String::new(), Failure::new(Class::Malformed, "nothing has to be asked for"))
    }
    /// Uses this token from now on. `own`: it was asked for here, just now; one of others that is refused has worn out.
    fn adopt(&self, _token: &Token, _own: bool) -> Result<(), Failure> {
        Err(Failure::new(Class::Malformed, "no token is used"))
    }

    async fn account(&self) -> Answer<Account>;
    async fn describe(&self, object: &str) -> Answer<Vec<Property>>;
    /// Makes a unique text property for our row key.
    async fn create_key_property(&self, object: &str, property: &str) -> Answer<()>;
    async fn read_page(&self, request: &PageRequest<'_>) -> Answer<Page>;
    async fn read_ids(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>>;
    /// Of these records those that are archived, as they were then. Asked only where the object declares `archive_view`.
    async fn read_archived(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>>;
    async fn look_up(&self, request: &LookUp<'_>) -> Answer<Vec<Record>>;
    async fn write(&self, batch: &WriteBatch<'_>) -> Answer<Outcomes>;
    /// Deletes a record for good, where [`Crm::can_erase`]. A record that is not there is `Gone`.
    async fn erase(&self, object: &str, _id: &RemoteId) -> Answer<()> {
        let message = format!("{} cannot delete {object} for good", self.connector());
        Answer::unasked("POST", String::new(), Failure::new(Class::Rejected, message))
    }
    /// For each id the ids of the `target` records it refers to, lowest first; ids without any are absent.
    async fn read_references(&self, object: &str, target: &str, ids: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>>;
    /// Makes each left record refer to each right one; one outcome per pair.
    async fn refer(&self, object: &str, target: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>>;
    /// Ends references; one outcome per pair.
    async fn unrefer(&self, object: &str, target: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>>;
}
