//! The fields every account starts with, and the codes of those people add.

use crate::{
    ObjectType,
    schema::{Kind, Property},
};

const CODE_CHARS: usize = 40;

/// The fields that can be written. Ids, times and the deleted mark are computed where they are shown.
pub(super) fn properties(object: ObjectType, now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let mut all = vec![
        of("owner_id", "Owner", Kind::Number),
        of("visible_to", "Visible to", Kind::Number),
        of("label_ids", "Labels", Kind::Text),
    ];
    all.extend(match object {
        ObjectType::Contacts => vec![
            of("name", "Name", Kind::Text),
            of("emails", "Email", Kind::Email),
            of("phones", "Phone", Kind::Phone),
            of("org_id", "Organization", Kind::Number),
        ],
        ObjectType::Companies => vec![of("name", "Name", Kind::Text), of("address", "Address", Kind::Text)],
        ObjectType::Deals => vec![
            of("title", "Title", Kind::Text),
            of("value", "Value", Kind::Number),
            of("currency", "Currency", Kind::Text),
            of("status", "Status", Kind::Enumeration).with_options(&[("open", "Open"), ("won", "Won"), ("lost", "Lost")]),
            of("person_id", "Contact person", Kind::Number),
            of("org_id", "Organization", Kind::Number),
            of("pipeline_id", "Pipeline", Kind::Number),
            of("stage_id", "Stage", Kind::Number),
            of("probability", "Probability", Kind::Number),
            of("lost_reason", "Lost reason", Kind::Text),
            of("expected_close_date", "Expected close date", Kind::Date),
            of("close_time", "Close time", Kind::DateTime),
            of("won_time", "Won time", Kind::DateTime),
            of("lost_time", "Lost time", Kind::DateTime),
            of("is_archived", "Archived", Kind::Boolean),
        ],
    });
    all
}

/// What a new record holds where the caller says nothing.
pub(super) fn defaults(object: ObjectType) -> &'static [(&'static str, &'static str)] {
    match object {
        ObjectType::Contacts | ObjectType::Companies => &[("owner_id", "1"), ("visible_to", "3")],
        ObjectType::Deals => &[
            ("owner_id", "1"),
            ("visible_to", "3"),
            ("value", "0"),
            ("currency", "EUR"),
            ("status", "open"),
            ("pipeline_id", "1"),
            ("stage_id", "1"),
            ("is_archived", "false"),
        ],
    }
}

/// The field without which no record is made.
pub(super) fn needed(object: ObjectType) -> &'static str {
    if object == ObjectType::Deals { "title" } else { "name" }
}

pub(super) fn is_custom(name: &str) -> bool {
    name.len() == CODE_CHARS && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The code of the custom field that people call by this name. The same name has the same code everywhere.
pub(super) fn code(name: &str) -> String {
    let mut state: u64 = 0xCBF2_9CE4_8422_2325;
    for byte in name.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    let mut code = String::new();
    while code.len() < CODE_CHARS {
        state = (state ^ (state >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).wrapping_add(0x9E37_79B9_7F4A_7C15);
        code.push_str(&format!("{state:016x}"));
    }
    code.truncate(CODE_CHARS);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_looks_like_a_custom_field_and_a_stock_field_does_not() {
        assert!(is_custom(&code("order number")));
        assert_ne!(code("order number"), code("order numbes"));
        assert!(!is_custom("expected_close_date"));
    }
}
