//! Lists: everything modified since a header's time, in pages for the first rows and by token beyond; and the feed of deletes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    BAD_TIMES_IGNORED, EMPTY_IS_304, FEED_DAYS, MERGED_IN_FEED, PAGE_TOKEN_HOURS, PAGED_ROWS_MAX, RECYCLE_DAYS,
    SINCE_IS_INCLUSIVE, TOKEN_ROWS_MAX, refuse, render,
};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    stamp,
    turn::Turn,
};

const ROWS_MAX: u64 = 200;
const FIELDS_MAX: usize = 50;
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Created,
    Modified,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Created => "Created_Time",
            Self::Modified => "Modified_Time",
        }
    }

    fn of(self, record: &Record, version: &Version) -> i64 {
        match self {
            Self::Id => record.id.cast_signed(),
            Self::Created => record.created_ms,
            Self::Modified => version.stamp_ms,
        }
    }
}

/// Where a page behind a token begins, and which query the token belongs to.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    query: String,
    key: i64,
    id: u64,
    passed: u64,
    made: i64,
}

pub(super) fn list(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let Some(fields) = call.list("fields") else {
        return Err(refuse::param("fields", "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing"));
    };
    if fields.len() > FIELDS_MAX {
        return Err(refuse::param("fields", "LIMIT_EXCEEDED", "Fields limit exceeded"));
    }
    let key = match call.parameter("sort_by") {
        None | Some("id") => Key::Id,
        Some("Created_Time") => Key::Created,
        Some("Modified_Time") => Key::Modified,
        Some(_) => return Err(refuse::param("sort_by", "INVALID_DATA", "invalid data")),
    };
    let descending = call.parameter("sort_order") != Some("asc");
    let per_page = number(call, "per_page", ROWS_MAX)?;
    let since_ms = since(turn, call)?;
    let wanted: Vec<u64> = call.list("ids").unwrap_or_default().iter().filter_map(|id| render::number(id)).collect();
    let inclusive = turn.is_on(&SINCE_IS_INCLUSIVE);
    let mut rows: Vec<(i64, u64, &Record, &Version)> = seen(turn, object)
        .filter(|(_, version)| version.life == Life::Active)
        .filter(|(_, version)| since_ms.is_none_or(|since| version.stamp_ms > since || (inclusive && version.stamp_ms == since)))
        .filter(|(record, _)| wanted.is_empty() || wanted.contains(&record.id))
        .map(|(record, version)| (key.of(record, version), record.id, record, version))
        .collect();
    rows.sort_by_key(|(key, id, ..)| (*key, *id));
    if descending {
        rows.reverse();
    }
    let query = format!("{object:?}|{fields:?}|{}|{descending}|{per_page}|{since_ms:?}", key.name());
    let place = place(turn, call, &query, per_page)?;
    let start = match &place {
        Place::Page(page) => usize::try_from((page - 1) * per_page).unwrap_or(usize::MAX),
        Place::Token(token) => rows.partition_point(|(key, id, ..)| {
            if descending { (*key, *id) >= (token.key, token.id) } else { (*key, *id) <= (token.key, token.id) }
        }),
    };
    let limit = usize::try_from(per_page).unwrap_or(usize::MAX);
    let page: Vec<_> = rows.iter().skip(start).take(limit).collect();
    let Some((last_key, last_id, ..)) = page.last() else {
        return Ok(Answer::empty(if since_ms.is_some() && turn.is_on(&EMPTY_IS_304) { 304 } else { 204 }));
    };
    let more = start + page.len() < rows.len();
    let passed = place.passed(per_page) + page.len() as u64;
    let token = Token { query, key: *last_key, id: *last_id, passed, made: turn.now_ms };
    let next = more.then(|| URL_SAFE_NO_PAD.encode(serde_json::to_string(&token).unwrap_or_default()));
    let data: Vec<Value> = page.iter().map(|(.., record, version)| render::row(turn, record, version, Some(&fields))).collect();
    let expiry = next.as_ref().map(|_| render::time(turn, turn.crm_ms().saturating_add(hours_ms(turn))));
    let info = json!({
        "per_page": per_page,
        "count": data.len(),
        "page": match place { Place::Page(page) => page, Place::Token(_) => passed.div_ceil(per_page) },
        "sort_by": key.name(),
        "sort_order": if descending { "desc" } else { "asc" },
        "more_records": more,
        "next_page_token": next,
        "previous_page_token": Value::Null,
        "page_token_expiry": expiry,
    });
    Ok(Answer::json(200, &json!({ "data": data, "info": info })))
}

