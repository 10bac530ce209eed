//! The practice CRM's dialects as the vendors' own client libraries see them: code that nobody here wrote lists, makes, changes, finds and deletes, and takes refusals for what they
//! are. Where the libraries are not installed (`TIDEMARK_TEST_CLIENTS` is not set) there is nobody to ask.

use std::path::PathBuf;
use std::time::Duration;

use eyre::{OptionExt, WrapErr, ensure};
use serde_json::{Value as Json, json};
use tidemark_sandbox::{Sandbox, Snapshot, Weather};
use tidemark_tests::TOKEN;
use tidemark_tests::vendor::{HUBSPOT, MAILCHIMP, PEOPLE, PIPEDRIVE, Property, SALESFORCE, Vendor};
use tokio::process::Command;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(90);
/// More than two pages of those that the clients ask for.
const PERSONS: usize = 7;

/// What one client saw, beside what there was to see.
struct Seen {
    saw: Json,
    emails: Vec<String>,
    /// The record that the client deleted.
    gone: String,
    sandbox: Sandbox,
    vendor: &'static Vendor,
}

impl Seen {
    fn text(&self, at: &str) -> &str {
        self.saw.pointer(at).and_then(Json::as_str).unwrap_or_default()
    }

    /// A record as the practice CRM holds it.
    fn kept(&self, id: &str) -> eyre::Result<Snapshot> {
        let all = self.sandbox.crm().list(PEOPLE);
        all.into_iter().find(|record| record.id == id).ok_or_eyre(format!("the practice CRM holds no {id:?}: {}", self.saw))
    }

    /// What every client has to see, whoever wrote it: `refusals` are those of an absent record, of a wrong token and of a throttle, each as status and word.
    fn judge(&self, refusals: [(Option<i64>, Option<&str>); 3]) -> eyre::Result<()> {
        let saw = &self.saw;
        let mut listed: Vec<&str> = saw["listed"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        listed.sort_unstable();
        ensure!(listed == self.emails, "every person once: {saw}");
        let made = self.kept(self.text("/made"))?;
        let held = |property: &Property| made.properties.get(property.kept).map(String::as_str);
        let (email, phone) = ("made@client.test", "+49301234");
        ensure!(held(&self.vendor.email) == Some(email) && held(&self.vendor.phone) == Some(phone), "{made:?}");
        ensure!(saw["read"] == json!({ "id": made.id, "email": email, "phone": phone }), "it reads what it wrote: {saw}");
        ensure!(saw["found"] == json!([made.id]), "it finds what it made: {saw}");
        let gone = self.kept(&self.gone)?;
        ensure!(gone.archived || gone.properties.get("status").is_some_and(|status| status == "archived"), "{gone:?}");
        for (at, (status, word)) in ["/absent", "/unauthorised", "/throttled"].into_iter().zip(refusals) {
            let refused = saw.pointer(at).unwrap_or(&Json::Null);
            ensure!((refused["status"].as_i64(), refused["word"].as_str()) == (status, word), "{at}: {saw}");
        }
        Ok(())
    }
}

/// Lets a client live through its story in front of its vendor's dialect. `None` where there are no clients.
async fn live(vendor: &'static Vendor, absent: &str, (program, script): (&str, &str)) -> eyre::Result<Option<Seen>> {
    let Some(clients) = std::env::var_os("TIDEMARK_TEST_CLIENTS").map(PathBuf::from) else {
        eprintln!("TIDEMARK_TEST_CLIENTS is not set: there is no client to ask");
        return Ok(None);
    };
    let sandbox = vendor.sandbox(Weather { index_lag_ms: (0, 0), ..Weather::calm() }).await?;
    let crm = sandbox.crm();
    let mut emails = Vec::new();
    let mut gone = String::new();
    for number in 1..=PERSONS {
        let email = format!("p{number}@acme.test");
        let name = format!("Person {number}");
        let made = crm.create(PEOPLE, &[(vendor.email.kept, &email), (vendor.name.kept, &name)]);
        gone = made.map_err(|refusal| eyre::eyre!("{}", refusal.message()))?;
        emails.push(email);
    }
    let program = if program == "python" { clients.join("venv/bin/python") } else { PathBuf::from(program) };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let mut command = Command::new(&program);
    command
        .arg(&script)
        .args([&sandbox.base_url(), TOKEN, &gone, absent])
        .env("NODE_PATH", clients.join("node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output =
        timeout(PATIENCE, command.kill_on_drop(true).output()).await?.wrap_err_with(|| format!("{}", program.display()))?;
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}: {said}\n{failed}", script.display());
    let saw = serde_json::from_str(said.trim()).wrap_err_with(|| said.to_string())?;
    Ok(Some(Seen { saw, emails, gone, sandbox, vendor }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_hubspots_own_client_reads_and_writes_the_practice_crm() -> eyre::Result<()> {
    let Some(seen) = live(&HUBSPOT, "999999999", ("node", "hubspot_story.cjs")).await? else { return Ok(()) };
    seen.judge([(Some(404), Some("OBJECT_NOT_FOUND")), (Some(401), Some("INVALID_AUTHENTICATION")), (Some(429), None)])?;
    ensure!(seen.saw["extra"]["batch"] == json!([seen.saw["read"]]), "a batch passes over who is not there: {}", seen.saw);
    let upserted = seen.kept(seen.text("/extra/upserted/0"))?;
    ensure!(upserted.properties["email"] == "upserted@client.test", "{upserted:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_pipedrives_own_client_reads_and_writes_the_practice_crm() -> eyre::Result<()> {
    let Some(seen) = live(&PIPEDRIVE, "999999", ("node", "pipedrive_story.cjs")).await? else { return Ok(()) };
    seen.judge([(None, Some("Person not found")), (None, Some("unauthorized access")), (Some(429), Some("request over limit"))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_jsforce_reads_and_writes_the_practice_crm() -> eyre::Result<()> {
    let Some(seen) = live(&SALESFORCE, "003Ax0000000990IAA", ("node", "jsforce_story.cjs")).await? else { return Ok(()) };
    seen.judge([(None, Some("NOT_FOUND")), (None, Some("INVALID_SESSION_ID")), (None, Some("REQUEST_LIMIT_EXCEEDED"))])?;
    ensure!(seen.saw["extra"]["feed"] == json!([seen.gone]), "the feed of deleted records tells of it: {}", seen.saw);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_simple_salesforce_reads_and_writes_the_practice_crm() -> eyre::Result<()> {
    let Some(seen) = live(&SALESFORCE, "003Ax0000000990IAA", ("python", "simple_salesforce_story.py")).await? else {
        return Ok(());
    };
    seen.judge([
        (Some(404), Some("NOT_FOUND")),
        (Some(401), Some("INVALID_SESSION_ID")),
        (Some(403), Some("REQUEST_LIMIT_EXCEEDED")),
    ])?;
    ensure!(seen.saw["extra"]["described"] == true, "{}", seen.saw);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_mailchimps_own_client_reads_and_writes_the_practice_crm() -> eyre::Result<()> {
    let Some(seen) = live(&MAILCHIMP, "ffffffffffffffffffffffffffffffff", ("python", "mailchimp_story.py")).await? else {
        return Ok(());
    };
    seen.judge([(Some(404), None), (Some(401), None), (Some(429), None)])?;
    ensure!(seen.saw["extra"]["created"] == 1 && seen.saw["extra"]["spoilt"] == 1, "one bad item spoils no other: {}", seen.saw);
    Ok(())
}
