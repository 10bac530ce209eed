//! A rewind: what lies behind the cursor is read again, what is known already is not written again, and whoever was reading does not undo it.

use std::sync::Arc;
use std::time::Duration;

use eyre::OptionExt;
use tempfile::TempDir;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_core::window::{Reader, Window};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::acts::By;
use tidemark_store::rewind::rewind;
use tidemark_store::{StoreError, overview, streams, windows};
use tidemark_tests::{Kind, Rig, Setup, TOKEN, deadline, on_both_databases, processes};
use tidemark_worker::{Outcome, handle};

const CONTACTS: &str = "hubspot.contacts";
const HOUR: i64 = 3_600_000;
const BY: By<'static> = By { who: "somebody", reason: Some("an import wrote old stamps") };

async fn with_contacts(kind: Kind, count: usize) -> eyre::Result<(Rig, Vec<String>)> {
    let rig = Rig::start(kind).await?;
    let crm = rig.crm.crm();
    let ids = (0..count).map(|at| crm.create(Contacts, &[("email", &format!("c{at}@acme.test")), ("company", "Old")]));
    let ids = ids.collect::<Result<_, _>>()?;
    rig.settle().await?;
    rig.catch_up(CONTACTS).await?;
    Ok((rig, ids))
}

/// What `edit` does carries a stamp of two hours ago, as an import leaves it.
fn two_hours_ago<T>(rig: &Rig, edit: impl FnOnce() -> T) -> T {
    let weather = rig.crm.crm().weather();
    rig.crm.crm().set_weather(tidemark_sandbox::Weather { clock_offset_ms: -2 * HOUR, ..weather });
    let done = edit();
    rig.crm.crm().set_weather(weather);
    done
}

async fn cursors(rig: &Rig) -> eyre::Result<(i64, i64)> {
    let stream = streams::find(&rig.store, CONTACTS).await?.ok_or_eyre("no stream")?;
    Ok((stream.fast_until.ok_or_eyre("not loaded")?, stream.settled_until.ok_or_eyre("not loaded")?))
}

async fn back_by(rig: &Rig, by: i64) -> eyre::Result<i64> {
    let to = cursors(rig).await?.0 - by;
    assert!(rewind(&rig.store, rig.stream(CONTACTS)?.id, CONTACTS, to, BY).await?);
    Ok(to)
}

/// Everything that is remembered of pairs and of why, and the rows themselves.
async fn everything(rig: &Rig) -> eyre::Result<Vec<Vec<Option<String>>>> {
    let mut all = Vec::new();
    for sql in [
        format!(
            "SELECT row_key, remote_id, state, base, CAST(seen AS TEXT), CAST(version AS TEXT) FROM {} ORDER BY id",
            rig.db.own("tidemark_link")
        ),
        format!("SELECT kind, subject, state FROM {} ORDER BY id", rig.db.own("tidemark_debt")),
        format!("SELECT CAST(count(*) AS TEXT) FROM {}", rig.db.own("tidemark_lineage")),
        "SELECT CAST(id AS TEXT), email, first_name, phone, company, hubspot_id FROM customers ORDER BY id".to_owned(),
        format!(
            "SELECT name, state, CAST(fast_until AS TEXT), CAST(settled_until AS TEXT) FROM {} WHERE name <> '{CONTACTS}'",
            rig.db.own("tidemark_stream")
        ),
    ] {
        all.extend(rig.db.rows(&sql).await?);
    }
    Ok(all)
}

