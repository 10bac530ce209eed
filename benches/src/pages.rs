//! How fast the server itself is: one client that fetches pages and throws them away. What is measured behind it must be far slower.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::contacts;
use crate::inbound::FastCrm;

/// Fetches pages from the fast server over one connection and throws them away. Prints pages a second and the server's own cost.
#[derive(Args)]
pub(crate) struct Options {
    /// Contacts to serve.
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Records asked for per page.
    #[arg(long, default_value_t = 200)]
    page: u16,
    /// How long to fetch.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

pub(crate) async fn run(options: &Options) -> eyre::Result<()> {
    let mut crm = FastCrm::start(options.records, options.page.max(200), 0)?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/crm/v3/objects/contacts/search", crm.url);
    let body = |after: u64| {
        json!({
            "filterGroups": [{ "filters": [
                { "propertyName": "lastmodifieddate", "operator": "GTE", "value": "0" },
                { "propertyName": "lastmodifieddate", "operator": "LT", "value": "9999999999999" },
                { "propertyName": "hs_object_id", "operator": "GT", "value": contacts::id(after).to_string() },
            ]}],
            "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }],
            "properties": contacts::FIELDS.map(|(name, _)| name),
            "limit": options.page,
        })
    };
    let span = options.records.saturating_sub(options.page.into()).max(1);
    let before = crm.cpu_ms()?;
    let (started, mut pages, mut bytes) = (Instant::now(), 0_u64, 0);
    while started.elapsed() < Duration::from_secs(options.seconds) {
        let after = pages * u64::from(options.page) % span;
        let page = http.post(&url).json(&body(after)).send().await?.error_for_status()?.bytes().await?;
        (pages, bytes) = (pages + 1, bytes + page.len());
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = pages as f64 / seconds;
    let report = json!({
        "pages_per_second": rate.round(),
        "records_per_second": (rate * f64::from(options.page)).round(),
        "bytes_per_page": bytes as u64 / pages.max(1),
        "server_cpu_ms_per_1000_pages": ((crm.cpu_ms()? - before) * 1_000).checked_div(pages),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}
