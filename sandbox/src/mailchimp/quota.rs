//! The account's one quota: calls at the same time. Those who keep running into it are turned away without a word of JSON.

use crate::{Refusal, call::Answer, mailchimp::refuse, quirk::Switch, turn::Turn};

pub(super) const CONNECTIONS_MAX: Switch = Switch::number("connections_max", 10, "calls that are answered at the same time");
pub(super) const BLUNT_AFTER: Switch =
    Switch::number("blunt_after", 10, "so many 429 within a minute, and a further one is a 403 without JSON [number unverified]");

const REFUSALS: &str = "refusals";
const MINUTE_MS: i64 = 60_000;

pub(super) fn admit(turn: &mut Turn<'_>) -> Result<(), Answer> {
    if turn.in_flight <= turn.number(&CONNECTIONS_MAX) {
        return Ok(());
    }
    turn.meters.spend(REFUSALS, 1, turn.now_ms, MINUTE_MS);
    let often = turn.meters.spent(REFUSALS, turn.now_ms - MINUTE_MS) > turn.number(&BLUNT_AFTER);
    Err(if often { blunt(403) } else { connections(turn) })
}

/// No header says when to come back.
pub(super) fn connections(turn: &Turn<'_>) -> Answer {
    let text = "You have exceeded the limit of 10 simultaneous connections.";
    let answer = refuse::whole(turn, &Refusal::new(429, "Too Many Requests", text));
    match turn.weather.retry_after_secs {
        Some(secs) => answer.with_header("Retry-After", secs.to_string()),
        None => answer,
    }
}

/// The edge's page, which looks like a missing permission to those who read only the status.
pub(super) fn blunt(status: u16) -> Answer {
    let page = "<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>\
        You don't have permission to access this resource on this server.<P>Reference&#32;&#35;18&#46;5987d317</BODY></HTML>\n";
    Answer::html(status, page)
}