/// Deletes by time. Those whose record has left the recycle bin are told as permanent for a while.
pub(super) fn deleted(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let kind = call.parameter("type").unwrap_or("all");
    if !["all", "recycle", "permanent"].contains(&kind) {
        return Err(refuse::param("type", "INVALID_DATA", "invalid data"));
    }
    let (page, per_page) = (number(call, "page", 1)?.max(1), number(call, "per_page", ROWS_MAX)?);
    let since_ms = since(turn, call)?;
    let days = |days: u64| i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
    let (bin_ms, feed_ms) = (days(turn.number(&RECYCLE_DAYS)), days(turn.number(&FEED_DAYS)));
    let mut gone: Vec<(&Record, &Version, &str)> = seen(turn, object)
        .filter(|(_, version)| match version.life {
            Life::Active | Life::Erased => false,
            Life::Archived => true,
            Life::MergedInto(_) => turn.is_on(&MERGED_IN_FEED),
        })
        .filter(|(_, version)| turn.now_ms.saturating_sub(version.written_ms) < feed_ms)
        .filter(|(_, version)| since_ms.is_none_or(|since| version.stamp_ms >= since))
        .map(|(record, version)| {
            (record, version, if turn.now_ms - version.written_ms < bin_ms { "recycle" } else { "permanent" })
        })
        .filter(|(_, _, own)| kind == "all" || kind == *own)
        .collect();
    gone.sort_by_key(|(record, version, _)| (std::cmp::Reverse(version.stamp_ms), record.id));
    let start = usize::try_from((page - 1) * per_page).unwrap_or(usize::MAX);
    let limit = usize::try_from(per_page).unwrap_or(usize::MAX);
    let robot = json!({ "name": "Robot", "id": "1" });
    let shown = gone.iter().skip(start).take(limit).map(|(record, version, kind)| {
        json!({
            "deleted_by": robot,
            "id": render::id(record.id),
            "display_name": version.props.get(super::stock::needed(object)[0]),
            "type": kind,
            "created_by": robot,
            "deleted_time": render::time(turn, version.stamp_ms),
        })
    });
    let data: Vec<Value> = shown.collect();
    if data.is_empty() {
        return Ok(Answer::empty(204));
    }
    let more = start + data.len() < gone.len();
    let info = json!({ "per_page": per_page, "count": data.len(), "page": page, "more_records": more });
    Ok(Answer::json(200, &json!({ "data": data, "info": info })))
}

/// What the index finds: by e-mail, phone, or one field that equals or starts with a value.
pub(super) fn search(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let wrong = || refuse::param("criteria", "INVALID_QUERY", "Invalid query formed");
    let (field, starts, wanted) = match (call.parameter("email"), call.parameter("phone"), call.parameter("criteria")) {
        (Some(email), ..) => ("Email".to_owned(), false, email.to_owned()),
        (_, Some(phone), _) => ("Phone".to_owned(), false, phone.to_owned()),
        (.., Some(criteria)) => {
            let inner = criteria.trim().trim_start_matches('(').trim_end_matches(')');
            let mut parts = inner.splitn(3, ':').map(str::to_owned);
            let (Some(field), Some(operator), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(wrong());
            };
            if !["equals", "starts_with"].contains(&operator.as_str()) || inner.contains(")and(") || inner.contains(")or(") {
                return Err(wrong());
            }
            (field, operator == "starts_with", value)
        }
        _ => return Err(refuse::param("criteria", "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing")),
    };
    if turn.store.table(object).schema.find(&field).is_none() {
        return Err(wrong());
    }
    let wanted = wanted.to_lowercase();
    let fits = |version: &Version| {
        version
            .props
            .get(&field)
            .map(|own| own.to_lowercase())
            .is_some_and(|own| if starts { own.starts_with(&wanted) } else { own == wanted })
    };
    let table = turn.store.table(object);
    let found = table.records().filter_map(|record| Some((record, record.indexed(turn.now_ms)?)));
    let found = found.filter(|(_, version)| version.life == Life::Active && fits(version));
    let fields = call.list("fields");
    let data: Vec<Value> =
        found.take(200).map(|(record, version)| render::row(turn, record, version, fields.as_deref())).collect();
    if data.is_empty() {
        return Ok(Answer::empty(204));
    }
    Ok(Answer::json(
        200,
        &json!({ "data": data, "info": { "per_page": 200, "count": data.len(), "page": 1, "more_records": false } }),
    ))
}

