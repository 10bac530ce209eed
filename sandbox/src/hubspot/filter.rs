//! Search filters: compiled once per search, then asked of every indexed version. Plain values in, yes or no out.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Refusal,
    record::{Record, Version},
    schema::{Kind, Schema},
    stamp,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterSpec {
    property_name: String,
    operator: String,
    value: Option<Value>,
    high_value: Option<Value>,
    values: Option<Vec<Value>>,
}

/// A value as search compares it. Times are milliseconds; text is lower case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Number(f64),
    Text(String),
}

impl Scalar {
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// How a property is read for comparing.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    name: String,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Id,
    Created,
    Modified,
    Number,
    Time,
    Text,
}

impl Column {
    pub(crate) fn new(schema: &Schema, modified_property: &str, name: &str) -> Result<Self, Refusal> {
        let property = schema.find(name).ok_or_else(|| {
            Refusal::invalid(format!("There was a problem with the request. Property \"{name}\" does not exist"))
        })?;
        let source = match (name, property.kind) {
            ("hs_object_id", _) => Source::Id,
            ("createdate", _) => Source::Created,
            (name, _) if name == modified_property => Source::Modified,
            (_, Kind::Number) => Source::Number,
            (_, Kind::Date | Kind::DateTime) => Source::Time,
            (_, Kind::Text | Kind::Email | Kind::Phone | Kind::Enumeration | Kind::Boolean) => Source::Text,
        };
        Ok(Self { name: name.to_owned(), source })
    }

    #[expect(clippy::cast_precision_loss, reason = "ids and milliseconds stay far below 2^53")]
    pub(crate) fn read(&self, record: &Record, version: &Version) -> Option<Scalar> {
        let kept = || version.props.get(&self.name);
        match self.source {
            Source::Id => Some(Scalar::Number(record.id as f64)),
            Source::Created => Some(Scalar::Number(record.created_ms as f64)),
            Source::Modified => Some(Scalar::Number(version.stamp_ms as f64)),
            Source::Number => kept()?.parse().ok().map(Scalar::Number),
            Source::Time => stamp::parse(kept()?).map(|ms| Scalar::Number(ms as f64)),
            Source::Text => Some(Scalar::Text(kept()?.to_lowercase())),
        }
    }

    /// A filter's value in this column's terms. A time may be epoch milliseconds or ISO.
    #[expect(clippy::cast_precision_loss, reason = "ids and milliseconds stay far below 2^53")]
    fn operand(&self, value: Option<&Value>) -> Result<Scalar, Refusal> {
        let text = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(flag)) => flag.to_string(),
            _ => return Err(Refusal::invalid(format!("A value is required to filter by {}", self.name))),
        };
        let number = match self.source {
            Source::Text => return Ok(Scalar::Text(text.trim().to_lowercase())),
            Source::Id | Source::Number => text.parse().ok(),
            Source::Created | Source::Modified | Source::Time => stamp::parse(&text).map(|ms| ms as f64),
        };
        number
            .map(Scalar::Number)
            .ok_or_else(|| Refusal::invalid(format!("There was a problem with the request. {text} is not a valid {}", self.name)))
    }
}

#[derive(Debug)]
enum Test {
    Equal(Scalar),
    NotEqual(Scalar),
    Less(Scalar),
    AtMost(Scalar),
    Greater(Scalar),
    AtLeast(Scalar),
    Between(Scalar, Scalar),
    OneOf(Vec<Scalar>),
    NoneOf(Vec<Scalar>),
    Known,
    Unknown,
    Token(String),
}

#[derive(Debug)]
pub(crate) struct Filter {
    column: Column,
    test: Test,
}

impl Filter {
    pub(crate) fn compile(spec: &FilterSpec, schema: &Schema, modified_property: &str) -> Result<Self, Refusal> {
        let column = Column::new(schema, modified_property, &spec.property_name)?;
        let value = || column.operand(spec.value.as_ref());
        let values = || -> Result<Vec<Scalar>, Refusal> {
            let listed = spec.values.as_deref().unwrap_or_default();
            if listed.is_empty() {
                return Err(Refusal::invalid(format!("{} needs a list of values", spec.operator)));
            }
            listed.iter().map(|value| column.operand(Some(value))).collect()
        };
        let test = match spec.operator.as_str() {
            "EQ" => Test::Equal(value()?),
            "NEQ" => Test::NotEqual(value()?),
            "LT" => Test::Less(value()?),
            "LTE" => Test::AtMost(value()?),
            "GT" => Test::Greater(value()?),
            "GTE" => Test::AtLeast(value()?),
            "BETWEEN" => Test::Between(value()?, column.operand(spec.high_value.as_ref())?),
            "IN" => Test::OneOf(values()?),
            "NOT_IN" => Test::NoneOf(values()?),
            "HAS_PROPERTY" => Test::Known,
            "NOT_HAS_PROPERTY" => Test::Unknown,
            "CONTAINS_TOKEN" => match value()? {
                Scalar::Text(token) => Test::Token(token),
                Scalar::Number(number) => Test::Token(number.to_string()),
            },
            other => return Err(Refusal::invalid(format!("Invalid filter operator: {other}"))),
        };
        Ok(Self { column, test })
    }

