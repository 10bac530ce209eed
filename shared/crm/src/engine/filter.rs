//! The closed list of filters, what each makes of which kind of value, and what it does. A filter that does not fit its hole is found when the file is loaded.

use md5::{Digest, Md5};

use super::hole::{Found, Kind};
use super::moment::{Written, Zone};
use super::quote::Language;
use super::request::encode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Lower,
    /// MD5 of the text in lower case, as hexadecimal digits.
    Md5Lower,
    /// Joined by commas.
    Csv,
    /// As one part of an address that stands in a value.
    Segment,
    /// As literals of a query language, several joined by commas.
    Quote(Language),
    Moment(Written),
}

/// For messages.
pub(super) const KNOWN: &str = "rfc3339, rfc3339_secs, millis, secs, naive(ZONE), offset(ZONE), offset_digits(ZONE), lower, md5_lower, csv, segment, soql, odata, coql";

impl Filter {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "lower" => Self::Lower,
            "md5_lower" => Self::Md5Lower,
            "csv" => Self::Csv,
            "segment" => Self::Segment,
            "soql" => Self::Quote(Language::Soql),
            "odata" => Self::Quote(Language::Odata),
            "coql" => Self::Quote(Language::Coql),
            "rfc3339" => Self::Moment(Written::Rfc3339),
            "rfc3339_secs" => Self::Moment(Written::Rfc3339Secs),
            "millis" => Self::Moment(Written::Millis),
            "secs" => Self::Moment(Written::Secs),
            _ => {
                let (name, zone) = text.strip_suffix(')')?.split_once('(')?;
                let zone = Zone::parse(zone)?;
                match name {
                    "naive" => Self::Moment(Written::Naive(zone)),
                    "offset" => Self::Moment(Written::Offset(zone)),
                    "offset_digits" => Self::Moment(Written::OffsetDigits(zone)),
                    _ => return None,
                }
            }
        })
    }

    /// What it makes of such a value; `None` where it does not fit.
    pub(super) fn makes(self, of: Kind) -> Option<Kind> {
        match (self, of) {
            (Self::Lower, Kind::Text) => Some(Kind::Text),
            // Names are nothing but names; commas make no text of others' safe, and a quote around all of them would make one text of many.
            (Self::Csv, Kind::Texts) => Some(Kind::Joined),
            (Self::Md5Lower | Self::Segment, Kind::Text)
            | (Self::Csv, Kind::Names)
            | (Self::Quote(_), Kind::Text | Kind::Texts)
            | (Self::Moment(_), Kind::Moment) => Some(Kind::Safe),
            _ => None,
        }
    }

    pub(super) fn apply(self, found: &Found<'_>) -> Result<String, String> {
        Ok(match (self, found) {
            (Self::Lower, Found::Text(text)) => text.to_lowercase(),
            (Self::Md5Lower, Found::Text(text)) => {
                Md5::digest(text.to_lowercase().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
            }
            (Self::Csv, Found::Texts(texts)) => match texts.iter().find(|text| text.contains(',')) {
                Some(_) => return Err("a value with a comma cannot stand in a list of values".to_owned()),
                None => texts.join(","),
            },
            (Self::Segment, Found::Text("" | "." | "..")) => return Err("a part of an address is empty".to_owned()),
            (Self::Segment, Found::Text(text)) => {
                let mut out = String::new();
                encode(&mut out, text);
                out
            }
            (Self::Quote(language), Found::Text(text)) => language.quote(text),
            (Self::Quote(language), Found::Texts(texts)) => {
                texts.iter().map(|text| language.quote(text)).collect::<Vec<_>>().join(",")
            }
            (Self::Moment(written), Found::Moment(stamp)) => written.write(*stamp).ok_or("a moment lies beyond the calendar")?,
            _ => return Err("a filter does not fit its value".to_owned()),
        })
    }
}
