//! Decides what a connector file says: objects, budgets, paths and error rules, checked as a whole when it is loaded.
//!
//! Never calls anyone. A file that contradicts itself is refused with its name and the place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tidemark_core::source::{IdOrder, Order, Paging, SourceTraits};
use tidemark_core::spec::BudgetSpec;
use tidemark_core::webhook::Signature;

use crate::errors::{ErrorTable, RuleText, Words};
use crate::{Bucket, BucketLimit};

/// A connector file that cannot be used. The text names the file and the place in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct DescriptionError {
    pub file: String,
    pub what: String,
}

/// What one kind of CRM declares.
#[derive(Debug, Clone)]
pub struct Description {
    /// The vendor's name as people write it, for messages.
    pub vendor: String,
    pub base: String,
    pub quota_header: Option<String>,
    /// What the vendor keeps of a record that was archived.
    pub archive_leaves: Option<String>,
    pub paths: Paths,
    pub errors: ErrorTable,
    /// How the vendor signs its webhooks.
    pub webhook: Option<Signature>,
    environments: BTreeMap<String, String>,
    budgets: Vec<BucketLimit>,
    objects: BTreeMap<String, Object>,
    object_default: Object,
}

/// Prefixes of the vendor's paths: versions change twice a year.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    pub objects: String,
    pub properties: String,
    pub associations: String,
    pub account: String,
}

/// One object of the CRM as the connector reads and writes it.
#[derive(Debug, Clone)]
pub struct Object {
    pub traits: SourceTraits,
    /// The property that carries the modified stamp.
    pub modified: String,
    /// The property that lists the ids of records merged into this one.
    pub merged: Option<String>,
    /// Below the object's path: deletes one record for good.
    pub erase: Option<String>,
    /// Properties by which a record can be read consistently.
    pub unique: Vec<String>,
    /// Properties the CRM keeps in lower case.
    pub lower_case: Vec<String>,
    /// Where a property of ours is filed.
    pub property_group: Option<String>,
    /// Properties without which no record is made.
    pub required: Vec<String>,
    /// The longest text of a property, and of any that is not named.
    chars_max: BTreeMap<String, u32>,
    text_chars_max: Option<u32>,
}

impl Object {
    /// The longest text of this property, where that is declared.
    pub fn chars_max(&self, property: &str) -> Option<u32> {
        self.chars_max.get(property).copied().or(self.text_chars_max)
    }
}

impl Description {
    /// `file` is only named in errors; `connector` is the name the file must carry.
    pub fn load(connector: &str, file: &str, text: &str) -> Result<Self, DescriptionError> {
        let fail = |what: String| DescriptionError { file: file.to_owned(), what };
        let parsed: File = toml::from_str(text).map_err(|error| fail(error.to_string().trim_end().to_owned()))?;
        parsed.check(connector).map_err(fail)
    }

    /// The object's own description, or the default one for an object that is not listed. `None` when the name cannot be an object's.
    pub fn object(&self, name: &str) -> Option<&Object> {
        let plausible = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        self.objects.get(name).or_else(|| plausible.then_some(&self.object_default))
    }

    /// What is declared of each listed object, and under `object_default` of any other.
    pub fn traits(&self) -> impl Iterator<Item = (&str, &SourceTraits)> {
        let listed = self.objects.iter().map(|(name, object)| (name.as_str(), &object.traits));
        listed.chain(std::iter::once(("object_default", &self.object_default.traits)))
    }

    /// What an object that is not listed is read like.
    pub fn default_object(&self) -> &Object {
        &self.object_default
    }

    pub fn environment(&self, vendor_word: &str) -> String {
        self.environments.get(vendor_word).cloned().unwrap_or_else(|| vendor_word.to_lowercase())
    }

    /// The vendor's budgets, or what the connection asks for: less where others share the account, more where the account bought more.
    pub fn limits(&self, asked: &BudgetSpec) -> Vec<BucketLimit> {
        self.budgets.iter().map(|limit| asked_of(*limit, asked)).collect()
    }
}

