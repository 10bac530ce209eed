//! The demo's configuration: a tidemark.toml as a person would write it, and the one the README shows.

use std::net::SocketAddr;

use eyre::WrapErr;
use tidemark_boot::Config;

/// How a file that a demo wrote is known.
pub(crate) const FIRST_LINE: &str = "# Written by `tidemark demo`";

/// The environment variable the token is looked up in, and the token the practice CRM accepts.
pub(crate) const TOKEN: (&str, &str) = ("HUBSPOT_TOKEN", "pat-na1-sandbox");

/// The account the practice CRM answers for.
pub(crate) const ACCOUNT: &str = "24539219";

/// The streams, parents first.
pub(crate) const STREAMS: [&str; 2] = ["hubspot.contacts", "hubspot.deals"];

/// The property of the CRM that holds the rows' keys.
pub(crate) const KEY_PROPERTY: &str = "tidemark_key";

const TEMPLATE: &str = include_str!("tidemark.toml");

/// What differs from run to run.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) orders_url: &'a str,
    pub(crate) queue_url: &'a str,
    pub(crate) dashboard: SocketAddr,
    pub(crate) crm: &'a str,
}

/// The file's text.
pub(crate) fn text(places: &Places<'_>) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let body = TEMPLATE
        .replace("{orders_url}", &quoted(places.orders_url))
        .replace("{queue_url}", &quoted(places.queue_url))
        .replace("{dashboard}", &places.dashboard.to_string())
        .replace("{crm}", places.crm);
    format!("{FIRST_LINE}, and written anew by the next one: copy it before you change it.\n{body}")
}

/// The checked configuration. Of the environment only what is said about the log counts: a demo is never led to a real database.
pub(crate) fn parse(text: &str, origin: &str) -> eyre::Result<Config> {
    let log = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let log = log.filter(|(name, _)| name.starts_with("TIDEMARK__LOG__"));
    let token = (TOKEN.0.to_owned(), TOKEN.1.to_owned());
    Config::parse(text, origin, log.chain([token])).wrap_err("the demo's own configuration is refused")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_core::spec::Direction;
    use tidemark_sandbox::Weather;

    use super::*;

    /// What `tidemark demo` without a word more writes.
    fn written() -> String {
        text(&Places {
            orders_url: "sqlite://demo/orders.db?mode=rwc",
            queue_url: "embedded",
            dashboard: "127.0.0.1:8624".parse().unwrap(),
            crm: "http://127.0.0.1:8625",
        })
    }

    fn demo() -> Config {
        parse(&written(), "demo/tidemark.toml").unwrap()
    }

    #[test]
    fn the_readme_shows_the_configuration_that_the_demo_writes() {
        let readme = include_str!("../../README.md");
        let shown = readme.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).map(|(shown, _)| shown).unwrap();
        assert_eq!(shown, written().split_once('\n').unwrap().1, "copy what `tidemark demo` writes into the README");
    }

    #[test]
    fn the_demo_keeps_contacts_both_ways_and_sends_deals() {
        let streams: Vec<(String, Direction)> =
            demo().streams.into_iter().map(|stream| (stream.name, stream.direction)).collect();
        assert_eq!(streams, [(STREAMS[0].to_owned(), Direction::Both), (STREAMS[1].to_owned(), Direction::Out)]);
        assert!(demo().streams.iter().all(|stream| stream.external_key.as_deref() == Some(KEY_PROPERTY)));
    }

    #[test]
    fn the_settled_reader_stays_behind_the_roughest_weather() {
        let rough = Weather::rough();
        let latest = Duration::from_millis(rough.late_commit_ms.1 + rough.index_lag_ms.1);
        assert!(demo().streams.iter().all(|stream| stream.poll.settled_lag > latest));
    }

    #[test]
    fn a_place_with_quotes_stays_one_text() {
        let places = Places {
            orders_url: "sqlite://my \"demo\"/orders.db",
            queue_url: "embedded",
            dashboard: "127.0.0.1:0".parse().unwrap(),
            crm: "http://127.0.0.1:1",
        };
        assert!(parse(&text(&places), "tidemark.toml").is_ok());
    }
}
