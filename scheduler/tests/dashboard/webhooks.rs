//! Webhooks as hints: who is believed, and what a hint brings forward.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidemark_core::webhook::{Encoding, Part, Signature};
use tidemark_scheduler::http::{Hinted, Webhook};

use crate::on_both_databases;
use crate::seed;
use crate::site::Site;

on_both_databases! {
    a_signed_webhook_brings_the_next_polls_forward(Some("s3cret token"));
    what_is_not_the_crms_own_moves_nothing(Some("s3cret token"));
    where_nothing_is_signed_the_address_carries_a_key(None);
}

const PUBLIC: &str = "https://sync.acme.test";

/// One connection whose CRM signs, one whose CRM does not.
pub(crate) fn configured() -> BTreeMap<String, Webhook> {
    let signature = Signature {
        header: "X-Signature".into(),
        encoding: Encoding::Base64,
        signs: vec![Part::Method, Part::Url, Part::Body, Part::Timestamp],
        timestamp: Some("X-Sent".into()),
    };
    let streams: Vec<Hinted> = seed::specs().iter().map(Hinted::of).collect();
    let signed = Webhook::new("app secret".into(), Some(signature), Some(PUBLIC.into()), streams.clone());
    let keyed = Webhook::new("open sesame".into(), None, None, streams);
    [("hubspot".to_owned(), signed), ("shop".to_owned(), keyed)].into()
}

fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

/// Sent as the CRM does, its timestamp `age` milliseconds old; the status it is answered with.
async fn send(site: &Site, path: &str, secret: &str, body: &str, age: i64) -> u16 {
    let sent = (now() - age).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("POST{PUBLIC}{path}{body}{sent}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let request = site.client.post(format!("{}{path}", site.address)).header("x-signature", signature).header("x-sent", sent);
    request.body(body.to_owned()).send().await.unwrap().status().as_u16()
}

/// How long from now each stream's next tick is, milliseconds.
async fn due_in(site: &Site) -> [i64; 2] {
    let now = site.store.now().await.unwrap();
    let mut due = [0; 2];
    for (at, object) in ["contacts", "deals"].into_iter().enumerate() {
        let sql = format!("SELECT CAST(due_at AS TEXT) FROM tidemark_stream WHERE object = '{object}'");
        due[at] = site.text(&sql).await.parse::<i64>().unwrap() - now;
    }
    due
}

async fn calm(site: &Site) {
    let now = site.store.now().await.unwrap();
    // A quarter of an hour, so that no pause of the machine reaches it.
    seed::calm(&site.db, now + 900_000).await;
}

async fn a_signed_webhook_brings_the_next_polls_forward(site: Site) {
    calm(&site).await;
    assert!(due_in(&site).await.iter().all(|due| *due > 600_000));
    // What it says is of no matter, as long as it is what was signed.
    assert_eq!(send(&site, "/hooks/hubspot/deals", "app secret", "not even JSON", 0).await, 202);
    let [contacts, deals] = due_in(&site).await;
    assert!(contacts > 600_000 && deals <= 6_000, "the lag of five seconds and one for the stamp: {contacts} {deals}");
    let sql = "SELECT CAST(due_at AS TEXT) FROM tidemark_stream WHERE object = 'deals'";
    let due = site.text(sql).await;
    assert_eq!(send(&site, "/hooks/hubspot", "app secret", "[]", 0).await, 202);
    assert_eq!(site.text(sql).await, due, "a second hint does not put it off");
    assert!(due_in(&site).await.iter().all(|due| *due <= 6_000));
    let owed = "SELECT CAST(count(*) AS TEXT) FROM tidemark_stream WHERE poll_owed_at IS NOT NULL";
    assert_eq!(site.text(owed).await, "0", "the tick owes the poll, as ever");
}

async fn what_is_not_the_crms_own_moves_nothing(site: Site) {
    calm(&site).await;
    for (path, secret, age, status) in [
        ("/hooks/hubspot", "guess", 0, 401),
        ("/hooks/hubspot", "app secret", 400_000, 401),
        ("/hooks/nobody", "app secret", 0, 404),
        ("/hooks/hubspot/tickets", "app secret", 0, 404),
    ] {
        assert_eq!(send(&site, path, secret, "[]", age).await, status, "{path} {secret} {age}");
    }
    let plain = |path: &str| site.client.post(format!("{}{path}", site.address));
    assert_eq!(plain("/hooks/hubspot").body("[]").send().await.unwrap().status(), 401);
    assert_eq!(plain("/hooks/hubspot?key=app%20secret").body("[]").send().await.unwrap().status(), 401, "no key where it signs");
    assert_eq!(plain("/hooks/hubspot").body(vec![b' '; 2_000_000]).send().await.unwrap().status(), 413);
    assert!(due_in(&site).await.iter().all(|due| *due > 600_000));
    let look = |path: &str| site.client.get(format!("{}{path}", site.address));
    assert_eq!(look("/hooks/hubspot").send().await.unwrap().status(), 204, "some CRMs look first");
    assert_eq!(look("/hooks/nobody").send().await.unwrap().status(), 404);
    assert_eq!(look("/hooks/../api/status").send().await.unwrap().status(), 401, "nothing else is open");
}

async fn where_nothing_is_signed_the_address_carries_a_key(site: Site) {
    calm(&site).await;
    let send = |path: &str, bearer: Option<&str>| {
        let request = site.client.post(format!("{}{path}", site.address)).body("{}");
        let request = match bearer {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        async move { request.send().await.unwrap().status().as_u16() }
    };
    for path in ["/hooks/shop", "/hooks/shop?key=", "/hooks/shop?key=open", "/hooks/shop?other=open%20sesame"] {
        assert_eq!(send(path, None).await, 401, "{path}");
    }
    assert_eq!(send("/hooks/shop", Some("open")).await, 401);
    assert!(due_in(&site).await.iter().all(|due| *due > 600_000));
    assert_eq!(send("/hooks/shop/contacts?key=open%20sesame", None).await, 202);
    let [contacts, deals] = due_in(&site).await;
    assert!(contacts <= 6_000 && deals > 600_000, "{contacts} {deals}");
    assert_eq!(send("/hooks/shop", Some("open sesame")).await, 202);
    assert!(due_in(&site).await.iter().all(|due| *due <= 6_000));
}
