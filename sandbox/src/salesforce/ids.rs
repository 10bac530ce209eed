//! Record ids: a prefix for the kind, a number in base 62, and three characters that tell the letter case of the rest.

use crate::ObjectType;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CASES: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
const SHORT_CHARS: usize = 15;
const LONG_CHARS: usize = 18;
const INSTANCE: &str = "Ax00";

/// Ids in their long form. Their order as text is the order of the numbers.
pub(super) fn long(object: ObjectType, mut number: u64) -> String {
    let mut digits = [b'0'; 8];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(number % 62).unwrap_or_default()];
        number /= 62;
    }
    let short = format!("{}{INSTANCE}{}", prefix(object), String::from_utf8_lossy(&digits));
    format!("{short}{}", cases(&short))
}

/// The number behind an id in either form. A plain number is understood too, for people at the control API.
pub(super) fn number(object: ObjectType, id: &str) -> Option<u64> {
    if let Ok(number) = id.parse::<u64>()
        && id.len() < SHORT_CHARS
    {
        return Some(number);
    }
    if !is_id(id) {
        return None;
    }
    let digits = id.get(..SHORT_CHARS)?.strip_prefix(prefix(object))?.strip_prefix(INSTANCE)?;
    digits.bytes().try_fold(0_u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        number.checked_mul(62)?.checked_add(u64::try_from(digit).ok()?)
    })
}

/// Whether a text has the form of an id of any kind.
pub(super) fn is_id(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    letters && (text.len() == SHORT_CHARS || (text.len() == LONG_CHARS && cases(&text[..SHORT_CHARS]) == text[SHORT_CHARS..]))
}

/// The part of an id that ids are compared by.
pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT_CHARS).unwrap_or(id)
}

fn prefix(object: ObjectType) -> &'static str {
    match object {
        ObjectType::Contacts => "003",
        ObjectType::Companies => "001",
        ObjectType::Deals => "006",
    }
}

fn cases(short: &str) -> String {
    let letters: Vec<u8> = short.bytes().collect();
    let bits = |chunk: &[u8]| {
        chunk.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase()).map(|(at, _)| 1_usize << at).sum::<usize>()
    };
    letters.chunks(5).map(|chunk| char::from(CASES[bits(chunk)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_number_in_either_form() {
        let id = long(ObjectType::Contacts, 12_345);
        assert_eq!((id.len(), number(ObjectType::Contacts, &id)), (18, Some(12_345)));
        assert_eq!(number(ObjectType::Contacts, &id[..15]), Some(12_345));
        assert_eq!(number(ObjectType::Deals, &id), None);
        assert_eq!(number(ObjectType::Contacts, "501"), Some(501));
        assert_eq!(number(ObjectType::Contacts, &id.to_uppercase()), None);
    }

    #[test]
    fn the_last_three_characters_tell_the_letter_case() {
        assert_eq!(cases("001A0000006Vm9r"), "IAC");
    }

    #[test]
    fn the_order_of_ids_is_the_order_of_numbers() {
        let ids = [1, 35, 36, 61, 62, 501, 99_999].map(|number| long(ObjectType::Deals, number));
        assert!(ids.is_sorted_by(|one, two| short(one) < short(two)));
    }
}
