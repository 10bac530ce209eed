//! Rules on one connection: its name, address, budget, deadline, and that its streams differ.

use crate::errors::Findings;
use crate::node::Located;
use crate::raw::RawConnection;
use crate::section::in_words;
use crate::settings::WorkerConfig;

pub(super) fn check(connection: &RawConnection, worker: Option<&Located<WorkerConfig>>, findings: &Findings) {
    name(connection, findings);
    base_url(connection, findings);
    budget(connection, findings);
    call_deadline(connection, worker, findings);
    streams(connection, findings);
}

/// Names stand in variables, metric labels, addresses of pages and before the dot of a stream's name.
fn name(connection: &RawConnection, findings: &Findings) {
    let plain = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || matches!(one, '-' | '_');
    if connection.name.is_empty() || !connection.name.chars().all(plain) {
        let problem = format!("\"{}\" is not a name for a connection.", connection.name);
        findings.add(&connection.at, problem, "Use small letters, digits, - and _, such as [connections.hubspot-eu].");
    }
}

fn base_url(connection: &RawConnection, findings: &Findings) {
    let Some(url) = &connection.base_url else { return };
    let rest = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
    match rest {
        Some(rest) if rest.contains('@') => {
            findings.add(
                &url.at,
                "The address holds a user name or password.",
                "Take it out; what signs in goes under `secret`.",
            );
        }
        Some(rest) if !rest.is_empty() => {}
        _ => findings.add(
            &url.at,
            "This is not the address of an API.",
            "Begin it with https://, or with http:// on this machine.",
        ),
    }
}

fn budget(connection: &RawConnection, findings: &Findings) {
    for rate in [&connection.per_second, &connection.search_per_second].into_iter().flatten() {
        if rate.value <= 0.0 {
            let problem = format!("A budget of {} calls never lets a call through.", rate.value);
            findings.add(&rate.at, problem, "Write a number above 0, or leave it out for the connector's own limit.");
        }
    }
}

/// A call that outlives its claim could still change the CRM after another worker took the job over.
fn call_deadline(connection: &RawConnection, worker: Option<&Located<WorkerConfig>>, findings: &Findings) {
    let (Some(deadline), Some(worker)) = (&connection.call_deadline, worker) else { return };
    let lease = worker.value.lease;
    if deadline.value * 2 >= lease {
        let problem = format!(
            "call_deadline is {}, not below half of worker.lease, {} ({}): a call could outlive its claim.",
            in_words(deadline.value),
            in_words(lease),
            worker.at.origin
        );
        findings.add(&deadline.at, problem, "Shorten call_deadline or lengthen worker.lease.");
    }
}

