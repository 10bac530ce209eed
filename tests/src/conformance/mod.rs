//! Every connector of this build on every case of `tidemark-conformance`, each in front of its dialect; the table that the documents show; and files that are wrong.

pub mod wrong;

use std::collections::BTreeMap;
use std::sync::Arc;

use eyre::{WrapErr, ensure, eyre};
use futures::future::join_all;
use tidemark_boot::Config;
use tidemark_conformance::{Bench, CASES, Case, Practice, Verdict};
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::{Catalog, Crm};
use tidemark_sandbox::{Sandbox, Weather};

use crate::rig::TOKEN;
use crate::vendor::{HUBSPOT, Vendor};

/// What stands otherwise in a connector's file.
pub type Change = (&'static str, &'static str);

/// What is said of a file that does not even load.
pub(crate) const UNUSABLE: &str = "the connector cannot be used";

/// A connector in front of a practice CRM of its own, with these changes in its file.
pub async fn open(vendor: &'static Vendor, changes: &[Change], mark: &str) -> eyre::Result<(Sandbox, Bench)> {
    let sandbox = vendor.sandbox(Weather { index_lag_ms: (0, 0), ..Weather::calm() }).await?;
    let text = format!("[database]\nurl = \"sqlite://orders.db\"\n{}", vendor.configuration(&sandbox.base_url(), ""));
    let env = [("CRM_TOKEN".to_owned(), TOKEN.to_owned())];
    let config = Config::parse(&text, "tidemark.toml", env.into_iter()).map_err(|errors| eyre!("{errors}"))?;
    let (spec, secrets) = config.connections.first().ok_or_else(|| eyre!("no connection"))?;
    let crm: Arc<dyn Crm> = if vendor.connector == HUBSPOT.connector {
        // Spoken by a module: its file is no description.
        Catalog::default().connect(spec, secrets)?
    } else {
        let mut file = vendor.file.to_owned();
        for (stands, instead) in changes {
            ensure!(file.contains(stands), "{} does not say {stands:?}", vendor.connector);
            file = file.replace(stands, instead);
        }
        let connector = Connector::load(vendor.connector, "changed.toml", &file)?;
        Arc::new(Engine::connect(spec, secrets, connector)?)
    };
    let practice = Practice::find(&sandbox.base_url(), vendor.object).await?.ok_or_else(|| eyre!("there is no practice CRM"))?;
    Ok((sandbox, Bench::new(crm, Arc::new(vendor.subject()), Some(practice), mark.to_owned())))
}

/// Runs one case on a connector in front of a CRM of its own, with these changes in its file.
pub async fn run(case: &Case, vendor: &'static Vendor, changes: &[Change]) -> eyre::Result<Verdict> {
    let (sandbox, bench) = open(vendor, changes, "tidemark-7f3a1c").await.wrap_err(UNUSABLE)?;
    let verdict = case.run(&bench).await;
    sandbox.stop().await;
    verdict
}

/// What came of each case on each connector: by case, then by connector.
pub async fn table(vendors: &[&'static Vendor]) -> eyre::Result<BTreeMap<(&'static str, &'static str), Result<Verdict, String>>> {
    let mut came = BTreeMap::new();
    for case in &CASES {
        let each = vendors.iter().map(async |vendor| {
            let verdict =
                run(case, vendor, &[]).await.map_err(|error| format!("{} on {}: {error:?}", case.name, vendor.connector));
            ((case.name, vendor.connector), verdict)
        });
        came.extend(join_all(each).await);
    }
    Ok(came)
}

/// The table as it stands in the documents.
pub fn document(vendors: &[&'static Vendor], came: &BTreeMap<(&'static str, &'static str), Result<Verdict, String>>) -> String {
    let names: Vec<&str> = vendors.iter().map(|vendor| vendor.connector).collect();
    let mut text = String::from(HEAD);
    text.push_str(&format!("| case | | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len())));
    for case in &CASES {
        let cells: Vec<&str> = names
            .iter()
            .map(|name| match came.get(&(case.name, *name)) {
                Some(Ok(Verdict::Holds)) => "holds",
                Some(Ok(Verdict::NotDeclared)) => "–",
                Some(Ok(Verdict::NeedsPractice | Verdict::Unseen(_)) | Err(_)) | None => "**fails**",
            })
            .collect();
        text.push_str(&format!("| `{}` | {} | {} |\n", case.name, case.says, cells.join(" | ")));
    }
    text.push_str(TAIL);
    text
}

const HEAD: &str = "# Conformance

Written by a run of `tests/tests/behaviour/conformance.rs`, which compares it with this file; `UPDATE_CONFORMANCE=1 scripts/test conformance` writes it anew.

Each case asks a connector as Tidemark's worker asks it, one HTTP call at a time, in front of the [practice CRM](sandbox.md) in its vendor's dialect, and compares
the answer with what the CRM really holds; `tidemark connector test` runs the same cases on a file of your own. `–` marks what a connector does not declare. That a case holds says nothing of the vendor's own servers: see *nobody
verified* in [connectors.md](connectors.md).

";

const TAIL: &str = "
Deliberately wrong files must fail: `tests/src/conformance/wrong.rs` lists them, each with the case that has to catch it.
";