on_both_databases! {
    async fn a_record_whose_stamp_lies_behind_the_cursor_is_found_after_a_rewind(kind) {
        let (rig, ids) = with_contacts(kind, 2).await?;
        let crm = rig.crm.crm();
        two_hours_ago(&rig, || crm.create(Contacts, &[("email", "late@acme.test")]))?;
        two_hours_ago(&rig, || crm.edit(Contacts, &ids[0], &[("company", "New")]))?;
        for _ in 0..2 {
            rig.catch_up(CONTACTS).await?;
        }
        let late = "customers WHERE email = 'late@acme.test'";
        assert_eq!(rig.db.count(late).await?, 0, "no window comes there again");
        back_by(&rig, HOUR).await?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.count(late).await?, 0, "nor does a rewind that is too short");
        back_by(&rig, 3 * HOUR).await?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.count(late).await?, 1);
        rig.read(CONTACTS).await?;
        assert_eq!(rig.db.count("customers WHERE company = 'New'").await?, 1, "a stamp that went backwards is read by id");
        Ok(())
    }

    async fn reading_again_writes_nothing_that_is_not_different_and_moves_nothing_else(kind) {
        let (rig, _) = with_contacts(kind, 3).await?;
        rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '030 12 34', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let (before, writes, cursor) = (everything(&rig).await?, rig.crm.crm().counters().writes, cursors(&rig).await?);
        let to = back_by(&rig, HOUR).await?;
        assert_eq!(cursors(&rig).await?, (to, to));
        assert_eq!(everything(&rig).await?, before, "the cursors of this stream moved, and nothing else");
        rig.poll(CONTACTS).await?;
        let now = cursors(&rig).await?;
        assert!(now.0 > cursor.0 - HOUR / 2 && now.1 > cursor.1 - HOUR / 2, "{now:?} after {cursor:?}");
        let again = overview::windows(&rig.store, Some(rig.stream(CONTACTS)?.id), 2).await?;
        assert!(again.iter().all(|window| window.from <= to && to - window.from <= 10_000), "one of each reader: {again:?}");
        assert!(again.iter().all(|window| window.records >= 3 && window.rows_changed == 0), "{again:?}");
        assert_eq!((everything(&rig).await?[..before.len() - 1].to_vec(), rig.crm.crm().counters().writes), (before[..before.len() - 1].to_vec(), writes));
        Ok(())
    }

    async fn a_rewind_is_an_act_that_the_stream_shows_for_a_day(kind) {
        let (rig, _) = with_contacts(kind, 1).await?;
        back_by(&rig, HOUR).await?;
        let shown = async |rig: &Rig| {
            let streams = overview::streams(&rig.store).await?;
            let stream = streams.into_iter().find(|stream| stream.name == CONTACTS).ok_or_eyre("no stream")?;
            Ok::<_, eyre::Report>(stream.rewound.map(|rewind| rewind.words()))
        };
        assert_eq!(shown(&rig).await?.as_deref(), Some("by somebody: an import wrote old stamps"));
        let acts = overview::acts(&rig.store, 1).await?;
        assert_eq!((acts[0].verb.as_str(), acts[0].subject.as_str()), ("rewind", CONTACTS));
        rig.db.run(&format!("UPDATE {} SET at = at - 90000000", rig.db.own("tidemark_act"))).await?;
        assert_eq!(shown(&rig).await?, None);
        Ok(())
    }

    async fn cursors_are_never_set_forward(kind) {
        let (rig, _) = with_contacts(kind, 1).await?;
        let before = cursors(&rig).await?;
        let id = rig.stream(CONTACTS)?.id;
        assert!(!rewind(&rig.store, id, CONTACTS, before.0, BY).await?);
        assert!(!rewind(&rig.store, id, CONTACTS, before.0 + HOUR, BY).await?);
        assert_eq!(cursors(&rig).await?, before);
        assert_eq!(rig.db.count(&format!("{} WHERE verb = 'rewind'", rig.db.own("tidemark_act"))).await?, 0, "nothing was done");
        // The settled reader may be farther behind than that.
        rig.db.run(&format!("UPDATE {} SET settled_until = fast_until - {HOUR} WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"))).await?;
        let settled = cursors(&rig).await?.1;
        back_by(&rig, HOUR / 2).await?;
        assert_eq!(cursors(&rig).await?.1, settled);
        Ok(())
    }

    async fn a_poll_under_way_loses_its_fence_to_a_rewind(kind) {
        let (rig, ids) = with_contacts(kind, 1).await?;
        let slow = rig.second_worker().await?;
        two_hours_ago(&rig, || rig.crm.crm().create(Contacts, &[("email", "late@acme.test")]))?;
        rig.crm.crm().edit(Contacts, &ids[0], &[("company", "New")])?;
        rig.crm.crm().force_next(ForcedAnswer { honest: true, delay_ms: 2_000, times: 1, path_contains: "/search".into(), ..ForcedAnswer::default() });
        let stream = rig.db.own("tidemark_stream");
        // The CRM tells its time in whole seconds: right after a poll there may be nothing to read yet.
        rig.db.run(&format!("UPDATE {stream} SET fast_until = fast_until - 5000, poll_owed_at = 0 WHERE name = '{CONTACTS}'")).await?;
        let hint = Hint { kind: HintKind::Poll, stream: rig.stream(CONTACTS)?.id };
        let rig = Arc::new(rig);
        let overtaken = tokio::spawn(async move { handle(&slow, hint).await });
        deadline::until("its window is open", Duration::from_secs(10), || async {
            Ok((rig.db.count(&format!("{} WHERE state = 'open'", rig.db.own("tidemark_window"))).await? == 1).then_some(()))
        }).await?;
        let to = back_by(&rig, 3 * HOUR).await?;
        let outcome = overtaken.await?;
        assert!(matches!(outcome, Outcome::LeaseLost), "{outcome:?}");
        assert_eq!(cursors(&rig).await?, (to, to), "its end did not set them forward");
        assert_eq!(rig.db.count(&format!("{} WHERE state = 'open'", rig.db.own("tidemark_window"))).await?, 0);
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.count("customers WHERE email = 'late@acme.test' OR company = 'New'").await?, 2);
        Ok(())
    }

    async fn a_reader_that_was_overtaken_by_a_rewind_opens_no_window_of_its_old_cursor(kind) {
        let (rig, _) = with_contacts(kind, 1).await?;
        let mapped = rig.stream(CONTACTS)?;
        rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0 WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"))).await?;
        let (fence, stream) = streams::claim_poll(&rig.store, mapped, "slow", 60_000).await?.ok_or_eyre("not claimed")?;
        let to = back_by(&rig, 3 * HOUR).await?;
        // What it would read from the cursor it saw when it claimed the stream: its end would carry the cursors past the rewind.
        let until = stream.fast_until.ok_or_eyre("not loaded")?;
        let late = Window { from: until, until: until + 5_000 };
        let opened = windows::open(&rig.store, fence, Reader::Fast, late, &mapped.spec.digest()).await;
        assert!(matches!(opened, Err(StoreError::LeaseLost { .. })), "{opened:?}");
        assert_eq!(cursors(&rig).await?, (to, to));
        Ok(())
    }

    async fn the_command_says_what_reading_again_costs_and_does_it_when_told(kind) {
        let (rig, _) = with_contacts(kind, 3).await?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("tidemark.toml"), rig.text.replace("search_per_second = 900", "search_per_second = 900, per_day = 100000"))?;
        let tidemark = async |args: &[&str]| {
            let args: Vec<&str> = ["rewind", CONTACTS].iter().chain(args).copied().collect();
            processes::run(processes::command(folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], &args)?, Duration::from_secs(30)).await
        };
        let (before, calls) = (cursors(&rig).await?, rig.crm.crm().calls().len());
        let said = tidemark(&["--by", "1h"]).await?.good()?;
        for words in ["3 to ", " records, by both readers", "less than a minute at the connection's rate", "calls that are left of the day", "Nothing was changed. `tidemark rewind hubspot.contacts --by 1h --apply` does it."] {
            assert!(said.contains(words), "{words:?} is missing in:\n{said}");
        }
        let report: serde_json::Value = serde_json::from_str(&tidemark(&["--by", "1h", "--json"]).await?.good()?)?;
        assert_eq!((&report["records"], &report["calls"], &report["applied"]), (&3.into(), &2.into(), &false.into()), "{report}");
        assert_eq!(report["to"].as_i64(), Some(before.0 - HOUR));
        assert!(report["day_calls_left"].as_u64().is_some_and(|left| (99_000..100_000).contains(&left)), "{report}");
        assert_eq!((cursors(&rig).await?, rig.crm.crm().calls().len()), (before, calls), "it only asked, and not the CRM");
        for (args, words) in [
            (&["--to", "2099-01-01"][..], "lies in the future"),
            (&["--to", "1969-07-20T20:17:00Z"], "before 1970"),
            (&["--by", "0s"], "no farther"),
            (&["--to", "tomorrow"], "such as 2026-11-25T10:00:00Z"),
            (&[], "--to"),
        ] {
            let ended = tidemark(args).await?;
            assert_eq!(ended.code, Some(1), "{args:?}");
            assert!(ended.stderr.contains(words), "{words:?} is missing in:\n{}", ended.stderr);
        }
        let said = tidemark(&["--by", "1h", "--apply", "--reason", "an import"]).await?.good()?;
        assert!(said.contains("The readers are set back"), "{said}");
        assert_eq!(cursors(&rig).await?.0, before.0 - HOUR);
        let status = processes::command(folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], &["status"])?;
        let status = processes::run(status, Duration::from_secs(30)).await?.good()?;
        assert!(status.contains("rewound     0 min ago by ") && status.contains("is read again; an import"), "{status}");
        Ok(())
    }

    async fn a_sweep_under_way_goes_on_after_a_rewind_and_is_sealed(kind) {
        let rig = Rig::with(kind, Setup { contacts: "poll = { page_rows_max = 2 }", ..Setup::default() }).await?;
        for at in 0..7 {
            rig.crm.crm().create(Contacts, &[("email", &format!("c{at}@acme.test"))])?;
        }
        rig.settle().await?;
        // A sweep's second page fails, so that it stands half way.
        rig.crm.crm().force_next(ForcedAnswer { honest: true, path_contains: "/contacts/search".into(), times: 1, ..ForcedAnswer::default() });
        rig.crm.crm().force_next(ForcedAnswer { status: 502, path_contains: "/contacts/search".into(), times: 1, ..ForcedAnswer::default() });
        rig.sweep_alone(CONTACTS).await?;
        let open = format!("{} WHERE reader = 'sweep' AND state = 'open' AND pages > 0", rig.db.own("tidemark_window"));
        assert_eq!(rig.db.count(&open).await?, 1);
        back_by(&rig, HOUR).await?;
        assert_eq!(rig.db.count(&open).await?, 1, "it is not abandoned");
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        Ok(())
    }
}
