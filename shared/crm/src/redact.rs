//! Decides how much of a vendor's own words may reach logs and pages: e-mail addresses masked, secrets removed, length
//! bounded. Never decides what the words mean.

/// Longest vendor text kept, in characters. Validation messages repeat themselves beyond this.
const WORDS_CHARS_MAX: usize = 400;

/// Vendor words fit for a log line: one line, bounded, without e-mail addresses and without any of `secrets`.
pub(crate) fn vendor_words(text: &str, secrets: &[&str]) -> String {
    let present = secrets.iter().filter(|secret| !secret.is_empty());
    let text = present.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"));
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let masked = mask_emails(one_line.trim());
    match masked.char_indices().nth(WORDS_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &masked[..at]),
        None => masked,
    }
}

/// Replaces each run of address characters around an `@` by `[e-mail]`.
fn mask_emails(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let local = before.trim_end_matches(is_address_char);
        let domain = after.trim_start_matches(is_address_char);
        let has_local = local.len() < before.len();
        let has_domain = domain.len() < after.len();
        if has_local && has_domain {
            out.push_str(local);
            out.push_str("[e-mail]");
            rest = domain;
        } else {
            out.push_str(&rest[..=at]);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Wider than the standard on purpose: a sign too many masked is cheaper than half an address shown.
fn is_address_char(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '.' | '_' | '-' | '+' | '%' | '\'' | '!' | '#' | '$' | '&' | '*' | '/' | '=' | '?' | '~' | '@')
}

#[cfg(test)]
mod tests {
    use super::vendor_words;

    fn check(text: &str, expect: &str) {
        assert_eq!(vendor_words(text, &["", "pat-1"]), expect);
    }

    #[test]
    fn an_address_is_masked_wherever_it_stands() {
        check("Email address ana.o'neil+x@acme.test is invalid", "Email address [e-mail] is invalid");
        check("<ana@acme.test>, \"bo@x.test\"", "<[e-mail]>, \"[e-mail]\"");
        check("åsa@exämple.test", "[e-mail]");
        check("ana@@acme.test", "[e-mail]");
    }

    #[test]
    fn other_words_stay_as_they_are() {
        check("Contact already exists. Existing ID: 551", "Contact already exists. Existing ID: 551");
        check("meet @ noon", "meet @ noon");
    }

    #[test]
    fn a_secret_the_vendor_repeats_is_removed() {
        check("The token pat-1 is expired", "The token [secret] is expired");
    }

    #[test]
    fn long_and_broken_lines_become_one_short_line() {
        check("a\nb\tc", "a b c");
        assert_eq!(vendor_words(&"é".repeat(900), &[]).chars().count(), 401);
    }
}
