//! Lists: what was modified since a time, sorted by one column, in numbered pages of which each says whether another follows.

use chrono::DateTime;
use serde_json::{Value, json};

use super::{BAD_TIMES_IGNORED, CONTACTS_HEED_SINCE, SINCE_IS_EXACT, SINCE_IS_INCLUSIVE, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    turn::Turn,
};

const ROWS_MAX: u64 = 200;
const SECOND_MS: i64 = 1000;

/// What a list is sorted by.
enum Column<'a> {
    Created,
    Modified,
    Field(&'a str),
}

pub(super) fn list(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let column = column(object, call)?;
    let descending = match call.parameter("sort_order") {
        None | Some("A") => false,
        Some("D") => true,
        Some(_) => return Err(refuse::invalid_value("sort_order")),
    };
    let (page, per_page) = (number(call, "page", 1, u64::from(u32::MAX))?, number(call, "per_page", ROWS_MAX, ROWS_MAX)?);
    let since_ms = since(turn, object, call)?;
    let status = status(call)?;
    let mut rows: Vec<(&Record, &Version)> = turn
        .store
        .table(object)
        .records()
        .filter_map(|record| Some((record, record.committed(turn.now_ms)?)))
        .filter(|(_, version)| version.life == Life::Active)
        .filter(|(_, version)| since_ms.is_none_or(|since| is_since(turn, version.stamp_ms, since)))
        .filter(|(_, version)| status.is_none_or(|wanted| version.props.get("status").is_some_and(|own| own == wanted)))
        .filter(|(_, version)| stock::searched(object).iter().all(|name| fits(call, name, version)))
        .collect();
    rows.sort_by(|one, other| {
        let order = match column {
            Column::Created => one.0.created_ms.cmp(&other.0.created_ms),
            Column::Modified => one.1.stamp_ms.cmp(&other.1.stamp_ms),
            Column::Field(name) => one.1.props.get(name).cmp(&other.1.props.get(name)),
        };
        // Ties lie as the records were made, in both directions.
        if descending { order.reverse() } else { order }.then(one.0.id.cmp(&other.0.id))
    });
    let start = usize::try_from((page - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
    let limit = usize::try_from(per_page).unwrap_or(usize::MAX);
    let shown: Vec<Value> =
        rows.iter().skip(start).take(limit).map(|(record, version)| render::row(turn, record, version, false)).collect();
    let context = json!({
        "page": page,
        "per_page": per_page,
        "has_more_page": start.saturating_add(shown.len()) < rows.len(),
        "applied_filter": call.parameter("filter_by").unwrap_or("Status.All"),
        "sort_column": call.parameter("sort_column").unwrap_or("contact_name"),
        "sort_order": if descending { "D" } else { "A" },
    });
    let name = turn.vendor.object_name(object);
    Ok(Answer::json(200, &json!({ "code": 0, "message": "success", name: shown, "page_context": context })))
}

fn column<'a>(object: ObjectType, call: &'a Call) -> Result<Column<'a>, Refusal> {
    Ok(match call.parameter("sort_column") {
        None => Column::Field(stock::sorts(object)[0]),
        Some("created_time") => Column::Created,
        Some("last_modified_time") => Column::Modified,
        Some(name) if stock::sorts(object).contains(&name) => Column::Field(name),
        Some(_) => return Err(refuse::invalid_value("sort_column")),
    })
}

/// `None` for every status.
fn status(call: &Call) -> Result<Option<&'static str>, Refusal> {
    match call.parameter("filter_by") {
        None | Some("Status.All") => Ok(None),
        Some("Status.Active") => Ok(Some("active")),
        Some("Status.Inactive") => Ok(Some("inactive")),
        Some("Status.Open") => Ok(Some("open")),
        Some("Status.Void") => Ok(Some("void")),
        Some(_) => Err(refuse::invalid_value("filter_by")),
    }
}

fn is_since(turn: &Turn<'_>, stamp_ms: i64, since_ms: i64) -> bool {
    let same = stamp_ms.div_euclid(SECOND_MS) == since_ms.div_euclid(SECOND_MS);
    if turn.is_on(&SINCE_IS_EXACT) {
        return same;
    }
    if same { turn.is_on(&SINCE_IS_INCLUSIVE) } else { stamp_ms > since_ms }
}

/// Whatever the letters' case.
fn fits(call: &Call, name: &str, version: &Version) -> bool {
    let own = version.props.get(name).map(|own| own.to_lowercase()).unwrap_or_default();
    let wanted = |ending: &str| call.parameter(&format!("{name}{ending}")).map(str::to_lowercase);
    wanted("").is_none_or(|wanted| own == wanted)
        && wanted("_startswith").is_none_or(|wanted| own.starts_with(&wanted))
        && wanted("_contains").is_none_or(|wanted| own.contains(&wanted))
}

/// A time with an offset of four digits. Any other is no time, one that ends in Z among them.
fn since(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.parameter("last_modified_time") else { return Ok(None) };
    if object == ObjectType::Contacts && !turn.is_on(&CONTACTS_HEED_SINCE) {
        return Ok(None);
    }
    let offset = text.len().checked_sub(5).and_then(|at| text.get(at..)).unwrap_or_default();
    let digits = offset.starts_with(['+', '-']) && offset[1..].bytes().all(|byte| byte.is_ascii_digit());
    match DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z").ok().filter(|_| digits) {
        Some(time) => Ok(Some(time.timestamp_millis())),
        None if turn.is_on(&BAD_TIMES_IGNORED) => Ok(None),
        None => Err(refuse::invalid_value("last_modified_time")),
    }
}

fn number(call: &Call, name: &str, default: u64, max: u64) -> Result<u64, Refusal> {
    let Some(text) = call.parameter(name) else { return Ok(default) };
    text.parse().ok().filter(|number| (1..=max).contains(number)).ok_or_else(|| refuse::invalid_value(name))
}
