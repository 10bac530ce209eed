//! What vendors say, in their own words with the source beside them (`tests/fixtures`), is put before the connector, which has to understand it, and before the practice CRM, which has to say it the same
//! way. One misreading of a vendor cannot pass on both sides.

use std::collections::BTreeMap;

use eyre::{OptionExt, ensure};
use serde::Deserialize;
use serde_json::Value as Json;
use tidemark_conformance::Bench;
use tidemark_core::failure::Class;
use tidemark_core::source::Next;
use tidemark_core::sweep::EVERY_STAMP;
use tidemark_sandbox::{ForcedAnswer, Sandbox};
use tidemark_tests::TOKEN;
use tidemark_tests::conformance::open;
use tidemark_tests::vendor::{EVERY, PEOPLE};

const WINDOW: (i64, i64) = (EVERY_STAMP.from, EVERY_STAMP.until);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    vendor: String,
    source: String,
    status: u16,
    body: Json,
    /// What a connector makes of it.
    class: String,
    /// The practice CRM's name for it.
    shape: String,
    /// Places whose values mean something; elsewhere only the kind of value is compared.
    meaning: Vec<String>,
}

/// A page with one record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageFixture {
    vendor: String,
    source: String,
    asked: Asking,
    /// What the practice CRM has to hold for such a page, by its own names.
    kept: BTreeMap<String, String>,
    /// Places of which the vendor's documents say two things: the practice CRM writes the other one.
    #[serde(default)]
    disputed: Vec<String>,
    body: Json,
    id: String,
    modified: String,
    /// E-mail, name, phone.
    values: [Option<String>; 3],
}

/// How such a page is asked for, by somebody who is no connector. `TOKEN` is the token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    path: String,
    headers: BTreeMap<String, String>,
    /// Of what is posted.
    body: Option<Json>,
}

fn pages() -> eyre::Result<Vec<PageFixture>> {
    Ok(serde_json::from_str(include_str!("../../fixtures/pages.json"))?)
}

fn fixtures() -> eyre::Result<Vec<Fixture>> {
    Ok(serde_json::from_str(include_str!("../../fixtures/answers.json"))?)
}

async fn class((sandbox, bench): (&Sandbox, &Bench), forced: ForcedAnswer) -> eyre::Result<Class> {
    bench.page(WINDOW, 10, None).await?;
    sandbox.crm().force_next(forced);
    let failure = bench.page(WINDOW, 10, None).await.err().ok_or_eyre("it was taken for a page")?;
    bench.page(WINDOW, 10, None).await?;
    Ok(failure.class)
}

/// Whether all that a vendor says is said, each in the same kind of value.
fn covers(said: &Json, vendors: &Json, at: &str) -> eyre::Result<()> {
    match (said, vendors) {
        (Json::Object(said), Json::Object(vendors)) => {
            for (key, value) in vendors {
                covers(said.get(key).ok_or_eyre(format!("{at}/{key} is not said"))?, value, &format!("{at}/{key}"))?;
            }
            Ok(())
        }
        (Json::Array(said), Json::Array(vendors)) => {
            let pairs = said.iter().zip(vendors).enumerate();
            ensure!(said.len() >= vendors.len(), "{at} has {} items", said.len());
            pairs.into_iter().try_for_each(|(index, (said, vendors))| covers(said, vendors, &format!("{at}/{index}")))
        }
        (said, vendors) => {
            ensure!(std::mem::discriminant(said) == std::mem::discriminant(vendors), "{at} is {said}, not like {vendors}");
            Ok(())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_understand_what_vendors_say() -> eyre::Result<()> {
    for fixture in fixtures()? {
        let vendor = EVERY.into_iter().find(|vendor| vendor.connector == fixture.vendor).ok_or_eyre("no such vendor")?;
        let (sandbox, bench) = open(vendor, &[], "fixture").await?;
        let answer = ForcedAnswer { status: fixture.status, body: fixture.body.clone(), ..ForcedAnswer::default() };
        let understood = format!("{:?}", class((&sandbox, &bench), answer).await?);
        ensure!(understood == fixture.class, "{} ({}) is {understood}", fixture.body, fixture.source);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_read_the_pages_of_vendors() -> eyre::Result<()> {
    for PageFixture { vendor, source, body, id, modified, values, .. } in pages()? {
        let vendor = EVERY.into_iter().find(|own| own.connector == vendor).ok_or_eyre("no such vendor")?;
        let (sandbox, bench) = open(vendor, &[], "fixture").await?;
        bench.page(WINDOW, 10, None).await?;
        sandbox.crm().force_next(ForcedAnswer { status: 200, body, ..ForcedAnswer::default() });
        let (records, next) = bench.page(WINDOW, 10, None).await?;
        let stamp = chrono::DateTime::parse_from_rfc3339(&modified)?.timestamp_millis();
        let [record] = records.as_slice() else { eyre::bail!("{} records of {source}", records.len()) };
        ensure!((record.id.as_str(), record.modified) == (id.as_str(), Some(stamp)), "{record:?} of {source}");
        ensure!(record.values == values && !record.archived && !record.is_part(), "{record:?} of {source}");
        ensure!(next == Next::Drained, "{next:?} behind {source}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_practice_crm_writes_pages_as_vendors_do() -> eyre::Result<()> {
    for PageFixture { vendor, source, asked, kept, disputed, mut body, .. } in pages()? {
        let vendor = EVERY.into_iter().find(|own| own.connector == vendor).ok_or_eyre("no such vendor")?;
        let (sandbox, _) = open(vendor, &[], "fixture").await?;
        let properties: Vec<(&str, &str)> = kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sandbox.crm().create(PEOPLE, &properties)?;
        let (client, url) = (reqwest::Client::new(), format!("{}{}", sandbox.base_url(), asked.path));
        let mut request = asked.body.as_ref().map_or_else(|| client.get(&url), |body| client.post(&url).json(body));
        for (name, value) in &asked.headers {
            request = request.header(name, value.replace("TOKEN", TOKEN));
        }
        let answer = request.send().await?;
        ensure!(answer.status() == 200, "{} is {}", asked.path, answer.status());
        let said: Json = answer.json().await?;
        for at in &disputed {
            let (other, place) = (said.pointer(at).cloned(), body.pointer_mut(at));
            *place.ok_or_eyre("nothing is there")? = other.ok_or_eyre(format!("{at} is not said"))?;
        }
        covers(&said, &body, "").map_err(|error| eyre::eyre!("a page of {}: {error}, but {source}: {said}", vendor.connector))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_practice_crm_says_what_vendors_say() -> eyre::Result<()> {
    for fixture in fixtures()? {
        let vendor = EVERY.into_iter().find(|vendor| vendor.connector == fixture.vendor).ok_or_eyre("no such vendor")?;
        let (sandbox, _) = open(vendor, &[], "fixture").await?;
        sandbox.crm().force_next(ForcedAnswer { shape: Some(fixture.shape.clone()), ..ForcedAnswer::default() });
        let answer = reqwest::get(format!("{}{}", sandbox.base_url(), vendor.lists)).await?;
        ensure!(answer.status() == fixture.status, "{} is {}", fixture.shape, answer.status());
        let said: Json = answer.json().await?;
        covers(&said, &fixture.body, "").map_err(|error| eyre::eyre!("{} of {}: {error}", fixture.shape, fixture.vendor))?;
        for at in &fixture.meaning {
            ensure!(said.pointer(at) == fixture.body.pointer(at), "{at} of {}: {said}, but {}", fixture.shape, fixture.source);
        }
    }
    Ok(())
}
