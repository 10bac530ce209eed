//! Rules on connections that only send: nothing is read, so nothing that needs a reading may be asked for; and each object has an address.

use tidemark_core::hook::{IFTTT, ONE_WAY};
use tidemark_core::spec::{DeletePolicy, Direction, Owner};

use crate::errors::{Findings, Place, listed, nearest};
use crate::node::Located;
use crate::raw::{RawConnection, RawStream};

/// Names under `secret` that are no object's.
const SIGNING: &str = "signing";
const URL: &str = "url";
const KEY: &str = "key";
/// What IFTTT's older form carries.
const VALUES: [&str; 3] = ["value1", "value2", "value3"];

pub(super) fn check(connection: &RawConnection, findings: &Findings) {
    if !connection.is_one_way() {
        connection.streams.iter().for_each(|stream| keeps_records(stream, findings));
        return;
    }
    if let Some(account) = &connection.account {
        findings.add(
            &account.at,
            "A hook does not say whose it is.",
            "Take `account` out: the address in `secret` is all there is.",
        );
    }
    secrets(connection, findings);
    for stream in &connection.streams {
        nothing_is_read(stream, findings);
        owner(stream, findings);
        object(stream, findings);
        payload(stream, connection, findings);
    }
}

/// A template and the rest of what only a one-way stream understands.
fn keeps_records(stream: &RawStream, findings: &Findings) {
    let only = |at: &Place, key: &str| {
        let remedy = format!("Take `{key}` out; the connectors that are only sent to are {}.", listed(ONE_WAY.into_iter()));
        findings.add(at, format!("`{key}` is about what a hook is told, and this connector keeps records."), remedy);
    };
    if let Some(payload) = &stream.payload {
        only(&payload.at, "payload");
    }
    if let Some(existing) = stream.inherited.existing.as_ref().filter(|existing| !existing.at.is_inherited()) {
        only(&existing.at, "existing");
    }
    let told = |outbound: &&Located<DeletePolicy>| outbound.value == DeletePolicy::Tell && !outbound.at.is_inherited();
    if let Some(outbound) = stream.inherited.deletes_outbound.as_ref().filter(told) {
        let problem = "\"tell\" tells a hook of deleted rows, and this connector keeps records.";
        findings.add(&outbound.at, problem, "Write \"archive\" or \"ignore\".");
    }
}

fn nothing_is_read(stream: &RawStream, findings: &Findings) {
    let no = |at: &Place, key: &str| {
        let problem = format!("`{key}` needs a CRM that can be read, and this connector is only sent to.");
        findings.add(at, problem, format!("Take `{key}` out."));
    };
    let inherited = &stream.inherited;
    if let Some(direction) = inherited.direction.as_ref().filter(|direction| direction.value != Direction::Out) {
        let problem = "This connector is only sent to: no value ever comes back.";
        findings.add(&direction.at, problem, "Write direction = \"out\", or leave it out.");
    }
    stream.match_on.first().inspect(|name| no(&name.at, "match_on"));
    let texts = [
        (&stream.external_key, "external_key"),
        (&stream.remote_id, "remote_id"),
        (&stream.version_column, "touch.version_column"),
        (&stream.updated_at, "touch.updated_at"),
    ];
    for (text, key) in texts {
        text.iter().for_each(|text| no(&text.at, key));
    }
    stream.row_modified.iter().for_each(|told| no(&told.at, "row_modified"));
    stream.fallback.iter().for_each(|fallback| no(&fallback.at, "fallback"));
    if let Some(poll) = &inherited.poll {
        let durations = [
            (&poll.every, "poll.every"),
            (&poll.lag, "poll.lag"),
            (&poll.settled_every, "poll.settled_every"),
            (&poll.settled_lag, "poll.settled_lag"),
            (&poll.overlap, "poll.overlap"),
        ];
        for (duration, key) in durations {
            duration.iter().filter(|duration| !duration.at.is_inherited()).for_each(|duration| no(&duration.at, key));
        }
        poll.page_rows_max.iter().filter(|rows| !rows.at.is_inherited()).for_each(|rows| no(&rows.at, "poll.page_rows_max"));
    }
    let archives = |outbound: &&Located<DeletePolicy>| outbound.value == DeletePolicy::Archive && !outbound.at.is_inherited();
    if let Some(outbound) = inherited.deletes_outbound.as_ref().filter(archives) {
        let problem = "A hook has no record that could be archived.";
        findings.add(&outbound.at, problem, "Write \"tell\" to tell it of deleted rows, or \"ignore\".");
    }
    for field in &stream.fields {
        if let Some(references) = &field.references {
            let problem = "`references` ties two records, and a hook keeps none.";
            findings.add(&references.at, problem, "Take `references` out: the key of the other row is told as a value.");
        }
    }
}

