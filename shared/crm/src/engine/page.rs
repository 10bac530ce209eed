//! Decides how a query goes on from one page to the next, as a file declares it. What is read in which order it does not know.

use super::findings::Findings;
use super::node::{Fields, Node};
use super::place::Place;
use super::shape::place;

/// How a query goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// By a query of its own.
    Keyset,
    Token {
        next: Place,
    },
    /// By an address in the answer, asked as it is.
    NextUrl {
        next: Place,
    },
    /// By the address of the `Link` header that is called next.
    LinkHeader,
    /// By number; the first page's is this.
    Number {
        first: u64,
    },
    Offset,
    /// Not at all.
    None,
}

impl Page {
    pub(super) fn read(node: &Node, findings: &Findings) -> Option<Self> {
        let words = ["keyset", "token", "next_url", "link_header", "number", "offset", "none"];
        let words: Vec<(&str, usize)> = words.into_iter().enumerate().map(|(at, word)| (word, at)).collect();
        let mut fields = Fields::of(node, findings);
        if fields.get("kind").is_none() {
            findings.add(&node.at, "`kind` is missing.", "Write keyset, token, next_url, link_header, number, offset or none.");
        }
        let kind = fields.word("kind", &words)?;
        let next = matches!(kind, 1 | 2).then(|| {
            let next = fields.need("next", "Write where the next page's token or address stands in the answer.");
            next.and_then(|node| place(node, findings))
        });
        let page = match (kind, next.flatten()) {
            (0, _) => Some(Self::Keyset),
            (1, Some(next)) => Some(Self::Token { next }),
            (2, Some(next)) => Some(Self::NextUrl { next }),
            (3, _) => Some(Self::LinkHeader),
            (4, _) => Some(Self::Number { first: u64::from(fields.number("first", 0, 1).unwrap_or(1)) }),
            (5, _) => Some(Self::Offset),
            (6, _) => Some(Self::None),
            _ => None,
        };
        fields.end();
        page
    }

    /// The holes that its later pages may have.
    pub(super) fn holes(&self) -> &'static [&'static str] {
        match self {
            Self::Keyset => &["after_id", "after_time"],
            Self::Token { .. } => &["token"],
            Self::Number { .. } => &["page"],
            Self::Offset => &["offset"],
            Self::NextUrl { .. } | Self::LinkHeader | Self::None => &[],
        }
    }
}
