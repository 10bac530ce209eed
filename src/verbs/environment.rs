//! `environment`: where the database is and how far it was seen, what is held because of that, and what would be sent; with `adopt` a person's word that it goes on.

use std::process::ExitCode;

use eyre::bail;
use serde::Serialize;
use tidemark_core::environment::Place;
use tidemark_core::window::millis;
use tidemark_store::environment::{self, Whereabouts};
use tidemark_store::holds::{self, Held};
use tidemark_worker::would_send::{Act, WouldSend, would_send};

use crate::compose::House;
use crate::verbs::{say, say_json, who};

#[derive(Serialize)]
struct Said {
    place: Place,
    /// Where it was adopted, if that is another place.
    adopted: Option<Place>,
    elsewhere: bool,
    /// Beats of the database, and the most that was seen of it outside; `null` where nobody remembers it.
    beats: Option<i64>,
    witnessed: Option<i64>,
    /// Since the last beat.
    silent_ms: Option<i64>,
    timeline: Option<i64>,
    /// Why the next start will hold what is to be sent.
    doubt: Option<String>,
    held: Vec<HeldStream>,
    next: String,
}

#[derive(Serialize)]
struct HeldStream {
    #[serde(flatten)]
    held: Held,
    /// `null` for a stream that is not in the configuration.
    would_send: Option<WouldSend>,
}

