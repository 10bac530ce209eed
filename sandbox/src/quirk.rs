//! The quirks of a vendor that can be switched: their names, their normal state, and how they stand now.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Refusal, vendor::Vendor};

/// One switchable quirk. Its normal state is the vendor's own behaviour.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    pub(crate) name: &'static str,
    pub(crate) normal: Setting,
    pub(crate) about: &'static str,
}

/// How a quirk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Setting {
    Flag(bool),
    Number(u64),
}

impl From<bool> for Setting {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Setting {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Switch {
    pub(crate) const fn flag(name: &'static str, normal: bool, about: &'static str) -> Self {
        Self { name, normal: Setting::Flag(normal), about }
    }

    pub(crate) const fn number(name: &'static str, normal: u64, about: &'static str) -> Self {
        Self { name, normal: Setting::Number(normal), about }
    }
}

/// A quirk as outsiders see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuirkView {
    pub name: &'static str,
    pub value: Setting,
    pub normal: Setting,
    pub about: &'static str,
}

/// The quirks of one practice CRM, each in its normal state until it is switched.
#[derive(Debug)]
pub(crate) struct Quirks {
    switches: Vec<&'static Switch>,
    switched: BTreeMap<&'static str, Setting>,
}

impl Quirks {
    pub(crate) fn normal(vendor: &dyn Vendor) -> Self {
        Self { switches: vendor.switches(), switched: BTreeMap::new() }
    }

    /// A switch of the wrong kind is off.
    pub(crate) fn is_on(&self, switch: &Switch) -> bool {
        self.now(switch) == Setting::Flag(true)
    }

    /// A switch of the wrong kind is zero.
    pub(crate) fn number(&self, switch: &Switch) -> u64 {
        match self.now(switch) {
            Setting::Number(number) => number,
            Setting::Flag(_) => 0,
        }
    }

    pub(crate) fn set(&mut self, name: &str, setting: Setting) -> Result<(), Refusal> {
        let Some(switch) = self.switches.iter().find(|switch| switch.name == name) else {
            let known: Vec<&str> = self.switches.iter().map(|switch| switch.name).collect();
            return Err(Refusal::invalid(format!("There is no quirk {name} here. There are: {}", known.join(", "))));
        };
        match (switch.normal, setting) {
            (Setting::Flag(_), Setting::Flag(_)) | (Setting::Number(_), Setting::Number(_)) => {
                self.switched.insert(switch.name, setting);
                Ok(())
            }
            (Setting::Flag(_), Setting::Number(_)) => Err(Refusal::invalid(format!("The quirk {name} is true or false"))),
            (Setting::Number(_), Setting::Flag(_)) => Err(Refusal::invalid(format!("The quirk {name} is a whole number"))),
        }
    }

    /// Switches several by name, all of them or none. `null` brings a quirk back to normal.
    pub(crate) fn alter(&mut self, changes: &Map<String, Value>) -> Result<(), Refusal> {
        let before = self.switched.clone();
        for (name, value) in changes {
            let outcome = match value {
                Value::Bool(flag) => self.set(name, (*flag).into()),
                Value::Null => {
                    self.switched.remove(name.as_str());
                    Ok(())
                }
                other => match other.as_u64() {
                    Some(number) => self.set(name, number.into()),
                    None => Err(Refusal::invalid(format!("The quirk {name} is true, false or a whole number, not {other}"))),
                },
            };
            if outcome.is_err() {
                self.switched = before;
                return outcome;
            }
        }
        Ok(())
    }

    pub(crate) fn views(&self) -> Vec<QuirkView> {
        let view = |switch: &&'static Switch| QuirkView {
            name: switch.name,
            value: self.now(switch),
            normal: switch.normal,
            about: switch.about,
        };
        self.switches.iter().map(view).collect()
    }

    /// Name and value of each, as the control API takes them.
    pub(crate) fn values(&self) -> Value {
        self.switches.iter().map(|switch| (switch.name.to_owned(), json!(self.now(switch)))).collect::<Map<_, _>>().into()
    }

    fn now(&self, switch: &Switch) -> Setting {
        self.switched.get(switch.name).copied().unwrap_or(switch.normal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubspot::{Hubspot, SEARCH_QUOTA_HEADERS, SEARCH_RESULTS_MAX};

    #[test]
    fn a_quirk_is_normal_until_it_is_switched_and_again_after_null() {
        let mut quirks = Quirks::normal(&Hubspot);
        quirks.alter(&Map::from_iter([("search_results_max".to_owned(), json!(5))])).unwrap();
        assert_eq!(quirks.number(&SEARCH_RESULTS_MAX), 5);
        quirks.alter(&Map::from_iter([("search_results_max".to_owned(), Value::Null)])).unwrap();
        assert_eq!(quirks.number(&SEARCH_RESULTS_MAX), 10_000);
    }

    #[test]
    fn one_wrong_value_among_several_switches_nothing() {
        let mut quirks = Quirks::normal(&Hubspot);
        let changes = json!({ "search_quota_headers": true, "search_results_max": "many" });
        assert!(quirks.alter(changes.as_object().unwrap()).unwrap_err().message().contains("search_results_max"));
        assert!(quirks.set("search_results_max", true.into()).is_err());
        assert!(quirks.set("rain", 1.into()).unwrap_err().message().contains("search_quota_headers"));
        assert!(!quirks.is_on(&SEARCH_QUOTA_HEADERS));
    }
}
