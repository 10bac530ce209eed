//! Decides what an answer with rows says: its rows, whether there is more, and what asks for it. Sends nothing, and believes nothing: that is the core's.

use std::collections::HashSet;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::Value as Json;
use tidemark_core::Millis;
use tidemark_core::reading::{After, Ask};
use tidemark_core::record::Record;
use tidemark_core::source::Order;

use super::hole::Values;
use super::link;
use super::more::More;
use super::page::Page;
use super::place::scalar;
use super::reading::{Reading, Rows, Upper};
use super::request::Built;
use crate::http::below;

/// What an answer says of the pages behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) total: Option<u64>,
    pub(super) more: bool,
    pub(super) token: Option<String>,
    /// So many of the rows, from the first, lie in what was asked for; those behind them are beyond a bound that the vendor does not know.
    pub(super) within: usize,
}

impl Rows {
    /// `None` when the answer has no such list: it must not look like an empty one.
    pub(super) fn of<'j>(&self, body: &'j Json) -> Option<Vec<&'j Json>> {
        let found = self.at.find(body)?;
        let rows = match found {
            Json::Object(_) if self.one => std::slice::from_ref(found),
            Json::Array(list) => list.as_slice(),
            _ => return None,
        };
        rows.iter().map(|row| self.row.find(row)).collect()
    }
}

impl Reading {
    /// The request for one page.
    pub(super) fn request(&self, ask: Ask<'_>, precision_ms: u32, values: Values<'_>) -> Result<Built, String> {
        let step = Millis::from(precision_ms);
        let from = if self.lower_open { ask.from - step } else { ask.from };
        let until = if self.upper == Upper::Closed { ask.until - step } else { ask.until };
        // No CRM is older than its calendar, and some refuse times that are.
        let bounded = Values {
            from: Some(from.max(0)),
            until: Some(until.clamp(0, LAST)),
            rows_max: Some(u64::from(ask.rows_max)),
            ..values
        };
        match ask.after {
            After::Start => self.first.build(&bounded),
            After::Id(id) => self.after.build(&Values { after_id: Some(id), ..bounded }),
            After::Key { stamp, id } => self.after.build(&Values { after_id: Some(id), after_time: Some(stamp), ..bounded }),
            After::Page(number) => {
                let skipped = number.saturating_sub(1);
                let first = if let Page::Number { first } = self.page { first } else { 1 };
                let offset = skipped * u64::from(ask.rows_max);
                self.after.build(&Values { page: Some(skipped + first), offset: Some(offset), ..bounded })
            }
            After::Token(token) if matches!(self.page, Page::NextUrl { .. } | Page::LinkHeader) => {
                let built = self.after.build(&bounded)?;
                Ok(Built { path: token.to_owned(), ..built })
            }
            After::Token(token) => self.after.build(&Values { token: Some(token), ..bounded }),
        }
    }

    /// `Err` says what of the answer cannot be followed.
    pub(super) fn behind(
        &self,
        body: &Json,
        headers: &HeaderMap,
        asked: &Asked,
        ask: Ask<'_>,
        records: &[Record],
    ) -> Result<Behind, String> {
        let total = self.total.as_ref().and_then(|at| scalar(at.find(body)?)?.parse().ok());
        let token = match &self.page {
            Page::Token { next } => next.find(body).and_then(scalar),
            Page::NextUrl { next } => next.find(body).and_then(scalar).map(|text| asked.leads_to(&text)).transpose()?,
            Page::LinkHeader => link::next(headers)?.map(|text| asked.leads_to(&text)).transpose()?,
            Page::Keyset | Page::Number { .. } | Page::Offset | Page::None => None,
        };
        let told = |more: &More| more.follows(body, records.len(), ask.rows_max);
        let more = token.is_some() || self.more.as_ref().map_or(Ok(false), told)?;
        let beyond = |record: &Record| record.modified.is_some_and(|stamp| stamp >= ask.until);
        if self.upper == Upper::None && self.order == Order::TimeOnly && records.last().is_some_and(beyond) {
            let within = records.iter().take_while(|record| !beyond(record)).count();
            return Ok(Behind { total: None, more: false, token: None, within });
        }
        Ok(Behind { total, more, token, within: records.len() })
    }
}

/// The last millisecond of the year 9999: what lies behind it is no date to most.
const LAST: Millis = 253_402_300_799_999;

/// Where a page was asked for, to find the next one from.
pub(super) struct Asked {
    /// What the paths of requests stand below.
    base: Url,
    address: Url,
}

impl Asked {
    pub(super) fn at(base: &Url, built: &Built) -> Self {
        Self { base: base.clone(), address: below(base, &built.path) }
    }

    /// Path and query, below the base, of an address that an answer names. It must be the same host's: credentials go to no other.
    pub(super) fn leads_to(&self, text: &str) -> Result<String, String> {
        let url = self.address.join(text).map_err(|_| "the next page's address is none".to_owned())?;
        if url.origin() != self.base.origin() {
            return Err("the next page's address is another host's".to_owned());
        }
        // A gateway may stand before a CRM that knows nothing of the gateway's own path.
        let above = self.base.path().trim_end_matches('/');
        let path = url.path().strip_prefix(above).filter(|path| path.is_empty() || path.starts_with('/')).unwrap_or(url.path());
        Ok(match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }
}

/// Asking for a survivor and for the record merged into it answers the survivor twice.
pub(super) fn without_repeats(mut records: Vec<Record>) -> Vec<Record> {
    let mut seen = HashSet::new();
    records.retain(|record| seen.insert(record.id.clone()));
    records
}
