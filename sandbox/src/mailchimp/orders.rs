//! The orders of the one connected store, as somebody pushed them there: a list by position alone, which no time narrows, and each by its id.

use serde_json::{Value, json};

use super::{ROWS_MAX, list::number, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    turn::Turn,
};

/// The id of the one store.
pub(super) const STORE: &str = "shop1";

const KIND: ObjectType = ObjectType::Deals;
const ROWS_DEFAULT: u64 = 10;
const ID_START: &str = "order-";

/// The shop's own id, as it was pushed.
pub(super) fn id(number: u64) -> String {
    format!("{ID_START}{number}")
}

/// A plain number is understood too, for people at the control API.
pub(super) fn of_id(id: &str) -> Option<u64> {
    id.strip_prefix(ID_START).unwrap_or(id).parse().ok()
}

pub(super) fn list(turn: &Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let count = number(call, "count", ROWS_DEFAULT)?;
    if count > turn.number(&ROWS_MAX) {
        return Err(refuse::not_valid(&[("count", "Must be less than or equal to 1000".to_owned())]));
    }
    let offset = number(call, "offset", 0)?;
    let total = there(turn).count();
    let (start, limit) = (usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    let page: Vec<Value> = there(turn).skip(start).take(limit).map(|(record, version)| order(record, version)).collect();
    let body = json!({ "store_id": STORE, "orders": page, "total_items": total, "_links": [] });
    Ok(Answer::json(200, &render::pruned(call, body)))
}

pub(super) fn get(turn: &Turn<'_>, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let number = of_id(id).ok_or_else(refuse::missing)?;
    let (record, version) = there(turn).find(|(record, _)| record.id == number).ok_or_else(refuse::missing)?;
    Ok(Answer::json(200, &render::pruned(call, order(record, version))))
}

fn there<'a>(turn: &'a Turn<'_>) -> impl Iterator<Item = (&'a Record, &'a Version)> {
    let seen = turn.store.table(KIND).records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    seen.filter(|(_, version)| version.life == Life::Active)
}

fn order(record: &Record, version: &Version) -> Value {
    let kept = |name: &str| version.props.get(name).map_or("", String::as_str);
    let mut order = json!({
        "id": id(record.id),
        "store_id": STORE,
        "customer": { "id": format!("customer-{}", record.id), "email_address": kept(stock::CUSTOMER) },
        "order_total": kept("order_total").parse::<f64>().unwrap_or_default(),
        "lines": [],
        "_links": [],
    });
    for name in stock::ORDER_TEXTS {
        order[name] = json!(kept(name));
    }
    order
}
