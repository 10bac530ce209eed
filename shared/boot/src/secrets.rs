//! Fetches secrets from where the configuration says they are: an environment variable or a file.
//!
//! Never quotes a value, nor a name that could be a secret pasted into the wrong place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::errors::{Findings, Place};
use crate::node::{Located, Node, Value};
use crate::section::{self, Section};

/// Longest name of an environment variable that is believed to be one.
const VARIABLE_NAME_CHARS_MAX: usize = 64;

/// Where secrets are looked up.
pub(crate) struct Vault<'a> {
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Relative paths start here: beside the configuration file.
    pub(crate) directory: PathBuf,
}

impl Vault<'_> {
    /// `{ env = … }`, `{ file = … }`, or the value of a `TIDEMARK__…` variable; a literal in the file is refused.
    pub(crate) fn secret(&self, node: Node, findings: &Findings) -> Option<SecretString> {
        if !matches!(node.value, Value::Table(_)) && !node.at.is_variable() {
            let last = node.at.key.rsplit('.').next().unwrap_or("token");
            let remedy = format!(
                "Write {last} = {{ env = \"{}\" }} or {last} = {{ file = \"/run/secrets/{}\" }}.",
                suggested_name(&node.at.key).to_uppercase(),
                suggested_name(&node.at.key)
            );
            let problem = "A secret may not stand in the file itself, which is committed, copied and shown to others.";
            findings.add(&node.at, problem, remedy);
            return None;
        }
        self.text_or_secret(node, findings).map(|secret| secret.value)
    }

    /// As `secret`, but a literal in the file is accepted: an address that need not hold a password.
    pub(crate) fn text_or_secret(&self, node: Node, findings: &Findings) -> Option<Located<SecretString>> {
        if !matches!(node.value, Value::Table(_)) {
            return section::text(node, findings).map(|text| text.map(SecretString::from));
        }
        let mut source = Section::open(node, findings)?;
        let at = source.at.clone();
        let (variable, file) = (source.take("env"), source.take("file"));
        source.close();
        let value = match (variable, file) {
            (Some(name), None) => self.read_variable(name, findings),
            (None, Some(path)) => self.read_file(path, findings),
            (Some(name), Some(_)) => {
                findings.add(&name.at, "Both `env` and `file` say where the secret is.", "Keep one of them.");
                None
            }
            (None, None) => {
                let remedy = "Write { env = \"NAME\" } or { file = \"/run/secrets/name\" }.";
                findings.add(&at, "Nothing says where the secret is.", remedy);
                None
            }
        };
        value.map(|value| Located { value, at })
    }

    fn read_variable(&self, name: Node, findings: &Findings) -> Option<SecretString> {
        let Located { value: name, at } = section::text(name, findings)?;
        if !is_variable_name(&name) {
            let remedy =
                "Write the variable's name in capitals, such as \"HUBSPOT_TOKEN\", and put the secret into the variable.";
            findings.add(&at, "This is not the name of an environment variable.", remedy);
            return None;
        }
        let problem = match self.env.get(&name).map(|value| value.trim()) {
            Some("") => format!("The environment variable {name} is empty."),
            Some(value) => return Some(SecretString::from(value)),
            None => format!("The environment variable {name} is not set."),
        };
        findings.add(&at, problem, format!("Set {name}, or name another variable or a file."));
        None
    }

    fn read_file(&self, path: Node, findings: &Findings) -> Option<SecretString> {
        let Located { value: path, at } = section::text(path, findings)?;
        match std::fs::read_to_string(self.directory.join(path)) {
            Ok(text) if text.trim().is_empty() => empty_file(&at, findings),
            Ok(text) => Some(SecretString::from(text.trim())),
            Err(cause) => {
                let remedy = "Check the path and the rights; a relative path starts beside this file.";
                findings.add(&at, format!("The file named here cannot be read: {}.", cause.kind()), remedy);
                None
            }
        }
    }
}

