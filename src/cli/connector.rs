//! What can be said to `tidemark connector`. Help texts are for strangers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::help;

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectorAct {
    /// List the connectors of this program, and with --folder those of a folder of one's own.
    List {
        /// A folder whose every *.toml describes a connector.
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Print JSON for programs: with what each object declares.
        #[arg(long)]
        json: bool,
    },
    /// Begin a connector file: with a comment for everything, and blanks where only you know what to write.
    #[command(after_help = help::CONNECTOR_NEW)]
    New {
        /// The connector's name: small letters, digits, - and _, such as acme-crm.
        name: String,
        /// Write this file, which must not be there yet; without it the text is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check one connector file, and say what it comes to.
    Check {
        /// The file, named after the connector: acme-crm.toml.
        file: PathBuf,
    },
    /// Try a connector file in front of a CRM: does it read what was changed, keep what is sent, call a refusal what it is?
    #[command(after_help = help::CONNECTOR_TEST)]
    Test(Box<TestArgs>),
    /// Learn what a running CRM does with stamps, bounds, order and late saves, and compare it with what a file declares.
    #[command(after_help = help::CONNECTOR_PROBE)]
    Probe(Box<TrialArgs>),
}

/// Which file is tried, where, and with what.
#[derive(Debug, Args)]
pub(crate) struct TrialArgs {
    /// The file, named after the connector: acme-crm.toml.
    pub(crate) file: PathBuf,
    /// The server that is asked: a sandbox account of the CRM, or a practice CRM (`tidemark sandbox`).
    #[arg(long, value_name = "URL")]
    pub(crate) against: String,
    /// Make the test records. Without it nothing is sent, and what would be made is said.
    #[arg(long)]
    pub(crate) yes_write: bool,
    /// Take settings, secrets, environment and budget from this connection of the configuration.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["settings", "secrets", "environment"])]
    pub(crate) connection: Option<String>,
    /// One of the file's [config]; may be repeated.
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
    /// One of the file's [secret], and the environment variable that holds it; may be repeated.
    #[arg(long = "secret", value_name = "NAME=VARIABLE")]
    pub(crate) secrets: Vec<String>,
    /// The environment that the account must say it is.
    #[arg(long, value_name = "NAME", default_value = "sandbox")]
    pub(crate) environment: String,
    /// The object to try; not needed where the file has one.
    #[arg(long, value_name = "NAME")]
    pub(crate) object: Option<String>,
    /// A property of it that holds an e-mail address, and by which a record can be looked up.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) email: String,
    /// A property that holds any text.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) name: String,
    /// A property that holds a phone number and can be cleared.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) phone: String,
    /// What a new record needs beside these; may be repeated.
    #[arg(long = "with", value_name = "PROPERTY=VALUE")]
    pub(crate) with: Vec<String>,
    /// The domain of the e-mail addresses that are made up.
    #[arg(long, value_name = "DOMAIN", default_value = "example.com")]
    pub(crate) domain: String,
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) trial: TrialArgs,
    /// A unique property that holds our key, for connectors that can upsert.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) external_key: Option<String>,
    /// Only this case; may be repeated.
    #[arg(long = "case", value_name = "CASE")]
    pub(crate) cases: Vec<String>,
}
