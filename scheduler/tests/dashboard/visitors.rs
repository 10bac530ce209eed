//! Who is served, and what their browser is told.

use tidemark_scheduler::http::bind;

use crate::on_both_databases;
use crate::site::Site;

on_both_databases! {
    without_a_token_a_foreign_host_name_is_refused(None);
    with_a_token_nothing_but_health_is_told_to_strangers(Some("s3cret token"));
    the_login_form_gives_a_cookie_that_opens_the_pages(Some("s3cret token"));
    an_act_from_another_site_changes_nothing(None);
    every_answer_forbids_foreign_content(None);
}

async fn without_a_token_a_foreign_host_name_is_refused(site: Site) {
    assert_eq!(site.get("/").await.status(), 200);
    let answer = site.client.get(format!("{}/", site.address)).header("host", "rebound.example").send().await.unwrap();
    assert_eq!(answer.status(), 403);
}

async fn with_a_token_nothing_but_health_is_told_to_strangers(site: Site) {
    for path in ["/", "/debts", "/acts", "/nothing"] {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap().starts_with("/login?next=%2F")),
            (303, true),
            "{path}"
        );
    }
    for path in ["/api/status", "/api/debts"] {
        assert_eq!(site.get(path).await.status(), 401, "{path}");
    }
    let bare = |path: &str| site.client.get(format!("{}{path}", site.address));
    assert_eq!(bare("/metrics").send().await.unwrap().status(), 401);
    assert_eq!(bare("/metrics").bearer_auth("s3cret toker").send().await.unwrap().status(), 401);
    for path in ["/metrics", "/", "/api/status"] {
        assert_eq!(bare(path).bearer_auth("s3cret token").send().await.unwrap().status(), 200, "{path}");
    }
    for path in ["/healthz", "/readyz", "/login", "/style.css"] {
        assert_eq!(bare(path).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(site.post("/acts/streams/a/pause", "").await.status(), 401);
}

async fn the_login_form_gives_a_cookie_that_opens_the_pages(site: Site) {
    let refused = site.post("/login", "token=guess&next=%2Fdebts").await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("set-cookie")), (401, false));
    let entered = site.post("/login", "token=s3cret+token&next=%2Fdebts").await;
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert_eq!((entered.status().as_u16(), &entered.headers()["location"]), (303, &"/debts".parse().unwrap()));
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("s3cret"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let answer = site.client.get(format!("{}/debts", site.address)).header("cookie", pair).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let elsewhere = site.post("/login", "token=s3cret+token&next=%2F%2Fevil.example").await;
    assert_eq!(elsewhere.headers()["location"], "/");
}

async fn an_act_from_another_site_changes_nothing(site: Site) {
    let now = site.store.now().await.unwrap();
    crate::seed::calm(&site.db, now).await;
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let request = site.client.post(format!("{}/acts/streams/hubspot.deals/pause", site.address)).header(name, value);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.body("back=/").send().await.unwrap().status(), 403, "{name}: {value}");
    }
    assert_eq!(site.text("SELECT state FROM tidemark_stream WHERE name = 'hubspot.deals'").await, "running");
    assert_eq!(site.text("SELECT CAST(count(*) AS TEXT) FROM tidemark_act").await, "0");
}

async fn every_answer_forbids_foreign_content(site: Site) {
    for path in ["/", "/healthz", "/api/status", "/nothing", "/style.css"] {
        let answer = site.get(path).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("http") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        let body = answer.text().await.unwrap();
        assert!(!body.contains("//cdn") && !body.contains("src=\"http") && !body.contains(" style="), "{path}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_the_setting_that_moves_it() {
    let held = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let listen = held.local_addr().unwrap();
    let words = bind(listen).await.unwrap_err().to_string();
    assert!(words.contains(&listen.to_string()) && words.contains("`server.listen`"), "{words}");
}
