//! Compares the two sides of a stream field by field, through the mapping: agree, decided to differ, differ. Reads nothing but what it is given.

use serde::Serialize;

use crate::base::{Base, State};
use crate::conflict::Side;
use crate::erasure;
use crate::record::{Record, Row};
use crate::spec::{Inbound, StreamSpec};

/// Which of the three groups a field or a lone thing belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Agrees,
    /// An accepted difference, with its reason.
    Decided(String),
    Differs(String),
}

/// Why a debt waits for a person.
#[derive(Debug, Clone, Copy)]
pub struct Parked<'a> {
    pub class: &'a str,
    pub cause: &'a str,
}

impl Parked<'_> {
    /// Somebody who was erased and shows up again is kept out on purpose, until a person says otherwise: nothing is wrong.
    fn standing(self) -> Standing {
        match self.class {
            erasure::CLASS => Standing::Decided(erasure::WAITS.to_owned()),
            _ => Standing::Differs(format!("parked: {}", self.cause)),
        }
    }
}

/// One entry of a report: which thing, which field, what each side holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub stream: String,
    pub row: Option<String>,
    pub record: Option<String>,
    pub field: Option<String>,
    /// The values differ: shown to the person who asked, never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_value: Option<String>,
    pub reason: String,
}

/// Each field of a linked pair, in field order. Reference values of the record are the parent's row keys.
pub fn compare(spec: &StreamSpec, base: &Base, row: &Row, record: &Record) -> Vec<Standing> {
    let sendable = row.is_sendable(spec);
    let values = row.values(spec);
    let fields = spec.fields.iter().enumerate().map(|(at, field)| {
        let (row, record) = (values.get(at).cloned().flatten(), record.values.get(at).cloned().flatten());
        let same = match field.references {
            Some(_) => row == record,
            None => field.transform.says_the_same(row.as_deref(), record.as_deref()),
        };
        if same {
            return Standing::Agrees;
        }
        match base.get(at) {
            Some(known) if known.row == row && known.record == record => match &known.state {
                State::Agreed => Standing::Decided("altered by the CRM".into()),
                State::Differs(reason) => Standing::Decided(reason.clone()),
                State::Decided(Side::Crm, _) => {
                    Standing::Differs("a person decided for the record's value: a read is owed".into())
                }
                State::Held(_) => Standing::Differs(format!("held: it {}", crate::stale::REASON)),
                State::Conflict(_) => Standing::Differs("changed on both sides: a person decides".into()),
                State::Owed | State::Decided(Side::Orders, _) if !sendable => Standing::Decided("send_when does not hold".into()),
                State::Owed => Standing::Differs("a push is owed".into()),
                State::Decided(Side::Orders, _) => {
                    Standing::Differs("a person decided for the row's value: a push is owed".into())
                }
            },
            _ if !sendable && spec.direction.writes_records() => Standing::Decided("send_when does not hold".into()),
            Some(_) => Standing::Differs("changed since it was last agreed".into()),
            None => Standing::Differs("never met".into()),
        }
    });
    fields.collect()
}

/// A row without a record.
pub fn lone_row(spec: &StreamSpec, row: &Row, parked: Option<Parked<'_>>, parent_excluded: bool) -> Standing {
    if !spec.direction.writes_records() {
        Standing::Decided("the stream does not write records".into())
    } else if !row.is_sendable(spec) {
        Standing::Decided("send_when does not hold".into())
    } else if let Some(parked) = parked {
        parked.standing()
    } else if parent_excluded {
        Standing::Decided("its parent is not in the CRM: send_when does not hold for it".into())
    } else {
        Standing::Differs("not in the CRM yet".into())
    }
}

/// A record without a row.
pub fn lone_record(spec: &StreamSpec, parked: Option<Parked<'_>>) -> Standing {
    if !spec.direction.writes_rows() {
        Standing::Decided("the stream does not write rows".into())
    } else if spec.inbound == Inbound::UpdateOnly {
        Standing::Decided("inbound = \"update_only\"".into())
    } else if let Some(parked) = parked {
        parked.standing()
    } else {
        Standing::Differs("not in the order database yet".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FieldBase;
    use crate::merge::tests::spec;
    use crate::record::{RemoteId, RowKey};

    fn check(base: &[Option<FieldBase>], row: &str, record: &str) -> Standing {
        let row = Row { key: RowKey::new("7"), columns: vec![Some("Rome".into()), Some("Ana".into()), Some(row.into())] };
        let values = vec![Some("Rome".into()), Some("Ana".into()), Some(record.into())];
        let record = Record {
            id: RemoteId::new("9"),
            modified: None,
            archived: false,
            external_key: None,
            absorbed: Vec::new(),
            version: None,
            left_out: Vec::new(),
            values,
        };
        let mut standings = compare(&spec(), &Base { fields: base.to_vec() }, &row, &record);
        standings.pop().unwrap()
    }

    #[test]
    fn who_was_erased_and_shows_up_again_is_decided_and_says_that_it_waits() {
        let mut both = spec();
        both.direction = crate::spec::Direction::Both;
        let row = Row { key: RowKey::new("7"), columns: vec![Some("Rome".into()), Some("Ana".into()), Some("1".into())] };
        let parked = |class: &'static str| Some(Parked { class, cause: "because" });
        for (class, expect) in [
            (erasure::CLASS, Standing::Decided(erasure::WAITS.into())),
            ("rejected", Standing::Differs("parked: because".into())),
        ] {
            assert_eq!(lone_record(&both, parked(class)), expect);
            assert_eq!(lone_row(&both, &row, parked(class), false), expect);
        }
    }

    fn known(row: &str, record: &str, state: State) -> Vec<Option<FieldBase>> {
        vec![
            None,
            None,
            Some(FieldBase { row: Some(row.into()), record: Some(record.into()), state, replaced: Vec::new(), edit: None }),
        ]
    }

    #[test]
    fn a_pair_falls_into_one_of_three_groups() {
        assert_eq!(check(&[None, None, None], "1", "1"), Standing::Agrees);
        assert!(matches!(check(&known("0 1", "01", State::Agreed), "0 1", "01"), Standing::Decided(_)));
        assert!(matches!(check(&known("0 1", "01", State::Agreed), "0 2", "01"), Standing::Differs(_)));
        assert!(matches!(check(&known("1", "2", State::Conflict(Box::default())), "1", "2"), Standing::Differs(_)));
        assert!(matches!(check(&[None, None, None], "1", "2"), Standing::Differs(_)));
    }
}
