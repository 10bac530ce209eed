//! The properties of one kind of object: what a value may be, and what the CRM makes of it before keeping it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{alterations::Alterations, quirk::Quirks, record::Changes, stamp};

/// What a property holds. Decides its checks, its alterations and how search compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Text,
    Email,
    Phone,
    Number,
    Boolean,
    /// A day without a time.
    Date,
    DateTime,
    Enumeration,
}

/// How a vendor checks and alters values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    /// E-mails must look like one.
    pub(crate) check_emails: bool,
    /// E-mails are kept in lower case.
    pub(crate) lower_emails: bool,
    /// Spaces, dashes, dots and brackets are dropped from phone numbers.
    pub(crate) bare_phones: bool,
    /// Text beyond this many characters is refused. `None`: any length is kept.
    pub(crate) text_chars_max: Option<usize>,
    pub(crate) alterations: Alterations,
}

impl Habits {
    /// Takes what it is sent, but for the alterations that are switched on.
    pub(crate) fn open(quirks: &Quirks) -> Self {
        let alterations = Alterations::switched(quirks);
        Self { check_emails: false, lower_emails: false, bare_phones: false, text_chars_max: None, alterations }
    }
}

/// A value that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) wrong: Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    Unknown,
    ReadOnly,
    /// A list or a map where one value belongs.
    Shape,
    Email,
    Number,
    Time,
    Flag,
    /// Not among these.
    Option(Vec<String>),
    /// Longer than this many characters.
    Long(usize),
}

/// One value a choice may have. A hidden one is not offered to people and taken all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) hidden: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) options: Vec<Choice>,
    /// Checkboxes: several options at once, with `;` between them.
    pub(crate) several: bool,
    pub(crate) unique: bool,
    pub(crate) read_only: bool,
    /// Came with the account: cannot be archived.
    pub(crate) stock: bool,
    pub(crate) archived: bool,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

impl Property {
    pub(crate) fn stock(name: &str, label: &str, kind: Kind, now_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            options: Vec::new(),
            several: false,
            unique: false,
            read_only: false,
            stock: true,
            archived: false,
            created_ms: now_ms,
            updated_ms: now_ms,
        }
    }

    pub(crate) fn with_options(mut self, options: &[(&str, &str)]) -> Self {
        let choice =
            |(value, label): &(&str, &str)| Choice { value: (*value).to_owned(), label: (*label).to_owned(), hidden: false };
        self.options = options.iter().map(choice).collect();
        self
    }

    /// A kept value as JSON in its own type.
    pub(crate) fn json(&self, kept: &str) -> Value {
        let typed = match self.kind {
            Kind::Number | Kind::Boolean => serde_json::from_str(kept).ok(),
            Kind::Text | Kind::Email | Kind::Phone | Kind::Date | Kind::DateTime | Kind::Enumeration => None,
        };
        typed.unwrap_or_else(|| Value::from(kept))
    }

    /// The value as it is kept, or what is wrong with it. Never called with an empty value.
    fn clean(&self, raw: &str, habits: Habits) -> Result<String, Wrong> {
        let text = raw.trim();
        if let Some(max) = habits.text_chars_max
            && matches!(self.kind, Kind::Text | Kind::Email | Kind::Phone)
            && text.chars().count() > max
        {
            return Err(Wrong::Long(max));
        }
        match self.kind {
            Kind::Phone if habits.bare_phones => {
                Ok(text.chars().filter(|c| !c.is_whitespace() && !"-.()/".contains(*c)).collect())
            }
            Kind::Email if habits.check_emails && !is_email(text) => Err(Wrong::Email),
            Kind::Email if habits.lower_emails => Ok(text.to_lowercase()),
            Kind::Text => Ok(habits.alterations.of(text)),
            Kind::Phone | Kind::Email => Ok(text.to_owned()),
            Kind::Number if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text.to_owned()),
            Kind::Number => Err(Wrong::Number),
            Kind::Boolean if self.allows(text) => Ok(text.to_owned()),
            Kind::Boolean if !self.options.is_empty() => Err(self.not_offered()),
            Kind::Boolean => match text {
                "true" | "1" => Ok("true".to_owned()),
                "false" | "0" => Ok("false".to_owned()),
                _ => Err(Wrong::Flag),
            },
            // A day as it is written, or the midnight of one.
            Kind::Date => match text.parse::<i64>() {
                Ok(ms) if ms.rem_euclid(DAY_MS) == 0 => Ok(stamp::date(ms)),
                Ok(_) => Err(Wrong::Time),
                Err(_) => stamp::day(text).ok_or(Wrong::Time),
            },
            Kind::DateTime => stamp::parse(text).map(stamp::iso).ok_or(Wrong::Time),
            Kind::Enumeration if self.allows(text) => Ok(text.to_owned()),
            Kind::Enumeration => Err(self.not_offered()),
        }
    }

    fn not_offered(&self) -> Wrong {
        Wrong::Option(self.options.iter().map(|choice| choice.value.clone()).collect())
    }

    /// By the value alone, in its own letters.
    fn allows(&self, text: &str) -> bool {
        let is_option = |one: &str| self.options.iter().any(|choice| choice.value == one);
        if self.several { text.split(';').filter(|one| !one.is_empty()).all(is_option) } else { is_option(text) }
    }
}

