//! Whether values can be carried between a column and a property of these types: fine, to be looked at, or sure to fail. A prediction for `check`; nothing is decided by it.
//!
//! Judged is what the types say, not what values are there: a text may hold nothing but numbers, and where the mapping says `as` it is taken to.

use serde::{Deserialize, Serialize};

use crate::transform::Transform;

/// What a column holds, whatever its database calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Integer,
    /// With a fraction.
    Number,
    /// Written as `true` and `false`.
    Bool,
    /// Written as `1` and `0`, as SQLite does.
    Flag,
    Date,
    Moment,
    Uuid,
    /// Anything else: not judged.
    Other,
}

/// What a property holds, whatever its vendor calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropertyKind {
    Text,
    Number,
    Bool,
    Date,
    Moment,
    /// One of a list of texts.
    Choice,
    /// Anything else: not judged.
    Other,
}

/// How well the two fit, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    Fine,
    /// Some values will not pass, or come back changed.
    Suspicious {
        why: &'static str,
        remedy: &'static str,
    },
    /// Hardly any value will pass.
    WillFail {
        why: &'static str,
        remedy: &'static str,
    },
}

/// One field of a mapping: both ends, and how values go between them.
#[derive(Debug, Clone, Copy)]
pub struct Pairing<'a> {
    pub transform: &'a Transform,
    pub column: ColumnKind,
    pub property: PropertyKind,
    /// What a choice may be; empty when that is not known.
    pub options: &'a [String],
}

/// The kind of a column by the name its catalogue gives its type: PostgreSQL's `format_type`, or what was declared on SQLite.
pub fn column_kind(sql_type: &str) -> ColumnKind {
    let lower = sql_type.to_ascii_lowercase();
    let (name, scale) = match lower.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').split_once(',').map_or("0", |(_, scale)| scale.trim())),
        None => (lower.trim(), "some"),
    };
    match name {
        "text" | "citext" | "varchar" | "character varying" | "char" | "character" | "bpchar" | "nvarchar" | "nchar" | "clob" => {
            ColumnKind::Text
        }
        "integer" | "int" | "bigint" | "smallint" | "tinyint" | "mediumint" | "int2" | "int4" | "int8" => ColumnKind::Integer,
        "numeric" | "decimal" if scale == "0" => ColumnKind::Integer,
        "numeric" | "decimal" | "real" | "double" | "double precision" | "float" => ColumnKind::Number,
        "bool" | "boolean" => ColumnKind::Bool,
        "date" => ColumnKind::Date,
        "uuid" => ColumnKind::Uuid,
        _ if name.starts_with("timestamp") || name == "datetime" => ColumnKind::Moment,
        _ => ColumnKind::Other,
    }
}

