//! Asks: for pages, for records by id or by a value, for an account and what an object is made of. One method is one call.

use std::sync::PoisonError;

use chrono::Utc;
use serde_json::Value as Json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::fit::PropertyKind;
use tidemark_core::reading::{After, Answered, Ask, Course, Fault, Place as At, Token, ask, conclude, fresh, worn};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Next, Page, Position, SourceTraits};
use tidemark_core::window::Window;

use super::Engine;
use super::answer::{Behind, without_repeats};
use super::calling::{Question, json_of};
use super::connector::is_name;
use super::feed::{Feed, OfTime};
use super::hole::Values;
use super::object::{Asking, Object};
use super::place::scalar;
use super::reading::{Reading, Rows};
use super::row::Learned;
use crate::http::{Exchange, Intent, Reply, Request};
use crate::{Account, Answer, LookUp, PageRequest, Property, ReadIds};

/// What of a record is wanted.
struct Wanted<'a> {
    properties: &'a [Option<String>],
    external_key: Option<&'a str>,
    /// The answer shows all of each record, where a list may show a part.
    whole: bool,
}

/// A list that is read in pages.
struct List<'a> {
    reading: &'a Reading,
    traits: &'a SourceTraits,
    /// Asked for with each row.
    fields: Vec<&'a str>,
    record: RowRead<'a>,
    tried: String,
}

/// The record of a row; `None` when it carries no id.
type RowRead<'a> = &'a (dyn Fn(&Json) -> Option<Record> + Sync);

impl Engine {
    pub(super) fn object(&self, name: &str) -> Result<&Object, Failure> {
        self.connector.object(name).ok_or_else(|| {
            let known: Vec<&str> = self.connector.objects().collect();
            Failure::new(
                Class::Schema,
                format!("{} has no object `{name}` here; known are {}", self.connector.vendor, known.join(", ")),
            )
        })
    }

    pub(super) fn values<'a>(&'a self, object: &'a str) -> Values<'a> {
        Values { object: Some(object), constants: Some(&self.constants), ..Values::default() }
    }

    /// Records outside the window are kept: what they hold is no less true.
    pub(super) async fn page(&self, request: &PageRequest<'_>) -> Answer<Page> {
        let object = match self.object(request.object) {
            Ok(object) => object,
            Err(failure) => return refuse(format!("reading a page of {}", request.object), failure),
        };
        let feed = object.deletes.as_ref().filter(|_| request.deletes && self.is_tracked(request.object));
        let reached = request.position.and_then(Feed::reached);
        if let Some((feed, position)) = feed.zip(reached) {
            return match feed {
                Feed::OfTime(feed) => self.deletes(request, object, feed, position.as_ref()).await,
                Feed::Delta(delta) => self.changes(request, delta, position.as_ref()).await,
            };
        }
        let list = List {
            reading: &object.reading,
            traits: &object.traits,
            fields: object.shape.asked(request.properties, request.external_key),
            record: &|row| object.shape.listed(row, request.properties, request.external_key),
            tried: format!("reading a page of {}", request.object),
        };
        let mut answer = self.page_of(list, request, request.position).await;
        if let (Some(_), Ok(page @ Page { next: Next::Drained, .. })) = (feed, &mut answer.result) {
            page.next = Next::More(Feed::position(None));
        }
        answer
    }

    async fn deletes(
        &self,
        request: &PageRequest<'_>,
        object: &Object,
        feed: &OfTime,
        position: Option<&Position>,
    ) -> Answer<Page> {
        let list = List {
            reading: &feed.reading,
            traits: &feed.traits(&object.traits),
            fields: Vec::new(),
            record: &|row| feed.record(row, request.properties.len()),
            tried: format!("reading the deletes of {}", request.object),
        };
        let mut answer = self.page_of(list, request, position).await;
        if let Ok(Page { next: Next::More(place), .. }) = &mut answer.result {
            *place = Feed::position(Some(place));
        }
        answer
    }

