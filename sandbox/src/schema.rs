//! The properties of one kind of object: what a value may be, and what the CRM makes of it before keeping it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{ObjectType, Refusal, preload, record::Changes, stamp, weather::Weather};

/// What a property holds. Decides its checks, its alterations and how search compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Email,
    Phone,
    Number,
    DateTime,
    /// A day, kept without a time.
    Date,
    Bool,
    Enumeration,
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

    /// The value as it is kept, or why it is refused. Never called with an empty value.
    fn clean(&self, raw: &str, weather: &Weather) -> Result<String, Value> {
        let text = raw.trim();
        let wrong = |error: &str, message: String| Err(invalid(&self.name, error, &message));
        match self.kind {
            Kind::Text => Ok(text.to_owned()),
            Kind::Phone if weather.normalise_phones => {
                Ok(text.chars().filter(|c| !c.is_whitespace() && !"-.()/".contains(*c)).collect())
            }
            Kind::Phone => Ok(text.to_owned()),
            Kind::Email if is_email(text) => Ok(text.to_lowercase()),
            Kind::Email => wrong("INVALID_EMAIL", format!("Email address {text} is invalid")),
            Kind::Number if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text.to_owned()),
            Kind::Number => wrong("INVALID_DOUBLE", format!("{text} was not a valid number.")),
            Kind::DateTime => match stamp::parse(text) {
                Some(ms) => Ok(stamp::iso(ms)),
                None => wrong("INVALID_DATE", format!("{text} was not a valid date.")),
            },
            Kind::Date => match stamp::parse(text) {
                Some(ms) if ms.rem_euclid(DAY_MS) == 0 => Ok(stamp::day(ms)),
                Some(_) => wrong("INVALID_DATE", format!("{text} is not at midnight UTC.")),
                None => wrong("INVALID_DATE", format!("{text} was not a valid date.")),
            },
            Kind::Bool | Kind::Enumeration if self.allows(text) => Ok(text.to_owned()),
            Kind::Bool | Kind::Enumeration => {
                let allowed: Vec<&str> = self.options.iter().map(|choice| choice.value.as_str()).collect();
                wrong("INVALID_OPTION", format!("{text} was not one of the allowed options: [{}]", allowed.join(", ")))
            }
        }
    }

    /// By the value alone, in its own letters.
    fn allows(&self, text: &str) -> bool {
        let is_option = |one: &str| self.options.iter().any(|choice| choice.value == one);
        if self.several { text.split(';').filter(|one| !one.is_empty()).all(is_option) } else { is_option(text) }
    }
}

const DAY_MS: i64 = 86_400_000;

#[derive(Debug)]
pub(crate) struct Schema {
    object: ObjectType,
    properties: BTreeMap<String, Property>,
}

impl Schema {
    pub(crate) fn stock(object: ObjectType, now_ms: i64) -> Self {
        let properties =
            preload::properties(object, now_ms).into_iter().map(|property| (property.name.clone(), property)).collect();
        Self { object, properties }
    }

