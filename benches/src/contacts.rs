//! Decides what the benchmark's contacts look like: 23 flat fields, about 788 bytes of JSON, ids and stamps that ascend together.
//!
//! Everything follows from a record's index, so that two runs, months apart, read the same bytes.

use std::fmt::Write;

use chrono::DateTime;

/// What a field is in the table, and in HubSpot's description of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Numeric,
    Integer,
    Boolean,
    Timestamp,
}

impl Kind {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Numeric => "numeric",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamptz",
        }
    }

    /// HubSpot's `type` and `fieldType`.
    pub(crate) fn hubspot(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("string", "text"),
            Self::Numeric | Self::Integer => ("number", "number"),
            Self::Boolean => ("bool", "booleancheckbox"),
            Self::Timestamp => ("datetime", "date"),
        }
    }
}

/// Property, and column of the same name. In HubSpot's order, which is by name.
pub(crate) const FIELDS: [(&str, Kind); 23] = [
    ("address", Kind::Text),
    ("annualrevenue", Kind::Numeric),
    ("city", Kind::Text),
    ("company", Kind::Text),
    ("country", Kind::Text),
    ("createdate", Kind::Timestamp),
    ("email", Kind::Text),
    ("fax", Kind::Text),
    ("firstname", Kind::Text),
    ("hs_email_optout", Kind::Boolean),
    ("hs_object_id", Kind::Text),
    ("industry", Kind::Text),
    ("jobtitle", Kind::Text),
    ("lastmodifieddate", Kind::Timestamp),
    ("lastname", Kind::Text),
    ("lifecyclestage", Kind::Text),
    ("message", Kind::Text),
    ("mobilephone", Kind::Text),
    ("numemployees", Kind::Integer),
    ("phone", Kind::Text),
    ("state", Kind::Text),
    ("website", Kind::Text),
    ("zip", Kind::Text),
];

const FIRST_ID: u64 = 10_000_000_001;
/// 2024-01-01T00:00:00Z in milliseconds.
const FIRST_STAMP: i64 = 1_704_067_200_000;
/// Neighbours that share a modified stamp, as after an import: a reader that pages by stamp alone loses or repeats some.
const SHARE_A_STAMP: u64 = 8;
const STAMP_STEP_MS: i64 = 1_000;
const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;

pub(crate) fn id(index: u64) -> u64 {
    FIRST_ID + index
}

/// Index of the first record whose id is greater.
pub(crate) fn first_beyond_id(id: u64) -> u64 {
    (id + 1).saturating_sub(FIRST_ID)
}

fn stamp_ms(index: u64) -> i64 {
    FIRST_STAMP + i64::try_from(index / SHARE_A_STAMP).unwrap_or(i64::MAX / STAMP_STEP_MS / 2) * STAMP_STEP_MS
}

/// Index of the first record that was modified at `ms` or later.
pub(crate) fn first_modified_since(ms: i64) -> u64 {
    let steps = (ms.max(FIRST_STAMP) - FIRST_STAMP + STAMP_STEP_MS - 1) / STAMP_STEP_MS;
    u64::try_from(steps).unwrap_or_default() * SHARE_A_STAMP
}

const FIRST_NAMES: [&str; 8] = ["Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Henrik"];
const LAST_NAMES: [&str; 7] = ["Albrecht", "Bergmann", "Castillo", "Dubois", "Eriksen", "Fontana", "Gustafson"];
const CITIES: [&str; 6] = ["Amsterdam", "Barcelona", "Copenhagen", "Dortmund", "Edinburgh", "Florence"];
const COUNTRIES: [&str; 6] = ["Netherlands", "Spain", "Denmark", "Germany", "United Kingdom", "Italy"];
const INDUSTRIES: [&str; 5] = ["RETAIL", "COMPUTER_SOFTWARE", "CONSTRUCTION", "FOOD_PRODUCTION", "LOGISTICS"];
const TITLES: [&str; 5] = ["Head of Purchasing", "Operations Manager", "Accountant", "Managing Director", "Buyer"];
const STAGES: [&str; 3] = ["subscriber", "lead", "customer"];

