//! Salesforce by its file: signing in, the keyset over stamp and id, batches whose items end each in its own way.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

#[path = "server/rfc_key.rs"]
mod rfc_key;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Desk, Say, say, spec};
use tidemark_core::failure::Class;
use tidemark_core::record::RemoteId;
use tidemark_core::source::{IdOrder, Next, Order};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::{Account, Catalog, ConnectError, Crm, LookUp, Need, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind};

const NOON: i64 = 1_772_366_400_000;

fn crm(desk: &Desk) -> Arc<dyn Crm> {
    let settings = BTreeMap::from([("domain".to_owned(), "acme".to_owned())]);
    let spec = ConnectionSpec { connector: "salesforce".to_owned(), settings, ..spec(Some(desk.base.clone())) };
    let secrets = ["client_id", "client_secret"].map(|name| (name.to_owned(), SecretString::from(format!("{name}&=+"))));
    Catalog::default().connect(&spec, &BTreeMap::from(secrets)).unwrap()
}

fn token(text: &str) -> Say {
    say(
        200,
        &json!({ "access_token": text, "instance_url": "https://acme.my.salesforce.com", "token_type": "Bearer", "issued_at": "1" }),
    )
}

async fn signed_in(answers: Vec<Say>) -> (Desk, Arc<dyn Crm>) {
    let desk = Desk::saying([vec![token("t1")], answers].concat()).await;
    let crm = crm(&desk);
    assert_eq!(crm.need("Contact"), Some(Need::SignIn));
    crm.meet(&Need::SignIn).await.result.unwrap();
    (desk, crm)
}

/// The same file with a signed statement in place of a client secret, as the documents say.
fn by_statement(desk: &Desk, key: SecretString) -> Result<Engine, ConnectError> {
    let claims = "claims = { iss = \"{secret.client_id}\", sub = \"{config.user}\", aud = \"https://login.salesforce.com\" }";
    let file = include_str!("../../../connectors/salesforce.toml")
        .replace("kind = \"oauth_client\"", &format!("kind = \"oauth_jwt\"\n{claims}"))
        .replace("[secret.client_secret]", "[config.user]\nabout = \"whom it acts as\"\n[secret.private_key]");
    let connector = Connector::load("salesforce", "salesforce.toml", &file).map_err(|error| error.to_string()).unwrap();
    let settings = [("domain", "acme"), ("user", "ana@x.test")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let spec = ConnectionSpec { settings: BTreeMap::from(settings), ..spec(Some(desk.base.clone())) };
    let secrets = BTreeMap::from([("client_id".to_owned(), SecretString::from("id")), ("private_key".to_owned(), key)]);
    Engine::connect(&spec, &secrets, connector)
}

#[tokio::test]
async fn a_signed_statement_asks_for_the_token_where_there_is_no_client_secret() {
    let desk = Desk::saying(vec![token("t1"), found(&[], true)]).await;
    let crm = by_statement(&desk, rfc_key::pem("\\n")).unwrap();
    crm.meet(&Need::SignIn).await.result.unwrap();
    crm.read_page(&page(&wanted(&["LastName"]), None, 2)).await.result.unwrap();
    let asked = desk.asked();
    let form: BTreeMap<&str, &str> = asked[0].text.split('&').filter_map(|field| field.split_once('=')).collect();
    assert_eq!(form["grant_type"], "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    assert_eq!(form.len(), 2, "{:?}", form.keys());
    let claims = form["assertion"].split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!([&claims["iss"], &claims["sub"], &claims["aud"]], ["id", "ana@x.test", "https://login.salesforce.com"]);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 180);
    assert_eq!(asked[1].authorization.as_deref(), Some("Bearer t1"));
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_refused_before_anything_is_asked() {
    let desk = Desk::saying(Vec::new()).await;
    let refused = by_statement(&desk, SecretString::from("not a key")).unwrap_err().to_string();
    assert!(refused.contains("secret.private_key is no private key as PEM") && !refused.contains("not a key"), "{refused}");
    assert!(desk.asked().is_empty());
}

fn contact(id: &str, second: u32) -> Value {
    json!({ "attributes": { "type": "Contact", "url": "/x" }, "Id": id, "LastName": "Ruiz", "IsDeleted": false,
        "Account": { "Name": "Acme" }, "SystemModstamp": format!("2026-03-01T12:00:{second:02}.000+0000") })
}

fn found(rows: &[Value], done: bool) -> Say {
    say(200, &json!({ "totalSize": 9, "done": done, "records": rows }))
}

fn wanted(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| Some((*name).to_owned())).collect()
}

fn page<'a>(properties: &'a [Option<String>], next: Option<&'a Next>, rows_max: u16) -> PageRequest<'a> {
    let position = match next {
        Some(Next::More(position)) => Some(position),
        _ => None,
    };
    PageRequest {
        object: "Contact",
        properties,
        external_key: None,
        from: NOON,
        until: NOON + 60_000,
        position,
        rows_max,
        deletes: false,
        feed: None,
    }
}

fn query(path: &str) -> String {
    let (_, q) = path.split_once("?q=").unwrap();
    let bytes: Vec<u8> = q.bytes().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| u8::from_str_radix(&q[at + 1..at + 3], 16).unwrap());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap()
}

