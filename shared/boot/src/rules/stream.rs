//! Rules on one stream: its direction against what it declares, its times against each other, its key and id columns.

use std::time::Duration;

use tidemark_core::spec::{DeletePolicy, Direction, Inbound, InboundDelete};

use crate::errors::{Findings, Place};
use crate::node::Located;
use crate::raw::RawStream;
use crate::section::in_words;

pub(super) fn check(stream: &RawStream, findings: &Findings) {
    direction(stream, findings);
    inbound_that_links_nothing(stream, findings);
    times(stream, findings);
    remote_id(stream, findings);
    delete_mark(stream, findings);
}

fn direction(stream: &RawStream, findings: &Findings) {
    let Some(direction) = stream.direction() else { return };
    let inherited = &stream.inherited;
    match direction.value {
        Direction::In => {
            let contradicts = |at: &Place, key: &str| {
                let problem =
                    format!("`{key}` is about what is sent, and direction is \"in\" ({}): nothing is sent.", direction.at.origin);
                findings.add(at, problem, format!("Take `{key}` out, or write direction = \"both\"."));
            };
            if let Some(condition) = stream.send_when.first() {
                contradicts(&condition.column.at, "send_when");
            }
            if let Some(key) = &stream.external_key {
                contradicts(&key.at, "external_key");
            }
            let archives =
                |outbound: &&Located<DeletePolicy>| outbound.value == DeletePolicy::Archive && !outbound.at.is_inherited();
            if let Some(outbound) = inherited.deletes_outbound.as_ref().filter(archives) {
                contradicts(&outbound.at, "deletes.outbound");
            }
        }
        Direction::Out => {
            let updates_only = |inbound: &&Located<Inbound>| inbound.value == Inbound::UpdateOnly && !inbound.at.is_inherited();
            if let Some(inbound) = inherited.inbound.as_ref().filter(updates_only) {
                let origin = &direction.at.origin;
                let problem =
                    format!("`inbound` is about rows that are written, and direction is \"out\" ({origin}): no row is written.");
                findings.add(&inbound.at, problem, "Take `inbound` out, or write direction = \"both\".");
            }
            let follows =
                |inbound: &&Located<InboundDelete>| inbound.value != InboundDelete::Ignore && !inbound.at.is_inherited();
            if let Some(inbound) = inherited.deletes_inbound.as_ref().filter(follows) {
                let origin = &direction.at.origin;
                let problem = format!("`deletes.inbound` is about rows, and direction is \"out\" ({origin}): no row is written.");
                findings.add(&inbound.at, problem, "Take `deletes.inbound` out, or write direction = \"both\".");
            }
        }
        Direction::Both => {}
    }
}

/// Links come from rows made, records made, or matches; such a stream has none of the three.
fn inbound_that_links_nothing(stream: &RawStream, findings: &Findings) {
    let (Some(direction), Some(inbound)) = (stream.direction(), &stream.inherited.inbound) else { return };
    if direction.value == Direction::In && inbound.value == Inbound::UpdateOnly && stream.match_on.is_empty() {
        let at = if inbound.at.is_inherited() { &stream.at } else { &inbound.at };
        let problem =
            "inbound = \"update_only\" with direction = \"in\" and no match_on makes no link: no record would ever find its row.";
        findings.add(at, problem, "Add match_on, such as match_on = [\"email\"], or write inbound = \"full\".");
    }
}

fn times(stream: &RawStream, findings: &Findings) {
    let inherited = &stream.inherited;
    if let Some(poll) = &inherited.poll {
        let lags = (&poll.settled_lag, &poll.lag);
        not_shorter(
            lags,
            ["poll.settled_lag", "poll.lag"],
            "the settled reader must stay further behind than the fast one",
            findings,
        );
        if let (Some(fresh), Some(every), Some(lag)) = (&inherited.fresh_within, &poll.every, &poll.lag)
            && fresh.value <= every.value + lag.value
        {
            let at = [&fresh.at, &every.at, &lag.at].into_iter().find(|at| !at.is_inherited()).unwrap_or(&fresh.at);
            let problem = format!(
                "fresh_within is {}, not longer than poll.every, {}, and poll.lag, {}, together: the alert would never rest.",
                in_words(fresh.value),
                in_words(every.value),
                in_words(lag.value)
            );
            findings.add(at, problem, "Lengthen fresh_within or shorten poll.every.");
        }
    }
    let bounds = (&inherited.retry_cap, &inherited.retry_first);
    not_shorter(bounds, ["retry.cap", "retry.first"], "the first delay would be above the bound of every delay", findings);
}

