//! What machines read: metrics, health, the JSON API.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tidemark_core::spec::TableName;
use tidemark_store::overview;

use crate::site::Site;
use crate::{on_both_databases, seed};

on_both_databases! {
    the_metrics_parse_and_tell_what_is_so(None);
    calls_are_counted_once_and_only_from_the_first_scrape_on(None);
    readiness_names_what_fails(None);
    a_scheduler_that_hangs_is_not_alive(None);
    the_api_tells_verdicts_queue_and_workers(None);
    sums_and_estimates_agree_with_the_tables(None);
}

/// Samples by name and labels; every line has to be well formed.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line}"));
        let bare = name.split('{').next().unwrap();
        assert!(bare.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{line}");
        assert!(name == bare || name.ends_with("\"}"), "{line}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number in {line}"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

async fn the_metrics_parse_and_tell_what_is_so(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
    seed::run(&site.db, "UPDATE tidemark_stream SET capture = CASE id WHEN 1 THEN 'installed' WHEN 2 THEN 'missing' END").await;
    seed::run(
        &site.db,
        "INSERT INTO tidemark_brake (stream_id, direction, act, most, tripped_at) VALUES (1, 'in', 'blank', 9, 1)",
    )
    .await;
    let samples = parse(&site.page("/metrics").await);
    for (name, value) in [
        ("tidemark_brake_on{stream=\"hubspot.contacts\",direction=\"in\",act=\"blank\"}", 1.0),
        ("tidemark_brake_on{stream=\"hubspot.contacts\",direction=\"out\",act=\"blank\"}", 0.0),
        ("tidemark_brake_held{stream=\"hubspot.contacts\",direction=\"in\",act=\"blank\"}", 0.0),
        ("tidemark_stream_captured{stream=\"hubspot.contacts\"}", 1.0),
        ("tidemark_stream_captured{stream=\"hubspot.deals\"}", 0.0),
        ("tidemark_drift_day{stream=\"hubspot.contacts\",missed_by=\"settled\"}", 1.0),
        ("tidemark_drift_day{stream=\"hubspot.contacts\",missed_by=\"none\"}", 0.0),
        ("tidemark_sweep_sealed{stream=\"hubspot.contacts\"}", 1.0),
        ("tidemark_database_up", 1.0),
        ("tidemark_queue_up", 1.0),
        ("tidemark_queue_depth{state=\"waiting\"}", 3.0),
        ("tidemark_queue_depth{state=\"running\"}", 2.0),
        ("tidemark_workers_alive{kind=\"worker\"}", 1.0),
        ("tidemark_change_log_waiting", 0.0),
        ("tidemark_debts{stream=\"hubspot.contacts\",kind=\"push\",state=\"parked\"}", 2.0),
        ("tidemark_debts{stream=\"hubspot.deals\",kind=\"push\",state=\"parent\"}", 1.0),
        ("tidemark_debts{stream=\"pipedrive.persons\",kind=\"read\",state=\"waiting\"}", 0.0),
        ("tidemark_stream_fresh_within_seconds{stream=\"hubspot.contacts\"}", 120.0),
        ("tidemark_connection_running{connection=\"pipedrive\"}", 0.0),
        ("tidemark_stream_state{stream=\"hubspot.companies\",state=\"plan_ready\"}", 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }
    let lag = samples["tidemark_stream_lag_seconds{stream=\"hubspot.contacts\"}"];
    assert!((732.0..792.0).contains(&lag), "{lag}");
    assert!(!samples.contains_key("tidemark_stream_lag_seconds{stream=\"hubspot.companies\"}"), "nothing was read yet");
}

async fn calls_are_counted_once_and_only_from_the_first_scrape_on(site: Site) {
    let call = "INSERT INTO tidemark_callout (connection, purpose, attempt, method, endpoint, items, status, class, elapsed_ms)
        VALUES ('hubspot', 'push', 1, 'POST', '/x', 5, 200, NULL, 250)";
    let name = "tidemark_callouts_total{connection=\"hubspot\",purpose=\"push\",class=\"success\"}";
    seed::run(&site.db, call).await;
    assert_eq!(parse(&site.page("/metrics").await).get(name), None);
    seed::run(&site.db, call).await;
    seed::run(&site.db, call).await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(parse(&site.page("/metrics").await).get(name).copied().unwrap_or(0.0));
    }
    assert_eq!(counts, [0.0, 2.0, 2.0, 2.0], "one scrape late, never twice");
}

async fn readiness_names_what_fails(site: Site) {
    assert_eq!(site.get("/readyz").await.status(), 200);
    site.queue.store(false, Ordering::Relaxed);
    let answer = site.get("/readyz").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains(r#""failing":["queue"]"#));
    site.queue.store(true, Ordering::Relaxed);
    seed::run(&site.db, "DELETE FROM tidemark_migration").await;
    assert!(site.get("/readyz").await.text().await.unwrap().contains(r#""failing":["migrations"]"#));
    site.store.clone().close().await.unwrap();
    assert!(site.get("/readyz").await.text().await.unwrap().contains(r#""failing":["database","migrations"]"#));
}

async fn a_scheduler_that_hangs_is_not_alive(site: Site) {
    assert_eq!(site.get("/healthz").await.status(), 200, "it has just begun");
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    site.last_tick.store(now - 60_000, Ordering::Relaxed);
    let answer = site.get("/healthz").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains(r#""failing":["scheduler"]"#));
    site.last_tick.store(now, Ordering::Relaxed);
    assert_eq!(site.get("/healthz").await.status(), 200);
}

async fn the_api_tells_verdicts_queue_and_workers(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
    let status: serde_json::Value = serde_json::from_str(&site.page("/api/status").await).unwrap();
    assert_eq!(status["streams"][1]["name"], "hubspot.contacts");
    assert_eq!(status["streams"][1]["verdict"]["mood"], "behind");
    assert_eq!(status["queue"]["waiting"], 3);
    assert_eq!(status["workers"][0]["alive"], true);
    let debts: serde_json::Value = serde_json::from_str(&site.page("/api/debts?state=parked&limit=2").await).unwrap();
    assert_eq!(debts["debts"].as_array().unwrap().len(), 2);
    assert_eq!(debts["debts"][0]["state"], "parked");
}

async fn sums_and_estimates_agree_with_the_tables(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::history(&site.db, now).await;
    seed::storm(&site.db, now).await;
    let totals = overview::totals(&site.store).await.unwrap();
    assert_eq!((totals.links, totals.debts, totals.parked, totals.conflicts, totals.excluded), (6, 7, 3, 2, 14));
    assert_eq!((totals.calls, totals.calls_failed), (245, 9));
    let table = |name: &str| TableName { schema: None, name: name.into() };
    let orders = if site.store.is_postgres() { "public.\"odd name\"" } else { "\"odd name\"" };
    seed::run(&site.db, &format!("CREATE TABLE {orders} (id INTEGER)")).await;
    seed::run(&site.db, &format!("INSERT INTO {orders} (id) VALUES (1), (2), (3)")).await;
    assert_eq!(overview::rows_estimate(&site.store, &table("odd name")).await, Some(3));
    assert_eq!(overview::rows_estimate(&site.store, &table("nothing")).await, None);
}
