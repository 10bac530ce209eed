//! What the pages say.

use crate::site::{Site, words};
use crate::{on_both_databases, seed};

on_both_databases! {
    the_home_page_says_what_is_stuck_why_and_what_comes_next(None);
    the_home_page_is_calm_when_all_is_fresh(None);
    a_stream_whose_triggers_are_gone_says_so_on_its_card(None);
    hostile_text_is_shown_and_never_obeyed(None);
    a_call_is_shown_with_what_was_kept_of_it_and_its_body_breaks_nothing(None);
    who_is_erased_and_not_gone_yet_is_told_with_the_next_step(None);
    a_hook_is_said_to_have_no_account_and_a_crm_not_to_have_been_asked(None);
    an_empty_installation_says_so_in_words(None);
    a_row_says_why_it_is_as_it_is(None);
    the_reliability_report_is_a_page_markdown_and_json(None);
    a_database_that_is_gone_is_told_in_words(None);
}

const PAGES: [&str; 7] = ["/", "/debts", "/conflicts", "/streams/hubspot.contacts", "/callouts", "/reliability", "/acts"];

/// Times that move while a test runs are blanked.
fn still(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let number = word.trim_start_matches('(').trim_end_matches(['.', ',']);
        let moving = number.parse::<u32>().is_ok_and(|number| number < 120)
            && out.last().is_some_and(|last| matches!(last.as_str(), "in" | "settled" | "oldest" | "of" | "to"));
        out.push(if moving { "N".into() } else { word.into() });
    }
    out.join(" ")
}

