//! HubSpot: what this vendor decides, and which endpoint a call reaches. Faults of the weather are settled before this.

mod associations;
mod batch;
mod filter;
mod names;
mod objects;
mod plan;
mod properties;
mod quota;
mod refuse;
mod render;
mod search;
mod stock;

use serde_json::json;

use self::quota::Policy;
use crate::{
    ObjectType, Refusal, Weather,
    alterations::Alterations,
    call::{Answer, Call},
    quirk::{Quirks, Switch},
    record::{Changes, Props},
    schema::{Fault, Habits, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
    weather::Nature,
};

/// At most this many results of one search can be paged through.
pub(crate) const SEARCH_RESULTS_MAX: Switch =
    Switch::number("search_results_max", 10_000, "results of one search that can be paged through; beyond it: 400");

pub(crate) const SEARCH_QUOTA_HEADERS: Switch =
    Switch::flag("search_quota_headers", false, "search answers carry quota headers, as all other answers do");

/// HubSpot's CRM API: objects of the third version, associations of the fourth.
#[derive(Debug)]
pub(crate) struct Hubspot;

impl Vendor for Hubspot {
    fn objects(&self) -> &'static [ObjectName] {
        &names::OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        stock::properties(object, now_ms)
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Contacts => &["email", "firstname", "lastname", "phone", "city"],
            ObjectType::Companies => &["name", "domain", "phone", "city"],
            ObjectType::Deals => &["dealname", "amount", "dealstage", "closedate"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        let email = format!("contact{at}@robots.example");
        vec![("email", email), ("firstname", "Contact".to_owned()), ("lastname", at.to_string())]
    }

    fn switches(&self) -> Vec<&'static Switch> {
        vec![&SEARCH_RESULTS_MAX, &SEARCH_QUOTA_HEADERS]
    }

    fn habits(&self, weather: &Weather, _quirks: &Quirks) -> Habits {
        Habits {
            check_emails: true,
            lower_emails: true,
            bare_phones: weather.normalise_phones,
            text_chars_max: None,
            alterations: Alterations::NONE,
        }
    }

    fn merge_marks(&self, own: &Props, others: &Props, loser: u64) -> Changes {
        let ids = [own.get("hs_merged_object_ids"), others.get("hs_merged_object_ids"), Some(&loser.to_string())];
        let mut marks = Changes::from([("hs_merged_object_ids".to_owned(), Some(joined(ids)))]);
        let email = others.get("email").filter(|_| own.contains_key("email"));
        if email.is_some() {
            let emails = [own.get("hs_additional_emails"), others.get("hs_additional_emails"), email];
            marks.insert("hs_additional_emails".to_owned(), Some(joined(emails)));
        }
        marks
    }

    fn endpoint(&self, call: &Call) -> String {
        let parts: Vec<String> = call.segments();
        let named = parts.iter().enumerate().map(|(at, part)| {
            let is_version = at == 1;
            let follows_object = at == 4 && parts[1..3] == ["v3", "objects"] && part != "batch" && part != "search";
            let numeric = !is_version && part.bytes().all(|byte| byte.is_ascii_digit());
            if follows_object || numeric { "{id}" } else { part.as_str() }
        });
        format!("{} /{}", call.method, named.collect::<Vec<_>>().join("/"))
    }

    /// Searches and batch reads are reads although they are posted.
    fn nature(&self, call: &Call) -> Nature {
        let asks = self.is_search(call) || call.path.ends_with("/batch/read");
        if call.method == "GET" || asks { Nature::Read } else { Nature::Write }
    }

    fn is_search(&self, call: &Call) -> bool {
        call.method == "POST" && call.path.ends_with("/search")
    }

    fn authorise(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        let sent = call.credential("Bearer");
        if sent.is_some() && sent == turn.token {
            Ok(())
        } else {
            Err(refuse::whole(&refuse::unauthenticated(), turn.correlation))
        }
    }

    fn admit(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        quota::admit(turn, self.is_search(call)).map_err(|policy| policy.answer(turn.correlation, turn.weather.retry_after_secs))
    }

    fn route(&self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
        route(turn, call)
    }

    fn headers(&self, turn: &mut Turn<'_>, call: &Call) -> Vec<(String, String)> {
        let bare = self.is_search(call) && !turn.is_on(&SEARCH_QUOTA_HEADERS);
        if bare { Vec::new() } else { quota::headers(turn) }
    }

    fn refused(&self, turn: &Turn<'_>, refusal: &Refusal) -> Answer {
        refuse::whole(refusal, turn.correlation)
    }

    fn server_error(&self, turn: &Turn<'_>, status: u16) -> Answer {
        let body = json!({ "status": "error", "message": "internal error", "correlationId": turn.correlation });
        Answer::json(status, &body)
    }

    fn shapes(&self) -> &'static [&'static str] {
        &["429 ten secondly", "429 secondly", "429 daily", "423 locked", "477 migrating"]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["429 ten secondly", "429 secondly", "423 locked", "477 migrating"]
    }

    fn day(&self) -> Option<&'static str> {
        Some("429 daily")
    }

    fn caps(&self) -> &'static [&'static str] {
        &["search_results_max"]
    }

    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        let throttled = |policy: Policy| policy.answer(turn.correlation, turn.weather.retry_after_secs);
        let refused = |status, category, text| refuse::whole(&Refusal::new(status, category, text), turn.correlation);
        Some(match shape {
            "429 ten secondly" => throttled(Policy::TenSecondly),
            "429 secondly" => throttled(Policy::Secondly),
            "429 daily" => throttled(Policy::Daily),
            "423 locked" => refused(423, "LOCKED", "The resource is locked. Try again in two seconds."),
            "477 migrating" => {
                let answer = refused(477, "MIGRATION_IN_PROGRESS", "This account is being moved to another data centre.");
                answer.with_header("Retry-After", "86400")
            }
            _ => return None,
        })
    }

    fn throttle(&self, call: &Call) -> &'static str {
        if self.is_search(call) { "429 secondly" } else { "429 ten secondly" }
    }

    fn missing(&self, object: ObjectType, id: &str) -> Refusal {
        refuse::not_found(object, id)
    }

    fn invalid(&self, _object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(faults)
    }

    fn taken(&self, _object: ObjectType, name: &str, value: &str, owner: u64) -> Refusal {
        refuse::taken(name, value, owner)
    }
}

