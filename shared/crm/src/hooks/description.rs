//! Decides what a file says of one kind of hook: where it lives, how large a body may be, how often it is called, what its refusals mean. Calls nobody.

use std::time::Duration;

use serde::Deserialize;
use tidemark_core::source::{Bucket, IdOrder, Order, Paging, SourceTraits};
use tidemark_core::spec::BudgetSpec;

use crate::BucketLimit;
use crate::description::{BudgetText, DescriptionError};
use crate::errors::{ErrorTable, RuleText, Words};

/// What one kind of hook declares.
#[derive(Debug, Clone)]
pub struct HookDescription {
    pub vendor: String,
    pub base: String,
    /// What stands in the record of calls instead of the path.
    pub shown: String,
    pub body_bytes_max: usize,
    pub errors: ErrorTable,
    request_life: Duration,
    budget: BucketLimit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    connector: ConnectorText,
    budget: BudgetText,
    words: Words,
    #[serde(default)]
    error: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectorText {
    name: String,
    vendor: String,
    base: String,
    shown: String,
    body_bytes_max: usize,
    request_life_secs: u64,
}

impl HookDescription {
    /// `file` is only named in errors; `connector` is the name the file must carry.
    pub fn load(connector: &str, file: &str, text: &str) -> Result<Self, DescriptionError> {
        let fail = |what: String| DescriptionError { file: file.to_owned(), what };
        let parsed: File = toml::from_str(text).map_err(|error| fail(error.to_string().trim_end().to_owned()))?;
        parsed.check(connector).map_err(fail)
    }

    /// The vendor's budget, or what the connection asks for. The burst follows the rate.
    pub fn limits(&self, asked: &BudgetSpec) -> Vec<BucketLimit> {
        let Some(wanted) = asked.per_second.filter(|wanted| *wanted > 0.0) else { return vec![self.budget] };
        let share = f64::from(self.budget.burst) * wanted / self.budget.per_second;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "calls of a second")]
        let burst = (share.floor() as u32).max(1);
        vec![BucketLimit { per_second: wanted, burst, ..self.budget }]
    }

    /// What a source would be read like that nobody reads: one delivery is one call, and nothing comes back.
    pub fn traits(&self, request_life: Option<Duration>) -> SourceTraits {
        SourceTraits {
            order: Order::None,
            paging: Paging::default(),
            id_order: IdOrder::Bytes,
            result_cap: None,
            token_life: None,
            stamped: true,
            precision_ms: 1,
            commit_lag: Duration::ZERO,
            fast_lag: Duration::ZERO,
            page_rows_max: 1,
            read_rows_max: 1,
            batch_rows_max: 1,
            request_life: request_life.unwrap_or(self.request_life),
            guarded: false,
            archive_view: false,
            page_cost: 1,
        }
    }
}

impl File {
    fn check(self, connector: &str) -> Result<HookDescription, String> {
        let text = self.connector;
        if text.name != connector {
            return Err(format!("connector.name is `{}`, expected `{connector}`", text.name));
        }
        if !text.shown.starts_with('/') || !text.shown.contains('…') {
            return Err("connector.shown must begin with / and hold … in the place of the credential".to_owned());
        }
        if text.body_bytes_max == 0 {
            return Err("connector.body_bytes_max must be above zero".to_owned());
        }
        Ok(HookDescription {
            vendor: text.vendor,
            base: text.base,
            shown: text.shown,
            body_bytes_max: text.body_bytes_max,
            errors: ErrorTable::new(self.error, self.words)?,
            request_life: Duration::from_secs(text.request_life_secs),
            budget: self.budget.check(Bucket::General).map_err(|what| format!("budget: {what}"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::{IFTTT_FILE, ZAPIER_FILE};

    #[test]
    fn the_files_of_this_build_are_whole_and_a_contradiction_is_refused_with_its_place() {
        for (name, file, text) in [ZAPIER_FILE, IFTTT_FILE] {
            HookDescription::load(name, file, text).unwrap();
        }
        let refused = |from: &str, to: &str| {
            HookDescription::load("zapier", "zapier.toml", &ZAPIER_FILE.2.replace(from, to)).unwrap_err().to_string()
        };
        assert!(refused("per_second = 25.0", "per_second = 26.0").contains("zapier.toml: budget: burst"));
        assert!(refused("/hooks/catch/…", "/hooks/catch").contains("connector.shown"));
        assert!(refused("class = \"gone\"", "class = \"away\"").contains("unknown class `away`"));
    }
}