impl Pairing<'_> {
    /// From the record into the row.
    pub fn to_row(&self) -> Fit {
        if self.column == ColumnKind::Other || self.property == PropertyKind::Other {
            return Fit::Fine;
        }
        match self.transform {
            Transform::Map(pairs) => words(pairs.iter().map(|(row, _)| self.column.takes(row)), NOT_THE_COLUMNS),
            _ if self.property == PropertyKind::Choice && !self.options.is_empty() => self.options_to_row(),
            Transform::Text => text_to_row(self.column, self.property),
            Transform::Integer | Transform::DecimalOfCents => numbers_of(self.property).max(number_to_row(self.column)),
            Transform::Bool => flags_of(self.property).max(bool_to_row(self.column)),
            Transform::Date => days_of(self.property).max(day_to_row(self.column)),
        }
    }

    /// From the row into the record.
    pub fn to_record(&self) -> Fit {
        if self.column == ColumnKind::Other || self.property == PropertyKind::Other {
            return Fit::Fine;
        }
        match self.transform {
            // Whether the CRM knows a choice is judged word by word, by its options.
            Transform::Map(pairs) => words(pairs.iter().map(|(row, _)| self.column.writes(row)), NOT_THE_COLUMNS)
                .max(words(pairs.iter().map(|(_, record)| self.property.takes(record)), NOT_THE_PROPERTYS)),
            Transform::Text if self.property == PropertyKind::Choice => self.texts_to_options(),
            Transform::Text => text_to_record(self.column, self.property),
            Transform::Integer => number_of(self.column, "leave `as` out").max(self.number_to_record()),
            Transform::DecimalOfCents => {
                number_of(self.column, "leave `as` out if it holds the amount itself").max(self.number_to_record())
            }
            Transform::Bool => bool_of(self.column).max(self.bool_to_record()),
            Transform::Date => day_of(self.column).max(day_to_record(self.property)),
        }
    }

    /// Each option is a value that comes one day.
    fn options_to_row(&self) -> Fit {
        let passes = |option: &String| {
            let value = self.transform.to_row(Some(option)).ok().flatten();
            value.is_some_and(|value| self.column.takes(&value))
        };
        match self.options.iter().filter(|option| passes(option)).count() {
            0 => fails("none of its options is a value of this column", "write map = { … } from your values to its options"),
            some if some < self.options.len() => suspicious(
                "not all of its options are values of this column",
                "write map = { … } from your values to its options",
            ),
            _ => Fit::Fine,
        }
    }

    fn texts_to_options(&self) -> Fit {
        let remedy = "write map = { … } from your values to its options";
        if !self.options.is_empty() && !self.options.iter().any(|option| self.column.writes(option)) {
            return fails("no value of this column is one of its options", remedy);
        }
        suspicious("a value that is no option is refused by the CRM", remedy)
    }

    fn number_to_record(&self) -> Fit {
        match self.property {
            PropertyKind::Number | PropertyKind::Text | PropertyKind::Other => Fit::Fine,
            PropertyKind::Choice if self.options.is_empty() || self.options.iter().any(|option| is_number(option)) => suspicious(
                "a number that is no option is refused by the CRM",
                "write map = { … } from your numbers to its options",
            ),
            PropertyKind::Choice => {
                fails("none of its options is a number", "write map = { … } from your numbers to its options")
            }
            PropertyKind::Bool | PropertyKind::Date | PropertyKind::Moment => {
                fails("the CRM refuses a number", "map it to another property")
            }
        }
    }

    fn bool_to_record(&self) -> Fit {
        let known = |word: &str| self.options.is_empty() || self.options.iter().any(|option| option == word);
        match self.property {
            PropertyKind::Bool | PropertyKind::Text | PropertyKind::Other => Fit::Fine,
            PropertyKind::Choice if known("true") && known("false") => Fit::Fine,
            PropertyKind::Choice => {
                fails("true and false are not among its options", "write map = { … } from your values to its options")
            }
            PropertyKind::Number | PropertyKind::Date | PropertyKind::Moment => {
                fails("the CRM refuses true and false", "map it to another property")
            }
        }
    }
}

impl ColumnKind {
    /// A text that the column can hold as what it is.
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Text | Self::Other => true,
            Self::Integer => text.trim().parse::<i64>().is_ok(),
            Self::Number => is_number(text),
            Self::Bool | Self::Flag => matches!(text, "true" | "false" | "t" | "f" | "1" | "0"),
            Self::Date | Self::Moment => is_day(text),
            Self::Uuid => text.len() >= 32 && text.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-'),
        }
    }

    /// A text that the database may give for a value of the column.
    fn writes(self, text: &str) -> bool {
        match self {
            Self::Bool => matches!(text, "true" | "false"),
            Self::Flag => matches!(text, "1" | "0"),
            Self::Text | Self::Integer | Self::Number | Self::Date | Self::Moment | Self::Uuid | Self::Other => self.takes(text),
        }
    }
}