fn joined(parts: [Option<&String>; 3]) -> String {
    let present: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    present.join(";")
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
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
    names::parse(object).ok_or_else(|| Refusal::invalid(format!("Unable to infer object type from: {object}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Call {
        let (method, path) = (method.to_owned(), path.to_owned());
        Call { method, path, query: Vec::new(), headers: Vec::new(), body: String::new() }
    }

    #[test]
    fn endpoints_are_counted_without_their_ids() {
        let check = |method, path, expect: &str| assert_eq!(Hubspot.endpoint(&call(method, path)), expect);
        check("GET", "/crm/v3/objects/deals/501", "GET /crm/v3/objects/deals/{id}");
        check("PATCH", "/crm/v3/objects/contacts/a%40b.test", "PATCH /crm/v3/objects/contacts/{id}");
        check("POST", "/crm/v3/objects/deals/search", "POST /crm/v3/objects/deals/search");
        check("POST", "/crm/v3/objects/deals/batch/read", "POST /crm/v3/objects/deals/batch/read");
        check(
            "PUT",
            "/crm/v4/objects/deals/1/associations/default/contacts/2",
            "PUT /crm/v4/objects/deals/{id}/associations/default/contacts/{id}",
        );
    }

    #[test]
    fn only_writes_are_treated_as_writes() {
        let check = |method, path, expect| assert_eq!(Hubspot.nature(&call(method, path)), expect, "{method} {path}");
        check("POST", "/crm/v3/objects/deals/search", Nature::Read);
        check("POST", "/crm/v3/objects/deals/batch/update", Nature::Write);
        check("POST", "/crm/v4/associations/deals/contacts/batch/read", Nature::Read);
        check("POST", "/crm/v4/associations/deals/contacts/batch/archive", Nature::Write);
        check("DELETE", "/crm/v3/objects/deals/1", Nature::Write);
    }
}
