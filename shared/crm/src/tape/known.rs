//! Remembers the values and names of one call, so that a value is known again in a vendor's words and wherever else it stands. Decides which value a text is: one that
//! is kept, words, or somebody's. Lives for one call.

use std::collections::{HashMap, HashSet};

use super::marks;
use super::walk::{Event, Place, Scalar, Side, walk};

/// More values than a page holds are neither counted nor looked for.
const VALUES_MAX: usize = 20_000;
/// A longer text is known by its beginning.
const VALUE_CHARS_MAX: usize = 400;
/// So many signs in a row of a secret give it away.
const WINDOW: usize = 6;

/// What becomes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Not even its length is told.
    Secret,
    /// A name, a code or the id of a request.
    Kept,
    /// The vendor's explanation.
    Words,
    Value,
}

pub(super) struct Known<'a> {
    pub(super) secrets: &'a [&'a str],
    /// Each value, how often it stands in the call, and the number it is shown under.
    values: HashMap<String, (u32, Option<u32>)>,
    numbered: u32,
    /// Of each word of a value, in lower case: itself, its beginnings and ends (a text may be cut anywhere), and every run of `WINDOW` bytes.
    parts: HashSet<Vec<u8>>,
    names: HashSet<String>,
}

impl<'a> Known<'a> {
    pub(super) fn new(secrets: &'a [&'a str]) -> Self {
        Self { secrets, values: HashMap::new(), numbered: 0, parts: HashSet::new(), names: HashSet::new() }
    }

    /// Learns what stands in a body before anything of the call is shown.
    pub(super) fn learn(&mut self, bytes: &[u8], side: Side) {
        walk(bytes, side, &mut |event| {
            match event {
                Event::Name(name) if marks::is_name(name) => {
                    self.names.insert(name.to_owned());
                }
                Event::Scalar(place, Scalar::Text(text)) => match role(place, text) {
                    Role::Value => self.learn_value(text),
                    Role::Kept if is_naming(place) => {
                        self.names.insert(text.to_owned());
                    }
                    Role::Kept | Role::Words | Role::Secret => {}
                },
                Event::Scalar(_, Scalar::Number(text)) => self.learn_value(text),
                _ => {}
            }
            true
        });
    }

    pub(super) fn learn_query(&mut self, path: &str) {
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        for value in query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1)) {
            self.learn_value(value);
        }
    }

    fn learn_value(&mut self, value: &str) {
        if value.is_empty() || self.values.len() >= VALUES_MAX {
            return;
        }
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        for piece in value.split(|letter: char| !letter.is_alphanumeric()).filter(|piece| piece.len() >= 2) {
            let word = piece.to_lowercase().into_bytes();
            for size in 3..WINDOW.min(word.len()) {
                self.parts.extend([word[..size].to_vec(), word[word.len() - size..].to_vec()]);
            }
            self.parts.extend(word.windows(WINDOW).map(<[u8]>::to_vec));
            self.parts.insert(word);
        }
        self.values.entry(value).or_default().0 += 1;
    }

    /// A number for a value that stands in the call more than once, so that it is seen which are the same.
    pub(super) fn number(&mut self, value: &str) -> Option<u32> {
        let (times, number) = self.values.get_mut(value)?;
        if *times < 2 {
            return None;
        }
        if number.is_none() {
            self.numbered += 1;
            *number = Some(self.numbered);
        }
        *number
    }

    /// The word is one of a value, or a part of one.
    pub(super) fn is_of_a_value(&self, word: &str) -> bool {
        let word = word.to_lowercase().into_bytes();
        self.parts.contains(&word) || word.windows(WINDOW).any(|part| self.parts.contains(part))
    }

    pub(super) fn is_name(&self, word: &str) -> bool {
        self.names.contains(word)
    }

    /// Nothing of a secret is in it.
    pub(super) fn is_safe(&self, text: &str) -> bool {
        self.secrets.iter().map(|secret| secret.as_bytes()).all(|secret| {
            let size = secret.len().min(WINDOW);
            size == 0 || !secret.windows(size).any(|part| text.as_bytes().windows(size).any(|piece| piece == part))
        })
    }
}

/// What a text is, by where it stands and how it looks.
pub(super) fn role(place: Place<'_>, text: &str) -> Role {
    if marks::is_secret_name(place.name) {
        return Role::Secret;
    }
    if place.in_record {
        return Role::Value;
    }
    let kept = (marks::REQUEST_IDS.contains(&place.name) && marks::is_request_id(text))
        || (is_naming(place) && marks::is_name(text))
        || (marks::CODES.contains(&place.name) && marks::is_code(text) && (place.explains() || place.depth == 1));
    if kept {
        return Role::Kept;
    }
    match place.explains() && place.is_sure() && marks::WORDS.contains(&place.name) {
        true => Role::Words,
        false => Role::Value,
    }
}

/// The connector's own words in a request: which properties, which order.
fn is_naming(place: Place<'_>) -> bool {
    let names = if place.in_list { &marks::NAMES[..] } else { &marks::NAMING[..] };
    place.side == Side::Request && !place.in_record && names.contains(&place.name)
}