fn owner(stream: &RawStream, findings: &Findings) {
    for field in &stream.fields {
        let Some(owner) = field.owner.as_ref().filter(|owner| !matches!(owner.value, Owner::Orders | Owner::Crm)) else {
            continue;
        };
        let problem = "Nobody but the order database can change what is only sent.";
        findings.add(&owner.at, problem, "Write owner = \"orders\", or leave it out.");
    }
}

fn object(stream: &RawStream, findings: &Findings) {
    let Some(object) = &stream.object else { return };
    let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
    if object.value.is_empty() || !object.value.chars().all(plain) {
        let problem = format!("\"{}\" cannot name a hook or an event.", object.value);
        findings.add(&object.at, problem, "Use letters, digits, - and _, such as object = \"order_changed\".");
    } else if [SIGNING, URL, KEY].contains(&object.value.as_str()) {
        let problem = format!("\"{}\" is what another secret of the connection is called.", object.value);
        findings.add(&object.at, problem, "Give the object another name.");
    }
}

fn secrets(connection: &RawConnection, findings: &Findings) {
    let of_events = connection.connector.as_ref().is_some_and(|connector| connector.value == IFTTT);
    let objects = || connection.streams.iter().filter_map(|stream| stream.object.as_ref());
    let has = |name: &str| connection.secret_names.iter().any(|secret| secret.value == name);
    let own = [SIGNING, if of_events { KEY } else { URL }];
    for secret in &connection.secret_names {
        let is_object = !of_events && objects().any(|object| object.value == secret.value);
        if own.contains(&secret.value.as_str()) || is_object {
            continue;
        }
        let known: Vec<&str> =
            own.into_iter().chain(objects().map(|object| object.value.as_str()).filter(|_| !of_events)).collect();
        let remedy = match nearest(&secret.value, known.iter().copied()) {
            Some(close) => format!("Did you mean `{close}`?"),
            None => format!("Known here: {}.", listed(known.into_iter())),
        };
        findings.add(&secret.at, format!("`secret.{}` is the address or key of nothing.", secret.value), remedy);
    }
    let remedy = |key: &str| {
        format!("Write secret.{key} = {{ env = \"{}\" }}.", format!("{}_{key}", connection.name).to_uppercase().replace('-', "_"))
    };
    if of_events && !has(KEY) {
        findings.add(&connection.at, "The key of the Webhooks service is missing.", remedy(KEY));
    }
    if !of_events && !has(URL) {
        for object in objects().filter(|object| !has(&object.value)) {
            let problem = format!("Nothing says where \"{}\" is sent.", object.value);
            let one = format!("{} One address for every object is secret.{URL}.", remedy(&object.value));
            findings.add(&object.at, problem, one);
        }
    }
}

fn payload(stream: &RawStream, connection: &RawConnection, findings: &Findings) {
    let values = connection.settings.get("form").is_some_and(|form| form == "values");
    let Some(Located { value: payload, at: _ }) = &stream.payload else {
        if values {
            let problem = "form = \"values\" sends value1, value2 and value3, and nothing says what they are.";
            findings.add(&stream.at, problem, "Add payload = { value1 = \"$event\", value2 = \"$field.NAME\" }.");
        }
        return;
    };
    let properties = || stream.fields.iter().map(|field| field.property.value.as_str());
    for named in &payload.fields {
        if properties().any(|property| property == named.value) {
            continue;
        }
        let remedy = match nearest(&named.value, properties()) {
            Some(close) => format!("Did you mean \"{close}\"?"),
            None => format!("Name mapped properties: {}.", listed(properties())),
        };
        findings.add(&named.at, format!("The payload names \"{}\", which is no property of fields.", named.value), remedy);
    }
    if payload.names.is_empty() {
        findings.add(&stream.at, "The payload is empty: nothing would be told.", "Name something in it, or leave `payload` out.");
    }
    for name in payload.names.iter().filter(|name| values && !VALUES.contains(&name.value.as_str())) {
        let problem =
            format!("form = \"values\" sends {} alone, and the payload names `{}`.", listed(VALUES.into_iter()), name.value);
        findings.add(&name.at, problem, "Take it out, or write settings.form = \"json\".");
    }
    for name in payload.nested.iter().filter(|_| values) {
        let problem = format!("`{}` is a list or a table, and form = \"values\" sends texts.", name.value);
        findings.add(&name.at, problem, "Write a text, or settings.form = \"json\".");
    }
}

#[cfg(test)]
#[path = "one_way_tests.rs"]
mod tests;
