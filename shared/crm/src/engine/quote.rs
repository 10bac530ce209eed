//! Decides how a text becomes a literal of a query language, so that nothing in it can end the literal. Knows no query.

/// The languages whose literals are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Salesforce: backslash escapes.
    Soql,
    /// Dataverse and other OData services: a quote is doubled.
    Odata,
    /// Zoho: backslash escapes.
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
                (Self::Soql | Self::Coql, '\'' | '\\') => out.extend(['\\', letter]),
                (Self::Soql | Self::Coql, '\n') => out.push_str("\\n"),
                (Self::Soql | Self::Coql, '\r') => out.push_str("\\r"),
                (Self::Soql | Self::Coql, '\t') => out.push_str("\\t"),
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

    const ALL: [Language; 3] = [Language::Soql, Language::Odata, Language::Coql];

    /// Reads a literal as the language's server does; `None` when it ends early or never.
    fn unquote(language: Language, text: &str) -> Option<String> {
        let mut letters = text.strip_prefix('\'')?.chars().peekable();
        let mut out = String::new();
        loop {
            match (language, letters.next()?) {
                (Language::Odata, '\'') if letters.peek() == Some(&'\'') => out.extend(letters.next()),
                (_, '\'') => return letters.next().is_none().then_some(out),
                (Language::Soql | Language::Coql, '\\') => out.push(match letters.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                }),
                (_, other) => out.push(other),
            }
        }
    }

    #[test]
    fn a_quote_never_ends_the_literal() {
        assert_eq!(Language::Soql.quote("O'Neil\\"), r"'O\'Neil\\'");
        assert_eq!(Language::Odata.quote("O'Neil\\"), r"'O''Neil\'");
        assert_eq!(Language::Coql.quote("a' or '1'='1"), r"'a\' or \'1\'=\'1'");
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(text in "[a'\\\\\n\t\r\"%é]{0,12}") {
            for language in ALL {
                prop_assert_eq!(unquote(language, &language.quote(&text)), Some(text.clone()));
            }
        }
    }
}
