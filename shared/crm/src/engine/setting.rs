//! Decides what a connection has to say beside its secrets, and what follows from that. Knows no credentials.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::node::{Fields, Node};
use super::object::texts_of;

/// One text that requests are made with.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) about: String,
    one_of: Vec<String>,
    usual: Option<String>,
    follows: Option<Follows>,
}

/// It is not said: each word of another setting has one of its own.
#[derive(Debug, Clone)]
struct Follows {
    of: String,
    words: BTreeMap<String, String>,
}

pub(super) type Settings = BTreeMap<String, Setting>;

/// Reads `[config]`.
pub(super) fn read(node: &Node, findings: &Findings) -> Settings {
    let entries = node.entries(findings).unwrap_or_default();
    let settings: Settings =
        entries.iter().filter_map(|(name, node)| Some((name.clone(), Setting::read(node, findings)?))).collect();
    for (name, node) in entries {
        if let Some(follows) = settings.get(name).and_then(|setting| setting.follows.as_ref()) {
            follows.check(node, &settings, findings);
        }
    }
    settings
}

impl Setting {
    fn read(node: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let about = fields.need("about", "Say in words what is to be written there.");
        let about = about.and_then(|node| node.text(findings)).map(str::to_owned);
        let listed = fields.get("one_of");
        let one_of: Vec<String> =
            listed.map(|node| node.texts(findings)).unwrap_or_default().into_iter().map(str::to_owned).collect();
        let default = fields.get("default");
        let usual = default.and_then(|node| node.text(findings)).map(str::to_owned);
        if let (Some(node), Some(text)) = (default, &usual)
            && !one_of.is_empty()
            && !one_of.contains(text)
        {
            findings.add(&node.at, "the default is none of one_of.", "Correct one of them.");
        }
        let (of, words) = (fields.text("of"), fields.get("words"));
        let follows = match (of, words) {
            (None, None) => None,
            (Some(of), Some(words)) => {
                if let Some(node) = listed.or(default) {
                    findings.add(&node.at, "what follows from another setting is not said by a connection.", "Take it out.");
                }
                Some(Follows { of: of.to_owned(), words: texts_of(words, findings) })
            }
            _ => {
                findings.add(
                    fields.at,
                    "`of` and `words` go together.",
                    "Write which setting it follows from, and its word for each value of that.",
                );
                None
            }
        };
        fields.end();
        Some(Self { about: about?, one_of, usual, follows })
    }

    /// A connection has to say it, or may.
    pub(super) fn is_said(&self) -> bool {
        self.follows.is_none()
    }
}

impl Follows {
    fn check(&self, node: &Node, settings: &Settings, findings: &Findings) {
        let Some(leader) = settings.get(&self.of).filter(|leader| !leader.one_of.is_empty()) else {
            findings.add(&node.at, format!("`{}` is no setting with `one_of`.", self.of), "Name one whose values are listed.");
            return;
        };
        let lacking: Vec<&str> =
            leader.one_of.iter().map(String::as_str).filter(|value| !self.words.contains_key(*value)).collect();
        if !lacking.is_empty() {
            let problem = format!("there is no word for {}.", lacking.join(", "));
            findings.add(&node.at, problem, format!("Write one for each value of `{}`.", self.of));
        }
        for word in self.words.keys().filter(|word| !leader.one_of.contains(word)) {
            findings.add(&node.at, format!("`{word}` is no value of `{}`.", self.of), "Correct one of them.");
        }
    }
}

/// What requests are made with, from what a connection says; `Err` says what of that is wrong.
pub(super) fn chosen(
    connector: &str,
    settings: &Settings,
    told: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let said = || settings.iter().filter(|(_, setting)| setting.is_said());
    if let Some(name) = told.keys().find(|name| said().all(|(known, _)| known != *name)) {
        let known: Vec<&str> = said().map(|(name, _)| name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("settings.{name} is not known to {connector}; known are {known}"));
    }
    let mut chosen = BTreeMap::new();
    for (name, setting) in said() {
        let text = told.get(name).or(setting.usual.as_ref());
        let text = text.ok_or_else(|| format!("settings.{name} is missing: {}", setting.about))?;
        if !setting.one_of.is_empty() && !setting.one_of.contains(text) {
            return Err(format!("settings.{name} is `{text}`; write one of {}", setting.one_of.join(", ")));
        }
        chosen.insert(name.clone(), text.clone());
    }
    for (name, setting) in settings {
        let word = setting.follows.as_ref().and_then(|follows| follows.words.get(chosen.get(&follows.of)?).cloned());
        chosen.extend(word.map(|word| (name.clone(), word)));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::super::node::{Value, parse};
    use super::*;

    fn settings(file: &str) -> Settings {
        let findings = Findings::default();
        let root = parse(file, &findings).unwrap();
        let Value::Table(entries) = &root.value else { panic!("a file is a table") };
        let (_, config) = entries.iter().find(|(name, _)| name == "config").unwrap();
        let settings = read(config, &findings);
        assert!(findings.is_empty(), "{findings:?}");
        settings
    }

    fn told(name: &str, text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("organization".to_owned(), "1".to_owned()), (name.to_owned(), text.to_owned())])
    }

    #[test]
    fn where_zoho_gives_tokens_follows_from_the_data_centre() {
        let settings = settings(include_str!("../../../../connectors/zoho-books.toml"));
        for (dc, accounts) in [("com", "zoho.com"), ("com.au", "zoho.com.au"), ("ca", "zohocloud.ca")] {
            let chosen = chosen("zoho-books", &settings, &told("dc", dc)).unwrap();
            assert_eq!(chosen.get("accounts").map(String::as_str), Some(accounts), "{dc}");
        }
    }

    #[test]
    fn what_follows_from_another_setting_is_not_said() {
        let settings = settings(include_str!("../../../../connectors/zoho-books.toml"));
        let wrong = chosen("zoho-books", &settings, &told("accounts", "zoho.eu")).unwrap_err();
        assert_eq!(wrong, "settings.accounts is not known to zoho-books; known are dc, organization");
    }
}
