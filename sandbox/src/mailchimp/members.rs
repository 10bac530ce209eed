//! Single members: found by the hash of the address, the address itself or the contact id; put, archived, forgotten.

use serde_json::{Map, Value};

use super::{COMPLIANCE, FORGOTTEN, UNKNOWN_MERGE_FIELDS_IGNORED, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Act, Author, Changes, Life, Record, Version},
    turn::Turn,
};

const KIND: ObjectType = ObjectType::Contacts;

pub(super) fn get(turn: &Turn<'_>, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let (record, version) = seen(turn, id).ok_or_else(refuse::missing)?;
    Ok(Answer::json(200, &render::pruned(call, render::member(turn.store, record, version))))
}

pub(super) fn create(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let sent = body(call)?;
    if sent.get("status").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(refuse::not_valid(&[("status", "This value should not be blank.".to_owned())]));
    }
    let (id, _) = write(turn, None, sent)?;
    Ok(written(turn, id))
}

/// Makes the member or changes it, whichever it takes.
pub(super) fn put(turn: &mut Turn<'_>, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let sent = body(call)?;
    let target = find(turn, id);
    if target.is_none() {
        let address = sent.get("email_address").and_then(Value::as_str).unwrap_or_default();
        if address.is_empty() && !id.contains('@') {
            return Err(refuse::not_valid(&[("email_address", "This value should not be blank.".to_owned())]));
        }
        if sent.get("status_if_new").and_then(Value::as_str).is_none_or(str::is_empty) && !sent.contains_key("status") {
            return Err(refuse::not_valid(&[("status_if_new", "This value should not be blank.".to_owned())]));
        }
    }
    let mut sent = sent;
    if target.is_none() && id.contains('@') {
        sent.entry("email_address").or_insert_with(|| Value::from(id));
    }
    let (id, _) = write(turn, target, sent)?;
    Ok(written(turn, id))
}

pub(super) fn update(turn: &mut Turn<'_>, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let target = find(turn, id).ok_or_else(refuse::missing)?;
    let (id, _) = write(turn, Some(target), body(call)?)?;
    Ok(written(turn, id))
}

/// A member who is archived already cannot be archived again.
pub(super) fn archive(turn: &mut Turn<'_>, id: &str) -> Result<Answer, Refusal> {
    let target = find(turn, id).ok_or_else(refuse::missing)?;
    let table = turn.store.table(KIND);
    if table.find(target).and_then(|record| record.head().props.get("status")).is_some_and(|status| status == "archived") {
        let text = "This list member cannot be removed. Please contact support.";
        return Err(Refusal::new(405, "Method Not Allowed", text));
    }
    let moment = turn.moment();
    let changes = Changes::from([("status".to_owned(), Some("archived".to_owned()))]);
    turn.store.table_mut(KIND).update(target, &changes, Author::Api, moment);
    turn.wrote(KIND, target);
    Ok(Answer::empty(204))
}

/// Leaves nothing behind but the address that may not come back.
pub(super) fn forget(turn: &mut Turn<'_>, id: &str) -> Result<Answer, Refusal> {
    let target = find(turn, id).ok_or_else(refuse::missing)?;
    let moment = turn.moment_of(Act::Archive);
    turn.store.table_mut(KIND).erase(target, Author::Api, moment);
    turn.wrote(KIND, target);
    Ok(Answer::empty(204))
}

/// One write of any kind. `None` makes a member. Returns its number and whether it is new.
pub(super) fn write(turn: &mut Turn<'_>, target: Option<u64>, sent: Map<String, Value>) -> Result<(u64, bool), Refusal> {
    let changes = checked(turn, target, sent)?;
    let moment = turn.moment();
    let table = turn.store.table_mut(KIND);
    let id = match target {
        Some(id) => {
            table.update(id, &changes, Author::Api, moment);
            id
        }
        None => table.create(&changes, Author::Api, moment),
    };
    turn.wrote(KIND, id);
    Ok((id, target.is_none()))
}

/// The member a write reaches: the newest state, committed or not.
pub(super) fn find(turn: &Turn<'_>, id: &str) -> Option<u64> {
    let table = turn.store.table(KIND);
    let is_live = |record: &&Record| record.head().life == Life::Active;
    if let Some(record) = render::contact_number(id).filter(|_| id.len() == 32).and_then(|number| table.find(number)) {
        return Some(record).filter(is_live).map(|record| record.id);
    }
    if id.contains('@') {
        return table.owner("email_address", id);
    }
    let hash = id.to_lowercase();
    let address = |record: &Record| record.head().props.get("email_address").is_some_and(|address| render::hash(address) == hash);
    table.records().filter(is_live).find(|record| address(record)).map(|record| record.id)
}

