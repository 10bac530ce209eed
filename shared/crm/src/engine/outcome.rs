//! Decides which outcome belongs to which item of a batch, as the file says where they stand. What an answer does not say of an item may have been done.

use serde_json::Value as Json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{RemoteId, Value};

use super::place::scalar;
use super::shape::Shape;
use super::writing::{Outcome, PerItem, Verb, Writing};
use crate::{Outcomes, WriteItem, Written};

/// What reading outcomes needs beside the answer.
pub(super) struct Told<'a> {
    pub(super) shape: &'a Shape,
    pub(super) verb: Verb,
    pub(super) tried: &'a str,
    pub(super) status: u16,
    /// What the error table makes of one entry.
    pub(super) refusal: &'a dyn Fn(&Json) -> Failure,
}

impl Told<'_> {
    /// One outcome for each item. `body` is null where the answer had none.
    pub(super) fn outcomes(&self, writing: &Writing, items: &[&WriteItem], body: &Json) -> Outcomes {
        match &writing.outcome {
            Outcome::Whole { row, id } => {
                let row = row.as_ref().and_then(|at| at.find(body));
                let id = id.as_ref().and_then(|at| at.find(body)).and_then(scalar).map(RemoteId);
                items.iter().map(|item| self.written(item, row, id.clone())).collect()
            }
            Outcome::PerItem(per_item) => self.per_item(per_item, items, body),
            Outcome::Atomic { ids } => {
                let ids = ids.as_ref().and_then(|at| at.find(body)).and_then(Json::as_array);
                // A list of another length cannot be laid beside the items.
                let ids = ids.filter(|ids| ids.len() == items.len());
                let id = |at: usize| ids.and_then(|ids| scalar(&ids[at])).map(RemoteId);
                items.iter().enumerate().map(|(at, item)| self.written(item, None, id(at))).collect()
            }
        }
    }

    fn per_item(&self, per_item: &PerItem, items: &[&WriteItem], body: &Json) -> Outcomes {
        let entries = per_item.items.find(body).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let id_of = |entry: &Json| per_item.id.as_ref().and_then(|at| at.find(entry)).and_then(scalar).map(RemoteId);
        let entry = |at: usize, item: &WriteItem| {
            if per_item.by_id {
                return entries.iter().find(|entry| item.id.is_some() && id_of(entry) == item.id);
            }
            // By its place, which means something only where nothing is missing.
            (entries.len() == items.len()).then(|| entries.get(at)).flatten()
        };
        let outcome = |(at, item): (usize, &&WriteItem)| {
            let Some(entry) = entry(at, item) else { return Err(self.silence("does not say what became of one item")) };
            let word = per_item.ok.0.find(entry).and_then(scalar);
            if word.is_some_and(|word| per_item.ok.1.contains(&word)) {
                return self.written(item, per_item.row.as_ref().and_then(|at| at.find(entry)), id_of(entry));
            }
            Err((self.refusal)(per_item.fault.find(entry).unwrap_or(entry)))
        };
        items.iter().enumerate().map(outcome).collect()
    }

    fn written(&self, item: &WriteItem, row: Option<&Json>, id: Option<RemoteId>) -> Result<Written, Failure> {
        let id = id.or_else(|| row.and_then(|row| self.shape.id_of(row))).or_else(|| item.id.clone());
        let id = id.ok_or_else(|| self.silence("does not say which record was written"))?;
        let created = match self.verb {
            Verb::Create => Some(true),
            Verb::Update | Verb::Archive => Some(false),
            Verb::Upsert => None,
        };
        let answered = |(name, _): &(String, Value)| {
            let row = row.filter(|row| self.shape.find(row, name).is_some())?;
            Some((name.clone(), self.shape.value(row, name)))
        };
        let fields = item.fields.iter().filter_map(answered).collect();
        Ok(Written { id, modified: row.and_then(|row| self.shape.stamp(row)), created, fields })
    }

    fn silence(&self, what: &str) -> Failure {
        let mut failure = Failure::new(Class::Retry, format!("{}: the answer {what}", self.tried));
        failure.status = Some(self.status);
        failure.maybe_done = true;
        failure
    }
}