impl PropertyKind {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Text | Self::Choice | Self::Other => true,
            Self::Number => is_number(text),
            Self::Bool => matches!(text, "true" | "false"),
            Self::Date | Self::Moment => is_day(text),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_day(text: &str) -> bool {
    Transform::Date.to_row(Some(text)).is_ok_and(|day| day.is_some())
}

const ANOTHER: &str = "map it to another column, or give the column another type";
const ANOTHER_PROPERTY: &str = "map it to another property, or correct `as`";
const NOT_THE_COLUMNS: [&str; 2] =
    ["words of the map are no values of this column", "write the map's left side as the database writes the column"];
const NOT_THE_PROPERTYS: [&str; 2] =
    ["words of the map are no values of this property", "write the map's right side as the CRM writes the property"];

fn fails(why: &'static str, remedy: &'static str) -> Fit {
    Fit::WillFail { why, remedy }
}

fn suspicious(why: &'static str, remedy: &'static str) -> Fit {
    Fit::Suspicious { why, remedy }
}

/// A map by how many of its words pass: all, some, none.
fn words(passes: impl Iterator<Item = bool>, [why, remedy]: [&'static str; 2]) -> Fit {
    let (good, bad): (Vec<bool>, Vec<bool>) = passes.partition(|passes| *passes);
    match (good.is_empty(), bad.is_empty()) {
        (_, true) => Fit::Fine,
        (false, false) => suspicious(why, remedy),
        (true, false) => fails(why, remedy),
    }
}

/// As it is, from the record into the row.
fn text_to_row(column: ColumnKind, property: PropertyKind) -> Fit {
    use {ColumnKind as C, PropertyKind as P};
    match (column, property) {
        (C::Text | C::Other, _)
        | (C::Number, P::Number)
        | (C::Bool | C::Flag, P::Bool)
        | (C::Date | C::Moment, P::Date | P::Moment) => Fit::Fine,
        (C::Integer, P::Number) => suspicious("a number with a fraction is no value of this column", "write as = \"integer\""),
        (C::Bool | C::Flag, P::Choice) => suspicious("only true and false are values of this column", "write as = \"bool\""),
        (_, P::Text | P::Choice) => suspicious(
            "a text that is no such value parks its record",
            "map it to a text column, or say how to read it with `as`",
        ),
        (C::Integer | C::Number, P::Bool) => fails("true and false are no numbers", ANOTHER),
        _ => fails("such values are none of this column", ANOTHER),
    }
}

/// As it is, from the row into the record. Choices are judged by their options.
fn text_to_record(column: ColumnKind, property: PropertyKind) -> Fit {
    use {ColumnKind as C, PropertyKind as P};
    match (column, property) {
        (C::Other, _)
        | (_, P::Text | P::Choice | P::Other)
        | (C::Integer | C::Number, P::Number)
        | (C::Bool, P::Bool)
        | (C::Date, P::Date | P::Moment) => Fit::Fine,
        (C::Text, P::Number) => {
            suspicious("a text that is no number is refused by the CRM", "write as = \"integer\" if they are whole numbers")
        }
        (C::Text, P::Bool) => suspicious("a text other than true and false is refused by the CRM", "write as = \"bool\""),
        (C::Integer | C::Flag, P::Bool) => fails("the CRM wants true and false, not numbers", "write as = \"bool\""),
        (C::Moment, P::Date | P::Moment) => {
            suspicious("the database writes moments in a form of its own", "write as = \"date\" to send the day")
        }
        (C::Text, P::Date | P::Moment) => suspicious("a text that is no date is refused by the CRM", "write as = \"date\""),
        _ => fails("the CRM refuses such values", "map it to another property"),
    }
}

/// Numbers that come from a property.
fn numbers_of(property: PropertyKind) -> Fit {
    match property {
        PropertyKind::Number | PropertyKind::Text | PropertyKind::Choice | PropertyKind::Other => Fit::Fine,
        PropertyKind::Bool | PropertyKind::Date | PropertyKind::Moment => {
            fails("the property holds no numbers", ANOTHER_PROPERTY)
        }
    }
}

fn number_to_row(column: ColumnKind) -> Fit {
    match column {
        ColumnKind::Text | ColumnKind::Integer | ColumnKind::Number | ColumnKind::Other => Fit::Fine,
        ColumnKind::Bool | ColumnKind::Flag | ColumnKind::Date | ColumnKind::Moment | ColumnKind::Uuid => {
            fails("a number is no value of this column", ANOTHER)
        }
    }
}

/// Whole numbers that come from a column.
fn number_of(column: ColumnKind, remedy: &'static str) -> Fit {
    match column {
        ColumnKind::Text | ColumnKind::Integer | ColumnKind::Flag | ColumnKind::Other => Fit::Fine,
        ColumnKind::Number => suspicious("a value with a fraction, such as 12.50, is not sent", remedy),
        ColumnKind::Bool | ColumnKind::Date | ColumnKind::Moment | ColumnKind::Uuid => {
            fails("the column holds no numbers", ANOTHER)
        }
    }
}

/// True and false that come from a property.
fn flags_of(property: PropertyKind) -> Fit {
    match property {
        PropertyKind::Bool | PropertyKind::Text | PropertyKind::Choice | PropertyKind::Other => Fit::Fine,
        PropertyKind::Number => suspicious("only 1 and 0 are read as true and false", ANOTHER_PROPERTY),
        PropertyKind::Date | PropertyKind::Moment => fails("the property holds neither true nor false", ANOTHER_PROPERTY),
    }
}

fn bool_to_row(column: ColumnKind) -> Fit {
    match column {
        ColumnKind::Bool | ColumnKind::Flag | ColumnKind::Text | ColumnKind::Other => Fit::Fine,
        ColumnKind::Integer | ColumnKind::Number => fails(
            "true and false are no numbers",
            "give the column the type boolean, or write map = { 1 = \"true\", 0 = \"false\" }",
        ),
        ColumnKind::Date | ColumnKind::Moment | ColumnKind::Uuid => fails("true and false are no values of this column", ANOTHER),
    }
}

/// True and false that come from a column.
fn bool_of(column: ColumnKind) -> Fit {
    match column {
        ColumnKind::Bool | ColumnKind::Flag | ColumnKind::Integer | ColumnKind::Text | ColumnKind::Other => Fit::Fine,
        ColumnKind::Number => suspicious("only 1 and 0 are read as true and false", ANOTHER),
        ColumnKind::Date | ColumnKind::Moment | ColumnKind::Uuid => fails("the column holds neither true nor false", ANOTHER),
    }
}

/// Days that come from a property.
fn days_of(property: PropertyKind) -> Fit {
    match property {
        PropertyKind::Date | PropertyKind::Moment | PropertyKind::Text | PropertyKind::Choice | PropertyKind::Other => Fit::Fine,
        PropertyKind::Number | PropertyKind::Bool => fails("the property holds no dates", ANOTHER_PROPERTY),
    }
}

fn day_to_row(column: ColumnKind) -> Fit {
    match column {
        ColumnKind::Date | ColumnKind::Text | ColumnKind::Other => Fit::Fine,
        ColumnKind::Moment => suspicious(
            "a day is written over a moment: its time of day is lost",
            "leave `as` out, or map it to a column of type date",
        ),
        ColumnKind::Integer | ColumnKind::Number | ColumnKind::Bool | ColumnKind::Flag | ColumnKind::Uuid => {
            fails("a date is no value of this column", ANOTHER)
        }
    }
}

/// Days that come from a column.
fn day_of(column: ColumnKind) -> Fit {
    match column {
        ColumnKind::Date | ColumnKind::Moment | ColumnKind::Text | ColumnKind::Other => Fit::Fine,
        ColumnKind::Integer | ColumnKind::Number | ColumnKind::Bool | ColumnKind::Flag | ColumnKind::Uuid => {
            fails("the column holds no dates", ANOTHER)
        }
    }
}

fn day_to_record(property: PropertyKind) -> Fit {
    match property {
        PropertyKind::Date | PropertyKind::Moment | PropertyKind::Text | PropertyKind::Other => Fit::Fine,
        PropertyKind::Number | PropertyKind::Bool | PropertyKind::Choice => {
            fails("the CRM refuses a date", "map it to another property")
        }
    }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
