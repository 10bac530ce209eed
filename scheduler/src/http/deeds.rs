//! What people may do: pause and resume streams and connections, record calls, say go, answer brakes, retry and park debts, decide conflicts. Each act is recorded with who did it.
//!
//! The dashboard's forms and the API share one list of acts; they differ in how they answer.

use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, body::Bytes};
use serde::Deserialize;
use serde_json::json;
use tidemark_core::brake::{Act, Direction};
use tidemark_core::conflict::Side;
use tidemark_core::recording;
use tidemark_store::acts::By;
use tidemark_store::conflicts::Which;
use tidemark_store::{StoreError, acts, brakes, conflicts, connections, debts, overview, recordings, streams, sweeps};
use tracing::info;

use super::login::local;
use super::verdict::BY_PERSON;
use super::{App, Shared, trouble};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    back: String,
    reason: Option<String>,
    /// How long a recording lasts; a quarter of an hour when it is not said.
    minutes: Option<u32>,
}

const MINUTES: u32 = 15;

/// What came of an act.
enum Deed {
    Done,
    Missing,
    /// It makes no sense now; why.
    Refused(String),
}

pub(crate) async fn by_form(State(shared): App, Path(place): Path<(String, String, String)>, Form(wish): Form<Wish>) -> Response {
    match perform(&shared, "dashboard", &place, &wish).await {
        Ok(Deed::Done) => Redirect::to(local(&wish.back)).into_response(),
        Ok(Deed::Missing) => trouble::missing(&format!("{} {} to {}", place.0.trim_end_matches('s'), place.1, place.2)),
        Ok(Deed::Refused(why)) => trouble::senseless(&why),
        Err(error) => trouble::Trouble::from(error).into_response(),
    }
}

/// The body may be empty or hold `{"reason": "…"}`.
pub(crate) async fn by_api(State(shared): App, Path(place): Path<(String, String, String)>, body: Bytes) -> Response {
    let wish: Wish = match body.is_empty() {
        true => Wish::default(),
        false => match serde_json::from_slice(&body) {
            Ok(wish) => wish,
            Err(error) => {
                return (
                    StatusCode::BAD_REQUEST,
                    Json(json!({ "error": format!("the body is not the JSON we expect: {error}") })),
                )
                    .into_response();
            }
        },
    };
    match perform(&shared, "api", &place, &wish).await {
        Ok(Deed::Done) => Json(json!({ "done": true })).into_response(),
        Ok(Deed::Missing) => {
            let words = format!("there is no {} {} to {}", place.0.trim_end_matches('s'), place.1, place.2);
            (StatusCode::NOT_FOUND, Json(json!({ "error": words }))).into_response()
        }
        Ok(Deed::Refused(why)) => (StatusCode::CONFLICT, Json(json!({ "error": why }))).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error.words() }))).into_response(),
    }
}

