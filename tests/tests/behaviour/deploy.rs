//! What `deploy/` holds fits together: the configuration loads, its variables are the ones compose sets, and its mapping fits the sample order system.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eyre::{OptionExt, WrapErr};
use tidemark_boot::Config;
use tidemark_sandbox::{Sandbox, SandboxConfig};
use tidemark_tests::deadline::until;
use tidemark_tests::house::PATIENCE;
use tidemark_tests::processes::{Service, command, run};
use tidemark_tests::{OrderDatabase, TOKEN};

fn read(name: &str) -> eyre::Result<String> {
    let file = folder().join(name);
    fs::read_to_string(&file).wrap_err_with(|| file.display().to_string())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The words between `before` and `after`, wherever they stand.
fn between<'a>(text: &'a str, before: &str, after: &[char]) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

#[test]
fn the_variables_of_the_configuration_are_those_that_compose_sets_and_the_example_names() -> eyre::Result<()> {
    let (compose, example) = (read("compose.yaml")?, read(".env.example")?);
    for name in between(&read("tidemark.toml")?, "env = \"", &['"']) {
        assert!(
            compose.lines().any(|line| line.trim_start().starts_with(&format!("{name}:"))),
            "compose.yaml does not set {name}"
        );
    }
    let asked: BTreeSet<&str> = between(&compose, "${", &[':', '}']);
    let named: BTreeSet<&str> =
        example.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(asked, named, "what compose asks for is what .env.example names");
    Ok(())
}

#[test]
fn the_configuration_loads_with_what_compose_gives_it() -> eyre::Result<()> {
    let env = [
        ("DATABASE_URL", "postgres://tidemark:word@postgres:5432/orders"),
        ("QUEUE_URL", "redis://redis:6379/0"),
        ("TIDEMARK_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("HUBSPOT_TOKEN", TOKEN),
    ];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::parse(&read("tidemark.toml")?, "deploy/tidemark.toml", env).map_err(|errors| eyre::eyre!("{errors}"))?;
    let streams: Vec<&str> = config.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(streams, ["hubspot.contacts", "hubspot.deals"]);
    Ok(())
}

/// As an operator would: the sample order system, the file as it is, `migrate`, `check`, a go; and the sample's orders become deals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_the_sample_order_system_fits_the_configuration() -> eyre::Result<()> {
    let db = OrderDatabase::bare().await?;
    db.run(&read("orders.sql")?).await?;
    let sandbox = Sandbox::start(SandboxConfig { token: TOKEN.to_owned(), ..SandboxConfig::default() }).await?;
    let crm = sandbox.base_url();
    fs::copy(folder().join("tidemark.toml"), db.folder.path().join("tidemark.toml"))?;
    let env = [
        ("DATABASE_URL", db.url.as_str()),
        ("QUEUE_URL", "embedded"),
        ("TIDEMARK_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("HUBSPOT_TOKEN", TOKEN),
        ("TIDEMARK__CONNECTIONS__HUBSPOT__BASE_URL", &crm),
        ("TIDEMARK__SERVER__LISTEN", "127.0.0.1:0"),
    ];
    let tidemark = async |args: &[&str]| run(command(db.folder.path(), &env, args)?, PATIENCE).await;
    tidemark(&["migrate"]).await?.good()?;
    let checked = tidemark(&["check"]).await?.good()?;
    assert!(checked.contains("fits the mapping"), "{checked}");
    tidemark(&["resume", "all"]).await?.good()?;
    let mut up = Service::start("up", db.folder.path(), &env, &["up"])?;
    let sent = "orders o JOIN customers c ON c.id = o.customer_id WHERE o.hubspot_id IS NOT NULL AND c.hubspot_id IS NOT NULL";
    let arrived = until("the three orders of confirmed customers are deals", PATIENCE, async || {
        Ok((db.count(sent).await? == 3).then_some(()))
    });
    arrived.await.wrap_err_with(|| up.tail())?;
    up.terminate(PATIENCE).await?;
    tidemark(&["agree"]).await?.good()?;
    let deals = sandbox.crm().list(tidemark_sandbox::ObjectType::Deals);
    let amounts: BTreeSet<&str> = deals.iter().filter_map(|deal| deal.properties.get("amount").map(String::as_str)).collect();
    assert_eq!(amounts, BTreeSet::from(["12495.00", "24990.00", "3899.00"]), "cents became what the CRM counts in");
    let first = deals.first().ok_or_eyre("no deal")?;
    assert_eq!(first.associations.get("contacts").map(Vec::len), Some(1));
    Ok(())
}