/// `longer` must not be shorter than `shorter`; the finding stands where the user wrote one of them.
fn not_shorter(
    (longer, shorter): (&Option<Located<Duration>>, &Option<Located<Duration>>),
    [longer_key, shorter_key]: [&str; 2],
    reason: &str,
    findings: &Findings,
) {
    let (Some(longer), Some(shorter)) = (longer, shorter) else { return };
    if longer.value < shorter.value {
        let (at, other) = if longer.at.is_inherited() { (&shorter.at, &longer.at) } else { (&longer.at, &shorter.at) };
        let problem = format!(
            "{longer_key} is {} and {shorter_key} is {} (the other stands at {}): {reason}.",
            in_words(longer.value),
            in_words(shorter.value),
            other.origin
        );
        findings.add(at, problem, format!("Lengthen {longer_key} or shorten {shorter_key}."));
    }
}

fn remote_id(stream: &RawStream, findings: &Findings) {
    let Some(remote_id) = &stream.remote_id else { return };
    if stream.key.as_ref().is_some_and(|key| key.value == remote_id.value) {
        let problem = format!("remote_id names the key column `{}`: the CRM's id would replace the row's key.", remote_id.value);
        findings.add(&remote_id.at, problem, "Name a column of its own, or leave remote_id out.");
    }
    for field in &stream.fields {
        if let Some(column) = field.column.as_ref().filter(|column| column.value == remote_id.value) {
            let problem = format!(
                "The column `{}` receives the CRM's id (remote_id, {}) and cannot hold a property too.",
                column.value, remote_id.at.origin
            );
            findings.add(&column.at, problem, "Map another column, or take remote_id out.");
        }
    }
}

