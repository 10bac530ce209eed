//! Every connector on every case, as the documents say; and files that are wrong, which must not pass.

use std::path::Path;

use eyre::{OptionExt, WrapErr, ensure};
use futures::{StreamExt, stream};
use tidemark_conformance::{CASES, Practice, Verdict, case_named, places};
use tidemark_crm::engine::said;
use tidemark_tests::conformance::{Change, document, open, run, table, wrong};
use tidemark_tests::vendor::{EVERY, HUBSPOT_PAGED, MAILCHIMP, PIPEDRIVE, Vendor, ZOHO_BOOKS, ZOHO_BOOKS_NOTES};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connector_does_what_the_table_says() -> eyre::Result<()> {
    let came = table(&EVERY).await?;
    let failed: Vec<&String> = came.values().filter_map(|cell| cell.as_ref().err()).collect();
    let shown = |verdict: &Verdict| matches!(verdict, Verdict::Holds | Verdict::NotDeclared);
    ensure!(came.values().flatten().all(shown), "a practice CRM can show every case: {came:?}");
    ensure!(failed.is_empty(), "{}", failed.into_iter().cloned().collect::<Vec<_>>().join("\n\n"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let written = document(&EVERY, &came);
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        std::fs::write(&file, &written)?;
    }
    let kept = std::fs::read_to_string(&file).wrap_err("docs/conformance.md")?;
    ensure!(
        kept == written,
        "docs/conformance.md says otherwise; UPDATE_CONFORMANCE=1 scripts/test conformance writes it anew:\n{written}"
    );
    Ok(())
}

/// Where a property is mapped that no list shows, every case holds as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_shows_a_part_fails_no_case() -> eyre::Result<()> {
    let came = table(&[&ZOHO_BOOKS_NOTES]).await?;
    let failed: Vec<&String> = came.values().filter_map(|cell| cell.as_ref().err()).collect();
    ensure!(failed.is_empty(), "{failed:?}");
    Ok(())
}

/// A search that reaches six records, in a file that says so: its windows are halved, and a tie that is larger ends in words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_that_a_file_declares_is_met_by_halving_the_window() -> eyre::Result<()> {
    let verdict = run(case_named("caps")?, &HUBSPOT_PAGED, &[]).await?;
    ensure!(verdict == Verdict::Holds, "{verdict:?}");
    Ok(())
}

/// With the cap that the vendor really has: the practice CRM reaches less, which is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_too_large_to_be_filled_is_tried_all_the_same() -> eyre::Result<()> {
    let real = [("result_cap = 6", "result_cap = 10000")];
    let verdict = run(case_named("caps")?, &HUBSPOT_PAGED, &real).await?;
    ensure!(verdict == Verdict::Holds, "{verdict:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_breaks_off_leaves_the_practice_crm_as_it_was() -> eyre::Result<()> {
    let (sandbox, _) = open(&HUBSPOT_PAGED, &[], "tidemark-7f3a1c").await?;
    let crm = sandbox.crm();
    crm.set_quirk("search_results_max", 77_u64)?;
    let standing = || serde_json::to_value(crm.quirks());
    let before = standing()?;
    let practice = Practice::find(&sandbox.base_url(), HUBSPOT_PAGED.object).await?.ok_or_eyre("no practice CRM")?;
    practice.cap(Some(6)).await?;
    practice.cap(None).await?;
    ensure!(standing()? == before, "what somebody set is theirs");
    practice.cap(Some(6)).await?;
    practice.clone().add_property("text", &[]).await?;
    practice.restore().await?;
    ensure!(standing()? == before);
    practice.add_property("text", &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_is_tried_is_taken_away_where_the_case_fails() -> eyre::Result<()> {
    let change = [("name = \"/field_code\"", "name = \"/field_name\"")];
    let (_sandbox, bench) = open(&PIPEDRIVE, &change, "tidemark-7f3a1c").await?;
    let drift = case_named("drift")?;
    let first = drift.run(&bench).await.err().ok_or_eyre("nothing failed")?.to_string();
    let again = drift.run(&bench).await.err().ok_or_eyre("nothing failed")?.to_string();
    ensure!(first == again, "{first}, then {again}");
    let practice = bench.practice().ok_or_eyre("no practice CRM")?;
    practice.add_property("text", &[]).await?;
    Ok(())
}

/// Each case is told to fail by some file, so that none is a case that always holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_file_that_is_wrong_is_caught_by_the_case_that_is_about_it() -> eyre::Result<()> {
    let caught = stream::iter(&wrong::FILES).map(wrong::Wrong::is_caught).buffered(8).collect::<Vec<_>>().await;
    let passed: Vec<String> = caught.into_iter().filter_map(Result::err).collect();
    ensure!(passed.is_empty(), "{} of {} pass:\n{}", passed.len(), wrong::FILES.len(), passed.join("\n"));
    ensure!(CASES.len() >= 20 && wrong::FILES.len() >= 20);
    Ok(())
}

/// The key that a stranger is led to, of a file with one mistake.
async fn key_of(vendor: &'static Vendor, case: &str, change: Change) -> eyre::Result<String> {
    let case = case_named(case)?;
    let error = run(case, vendor, &[change]).await.err().ok_or_eyre("nothing failed")?;
    let file = vendor.file.replace(change.0, change.1);
    let stands = |place: &&&str| {
        let keys: Vec<&str> = ["object", vendor.object].into_iter().chain(place.split('.')).collect();
        said(&file, &keys).is_some()
    };
    let found = places(case, &error).iter().find(stands).ok_or_eyre("no place is in the file")?;
    Ok(format!("{found}: {error:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_loses_records_leads_to_the_key_that_loses_them() -> eyre::Result<()> {
    let cases: [(&'static Vendor, &str, Change, &str); 5] = [
        (&ZOHO_BOOKS, "ties", ("more = \"/page_context/has_more_page\"", "more = \"/page_context/more\""), "read.more: "),
        (&ZOHO_BOOKS, "edits", ("more = \"/page_context/has_more_page\"", "more = \"/page_context/more\""), "read.more: "),
        (&MAILCHIMP, "ties", ("total = \"/total_items\"", "total = \"/total\""), "read.total: "),
        (&MAILCHIMP, "ties", ("lower = \"open\"", "lower = \"closed\""), "read.lower: "),
        (&MAILCHIMP, "edits", ("sort_dir = \"ASC\"", "sort_dir = \"DESC\""), "read.order: "),
    ];
    for (vendor, case, change, expect) in cases {
        let found = key_of(vendor, case, change).await?;
        ensure!(found.starts_with(expect), "{} {case} {change:?}: {found}", vendor.connector);
    }
    Ok(())
}
