//! Change tracking as a hint of deletes: whoever it names is asked for by id, and what becomes of its place loses nothing that a sweep does not find.

use std::time::Duration;

use eyre::ensure;
use tidemark_tests::vendor::{DATAVERSE, PEOPLE};
use tidemark_tests::{Kind, Rig, Setup, deadline, on_both_databases};

const SOON: Duration = Duration::from_secs(30);

/// A linked pair for each name.
async fn shop(kind: Kind, names: &[&str]) -> eyre::Result<Rig> {
    let rig = Rig::with(kind, Setup { vendor: Some(&DATAVERSE), ..Setup::default() }).await?;
    for name in names {
        DATAVERSE.add(&rig.crm.crm(), &format!("{name}@acme.test"), name)?;
    }
    rig.settle().await?;
    Ok(rig)
}

fn remove(rig: &Rig, name: &str) -> eyre::Result<()> {
    let all = rig.crm.crm().list(PEOPLE);
    let gone = all.iter().find(|record| record.properties.get("lastname").is_some_and(|own| own == name));
    DATAVERSE.remove(&rig.crm.crm(), &gone.ok_or_else(|| eyre::eyre!("nobody is called {name}"))?.id)
}

async fn rows(rig: &Rig) -> eyre::Result<i64> {
    rig.db.count("customers").await
}

/// Polls until the feed has a place, other than this one.
async fn kept(rig: &Rig, other_than: Option<&str>) -> eyre::Result<Option<String>> {
    deadline::until("the feed has a place", SOON, || async {
        rig.catch_up("crm.contacts").await?;
        let feed = feed(rig).await?;
        Ok((feed.is_some() && feed.as_deref() != other_than).then_some(feed))
    })
    .await
}

async fn feed(rig: &Rig) -> eyre::Result<Option<String>> {
    rig.db.one(&format!("SELECT feed FROM {}", rig.db.own("tidemark_stream"))).await
}

async fn sweeps(rig: &Rig) -> eyre::Result<i64> {
    rig.db.count(&format!("{} WHERE reader = 'sweep'", rig.db.own("tidemark_window"))).await
}

async fn gone_soon(rig: &Rig, left: i64) -> eyre::Result<()> {
    deadline::until("the row goes with its record", SOON, || async {
        rig.settle().await?;
        Ok((rows(rig).await? == left).then_some(()))
    })
    .await
}

on_both_databases! {
    async fn a_delete_is_told_by_change_tracking_and_needs_no_sweep(kind) {
        let rig = shop(kind, &["ana", "bo", "cy"]).await?;
        let place = kept(&rig, None).await?;
        ensure!(place.as_deref().is_some_and(|place| place.starts_with("/api/data/v9.2/contacts?") && place.contains("deltatoken")), "{place:?}");
        remove(&rig, "ana")?;
        gone_soon(&rig, 2).await?;
        remove(&rig, "bo")?;
        gone_soon(&rig, 1).await?;
        ensure!(feed(&rig).await? != place, "the place moves on");
        ensure!(sweeps(&rig).await? == 0, "a sweep was made");
        Ok(())
    }

    async fn a_place_that_wore_out_is_begun_anew_and_the_sweep_finds_who_went_in_between(kind) {
        let rig = shop(kind, &["ana", "bo", "cy"]).await?;
        let place = kept(&rig, None).await?;
        rig.crm.crm().set_quirk("delta_days", 0_u64)?;
        remove(&rig, "ana")?;
        let anew = kept(&rig, place.as_deref()).await?;
        ensure!(rows(&rig).await? == 3, "the new beginning names nobody who is gone");
        rig.crm.crm().set_quirk("delta_days", 7_u64)?;
        let failed = format!("{} WHERE poll_attempts > 0", rig.db.own("tidemark_stream"));
        ensure!(rig.db.count(&failed).await? == 0, "a place that wore out is no error of the stream");
        rig.sweep("crm.contacts").await?;
        gone_soon(&rig, 2).await?;
        remove(&rig, "bo")?;
        gone_soon(&rig, 1).await?;
        ensure!(feed(&rig).await? != anew);
        Ok(())
    }

    async fn a_table_without_change_tracking_is_asked_once_and_swept(kind) {
        let rig = Rig::with(kind, Setup { vendor: Some(&DATAVERSE), ..Setup::default() }).await?;
        let crm = rig.crm.crm();
        crm.set_quirk("tracking_off", true)?;
        for name in ["ana", "bo"] {
            DATAVERSE.add(&crm, &format!("{name}@acme.test"), name)?;
        }
        let refused = || crm.calls().iter().filter(|call| call.status == 400).count();
        deadline::until("the feed was asked for", SOON, || async {
            rig.settle().await?;
            Ok((refused() > 0).then_some(()))
        })
        .await?;
        for name in ["cy", "di"] {
            DATAVERSE.add(&crm, &format!("{name}@acme.test"), name)?;
            rig.settle().await?;
        }
        ensure!(refused() == 1 && rows(&rig).await? == 4, "{} refusals, {} rows", refused(), rows(&rig).await?);
        remove(&rig, "ana")?;
        rig.sweep("crm.contacts").await?;
        gone_soon(&rig, 3).await
    }
}