const DAY_MS: i64 = 86_400_000;

#[derive(Debug)]
pub(crate) struct Schema(BTreeMap<String, Property>);

impl Schema {
    pub(crate) fn new(properties: Vec<Property>) -> Self {
        Self(properties.into_iter().map(|property| (property.name.clone(), property)).collect())
    }

    /// A property in use. Archived ones are not found.
    pub(crate) fn find(&self, name: &str) -> Option<&Property> {
        self.0.get(name).filter(|property| !property.archived)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Property> {
        self.0.values()
    }

    /// Adds a property, or brings an archived one back in its new form. False when the name is in use.
    pub(crate) fn add(&mut self, property: Property) -> bool {
        let free = self.find(&property.name).is_none();
        if free {
            self.0.insert(property.name.clone(), property);
        }
        free
    }

    pub(crate) fn change(&mut self, name: &str) -> Option<&mut Property> {
        self.0.get_mut(name).filter(|property| !property.archived)
    }

    /// Checks the properties of one write and alters the values as the vendor does. All faults are told at once.
    pub(crate) fn clean(&self, sent: &Map<String, Value>, habits: Habits) -> Result<Changes, Vec<Fault>> {
        let mut changes = Changes::new();
        let mut faults = Vec::new();
        for (name, value) in sent {
            match self.clean_one(name, value, habits) {
                Ok(kept) => drop(changes.insert(name.clone(), kept)),
                Err(wrong) => faults.push(Fault { name: name.clone(), value: plain(value), wrong }),
            }
        }
        if faults.is_empty() { Ok(changes) } else { Err(faults) }
    }

    /// `None` clears the property.
    fn clean_one(&self, name: &str, value: &Value, habits: Habits) -> Result<Option<String>, Wrong> {
        let property = self.find(name).ok_or(Wrong::Unknown)?;
        if property.read_only {
            return Err(Wrong::ReadOnly);
        }
        if matches!(value, Value::Array(_) | Value::Object(_)) {
            return Err(Wrong::Shape);
        }
        let text = plain(value);
        if text.trim().is_empty() {
            return Ok(None);
        }
        property.clean(&text, habits).map(Some)
    }
}

/// A value as text; nothing for `null`.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let has_dot = domain.split('.').filter(|label| !label.is_empty()).count() >= 2;
    let tidy = !domain.starts_with('.') && !domain.ends_with('.') && !domain.contains("..");
    let plain = !text.contains(|c: char| c.is_whitespace() || c == ',') && !domain.contains('@');
    !local.is_empty() && has_dot && tidy && plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STRICT: Habits = Habits {
        check_emails: true,
        lower_emails: true,
        bare_phones: true,
        text_chars_max: Some(20),
        alterations: Alterations::NONE,
    };
    const LAX: Habits = Habits {
        check_emails: false,
        lower_emails: false,
        bare_phones: false,
        text_chars_max: None,
        alterations: Alterations::NONE,
    };

