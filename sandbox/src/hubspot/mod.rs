//! The vendor's HTTP surface: which endpoint a call reaches. Quotas, faults and tokens are settled before this.

mod associations;
mod batch;
mod filter;
mod objects;
mod plan;
mod properties;
mod render;
mod search;

use rand::rngs::StdRng;
use serde_json::json;

use crate::{
    ObjectType, Refusal, Weather,
    call::{Answer, Call},
    record::Moment,
    stamp,
    store::Store,
};

/// One call's view of the CRM: its state, the time, the weather, and what the call has written so far.
pub(crate) struct Turn<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) weather: &'a Weather,
    pub(crate) dice: &'a mut StdRng,
    pub(crate) account: &'a str,
    /// True time; reads see what is committed by now.
    pub(crate) now_ms: i64,
    /// Records created, updated or archived by this call.
    pub(crate) written: u64,
    /// When the last of them commits. Not after `now_ms` when nothing commits late.
    pub(crate) commit_ms: i64,
}

impl Turn<'_> {
    /// The times of the next record written.
    fn moment(&mut self) -> Moment {
        self.weather.moment(self.now_ms, self.dice)
    }

    /// Notes that a record was written.
    fn wrote(&mut self, object: ObjectType, id: u64) {
        self.written += 1;
        if let Some(record) = self.store.table(object).find(id) {
            self.commit_ms = self.commit_ms.max(record.head().commit_ms);
        }
    }

    /// The CRM's clock, as text.
    fn clock(&self) -> String {
        stamp::iso(self.now_ms.saturating_add(self.weather.clock_offset_ms))
    }
}

/// Answers a call that got through.
pub(crate) fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", ["account-info", "v3", "details"]) => Ok(account(turn)),
        (method, ["crm", "v3", "objects", object, rest @ ..]) => {
            let object = known(object)?;
            match (method, rest) {
                ("POST", ["search"]) => search::search(turn, object, call),
                ("POST", ["batch", "read"]) => batch::read(turn, object, call),
                ("POST", ["batch", "archive"]) => batch::archive(turn, object, call),
                ("POST", ["gdpr-delete"]) => objects::erase(turn, object, call),
                ("POST", ["batch", verb]) => {
                    let verb = plan::Verb::parse(verb).ok_or_else(Refusal::no_such_path)?;
                    batch::write(turn, object, verb, call)
                }
                ("GET", []) => objects::list(turn, object, call),
                ("POST", []) => objects::create(turn, object, call),
                ("GET", [id]) => objects::get(turn, object, id, call),
                ("PATCH", [id]) => objects::update(turn, object, id, call),
                ("DELETE", [id]) => objects::archive(turn, object, id),
                _ => Err(Refusal::no_such_path()),
            }
        }
        (method, ["crm", "v3", "properties", object, rest @ ..]) => {
            let object = known(object)?;
            match (method, rest) {
                ("GET", []) => Ok(properties::list(turn, object, call)),
                ("POST", []) => properties::create(turn, object, call),
                ("GET", [name]) => properties::get(turn, object, name),
                ("PATCH", [name]) => properties::update(turn, object, name, call),
                ("DELETE", [name]) => properties::archive(turn, object, name),
                _ => Err(Refusal::no_such_path()),
            }
        }
        ("PUT", ["crm", "v4", "objects", from, id, "associations", "default", to, to_id]) => {
            associations::put(turn, (known(from)?, id), (known(to)?, to_id))
        }
        ("DELETE", ["crm", "v4", "objects", from, id, "associations", to, to_id]) => {
            associations::remove(turn, (known(from)?, id), (known(to)?, to_id))
        }
        ("POST", ["crm", "v4", "associations", from, to, "batch", verb @ ..]) => {
            let (from, to) = (known(from)?, known(to)?);
            match verb {
                ["read"] => associations::read(turn, from, to, call),
                ["archive"] => associations::archive(turn, from, to, call),
                ["associate", "default"] => associations::associate(turn, from, to, call),
                _ => Err(Refusal::no_such_path()),
            }
        }
        _ => Err(Refusal::no_such_path()),
    }
}

fn known(object: &str) -> Result<ObjectType, Refusal> {
    ObjectType::parse(object).ok_or_else(|| Refusal::invalid(format!("Unable to infer object type from: {object}")))
}

fn account(turn: &Turn<'_>) -> Answer {
    let portal: serde_json::Value = turn.account.parse::<u64>().map_or_else(|_| json!(turn.account), |id| json!(id));
    Answer::json(
        200,
        &json!({
            "portalId": portal,
            "accountType": "SANDBOX",
            "timeZone": "UTC",
            "companyCurrency": "EUR",
            "additionalCurrencies": [],
            "utcOffset": "+00:00",
            "utcOffsetMilliseconds": 0,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }),
    )
}