fn item(id: Option<&str>, key: Option<&str>, name: &str) -> WriteItem {
    let fields = vec![("LastName".to_owned(), Some(name.to_owned()))];
    WriteItem { trace: name.to_owned(), id: id.map(RemoteId::new), key: key.map(str::to_owned), version: None, fields }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_goes_with_every_call() {
    let (desk, crm) = signed_in(vec![found(&[json!({ "Id": "00D1", "IsSandbox": true })], true)]).await;
    let account = crm.account().await.result.unwrap();
    assert_eq!(account, Account { id: "00D1".to_owned(), environment: "sandbox".to_owned() });
    let again = crm.meet(&Need::SignIn).await;
    assert!(again.result.is_ok() && again.callout.status.is_none());
    let asked = desk.asked();
    assert_eq!((asked.len(), asked[0].path.as_str(), asked[0].authorization.as_deref()), (2, "/services/oauth2/token", None));
    assert_eq!(asked[0].text, "grant_type=client_credentials&client_id=client_id%26%3D%2B&client_secret=client_secret%26%3D%2B");
    assert_eq!(asked[1].authorization.as_deref(), Some("Bearer t1"));
}

#[tokio::test]
async fn a_token_that_wore_out_is_asked_for_again_and_a_new_one_that_is_refused_is_no_token() {
    let ended = || say(401, &json!([{ "message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID" }]));
    let (_desk, crm) = signed_in(vec![found(&[contact("003A", 1)], true), ended(), token("t2"), ended()]).await;
    let properties = wanted(&["LastName"]);
    crm.read_page(&page(&properties, None, 10)).await.result.unwrap();
    let worn = crm.read_page(&page(&properties, None, 10)).await.result.unwrap_err();
    assert_eq!((worn.class, crm.need("Contact")), (Class::Retry, Some(Need::SignIn)));
    crm.meet(&Need::SignIn).await.result.unwrap();
    let refused = crm.read_page(&page(&properties, None, 10)).await.result.unwrap_err();
    assert_eq!(refused.class, Class::Auth);
}

#[tokio::test]
async fn refused_credentials_pause_and_a_call_without_a_token_is_never_sent() {
    let refusal = say(400, &json!({ "error": "invalid_client_id", "error_description": "client identifier invalid" }));
    let desk = Desk::saying(vec![refusal, say(200, &json!({})), say(503, &json!({}))]).await;
    let crm = crm(&desk);
    let properties = wanted(&["LastName"]);
    assert_eq!(crm.read_page(&page(&properties, None, 10)).await.result.unwrap_err().class, Class::Retry);
    assert!(desk.asked().is_empty());
    for class in [Class::Auth, Class::Auth, Class::Retry] {
        let failure = crm.meet(&Need::SignIn).await.result.unwrap_err();
        assert!(failure.class == class && !failure.message.contains("client_secret"), "{failure}");
    }
}

#[tokio::test]
async fn pages_go_on_behind_the_last_stamp_and_id() {
    let rows = [contact("003A", 1), contact("003B", 1)];
    let (desk, crm) = signed_in(vec![found(&rows, false), found(&[contact("003a", 1)], true)]).await;
    let traits = crm.traits("Contact").unwrap();
    assert_eq!((traits.order, traits.id_order, traits.batch_rows_max), (Order::TimeThenId, IdOrder::Bytes, 100));
    let properties = wanted(&["LastName", "Account.Name"]);
    let first = crm.read_page(&page(&properties, None, 10)).await.result.unwrap();
    assert_eq!((first.records[1].modified, first.records[1].values[1].as_deref()), (Some(NOON + 1_000), Some("Acme")));
    // Fewer than asked for, and the answer says that it is not all.
    assert!(matches!(first.next, Next::More(_)));
    let second = crm.read_page(&page(&properties, Some(&first.next), 10)).await.result.unwrap();
    assert_eq!((second.records.len(), second.next), (1, Next::Drained));
    let asked = desk.asked();
    let select = "SELECT Account.Name,Id,IsDeleted,LastName,SystemModstamp FROM Contact WHERE SystemModstamp >= 2026-03-01T12:00:00Z AND SystemModstamp < 2026-03-01T12:01:00Z";
    assert_eq!(query(&asked[1].path), format!("{select} ORDER BY SystemModstamp ASC, Id ASC LIMIT 10"));
    let behind = "AND (SystemModstamp > 2026-03-01T12:00:01Z OR (SystemModstamp = 2026-03-01T12:00:01Z AND Id > '003B'))";
    assert_eq!(query(&asked[2].path), format!("{select} {behind} ORDER BY SystemModstamp ASC, Id ASC LIMIT 10"));
}

#[tokio::test]
async fn a_row_that_is_not_behind_the_place_reached_ends_the_window_with_an_error() {
    let (_desk, crm) = signed_in(vec![found(&[contact("003B", 1)], false), found(&[contact("003A", 1)], true)]).await;
    let properties = wanted(&["LastName"]);
    let first = crm.read_page(&page(&properties, None, 10)).await.result.unwrap();
    assert_eq!(crm.read_page(&page(&properties, Some(&first.next), 10)).await.result.unwrap_err().class, Class::Malformed);
}

#[tokio::test]
async fn nothing_that_a_row_holds_becomes_a_part_of_a_query() {
    let (desk, crm) = signed_in(vec![found(&[], true), found(&[], true)]).await;
    let properties = wanted(&["LastName"]);
    let values = ["O'Neil\\".to_owned(), "x') OR Name LIKE ('%".to_owned()];
    let request = LookUp {
        object: "Contact",
        properties: &properties,
        external_key: None,
        property: "LastName",
        values: &values,
        unique: false,
    };
    crm.look_up(&request).await.result.unwrap();
    let asked = query(&desk.asked()[1].path);
    assert!(asked.ends_with(r"WHERE LastName IN ('O\'Neil\\','x\') OR Name LIKE (\'%')"), "{asked}");
    for property in ["LastName) OR (Id", "a b", ""] {
        let refused = crm.look_up(&LookUp { property, ..request.clone() }).await.result.unwrap_err();
        assert_eq!(refused.class, Class::Rejected, "{property}");
    }
    assert_eq!(crm.traits("Contact WHERE 1=1").unwrap_err().class, Class::Schema);
    assert!(crm.traits("Thing__c").is_ok() && desk.asked().len() == 2);
}

#[tokio::test]
async fn each_item_of_a_batch_has_the_outcome_in_its_own_place() {
    let answer = json!([
        { "id": "003A", "success": true, "errors": [] },
        { "success": false, "errors": [{ "statusCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "fields": [] }] },
        { "success": false, "errors": [{ "statusCode": "INVALID_EMAIL_ADDRESS", "message": "Email: invalid email address: foo", "fields": ["Email"] }] },
        { "success": false, "errors": [{ "statusCode": "UNABLE_TO_LOCK_ROW", "message": "later", "fields": [] }] },
    ]);
    let (desk, crm) = signed_in(vec![say(200, &answer)]).await;
    let items = ["a", "b", "c", "d"].map(|name| item(None, None, name));
    let outcomes = crm.write(&WriteBatch { object: "Contact", kind: WriteKind::Create, items: &items }).await.result.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().id, RemoteId::new("003A"));
    let failed: Vec<_> = outcomes[1..].iter().map(|outcome| outcome.as_ref().unwrap_err()).collect();
    assert_eq!(
        failed.iter().map(|failure| (failure.class, failure.maybe_done)).collect::<Vec<_>>(),
        [(Class::Duplicate, false), (Class::Rejected, false), (Class::Retry, true)]
    );
    assert_eq!(failed[1].property.as_deref(), Some("Email"));
    let asked = &desk.asked()[1];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/services/data/v62.0/composite/sobjects"));
    assert_eq!(asked.body["records"][1], json!({ "attributes": { "type": "Contact" }, "LastName": "b" }));
}

#[tokio::test]
async fn an_answer_of_another_length_says_nothing_of_any_item() {
    for answer in [json!([{ "id": "003A", "success": true, "errors": [] }]), json!([]), json!({})] {
        let (_desk, crm) = signed_in(vec![say(200, &answer)]).await;
        let items = ["a", "b"].map(|name| item(None, None, name));
        let outcomes = crm.write(&WriteBatch { object: "Contact", kind: WriteKind::Create, items: &items }).await.result.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|failure| failure.maybe_done)), "{answer}");
    }
}

