//! What the practice CRM holds at the end, kept as files beside the order database: anybody can compare the two once the demo is gone.

use eyre::WrapErr;

use super::folder::Folder;

/// Kinds of records, and the file that keeps the listing of each.
pub(crate) const FILES: [(&str, &str); 2] = [("contacts", "crm-contacts.json"), ("deals", "crm-deals.json")];

/// Keeps each listing as the CRM's own HTTP interface gives it.
pub(crate) async fn keep(folder: &Folder, base_url: &str) -> eyre::Result<()> {
    for (object, file) in FILES {
        let answer =
            reqwest::get(format!("{base_url}/sandbox/records/{object}")).await.and_then(reqwest::Response::error_for_status);
        let text = answer.wrap_err("the practice CRM does not list its records")?.text().await?;
        folder.write(file, &text)?;
    }
    Ok(())
}
