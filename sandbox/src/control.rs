//! The control API under `/sandbox`, without a token: what humans, administrators and the weather do, and the truth for checkers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Crm, ForcedAnswer, ObjectType, Refusal, Weather,
    call::{Answer, Call},
    page,
    record::Author,
    schema::{Choice, Kind, Property},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HumanEdit {
    /// Absent: a new record.
    id: Option<String>,
    properties: Map<String, Value>,
    /// A calculated change, which moves no stamp.
    #[serde(default)]
    silent: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    object: String,
    winner: String,
    loser: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    from: End,
    to: End,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    object: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProperty {
    name: String,
    kind: Kind,
    #[serde(default)]
    unique: bool,
    /// Of an enumeration.
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    /// `null` accepts no token at all.
    token: Option<String>,
}

/// Answers one control call. A form is answered with a redirect to the page it came from.
pub(crate) fn answer(crm: &Crm, call: &Call, form: bool) -> Answer {
    let outcome = if form { submitted(crm, call) } else { routed(crm, call) };
    outcome.unwrap_or_else(|refusal| refusal.plain())
}

fn routed(crm: &Crm, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", []) => Ok(Answer::html(200, page::render(crm, shown(crm, call.parameter("object"))?))),
        ("GET", ["about"]) => Ok(plain(&crm.about())),
        ("GET", ["counters"]) => Ok(plain(&crm.counters())),
        ("GET", ["calls"]) => Ok(plain(&crm.calls())),
        ("GET", ["weather"]) => Ok(plain(&crm.weather())),
        ("PUT", ["weather"]) => {
            let weather = altered(&crm.weather(), call.read()?)?;
            crm.set_weather(weather.clone());
            Ok(plain(&weather))
        }
        ("GET", ["quirks"]) => Ok(plain(&crm.quirks())),
        ("PUT", ["quirks"]) => Ok(plain(&crm.alter_quirks(&call.read()?)?)),
        ("GET", ["shapes"]) => Ok(plain(&crm.shapes())),
        ("POST", ["properties", object]) => {
            let name = crm.add_made_property(known(crm, object)?, property(call.read()?))?;
            Ok(Answer::json(201, &json!({ "name": name })))
        }
        ("DELETE", ["properties", object, name]) => {
            crm.remove_property(known(crm, object)?, name)?;
            Ok(Answer::empty(204))
        }
        ("GET", ["records", object]) => Ok(plain(&crm.list(known(crm, object)?))),
        ("POST", ["records", object]) => edit(crm, known(crm, object)?, &call.read()?),
        ("DELETE", ["records", object, id]) => {
            crm.delete(known(crm, object)?, id)?;
            Ok(Answer::empty(204))
        }
        ("POST", ["records", object, id, "restore"]) => {
            crm.restore(known(crm, object)?, id)?;
            Ok(Answer::empty(204))
        }
        ("GET", ["versions", object, id]) => Ok(plain(&crm.versions(known(crm, object)?, id)?)),
        ("POST", ["merge"]) => {
            let merge: Merge = call.read()?;
            crm.merge(known(crm, &merge.object)?, &merge.winner, &merge.loser)?;
            Ok(Answer::empty(204))
        }
        ("POST", ["associations"]) => {
            let Link { from, to } = call.read()?;
            crm.associate((known(crm, &from.object)?, &from.id), (known(crm, &to.object)?, &to.id))?;
            Ok(Answer::empty(204))
        }
        ("POST", ["token"]) => {
            let before = crm.set_token(call.read::<Token>()?.token);
            Ok(Answer::json(200, &json!({ "before": before })))
        }
        ("POST", ["token", "expire"]) => {
            crm.expire_access_tokens();
            Ok(Answer::empty(204))
        }
        ("POST", ["next"]) => {
            let forced: ForcedAnswer = call.read()?;
            check_shape(crm, forced.shape.as_deref())?;
            crm.force_next(forced);
            Ok(Answer::empty(204))
        }
        _ => Err(Refusal::no_such_path()),
    }
}

