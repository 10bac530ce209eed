//! Tidemark as a user runs it: a configuration file, `migrate`, `resume`, then `up`, each a process of its own.
//!
//! Changes no default that a user would leave alone, except that the budget is too large to matter.

use std::fmt::Write as _;
use std::path::Path;

use crate::contacts::{self, Kind};
use crate::installation::{Installation, free_port};
use crate::process::Running;

const DATABASE: &str = "TIDEMARK_BENCH_DATABASE_URL";
const TOKEN: &str = "TIDEMARK_BENCH_TOKEN";
const STREAM: &str = "hubspot.contacts";

/// One installation in a folder of its own.
pub(crate) struct Product(Installation);

impl Product {
    pub(crate) fn install(program: &Path, database_url: &str, crm_url: &str, page: u16) -> eyre::Result<Self> {
        let variables = [(DATABASE, database_url), (TOKEN, "benchmark")];
        Ok(Self(Installation::new(program, &config(crm_url, free_port()?, page), &variables)?))
    }

    /// Everything that comes before reading: Tidemark's tables, and the word to go.
    pub(crate) fn prepare(&self) -> eyre::Result<()> {
        self.0.finish(&["migrate"])?;
        self.0.finish(&["resume", STREAM])
    }

    /// Scheduler, worker and dashboard in one process.
    pub(crate) fn up(&self) -> eyre::Result<Running> {
        self.0.start(&["up"])
    }

    /// The last lines that a verb has written.
    pub(crate) fn log(&self, verb: &str) -> String {
        self.0.log(verb)
    }
}

fn config(crm_url: &str, port: u16, page: u16) -> String {
    let mut text = format!(
        r#"[database]
url = {{ env = "{DATABASE}" }}

[queue]
url = "embedded"

[server]
listen = "127.0.0.1:{port}"

[connections.hubspot]
connector = "hubspot"
environment = "test"
account = "1"
base_url = "{crm_url}"
secret.token = {{ env = "{TOKEN}" }}
budget = {{ per_second = 5000, search_per_second = 5000 }}

[[connections.hubspot.streams]]
object = "contacts"
table = "bench_contacts"
key = "id"
direction = "in"
owner = "crm"
poll = {{ page_rows_max = {page} }}

[connections.hubspot.streams.fields]
"#
    );
    for (name, kind) in contacts::FIELDS {
        let form = match kind {
            Kind::Integer => Some("integer"),
            Kind::Boolean => Some("bool"),
            Kind::Text | Kind::Numeric | Kind::Timestamp => None,
        };
        // Writing to a String cannot fail.
        let _ = match form {
            Some(form) => writeln!(text, "{name} = {{ column = \"{name}\", as = \"{form}\" }}"),
            None => writeln!(text, "{name} = \"{name}\""),
        };
    }
    text
}

/// What a run configures, and the variables it needs, for tests that give it to Tidemark's own code.
#[cfg(test)]
pub(crate) fn sample_config(crm_url: &str) -> (String, [(String, String); 2]) {
    let variables = [(DATABASE, "postgres://orders@localhost/orders"), (TOKEN, "benchmark")];
    (config(crm_url, 8_624, 200), variables.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use tidemark_boot::Config;
    use tidemark_core::spec::{Direction, Owner};

    use super::{STREAM, sample_config};
    use crate::contacts;

    #[test]
    fn the_generated_configuration_is_one_that_tidemark_takes() {
        let (text, env) = sample_config("http://127.0.0.1:1");
        let config = Config::parse(&text, "tidemark.toml", env.into_iter()).unwrap_or_else(|errors| panic!("{errors}"));
        let stream = &config.streams[0];
        assert_eq!((stream.name.as_str(), stream.direction), (STREAM, Direction::In));
        assert!(stream.fields.iter().all(|field| field.owner == Owner::Crm));
        assert_eq!(stream.fields.len(), contacts::FIELDS.len());
    }
}
