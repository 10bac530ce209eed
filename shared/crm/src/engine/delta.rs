//! Decides what a file says about a feed of changes whose place only the vendor knows (a delta link), and asks it for whom it names as gone.
//!
//! Failure cases. The place is lost, worn out or from before a restore: the feed is begun anew, and who went in between is the sweep's to find. The vendor keeps no such feed for this
//! table: it is told once, not asked again, and the sweep finds all. A page behind the first is refused, or they go in circles: the window ends without it, and the next one tries again.
//! It names somebody who lives: they are read by id, and nothing changes.

use std::sync::PoisonError;

use reqwest::Method;
use serde_json::Value as Json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Next, Page, Position};

use super::Engine;
use super::answer::Asked;
use super::calling::Question;
use super::feed::Feed;
use super::findings::Findings;
use super::hole::Values;
use super::node::Fields;
use super::object::Mark;
use super::page;
use super::place::{Place, scalar};
use super::reading::Rows;
use super::request::{Built, Form};
use super::shape::place;
use super::template::Scope;
use crate::http::{Intent, Reply};
use crate::{Answer, PageRequest};

/// The place that stands for the beginning, whatever is kept.
const ANEW: &str = "anew";
/// More pages than any table has: they go in circles.
const PAGES_MAX: u32 = 20_000;

#[derive(Debug, Clone)]
pub(super) struct Delta {
    form: Form,
    rows: Rows,
    rows_max: u16,
    id: Place,
    /// What marks a row that tells of a delete.
    archived: Mark,
    /// Where the next page's address stands, and where the one under which later changes are asked for.
    next: Place,
    again: Place,
}

impl Delta {
    pub(super) fn read(mut fields: Fields<'_>, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let form = Form::read(&mut fields, &Method::GET, &Scope { plain: &["rows_max"], ..scope.clone() }, findings);
        let rows = Rows::read(&mut fields, findings);
        let rows_max = fields.need("rows_max", "Write how many rows a page may hold.");
        let rows_max = rows_max.and_then(|_| fields.number("rows_max", 1, 10_000)).and_then(|rows| u16::try_from(rows).ok());
        let id = fields.need("id", "Write where the id of who is gone stands in a row.").and_then(|node| place(node, findings));
        let archived = fields
            .need("archived", "Write what marks a row that tells of a delete, such as { at = \"/reason\", is = \"deleted\" }.");
        let archived = archived.and_then(|node| Mark::read(node, findings));
        let page = fields.need("page", "Write page = { kind = \"next_url\", next = \"…\" }.");
        let next = page.and_then(|node| match page::Page::read(node, findings)? {
            page::Page::NextUrl { next } => Some(next),
            _ => {
                findings.add(
                    &node.at,
                    "a delta goes on by addresses of the vendor's.",
                    "Write kind = \"next_url\", and where the next one stands.",
                );
                None
            }
        });
        let again = fields.need("again", "Write where the address stands under which later changes are asked for.");
        let again = again.and_then(|node| place(node, findings));
        fields.end();
        Some(Self { form: form?, rows: rows?, rows_max: rows_max?, id: id?, archived: archived?, next: next?, again: again? })
    }

    fn request(&self, address: Option<&str>, values: Values<'_>) -> Result<Built, String> {
        let built = self.form.build(&Values { rows_max: Some(u64::from(self.rows_max)), ..values })?;
        Ok(match address {
            Some(address) => Built { path: address.to_owned(), ..built },
            None => built,
        })
    }

    fn page(&self, reply: &Reply, asked: Option<&Asked>, number: u32, places: usize) -> Result<Page, Failure> {
        let body: Json = serde_json::from_str(reply.json_text()?).map_err(|error| reply.broken_json(&error))?;
        let rows = self.rows.of(&body).ok_or_else(|| reply.malformed("it has no rows where they are promised"))?;
        let gone = |row: &Json| {
            let id = self.id.find(row).and_then(scalar).map(RemoteId);
            id.map(|id| Record::gone(id, places)).ok_or_else(|| reply.malformed("a row that tells of a delete carries no id"))
        };
        let records = rows.into_iter().filter(|row| self.archived.stands_in(row)).map(gone).collect::<Result<_, _>>()?;
        let asked = asked.ok_or_else(|| reply.malformed("the host is not known"))?;
        let address = |at: &Place| at.find(&body).and_then(scalar).map(|text| asked.leads_to(&text)).transpose();
        let malformed = |what: String| reply.malformed(&what);
        match (address(&self.next).map_err(malformed)?, address(&self.again).map_err(malformed)?) {
            (Some(_), _) if number >= PAGES_MAX => Err(endless(reply)),
            (Some(next), _) => {
                let place = Position(format!("{} {next}", number + 1));
                Ok(Page { records, next: Next::More(Feed::position(Some(&place))), feed: None })
            }
            (None, Some(again)) => Ok(Page { records, next: Next::Drained, feed: Some(again) }),
            // As a server answers that knows nothing of such a feed.
            (None, None) => Err(unplaced(reply)),
        }
    }
}

impl Engine {
    /// A page of the feed: behind what is kept of it, or from its beginning, which names whoever is there and nobody who is gone.
    pub(super) async fn changes(&self, request: &PageRequest<'_>, delta: &Delta, place: Option<&Position>) -> Answer<Page> {
        let within =
            place.and_then(|place| place.0.split_once(' ')).and_then(|(number, next)| Some((number.parse().ok()?, next)));
        let (number, address) = match (within, place) {
            (Some((number, next)), _) => (number, Some(next)),
            (None, Some(_)) => (1, None),
            (None, None) => (1, request.feed),
        };
        let tried = format!("reading what was changed of {}", request.object);
        let built = delta.request(address, self.values(request.object));
        let asked = self.asked_at(&built);
        let exchange = self.call(Question { intent: Intent::Read, built, taken: Vec::new(), tried }).await;
        let answer = exchange.settle(|reply| delta.page(&reply, asked.as_ref(), number, request.properties.len()));
        let result = match answer.result {
            Err(failure) if failure.class.is_final() => Ok(self.give_up(request.object, number, address.is_some(), &failure)),
            result => result,
        };
        Answer { result, callout: answer.callout }
    }

    /// What is left where the feed is refused.
    fn give_up(&self, object: &str, number: u32, kept: bool, failure: &Failure) -> Page {
        let ended = Page { records: Vec::new(), next: Next::Drained, feed: None };
        if number > 1 {
            tracing::warn!("the feed of changes of {object} was not read to its end: {failure}");
            return ended;
        }
        if kept {
            tracing::warn!(
                "the feed of changes of {object} is begun anew; who was deleted meanwhile is found by the sweep: {failure}"
            );
            return Page { next: Next::More(Feed::position(Some(&Position(ANEW.to_owned())))), ..ended };
        }
        tracing::warn!("{object} have no feed of changes here, and deletes are found by the sweep alone: {failure}");
        self.untracked.write().unwrap_or_else(PoisonError::into_inner).insert(object.to_owned());
        ended
    }

    /// The feed of this object can be asked, as far as is known.
    pub(super) fn is_tracked(&self, object: &str) -> bool {
        !self.untracked.read().unwrap_or_else(PoisonError::into_inner).contains(object)
    }
}

fn unplaced(reply: &Reply) -> Failure {
    let what = "it says neither where it goes on nor where later changes are asked for";
    Failure::new(Class::Rejected, format!("{}: {what}", reply.tried))
}

fn endless(reply: &Reply) -> Failure {
    Failure::new(Class::Rejected, format!("{}: page {PAGES_MAX} is not the last", reply.tried))
}
