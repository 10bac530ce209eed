//! `$filter`: comparisons joined by `and`, `or` and `not`, read into a tree and asked of every row.

use std::cmp::Ordering;

use super::{refuse, render};
use crate::{
    Refusal,
    record::{Record, Version},
    schema::{Kind, Schema},
    stamp,
};

#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Compare { column: String, operator: String, literal: Option<Scalar> },
}

/// A value as filters and orders compare it. Text in lower case.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Number(f64),
    Time(i64),
    Flag(bool),
}

impl Scalar {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (Self::Time(one), Self::Time(two)) => one.cmp(two),
            (Self::Flag(one), Self::Flag(two)) => one.cmp(two),
            _ => Ordering::Less,
        }
    }
}

/// A column's value of one row.
pub(super) fn read(schema: &Schema, record: &Record, version: &Version, column: &str) -> Option<Scalar> {
    let kind = schema.find(column)?.kind;
    scalar(kind, &render::text(record, version, column)?)
}

fn scalar(kind: Kind, text: &str) -> Option<Scalar> {
    match kind {
        Kind::Number => text.parse().ok().map(Scalar::Number),
        Kind::Boolean => Some(Scalar::Flag(text == "true")),
        Kind::Date | Kind::DateTime => stamp::parse(text).map(Scalar::Time),
        Kind::Text | Kind::Email | Kind::Phone | Kind::Enumeration => Some(Scalar::Text(text.to_lowercase())),
    }
}

impl Filter {
    pub(super) fn parse(text: &str, schema: &Schema) -> Result<Self, Refusal> {
        let mut reader = Reader { tokens: tokens(text)?, at: 0, schema };
        let filter = reader.any()?;
        if reader.at < reader.tokens.len() { Err(syntax(text)) } else { Ok(filter) }
    }

    pub(super) fn passes(&self, schema: &Schema, record: &Record, version: &Version) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.passes(schema, record, version)),
            Self::Any(filters) => filters.iter().any(|filter| filter.passes(schema, record, version)),
            Self::Not(filter) => !filter.passes(schema, record, version),
            Self::Compare { column, operator, literal } => {
                let found = read(schema, record, version, column);
                match (operator.as_str(), &found, literal) {
                    ("eq", ..) => found == *literal,
                    ("ne", ..) => found != *literal,
                    (operator, Some(found), Some(literal)) => {
                        let order = found.compare(literal);
                        match operator {
                            "gt" => order.is_gt(),
                            "ge" => order.is_ge(),
                            "lt" => order.is_lt(),
                            _ => order.is_le(),
                        }
                    }
                    _ => false,
                }
            }
        }
    }
}

/// Words, signs, and texts with their quotes.
fn tokens(text: &str) -> Result<Vec<String>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '(' | ')' | '[' | ']' | ',' | '=' => 1,
            '\'' => {
                let mut at = 1;
                loop {
                    let close = rest[at..].find('\'').ok_or_else(|| syntax(text))? + at + 1;
                    if !rest[close..].starts_with('\'') {
                        break close;
                    }
                    at = close + 1;
                }
            }
            _ => rest.find(|c: char| c.is_whitespace() || "()[],=".contains(c)).unwrap_or(rest.len()),
        };
        tokens.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: Vec<String>,
    at: usize,
    schema: &'a Schema,
}

