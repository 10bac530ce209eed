//! The control API under `/sandbox`, without a token: what humans and the weather do, and the truth for checkers.

use std::collections::BTreeMap;

use axum::{extract::Query, http::Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Crm, ForcedAnswer, ObjectType, Refusal, Weather,
    call::{Answer, Call},
    page,
    record::Author,
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
struct Token {
    /// `null` accepts no token at all.
    token: Option<String>,
}

/// Answers one control call. A form is answered with a redirect to the page it came from.
pub(crate) fn answer(crm: &Crm, call: &Call, form: bool) -> Answer {
    let outcome = if form { submitted(crm, call) } else { routed(crm, call) };
    outcome.unwrap_or_else(|refusal| refusal.answer("sandbox"))
}

fn routed(crm: &Crm, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", []) => Ok(Answer::html(200, page::render(crm, shown(call.parameter("object"))?))),
        ("GET", ["counters"]) => Ok(plain(&crm.counters())),
        ("GET", ["calls"]) => Ok(plain(&crm.calls())),
        ("GET", ["weather"]) => Ok(plain(&crm.weather())),
        ("PUT", ["weather"]) => {
            let weather = altered(&crm.weather(), call.read()?)?;
            crm.set_weather(weather.clone());
            Ok(plain(&weather))
        }
        ("GET", ["records", object]) => Ok(plain(&crm.list(known(object)?))),
        ("POST", ["records", object]) => edit(crm, known(object)?, &call.read()?),
        ("DELETE", ["records", object, id]) => {
            crm.delete(known(object)?, id)?;
            Ok(Answer::empty(204))
        }
        ("POST", ["records", object, id, "restore"]) => {
            crm.restore(known(object)?, id)?;
            Ok(Answer::empty(204))
        }
        ("GET", ["versions", object, id]) => Ok(plain(&crm.versions(known(object)?, id)?)),
        ("POST", ["merge"]) => {
            let merge: Merge = call.read()?;
            crm.merge(known(&merge.object)?, &merge.winner, &merge.loser)?;
            Ok(Answer::empty(204))
        }
        ("POST", ["associations"]) => {
            let Link { from, to } = call.read()?;
            crm.associate((known(&from.object)?, &from.id), (known(&to.object)?, &to.id))?;
            Ok(Answer::empty(204))
        }
        ("POST", ["token"]) => {
            crm.set_token(call.read::<Token>()?.token);
            Ok(Answer::empty(204))
        }
        ("POST", ["next"]) => {
            crm.force_next(call.read::<ForcedAnswer>()?);
            Ok(Answer::empty(204))
        }
        _ => Err(Refusal::no_such_path()),
    }
}

/// A form of the page. Properties come as `p.name`.
fn submitted(crm: &Crm, call: &Call) -> Result<Answer, Refusal> {
    let fields = form_fields(&call.body)?;
    let field = |name: &str| fields.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let segments = call.segments();
    match segments.iter().skip(1).map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["weather"] => {
            let preset = field("preset").unwrap_or("calm");
            crm.set_weather(altered(&crm.weather(), Map::from_iter([("preset".to_owned(), json!(preset))]))?);
        }
        ["records", object] => {
            let object = known(object)?;
            let named = fields.iter().filter_map(|(name, value)| Some((name.strip_prefix("p.")?, value)));
            let properties = named.map(|(name, value)| (name.to_owned(), json!(value))).collect();
            match (field("id"), field("archive")) {
                (Some(id), Some(_)) => crm.delete(object, id)?,
                (id, _) => drop(edit(crm, object, &HumanEdit { id: id.map(str::to_owned), properties, silent: false })?),
            }
            return Ok(Answer::empty(303).with_header("Location", format!("/sandbox/?object={}", object.plural())));
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

fn form_fields(body: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let unreadable = || Refusal::invalid("The form could not be read");
    let uri: Uri = format!("/?{}", body.trim()).parse().map_err(|_| unreadable())?;
    Query::try_from_uri(&uri).map(|Query(fields)| fields).map_err(|_| unreadable())
}

fn shown(object: Option<&str>) -> Result<ObjectType, Refusal> {
    object.map_or(Ok(ObjectType::Deals), known)
}

fn known(object: &str) -> Result<ObjectType, Refusal> {
    ObjectType::parse(object).ok_or_else(|| Refusal::new(404, "OBJECT_NOT_FOUND", format!("There are no {object} here")))
}

fn plain(value: &impl Serialize) -> Answer {
    Answer::json(200, &json!(value))
}