    /// A property without a value passes only `NOT_HAS_PROPERTY`.
    pub(crate) fn passes(&self, record: &Record, version: &Version) -> bool {
        let Some(found) = self.column.read(record, version) else {
            return matches!(self.test, Test::Unknown);
        };
        match &self.test {
            Test::Equal(wanted) => found.compare(wanted).is_eq(),
            Test::NotEqual(wanted) => found.compare(wanted).is_ne(),
            Test::Less(bound) => found.compare(bound).is_lt(),
            Test::AtMost(bound) => found.compare(bound).is_le(),
            Test::Greater(bound) => found.compare(bound).is_gt(),
            Test::AtLeast(bound) => found.compare(bound).is_ge(),
            Test::Between(low, high) => found.compare(low).is_ge() && found.compare(high).is_le(),
            Test::OneOf(wanted) => wanted.contains(&found),
            Test::NoneOf(wanted) => !wanted.contains(&found),
            Test::Known => true,
            Test::Unknown => false,
            Test::Token(token) => match &found {
                Scalar::Text(text) => contains_token(text, token),
                Scalar::Number(number) => number.to_string() == *token,
            },
        }
    }
}

/// Whole words, or `*` for any run of characters within a word.
fn contains_token(text: &str, token: &str) -> bool {
    if token.contains('*') {
        return fits(text, token) || text.split_whitespace().any(|word| fits(word, token));
    }
    let words = |text: &str| -> Vec<String> {
        let parts = text.split(|c: char| !c.is_alphanumeric());
        parts.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (have, want) = (words(text), words(token));
    !want.is_empty() && want.iter().all(|word| have.contains(word))
}

fn fits(text: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| fits(&rest[at..], after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        ObjectType,
        hubspot::stock,
        record::{Author, Moment, Props},
    };

    fn deal() -> Record {
        let props = [("dealname", "Blue Sofa"), ("amount", "9.50"), ("closedate", "2026-03-01T00:00:00.000Z")];
        let props: Props = props.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let (now_ms, stamp_ms) = (1_772_366_400_123, 1_772_366_400_123);
        let moment = Moment { now_ms, stamp_ms, commit_delay_ms: 0, index_lag_ms: 0, moves_stamp: true };
        Record::new(501, ObjectType::Deals, props, Author::Api, moment)
    }

    fn compile(spec: Value) -> Result<Filter, Refusal> {
        let spec: FilterSpec = serde_json::from_value(spec).unwrap();
        Filter::compile(&spec, &Schema::new(stock::properties(ObjectType::Deals, 0)), "hs_lastmodifieddate")
    }

    #[test]
    fn each_operator_means_what_its_name_says() {
        let deal = deal();
        let check = |property: &str, operator: &str, rest: Value, expect: bool| {
            let mut spec = json!({ "propertyName": property, "operator": operator });
            spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            let passed = compile(spec.clone()).unwrap().passes(&deal, deal.head());
            assert_eq!(passed, expect, "{spec}");
        };
        check("amount", "EQ", json!({"value": "9.5"}), true);
        check("amount", "LT", json!({"value": "10"}), true);
        check("amount", "GT", json!({"value": "9.50"}), false);
        check("hs_object_id", "GTE", json!({"value": "501"}), true);
        check("hs_object_id", "GT", json!({"value": "99"}), true);
        check("hs_lastmodifieddate", "GTE", json!({"value": "1772366400123"}), true);
        check("hs_lastmodifieddate", "LT", json!({"value": "1772366400123"}), false);
        check("hs_lastmodifieddate", "LTE", json!({"value": "2026-03-01T12:00:00.123Z"}), true);
        check("hs_lastmodifieddate", "BETWEEN", json!({"value": "0", "highValue": "1772366400123"}), true);
        check("closedate", "LT", json!({"value": "2026-03-02"}), true);
        check("dealname", "EQ", json!({"value": "blue sofa"}), true);
        check("dealname", "NEQ", json!({"value": "red sofa"}), true);
        check("dealname", "IN", json!({"values": ["red sofa", "blue sofa"]}), true);
        check("dealname", "NOT_IN", json!({"values": ["blue sofa"]}), false);
        check("dealname", "CONTAINS_TOKEN", json!({"value": "sofa"}), true);
        check("dealname", "CONTAINS_TOKEN", json!({"value": "sof"}), false);
        check("dealname", "CONTAINS_TOKEN", json!({"value": "so*"}), true);
        check("dealstage", "HAS_PROPERTY", json!({}), false);
        check("dealstage", "NOT_HAS_PROPERTY", json!({}), true);
        check("dealstage", "NEQ", json!({"value": "closedwon"}), false);
    }

    #[test]
    fn what_cannot_be_compared_is_refused_rather_than_answered_with_everything() {
        let check = |spec: Value| assert_eq!(compile(spec).unwrap_err().status(), 400);
        check(json!({"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "yesterday"}));
        check(json!({"propertyName": "shoe_size", "operator": "EQ", "value": "1"}));
        check(json!({"propertyName": "amount", "operator": "AROUND", "value": "1"}));
        check(json!({"propertyName": "amount", "operator": "IN", "values": []}));
        check(json!({"propertyName": "amount", "operator": "EQ"}));
    }
}