    fn schema() -> Schema {
        let of = |name: &str, kind| Property::stock(name, name, kind, 0);
        Schema::new(vec![
            of("email", Kind::Email),
            of("phone", Kind::Phone),
            of("city", Kind::Text),
            of("amount", Kind::Number),
            of("open", Kind::Boolean),
            of("day", Kind::Date),
            of("closes", Kind::DateTime),
            of("stage", Kind::Enumeration).with_options(&[("won", "Won")]),
            Property { read_only: true, ..of("made", Kind::DateTime) },
        ])
    }

    fn clean(name: &str, value: Value, habits: Habits) -> Result<Option<String>, Wrong> {
        let sent = Map::from_iter([(name.to_owned(), value)]);
        let outcome = schema().clean(&sent, habits);
        outcome.map(|mut changes| changes.remove(name).unwrap()).map_err(|mut faults| faults.remove(0).wrong)
    }

    #[test]
    fn a_value_is_kept_as_the_habits_say() {
        let check = |name: &str, value: &str, habits, expect: Option<&str>| {
            assert_eq!(clean(name, json!(value), habits).unwrap().as_deref(), expect, "{name} = {value:?}");
        };
        check("email", " Ana@Acme.TEST ", STRICT, Some("ana@acme.test"));
        check("email", "Ana at Acme", LAX, Some("Ana at Acme"));
        check("phone", "+49 (30) 12-34", STRICT, Some("+49301234"));
        check("phone", "+49 (30) 12-34", LAX, Some("+49 (30) 12-34"));
        check("city", "  Köln ", STRICT, Some("Köln"));
        check("city", "", STRICT, None);
        check("amount", "12.50", STRICT, Some("12.50"));
        check("open", "1", STRICT, Some("true"));
        check("day", "2026-03-01T23:00:00-05:00", STRICT, Some("2026-03-01"));
        check("closes", "2026-03-01", STRICT, Some("2026-03-01T00:00:00.000Z"));
    }

    #[test]
    fn what_is_wrong_with_a_value_is_told() {
        let check = |name: &str, value: Value, expect: Wrong| assert_eq!(clean(name, value, STRICT), Err(expect));
        check("email", json!("ana at acme"), Wrong::Email);
        check("email", json!("ana@acme"), Wrong::Email);
        check("shoe_size", json!("42"), Wrong::Unknown);
        check("made", json!("2026-03-01"), Wrong::ReadOnly);
        check("city", json!(["Köln"]), Wrong::Shape);
        check("city", json!("Llanfairpwllgwyngyllgogerych"), Wrong::Long(20));
        check("amount", json!("12,50"), Wrong::Number);
        check("open", json!("yes"), Wrong::Flag);
        check("day", json!("1.3.2026"), Wrong::Time);
        check("closes", json!("soon"), Wrong::Time);
        check("stage", json!("lost"), Wrong::Option(vec!["won".to_owned()]));
    }

    #[test]
    fn checkboxes_take_several_options_and_a_day_has_no_time() {
        let choices = Property { several: true, ..Property::stock("likes", "Likes", Kind::Enumeration, 0) };
        let choices = choices.with_options(&[("tea", "Tea"), ("milk", "Milk")]);
        assert_eq!(choices.clean("tea;milk", STRICT).as_deref(), Ok("tea;milk"));
        assert!(choices.clean("tea;beer", STRICT).is_err());
        assert!(choices.clean("Tea", STRICT).is_err(), "what people read is no value");
        let born = Property::stock("born", "Born", Kind::Date, 0);
        assert_eq!(born.clean("2026-03-01", STRICT).as_deref(), Ok("2026-03-01"));
        assert_eq!(born.clean("1772323200000", STRICT).as_deref(), Ok("2026-03-01"));
        assert_eq!((born.clean("1772366400123", STRICT), born.clean("soon", STRICT)), (Err(Wrong::Time), Err(Wrong::Time)));
        let vip = Property::stock("vip", "VIP", Kind::Boolean, 0).with_options(&[("true", "Yes"), ("false", "No")]);
        assert_eq!(vip.clean("perhaps", STRICT), Err(Wrong::Option(vec!["true".to_owned(), "false".to_owned()])));
    }
}
