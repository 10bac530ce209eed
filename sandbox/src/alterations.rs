//! What a CRM may do to text before it keeps it, switchable in every dialect that is told so.

use crate::quirk::{Quirks, Switch};

const CUT_TEXT_AT: Switch = Switch::number("cut_text_at", 0, "text is cut to so many characters; 0 keeps all");
const STRIP_TAGS: Switch = Switch::flag("strip_tags", false, "what stands between < and > is dropped from text");
const QUOTES_AS_ENTITIES: Switch =
    Switch::flag("quotes_as_entities", false, "quotes, < and & are kept and answered as HTML entities");
const BASIC_PLANE_ONLY: Switch =
    Switch::flag("basic_plane_only", false, "characters outside Unicode's basic plane, as most emoji, become ?");

/// All of them, for a dialect that is told so.
pub(crate) const SWITCHES: [&Switch; 4] = [&CUT_TEXT_AT, &STRIP_TAGS, &QUOTES_AS_ENTITIES, &BASIC_PLANE_ONLY];

/// The alterations in force. They apply to text, not to e-mails, phones or numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alterations {
    cut_at: u64,
    strip_tags: bool,
    entities: bool,
    basic_plane: bool,
}

impl Alterations {
    pub(crate) const NONE: Self = Self { cut_at: 0, strip_tags: false, entities: false, basic_plane: false };

    pub(crate) fn switched(quirks: &Quirks) -> Self {
        Self {
            cut_at: quirks.number(&CUT_TEXT_AT),
            strip_tags: quirks.is_on(&STRIP_TAGS),
            entities: quirks.is_on(&QUOTES_AS_ENTITIES),
            basic_plane: quirks.is_on(&BASIC_PLANE_ONLY),
        }
    }

    pub(crate) fn of(self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.strip_tags {
            text = without_tags(&text);
        }
        if self.basic_plane {
            text = text.chars().map(|c| if u32::from(c) > 0xFFFF { '?' } else { c }).collect();
        }
        if self.entities {
            text = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&#039;");
        }
        match usize::try_from(self.cut_at) {
            Ok(max) if max > 0 => text.chars().take(max).collect(),
            _ => text,
        }
    }
}

/// A `<` that is never closed stays.
fn without_tags(text: &str) -> String {
    let Some((before, rest)) = text.split_once('<') else {
        return text.to_owned();
    };
    match rest.split_once('>') {
        Some((_, after)) => format!("{before}{}", without_tags(after)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alteration_does_what_its_name_says_and_nothing_else() {
        let check = |alterations: Alterations, expect: &str| assert_eq!(alterations.of("a <b>\"ü\"</b> 🦀 < c"), expect);
        check(Alterations::NONE, "a <b>\"ü\"</b> 🦀 < c");
        check(Alterations { strip_tags: true, ..Alterations::NONE }, "a \"ü\" 🦀 < c");
        check(Alterations { basic_plane: true, ..Alterations::NONE }, "a <b>\"ü\"</b> ? < c");
        check(Alterations { cut_at: 7, ..Alterations::NONE }, "a <b>\"ü");
        check(Alterations { strip_tags: true, entities: true, ..Alterations::NONE }, "a &quot;ü&quot; 🦀 &lt; c");
    }
}
