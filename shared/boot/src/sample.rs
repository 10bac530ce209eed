//! Small configurations for the tests of this crate.

use crate::{Config, ConfigErrors, Origin};

pub(crate) const HEAD: &str = "[database]
url = 'sqlite:orders.db'

[connections.hubspot]
connector = 'hubspot'
environment = 'sandbox'

[[connections.hubspot.streams]]
object = 'contacts'
table = 'customers'
key = 'id'
";

const FIELDS: &str = "[connections.hubspot.streams.fields]
email = 'email'
";

/// The least a user can write.
pub(crate) fn minimal() -> String {
    format!("{HEAD}{FIELDS}")
}

/// The minimal file with `body` at the end of its stream; its first line is line 12.
pub(crate) fn with_stream(body: &str) -> String {
    let fields = if body.contains("fields") { "" } else { FIELDS };
    format!("{HEAD}{body}\n{fields}")
}

/// Errors as `Config::parse` gives them, except that lines of the defaults are not counted: a comment added there breaks no test.
pub(crate) fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut loaded = Config::parse(text, "tidemark.toml", env);
    for error in loaded.as_mut().err().into_iter().flat_map(|errors| &mut errors.errors) {
        if let Origin::File { name, position } = &mut error.at.origin
            && **name == *"config.default.toml"
        {
            (*name, *position) = ("config.default.toml:LINE".into(), None);
        }
        error.problem = without_lines(&error.problem);
    }
    loaded
}

/// The words of what is wrong with the minimal file plus `body`.
pub(crate) fn refused(body: &str) -> String {
    load(&with_stream(body), &[]).expect_err("a contradiction").to_string()
}

fn without_lines(problem: &str) -> String {
    let mut parts = problem.split("config.default.toml:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |words, rest| {
        let rest = rest.trim_start_matches(|one: char| one.is_ascii_digit() || one == ':');
        format!("{words}config.default.toml:LINE{rest}")
    })
}