impl Reader<'_> {
    /// `and` binds before `or`.
    fn any(&mut self) -> Result<Filter, Refusal> {
        let mut filters = vec![self.all()?];
        while self.takes("or") {
            filters.push(self.all()?);
        }
        Ok(if filters.len() == 1 { filters.remove(0) } else { Filter::Any(filters) })
    }

    fn all(&mut self) -> Result<Filter, Refusal> {
        let mut filters = vec![self.one()?];
        while self.takes("and") {
            filters.push(self.one()?);
        }
        Ok(if filters.len() == 1 { filters.remove(0) } else { Filter::All(filters) })
    }

    fn one(&mut self) -> Result<Filter, Refusal> {
        if self.takes("not") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.takes("(") {
            let inner = self.any()?;
            return if self.takes(")") { Ok(inner) } else { Err(syntax("a bracket is not closed")) };
        }
        if self.takes("Microsoft.Dynamics.CRM.In") {
            return self.one_of();
        }
        let (column, operator, literal) = (self.next()?, self.next()?, self.next()?);
        if !["eq", "ne", "gt", "ge", "lt", "le"].contains(&operator.as_str()) {
            return Err(syntax(&operator));
        }
        let kind = self.schema.find(&column).map(|property| property.kind).ok_or_else(|| no_such_column(&column))?;
        let literal = if literal == "null" { None } else { Some(operand(&column, kind, &literal)?) };
        Ok(Filter::Compare { column, operator, literal })
    }

    /// `(PropertyName='column',PropertyValues=['one','two'])`: every value in quotes, whatever the column's type.
    fn one_of(&mut self) -> Result<Filter, Refusal> {
        self.signs(&["(", "PropertyName", "="])?;
        let column = unquoted(&self.next()?)?;
        let kind = self.schema.find(&column).map(|property| property.kind).ok_or_else(|| no_such_column(&column))?;
        self.signs(&[",", "PropertyValues", "=", "["])?;
        let mut any = Vec::new();
        while !self.takes("]") {
            if !any.is_empty() {
                self.signs(&[","])?;
            }
            let text = unquoted(&self.next()?)?;
            let literal = Some(scalar(kind, &text).ok_or_else(|| incompatible(&column))?);
            any.push(Filter::Compare { column: column.clone(), operator: "eq".to_owned(), literal });
        }
        self.signs(&[")"])?;
        Ok(Filter::Any(any))
    }

    fn signs(&mut self, signs: &[&str]) -> Result<(), Refusal> {
        match signs.iter().find(|sign| !self.takes(sign)) {
            Some(sign) => Err(syntax(&format!("{sign} is missing"))),
            None => Ok(()),
        }
    }

    fn next(&mut self) -> Result<String, Refusal> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token.ok_or_else(|| syntax("the filter ends too early"))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|token| token == word);
        self.at += usize::from(found);
        found
    }
}

/// Text stands in quotes, everything else does not.
fn operand(column: &str, kind: Kind, literal: &str) -> Result<Scalar, Refusal> {
    let is_id = column.ends_with("id") || column.ends_with("_value");
    let quoted = unquoted(literal).ok();
    let plain = match (kind, &quoted) {
        (Kind::Text | Kind::Phone | Kind::Email | Kind::Enumeration, Some(text)) if !is_id => text.as_str(),
        (Kind::Text, None) if is_id => literal,
        (Kind::Number | Kind::Boolean | Kind::Date | Kind::DateTime, None) => literal,
        _ => return Err(incompatible(column)),
    };
    scalar(kind, plain).ok_or_else(|| incompatible(column))
}

fn unquoted(token: &str) -> Result<String, Refusal> {
    let inner = token.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inner.map(|text| text.replace("''", "'")).ok_or_else(|| syntax(token))
}

pub(super) fn no_such_column(column: &str) -> Refusal {
    refuse::bad(&format!("Could not find a property named '{column}' on type 'Microsoft.Dynamics.CRM'."))
}

fn incompatible(column: &str) -> Refusal {
    refuse::bad(&format!("A binary operator with incompatible types was detected for '{column}'."))
}

fn syntax(text: &str) -> Refusal {
    refuse::bad(&format!("Syntax error in the filter: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ObjectType, dataverse::stock};

    fn parse(text: &str) -> Result<Filter, Refusal> {
        Filter::parse(text, &Schema::new(stock::properties(ObjectType::Contacts, 0)))
    }

    #[test]
    fn and_binds_before_or_and_brackets_before_both() {
        let filter = parse("lastname eq 'O''Brien' or firstname eq null and statecode eq 0").unwrap();
        assert!(matches!(&filter, Filter::Any(any) if matches!(&any[1], Filter::All(all) if all.len() == 2)), "{filter:?}");
        let filter = parse("(lastname eq 'a' or lastname eq 'b') and not (merged eq true)").unwrap();
        assert!(matches!(&filter, Filter::All(all) if matches!(&all[1], Filter::Not(_))), "{filter:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        for text in [
            "modifiedon ge '2026-03-01T12:00:00Z'",
            "lastname eq Ruiz",
            "shoe eq 1",
            "lastname is 'a'",
            "lastname eq 'a",
            "(merged eq true",
        ] {
            assert_eq!(parse(text).unwrap_err().status(), 400, "{text}");
        }
    }
}
