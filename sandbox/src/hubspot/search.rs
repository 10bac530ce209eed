//! Search: the index's view of the records, which lags behind them, with the vendor's caps.

use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    SEARCH_RESULTS_MAX,
    filter::{Column, Filter, FilterSpec, Scalar},
    objects,
    render::{self, Wanted},
};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    turn::Turn,
    weather,
};

const ROWS_MAX: usize = 200;
const ROWS_DEFAULT: usize = 10;
const GROUPS_MAX: usize = 5;
const GROUP_FILTERS_MAX: usize = 6;
const FILTERS_MAX: usize = 18;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Query {
    filter_groups: Vec<Group>,
    sorts: Vec<Value>,
    limit: usize,
    after: Value,
    properties: Vec<String>,
    query: Option<String>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filter_groups: Vec::new(),
            sorts: Vec::new(),
            limit: ROWS_DEFAULT,
            after: Value::Null,
            properties: Vec::new(),
            query: None,
        }
    }
}

#[derive(Deserialize)]
struct Group {
    filters: Vec<FilterSpec>,
}

struct Sort {
    column: Column,
    descending: bool,
}

type Hit<'a> = (&'a Record, &'a Version);

pub(super) fn search(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let query: Query = call.read()?;
    let after = offset(&query, turn.number(&SEARCH_RESULTS_MAX))?;
    let groups = compile(turn, object, &query.filter_groups)?;
    let sort = sort(turn, object, &query.sorts)?;
    let salt: u64 = if turn.weather.unstable_ties { turn.dice.random() } else { 0 };

    let matches = |record: &Record, version: &Version| {
        groups.is_empty() || groups.iter().any(|group| group.iter().all(|filter| filter.passes(record, version)))
    };
    let mut hits: Vec<Hit<'_>> = turn
        .store
        .table(object)
        .records()
        .filter_map(|record| Some((record, record.indexed(turn.now_ms)?)))
        .filter(|(_, version)| version.life == Life::Active)
        .filter(|(record, version)| matches(record, version))
        .collect();
    if let Some(sort) = &sort {
        arrange(&mut hits, sort, salt);
    }

    let wanted = Wanted::new(object, Some(&query.properties));
    let total = hits.len();
    let results: Vec<Value> = hits
        .into_iter()
        .skip(after)
        .take(query.limit)
        .map(|(record, indexed)| {
            let drifts = weather::hits(turn.weather.out_of_window, turn.dice);
            let fresh = record.committed(turn.now_ms).filter(|version| drifts && version.life == Life::Active);
            render::row(turn.store, record, fresh.unwrap_or(indexed), &wanted)
        })
        .collect();
    let next = after + results.len();
    let mut body = json!({ "total": total, "results": results });
    if next < total {
        body["paging"] = objects::paging(&next.to_string());
    }
    Ok(Answer::json(200, &body))
}

/// Where the page begins. The vendor counts positions and refuses those beyond its cap.
fn offset(query: &Query, results_max: u64) -> Result<usize, Refusal> {
    if query.query.is_some() {
        return Err(Refusal::invalid("Free-text search is not offered by this practice CRM"));
    }
    if !(1..=ROWS_MAX).contains(&query.limit) {
        return Err(Refusal::invalid(format!("Limit {} is not between 1 and {ROWS_MAX}", query.limit)));
    }
    let after = match &query.after {
        Value::Null => 0,
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => {
            text.parse().map_err(|_| Refusal::invalid(format!("Paging token {text} must be formatted as an integer")))?
        }
        other => other
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| Refusal::invalid(format!("Paging token {other} must be formatted as an integer")))?,
    };
    if after.saturating_add(query.limit) as u64 > results_max {
        let text = format!("There was a problem with the request. Paging past {results_max} results is not supported.");
        return Err(Refusal::invalid(text));
    }
    Ok(after)
}

fn compile(turn: &Turn<'_>, object: ObjectType, groups: &[Group]) -> Result<Vec<Vec<Filter>>, Refusal> {
    let total: usize = groups.iter().map(|group| group.filters.len()).sum();
    let widest = groups.iter().map(|group| group.filters.len()).max().unwrap_or_default();
    if groups.len() > GROUPS_MAX || widest > GROUP_FILTERS_MAX || total > FILTERS_MAX {
        let text =
            format!("At most {GROUPS_MAX} filter groups of {GROUP_FILTERS_MAX} filters, {FILTERS_MAX} in all, are supported.");
        return Err(Refusal::invalid(text));
    }
    let schema = &turn.store.table(object).schema;
    let modified = object.modified_property();
    groups.iter().map(|group| group.filters.iter().map(|spec| Filter::compile(spec, schema, modified)).collect()).collect()
}

/// `{propertyName, direction}`, or the short text form where a leading dash means descending.
fn sort(turn: &Turn<'_>, object: ObjectType, sorts: &[Value]) -> Result<Option<Sort>, Refusal> {
    let [sort] = sorts else {
        if sorts.is_empty() {
            return Ok(None);
        }
        return Err(Refusal::invalid("Only one sort rule is supported per search"));
    };
    let (name, descending) = match sort.as_str() {
        Some(text) => (text.trim_start_matches('-'), text.starts_with('-')),
        None => (sort["propertyName"].as_str().unwrap_or_default(), sort["direction"] == "DESCENDING"),
    };
    let column = Column::new(&turn.store.table(object).schema, object.modified_property(), name)?;
    Ok(Some(Sort { column, descending }))
}

/// Sorts by one key, values missing last. Ties stay in id order, or fall as the salt wills.
fn arrange(hits: &mut Vec<Hit<'_>>, sort: &Sort, salt: u64) {
    let mut keyed: Vec<(Option<Scalar>, u64, Hit<'_>)> = hits
        .drain(..)
        .map(|(record, version)| (sort.column.read(record, version), scattered(record.id, salt), (record, version)))
        .collect();
    keyed.sort_by(|(one, one_tie, _), (two, two_tie, _)| {
        let by_key = match (one, two) {
            (Some(one), Some(two)) if sort.descending => two.compare(one),
            (Some(one), Some(two)) => one.compare(two),
            (one, two) => two.is_some().cmp(&one.is_some()),
        };
        by_key.then(one_tie.cmp(two_tie))
    });
    hits.extend(keyed.into_iter().map(|(_, _, hit)| hit));
}

/// The id itself without a salt, otherwise a place that changes with it.
fn scattered(id: u64, salt: u64) -> u64 {
    if salt == 0 { id } else { (id ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) }
}
