//! Decides where in a connector's file a fault is likely, from what broke. Knows no file: a place that it does not have is passed over.

use std::fmt;

use eyre::Report;
use tidemark_core::failure::Failure;

use crate::Case;

/// What of a file was used when something went wrong, where that is not what the case is about as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) places: &'static [&'static str],
    pub(crate) what: &'static str,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

/// What says whether another page follows.
pub(crate) const FOLLOWING: &[&str] = &["read.more", "read.done", "read.end", "read.total", "read.page", "read"];
/// What says from when on.
pub(crate) const BEGINNING: &[&str] = &["read.lower", "read"];

/// What decides which page somebody stands in who was not edited.
pub(crate) const EDITED: &[&str] = &["read.order", "read.lower", "read.more", "read.done", "read.total", "read"];

/// Words of a failure that are about one key.
const ABOUT: [(&str, &[&str]); 7] = [
    ("`more` is to hold", &["read.more"]),
    ("`done` is to hold", &["read.done"]),
    ("does not say how many", &["read.total", "read"]),
    ("does not heed it", &["read.query", "read"]),
    // By time or id the rows are not in that order; by number the page is not what was asked for.
    ("a page repeated the position", &["read.order", "read.page", "read"]),
    ("no rows where they are promised", &["read.rows"]),
    ("carries no stamp", &["modified"]),
];

/// Where the fault is likely, the likeliest first.
pub fn places(case: &Case, error: &Report) -> &'static [&'static str] {
    let about = |failure: &Failure| ABOUT.iter().find(|(words, _)| failure.message.contains(words)).map(|(_, places)| *places);
    let asked = error.downcast_ref::<Asked>().map(|asked| asked.places);
    // What of another table has no rows is not about pages.
    let pages = asked.is_none_or(|places| places.contains(&"read"));
    let told = error.downcast_ref::<Failure>().filter(|_| pages).and_then(about);
    told.or(asked).unwrap_or(case.places)
}