#[tokio::test]
async fn our_key_is_in_the_path_and_in_each_row() {
    let answer = json!([{ "id": "003A", "success": true, "created": true, "errors": [] }]);
    let (desk, crm) =
        signed_in(vec![say(200, &answer), say(200, &json!([{ "id": "003A", "success": true, "errors": [] }]))]).await;
    let items = [item(None, Some("7"), "a")];
    let batch = WriteBatch { object: "Contact", kind: WriteKind::Upsert { key_property: "Key__c" }, items: &items };
    crm.write(&batch).await.result.unwrap()[0].as_ref().unwrap();
    let items = [item(Some("003A"), None, "a")];
    crm.write(&WriteBatch { object: "Contact", kind: WriteKind::Archive, items: &items }).await.result.unwrap()[0]
        .as_ref()
        .unwrap();
    let asked = desk.asked();
    assert_eq!(
        (asked[1].method.as_str(), asked[1].path.as_str()),
        ("PATCH", "/services/data/v62.0/composite/sobjects/Contact/Key__c")
    );
    assert_eq!(asked[1].body["records"][0], json!({ "attributes": { "type": "Contact" }, "Key__c": "7", "LastName": "a" }));
    assert_eq!(
        (asked[2].method.as_str(), asked[2].path.as_str()),
        ("DELETE", "/services/data/v62.0/composite/sobjects?ids=003A&allOrNone=false")
    );
}

#[tokio::test]
async fn a_day_that_is_spent_is_told_from_a_busy_moment() {
    let limit = |message: &str| say(403, &json!([{ "errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message }]));
    let answers = vec![
        limit("TotalRequests Limit exceeded."),
        limit("ConcurrentPerOrgLongTxn Limit exceeded."),
        say(400, &json!([{ "errorCode": "INVALID_FIELD", "message": "No such column 'x'" }])),
        say(403, &json!([{ "errorCode": "INSUFFICIENT_ACCESS", "message": "no" }])),
    ];
    let (_desk, crm) = signed_in(answers).await;
    let (properties, ids) = (wanted(&["LastName"]), [RemoteId::new("003A")]);
    let request = ReadIds { object: "Contact", properties: &properties, external_key: None, ids: &ids };
    for class in [Class::DayBudget, Class::Throttled, Class::Schema, Class::Scope] {
        assert_eq!(crm.read_ids(&request).await.result.unwrap_err().class, class);
    }
}