/// The member a read sees: under the address it had when that was committed.
fn seen<'a>(turn: &'a Turn<'_>, id: &str) -> Option<(&'a Record, &'a Version)> {
    let hash = if id.contains('@') { render::hash(id) } else { id.to_lowercase() };
    let committed = |record: &'a Record| Some((record, record.committed(turn.now_ms)?));
    let mut live = turn.store.table(KIND).records().filter_map(committed).filter(|(_, version)| version.life == Life::Active);
    live.find(|(record, version)| {
        let own = version.props.get("email_address").map(|address| render::hash(address));
        own.as_deref() == Some(hash.as_str()) || render::contact_id(record.id) == hash
    })
}

fn checked(turn: &Turn<'_>, target: Option<u64>, mut sent: Map<String, Value>) -> Result<Changes, Refusal> {
    let merge_fields = match sent.remove("merge_fields") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(refuse::not_valid(&[("merge_fields", "Schema describes object".to_owned())])),
    };
    let if_new = sent.remove("status_if_new");
    if let (None, Some(status)) = (target, if_new) {
        sent.entry("status").or_insert(status);
    }
    let table = turn.store.table(KIND);
    sent.retain(|name, _| table.schema.find(name).is_some() && !stock::is_merge_field(name));
    let ignores = turn.is_on(&UNKNOWN_MERGE_FIELDS_IGNORED);
    let known = |name: &str| !ignores || table.schema.find(name).is_some();
    sent.extend(merge_fields.into_iter().filter(|(name, _)| known(name)));
    let changes = table.clean(&sent, turn.habits())?;
    let head = target.and_then(|id| table.find(id)).map(Record::head);
    let address = changes.get("email_address").cloned().flatten();
    if target.is_none() && address.is_none() {
        return Err(refuse::not_valid(&[("email_address", "This value should not be blank.".to_owned())]));
    }
    if let Some(address) = &address {
        if address.to_lowercase().ends_with(".invalid") {
            return Err(refuse::looks_fake(address));
        }
        if is_forgotten(turn, address) {
            return Err(refuse::forgotten(address));
        }
    }
    table.check_unique(&changes, target)?;
    let subscribes = changes.get("status").is_some_and(|status| status.as_deref() == Some("subscribed"));
    if let (true, Some(head), Some(id)) = (subscribes, head, target)
        && turn.is_on(&COMPLIANCE)
        && left_by_themselves(turn, id)
    {
        return Err(refuse::in_compliance_state(head.props.get("email_address").map_or("", String::as_str)));
    }
    Ok(changes)
}

fn is_forgotten(turn: &Turn<'_>, address: &str) -> bool {
    let table = turn.store.table(KIND);
    let same = |record: &Record| {
        let mut addresses = record.versions().filter_map(|version| version.props.get("email_address"));
        addresses.next().is_some_and(|last| last.eq_ignore_ascii_case(address))
    };
    let gone = |record: &Record| matches!(record.head().life, Life::Archived | Life::Erased);
    turn.is_on(&FORGOTTEN)
        && table.owner("email_address", address).is_none()
        && table.records().any(|record| gone(record) && same(record))
}

/// Whether the member's present status means that they left or bounced, and the API was not who set it.
fn left_by_themselves(turn: &Turn<'_>, id: u64) -> bool {
    let Some(record) = turn.store.table(KIND).find(id) else { return false };
    let status = |version: &Version| version.props.get("status").cloned();
    let present = status(record.head());
    let gone = present.as_deref().is_some_and(|status| ["unsubscribed", "cleaned"].contains(&status));
    let setter = record.versions().take_while(|version| status(version) == present).last();
    gone && setter.is_some_and(|version| version.author == Author::Human)
}

pub(super) fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    let text = "We encountered an unspecified JSON parsing error.";
    serde_json::from_str(&call.body).map_err(|_| Refusal::new(400, "JSON Parse Error", text))
}

fn written(turn: &Turn<'_>, id: u64) -> Answer {
    let record = turn.store.table(KIND).find(id);
    let member = record.map_or(Value::Null, |record| render::member(turn.store, record, record.head()));
    Answer::json(200, &member)
}
