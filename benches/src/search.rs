//! Decides which records a search asks for: a run of neighbours, because ids and modified stamps ascend together.
//!
//! Understands the reading of windows and nothing else; what it does not understand it refuses, so that no figure rests on a wrong answer.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use crate::contacts;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search<'a> {
    #[serde(borrow, default)]
    filter_groups: Vec<Group<'a>>,
    #[serde(borrow, default)]
    sorts: Vec<Sort<'a>>,
    limit: Option<u64>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow)]
    filters: Vec<Filter<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    property_name: Cow<'a, str>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sort<'a> {
    #[serde(borrow)]
    property_name: Cow<'a, str>,
    #[serde(borrow)]
    direction: Cow<'a, str>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Indices of the records of this page.
    pub(crate) page: Range<u64>,
    /// Records that match, those of this page among them.
    pub(crate) total: u64,
}

/// `records` exist; a page holds at most `page_max`. The error is a sentence for whoever asked.
pub(crate) fn find(body: &[u8], records: u64, page_max: u64) -> Result<Found, String> {
    let search: Search<'_> = serde_json::from_slice(body).map_err(|error| format!("The search was not understood: {error}"))?;
    let by_id = |sort: &Sort<'_>| sort.property_name == "hs_object_id" && sort.direction == "ASCENDING";
    if search.sorts.len() != 1 || !search.sorts.iter().all(by_id) {
        return Err("This server sorts by hs_object_id, ASCENDING, and by nothing else".to_owned());
    }
    if search.after.is_some_and(|after| !after.is_empty() && after != "0") {
        return Err("This server pages by hs_object_id GT, and by no offset".to_owned());
    }
    let limit = search.limit.unwrap_or(10);
    if !(1..=page_max).contains(&limit) {
        return Err(format!("Limit {limit} is not between 1 and {page_max}"));
    }
    let [group] = search.filter_groups.as_slice() else {
        return Err("This server answers searches with one group of filters".to_owned());
    };
    let mut matching = 0..records;
    for filter in &group.filters {
        narrow(&mut matching, filter)?;
    }
    let total = matching.end.saturating_sub(matching.start);
    Ok(Found { page: matching.start..matching.start + total.min(limit), total })
}

fn narrow(matching: &mut Range<u64>, filter: &Filter<'_>) -> Result<(), String> {
    let number: Option<i64> = filter.value.as_deref().and_then(|value| value.parse().ok());
    let refusal = || format!("This server does not filter by {} {}", filter.property_name, filter.operator);
    let number = number.ok_or_else(refusal)?;
    match (&*filter.property_name, &*filter.operator) {
        ("lastmodifieddate", "GTE") => matching.start = matching.start.max(contacts::first_modified_since(number)),
        ("lastmodifieddate", "LT") => matching.end = matching.end.min(contacts::first_modified_since(number)),
        ("hs_object_id", "GT") => {
            let id = u64::try_from(number).map_err(|_| refusal())?;
            matching.start = matching.start.max(contacts::first_beyond_id(id));
        }
        _ => return Err(refusal()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(filters: &[(&str, &str, String)], limit: u64) -> Value {
        let filter = |(name, operator, value): &(&str, &str, String)| json!({ "propertyName": name, "operator": operator, "value": value });
        json!({
            "filterGroups": [{ "filters": filters.iter().map(filter).collect::<Vec<_>>() }],
            "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }],
            "properties": ["email"],
            "limit": limit,
        })
    }

    fn check(filters: &[(&str, &str, String)], page: Range<u64>, total: u64) {
        let body = serde_json::to_vec(&asked(filters, 200)).unwrap();
        assert_eq!(find(&body, 1_000, 200), Ok(Found { page, total }), "{filters:?}");
    }

    #[test]
    fn a_window_is_read_by_id_to_its_end() {
        let window = [("lastmodifieddate", "GTE", "0".to_owned()), ("lastmodifieddate", "LT", i64::MAX.to_string())];
        let after = |index| [window.as_slice(), &[("hs_object_id", "GT", contacts::id(index).to_string())]].concat();
        check(&window, 0..200, 1_000);
        check(&after(199), 200..400, 800);
        check(&after(899), 900..1_000, 100);
        check(&after(999), 1_000..1_000, 0);
    }

    #[test]
    fn what_is_not_understood_is_refused_rather_than_answered_with_everything() {
        let check = |body: Value| assert!(find(&serde_json::to_vec(&body).unwrap(), 1_000, 200).is_err(), "{body}");
        check(asked(&[("email", "EQ", "1".to_owned())], 200));
        check(asked(&[("lastmodifieddate", "GTE", "yesterday".to_owned())], 200));
        check(asked(&[], 201));
        let mut other = asked(&[], 200);
        other["after"] = json!("200");
        check(other.clone());
        other["after"] = Value::Null;
        other["sorts"] = json!([]);
        check(other);
    }
}
