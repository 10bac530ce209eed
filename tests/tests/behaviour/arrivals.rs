//! How late versions become visible: what the settled reader finds and the fast one had passed is counted, and says which lag would have done.

use std::time::Duration;

use tidemark_core::arrival::Arrivals;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::Weather;
use tidemark_store::overview;
use tidemark_tests::{Rig, Setup, deadline, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
/// The settled reader stays behind for longer than records take to show; neither reads twice.
const SETTLED_LATER: &[(&str, &str)] =
    &[("settled_lag = \"0s\"", "settled_lag = \"4s\""), ("overlap = \"5s\"", "overlap = \"0s\"")];

async fn arrivals(rig: &Rig) -> eyre::Result<Arrivals> {
    let streams = overview::streams(&rig.store).await?;
    let contacts = streams.into_iter().find(|stream| stream.name == CONTACTS);
    Ok(contacts.map(|stream| stream.arrivals).unwrap_or_default())
}

/// Polls until this many versions were passed by the settled reader.
async fn passed(rig: &Rig, versions: i64) -> eyre::Result<Arrivals> {
    deadline::until("the settled reader has passed them", Duration::from_secs(30), || async {
        rig.poll(CONTACTS).await?;
        let arrivals = arrivals(rig).await?;
        Ok((arrivals.versions >= versions).then_some(arrivals))
    })
    .await
}

on_both_databases! {
    async fn what_shows_later_than_the_fast_reader_waits_is_counted_with_the_ages_between_which_it_showed(kind) {
        let weather = Weather { index_lag_ms: (2_500, 2_500), ..Weather::calm() };
        let rig = Rig::with(kind, Setup { weather, instead: SETTLED_LATER, ..Setup::default() }).await?;
        rig.catch_up(CONTACTS).await?;
        rig.crm.crm().create(Contacts, &[("email", "late@acme.test")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.count("customers").await?, 0, "the fast reader has passed its stamp, and the index did not show it");
        let arrivals = passed(&rig, 1).await?;
        assert_eq!(rig.db.count("customers").await?, 1);
        assert_eq!((arrivals.versions, arrivals.missed()), (1, 1));
        let (arrival, _) = arrivals.late[0];
        assert!(arrival.low_ms < 2_500 && arrival.high_ms > 2_500, "{arrival:?}");
        let proposed = arrivals.report(0).and_then(|report| report.proposed);
        assert!(proposed.is_some_and(|proposed| proposed.lag_ms > 2_500 && proposed.missed_most == 0), "{proposed:?}");
        Ok(())
    }

    async fn what_the_fast_reader_had_is_counted_as_in_time_and_once(kind) {
        let rig = Rig::with(kind, Setup { instead: SETTLED_LATER, ..Setup::default() }).await?;
        rig.catch_up(CONTACTS).await?;
        for n in 0..3 {
            rig.crm.crm().create(Contacts, &[("email", &format!("c{n}@acme.test"))])?;
        }
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.count("customers").await?, 3);
        let arrivals = passed(&rig, 3).await?;
        assert_eq!((arrivals.versions, arrivals.missed()), (3, 0));
        assert_eq!(arrivals.report(0).and_then(|report| report.proposed), None);
        rig.poll(CONTACTS).await?;
        assert_eq!(passed(&rig, 3).await?.versions, 3);
        Ok(())
    }
}
