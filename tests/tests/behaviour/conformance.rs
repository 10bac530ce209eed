//! Every connector on every case, as the documents say; and files that are wrong, which must not pass.

use std::path::Path;

use eyre::{WrapErr, ensure};
use futures::{StreamExt, stream};
use tidemark_conformance::{CASES, Verdict};
use tidemark_tests::conformance::{document, table, wrong};
use tidemark_tests::vendor::EVERY;

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

/// Each case is told to fail by some file, so that none is a case that always holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_file_that_is_wrong_is_caught_by_the_case_that_is_about_it() -> eyre::Result<()> {
    let caught = stream::iter(&wrong::FILES).map(wrong::Wrong::is_caught).buffered(8).collect::<Vec<_>>().await;
    let passed: Vec<String> = caught.into_iter().filter_map(Result::err).collect();
    ensure!(passed.is_empty(), "{} of {} pass:\n{}", passed.len(), wrong::FILES.len(), passed.join("\n"));
    ensure!(CASES.len() >= 20 && wrong::FILES.len() >= 20);
    Ok(())
}
