//! Sends: batches of records, and what records refer to, which here is a property like others. One method is one call.

use std::sync::PoisonError;

use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;

use super::Engine;
use super::asking::{named, refuse};
use super::calling::{Question, json_of};
use super::hole::Values;
use super::object::Object;
use super::outcome::Told;
use super::row::{Unfit, row};
use super::writing::{Verb, Writing};
use crate::http::Intent;
use crate::{Answer, Outcomes, ReadIds, WriteBatch, WriteItem, WriteKind};

impl Engine {
    pub(super) async fn write_batch(&self, batch: &WriteBatch<'_>) -> Answer<Outcomes> {
        let (verb, word) = match batch.kind {
            WriteKind::Create => (Verb::Create, "creating"),
            WriteKind::Update => (Verb::Update, "updating"),
            WriteKind::Upsert { .. } => (Verb::Upsert, "upserting"),
            WriteKind::Archive => (Verb::Archive, "archiving"),
        };
        let tried = format!("{word} {} {}", batch.items.len(), batch.object);
        let (object, writing) = match self.writing(batch.object, verb) {
            Ok(found) => found,
            Err(failure) => return refuse(tried, failure),
        };
        if batch.items.len() > usize::from(writing.rows_max) {
            let what = format!("{tried}: at most {} go together", writing.rows_max);
            return refuse(tried, Failure::new(Class::Rejected, what));
        }
        if matches!(verb, Verb::Update | Verb::Archive) && batch.items.iter().any(|item| item.id.is_none()) {
            let what = format!("{tried}: an item carries no id");
            return refuse(tried, Failure::new(Class::Rejected, what));
        }
        let property = match batch.kind {
            WriteKind::Upsert { key_property } => Some(key_property),
            WriteKind::Create | WriteKind::Update | WriteKind::Archive => None,
        };
        // An item that cannot be said goes alone: the others are sent.
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner).get(batch.object).cloned().unwrap_or_default();
        let mut rows = Vec::with_capacity(batch.items.len());
        let mut outcomes: Vec<Option<Failure>> = Vec::with_capacity(batch.items.len());
        for item in batch.items {
            let id: Vec<&str> = item.id.iter().map(RemoteId::as_str).collect();
            let values = Values { ids: &id, key: item.key.as_deref(), property, ..self.values(batch.object) };
            let built = row(&object.shape, writing, &learned, item, &values);
            outcomes.push(built.as_ref().err().map(|unfit| unfit_failure(&tried, unfit)));
            rows.extend(built);
        }
        let sent: Vec<&WriteItem> =
            batch.items.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_none()).map(|(item, _)| item).collect();
        if sent.is_empty() {
            let failure = outcomes.into_iter().flatten().next();
            let nothing = || Failure::new(Class::Rejected, format!("{tried}: there is nothing to send"));
            let failure = failure.unwrap_or_else(nothing);
            return refuse(tried, failure);
        }
        let ids: Vec<&str> = sent.iter().filter_map(|item| item.id.as_ref()).map(RemoteId::as_str).collect();
        let all = serde_json::Value::Array(rows.clone());
        let values = Values {
            ids: &ids,
            key: sent.first().and_then(|item| item.key.as_deref()),
            property,
            row: rows.first(),
            rows: Some(&all),
            ..self.values(batch.object)
        };
        let names: Vec<&str> = property.into_iter().collect();
        let version = sent.first().and_then(|item| item.version.as_deref());
        let form = writing.guarded.as_ref().filter(|_| version.is_some()).unwrap_or(&writing.form);
        let built = named(&names).and_then(|()| form.build(&Values { version, ..values }));
        let exchange = self.call(Question { intent: Intent::Write, built, taken: Vec::new(), tried }).await;
        exchange.settle(|reply| {
            if !reply.body.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body).is_err() {
                return Err(reply.malformed("the body is no JSON"));
            }
            let refusal = |entry: &serde_json::Value| self.refusals().of_item(&reply, entry);
            let told = Told { shape: &object.shape, verb, tried: &reply.tried, status: reply.status, refusal: &refusal };
            let mut answered = told.outcomes(writing, &sent, &json_of(&reply)).into_iter();
            let silent = || Failure::new(Class::Malformed, format!("{}: the answer is too short", reply.tried));
            let outcome = |unfit: Option<Failure>| match unfit {
                Some(failure) => Err(failure),
                None => answered.next().unwrap_or_else(|| Err(silent())),
            };
            Ok(outcomes.into_iter().map(outcome).collect())
        })
    }

    fn writing(&self, name: &str, verb: Verb) -> Result<(&Object, &Writing), Failure> {
        let object = self.object(name)?;
        let (writing, word) = match verb {
            Verb::Create => (&object.create, "make"),
            Verb::Update => (&object.update, "change"),
            Verb::Upsert => (&object.upsert, "find or make by our key"),
            Verb::Archive => (&object.archive, "archive"),
        };
        let missing = || Failure::new(Class::Schema, format!("{} has no way to {word} {name}", self.connector.vendor));
        writing.as_ref().map(|writing| (object, writing)).ok_or_else(missing)
    }

    /// The property that holds the id of what is referred to.
    fn reference(&self, object: &str, target: &str) -> Result<&str, Failure> {
        let property = self.object(object)?.references.get(target);
        let missing = || Failure::new(Class::Schema, format!("{object} of {} refer to no {target}", self.connector.vendor));
        property.map(String::as_str).ok_or_else(missing)
    }

    pub(super) async fn referred(&self, object: &str, target: &str, ids: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>> {
        let property = match self.reference(object, target) {
            Ok(property) => Some(property.to_owned()),
            Err(failure) => return refuse(format!("reading the {target} of {} {object}", ids.len()), failure),
        };
        let properties = [property];
        let answer = self.ids(&ReadIds { object, properties: &properties, external_key: None, ids }, false).await;
        let pairs = |records: Vec<tidemark_core::record::Record>| {
            let pair = |mut record: tidemark_core::record::Record| {
                let to = record.values.pop().flatten()?;
                Some((record.id, vec![RemoteId(to)]))
            };
            records.into_iter().filter_map(pair).collect()
        };
        Answer { result: answer.result.map(pairs), callout: answer.callout }
    }

    /// Lets each left record refer to the right one, or to none.
    pub(super) async fn refer_to(
        &self,
        object: &str,
        target: &str,
        pairs: &[(RemoteId, RemoteId)],
        ends: bool,
    ) -> Answer<Vec<Result<(), Failure>>> {
        let property = match self.reference(object, target) {
            Ok(property) => property.to_owned(),
            Err(failure) => return refuse(format!("referring {} {object} to {target}", pairs.len()), failure),
        };
        let item = |(at, (from, to)): (usize, &(RemoteId, RemoteId))| WriteItem {
            trace: at.to_string(),
            id: Some(from.clone()),
            key: None,
            version: None,
            fields: vec![(property.clone(), (!ends).then(|| to.0.clone()))],
        };
        let items: Vec<WriteItem> = pairs.iter().enumerate().map(item).collect();
        let answer = self.write_batch(&WriteBatch { object, kind: WriteKind::Update, items: &items }).await;
        let result = answer.result.map(|outcomes| outcomes.into_iter().map(|outcome| outcome.map(drop)).collect());
        Answer { result, callout: answer.callout }
    }
}

fn unfit_failure(tried: &str, unfit: &Unfit) -> Failure {
    let mut failure = Failure::new(Class::Rejected, format!("{tried}: {} is not sent: {}", unfit.property, unfit.why));
    failure.property = Some(unfit.property.clone());
    failure
}
