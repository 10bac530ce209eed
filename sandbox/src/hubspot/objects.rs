//! Reads and writes of single records, and the plain list.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    plan::{self, Claimed, Input, Verb},
    refuse,
    render::{self, Wanted},
};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Author, Life, Record, Version},
    turn::Turn,
};

const LIST_ROWS_MAX: usize = 100;
const LIST_ROWS_DEFAULT: usize = 10;

pub(super) fn get(turn: &Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let id_property = call.parameter("idProperty");
    let (record, version) =
        find(turn, object, id, id_property, call.flag("archived"))?.ok_or_else(|| refuse::not_found(object, id))?;
    let wanted = Wanted::new(object, call.list("properties").as_deref());
    let mut row = render::row(turn.store, record, version, &wanted);
    render::add_associations(turn.store, record, &call.list("associations").unwrap_or_default(), &mut row)?;
    Ok(Answer::json(200, &row))
}

/// What a reader sees under an id or a unique value. Live records only, or archived ones only.
pub(super) fn find<'a>(
    turn: &'a Turn<'_>,
    object: ObjectType,
    id: &str,
    id_property: Option<&str>,
    archived: bool,
) -> Result<Option<(&'a Record, &'a Version)>, Refusal> {
    let table = turn.store.table(object);
    let number = match id_property {
        None | Some("hs_object_id") => id.parse().ok(),
        Some(name) => {
            plan::check_identifies(table, name)?;
            table.owner(name, id)
        }
    };
    let wanted = if archived { Life::Archived } else { Life::Active };
    Ok(number
        .and_then(|number| turn.store.seen(object, number, turn.now_ms, turn.weather.merged_redirect))
        .filter(|(_, version)| version.life == wanted))
}

/// All records in the order of their ids. `after` is the last id of the page before.
pub(super) fn list(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let limit = page_rows(call.parameter("limit"))?;
    let after: u64 = match call.parameter("after") {
        Some(text) => text.parse().map_err(|_| Refusal::invalid(format!("Invalid paging offset: {text}")))?,
        None => 0,
    };
    let life = if call.flag("archived") { Life::Archived } else { Life::Active };
    let mut seen = turn
        .store
        .table(object)
        .records_after(after)
        .filter_map(|record| Some((record, record.committed(turn.now_ms)?)))
        .filter(|(_, version)| version.life == life);
    let page: Vec<(&Record, &Version)> = seen.by_ref().take(limit).collect();
    let wanted = Wanted::new(object, call.list("properties").as_deref());
    let associations = call.list("associations").unwrap_or_default();
    let mut results = Vec::with_capacity(page.len());
    for (record, version) in &page {
        let mut row = render::row(turn.store, record, version, &wanted);
        render::add_associations(turn.store, record, &associations, &mut row)?;
        results.push(row);
    }
    let mut body = json!({ "results": results });
    if let (Some(_), Some((last, _))) = (seen.next(), page.last()) {
        body["paging"] = paging(&last.id.to_string());
    }
    Ok(Answer::json(200, &body))
}

pub(super) fn create(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let input: Input = call.read()?;
    let plan = plan::plan(turn, object, Verb::Create, &input, &mut Claimed::new())?;
    let (id, _) = plan::apply(turn, object, plan);
    Ok(Answer::json(201, &written(turn, object, id)))
}

pub(super) fn update(turn: &mut Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    #[derive(Deserialize)]
    struct Body {
        properties: serde_json::Map<String, Value>,
    }
    let input = Input {
        id: Some(id.to_owned()),
        id_property: call.parameter("idProperty").map(str::to_owned),
        properties: call.read::<Body>()?.properties,
        ..Input::default()
    };
    let plan = plan::plan(turn, object, Verb::Update, &input, &mut Claimed::new())?;
    let (id, _) = plan::apply(turn, object, plan);
    Ok(Answer::json(200, &written(turn, object, id)))
}

/// Archiving what is archived already succeeds again; only an id that never existed is missing.
pub(super) fn archive(turn: &mut Turn<'_>, object: ObjectType, id: &str) -> Result<Answer, Refusal> {
    archive_one(turn, object, id)?;
    Ok(Answer::empty(204))
}

pub(super) fn archive_one(turn: &mut Turn<'_>, object: ObjectType, id: &str) -> Result<(), Refusal> {
    let known = id.parse().ok().and_then(|number| turn.store.table(object).find(number));
    if known.ok_or_else(|| refuse::not_found(object, id))?.head().life != Life::Active {
        return Ok(());
    }
    let moment = turn.moment();
    let id = turn.store.archive(object, id, Author::Api, moment)?;
    turn.wrote(object, id);
    Ok(())
}

/// For contacts. The vendor puts an address that no contact has on a block list; here it is refused, so that nobody relies on it.
pub(super) fn erase(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        object_id: String,
        id_property: Option<String>,
    }
    let body: Body = call.read()?;
    if object != ObjectType::Contacts {
        return Err(Refusal::no_such_path());
    }
    let id = match body.id_property.as_deref() {
        None => body.object_id,
        Some("email") => {
            let owner = turn.store.table(object).owner("email", &body.object_id);
            owner.ok_or_else(|| refuse::not_found(object, &body.object_id))?.to_string()
        }
        Some(other) => return Err(Refusal::invalid(format!("idProperty {other} is not supported"))),
    };
    let moment = turn.moment();
    let id = turn.store.erase(object, &id, Author::Api, moment)?;
    turn.wrote(object, id);
    Ok(Answer::empty(204))
}

/// The newest version of a record, as the answer to the write that made it.
pub(super) fn written(turn: &Turn<'_>, object: ObjectType, id: u64) -> Value {
    turn.store.table(object).find(id).map_or(Value::Null, render::written)
}

pub(super) fn paging(after: &str) -> Value {
    json!({ "next": { "after": after, "link": format!("?after={after}") } })
}

fn page_rows(limit: Option<&str>) -> Result<usize, Refusal> {
    let Some(text) = limit else {
        return Ok(LIST_ROWS_DEFAULT);
    };
    text.parse()
        .ok()
        .filter(|rows| (1..=LIST_ROWS_MAX).contains(rows))
        .ok_or_else(|| Refusal::invalid(format!("Limit {text} is not between 1 and {LIST_ROWS_MAX}")))
}
