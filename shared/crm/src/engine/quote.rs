//! Decides how a text becomes a literal of a query language, so that nothing in it can end the literal. Knows no query.

/// The languages whose literals are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Salesforce: backslash escapes.
    Soql,
    /// Dataverse and other OData services: a quote is doubled.
    Odata,
    /// Zoho: a quote is doubled, as its guide says. What a backslash does nobody says: doubled, it opens nothing under either reading, and where it is plain its text is merely not found.
    Coql,
}

impl Language {
    pub(super) fn quote(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('\'');
        for letter in text.chars() {
            match (self, letter) {
                (Self::Odata, '\'') => out.push_str("''"),
                (Self::Odata, other) => out.push(other),
                (Self::Soql, '\'' | '\\') => out.extend(['\\', letter]),
                (Self::Soql, '\n') => out.push_str("\\n"),
                (Self::Soql, '\r') => out.push_str("\\r"),
                (Self::Soql, '\t') => out.push_str("\\t"),
                (Self::Coql, '\'' | '\\') => out.extend([letter, letter]),
                (Self::Soql | Self::Coql, other) => out.push(other),
            }
        }
        out.push('\'');
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Language;

    /// What a server makes of a backslash and of a doubled quote.
    #[derive(Clone, Copy)]
    struct Reading {
        backslash_escapes: bool,
        doubled: bool,
    }

    /// Reads a literal as such a server does; `None` when it ends early or never.
    fn unquote(reading: Reading, text: &str) -> Option<String> {
        let mut letters = text.strip_prefix('\'')?.chars().peekable();
        let mut out = String::new();
        loop {
            match letters.next()? {
                '\'' if reading.doubled && letters.peek() == Some(&'\'') => out.extend(letters.next()),
                '\'' => return letters.next().is_none().then_some(out),
                '\\' if reading.backslash_escapes => out.push(match letters.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                }),
                other => out.push(other),
            }
        }
    }

    const SOQL: Reading = Reading { backslash_escapes: true, doubled: false };
    const ODATA: Reading = Reading { backslash_escapes: false, doubled: true };
    const BOTH: Reading = Reading { backslash_escapes: true, doubled: true };

    #[test]
    fn a_quote_never_ends_the_literal() {
        assert_eq!(Language::Soql.quote("O'Neil\\"), r"'O\'Neil\\'");
        assert_eq!(Language::Odata.quote("O'Neil\\"), r"'O''Neil\'");
        assert_eq!(Language::Coql.quote("a' or '1'='1"), r"'a'' or ''1''=''1'");
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(text in "[a'\\\\\n\t\r\"%é]{0,12}") {
            for (language, reading) in [(Language::Soql, SOQL), (Language::Odata, ODATA), (Language::Coql, BOTH)] {
                prop_assert_eq!(unquote(reading, &language.quote(&text)), Some(text.clone()));
            }
        }

        #[test]
        fn a_backslash_opens_nothing_however_zoho_reads_it(text in "[a'\\\\]{0,12}") {
            let read = unquote(ODATA, &Language::Coql.quote(&text));
            prop_assert_eq!(read, Some(text.replace('\\', "\\\\")));
        }
    }
}
