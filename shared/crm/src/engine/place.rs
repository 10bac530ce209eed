//! Decides how a place in JSON is named and found: a JSON pointer whose parts may also choose an element of a list by one of its values.

use serde_json::Value;

/// `""` is the whole; `/emails/[primary=true]/value` is the value of the first element whose `primary` is true, and of the first of all where none is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A key of an object, or an index of a list.
    Key(String),
    Choice {
        key: String,
        value: String,
    },
}

impl Place {
    pub(super) const WHOLE: Self = Self(Vec::new());

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::WHOLE);
        }
        if text.contains(['{', '}']) {
            return Err(format!(
                "`{text}` has a hole, and a place is where something stands in an answer: nothing is filled in there."
            ));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a place in JSON."));
        };
        let part = |part: &str| match part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(choice) => {
                let (key, value) = choice.split_once('=').ok_or_else(|| format!("`[{choice}]` chooses by no value."))?;
                Ok(Part::Choice { key: key.to_owned(), value: value.to_owned() })
            }
            None if part.is_empty() => Err(format!("`{text}` has an empty part.")),
            None => Ok(Part::Key(part.replace("~1", "/").replace("~0", "~"))),
        };
        rest.split('/').map(part).collect::<Result<_, _>>().map(Self)
    }

    /// The place of a property by its name: `a.b` stands at `/a/b`.
    pub(super) fn of_property(name: &str) -> Self {
        Self(name.split('.').map(|key| Part::Key(key.to_owned())).collect())
    }

    pub(super) fn find<'j>(&self, json: &'j Value) -> Option<&'j Value> {
        self.0.iter().try_fold(json, |json, part| match (part, json) {
            (Part::Key(key), Value::Object(map)) => map.get(key),
            (Part::Key(key), Value::Array(list)) => list.get(key.parse::<usize>().ok()?),
            (Part::Choice { key, value }, Value::Array(list)) => {
                let chosen = |item: &&Value| scalar(&item[key.as_str()]).is_some_and(|text| text == *value);
                list.iter().find(chosen).or_else(|| list.first())
            }
            _ => None,
        })
    }

    /// The key that stands in the row itself.
    pub(super) fn first_key(&self) -> Option<&str> {
        match self.0.first()? {
            Part::Key(key) => Some(key),
            Part::Choice { .. } => None,
        }
    }

    /// True when something can be put there: keys only.
    pub(super) fn is_keys(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|part| matches!(part, Part::Key(_)))
    }

    /// Puts a value into an object, making the objects on the way.
    pub(super) fn put(&self, json: &mut Value, value: Value) {
        let mut here = json;
        for part in &self.0 {
            let Part::Key(key) = part else { return };
            if !here.is_object() {
                *here = Value::Object(serde_json::Map::new());
            }
            here = &mut here[key.as_str()];
        }
        *here = value;
    }
}

/// A plain value as text; `None` for null, the empty text, lists and objects.
pub(super) fn scalar(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_found_by_keys_indexes_and_choices() {
        let row = json!({ "a": { "b/c": 1 }, "mails": [{ "v": "x" }, { "v": "y", "primary": true }], "none": [] });
        let find = |text: &str| Place::parse(text).unwrap().find(&row).cloned();
        assert_eq!(find("/a/b~1c"), Some(json!(1)));
        assert_eq!(find("/mails/1/v"), Some(json!("y")));
        assert_eq!(find("/mails/[primary=true]/v"), Some(json!("y")));
        assert_eq!(find("/mails/[primary=maybe]/v"), Some(json!("x")));
        assert_eq!(find("/none/[primary=true]/v"), None);
        assert_eq!(find("/a/x"), None);
        assert_eq!(find(""), Some(row.clone()));
        assert_eq!(Place::of_property("a.b/c").find(&row), Some(&json!(1)));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["a", "/", "/a//b", "/[x]", "/a/{rows_max}", "{token}"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_is_put_where_its_property_stands() {
        let mut row = json!({ "name": "x" });
        Place::of_property("custom_fields.k").put(&mut row, json!(3));
        Place::of_property("custom_fields.l").put(&mut row, json!(null));
        assert_eq!(row, json!({ "name": "x", "custom_fields": { "k": 3, "l": null } }));
        assert!(!Place::parse("/a/[b=c]").unwrap().is_keys() && Place::parse("/a/b").unwrap().is_keys());
    }
}