fn streams(connection: &RawConnection, findings: &Findings) {
    if connection.streams.is_empty() {
        let remedy = format!("Add [[connections.{}.streams]] with object, table, key and fields.", connection.name);
        findings.add(&connection.at, "The connection has no stream: nothing would be kept in agreement.", remedy);
    }
    let mut seen: Vec<&Located<String>> = Vec::new();
    for object in connection.streams.iter().filter_map(|stream| stream.object.as_ref()) {
        match seen.iter().find(|first| first.value == object.value) {
            Some(first) => {
                let problem = format!("\"{}\" has a stream in this connection already ({}).", object.value, first.at.origin);
                findings.add(&object.at, problem, "Map one object to one table; merge the two streams.");
            }
            None => seen.push(object),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, minimal, refused};

    fn refused_with(from: &str, to: &str) -> String {
        load(&minimal().replace(from, to), &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_name_that_no_variable_or_label_can_carry_is_refused() {
        insta::assert_snapshot!(refused_with("connections.hubspot", "connections.HubSpot"), @r#"
        The configuration has 1 error.

        tidemark.toml:4:14: connections.HubSpot
            "HubSpot" is not a name for a connection.
            Use small letters, digits, - and _, such as [connections.hubspot-eu].
        "#);
    }

    #[test]
    fn an_address_is_an_http_address_without_a_password() {
        insta::assert_snapshot!(refused_with("environment =", "base_url = 'https://me:pw@crm'\nenvironment ="), @"
        The configuration has 1 error.

        tidemark.toml:6:12: connections.hubspot.base_url
            The address holds a user name or password.
            Take it out; what signs in goes under `secret`.
        ");
        insta::assert_snapshot!(refused_with("environment =", "base_url = 'api.hubapi.com'\nenvironment ="), @"
        The configuration has 1 error.

        tidemark.toml:6:12: connections.hubspot.base_url
            This is not the address of an API.
            Begin it with https://, or with http:// on this machine.
        ");
    }

    #[test]
    fn a_budget_lets_something_through() {
        let budget = "budget = { per_second = 0, search_per_second = -1.5, per_day = 0 }\nenvironment =";
        insta::assert_snapshot!(refused_with("environment =", budget), @"
        The configuration has 3 errors.

        tidemark.toml:6:25: connections.hubspot.budget.per_second
            A budget of 0 calls never lets a call through.
            Write a number above 0, or leave it out for the connector's own limit.

        tidemark.toml:6:48: connections.hubspot.budget.search_per_second
            A budget of -1.5 calls never lets a call through.
            Write a number above 0, or leave it out for the connector's own limit.

        tidemark.toml:6:64: connections.hubspot.budget.per_day
            0 is out of bounds.
            Write a whole number from 1 to 1000000000.
        ");
    }

    #[test]
    fn a_call_ends_before_half_of_the_lease() {
        insta::assert_snapshot!(refused_with("environment =", "call_deadline = '30s'\nenvironment ="), @"
        The configuration has 1 error.

        tidemark.toml:6:17: connections.hubspot.call_deadline
            call_deadline is 30s, not below half of worker.lease, 1m (config.default.toml:LINE): a call could outlive its claim.
            Shorten call_deadline or lengthen worker.lease.
        ");
        insta::assert_snapshot!(load(&minimal(), &[("TIDEMARK__WORKER__LEASE", "40s")]).unwrap_err(), @"
        The configuration has 1 error.

        config.default.toml:LINE: defaults.call_deadline
            call_deadline is 20s, not below half of worker.lease, 40s (environment variable TIDEMARK__WORKER__LEASE): a call could outlive its claim.
            Shorten call_deadline or lengthen worker.lease.
        ");
    }

    #[test]
    fn a_connection_without_streams_and_a_file_without_connections_are_refused() {
        let (head, _) = minimal().split_once("[[").map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
        insta::assert_snapshot!(load(&head, &[]).unwrap_err(), @"
        The configuration has 1 error.

        tidemark.toml:4:14: connections.hubspot
            The connection has no stream: nothing would be kept in agreement.
            Add [[connections.hubspot.streams]] with object, table, key and fields.
        ");
        insta::assert_snapshot!(load("[database]\nurl = 'sqlite:orders.db'\n", &[]).unwrap_err(), @"
        The configuration has 1 error.

        tidemark.toml:1:1: connections
            `connections` is missing.
            Add a table such as [connections.hubspot] with connector, environment, secret and streams.
        ");
        assert!(load("[database]\nurl = 'sqlite:orders.db'\n[connections]\n", &[]).is_err());
    }

    #[test]
    fn an_object_has_one_stream_per_connection() {
        let again = "[connections.hubspot.streams.fields]\nemail = 'email'\n[[connections.hubspot.streams]]\nobject = 'contacts'\ntable = 'people'\nkey = 'id'\nfields = { email = 'email' }";
        insta::assert_snapshot!(refused(again), @r#"
        The configuration has 1 error.

        tidemark.toml:15:10: connections.hubspot.streams[contacts].object
            "contacts" has a stream in this connection already (tidemark.toml:9:10).
            Map one object to one table; merge the two streams.
        "#);
    }
}
