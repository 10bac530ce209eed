//! Decides what is wrong with the capture triggers: each that ought to be there is compared with what the catalogue shows. Looks at no database.

use serde::Serialize;

use crate::spec::TableName;

/// A trigger, as it ought to be or as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    pub table: TableName,
    /// A part of the mapped table: a statement may name it directly, and wakes none of the whole's triggers then.
    pub is_partition: bool,
    pub name: String,
    /// All that makes out what it does, in one text: written alike for what ought to be and what is.
    pub definition: String,
    pub enabled: bool,
}

/// What is wrong with one trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    Missing,
    Disabled,
    /// It does something else than this version would install for this mapping.
    Altered,
    /// Ours, on a table that no stream maps any more or under a name that none has.
    LeftOver,
}

impl Wrong {
    pub fn words(self, is_partition: bool) -> &'static str {
        match (self, is_partition) {
            (Self::Missing, false) => "missing: what it should note is found only by comparing every row",
            (Self::Missing, true) => {
                "missing: a statement that names this partition is noted by nobody, and found only by comparing every row"
            }
            (Self::Disabled, _) => "disabled: what it should note is found only by comparing every row",
            (Self::Altered, _) => "altered, or installed for another mapping or by another version",
            (Self::LeftOver, _) => "left over from a mapping that is gone: it only costs",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    #[serde(serialize_with = "shown")]
    pub table: TableName,
    pub is_partition: bool,
    pub trigger: String,
    pub wrong: Wrong,
}

fn shown<S: serde::Serializer>(table: &TableName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(table)
}

/// What is wrong, in the order of what ought to be, then what is there and ought not to.
pub fn judge(expected: &[Trigger], found: &[Trigger]) -> Vec<Finding> {
    let same = |one: &Trigger, other: &Trigger| one.table == other.table && one.name == other.name;
    let finding = |trigger: &Trigger, wrong| Finding {
        table: trigger.table.clone(),
        is_partition: trigger.is_partition,
        trigger: trigger.name.clone(),
        wrong,
    };
    let wrong = |ought: &Trigger| match found.iter().find(|is| same(is, ought)) {
        None => Some(Wrong::Missing),
        Some(is) if !is.enabled => Some(Wrong::Disabled),
        Some(is) if is.definition != ought.definition => Some(Wrong::Altered),
        Some(_) => None,
    };
    let lacking = expected.iter().filter_map(|ought| Some(finding(ought, wrong(ought)?)));
    let extra = found.iter().filter(|is| !expected.iter().any(|ought| same(is, ought)));
    lacking.chain(extra.map(|is| finding(is, Wrong::LeftOver))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(table: &str, name: &str, definition: &str) -> Trigger {
        Trigger {
            table: TableName { schema: Some("public".into()), name: table.into() },
            is_partition: table.contains("_p"),
            name: name.into(),
            definition: definition.into(),
            enabled: true,
        }
    }

    #[test]
    fn each_trigger_is_told_by_what_is_wrong_with_it() {
        let expected = [
            trigger("customers", "insert", "a"),
            trigger("customers", "update", "b"),
            trigger("customers", "delete", "c"),
            trigger("customers_p1", "insert", "a"),
        ];
        let found = [
            trigger("customers", "insert", "a"),
            Trigger { enabled: false, ..trigger("customers", "update", "x") },
            trigger("customers", "delete", "another"),
            trigger("orders", "insert", "a"),
        ];
        let told: Vec<_> = judge(&expected, &found).into_iter().map(|one| (one.table.name, one.trigger, one.wrong)).collect();
        let told: Vec<_> = told.iter().map(|(table, trigger, wrong)| (table.as_str(), trigger.as_str(), *wrong)).collect();
        assert_eq!(
            told,
            [
                ("customers", "update", Wrong::Disabled),
                ("customers", "delete", Wrong::Altered),
                ("customers_p1", "insert", Wrong::Missing),
                ("orders", "insert", Wrong::LeftOver),
            ]
        );
        assert!(judge(&expected, &expected).is_empty());
    }

    #[test]
    fn what_goes_unnoticed_is_said_of_a_partition_as_it_is() {
        assert!(
            Wrong::Missing.words(true).contains("names this partition") && !Wrong::Missing.words(false).contains("partition")
        );
    }
}
