//! What asks for a next page wears out while a sweep stands still: it goes on and is sealed, and nothing stands for good.

use eyre::ensure;
use tidemark_sandbox::ForcedAnswer;
use tidemark_store::sweeps;
use tidemark_tests::vendor::PIPEDRIVE;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::Outcome;

const STREAM: &str = "crm.persons";

/// Seven people in pages of three, whose sweep reads its first page so often and is each time answered like this when it asks for the second.
async fn stopped(kind: Kind, times: usize, status: u16) -> eyre::Result<Rig> {
    let instead: &[(&str, &str)] = &[("overlap = \"5s\"", "overlap = \"5s\"\npage_rows_max = 3")];
    let rig = Rig::with(kind, Setup { vendor: Some(&PIPEDRIVE), instead, ..Setup::default() }).await?;
    let crm = rig.crm.crm();
    for at in 0..7 {
        PIPEDRIVE.add(&crm, &format!("p{at}@acme.test"), "P")?;
    }
    rig.settle().await?;
    sweeps::owe(&rig.store, rig.stream(STREAM)?.id).await?;
    rig.poll(STREAM).await?;
    let pages = || ForcedAnswer { path_contains: PIPEDRIVE.lists.into(), ..ForcedAnswer::default() };
    for _ in 0..times {
        crm.force_next(ForcedAnswer { honest: true, ..pages() });
        crm.force_next(ForcedAnswer { status, ..pages() });
    }
    let outcome = rig.sweep_slice(STREAM).await?;
    ensure!(matches!(&outcome, Outcome::Deferred(words) if words.contains(&status.to_string())), "{outcome:?}");
    ensure!(rig.seals(STREAM).await? == ["open"]);
    // Hours later, as far as Pipedrive is concerned.
    crm.set_quirk("cursor_minutes", 1_u64)?;
    Ok(rig)
}

/// The next slice reads the sweep to its end.
async fn goes_on(rig: &Rig) -> eyre::Result<()> {
    let outcome = rig.sweep_slice(STREAM).await?;
    ensure!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    ensure!(rig.seals(STREAM).await? == ["sealed"], "{:?}", rig.seals(STREAM).await?);
    let reads = format!("{} WHERE kind = 'read'", rig.db.own("tidemark_debt"));
    ensure!(rig.db.count(&reads).await? == 0, "it has seen everybody");
    Ok(())
}

on_both_databases! {
    async fn a_sweep_whose_cursor_wore_out_while_it_stood_goes_on(kind) {
        goes_on(&stopped(kind, 1, 500).await?).await
    }

    async fn a_cursor_that_never_leads_on_fails_the_sweep_until_it_does(kind) {
        // Its part was begun again as often as that may be: what is remembered of it would be refused for good.
        goes_on(&stopped(kind, 6, 400).await?).await
    }
}