fn seen<'a>(turn: &'a Turn<'_>, object: ObjectType) -> impl Iterator<Item = (&'a Record, &'a Version)> {
    turn.store.table(object).records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)))
}

enum Place {
    Page(u64),
    Token(Token),
}

impl Place {
    fn passed(&self, per_page: u64) -> u64 {
        match self {
            Self::Page(page) => (page - 1) * per_page,
            Self::Token(token) => token.passed,
        }
    }
}

fn place(turn: &Turn<'_>, call: &Call, query: &str, per_page: u64) -> Result<Place, Refusal> {
    let Some(text) = call.parameter("page_token") else {
        let page = number(call, "page", 1)?.max(1);
        if page * per_page > turn.number(&PAGED_ROWS_MAX) && page > 1 {
            let text = "You can only get the first 2000 records without using page_token param.";
            let details = json!({ "limit": turn.number(&PAGED_ROWS_MAX) });
            return Err(Refusal::new(400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED", text).with_context(details));
        }
        return Ok(Place::Page(page));
    };
    if call.parameter("page").is_some() {
        return Err(refuse::param("page_token", "AMBIGUITY_DURING_PROCESSING", "You cannot use page and page_token together"));
    }
    let invalid = || refuse::param("page_token", "INVALID_DATA", "the page_token given seems to be invalid");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if turn.now_ms - token.made >= hours_ms(turn) {
        return Err(refuse::param("page_token", "EXPIRED_VALUE", "The value provided has expired"));
    }
    if token.query != query {
        return Err(refuse::param(
            "page_token",
            "TOKEN_BOUND_DATA_MISMATCH",
            "The data bound to the token does not match the request",
        ));
    }
    if token.passed >= turn.number(&TOKEN_ROWS_MAX) {
        return Err(refuse::param("page_token", "PAGINATION_LIMIT_EXCEEDED", "You can only get the first 100000 records"));
    }
    Ok(Place::Token(token))
}

fn hours_ms(turn: &Turn<'_>) -> i64 {
    i64::try_from(turn.number(&PAGE_TOKEN_HOURS)).unwrap_or(i64::MAX).saturating_mul(3_600_000)
}

/// The header's time: ISO with an offset.
fn since(turn: &Turn<'_>, call: &Call) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.header("if-modified-since") else { return Ok(None) };
    match stamp::parse(text).filter(|_| text.contains('T')) {
        Some(ms) => Ok(Some(ms)),
        None if turn.is_on(&BAD_TIMES_IGNORED) => Ok(None),
        None => {
            let details = json!({ "header": "If-Modified-Since" });
            Err(Refusal::new(400, "INVALID_DATA", "invalid data").with_context(details))
        }
    }
}

fn number(call: &Call, name: &str, default: u64) -> Result<u64, Refusal> {
    let Some(text) = call.parameter(name) else { return Ok(default) };
    let max = if name == "per_page" { ROWS_MAX } else { u64::from(u32::MAX) };
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| refuse::param(name, "INVALID_DATA", "invalid data"))
}