fn empty_file(at: &Place, findings: &Findings) -> Option<SecretString> {
    findings.add(at, "The file named here is empty.", "Write the secret into it.");
    None
}

fn is_variable_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_');
    let goes_on = name.chars().all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == '_');
    starts && goes_on && name.len() <= VARIABLE_NAME_CHARS_MAX
}

/// `connections.hubspot.secret.token` suggests `hubspot_token`, `server.token` suggests `tidemark_token`.
fn suggested_name(key: &str) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    let name = match parts.as_slice() {
        ["connections", connection, .., last] => format!("{connection}_{last}"),
        [.., last] => format!("tidemark_{last}"),
        [] => "secret".to_owned(),
    };
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use crate::sample;

    fn with_token(token: &str) -> String {
        sample::minimal().replace("environment", &format!("secret.token = {token}\nenvironment"))
    }

    fn check(token: &str, env: &[(&str, &str)], expect: &str) {
        let config = sample::load(&with_token(token), env).unwrap();
        assert_eq!(config.connections[0].1["token"].expose_secret(), expect);
    }

    #[test]
    fn a_secret_comes_from_a_variable_a_file_or_its_own_override() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        check("{ env = 'HUBSPOT_TOKEN' }", &[("HUBSPOT_TOKEN", "from-env")], "from-env");
        check(&format!("{{ file = '{}' }}", file.path().display()), &[], "from-file");
        check("{ env = 'NOT_SET' }", &[("TIDEMARK__CONNECTIONS__HUBSPOT__SECRET__TOKEN", "direct")], "direct");
    }

    #[test]
    fn a_literal_secret_is_refused_with_what_to_write_and_never_repeated() {
        let text = with_token("'pat-na1-0000'") + "\n[server]\ntoken = 'pat-na1-0000'\n";
        insta::assert_snapshot!(sample::load(&text, &[]).unwrap_err(), @r#"
        The configuration has 2 errors.

        tidemark.toml:6:16: connections.hubspot.secret.token
            A secret may not stand in the file itself, which is committed, copied and shown to others.
            Write token = { env = "HUBSPOT_TOKEN" } or token = { file = "/run/secrets/hubspot_token" }.

        tidemark.toml:17:9: server.token
            A secret may not stand in the file itself, which is committed, copied and shown to others.
            Write token = { env = "TIDEMARK_TOKEN" } or token = { file = "/run/secrets/tidemark_token" }.
        "#);
    }

    #[test]
    fn a_missing_variable_is_named() {
        insta::assert_snapshot!(sample::load(&with_token("{ env = 'HUBSPOT_TOKEN' }"), &[]).unwrap_err(), @"
        The configuration has 1 error.

        tidemark.toml:6:24: connections.hubspot.secret.token.env
            The environment variable HUBSPOT_TOKEN is not set.
            Set HUBSPOT_TOKEN, or name another variable or a file.
        ");
    }

    #[test]
    fn a_secret_pasted_where_a_name_belongs_is_not_printed() {
        for token in
            ["{ env = 'pat-na1-0000' }", "{ file = 'pat-na1-0000' }", "{ env = 'A', file = 'pat-na1-0000' }", "{}", "12345678"]
        {
            let errors = sample::load(&with_token(token), &[]).unwrap_err().to_string();
            assert!(!errors.contains("pat-na1") && !errors.contains("12345678"), "{errors}");
        }
    }

    #[test]
    fn no_secret_shows_in_the_debug_form_of_a_configuration() {
        let env = [("HUBSPOT_TOKEN", "pat-na1-0000"), ("TIDEMARK__DATABASE__URL", "postgres://me:pat-na1-0000@db/orders")];
        let config = sample::load(&with_token("{ env = 'HUBSPOT_TOKEN' }"), &env).unwrap();
        assert!(!format!("{config:?}").contains("pat-na1"));
    }
}