    async fn page_of(&self, list: List<'_>, request: &PageRequest<'_>, position: Option<&Position>) -> Answer<Page> {
        let List { reading, traits, fields, record, tried } = list;
        let window = Window { from: request.from, until: request.until };
        // A position outlives its process, and with it any clock of the process's own.
        let now = Utc::now().timestamp_millis();
        let place = match fresh(traits, At::of(window, position), now) {
            Ok(place) => place,
            Err(fault) => {
                let failure = Failure::new(Class::Malformed, format!("{tried}: {fault}"));
                return refuse(tried, Failure { anew: fault.is_of_place(), ..failure });
            }
        };
        let question = ask(traits, &place, request.rows_max);
        let values = Values { fields: &fields, ..self.values(request.object) };
        let built = named(&fields).and_then(|()| reading.request(question, traits.precision_ms, values));
        // Behind a token a refusal says nothing of what is there: it may be the token that is taken no more.
        let behind_token = matches!(question.after, After::Token(_));
        let is_end = |status: &u16| !behind_token || *status < 400;
        let taken = reading.rows.empty_status.iter().copied().filter(is_end).collect();
        let asked = self.asked_at(&built);
        let exchange = self.call(Question { intent: Intent::Read, built, taken, tried }).await;
        let answer = exchange.settle(|reply| {
            let (body, records) = read_rows(&reply, &reading.rows, record)?;
            let behind = match asked {
                Some(asked) => reading.behind(&body, &reply.headers, &asked, question, &records),
                None => Err("the host is not known".to_owned()),
            };
            let behind = behind.map_err(|what| reply.malformed(&what))?;
            let next = concluded(&reply, traits, window, &place, question, &records, &behind, now)?;
            Ok(Page { records, next, feed: None })
        });
        let Answer { result, callout } = answer;
        let result = match result {
            Err(failure) if failure.class.is_final() => begun_again(&place, failure),
            result => result,
        };
        Answer { result, callout }
    }

    pub(super) async fn ids(&self, request: &ReadIds<'_>, archived: bool) -> Answer<Vec<Record>> {
        let (count, name) = (request.ids.len(), request.object);
        let tried =
            if archived { format!("looking for {count} {name} in the archive") } else { format!("reading {count} {name} by id") };
        let object = match self.object(name) {
            Ok(object) => object,
            Err(failure) => return refuse(tried, failure),
        };
        let asking = if archived { object.read_archived.as_ref() } else { Some(&object.read_ids) };
        let Some(asking) = asking else {
            return refuse(tried, Failure::new(Class::Schema, format!("{} shows no archive of {name}", self.connector.vendor)));
        };
        let ids: Vec<&str> = request.ids.iter().map(RemoteId::as_str).collect();
        let wanted = Wanted { properties: request.properties, external_key: request.external_key, whole: true };
        let values = Values { ids: &ids, ..self.values(name) };
        let alone = ids.len() == 1;
        let mut answer = self.ask(asking, values, object, &wanted, tried).await;
        // Some CRMs answer for a record that is archived as for any other.
        if let Ok(records) = &mut answer.result {
            records.retain(|record| record.archived == archived);
        }
        // Asked for by itself, a record that is not there is an answer.
        if alone && answer.result.as_ref().is_err_and(|failure| failure.class == Class::Gone) {
            answer.result = Ok(Vec::new());
        }
        answer
    }

    pub(super) async fn look(&self, request: &LookUp<'_>) -> Answer<Vec<Record>> {
        let tried = format!("looking up {} {} by {}", request.values.len(), request.object, request.property);
        let object = match self.object(request.object) {
            Ok(object) => object,
            Err(failure) => return refuse(tried, failure),
        };
        let looking = object.look_up.as_ref().filter(|look_up| {
            look_up.properties.is_empty() || look_up.properties.iter().any(|property| property == request.property)
        });
        let Some(looking) = looking else {
            let what = format!("{} cannot be asked for {} by {}", self.connector.vendor, request.object, request.property);
            return refuse(tried, Failure::new(Class::Schema, what));
        };
        if request.values.len() > usize::from(looking.asking.rows_max) {
            let what = format!("{tried}: at most {} at once", looking.asking.rows_max);
            return refuse(tried, Failure::new(Class::Rejected, what));
        }
        let texts: Vec<&str> = request.values.iter().map(String::as_str).collect();
        let wanted = Wanted { properties: request.properties, external_key: request.external_key, whole: false };
        let values = Values { values: &texts, property: Some(request.property), ..self.values(request.object) };
        let mut answer = self.ask(&looking.asking, values, object, &wanted, tried).await;
        // What is looked up by itself and is not there is an answer, too.
        if texts.len() == 1 && answer.result.as_ref().is_err_and(|failure| failure.class == Class::Gone) {
            answer.result = Ok(Vec::new());
        }
        if let (true, Ok(records), [value]) = (looking.trusts, &mut answer.result, request.values) {
            for record in records {
                trust(record, request, value);
            }
        }
        answer
    }