async fn perform(shared: &Shared, who: &str, place: &(String, String, String), wish: &Wish) -> Result<Deed, StoreError> {
    let (what, name, verb) = (place.0.as_str(), place.1.as_str(), place.2.as_str());
    let reason: Option<String> =
        wish.reason.as_ref().map(|reason| reason.trim().chars().take(200).collect()).filter(|reason: &String| !reason.is_empty());
    let paused = match &reason {
        Some(reason) => format!("{BY_PERSON}{who}: {reason}"),
        None => format!("{BY_PERSON}{who}"),
    };
    let store = &shared.app.store;
    let mut verb = verb;
    let done = match (what, verb) {
        ("streams", "pause" | "resume" | "go") => {
            let Some(stream) = streams::find(store, name).await? else { return Ok(Deed::Missing) };
            match (verb, stream.state.as_str()) {
                ("pause", "plan_ready") => {
                    return Ok(Deed::Refused("There is nothing to pause: the stream waits for somebody to say go.".into()));
                }
                ("pause", _) => streams::set_state(store, name, "paused", Some(&paused)).await?,
                (_, "running") => return Ok(Deed::Refused("The stream runs already.".into())),
                (_, state) => {
                    verb = if state == "plan_ready" { "go" } else { "resume" };
                    streams::set_state(store, name, "running", None).await?
                }
            }
        }
        ("streams", "sweep") => {
            let Some(stream) = streams::find(store, name).await? else { return Ok(Deed::Missing) };
            if stream.loaded_at.is_none() {
                return Ok(Deed::Refused("The stream was not loaded once: its first load reads everything.".into()));
            }
            if !sweeps::owe(store, stream.id).await? {
                return Ok(Deed::Refused("A sweep of the stream is owed or under way already.".into()));
            }
            true
        }
        ("brakes", brake) => {
            let Some(stream) = streams::find(store, name).await? else { return Ok(Deed::Missing) };
            let parts =
                brake.split_once('-').and_then(|(direction, act)| Some((Direction::from_word(direction)?, Act::from_word(act)?)));
            let Some((direction, act)) = parts else { return Ok(Deed::Missing) };
            let Some(held) = brakes::release(store, stream.id, direction, act).await? else {
                return Ok(Deed::Refused("Nothing waits behind that brake, and it is not on.".into()));
            };
            let subject = format!("stream {name}: {} to be {}", direction.count(held), act.done());
            return settle(shared, who, "let through", &subject, reason.as_deref(), true).await;
        }
        ("connections", "pause") => connections::set_state(store, name, "paused", Some(&paused)).await?,
        ("connections", "resume") => connections::set_state(store, name, "running", None).await?,
        ("connections", "record" | "stop-recording") => {
            return record(shared, By { who, reason: reason.as_deref() }, name, verb, wish.minutes).await;
        }
        ("debts", "retry" | "park") => {
            let Ok(id) = name.parse() else { return Ok(Deed::Missing) };
            let Some(debt) = overview::find_debt(store, id).await? else { return Ok(Deed::Missing) };
            let done = if verb == "retry" { debts::retry(store, id).await? } else { debts::park(store, id, who).await? };
            let subject = format!("{} debt of {} {}", debt.kind, debt.stream, debt.subject);
            return settle(shared, who, verb, &subject, reason.as_deref(), done).await;
        }
        ("conflicts", "take-orders") => return decide(shared, who, name, Side::Orders, reason.as_deref()).await,
        ("conflicts", "take-crm") => return decide(shared, who, name, Side::Crm, reason.as_deref()).await,
        _ => return Ok(Deed::Missing),
    };
    let subject = format!("{} {name}", what.trim_end_matches('s'));
    settle(shared, who, verb, &subject, reason.as_deref(), done).await
}

/// The act is recorded with the recording itself.
async fn record(shared: &Shared, by: By<'_>, name: &str, verb: &str, minutes: Option<u32>) -> Result<Deed, StoreError> {
    let store = &shared.app.store;
    if verb == "record" {
        let asked = Duration::from_secs(u64::from(minutes.unwrap_or(MINUTES)) * 60);
        let length = match recording::length(asked) {
            Ok(length) => length,
            Err(why) => return Ok(Deed::Refused(format!("{why}."))),
        };
        if !recordings::start(store, name, length, by).await? {
            return Ok(Deed::Missing);
        }
    } else if !recordings::stop(store, name, by).await? {
        return Ok(Deed::Refused(format!("No recording of {name} runs.")));
    }
    shared.snapshots.forget().await;
    info!(act.who = by.who, act.verb = verb, "{}: {verb} connection {name}", by.who);
    Ok(Deed::Done)
}

/// `name` is the link and the property, `17:phone`. The act is recorded with the decision itself.
async fn decide(shared: &Shared, who: &str, name: &str, take: Side, reason: Option<&str>) -> Result<Deed, StoreError> {
    let store = &shared.app.store;
    let Some((link, property)) = name.split_once(':') else { return Ok(Deed::Missing) };
    let Ok(link) = link.parse() else { return Ok(Deed::Missing) };
    let Some(id) = conflicts::stream_of(store, link).await? else { return Ok(Deed::Missing) };
    let stream = streams::list(store).await?.into_iter().find(|stream| stream.id == id);
    let Some(spec) = stream.and_then(|stream| shared.spec(&stream.name)) else { return Ok(Deed::Missing) };
    let Some((field, _)) = spec.field(property) else { return Ok(Deed::Missing) };
    let by = By { who, reason };
    match conflicts::resolve(store, id, spec, &Which::Link(link), field, take, by).await? {
        Ok(()) => {
            shared.snapshots.forget().await;
            info!(act.who = who, "{who}: {} stands in {property} of a row of {}", take.word(), spec.name);
            Ok(Deed::Done)
        }
        Err(why) => Ok(Deed::Refused(format!("{}: {why}.", spec.name))),
    }
}

async fn settle(
    shared: &Shared,
    who: &str,
    verb: &str,
    subject: &str,
    reason: Option<&str>,
    done: bool,
) -> Result<Deed, StoreError> {
    if !done {
        return Ok(Deed::Missing);
    }
    acts::record(&shared.app.store, who, verb, subject, reason).await?;
    shared.snapshots.forget().await;
    info!(act.who = who, act.verb = verb, act.subject = subject, "{who}: {verb} {subject}");
    Ok(Deed::Done)
}
