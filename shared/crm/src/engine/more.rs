//! Decides what says that another page follows, as a file declares it. Never takes an answer that leaves it open for the last one.

use serde_json::Value as Json;

use super::findings::Findings;
use super::node::{Fields, Node, Value};
use super::place::{Place, scalar};
use super::shape::place;

/// How the end of pages is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum More {
    /// True stands there where another page follows, and false where none does; where `done`, the other way round.
    Flag { at: Place, done: bool },
    /// One of these words stands there where another page follows, and any other where none does.
    Words { at: Place, is: Vec<String> },
    /// Something stands there where another page follows, and nothing where none does.
    Something { at: Place },
    /// Nothing says it: behind a page with a row there may be another.
    EmptyPage,
    /// Nothing says it: behind a page of as many rows as were asked for there may be another.
    ShortPage,
}

impl More {
    /// Reads `more`, `done` and `end`, of which one is enough.
    pub(super) fn read(fields: &mut Fields<'_>, findings: &Findings) -> Option<Self> {
        let (more, done) = (fields.get("more"), fields.get("done"));
        let ends = fields.get("end");
        let short = fields.word("end", &[("empty_page", false), ("short_page", true)]);
        if let (Some(_), Some(done)) = (more, done) {
            findings.add(&done.at, "`more` and `done` say the same thing.", "Keep one of them.");
        }
        if let (Some(_), Some(node)) = (more.or(done), ends) {
            findings.add(&node.at, "the answer says already whether another page follows.", "Take `end` out.");
        }
        match (more, done) {
            (Some(node), _) => Self::told(node, findings),
            (None, Some(node)) => place(node, findings).map(|at| Self::Flag { at, done: true }),
            (None, None) => short.map(|short| if short { Self::ShortPage } else { Self::EmptyPage }),
        }
    }

    fn told(node: &Node, findings: &Findings) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            return place(node, findings).map(|at| Self::Flag { at, done: false });
        }
        let mut fields = Fields::of(node, findings);
        let at = fields.need("at", "Write where it stands in the answer.").and_then(|node| place(node, findings));
        let is = fields.get("is").map(|node| node.texts(findings));
        fields.end();
        let at = at?;
        Some(match is {
            Some(is) => Self::Words { at, is: is.into_iter().map(str::to_owned).collect() },
            None => Self::Something { at },
        })
    }

    /// True where no answer says whether another page follows, only how many rows it has.
    pub(super) fn goes_by_rows(&self) -> bool {
        matches!(self, Self::EmptyPage | Self::ShortPage)
    }

    /// `Err` where the answer leaves it open: taken for the end, it would lose every record behind this page.
    pub(super) fn follows(&self, body: &Json, rows: usize, rows_max: u16) -> Result<bool, String> {
        let found = |at: &Place| at.find(body).and_then(scalar);
        let open =
            |key: &str, holds: &str| Err(format!("whether there is more stands nowhere in it: `{key}` is to hold {holds}"));
        match self {
            Self::Flag { at, done } => match found(at).as_deref() {
                Some("true") => Ok(!done),
                Some("false") => Ok(*done),
                // An answer without rows need not say that nothing follows.
                None if rows == 0 => Ok(false),
                _ => open(if *done { "done" } else { "more" }, "true or false"),
            },
            Self::Words { at, is } => match found(at) {
                Some(word) => Ok(is.contains(&word)),
                None if rows == 0 => Ok(false),
                None => open("more", "a word"),
            },
            Self::Something { at } => Ok(match at.find(body) {
                None | Some(Json::Null | Json::Bool(false)) => false,
                Some(Json::String(text)) => !text.is_empty(),
                Some(_) => true,
            }),
            Self::EmptyPage => Ok(rows > 0),
            Self::ShortPage => Ok(rows >= usize::from(rows_max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(more: &More, body: &Json, rows: usize, expect: Option<bool>) {
        assert_eq!(more.follows(body, rows, 3).ok(), expect, "{more:?} of {body} with {rows} rows");
    }

    #[test]
    fn a_flag_says_it_and_silence_beside_rows_is_a_fault() {
        let at = Place::parse("/more").unwrap();
        let (more, done) = (More::Flag { at: at.clone(), done: false }, More::Flag { at, done: true });
        for (body, expect) in [(json!({ "more": true }), true), (json!({ "more": "false" }), false)] {
            check(&more, &body, 3, Some(expect));
            check(&done, &body, 3, Some(!expect));
        }
        for body in [json!({}), json!({ "more": null }), json!({ "more": 1 })] {
            check(&more, &body, 3, None);
        }
        check(&more, &json!({}), 0, Some(false));
    }

    #[test]
    fn a_word_says_it_and_silence_beside_rows_is_a_fault() {
        let more = More::Words { at: Place::parse("/state").unwrap(), is: vec!["partial".to_owned(), "1".to_owned()] };
        for (body, expect) in
            [(json!({ "state": "partial" }), true), (json!({ "state": 1 }), true), (json!({ "state": "all" }), false)]
        {
            check(&more, &body, 3, Some(expect));
        }
        check(&more, &json!({}), 3, None);
        check(&more, &json!({}), 0, Some(false));
    }

    #[test]
    fn something_says_it_and_nothing_does_not() {
        let more = More::Something { at: Place::parse("/next").unwrap() };
        for nothing in [json!({}), json!({ "next": null }), json!({ "next": "" }), json!({ "next": false })] {
            check(&more, &nothing, 3, Some(false));
        }
        for something in [json!({ "next": 2 }), json!({ "next": "/people?page=2" }), json!({ "next": { "href": "x" } })] {
            check(&more, &something, 1, Some(true));
        }
    }

    #[test]
    fn where_nothing_says_it_the_rows_do() {
        for (rows, empty, short) in [(0, false, false), (1, true, false), (3, true, true)] {
            check(&More::EmptyPage, &json!([]), rows, Some(empty));
            check(&More::ShortPage, &json!([]), rows, Some(short));
        }
    }
}