/// One budget, as the connection asks for it.
pub(crate) fn asked_of(limit: BucketLimit, asked: &BudgetSpec) -> BucketLimit {
    let wanted = match limit.bucket {
        Bucket::General => asked.per_second,
        Bucket::Search => asked.search_per_second,
    };
    match wanted.filter(|wanted| *wanted > 0.0) {
        // The burst follows the rate. A lower budget exists because others spend the rest of the window; a higher one because the account bought it.
        Some(wanted) => {
            let share = f64::from(limit.burst) * wanted / limit.per_second;
            BucketLimit { bucket: limit.bucket, per_second: wanted, burst: (share.floor() as u32).max(1) }
        }
        None => limit,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    connector: ConnectorText,
    paths: Paths,
    environments: BTreeMap<String, String>,
    budget: Budgets,
    object_default: ObjectText,
    #[serde(default)]
    object: BTreeMap<String, ObjectText>,
    words: Words,
    webhook: Option<Signature>,
    #[serde(default)]
    error: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectorText {
    name: String,
    vendor: String,
    base: String,
    quota_header: Option<String>,
    archive_leaves: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    general: BudgetText,
    search: BudgetText,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetText {
    calls: u32,
    window_secs: u32,
    per_second: f64,
    burst: u32,
}

/// What an object leaves out is taken from `[object_default]`, which must say everything but what comes after `archive_view`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectText {
    modified: Option<String>,
    order: Option<Order>,
    paging: Option<Paging>,
    id_order: Option<IdOrder>,
    result_cap: Option<u32>,
    token_life_secs: Option<u32>,
    precision_ms: Option<u32>,
    commit_lag_secs: Option<u32>,
    fast_lag_secs: Option<u32>,
    page_rows_max: Option<u16>,
    batch_rows_max: Option<u16>,
    request_life_secs: Option<u32>,
    guarded: Option<bool>,
    archive_view: Option<bool>,
    merged: Option<String>,
    erase: Option<String>,
    unique: Option<Vec<String>>,
    lower_case: Option<Vec<String>>,
    property_group: Option<String>,
    required: Option<Vec<String>>,
    chars_max: Option<BTreeMap<String, u32>>,
    text_chars_max: Option<u32>,
}

impl File {
    fn check(self, connector: &str) -> Result<Description, String> {
        if self.connector.name != connector {
            return Err(format!("connector.name is `{}`, expected `{connector}`", self.connector.name));
        }
        let paths = &self.paths;
        for (key, path) in [
            ("objects", &paths.objects),
            ("properties", &paths.properties),
            ("associations", &paths.associations),
            ("account", &paths.account),
        ] {
            if !path.starts_with('/') || path.ends_with('/') {
                return Err(format!("paths.{key} `{path}` must begin with / and not end with it"));
            }
        }
        if let Some(problem) = self.webhook.as_ref().and_then(Signature::problem) {
            return Err(format!("webhook: {problem}"));
        }
        let budgets = vec![
            self.budget.general.check(Bucket::General).map_err(|what| format!("budget.general: {what}"))?,
            self.budget.search.check(Bucket::Search).map_err(|what| format!("budget.search: {what}"))?,
        ];
        let object_default = self.object_default.resolve("object_default", None)?;
        let mut objects = BTreeMap::new();
        for (name, text) in self.object {
            let object = text.resolve(&format!("object.{name}"), Some(&object_default))?;
            objects.insert(name, object);
        }
        Ok(Description {
            archive_leaves: self.connector.archive_leaves,
            vendor: self.connector.vendor,
            base: self.connector.base,
            quota_header: self.connector.quota_header,
            errors: ErrorTable::new(self.error, self.words)?,
            webhook: self.webhook,
            environments: self.environments,
            paths: self.paths,
            budgets,
            objects,
            object_default,
        })
    }
}

impl BudgetText {
    /// `Err` says what is wrong with it, for the loader to name its place.
    pub(crate) fn check(self, bucket: Bucket) -> Result<BucketLimit, String> {
        if !(self.per_second > 0.0 && self.per_second.is_finite()) || self.burst == 0 {
            return Err("per_second and burst must be above zero".to_owned());
        }
        let most = f64::from(self.burst) + self.per_second * f64::from(self.window_secs);
        if most > f64::from(self.calls) {
            return Err(format!("burst + per_second * window_secs is {most}, above the limit of {} calls", self.calls));
        }
        Ok(BucketLimit { bucket, per_second: self.per_second, burst: self.burst })
    }
}

impl ObjectText {
    fn resolve(self, place: &str, default: Option<&Object>) -> Result<Object, String> {
        let missing = |key: &str| format!("{place}.{key} is missing");
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        let traits = default.map(|object| object.traits.clone());
        let base = traits.as_ref();
        let traits = SourceTraits {
            order: self.order.or(base.map(|t| t.order)).ok_or_else(|| missing("order"))?,
            paging: self.paging.or(base.map(|t| t.paging)).unwrap_or_default(),
            id_order: self.id_order.or(base.map(|t| t.id_order)).unwrap_or_default(),
            result_cap: self.result_cap.or(base.and_then(|t| t.result_cap)),
            token_life: self.token_life_secs.map(secs).or(base.and_then(|t| t.token_life)),
            precision_ms: self.precision_ms.or(base.map(|t| t.precision_ms)).ok_or_else(|| missing("precision_ms"))?,
            commit_lag: self
                .commit_lag_secs
                .map(secs)
                .or(base.map(|t| t.commit_lag))
                .ok_or_else(|| missing("commit_lag_secs"))?,
            fast_lag: self.fast_lag_secs.map(secs).or(base.map(|t| t.fast_lag)).ok_or_else(|| missing("fast_lag_secs"))?,
            page_rows_max: self.page_rows_max.or(base.map(|t| t.page_rows_max)).ok_or_else(|| missing("page_rows_max"))?,
            read_rows_max: self.batch_rows_max.or(base.map(|t| t.read_rows_max)).ok_or_else(|| missing("batch_rows_max"))?,
            batch_rows_max: self.batch_rows_max.or(base.map(|t| t.batch_rows_max)).ok_or_else(|| missing("batch_rows_max"))?,
            request_life: self
                .request_life_secs
                .map(secs)
                .or(base.map(|t| t.request_life))
                .ok_or_else(|| missing("request_life_secs"))?,
            guarded: self.guarded.or(base.map(|t| t.guarded)).ok_or_else(|| missing("guarded"))?,
            stamped: true,
            page_cost: 1,
            archive_view: self.archive_view.or(base.map(|t| t.archive_view)).ok_or_else(|| missing("archive_view"))?,
        };
        if traits.page_rows_max == 0 || traits.batch_rows_max == 0 || traits.precision_ms == 0 {
            return Err(format!("{place}: page_rows_max, batch_rows_max and precision_ms must be above zero"));
        }
        if traits.commit_lag < traits.fast_lag {
            return Err(format!("{place}: commit_lag_secs is shorter than fast_lag_secs"));
        }
        let modified =
            self.modified.or_else(|| default.map(|object| object.modified.clone())).ok_or_else(|| missing("modified"))?;
        let text_chars_max = self.text_chars_max.or_else(|| default.and_then(|object| object.text_chars_max));
        let chars_max = self.chars_max.unwrap_or_default();
        if chars_max.values().chain(&text_chars_max).any(|most| *most == 0) {
            return Err(format!("{place}: chars_max and text_chars_max must be above zero"));
        }
        let merged = self.merged.or_else(|| default.and_then(|object| object.merged.clone()));
        let unique = self.unique.or_else(|| default.map(|object| object.unique.clone())).unwrap_or_default();
        Ok(Object {
            traits,
            modified,
            merged,
            erase: self.erase,
            unique,
            lower_case: self.lower_case.unwrap_or_default(),
            property_group: self.property_group,
            required: self.required.unwrap_or_default(),
            chars_max,
            text_chars_max,
        })
    }
}