/// A form of the page. Properties come as `p.name`.
fn submitted(crm: &Crm, call: &Call) -> Result<Answer, Refusal> {
    let fields: BTreeMap<String, String> = call.form()?.into_iter().collect();
    let field = |name: &str| fields.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let segments = call.segments();
    match segments.iter().skip(1).map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["weather"] => {
            let named = fields.iter().filter(|(_, value)| !value.is_empty());
            let change = named.map(|(name, value)| (name.clone(), typed(value))).collect();
            crm.set_weather(altered(&crm.weather(), change)?);
        }
        ["quirks"] => {
            let named = fields.iter().map(|(name, value)| (name.clone(), typed(value)));
            crm.alter_quirks(&named.collect())?;
        }
        ["next"] => {
            check_shape(crm, field("shape"))?;
            let times = field("times").and_then(|times| times.parse().ok()).unwrap_or(1);
            crm.force_next(ForcedAnswer { shape: field("shape").map(str::to_owned), times, ..ForcedAnswer::default() });
        }
        ["token", "expire"] => crm.expire_access_tokens(),
        ["token"] => drop(crm.set_token(field("token").map(str::to_owned))),
        ["records", object] => {
            let object = known(crm, object)?;
            let named = fields.iter().filter_map(|(name, value)| Some((name.strip_prefix("p.")?, value)));
            let properties = named.map(|(name, value)| (name.to_owned(), json!(value))).collect();
            match (field("id"), field("archive")) {
                (Some(id), Some(_)) => crm.delete(object, id)?,
                (id, _) => drop(edit(crm, object, &HumanEdit { id: id.map(str::to_owned), properties, silent: false })?),
            }
            return Ok(
                Answer::empty(303).with_header("Location", format!("/sandbox/?object={}", crm.vendor().object_name(object)))
            );
        }
        _ => return Err(Refusal::no_such_path()),
    }
    Ok(Answer::empty(303).with_header("Location", "/sandbox/"))
}

fn edit(crm: &Crm, object: ObjectType, edit: &HumanEdit) -> Result<Answer, Refusal> {
    let author = if edit.silent { Author::Calculation } else { Author::Human };
    match &edit.id {
        Some(id) => {
            crm.edit_from(object, id, &edit.properties, author)?;
            Ok(Answer::json(200, &json!({ "id": id })))
        }
        None => Ok(Answer::json(201, &json!({ "id": crm.create_from(object, &edit.properties)? }))),
    }
}

/// The weather with some of it changed. `preset` (`calm` or `rough`) replaces all of it first.
fn altered(weather: &Weather, mut change: Map<String, Value>) -> Result<Weather, Refusal> {
    let base = match change.remove("preset").as_ref().map(Value::as_str) {
        None => weather.clone(),
        Some(Some("calm")) => Weather::calm(),
        Some(Some("rough")) => Weather::rough(),
        Some(_) => return Err(Refusal::invalid("preset is either calm or rough")),
    };
    let mut whole = json!(base);
    for (name, value) in change {
        whole[name] = value;
    }
    serde_json::from_value(whole).map_err(|error| Refusal::invalid(error.to_string()))
}

/// What a form's field means: JSON where it is JSON, text otherwise.
fn typed(field: &str) -> Value {
    serde_json::from_str(field).unwrap_or_else(|_| json!(field))
}

fn check_shape(crm: &Crm, shape: Option<&str>) -> Result<(), Refusal> {
    match shape.filter(|shape| !crm.shapes().contains(shape)) {
        Some(shape) => Err(Refusal::invalid(format!("There is no shape {shape} here. There are: {}", crm.shapes().join(", ")))),
        None => Ok(()),
    }
}

fn property(new: NewProperty) -> Property {
    let choice = |value: String| Choice { label: value.clone(), value, hidden: false };
    let options = new.options.into_iter().map(choice).collect();
    Property { options, unique: new.unique, stock: false, ..Property::stock(&new.name, &new.name, new.kind, 0) }
}

fn shown(crm: &Crm, object: Option<&str>) -> Result<ObjectType, Refusal> {
    let first = crm.vendor().objects().first().map_or(ObjectType::Contacts, |(object, _)| *object);
    object.map_or(Ok(first), |object| known(crm, object))
}

fn known(crm: &Crm, object: &str) -> Result<ObjectType, Refusal> {
    let found = crm.vendor().object(object);
    found.ok_or_else(|| Refusal::new(404, "OBJECT_NOT_FOUND", format!("There are no {object} here")))
}

fn plain(value: &impl Serialize) -> Answer {
    Answer::json(200, &json!(value))
}