    async fn ask(
        &self,
        asking: &Asking,
        values: Values<'_>,
        object: &Object,
        wanted: &Wanted<'_>,
        tried: String,
    ) -> Answer<Vec<Record>> {
        let fields = object.shape.asked(wanted.properties, wanted.external_key);
        let names: Vec<&str> = fields.iter().copied().chain(values.property).collect();
        let built = named(&names).and_then(|()| asking.form.build(&Values { fields: &fields, ..values }));
        let taken = asking.rows.empty_status.clone();
        let exchange = self.call(Question { intent: Intent::Read, built, taken, tried }).await;
        let record = |row: &Json| match wanted.whole {
            true => object.shape.record(row, wanted.properties, wanted.external_key),
            false => object.shape.listed(row, wanted.properties, wanted.external_key),
        };
        exchange.settle(|reply| read_rows(&reply, &asking.rows, &record).map(|(_, records)| without_repeats(records)))
    }

    pub(super) async fn read_account(&self) -> Answer<Account> {
        let form = &self.connector.account;
        let built = form.form.build(&self.values(""));
        let tried = "reading the account".to_owned();
        let exchange = self.call(Question { intent: Intent::Read, built, taken: Vec::new(), tried }).await;
        exchange.settle(|reply| {
            let body = json(&reply)?;
            let id = form.id.find(&body).and_then(scalar).ok_or_else(|| reply.malformed("the account names no id"))?;
            let environment = match &form.environment {
                // The CRM does not tell: the id alone is compared.
                None => self.environment.clone(),
                Some((at, words)) => {
                    let word =
                        at.find(&body).and_then(scalar).ok_or_else(|| reply.malformed("the account does not say what it is"))?;
                    words.get(&word).cloned().unwrap_or_else(|| word.to_lowercase())
                }
            };
            Ok(Account { id, environment })
        })
    }

    /// Properties that only the file knows are among them; those that the file says more of say it.
    pub(super) async fn read_properties(&self, name: &str) -> Answer<Vec<Property>> {
        let tried = format!("describing {name}");
        let object = match self.object(name) {
            Ok(object) => object,
            Err(failure) => return refuse(tried, failure),
        };
        let Some(describing) = &object.describe else {
            return refuse(tried, Failure::new(Class::Schema, format!("{} does not describe {name}", self.connector.vendor)));
        };
        let built = describing.form.build(&self.values(name));
        let taken = describing.rows.empty_status.clone();
        let exchange = self.call(Question { intent: Intent::Read, built, taken, tried }).await;
        exchange.settle(|reply| {
            let body = json(&reply)?;
            let rows =
                describing.rows.of(&body).ok_or_else(|| reply.malformed("the answer has no list where one is promised"))?;
            let mut learned = Learned::default();
            let mut properties = Vec::with_capacity(rows.len());
            for row in rows {
                let Some(name) = describing.name.find(row).and_then(scalar) else { continue };
                let name = match &describing.prefix {
                    Some((mark, prefix)) if mark.as_ref().is_none_or(|mark| mark.stands_in(row)) => format!("{prefix}{name}"),
                    _ => name,
                };
                let word = describing.kind.find(row).and_then(scalar).unwrap_or_default();
                let kind = describing.kinds.get(&word).copied().unwrap_or(PropertyKind::Other);
                let options: Vec<&Json> = match &describing.options {
                    Some((at, value)) => {
                        let list = at.find(row).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
                        list.iter().filter_map(|option| value.find(option)).collect()
                    }
                    None => Vec::new(),
                };
                if !options.is_empty() && options.iter().all(|option| option.is_number()) {
                    learned.numbered.push(name.clone());
                }
                learned.kinds.insert(name.clone(), kind);
                properties.push(Property {
                    kind,
                    options: options.into_iter().filter_map(scalar).collect(),
                    labels: Vec::new(),
                    several: false,
                    required: false,
                    chars_max: None,
                    unique: describing.unique.as_ref().is_some_and(|mark| mark.stands_in(row)),
                    read_only: describing.read_only.as_ref().is_some_and(|mark| mark.stands_in(row)),
                    name,
                });
            }
            declare(object, &mut properties);
            self.learn(name, learned, &properties);
            Ok(properties)
        })
    }

