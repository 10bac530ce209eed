//! Lays one tree over another: the embedded defaults, the user's file, the environment.
//!
//! Each value keeps the place it came from, so that an error names the layer that caused it.

use std::collections::BTreeMap;

use crate::errors::{Findings, Origin, Place, listed, nearest};
use crate::node::{Entry, Node, Value};

const PREFIX: &str = "TIDEMARK__";

/// `over` laid over `base`: tables key by key, everything else whole.
pub(crate) fn overlay(base: Node, over: Node) -> Node {
    match (base.value, over.value) {
        (Value::Table(mut entries), Value::Table(above)) => {
            for entry in above {
                match entries.iter().position(|below| below.name == entry.name) {
                    Some(index) => {
                        let below = entries.remove(index);
                        entries.insert(index, Entry { node: overlay(below.node, entry.node), ..entry });
                    }
                    None => entries.push(entry),
                }
            }
            Node { at: over.at, value: Value::Table(entries) }
        }
        (_, value) => Node { at: over.at, value },
    }
}

/// Sets what `TIDEMARK__SECTION__KEY` variables say. An empty variable counts as not set.
pub(crate) fn apply_environment(root: &mut Node, env: &BTreeMap<String, String>, findings: &Findings) {
    for (name, text) in env.iter().filter(|(_, text)| !text.is_empty()) {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let at = Place { origin: Origin::Variable(name.clone()), key: path.join(".") };
        if path.iter().any(String::is_empty) {
            let remedy = "Write TIDEMARK__SECTION__KEY, two underscores between the parts.";
            findings.add(&at, "The name has an empty part.", remedy);
        } else if names_a_connection_of_the_file(root, &path, &at, findings) {
            set(root, &path, &at, text, findings);
        }
    }
}

/// A variable may change a connection, not make one: without this a typing slip would read as a connection that lacks everything.
fn names_a_connection_of_the_file(root: &Node, path: &[String], at: &Place, findings: &Findings) -> bool {
    let (Some(first), Some(second), Value::Table(entries)) = (path.first(), path.get(1), &root.value) else { return true };
    if first != "connections" {
        return true;
    }
    let connections = entries.iter().find(|entry| entry.name == "connections").map(|entry| &entry.node.value);
    let names: Vec<&str> = match connections {
        Some(Value::Table(connections)) => connections.iter().map(|entry| entry.name.as_str()).collect(),
        _ => Vec::new(),
    };
    if names.iter().any(|name| is_spelled(name, second)) {
        return true;
    }
    let remedy = match nearest(second, names.iter().copied()) {
        Some(name) => format!("Did you mean `{name}`?"),
        None if names.is_empty() => "Write the connection in the file first.".to_owned(),
        None => format!("Connections of the file: {}.", listed(names)),
    };
    findings.add(at, format!("The file has no connection `{second}`."), remedy);
    false
}

fn set(node: &mut Node, path: &[String], at: &Place, text: &str, findings: &Findings) {
    let Some((name, rest)) = path.split_first() else {
        *node = Node { at: at.clone(), value: Value::Text(text.to_owned()) };
        return;
    };
    if let Value::List(_) = node.value {
        let remedy = format!("Change `{}` in the file; its [defaults] can be set from the environment.", node.at.key);
        findings.add(at, "A list cannot be changed from the environment.", remedy);
        return;
    }
    if !matches!(node.value, Value::Table(_)) {
        *node = Node { at: at.clone(), value: Value::Table(Vec::new()) };
    }
    let Value::Table(entries) = &mut node.value else { return };
    let index = entries.iter().position(|entry| is_spelled(&entry.name, name)).unwrap_or_else(|| {
        let node = Node { at: at.clone(), value: Value::Table(Vec::new()) };
        entries.push(Entry { name: name.clone(), at: at.clone(), node });
        entries.len() - 1
    });
    set(&mut entries[index].node, rest, at, text, findings);
}

/// Variable names have no case and no `-`.
fn is_spelled(name: &str, part: &str) -> bool {
    name.to_lowercase().replace('-', "_") == part.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use crate::sample;

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let text = sample::minimal() + "\n[worker]\nlease = '70s'\nconcurrency = 3\n";
        let config = sample::load(&text, &[("TIDEMARK__WORKER__LEASE", "90s"), ("TIDEMARK__WORKER__CONCURRENCY", "")]).unwrap();
        assert_eq!(config.worker.lease.as_secs(), 90);
        assert_eq!(config.worker.concurrency, 3);
        assert_eq!(config.worker.relay_every.as_millis(), 200);
    }

    #[test]
    fn a_variable_reaches_into_a_connection_whatever_its_dashes() {
        let text = sample::minimal().replace("connections.hubspot", "connections.hub-spot");
        let config = sample::load(&text, &[("TIDEMARK__CONNECTIONS__HUB_SPOT__BASE_URL", "http://127.0.0.1:9")]).unwrap();
        assert_eq!(config.connections[0].0.base_url.as_deref(), Some("http://127.0.0.1:9"));
    }

    #[test]
    fn an_error_from_the_environment_names_the_variable() {
        let env = [
            ("TIDEMARK__CONNECTIONS__HUBSPT__BASE_URL", "http://127.0.0.1:9"),
            ("TIDEMARK__CONNECTIONS__HUBSPOT__STREAMS__POLL", "1s"),
            ("TIDEMARK__SCHEDULER__TICK", "1s"),
            ("TIDEMARK__WORKER__CONCURRENCY", "many"),
            ("TIDEMARK__WORKER____LEASE", "1s"),
            ("TIDEMARK__LOG", "debug"),
        ];
        insta::assert_snapshot!(sample::load(&sample::minimal(), &env).unwrap_err(), @"
        The configuration has 6 errors.

        environment variable TIDEMARK__CONNECTIONS__HUBSPOT__STREAMS__POLL: connections.hubspot.streams.poll
            A list cannot be changed from the environment.
            Change `connections.hubspot.streams` in the file; its [defaults] can be set from the environment.

        environment variable TIDEMARK__CONNECTIONS__HUBSPT__BASE_URL: connections.hubspt.base_url
            The file has no connection `hubspt`.
            Did you mean `hubspot`?

        environment variable TIDEMARK__LOG: log
            This must be a table.
            Set a key in it: TIDEMARK__LOG__KEY.

        environment variable TIDEMARK__SCHEDULER__TICK: scheduler.tick
            There is no key `tick` here.
            Known here: `tick_every`, `dispatch_every`, `jitter`, `queue_depth_max`.

        environment variable TIDEMARK__WORKER__CONCURRENCY: worker.concurrency
            This must be a whole number.
            Write a whole number from 1 to 1000.

        environment variable TIDEMARK__WORKER____LEASE: worker..lease
            The name has an empty part.
            Write TIDEMARK__SECTION__KEY, two underscores between the parts.
        ");
    }
}