/// One record as HubSpot's search shows it.
pub(crate) fn render(index: u64, out: &mut String) {
    // A multiplicative hash: neighbours differ in every field, as real records do.
    let mixed = usize::try_from(index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).unwrap_or_default();
    let (first, last) = (FIRST_NAMES[mixed % 8], LAST_NAMES[mixed / 8 % 7]);
    let place = mixed / 56 % 6;
    let (city, country) = (CITIES[place], COUNTRIES[place]);
    let (industry, title, stage) = (INDUSTRIES[mixed / 7 % 5], TITLES[mixed / 11 % 5], STAGES[mixed / 13 % 3]);
    let (street, zip, revenue, employees) = (1 + mixed % 199, 10_000 + mixed % 89_999, mixed % 9_000_000, 1 + mixed % 4_999);
    let (cents, optout, id) = (mixed % 100, mixed % 10 == 0, id(index));
    let (phone, fax, mobile) = (mixed % 9_999_999, mixed / 3 % 9_999_999, mixed / 5 % 99_999_999);
    let modified = iso(stamp_ms(index));
    let created = iso(stamp_ms(index) - YEAR_MS);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#"{{"id":"{id}","properties":{{"address":"{street} Harbour Street","annualrevenue":"{revenue}.{cents:02}","#,
    );
    let _ = write!(out, r#""city":"{city}","company":"{last} Trading {index}","country":"{country}","createdate":"{created}","#);
    let _ = write!(out, r#""email":"contact{index}@example.com","fax":"+49 30 {fax:07}","firstname":"{first}","#);
    let _ = write!(out, r#""hs_email_optout":"{optout}","hs_object_id":"{id}","industry":"{industry}","jobtitle":"{title}","#);
    let _ = write!(out, r#""lastmodifieddate":"{modified}","lastname":"{last}","lifecyclestage":"{stage}","#);
    let _ = write!(out, r#""message":"Order {mixed} by phone, deliver on weekdays only","mobilephone":"+49 171 {mobile:08}","#);
    let _ = write!(out, r#""numemployees":"{employees}","phone":"+49 40 {phone:07}","state":"North","#);
    let _ = write!(out, r#""website":"www.{index}.example","zip":"{zip}"}},"createdAt":"{created}","updatedAt":"{modified}","#);
    out.push_str(r#""archived":false}"#);
}

fn iso(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(index: u64) -> String {
        let mut out = String::new();
        render(index, &mut out);
        out
    }

    #[test]
    fn a_record_has_every_field_in_hubspots_order_and_the_size_that_earlier_figures_were_measured_with() {
        let mut bytes = 0;
        for index in 100_000..101_000 {
            let text = rendered(index);
            let record: serde_json::Value = serde_json::from_str(&text).unwrap();
            let names: Vec<&String> = record["properties"].as_object().unwrap().keys().collect();
            assert_eq!(names, FIELDS.map(|(name, _)| name));
            bytes += text.len();
        }
        assert!((780..=796).contains(&(bytes / 1_000)), "{} bytes", bytes / 1_000);
    }

    #[test]
    fn neighbours_share_a_stamp_and_a_window_begins_between_two_groups() {
        assert_eq!(first_modified_since(0), 0);
        assert_eq!(first_modified_since(FIRST_STAMP), 0);
        assert_eq!(first_modified_since(FIRST_STAMP + 1), SHARE_A_STAMP);
        assert_eq!(first_modified_since(stamp_ms(800)), 800);
        assert_eq!((stamp_ms(800), stamp_ms(808) - stamp_ms(807)), (stamp_ms(807), STAMP_STEP_MS));
    }

    #[test]
    fn a_page_goes_on_after_the_last_id() {
        assert_eq!(first_beyond_id(0), 0);
        assert_eq!(first_beyond_id(id(199)), 200);
    }
}
