//! Decides whether a value meets the rule that the mapping sets for it (`check`). Never asks a CRM, and says nothing of a blank.
//!
//! Sober rather than strict: what nobody can write to or call is refused, what only looks odd is left to the CRM.

use crate::spec::Check;

/// An e-mail address of RFC 5321 is no longer than this, and its local part no longer than that.
const EMAIL_MAX: usize = 254;
const LOCAL_MAX: usize = 64;
/// E.164 allows fifteen digits; the shortest numbers that are dialled at all have three.
const DIGITS: std::ops::RangeInclusive<usize> = 3..=15;
/// What a value that fails is called.
const NO_EMAIL: &str = "is not an e-mail address";
const NO_PHONE: &str = "is not a phone number";

/// What is wrong with a value that is not blank, if anything.
pub fn unmet(check: Check, text: &str) -> Option<&'static str> {
    match check {
        Check::Email => (!looks_like_email(text)).then_some(NO_EMAIL),
        Check::Phone => (!looks_like_phone(text)).then_some(NO_PHONE),
    }
}

/// One `@`, something before it, a dotted domain after it, no spaces or control characters.
fn looks_like_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let clean = |part: &str| {
        !part.is_empty() && part.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '@')
    };
    let labels =
        domain.split('.').all(|label| !label.is_empty() && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-'));
    clean(local) && local.len() <= LOCAL_MAX && labels && domain.contains('.') && text.len() <= EMAIL_MAX
}

/// Digits with what people write between them, a `+` before them or not, and perhaps an extension after them.
fn looks_like_phone(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    let number = match lower.split_once(|letter: char| letter.is_alphabetic() || letter == ';') {
        None => lower.as_str(),
        Some((number, _)) => {
            let words = &lower[number.len()..];
            let extension = words.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            let named = words[..words.len() - extension.len()].trim_end_matches([' ', '.', ':', '=']);
            if !matches!(named, "x" | "ext" | ";ext" | "extension")
                || extension.is_empty()
                || !extension.bytes().all(|digit| digit.is_ascii_digit())
            {
                return false;
            }
            number
        }
    };
    let number = number.strip_prefix('+').unwrap_or(number);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let between =
        |letter: char| letter.is_whitespace() || matches!(letter, '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2013}');
    DIGITS.contains(&digits) && number.chars().all(|letter| letter.is_ascii_digit() || between(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_soberly() {
        for good in ["a@b.co", "ana.o'neil+robots@sub.example.com", "ü@exämple.de"] {
            assert_eq!(unmet(Check::Email, good), None, "{good}");
        }
        for bad in ["", "a", "a@b", "@b.co", "a b@c.de", "a@b..co", "a@b.co\n", "a@@b.co"] {
            assert_eq!(unmet(Check::Email, bad), Some(NO_EMAIL), "{bad:?}");
        }
    }

    #[test]
    fn phone_numbers_are_taken_as_people_write_them() {
        let good =
            ["112", "+49 30 12 34 56", "(555) 010-0199", "030/1234.56", " 555 0100 ", "+1-555-010-0199 ext. 12", "5550100x7"];
        for good in [good.as_slice(), &["+44 20 7946\u{2013}0958", "5550100 extension 3", "+15550100;ext=12"]].concat() {
            assert_eq!(unmet(Check::Phone, good), None, "{good}");
        }
        for bad in
            ["", "12", "call me", "n/a", "ana@acme.test", "1234567890123456", "+", "55+50100", "5550100 ext", "5550100 Ana"]
        {
            assert_eq!(unmet(Check::Phone, bad), Some(NO_PHONE), "{bad:?}");
        }
    }
}
