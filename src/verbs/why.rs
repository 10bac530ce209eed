//! `why`: why a row or a record is as it is, and each field of it. Asks the order database alone; exits 1 when nothing is known of what was asked about.

use std::process::ExitCode;

use eyre::bail;
use tidemark_core::spec::StreamSpec;
use tidemark_core::why::{Asked, tell, unknown};
use tidemark_store::rows::Mapped;
use tidemark_store::{shape, streams, why};

use crate::compose::{House, names};
use crate::verbs::{say, say_json};

pub(crate) async fn run(house: &House, stream: &str, thing: &str, field: Option<&str>, json: bool) -> eyre::Result<ExitCode> {
    let Some(spec) = house.config.streams.iter().find(|spec| spec.name == stream) else {
        bail!("there is no stream {stream}: the configuration has {}", names(&house.config.streams));
    };
    let mapped = at_hand(house, spec).await?;
    let Some(own) = mapped.iter().find(|mapped| mapped.spec.name == spec.name) else {
        bail!("{stream} is not in the database yet: run `tidemark migrate`");
    };
    let asked = Asked::parse(thing);
    let facts = why::look(&house.store, own.id, spec, &asked, &mapped).await?;
    if !facts.is_known() {
        bail!("{}", unknown(spec, &asked, facts.halted.as_deref()));
    }
    let why = tell(spec, &facts, field);
    if json {
        say_json(&why)?;
    } else {
        say(why.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The stream and those it refers to, with their tables. Registers nothing: who only asks changes nothing.
async fn at_hand(house: &House, spec: &StreamSpec) -> eyre::Result<Vec<Mapped>> {
    let parents: Vec<&str> = spec.reference_fields().map(|(_, _, object)| object).collect();
    let near = |other: &&StreamSpec| {
        other.name == spec.name || (other.connection == spec.connection && parents.contains(&other.object.as_str()))
    };
    let mut mapped = Vec::new();
    for spec in house.config.streams.iter().filter(near) {
        let Some(stream) = streams::find(&house.store, &spec.name).await? else { continue };
        let Some(shape) = shape::find(&house.store, &spec.table, &spec.key).await? else {
            bail!(
                "there is no table {}: correct the stream's `table`, or `database.orders_schema`",
                house.store.qualify(&spec.table)
            );
        };
        mapped.push(Mapped { id: stream.id, spec: spec.clone(), shape, siblings: Vec::new() });
    }
    Ok(mapped)
}
