//! Decides how a source's own tokens are followed, when one is too old to be asked with, and what follows where one is refused. Never asks, and knows no CRM.

use serde::{Deserialize, Serialize};

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
        Some(Token { text, given_at }) => {
            let trail = match &place.at {
                At::Token { token, .. } if token == text => return Err(Fault::Repeated(text.to_owned())),
                At::Token { token, trail, .. } => Some(trail.clone().unwrap_or_else(|| Trail::at(token, 1)).followed_to(text)?),
                _ => None,
            };
            Ok(Course::More(place.at(At::Token { token: text.to_owned(), since: given_at, trail })))
        }
    }
}

/// One earlier token of the part, by which a circle of any length is told in constant room (Brent): it is replaced after one page, two, four and so on, so that it lies inside the
/// circle at last, and stays for longer than the way around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trail {
    token: String,
    /// Pages since it was given, and after how many another takes its place.
    pages: u32,
    pages_max: u32,
}

impl Trail {
    pub(super) fn at(token: &str, pages_max: u32) -> Self {
        Self { token: token.to_owned(), pages: 0, pages_max }
    }

    fn followed_to(self, token: &str) -> Result<Self, Fault> {
        let pages = self.pages + 1;
        if self.token == token {
            return Err(Fault::Circle(pages));
        }
        Ok(if pages >= self.pages_max { Self::at(token, self.pages_max.saturating_mul(2)) } else { Self { pages, ..self } })
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

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
