//! Decides how a source's own tokens are followed, when one is too old to be asked with, and what follows where one is refused. Never asks, and knows no CRM.

use super::{Answered, At, Course, Fault, Place, Token, by_id, rest};
use crate::Millis;
use crate::source::{Order, SourceTraits};
use crate::window::{Window, millis};

pub(super) fn followed(traits: &SourceTraits, window: Window, place: &Place, answer: Answered<'_>) -> Result<Course, Fault> {
    if traits.order == Order::IdOnly {
        // Read for its fault alone: a page out of order belongs to a token that may pass somebody over.
        by_id(traits, place, answer.records)?;
    }
    match answer.token {
        None if answer.more => Err(Fault::Promised(answer.total)),
        None => Ok(rest(traits, window, place)),
        Some(Token { text, .. }) if matches!(&place.at, At::Token { token, .. } if token == text) => {
            Err(Fault::Repeated(text.to_owned()))
        }
        Some(Token { text, given_at }) => Ok(Course::More(place.at(At::Token { token: text.to_owned(), since: given_at }))),
    }
}

/// Before asking: a token that is older than it lives begins its part again.
pub fn fresh(traits: &SourceTraits, place: Place, now: Millis) -> Result<Place, Fault> {
    let dead = |since: Millis| traits.token_life.is_some_and(|life| now - since >= millis(life));
    match &place.at {
        At::Token { since, .. } if dead(*since) => place.once_more(),
        _ => Ok(place),
    }
}

/// After a refusal that does not pass by itself: it may be the token that is refused, whose life nobody declared, and its part begins again. `None` where no token was
/// used: then the question itself is refused, as it is where the part's first page is.
pub fn worn(place: &Place) -> Result<Option<Place>, Fault> {
    match &place.at {
        At::Token { .. } => place.once_more().map(Some),
        _ => Ok(None),
    }
}
