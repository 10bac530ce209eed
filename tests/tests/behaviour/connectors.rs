//! Connectors of one's own, as a stranger meets them on the command line.

use std::time::Duration;

use tempfile::TempDir;
use tidemark_tests::processes::{Ended, command, run};

const PIPEDRIVE: &str = include_str!("../../../connectors/pipedrive.toml");
const SHOP: &str = "[database]
url = \"sqlite:orders.db\"
[connectors]
folder = \"own\"
[connections.acme]
connector = \"acme-crm\"
environment = \"production\"
settings.company = \"acme\"
secret.token = { env = \"ACME_TOKEN\" }
[[connections.acme.streams]]
object = \"persons\"
table = \"customers\"
key = \"id\"
direction = \"in\"
fields = { name = { column = \"name\", owner = \"crm\" } }
";

async fn tidemark(here: &TempDir, args: &[&str]) -> eyre::Result<Ended> {
    run(command(here.path(), &[("ACME_TOKEN", "t")], args)?, Duration::from_secs(30)).await
}

#[tokio::test]
async fn a_connector_of_ones_own_is_checked_listed_and_connected_to() -> eyre::Result<()> {
    let here = TempDir::new()?;
    std::fs::create_dir(here.path().join("own"))?;
    let file = here.path().join("own/acme-crm.toml");
    std::fs::write(&file, PIPEDRIVE.replacen("name = \"pipedrive\"", "name = \"acme-crm\"", 1))?;
    std::fs::write(here.path().join("tidemark.toml"), SHOP)?;
    let said = tidemark(&here, &["connector", "check", "own/acme-crm.toml"]).await?.good()?;
    assert!(said.starts_with("own/acme-crm.toml can be used") && said.contains("secret.token: a personal API token"), "{said}");
    let listed = tidemark(&here, &["connector", "list", "--folder", "own", "--json"]).await?.good()?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let names: Vec<&str> = listed["connectors"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(
        names,
        ["acme-crm", "dataverse", "hubspot", "ifttt", "mailchimp", "pipedrive", "salesforce", "zapier", "zoho-books", "zoho-crm"]
    );
    assert_eq!(listed["connectors"][0]["objects"]["persons"]["traits"]["page_rows_max"], 500);
    tidemark(&here, &["check", "--offline"]).await?.good()?;
    // What is wrong in the file ends whatever would speak to it, with the line.
    std::fs::write(&file, std::fs::read_to_string(&file)?.replacen("lower = \"closed\"", "lower = \"shut\"", 1))?;
    for args in [&["connector", "check", "own/acme-crm.toml"][..], &["connector", "list", "--folder", "own"]] {
        let ended = tidemark(&here, args).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("own/acme-crm.toml:") && ended.stderr.contains("lower"), "{ended:?}");
    }
    Ok(())
}
