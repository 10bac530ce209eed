//! The seam between the practice CRM and the vendor it plays: everything that differs from one vendor to the next.
//!
//! A vendor has no state of its own. What it must remember between calls lies in the `Turn`, so that the same call
//! at the same time on the same state gets the same answer.

use std::fmt;

use crate::{
    ObjectType, Refusal, Weather,
    call::{Answer, Call},
    quirk::{Quirks, Switch},
    record::{Act, Changes, Props},
    schema::{Fault, Habits, Property},
    turn::Turn,
    weather::Nature,
};

/// A name in a path or a body, and the kind of object it stands for.
pub(crate) type ObjectName = (ObjectType, &'static str);

pub(crate) trait Vendor: fmt::Debug + Sync {
    /// The kinds it keeps, in the order of the page, with its own name for each.
    fn objects(&self) -> &'static [ObjectName];

    /// The properties every account starts with.
    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property>;

    /// The properties the page shows.
    fn columns(&self, object: ObjectType) -> &'static [&'static str];

    /// What the `at`th record of a filled account holds. Of the first kind kept.
    fn sample(&self, at: u32) -> Vec<(&'static str, String)>;

    /// The id under which outsiders know a record.
    fn id(&self, _object: ObjectType, number: u64) -> String {
        number.to_string()
    }

    /// The record an id stands for, whether or not it exists. `None` for what cannot be an id.
    fn number(&self, _object: ObjectType, id: &str) -> Option<u64> {
        id.parse().ok()
    }

    /// The quirks that can be switched.
    fn switches(&self) -> Vec<&'static Switch> {
        Vec::new()
    }

    /// The step of its modified stamps: a stamp is cut down to a multiple of it.
    fn precision_ms(&self) -> i64 {
        1
    }

    /// How it checks and alters values.
    fn habits(&self, weather: &Weather, quirks: &Quirks) -> Habits;

    /// What a merge notes on the survivor besides the gaps it fills.
    fn merge_marks(&self, _own: &Props, _others: &Props, _loser: u64) -> Changes {
        Changes::new()
    }

    /// Whether an act gives the record a new modified stamp.
    fn moves_stamp(&self, _act: Act, _quirks: &Quirks) -> bool {
        true
    }

    /// The name a property gets whose name people wish to be `wished`.
    fn property_name(&self, wished: &str) -> String {
        wished.to_owned()
    }

    /// The method and path, ids left out, under which a call is counted.
    fn endpoint(&self, call: &Call) -> String {
        let parts = call.segments();
        let named = parts.iter().map(|part| {
            let numeric = part.bytes().all(|byte| byte.is_ascii_digit());
            if numeric { "{id}" } else { part.as_str() }
        });
        format!("{} /{}", call.method, named.collect::<Vec<_>>().join("/"))
    }

    /// Whether a call changes anything, which decides the faults it can meet.
    fn nature(&self, call: &Call) -> Nature {
        if call.method == "GET" { Nature::Read } else { Nature::Write }
    }

    fn is_search(&self, _call: &Call) -> bool {
        false
    }

    /// Lets a caller in, or turns it away.
    fn authorise(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer>;

    /// Counts a call against the account's quotas, or says which it would break. Refused calls do not count.
    fn admit(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer>;

    /// Answers a call that got through.
    fn route(&self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal>;

    /// What stands in the head of every answer besides `Date`.
    fn headers(&self, _turn: &mut Turn<'_>, _call: &Call) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The body of a call that failed as a whole.
    fn refused(&self, turn: &Turn<'_>, refusal: &Refusal) -> Answer;

    fn server_error(&self, turn: &Turn<'_>, status: u16) -> Answer;

    /// The names of the answers `shaped` can give.
    fn shapes(&self) -> &'static [&'static str];

    /// Those of `shapes` that say: later. A caller waits and asks again.
    fn throttles(&self) -> &'static [&'static str];

    /// The one of `shapes` that says that the day's calls are spent.
    fn day(&self) -> Option<&'static str> {
        None
    }

    /// Those of its switches that only make a caller wait.
    fn quotas(&self) -> &'static [&'static str] {
        &[]
    }

    /// Those of its switches that say how many records a query reaches, whatever its pages hold.
    fn caps(&self) -> &'static [&'static str] {
        &[]
    }

    /// Those of its switches that say how long what asks for a next page is taken, with the setting under which one from before is taken no more.
    fn wears(&self) -> &'static [(&'static str, u64)] {
        &[]
    }

    /// People there can be merged.
    fn merges(&self) -> bool {
        true
    }

    /// One of the vendor's own ways to say no, given on demand: a throttle, a lock, an edge's page.
    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer>;

    /// The throttle that the weather brings to a call whose quota was kept. One of `shapes`.
    fn throttle(&self, call: &Call) -> &'static str;

    /// There is no such record.
    fn missing(&self, object: ObjectType, id: &str) -> Refusal;

    /// Values it would not keep. At least one.
    fn invalid(&self, object: ObjectType, faults: &[Fault]) -> Refusal;

    /// Another record already has a value that only one may have.
    fn taken(&self, object: ObjectType, name: &str, value: &str, owner: u64) -> Refusal;
}

impl dyn Vendor {
    /// A kind by the vendor's name for it or by ours. `None` for a kind it does not keep.
    pub(crate) fn object(&self, name: &str) -> Option<ObjectType> {
        let kept = self.objects().iter();
        kept.clone()
            .find(|(_, own)| *own == name)
            .or_else(|| kept.clone().find(|(object, _)| object.plural() == name))
            .map(|(object, _)| *object)
    }

    /// The vendor's name for a kind.
    pub(crate) fn object_name(&self, object: ObjectType) -> &'static str {
        self.objects().iter().find(|(kept, _)| *kept == object).map_or(object.plural(), |(_, name)| name)
    }
}
