//! The whole configuration, checked: what every process of Tidemark starts from.
//!
//! Three layers, the later over the earlier: the embedded defaults, the user's file, the environment. Reports every mistake it can
//! find at once, each with its place. Connects to nothing; reads no file but the configuration and the secrets it names.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;
use tidemark_core::spec::{ConnectionSpec, StreamSpec};

use crate::credentials::CredentialsConfig;
use crate::errors::{ConfigErrors, Findings};
use crate::node::{self, Node};
use crate::raw::{Defaults, RawConnection, Reading};
use crate::secrets::Vault;
use crate::section::{self, Section};
use crate::settings::{
    ConnectorsConfig, DatabaseConfig, EnvironmentConfig, LogConfig, QueueConfig, RetentionConfig, SchedulerConfig, ServerConfig,
    WorkerConfig,
};
use crate::{layers, rules, streams};

/// The file of all defaults, with their reasons.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

const DEFAULTS_NAME: &str = "config.default.toml";

/// Secrets of one connection by the name they have under `secret`.
pub type Secrets = BTreeMap<String, SecretString>;

#[derive(Debug, Clone)]
pub struct Config {
    pub database: DatabaseConfig,
    pub queue: QueueConfig,
    pub server: ServerConfig,
    pub connectors: ConnectorsConfig,
    pub credentials: CredentialsConfig,
    pub worker: WorkerConfig,
    pub scheduler: SchedulerConfig,
    pub environment: EnvironmentConfig,
    pub log: LogConfig,
    pub retention: RetentionConfig,
    /// In the order of the file. Names are unique.
    pub connections: Vec<(ConnectionSpec, Secrets)>,
    /// In the order of the file, connection by connection. Names are unique.
    pub streams: Vec<StreamSpec>,
}

impl Config {
    /// Reads the file. `env` is the whole environment: overrides and secrets are looked up in it.
    pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigErrors::unreadable(path, &cause))?;
        Self::parse(&text, &path.display().to_string(), env)
    }

    /// As `load`, of a text. `origin` is the file's name in error texts; relative paths of secrets start in its directory.
    pub fn parse(text: &str, origin: &str, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let env: BTreeMap<String, String> = env.collect();
        let directory = Path::new(origin).parent().unwrap_or(Path::new("")).to_owned();
        let findings = Findings::of(origin);
        let config =
            layered(text, origin, &env, &findings).and_then(|root| Self::read(root, &Vault { env: &env, directory }, &findings));
        findings.settle(config)
    }

    fn read(root: Node, vault: &Vault<'_>, findings: &Findings) -> Option<Self> {
        let mut root = Section::open(root, findings)?;
        let database = DatabaseConfig::read(root.section("database"), vault);
        let queue = QueueConfig::read(root.section("queue"), vault);
        let server = ServerConfig::read(root.section("server"), vault);
        let own = ConnectorsConfig::read(root.section("connectors"), vault);
        let credentials = CredentialsConfig::read(root.section("credentials"), vault);
        let worker = WorkerConfig::read(root.section("worker"));
        let scheduler = SchedulerConfig::read(root.section("scheduler"));
        let environment = EnvironmentConfig::read(root.section("environment"));
        let log = LogConfig::read(root.section("log"));
        let retention = RetentionConfig::read(root.section("retention"));
        let defaults = Defaults::read(root.take("defaults"), findings);
        let remedy = "Add a table such as [connections.hubspot] with connector, environment, secret and streams.";
        let connections = root.require("connections", remedy);
        root.close();

        // With a database that was refused nothing comes of the streams; they are still checked, without a word about schemas.
        let orders_schema = match &database {
            Some(database) => database.is_postgres().then_some(database.orders_schema.as_str()),
            None => Some(""),
        };
        let reading = Reading { findings, vault, defaults: &defaults?, orders_schema };
        let connections = connections?;
        let at = connections.at.clone();
        let entries = section::entries(connections, findings)?;
        if entries.is_empty() {
            findings.add(&at, "There is no connection: nothing would be kept in agreement.", remedy);
        }
        let raw: Vec<RawConnection> = entries.into_iter().filter_map(|entry| RawConnection::read(entry, &reading)).collect();
        rules::check(&raw, worker.as_ref(), findings);
        let checked: Vec<_> = raw.into_iter().map(streams::checked).collect::<Option<_>>()?;
        let (connections, streams): (Vec<_>, Vec<_>) = checked.into_iter().unzip();
        let streams = streams.into_iter().flatten().collect();
        let worker = worker?.value;
        let (server, log, retention) = (server?, log?, retention?);
        Some(Self {
            database: database?,
            queue: queue?,
            server,
            connectors: own?,
            credentials: credentials?,
            worker,
            scheduler: scheduler?,
            environment: environment?,
            log,
            retention,
            connections,
            streams,
        })
    }
}