    /// A property in use. Archived ones are not found.
    pub(crate) fn find(&self, name: &str) -> Option<&Property> {
        self.properties.get(name).filter(|property| !property.archived)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Property> {
        self.properties.values()
    }

    /// Adds a property, or brings an archived one back in its new form. A name in use is refused.
    pub(crate) fn add(&mut self, property: Property) -> Result<(), Refusal> {
        if self.find(&property.name).is_some() {
            let text = format!("A property named '{}' already exists.", property.name);
            return Err(Refusal::new(409, "OBJECT_ALREADY_EXISTS", text));
        }
        self.properties.insert(property.name.clone(), property);
        Ok(())
    }

    pub(crate) fn change(&mut self, name: &str) -> Result<&mut Property, Refusal> {
        self.properties.get_mut(name).filter(|property| !property.archived).ok_or_else(|| no_such_property(self.object, name))
    }

    /// A property that identifies a record: the contacts' e-mail or one made with `hasUniqueValue`.
    pub(crate) fn unique(&self, name: &str) -> Result<&Property, Refusal> {
        self.find(name)
            .filter(|property| property.unique)
            .ok_or_else(|| Refusal::invalid(format!("The property '{name}' is not a unique identifier property")))
    }

    /// Checks the properties of one write and alters the values as the vendor does. All faults are told at once.
    pub(crate) fn clean(&self, sent: &Map<String, Value>, weather: &Weather) -> Result<Changes, Refusal> {
        let mut changes = Changes::new();
        let mut faults = Vec::new();
        for (name, value) in sent {
            match self.clean_one(name, value, weather) {
                Ok(kept) => drop(changes.insert(name.clone(), kept)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(changes) } else { Err(not_valid(&faults)) }
    }

    /// `None` clears the property.
    fn clean_one(&self, name: &str, value: &Value, weather: &Weather) -> Result<Option<String>, Value> {
        let Some(property) = self.find(name) else {
            let text = format!("Property \"{name}\" does not exist");
            return Err(invalid(name, "PROPERTY_DOESNT_EXIST", &text));
        };
        if property.read_only {
            let text = format!("\"{name}\" is a read only property; its value cannot be set.");
            return Err(invalid(name, "READ_ONLY_VALUE", &text));
        }
        let text = match value {
            Value::Null => return Ok(None),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(invalid(name, "INVALID_FORMAT", "A property value must be text"));
            }
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        property.clean(&text, weather).map(Some)
    }
}

pub(crate) fn no_such_property(object: ObjectType, name: &str) -> Refusal {
    let text = format!("Property \"{name}\" does not exist for {}", object.plural());
    Refusal::new(404, "OBJECT_NOT_FOUND", text)
}

/// One entry of the list inside a "Property values were not valid" message.
pub(crate) fn invalid(name: &str, error: &str, message: &str) -> Value {
    json!({ "isValid": false, "message": message, "error": error, "name": name })
}

/// The vendor puts the list of faults, as JSON, into the message text.
pub(crate) fn not_valid(faults: &[Value]) -> Refusal {
    Refusal::invalid(format!("Property values were not valid: {}", Value::from(faults)))
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
    use super::*;

    fn contacts() -> Schema {
        Schema::stock(ObjectType::Contacts, 0)
    }

    fn sent(name: &str, value: &str) -> Map<String, Value> {
        Map::from_iter([(name.to_owned(), json!(value))])
    }

    #[test]
    fn values_are_kept_as_the_vendor_keeps_them() {
        let check = |name: &str, value: &str, expect: Option<&str>| {
            let changes = contacts().clean(&sent(name, value), &Weather::calm()).unwrap();
            assert_eq!(changes[name].as_deref(), expect, "{name} = {value:?}");
        };
        check("email", " Ana@Acme.TEST ", Some("ana@acme.test"));
        check("phone", "+49 (30) 12-34", Some("+49301234"));
        check("city", "  Köln ", Some("Köln"));
        check("city", "", None);
    }

    #[test]
    fn faults_are_told_in_the_message_as_json() {
        let check = |name: &str, value: &str, error: &str| {
            let refusal = contacts().clean(&sent(name, value), &Weather::calm()).unwrap_err();
            let list = refusal.message().strip_prefix("Property values were not valid: ").unwrap();
            let faults: Value = serde_json::from_str(list).unwrap();
            assert_eq!((&faults[0]["error"], &faults[0]["name"]), (&json!(error), &json!(name)));
            assert_eq!((refusal.status(), refusal.category()), (400, "VALIDATION_ERROR"));
        };
        check("email", "ana at acme", "INVALID_EMAIL");
        check("email", "ana@acme", "INVALID_EMAIL");
        check("shoe_size", "42", "PROPERTY_DOESNT_EXIST");
        check("lifecyclestage", "friend", "INVALID_OPTION");
        check("createdate", "1", "READ_ONLY_VALUE");
    }

    #[test]
    fn checkboxes_take_several_options_and_a_day_has_no_time() {
        let mut contacts = contacts();
        let choices = Property { several: true, ..Property::stock("likes", "Likes", Kind::Enumeration, 0) };
        contacts.add(choices.with_options(&[("tea", "Tea"), ("milk", "Milk")])).unwrap();
        contacts.add(Property::stock("born", "Born", Kind::Date, 0)).unwrap();
        let kept = |name: &str, value: &str| {
            let changes = contacts.clean(&sent(name, value), &Weather::calm()).ok()?;
            changes.get(name).cloned().flatten()
        };
        assert_eq!(kept("likes", "tea;milk").as_deref(), Some("tea;milk"));
        assert_eq!(kept("likes", "tea;beer"), None);
        assert_eq!(kept("likes", "Tea"), None, "what people read is no value");
        assert_eq!(kept("born", "2026-03-01").as_deref(), Some("2026-03-01"));
        assert_eq!(kept("born", "1772323200000").as_deref(), Some("2026-03-01"));
        assert_eq!((kept("born", "1772366400123"), kept("born", "soon")), (None, None));
    }

    #[test]
    fn a_number_must_be_numeric_and_a_stage_must_be_an_option() {
        let deals = Schema::stock(ObjectType::Deals, 0);
        assert!(deals.clean(&sent("amount", "12.50"), &Weather::calm()).is_ok());
        assert!(deals.clean(&sent("amount", "12,50"), &Weather::calm()).is_err());
        assert!(deals.clean(&sent("dealstage", "won"), &Weather::calm()).is_err());
    }
}
