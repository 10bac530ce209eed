//! Connections as the file shapes them: everything optional, every value with its place.
//!
//! Checks each value alone. What values mean together is decided in `rules`, what they become in `streams`.

mod field;
mod payload;
mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use tidemark_core::hook::ONE_WAY;
use tidemark_core::spec::{Direction, Owner};

pub(crate) use self::field::RawField;
use self::stream::{Inherited, owner};
pub(crate) use self::stream::{RawBrakes, RawLimit, RawPoll, RawStream, RawSweep};
use crate::errors::{Findings, Place};
use crate::layers::overlay;
use crate::node::{Entry, Located, Node, Value};
use crate::secrets::Vault;
use crate::section::{self, Section};

/// What reading a connection needs beside its own table.
pub(crate) struct Reading<'a> {
    pub(crate) findings: &'a Findings,
    pub(crate) vault: &'a Vault<'a>,
    pub(crate) defaults: &'a Defaults,
    /// The schema of a table named without one; `None` on SQLite.
    pub(crate) orders_schema: Option<&'a str>,
}

/// `[defaults]`: what a connection or stream has when it says nothing itself.
pub(crate) struct Defaults {
    /// A table that lies below every connection.
    connection: Node,
    /// A table that lies below every stream.
    stream: Node,
    owners: [(Direction, Option<Located<Owner>>); 3],
}

impl Defaults {
    /// Checked once for itself, so that a mistake in it is found in a file whose streams override it.
    pub(crate) fn read(node: Option<Node>, findings: &Findings) -> Option<Self> {
        let node = node?;
        let mut section = Section::open(node.clone(), findings)?;
        Inherited::read(&mut section);
        call_deadline(&mut section);
        let mut by_direction = section.section("owner_by_direction")?;
        let mut owner_of =
            |name| by_direction.require(name, "Write \"crm\", \"orders\" or \"hold\".").and_then(|node| owner(node, findings));
        let owners = [(Direction::In, owner_of("in")), (Direction::Out, owner_of("out")), (Direction::Both, owner_of("both"))];
        by_direction.close();
        section.close();
        let at = node.at.clone();
        let (connection, stream) =
            section::entries(node, findings)?.into_iter().partition::<Vec<Entry>, _>(|entry| entry.name == "call_deadline");
        let stream = stream.into_iter().filter(|entry| entry.name != "owner_by_direction").collect();
        let table = |entries| Node { at: at.clone(), value: Value::Table(entries) };
        Some(Self { connection: table(connection), stream: table(stream), owners })
    }

    fn owner(&self, direction: Option<Direction>) -> Option<Located<Owner>> {
        self.owners.iter().find(|(of, _)| Some(*of) == direction).and_then(|(_, owner)| owner.clone())
    }
}

pub(crate) struct RawConnection {
    /// Where its first key stands.
    pub(crate) at: Place,
    pub(crate) name: String,
    pub(crate) connector: Option<Located<String>>,
    pub(crate) environment: Option<Located<String>>,
    pub(crate) account: Option<Located<String>>,
    pub(crate) base_url: Option<Located<String>>,
    pub(crate) per_second: Option<Located<f64>>,
    pub(crate) search_per_second: Option<Located<f64>>,
    pub(crate) per_day: Option<Located<u64>>,
    pub(crate) call_deadline: Option<Located<Duration>>,
    pub(crate) request_life: Option<Located<Duration>>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, SecretString>,
    /// What is written under `secret`, also where it could not be read.
    pub(crate) secret_names: Vec<Located<String>>,
    pub(crate) streams: Vec<RawStream>,
}

const ENVIRONMENT_REMEDY: &str =
    "Say what the token opens, such as environment = \"production\" or \"sandbox\"; the CRM's own answer must agree.";

impl RawConnection {
    pub(crate) fn read(entry: Entry, reading: &Reading<'_>) -> Option<Self> {
        let findings = reading.findings;
        let node = overlay(reading.defaults.connection.clone(), entry.node);
        let mut section = Section::open(node, findings)?;
        let secret = section.take("secret");
        let secret_names = secret.clone().map(|node| names(node, findings)).unwrap_or_default();
        let secrets = secret.map(|node| secrets(node, reading)).unwrap_or_default();
        let settings = section.take("settings").map(|node| settings(node, findings)).unwrap_or_default();
        let mut connection = Self {
            at: entry.at,
            name: entry.name,
            connector: section.required_text("connector", "Name the kind of CRM, such as connector = \"hubspot\"."),
            environment: section.required_text("environment", ENVIRONMENT_REMEDY),
            account: section.take("account").and_then(|node| section::scalar(node, findings)),
            base_url: section.optional_text("base_url"),
            per_second: None,
            search_per_second: None,
            per_day: None,
            call_deadline: call_deadline(&mut section),
            request_life: section
                .take("request_life")
                .and_then(|node| section::duration(node, &(Duration::ZERO..=Duration::from_secs(3_600)), findings)),
            settings,
            secrets,
            secret_names,
            streams: Vec::new(),
        };
        if let Some(mut budget) = section.take("budget").and_then(|node| Section::open(node, findings)) {
            connection.per_second = budget.take("per_second").and_then(|node| section::decimal(node, findings));
            connection.search_per_second = budget.take("search_per_second").and_then(|node| section::decimal(node, findings));
            connection.per_day = budget.take("per_day").and_then(|node| section::integer(node, &(1..=1_000_000_000), findings));
            budget.close();
        }
        let streams = section.take("streams").and_then(|node| {
            section::items(node, "Begin each stream with [[connections.NAME.streams]], two brackets.", findings)
        });
        let streams = streams.unwrap_or_default().into_iter();
        let one_way = connection.is_one_way();
        connection.streams = streams
            .filter_map(|node| RawStream::read(overlay(reading.defaults.stream.clone(), node), one_way, reading))
            .collect();
        section.close();
        Some(connection)
    }
}

impl RawConnection {
    /// Its connector is only ever sent to.
    pub(crate) fn is_one_way(&self) -> bool {
        self.connector.as_ref().is_some_and(|connector| ONE_WAY.contains(&connector.value.as_str()))
    }
}

fn call_deadline(section: &mut Section<'_>) -> Option<Located<Duration>> {
    section.duration("call_deadline", Duration::from_millis(100)..=Duration::from_secs(600))
}

fn secrets(node: Node, reading: &Reading<'_>) -> BTreeMap<String, SecretString> {
    let entries = section::entries(node, reading.findings).unwrap_or_default().into_iter();
    entries.filter_map(|entry| Some((entry.name, reading.vault.secret(entry.node, reading.findings)?))).collect()
}

/// A `secret` that is no table has its finding where it is read.
fn names(node: Node, findings: &Findings) -> Vec<Located<String>> {
    let Value::Table(_) = &node.value else { return Vec::new() };
    let entries = section::entries(node, findings).unwrap_or_default().into_iter();
    entries.map(|entry| Located { value: entry.name, at: entry.at }).collect()
}

fn settings(node: Node, findings: &Findings) -> BTreeMap<String, String> {
    let entries = section::entries(node, findings).unwrap_or_default().into_iter();
    entries.filter_map(|entry| Some((entry.name, section::scalar(entry.node, findings)?.value))).collect()
}