fn layered(text: &str, origin: &str, env: &BTreeMap<String, String>, findings: &Findings) -> Option<Node> {
    let (defaults, file) = (node::parse(DEFAULTS, DEFAULTS_NAME, findings)?, node::parse(text, origin, findings)?);
    let mut root = layers::overlay(defaults, file);
    layers::apply_environment(&mut root, env, findings);
    Some(root)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use secrecy::ExposeSecret;
    use tidemark_core::spec::{Condition, Direction, Lineage, Owner, Test};
    use tidemark_core::transform::Transform;

    use super::*;
    use crate::sample::{load, minimal};
    use crate::settings::{LogFormat, QueueUrl};

    /// The sketch of the design, whole.
    const SHOP: &str = r#"
[database]
url = "postgres://tidemark@orders-db/orders"

[queue]
url = "redis://redis:6379/0"

[connections.hubspot]
connector    = "hubspot"
environment  = "production"
account      = "24539219"
secret.token = { env = "HUBSPOT_TOKEN" }
budget       = { per_second = 8, per_day = 200_000 }

[[connections.hubspot.streams]]
object       = "contacts"
table        = "customers"
key          = "id"
direction    = "both"
poll         = { every = "10s" }
fresh_within = "2m"
remote_id    = "hubspot_id"
send_when    = { email_confirmed_at = "present" }
match_on     = ["email"]

[connections.hubspot.streams.fields]
firstname = "first_name"
email     = { column = "email", owner = "crm", check = "email" }
phone     = { column = "phone", blanks = "clear" }

[[connections.hubspot.streams]]
object    = "deals"
table     = "sales.orders"
key       = "id"
direction = "out"
match_on  = ["dealname"]
send_when = { status = ["accepted", "shipped"] }

[connections.hubspot.streams.fields]
dealname  = "number"
amount    = { column = "total_cents", as = "decimal_of_cents" }
dealstage = { column = "status", map = { shipped = "closedwon", accepted = "closedwon" } }
contact   = { column = "customer_id", references = "contacts" }

[connections.brevo]
connector = "brevo"
environment = "sandbox"
settings = { list = 7 }

[[connections.brevo.streams]]
object = "contacts"
table = "subscribers"
key = "id"
fields = { EMAIL = "email" }
"#;

    #[test]
    fn the_defaults_and_a_minimal_file_load() {
        let config = load(&minimal(), &[]).unwrap();
        assert_eq!(config.server.listen, "127.0.0.1:8624".parse::<SocketAddr>().unwrap());
        assert!(matches!(config.queue.url, QueueUrl::Embedded));
        assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Text, "info"));
        assert_eq!(config.scheduler.queue_depth_max, 2_000);
        let stream = &config.streams[0];
        assert_eq!((stream.name.as_str(), stream.direction), ("hubspot.contacts", Direction::In));
        assert_eq!((stream.poll.every, stream.poll.settled_lag), (Duration::from_secs(30), Duration::from_secs(60)));
        assert_eq!(stream.fields[0].owner, Owner::Crm);
        assert_eq!(stream.table.to_string(), "customers");
    }

    #[test]
    fn a_file_becomes_connections_and_streams_in_its_own_order() {
        let config = load(SHOP, &[("HUBSPOT_TOKEN", "secret")]).unwrap();
        let names: Vec<_> = config.streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, ["hubspot.contacts", "hubspot.deals", "brevo.contacts"]);
        let connections: Vec<_> = config.connections.iter().map(|(connection, _)| connection.name.as_str()).collect();
        assert_eq!(connections, ["hubspot", "brevo"]);
        assert_eq!(config.connections[0].1["token"].expose_secret(), "secret");
        assert_eq!(config.connections[0].0.budget.per_day, Some(200_000));
        assert_eq!(config.connections[1].0.settings["list"], "7");
    }

    #[test]
    fn a_stream_says_what_the_file_says() {
        let config = load(SHOP, &[("HUBSPOT_TOKEN", "secret")]).unwrap();
        let contacts = &config.streams[0];
        assert_eq!(contacts.table.to_string(), "public.customers");
        let owners: Vec<_> = contacts.fields.iter().map(|field| (field.property.as_str(), field.owner)).collect();
        assert_eq!(owners, [("email", Owner::Crm), ("firstname", Owner::Hold), ("phone", Owner::Hold)]);
        assert_eq!(contacts.send_when, [Condition { column: "email_confirmed_at".into(), test: Test::Present }]);
        assert_eq!((contacts.poll.every, contacts.poll.lag), (Duration::from_secs(10), Duration::from_secs(5)));
        let deals = &config.streams[1];
        assert_eq!(deals.table.to_string(), "sales.orders");
        assert!(deals.fields.iter().all(|field| field.owner == Owner::Orders));
        let (_, stage) = deals.field("dealstage").unwrap();
        let pair = |row: &str| (row.to_owned(), "closedwon".to_owned());
        assert_eq!(stage.transform, Transform::Map(vec![pair("shipped"), pair("accepted")]), "in the order written");
    }

    #[test]
    fn a_field_keeps_the_lineage_that_it_or_its_stream_or_the_defaults_name() {
        let shop = SHOP.replace("match_on     = [\"email\"]", "match_on = [\"email\"]\nlineage = \"digest\"");
        let shop = shop.replace("blanks = \"clear\"", "lineage = \"off\"");
        let config = load(&shop, &[("HUBSPOT_TOKEN", "secret")]).unwrap();
        let kept = |stream: usize| config.streams[stream].fields.iter().map(|field| field.lineage).collect::<Vec<_>>();
        assert_eq!(kept(0), [Lineage::Digest, Lineage::Digest, Lineage::Off]);
        assert_eq!(kept(1), [Lineage::Values; 4]);
        assert_eq!(config.retention.lineage, Duration::from_secs(90 * 24 * 3_600));
    }

    #[test]
    fn every_key_of_the_defaults_has_a_comment_above_it() {
        let lines: Vec<&str> = DEFAULTS.lines().collect();
        for (above, line) in lines.iter().zip(&lines[1..]).filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')) {
            assert!(above.starts_with("# "), "no comment above: {line}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
        let text = "[databse]\nurl = 'sqlite:orders.db'\n[log]\nformat = 'jsn'\nlevel = 'info,sqlx=lod'\n[server]\nlisten = 'localhost:80'\n\
            [defaults.poll]\nevry = '1s'\n[connections.hubspot]\nconector = 'hubspot'\nenvironment = ''\n[[connections.hubspot.streams]]\n\
            object = 'contacts'\ntable = 'a.b.c'\nkey = 'id'\ndirection = 'inn'\nsend_when = { status = 'there' }\n\
            poll = '5s'\nfields = { email = { column = 'email', as = 'cents' } }\n";
        insta::assert_snapshot!(load(text, &[("TIDEMARK__QUEUE__URL", "rabbit")]).unwrap_err(), @r#"
        The configuration has 15 errors.

        tidemark.toml: database.url
            `url` is missing.
            Write url = "postgres://tidemark@orders-db/orders" or url = "sqlite:orders.db".

        tidemark.toml:1:2: databse
            There is no key `databse` here.
            Did you mean `database`?

        tidemark.toml:4:10: log.format
            "jsn" is not one of the choices.
            Did you mean "json"?

        tidemark.toml:5:9: log.level
            "lod" is not a level.
            Write a level such as "info", or parts such as "info,tidemark_worker=debug".

        tidemark.toml:7:10: server.listen
            "localhost:80" is not a numeric address and port.
            Write "127.0.0.1:8624", or "0.0.0.0:8624" to be reached from other machines.

        tidemark.toml:9:1: defaults.poll.evry
            There is no key `evry` here.
            Did you mean `every`?

        tidemark.toml:10:1: connections.hubspot.connector
            `connector` is missing.
            Name the kind of CRM, such as connector = "hubspot".

        tidemark.toml:11:1: connections.hubspot.conector
            There is no key `conector` here.
            Did you mean `connector`?

        tidemark.toml:12:15: connections.hubspot.environment
            The text is empty.
            Write something between the quotes.

        tidemark.toml:15:9: connections.hubspot.streams[contacts].table
            "a.b.c" is not the name of a table.
            Write "customers" or "schema.customers".

        tidemark.toml:17:13: connections.hubspot.streams[contacts].direction
            "inn" is not one of the choices.
            Did you mean "in"?

        tidemark.toml:18:24: connections.hubspot.streams[contacts].send_when.status
            "there" is not a condition.
            Write "present", "absent", or a list of texts such as ["accepted", "shipped"].

        tidemark.toml:19:8: connections.hubspot.streams[contacts].poll
            This must be a table; it is a text.
            Write { key = … } or a [table] of its own.

        tidemark.toml:20:45: connections.hubspot.streams[contacts].fields.email.as
            "cents" is not one of the choices.
            Write one of "text", "integer", "decimal_of_cents", "bool", "date".

        environment variable TIDEMARK__QUEUE__URL: queue.url
            This names no queue that Tidemark knows.
            Write "embedded", a path such as "./queue.db", or "redis://redis:6379/0".
        "#);
    }

    #[test]
    fn a_table_in_a_schema_is_refused_on_sqlite() {
        insta::assert_snapshot!(load(&minimal().replace("'customers'", "'shop.customers'"), &[]).unwrap_err(), @r#"
        The configuration has 1 error.

        tidemark.toml:10:9: connections.hubspot.streams[contacts].table
            "shop.customers" names a schema, and database.url names SQLite, which has none.
            Write "customers".
        "#);
    }

    #[test]
    fn a_file_that_is_not_toml_or_not_there_is_refused_with_its_name() {
        insta::assert_snapshot!(load("[database]\nurl = sqlite\n", &[]).unwrap_err(), @"
        The configuration has 1 error.

        tidemark.toml:2:7
            This is not TOML: string values must be quoted, expected literal string.
            Correct the line; nothing else was checked.
        ");
        let missing = Config::load(Path::new("no/tidemark.toml"), std::iter::empty()).unwrap_err().to_string();
        assert!(missing.contains("no/tidemark.toml\n    The file cannot be read: "), "{missing}");
    }

    #[test]
    fn a_secret_file_is_found_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "from-file\n").unwrap();
        let path = directory.path().join("tidemark.toml");
        std::fs::write(&path, minimal() + "\n[server]\ntoken = { file = 'token' }\n").unwrap();
        let config = Config::load(&path, std::iter::empty()).unwrap();
        assert_eq!(config.server.token.unwrap().expose_secret(), "from-file");
    }
}