/// The mark of a deleted record has a column of its own: a mapped one would be sent, or overwritten by the next record.
fn delete_mark(stream: &RawStream, findings: &Findings) {
    let Some(Located { value: InboundDelete::Set { column, .. }, at }) = &stream.inherited.deletes_inbound else { return };
    let taken = if stream.key.as_ref().is_some_and(|key| key.value == *column) {
        Some("is the key")
    } else if stream.remote_id.as_ref().is_some_and(|id| id.value == *column) {
        Some("receives the CRM's id")
    } else {
        let holds = |name: &Option<Located<String>>| name.as_ref().is_some_and(|name| name.value == *column);
        stream.fields.iter().any(|field| holds(&field.column)).then_some("holds a property")
    };
    if let Some(taken) = taken {
        let problem = format!("deletes.inbound marks the column `{column}`, which {taken}.");
        findings.add(at, problem, "Name a column that the mapping writes nothing else to.");
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, refused, with_stream};

    #[test]
    fn a_stream_that_only_reads_declares_nothing_about_sending() {
        let body = "send_when = { email = 'present' }\nexternal_key = 'our_id'\ndeletes = { outbound = 'archive' }";
        insta::assert_snapshot!(refused(body), @r#"
        The configuration has 3 errors.

        tidemark.toml:12:15: connections.hubspot.streams[contacts].send_when.email
            `send_when` is about what is sent, and direction is "in" (config.default.toml:LINE): nothing is sent.
            Take `send_when` out, or write direction = "both".

        tidemark.toml:13:16: connections.hubspot.streams[contacts].external_key
            `external_key` is about what is sent, and direction is "in" (config.default.toml:LINE): nothing is sent.
            Take `external_key` out, or write direction = "both".

        tidemark.toml:14:24: connections.hubspot.streams[contacts].deletes.outbound
            `deletes.outbound` is about what is sent, and direction is "in" (config.default.toml:LINE): nothing is sent.
            Take `deletes.outbound` out, or write direction = "both".
        "#);
    }

    #[test]
    fn a_stream_that_only_sends_declares_nothing_about_rows_it_writes() {
        insta::assert_snapshot!(refused("direction = 'out'\ninbound = 'update_only'"), @r#"
        The configuration has 1 error.

        tidemark.toml:13:11: connections.hubspot.streams[contacts].inbound
            `inbound` is about rows that are written, and direction is "out" (tidemark.toml:12:13): no row is written.
            Take `inbound` out, or write direction = "both".
        "#);
    }

    #[test]
    fn a_record_that_is_deleted_marks_a_column_of_its_own() {
        let marks = |column: &str| format!("deletes = {{ inbound = {{ set = {{ column = '{column}', value = 'now' }} }} }}");
        assert!(load(&with_stream(&marks("deleted_at")), &[]).is_ok());
        insta::assert_snapshot!(refused(&marks("email")), @r#"
        The configuration has 1 error.

        tidemark.toml:12:23: connections.hubspot.streams[contacts].deletes.inbound
            deletes.inbound marks the column `email`, which holds a property.
            Name a column that the mapping writes nothing else to.
        "#);
        insta::assert_snapshot!(refused("deletes = { inbound = 'archive' }"), @r#"
        The configuration has 1 error.

        tidemark.toml:12:23: connections.hubspot.streams[contacts].deletes.inbound
            "archive" is not one of the choices.
            Write "ignore", "delete", or { set = { column = "deleted_at", value = "now" } }.
        "#);
        insta::assert_snapshot!(refused("direction = 'out'\ndeletes = { inbound = 'delete' }"), @r#"
        The configuration has 1 error.

        tidemark.toml:13:23: connections.hubspot.streams[contacts].deletes.inbound
            `deletes.inbound` is about rows, and direction is "out" (tidemark.toml:12:13): no row is written.
            Take `deletes.inbound` out, or write direction = "both".
        "#);
    }

    #[test]
    fn a_stream_that_could_make_no_link_is_refused() {
        insta::assert_snapshot!(refused("inbound = 'update_only'"), @r#"
        The configuration has 1 error.

        tidemark.toml:12:11: connections.hubspot.streams[contacts].inbound
            inbound = "update_only" with direction = "in" and no match_on makes no link: no record would ever find its row.
            Add match_on, such as match_on = ["email"], or write inbound = "full".
        "#);
        assert!(load(&with_stream("inbound = 'update_only'\nmatch_on = ['email']"), &[]).is_ok());
    }

    #[test]
    fn the_settled_reader_stays_behind_the_fast_one() {
        insta::assert_snapshot!(refused("poll = { lag = '2m' }"), @"
        The configuration has 1 error.

        tidemark.toml:12:16: connections.hubspot.streams[contacts].poll.lag
            poll.settled_lag is 1m and poll.lag is 2m (the other stands at config.default.toml:LINE): the settled reader must stay further behind than the fast one.
            Lengthen poll.settled_lag or shorten poll.lag.
        ");
        insta::assert_snapshot!(refused("poll = { settled_lag = '1s' }"), @"
        The configuration has 1 error.

        tidemark.toml:12:24: connections.hubspot.streams[contacts].poll.settled_lag
            poll.settled_lag is 1s and poll.lag is 5s (the other stands at config.default.toml:LINE): the settled reader must stay further behind than the fast one.
            Lengthen poll.settled_lag or shorten poll.lag.
        ");
    }

    #[test]
    fn the_first_delay_is_within_the_bound_of_every_delay() {
        insta::assert_snapshot!(refused("retry = { first = '10m', cap = '5m' }"), @"
        The configuration has 1 error.

        tidemark.toml:12:32: connections.hubspot.streams[contacts].retry.cap
            retry.cap is 5m and retry.first is 10m (the other stands at tidemark.toml:12:19): the first delay would be above the bound of every delay.
            Lengthen retry.cap or shorten retry.first.
        ");
    }

    #[test]
    fn an_alert_on_staleness_can_rest() {
        insta::assert_snapshot!(refused("poll = { every = '10m' }"), @"
        The configuration has 1 error.

        tidemark.toml:12:18: connections.hubspot.streams[contacts].poll.every
            fresh_within is 5m, not longer than poll.every, 10m, and poll.lag, 5s, together: the alert would never rest.
            Lengthen fresh_within or shorten poll.every.
        ");
    }

    #[test]
    fn a_poll_interval_is_between_half_a_second_and_an_hour() {
        insta::assert_snapshot!(refused("poll = { every = '100ms', page_rows_max = 1001 }"), @r#"
        The configuration has 2 errors.

        tidemark.toml:12:18: connections.hubspot.streams[contacts].poll.every
            "100ms" is out of bounds.
            Write a duration from 500ms to 1h.

        tidemark.toml:12:43: connections.hubspot.streams[contacts].poll.page_rows_max
            1001 is out of bounds.
            Write a whole number from 1 to 1000.
        "#);
        insta::assert_snapshot!(refused("poll = { every = 30, page_rows_max = 0 }"), @r#"
        The configuration has 2 errors.

        tidemark.toml:12:18: connections.hubspot.streams[contacts].poll.every
            This must be a duration in quotes, such as "30s"; it is a whole number.
            Write a duration from 500ms to 1h.

        tidemark.toml:12:38: connections.hubspot.streams[contacts].poll.page_rows_max
            0 is out of bounds.
            Write a whole number from 1 to 1000.
        "#);
        assert!(load(&with_stream("poll = { every = '500ms', page_rows_max = 1 }"), &[]).is_ok());
    }

    #[test]
    fn the_column_of_the_remote_id_holds_nothing_else() {
        insta::assert_snapshot!(refused("remote_id = 'email'"), @"
        The configuration has 1 error.

        tidemark.toml:14:9: connections.hubspot.streams[contacts].fields.email
            The column `email` receives the CRM's id (remote_id, tidemark.toml:12:13) and cannot hold a property too.
            Map another column, or take remote_id out.
        ");
        insta::assert_snapshot!(refused("remote_id = 'id'"), @"
        The configuration has 1 error.

        tidemark.toml:12:13: connections.hubspot.streams[contacts].remote_id
            remote_id names the key column `id`: the CRM's id would replace the row's key.
            Name a column of its own, or leave remote_id out.
        ");
    }
}