pub(crate) async fn show(house: &House, json: bool) -> eyre::Result<ExitCode> {
    let said = look(house).await?;
    if json {
        say_json(&said)?;
    } else {
        print(&said);
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(house: &House) -> eyre::Result<Said> {
    let store = &house.store;
    let witness = house.testimony().await;
    let whereabouts = environment::whereabouts(store).await?;
    let place = environment::place(store).await?;
    let (elsewhere, adopted) = match whereabouts {
        Whereabouts::Home => (false, None),
        Whereabouts::Elsewhere { known, .. } => (true, known),
    };
    let timeline = environment::timeline(store).await?;
    let known = environment::load(store).await?;
    let doubt = known.as_ref().and_then(|known| known.doubt(witness.as_deref(), timeline, house.restore_guard()));
    // Elsewhere nothing is registered: what is there may be somebody else's.
    let mapped = if elsewhere { Vec::new() } else { tidemark_worker::map_streams(store, &house.config.streams).await? };
    let mut held = Vec::new();
    for one in holds::list_held(store).await? {
        let would_send = match mapped.iter().find(|mapped| mapped.id == one.id) {
            Some(mapped) => Some(would_send(store, mapped).await?),
            None => None,
        };
        held.push(HeldStream { held: one, would_send });
    }
    let next = next(elsewhere, doubt.is_some(), &held);
    Ok(Said {
        place,
        adopted,
        elsewhere,
        beats: known.as_ref().map(|known| known.pulse.beats),
        witnessed: known.as_ref().and_then(|known| known.seen_by(witness.as_deref())),
        silent_ms: known.as_ref().and_then(|known| Some(known.now - known.beat_at?)),
        timeline,
        doubt,
        held,
        next,
    })
}

fn next(elsewhere: bool, doubted: bool, held: &[HeldStream]) -> String {
    let ready = held.iter().all(|one| one.held.is_ready() || one.held.state != "running");
    match (elsewhere, held.is_empty()) {
        (true, _) => "`tidemark environment adopt` makes this its place. Is it a copy for a trial, drop its schema or tables instead: it carries links to the records of the original.".into(),
        (false, true) if doubted => "The next start holds what is to be sent, and reads everything again first.".into(),
        (false, true) => "Nothing is held.".into(),
        (false, false) if ready => "Look at what would be sent; `tidemark environment adopt` lets it go.".into(),
        (false, false) => "Scheduler and workers have to run until every stream was read, compared and swept; then `tidemark environment adopt` lets it go.".into(),
    }
}

fn print(said: &Said) {
    say(format_args!("place      {}", said.place));
    match (&said.adopted, said.elsewhere) {
        (Some(adopted), _) => say(format_args!("           ANOTHER than was adopted: {adopted}")),
        (None, true) => say("           ANOTHER than was adopted, which cannot be read any more"),
        (None, false) => {}
    }
    match (said.beats, said.silent_ms) {
        (Some(beats), Some(silent)) => say(format_args!("pulse      {beats}, moved {} s ago", silent / 1_000)),
        (Some(_), None) => say("pulse      no scheduler has run yet"),
        (None, _) => say("pulse      nothing has started on this database yet"),
    }
    match said.witnessed {
        Some(seen) => say(format_args!("witness    {seen} was seen beside the queue")),
        None => say("witness    nobody beside the queue remembers this database"),
    }
    if let Some(timeline) = said.timeline {
        say(format_args!("timeline   {timeline}"));
    }
    if let Some(doubt) = &said.doubt {
        say(format_args!("doubt      {doubt}"));
    }
    for HeldStream { held, would_send } in &said.held {
        let yes = |done: bool| if done { "yes" } else { "not yet" };
        say(format_args!("{}  {}, HELD: {}", held.stream, held.state, held.why));
        let sweep = held.sweep.as_deref().filter(|seal| *seal != "sealed").map(|why| format!(" (it ended: {why})"));
        say(format_args!(
            "    read again: {}   rows compared: {}   swept: {}{}",
            yes(held.read),
            yes(held.compared),
            yes(held.swept),
            sweep.unwrap_or_default()
        ));
        let Some(would) = would_send else { continue };
        print_act("created", &would.creates);
        print_act("changed", &would.updates);
        print_act("archived", &would.archives);
        say(format_args!("    {:>7}  wait for a person or a parent, {} come to nothing", would.waits, would.nothing));
    }
    say(&said.next);
}

fn print_act(done: &str, act: &Act) {
    say(format_args!("    {:>7}  records would be {done}", act.count));
    for one in &act.sample {
        say(format_args!("             {one}"));
    }
    if act.count > act.sample.len() {
        say(format_args!("             … and {} more", act.count - act.sample.len()));
    }
}

/// What an act came to.
#[derive(Serialize)]
struct Adopted {
    /// The place that is adopted from now on.
    place: Option<Place>,
    /// What is held from now on, because nobody remembers the database at its new place.
    held: Option<String>,
    /// Streams that send again.
    released: Vec<String>,
    /// Streams that stay held: they are paused, or not in the way.
    still_held: Vec<String>,
}

pub(crate) async fn adopt(house: &House, anyway: bool, reason: Option<&str>, json: bool) -> eyre::Result<ExitCode> {
    let store = &house.store;
    let witness = house.testimony().await;
    let mut adopted = Adopted { place: None, held: None, released: Vec::new(), still_held: Vec::new() };
    if let Whereabouts::Elsewhere { now, .. } = environment::whereabouts(store).await? {
        adopted.held = unremembered(house, witness.as_deref()).await?;
        if let Some(why) = &adopted.held {
            holds::at_new_place(store, why).await?;
        }
        environment::adopt_place(store, &now, &who(), reason).await?;
        adopted.place = Some(now);
    } else {
        let held = holds::list_held(store).await?;
        // A stream that does not run is not swept: it stays as it is until it runs.
        let (running, resting): (Vec<&Held>, Vec<&Held>) = held.iter().partition(|one| one.state == "running");
        // A stream that only reads has nothing to send.
        let sends = |one: &&&Held| {
            let spec = house.config.streams.iter().find(|spec| spec.name == one.stream);
            spec.is_none_or(|spec| spec.direction.writes_records())
        };
        let waiting = running.iter().filter(|one| !one.is_ready()).filter(sends);
        let waiting: Vec<&str> = waiting.map(|one| one.stream.as_str()).collect();
        if !waiting.is_empty() && !anyway {
            bail!(
                "not everything was read again yet: {} still to be read, compared or swept, as `tidemark environment` says; scheduler and workers have to run meanwhile. With --anyway what is owed goes out without that",
                waiting.join(", ")
            );
        }
        let (released, still): (Vec<&Held>, Vec<&Held>) =
            if anyway { (held.iter().collect(), Vec::new()) } else { (running, resting) };
        if !released.is_empty() {
            holds::release(store, &released, &who(), reason).await?;
        }
        adopted.released = released.iter().map(|one| one.stream.clone()).collect();
        adopted.still_held = still.iter().map(|one| one.stream.clone()).collect();
    }
    if json {
        say_json(&adopted)?;
    } else {
        print_adopted(&adopted);
    }
    Ok(ExitCode::SUCCESS)
}

/// Why what is to be sent from a new place is held; `None` where a witness says that nothing of it is lost.
async fn unremembered(house: &House, witness: Option<&str>) -> eyre::Result<Option<String>> {
    let Some(known) = environment::load(&house.store).await? else { return Ok(None) };
    let timeline = environment::timeline(&house.store).await?;
    let doubt = known.doubt(witness, timeline, house.restore_guard());
    let nobody =
        || "the database is at a new place, and nobody beside the queue remembers how far it was: it may be a restored one";
    Ok(doubt.or_else(|| known.seen_by(witness).is_none().then(|| nobody().to_owned())))
}

fn print_adopted(adopted: &Adopted) {
    if let Some(place) = &adopted.place {
        say(format_args!("The place is adopted: {place}."));
        match &adopted.held {
            Some(why) => say(format_args!(
                "What is to be sent is held: {why}. Start Tidemark; when every stream was read again, `tidemark environment` shows what would be sent."
            )),
            None => {
                say("Nothing was lost on the way: a witness beside the queue remembers the database as it is. Start Tidemark.");
            }
        }
        return;
    }
    for stream in &adopted.released {
        say(format_args!("{stream} sends again."));
    }
    for stream in &adopted.still_held {
        say(format_args!("{stream} stays held: it does not run. Resume it, let it be read, then adopt again."));
    }
    if adopted.released.is_empty() && adopted.still_held.is_empty() {
        say("There is nothing to adopt: the place is the same, and nothing is held.");
    }
}

impl House {
    pub(crate) fn restore_guard(&self) -> i64 {
        millis(self.config.environment.restore_guard)
    }
}