async fn the_home_page_says_what_is_stuck_why_and_what_comes_next(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
    let text = words(&site.page("/").await);
    for expect in [
        "pipedrive.persons is stopped: Pipedrive refused the token: 401 unauthorized access",
        "hubspot.contacts is 12 min behind: HubSpot asked us to wait 60 s: the search limit of 5 calls a second is spent",
        "hubspot.companies waits for your go",
        "2 hubspot.contacts HubSpot refused contact 1041: Property values were not valid: email &quot;jane@&quot; is invalid",
        "Nothing until its credentials are taken again, which is tried once an hour, or somebody resumes the connection pipedrive.",
        "tried again by itself in 43 min",
        "(attempt 4)",
        "Parked 3 wait for a person",
        "Workers 1 1 scheduler alive",
    ] {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
    for page in PAGES {
        site.page(page).await;
    }
    let stream = words(&site.page("/streams/hubspot.contacts").await);
    assert!(stream.contains("record 55300 phone both readers: it came later than the settled lag merged"), "{stream}");
    let debts = words(&site.page("/debts?state=parked&stream=hubspot.contacts").await);
    assert!(debts.contains("decide which one stands") && !debts.contains("502 Bad Gateway"), "{debts}");
    assert_eq!(site.get("/streams/nothing").await.status(), 404);
}

async fn the_home_page_is_calm_when_all_is_fresh(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    let text = words(&site.page("/").await);
    let upper = text.split("Connections").next().unwrap();
    insta::allow_duplicates! {
        insta::assert_snapshot!(still(upper), @r"
        Both streams are fresh
        6 pairs of rows and records are kept in agreement; nothing waits for a person.
        Queue 3 waiting, 2 running
        Due now 0 nothing overdue
        Due later 0 retries and waits
        Parked 0 nothing is stuck
        Change log 0 all relayed
        Workers 1 1 scheduler alive
        hubspot.contacts
        fresh
        HubSpot contacts ↔ customers
        Next Reads again in N s.
        Fresh as of N s ago may be 2 min old
        Read up to N s ago settled N s ago
        Owed to the CRM 0 nothing waits
        Reads owed 0 none failed before
        Wait for a person 0 0 conflicts ever
        Linked pairs 3 0 left out
        Swept not yet nothing found in a day
        Last hour 0 read, 0 changed
        hubspot.deals
        fresh
        HubSpot deals ← orders
        Next Reads again in N s.
        Fresh as of N s ago may be 2 min old
        Read up to N s ago settled N s ago
        Owed to the CRM 0 nothing waits
        Reads owed 0 none failed before
        Wait for a person 0 0 conflicts ever
        Linked pairs 3 0 left out
        Swept not yet nothing found in a day
        Last hour 0 read, 0 changed
        ");
    }
}

async fn the_reliability_report_is_a_page_markdown_and_json(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
    assert!(site.page("/").await.contains("href=\"/reliability?connection=hubspot\""));
    let text = words(&site.page("/reliability?connection=hubspot&days=1").await);
    for expect in
        ["Reliability of the CRMs", "First try: ", "Endpoints", "Calls that did not succeed", "Not cured yet", "a person"]
    {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
    assert!(!text.contains("pipedrive.persons"), "only one connection was asked for:\n{text}");
    let answer = site.get("/reliability.md?connection=hubspot").await;
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains("reliability.md"));
    assert!(answer.text().await.unwrap().starts_with("# Reliability of the CRMs\n"));
    let report: serde_json::Value = serde_json::from_str(&site.page("/api/reliability?connection=nobody&days=x").await).unwrap();
    assert_eq!(report["connections"], serde_json::json!([]));
}

async fn a_row_says_why_it_is_as_it_is(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
    seed::lineage(&site.db, now).await;
    let answer = site.get("/streams/hubspot.contacts/rows?thing=%202%20").await;
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/streams/hubspot.contacts/rows/2");
    let text = words(&site.page("/streams/hubspot.contacts/rows/2").await);
    for expect in [
        "Row 2 ↔ record r2",
        "are one thing, linked since",
        "firstname first_name conflict: the row says «Ana», the record says «Anna»",
        "firstname a conflict began: both sides changed, and a person decides (window 17, fast reader)",
        "they had agreed on «An»",
        "phone taken from the CRM: it changed there and not here (window 12, settled reader); it was «2» and became «1»",
        "all the row was made from the record (window 3, fast reader)",
    ] {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
    assert_eq!(text, words(&site.page("/streams/hubspot.contacts/rows/record%3Ar2").await), "a record leads to its row");
    let text = words(&site.page("/streams/hubspot.contacts/rows/99").await);
    assert!(text.contains("knows no 99") && text.contains("tidemark why hubspot.contacts 99"), "{text}");
    assert_eq!(site.get("/streams/nothing/rows/1").await.status(), 404);
    assert!(site.page("/debts").await.contains("/streams/hubspot.contacts/rows/row%3A1041"));
}

async fn a_stream_whose_triggers_are_gone_says_so_on_its_card(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::run(&site.db, "UPDATE tidemark_stream SET capture = 'missing'").await;
    // One is well otherwise, the other is behind as well: the card tells both.
    seed::run(&site.db, &format!("UPDATE tidemark_stream SET fresh_at = {now} - 732000 WHERE id = 2")).await;
    let text = words(&site.page("/").await);
    for expect in [
        "hubspot.contacts hears of no edit in the order system: the capture triggers on customers are missing or disabled",
        "needs a person",
        "Capture the capture triggers on orders are missing or disabled: run tidemark migrate",
    ] {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
    assert!(words(&site.page("/streams/hubspot.contacts").await).contains("the capture triggers on customers are missing"));
}

async fn a_call_is_shown_with_what_was_kept_of_it_and_its_body_breaks_nothing(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
    let body = "POST /x\n\n{ \"a\": ‹text 5› }</pre></section><script>alert(1)</script>&\"";
    let id = site.text("SELECT CAST(max(id) AS TEXT) FROM tidemark_callout").await;
    assert!(words(&site.page(&format!("/callouts/{id}")).await).contains("Its request and response were not kept"));
    seed::run(
        &site.db,
        &format!("INSERT INTO tidemark_tape (callout_id, request, response) VALUES ({id}, '{body}', '429 {body}')"),
    )
    .await;
    let page = site.page(&format!("/callouts/{id}")).await;
    assert!(!page.contains("<script>alert"), "{page}");
    assert_eq!(page.matches("</pre>").count(), 2, "what was said ends no element");
    assert_eq!(
        page.matches("‹text 5› }&lt;/pre&gt;&lt;/section&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;").count(),
        2,
        "{page}"
    );
    let text = words(&page);
    for expect in
        ["POST /crm/v3/objects/contacts/search", "429 the CRM asked us to wait", "You have reached your secondly limit."]
    {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
    let list = site.page("/callouts").await;
    assert!(list.contains(&format!("href=\"/callouts/{id}\"")));
    assert_eq!(list.matches(">recorded</span>").count(), 1);
    seed::run(&site.db, "UPDATE tidemark_tape SET response = NULL").await;
    assert!(words(&site.page(&format!("/callouts/{id}")).await).contains("Nothing was heard."));
    for nothing in ["999999", "x", "-1", "%3Cscript%3Ealert(1)"] {
        let answer = site.get(&format!("/callouts/{nothing}")).await;
        assert_eq!(answer.status(), 404, "{nothing}");
        assert!(!answer.text().await.unwrap().contains("<script>alert"));
    }
}

async fn who_is_erased_and_not_gone_yet_is_told_with_the_next_step(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::run(
        &site.db,
        &format!(
            "INSERT INTO tidemark_erasure (stream_id, row_key, remote_id, state, who, begun_at, attempts, cause, again_at, due_at) VALUES
             (1, '7', '701', 'begun', 'ana', {now} - 600000, 2, 'HubSpot answered 503 <b>', NULL, {now} + 90000),
             (1, '8', '702', 'begun', 'ana', {now} - 500000, 0, NULL, NULL, {now}),
             (1, '9', '703', 'done', 'ana', {now} - 400000, 1, NULL, {now} - 60000, {now}),
             (1, '10', '704', 'done', 'ana', {now} - 400000, 1, NULL, NULL, {now})"
        ),
    )
    .await;
    let text = words(&site.page("/").await);
    for expect in [
        "701 hubspot.contacts is still to be archived, tried 2 times: HubSpot answered 503 &lt;b&gt; a worker tries it again by itself until the record is gone",
        "702 hubspot.contacts is still to be archived, tried 0 times: it waits for its turn",
        "703 hubspot.contacts shows in the CRM again and is not taken up erase it once more with `tidemark erase hubspot.contacts --record 703`",
    ] {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
    assert!(!text.contains("704"), "it is gone");
    site.post("/acts/connections/hubspot/pause", "").await;
    let text = words(&site.page("/").await);
    assert!(
        text.contains(
            "tried 2 times: hubspot is paused, and a pause stops every call `tidemark resume hubspot`; a worker then goes on"
        ),
        "{text}"
    );
    seed::run(&site.db, "UPDATE tidemark_erasure SET state = 'done', again_at = NULL").await;
    site.post("/acts/connections/hubspot/resume", "").await;
    assert!(!site.page("/").await.contains("not gone yet"), "nothing is open");
}

const HOSTILE: &str = "<script>alert(1)</script>\"&";

async fn hostile_text_is_shown_and_never_obeyed(site: Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::history(&site.db, now).await;
    seed::recorded(&site.db, now).await;
    let taped = format!("/callouts/{}", site.text("SELECT CAST(min(callout_id) AS TEXT) FROM tidemark_tape").await);
    let statements = [
        "UPDATE tidemark_tape SET request = '{}', response = '{}'".to_owned(),
        "UPDATE tidemark_erasure SET remote_id = '{}', cause = '{}'".to_owned(),
        "UPDATE tidemark_stream SET poll_error = '{}', poll_attempts = 1, reason = '{}', object = '{}', table_name = '{}'".to_owned(),
        format!("UPDATE tidemark_connection SET record_by = '{{}}', record_left = 5, record_until = {now} + 900000"),
        "UPDATE tidemark_connection SET account = '{}', environment = '{}', reason = '{}', connector = '{}'".to_owned(),
        "UPDATE tidemark_callout SET class = 'rejected', message = '{}', endpoint = '{}', method = '{}'".to_owned(),
        "INSERT INTO tidemark_debt (stream_id, kind, subject, state, class, code, cause, next_step) VALUES (1, 'push', '{}', 'parked', '{}', '{}', '{}', '{}')".to_owned(),
        format!("INSERT INTO tidemark_worker (name, kind, beat_at) VALUES ('{{}}', '{{}}', {now})"),
        "UPDATE tidemark_link SET base = '{\"phone\":\"{}\"}', remote_id = row_key || '{}', made = '{}'".to_owned().replace("\"{}\"", "\"<script>alert(1)</script>\""),
        "INSERT INTO tidemark_lineage (link_id, at, what, source, fields) SELECT id, 1, '{}', '{}', '{\"{}\":[\"x\",null,\"<script>alert(1)</script>\"]}' FROM tidemark_link".to_owned().replace("\"{}\"", "\"<script>alert(1)</script>\""),
        "INSERT INTO tidemark_act (who, verb, subject, reason) VALUES ('{}', '{}', '{}', '{}')".to_owned(),
        "INSERT INTO tidemark_stream (id, name, connection, object, table_name, mapping_digest) VALUES (9, '{}/../x', '{}', 'o', 't', 'd')".to_owned(),
    ];
    for sql in &statements {
        seed::run(&site.db, &sql.replace("{}", HOSTILE)).await;
    }
    for path in PAGES.into_iter().chain([
        taped.as_str(),
        "/debts?stream=%3Cscript%3Ealert(1)%3C/script%3E&page=1",
        "/%3Cscript%3Ealert(1)",
        "/streams/%3Cscript%3Ealert(1)",
        "/streams/hubspot.contacts/rows/2",
        "/streams/hubspot.contacts/rows/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ]) {
        let page = site.get(path).await.text().await.unwrap();
        assert!(!page.contains("<script>alert"), "{path} obeys");
    }
    assert!(site.page("/").await.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;"));
    let name = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%26%2F..%2Fx";
    assert!(site.page("/").await.contains(&format!("/streams/{name}")));
    assert!(words(&site.page(&format!("/streams/{name}")).await).contains("waits for your go"));
    let metrics = site.page("/metrics").await;
    assert!(metrics.contains("stream=\"<script>alert(1)</script>\\\"&/../x\""), "{metrics}");
}

async fn a_hook_is_said_to_have_no_account_and_a_crm_not_to_have_been_asked(site: Site) {
    for (name, connector) in [("zap", "zapier"), ("maker", "ifttt"), ("crm", "hubspot")] {
        seed::run(&site.db, &format!("INSERT INTO tidemark_connection (name, connector) VALUES ('{name}', '{connector}')")).await;
    }
    let text = words(&site.page("/").await);
    for expect in [
        "zap Zapier running no account: one-way hook",
        "maker IFTTT running no account: one-way hook",
        "crm HubSpot running not asked yet",
    ] {
        assert!(text.contains(expect), "{expect:?} is not in\n{text}");
    }
}

async fn an_empty_installation_says_so_in_words(site: Site) {
    for (path, words) in [
        ("/", "No stream is configured yet"),
        ("/debts", "Nothing is owed"),
        ("/conflicts", "Nothing waits for a decision"),
        ("/callouts", "No such call"),
        ("/acts", "Nobody has done anything"),
    ] {
        assert!(site.page(path).await.contains(words), "{path}");
    }
}

async fn a_database_that_is_gone_is_told_in_words(site: Site) {
    site.store.clone().close().await.unwrap();
    let answer = site.get("/").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("The order database does not answer"));
    assert!(site.page("/metrics").await.contains("\ntidemark_database_up 0\n"));
}