    fn learn(&self, object: &str, learned: Learned, properties: &[Property]) {
        let unique =
            properties.iter().filter(|property| property.unique).map(|property| (object.to_owned(), property.name.clone()));
        self.unique.write().unwrap_or_else(PoisonError::into_inner).extend(unique);
        self.learned.write().unwrap_or_else(PoisonError::into_inner).insert(object.to_owned(), learned);
    }
}

/// What the file says of a property counts beside what the CRM says.
fn declare(object: &Object, properties: &mut Vec<Property>) {
    for (name, declared) in object.shape.declared() {
        let known = properties.iter_mut().find(|property| property.name == name);
        match known {
            Some(property) => {
                property.kind = declared.kind.unwrap_or(property.kind);
                property.unique |= declared.unique;
                property.read_only |= declared.read_only;
            }
            None => properties.push(Property {
                name: name.to_owned(),
                kind: declared.kind.unwrap_or(PropertyKind::Other),
                options: Vec::new(),
                labels: Vec::new(),
                several: false,
                required: false,
                chars_max: None,
                unique: declared.unique,
                read_only: declared.read_only,
            }),
        }
    }
}

/// The row need not show what it was found by: that the CRM found it is its word.
fn trust(record: &mut Record, request: &LookUp<'_>, value: &str) {
    for (place, name) in record.values.iter_mut().zip(request.properties) {
        if name.as_deref() == Some(request.property) {
            *place = Some(value.to_owned());
        }
    }
    if request.external_key == Some(request.property) {
        record.external_key = Some(value.to_owned());
    }
}

/// Names reach queries as they are, so that nothing but a name may be one.
pub(super) fn named(names: &[&str]) -> Result<(), String> {
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("`{name}` cannot be the name of a property")),
        None => Ok(()),
    }
}

fn json(reply: &Reply) -> Result<Json, Failure> {
    serde_json::from_str(reply.json_text()?).map_err(|error| reply.broken_json(&error))
}

/// The answer's JSON and its records. An answer without its list is a fault: it must not look like an empty one.
fn read_rows(reply: &Reply, rows: &Rows, record: RowRead<'_>) -> Result<(Json, Vec<Record>), Failure> {
    if rows.empty_status.contains(&reply.status) && (reply.body.is_empty() || !reply.is_success()) {
        return Ok((json_of(reply), Vec::new()));
    }
    let body = json(reply)?;
    let found = rows.of(&body).ok_or_else(|| reply.malformed("it has no rows where they are promised"))?;
    let records = found
        .into_iter()
        .map(|row| record(row).ok_or_else(|| reply.malformed("a row carries no id")))
        .collect::<Result<_, _>>()?;
    Ok((body, records))
}

#[expect(clippy::too_many_arguments, reason = "what the core decides from, side by side")]
fn concluded(
    reply: &Reply,
    traits: &SourceTraits,
    window: Window,
    place: &At,
    question: Ask<'_>,
    records: &[Record],
    behind: &Behind,
    now: i64,
) -> Result<Next, Failure> {
    let token = behind.token.as_deref().map(|text| Token { text, given_at: now });
    let within = records.get(..behind.within).unwrap_or(records);
    let answered = Answered { records: within, total: behind.total, more: behind.more, token };
    match conclude(traits, window, place, question, answered) {
        Ok(Course::More(place)) => Ok(Next::More(place.position())),
        Ok(Course::Drained) => Ok(Next::Drained),
        Err(fault @ Fault::Promised(_)) => {
            let failure = Failure::new(Class::Retry, format!("{}: {fault}", reply.tried));
            Err(Failure { status: Some(reply.status), wait: reply.wait, ..failure })
        }
        Err(fault) => Err(Failure { anew: fault.is_of_place(), ..reply.malformed(&fault.to_string()) }),
    }
}

/// What is refused behind a token may be the token: nothing is read, and the part of the window begins again. The refusal of its first page is told as it is.
fn begun_again(place: &At, failure: Failure) -> Result<Page, Failure> {
    match worn(place) {
        Ok(Some(beginning)) => {
            tracing::warn!("the token of the next page is taken no more, and its part of the window is read again: {failure}");
            Ok(Page { records: Vec::new(), next: Next::More(beginning.position()), feed: None })
        }
        Ok(None) => Err(failure),
        Err(_) => Err(Failure { anew: true, ..failure }),
    }
}

/// A question that is refused before it is asked.
pub(super) fn refuse<T>(tried: String, failure: Failure) -> Answer<T> {
    Exchange::unsent(&Request::get(String::new(), tried), failure.clone()).settle(|_| Err(failure))
}
