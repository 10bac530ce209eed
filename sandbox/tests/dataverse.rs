//! Dataverse's dialect over a real connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use caller::{Caller, Reply, TOKEN, each};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ObjectType, Weather};

const CONTACTS: &str = "/api/data/v9.2/contacts";

async fn dataverse() -> Caller {
    Caller::new(Dialect::Dataverse, ("authorization", &format!("Bearer {TOKEN}"))).await
}

async fn contact(caller: &Caller, name: &str) -> String {
    let made = caller.post(CONTACTS, &json!({ "lastname": name })).await;
    assert_eq!((made.status, made.text.as_str()), (204, ""));
    let id = made.header("odata-entityid");
    id.split(['(', ')']).nth(1).unwrap().to_owned()
}

async fn prefer(caller: &Caller, path: &str, preference: &str) -> Reply {
    Reply::read(caller.request(Method::GET, path).header("Prefer", preference)).await
}

/// Follows a link as it was given.
async fn follow(caller: &Caller, body: &Value, link: &str) -> Reply {
    let link = body[link].as_str().unwrap().to_owned();
    Reply::read(caller.client.get(link).bearer_auth(TOKEN)).await
}

fn names(body: &Value) -> Vec<String> {
    each(&body["value"], "lastname").into_iter().map(|name| name.as_str().unwrap_or("-").to_owned()).collect()
}

fn code(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["error"]["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_first_read_ends_in_a_delta_link_and_each_poll_tells_what_changed_since() {
    let caller = dataverse().await;
    let (kept, gone) = (contact(&caller, "kept").await, contact(&caller, "gone").await);
    contact(&caller, "quiet").await;
    let first = prefer(&caller, &format!("{CONTACTS}?$select=lastname"), "odata.track-changes,odata.maxpagesize=2").await;
    assert_eq!((names(&first.body).len(), first.header("preference-applied")), (2, "odata.track-changes"));
    assert_eq!(first.body.get("@odata.deltaLink"), None);
    let last = follow(&caller, &first.body, "@odata.nextLink").await.body;
    assert_eq!(names(&last), ["quiet"]);
    assert_eq!(follow(&caller, &last, "@odata.deltaLink").await.body["value"], json!([]));

    let came_and_went = contact(&caller, "brief").await;
    caller.send(Method::PATCH, &format!("{CONTACTS}({kept})"), &json!({ "lastname": "changed" })).await;
    for id in [&gone, &came_and_went] {
        assert_eq!(caller.send(Method::DELETE, &format!("{CONTACTS}({id})"), &Value::Null).await.status, 204);
    }
    let delta = follow(&caller, &last, "@odata.deltaLink").await.body;
    let rows = delta["value"].as_array().unwrap();
    let deleted: Vec<&Value> = rows.iter().filter(|row| row["reason"] == "deleted").map(|row| &row["id"]).collect();
    assert_eq!((rows.len(), deleted.len()), (3, 2), "{delta}");
    assert!(deleted.contains(&&json!(gone)) && deleted.contains(&&json!(came_and_went)));
    assert!(rows.iter().any(|row| row["lastname"] == "changed"));
    assert_eq!(follow(&caller, &delta, "@odata.deltaLink").await.body["value"], json!([]));
}

#[tokio::test]
async fn a_delta_link_grows_old_and_takes_no_filter() {
    let caller = dataverse().await;
    contact(&caller, "Ana").await;
    let first = prefer(&caller, CONTACTS, "odata.track-changes").await.body;
    let filtered = prefer(&caller, &format!("{CONTACTS}?$filter=lastname eq 'a'"), "odata.track-changes").await;
    assert_eq!(filtered.status, 400);
    caller.quirk("delta_days", 0);
    assert_eq!(follow(&caller, &first, "@odata.deltaLink").await.status, 400);
    assert_eq!(caller.get(&format!("{CONTACTS}?$deltatoken=nonsense")).await.status, 400);
    caller.quirk("tracking_off", true);
    assert_eq!(prefer(&caller, CONTACTS, "odata.track-changes").await.status, 400);
}

#[tokio::test]
async fn a_late_commit_is_told_by_the_poll_after_it_whatever_its_stamp() {
    let caller = dataverse().await;
    caller.weather(Weather { late_commit: 1.0, late_commit_ms: (300, 300), answers_wait_for_commit: false, ..Weather::calm() });
    contact(&caller, "late").await;
    caller.weather(Weather::calm());
    let mut body = prefer(&caller, &format!("{CONTACTS}?$select=lastname"), "odata.track-changes").await.body;
    assert_eq!(body["value"], json!([]));
    let mut told = Vec::new();
    while told.is_empty() {
        body = follow(&caller, &body, "@odata.deltaLink").await.body;
        told = names(&body);
    }
    assert_eq!(told, ["late"]);
}

#[tokio::test]
async fn a_filter_by_time_with_an_order_is_a_keyset_and_skip_is_refused() {
    let caller = dataverse().await;
    for name in ["a", "b", "c"] {
        contact(&caller, name).await;
    }
    let order = "$orderby=modifiedon,contactid&$select=lastname,modifiedon";
    let first = prefer(&caller, &format!("{CONTACTS}?{order}"), "odata.maxpagesize=2").await.body;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(names(&follow(&caller, &first, "@odata.nextLink").await.body), ["c"]);
    let (stamp, id) = (first["value"][1]["modifiedon"].as_str().unwrap(), first["value"][1]["contactid"].as_str().unwrap());
    let filter = format!("modifiedon gt {stamp} or (modifiedon eq {stamp} and contactid gt {id})");
    assert_eq!(names(&caller.get(&format!("{CONTACTS}?$filter={filter}&{order}")).await.body), ["c"]);
    assert_eq!(caller.get(&format!("{CONTACTS}?$filter=modifiedon ge '{stamp}'")).await.status, 400);
    assert_eq!(caller.get(&format!("{CONTACTS}?$skip=1")).await.status, 400);
    assert_eq!(caller.get(&format!("{CONTACTS}?$select=shoe")).await.status, 400);
}

#[tokio::test]
async fn a_tag_guards_updates_and_deletes() {
    let caller = dataverse().await;
    let id = contact(&caller, "Ana").await;
    let path = format!("{CONTACTS}({id})");
    let tag = caller.get(&path).await.body["@odata.etag"].as_str().unwrap().to_owned();
    let with = async |method: Method, header: &str, value: &str| {
        Reply::read(caller.request(method, &path).header(header, value).json(&json!({ "jobtitle": "Boss" }))).await
    };
    assert_eq!(with(Method::GET, "If-None-Match", &tag).await.status, 304);
    assert_eq!(with(Method::PATCH, "If-Match", &tag).await.status, 204);
    let stale = with(Method::PATCH, "If-Match", &tag).await;
    assert_eq!(code(&stale), (412, "0x80060882"));
    assert_eq!(with(Method::DELETE, "If-Match", &tag).await.status, 412);
    assert_eq!(with(Method::PATCH, "If-None-Match", "*").await.status, 412);
    assert_eq!(with(Method::PATCH, "If-Match", "*").await.status, 204);
}

#[tokio::test]
async fn an_alternate_key_upserts_and_headers_forbid_either_half() {
    let caller = dataverse().await;
    let name = caller.crm().add_property(ObjectType::Contacts, "Key", "text", true).unwrap();
    assert_eq!(name, "new_key");
    let path = format!("{CONTACTS}(new_key='A-1')");
    let with = async |header: (&str, &str)| {
        let request = caller.request(Method::PATCH, &path).header(header.0, header.1);
        Reply::read(request.json(&json!({ "lastname": "Ana" }))).await
    };
    assert_eq!(code(&with(("If-Match", "*")).await), (404, "0x80060891"));
    let made = with(("Prefer", "return=representation")).await;
    assert_eq!((made.status, &made.body["new_key"]), (201, &json!("A-1")));
    let again = with(("Prefer", "return=representation")).await;
    assert_eq!((again.status, &again.body["contactid"]), (200, &made.body["contactid"]));
    assert_eq!(with(("If-None-Match", "*")).await.status, 412);
    let taken = caller.post(CONTACTS, &json!({ "lastname": "Ben", "new_key": "A-1" })).await;
    assert_eq!(code(&taken), (412, "0x80060892"));
    assert_eq!(code(&caller.get(&format!("{CONTACTS}(lastname='Ana')")).await), (400, "0x80060888"));
}

#[tokio::test]
async fn a_deleted_row_comes_back_where_no_header_forbids_it() {
    let caller = dataverse().await;
    let id = contact(&caller, "Ana").await;
    let path = format!("{CONTACTS}({id})");
    assert_eq!(caller.send(Method::DELETE, &path, &Value::Null).await.status, 204);
    let guarded = caller.request(Method::PATCH, &path).header("If-Match", "*").json(&json!({ "jobtitle": "Boss" }));
    assert_eq!(code(&Reply::read(guarded).await), (404, "0x80040217"));
    assert_eq!(caller.get(&path).await.status, 404);
    let careless = caller.request(Method::PATCH, &path).header("Prefer", "return=representation");
    assert_eq!(Reply::read(careless.json(&json!({ "jobtitle": "Boss" }))).await.status, 201);
    assert_eq!(caller.get(&path).await.body["jobtitle"], "Boss");
    let never = format!("{CONTACTS}(60c4e274-7a2d-e711-80e5-00000000ffff)");
    assert_eq!(caller.send(Method::PATCH, &never, &json!({ "lastname": "X" })).await.status, 404);
}

#[tokio::test]
async fn a_list_of_values_is_compared_as_quoted_texts() {
    let caller = dataverse().await;
    let (ana, neil) = (contact(&caller, "Ana").await, contact(&caller, "O'Neil, [x] = (y)").await);
    contact(&caller, "Cy").await;
    let one_of = async |column: &str, values: &str| {
        let filter = format!("Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{values}])");
        caller.get(&format!("{CONTACTS}?$filter={filter}")).await
    };
    assert_eq!(names(&one_of("contactid", &format!("'{ana}','{neil}'")).await.body).len(), 2);
    assert_eq!(names(&one_of("lastname", "'O''Neil, [x] = (y)'").await.body), ["O'Neil, [x] = (y)"]);
    for (column, values) in [("shoe", "'a'"), ("lastname", "a"), ("lastname", "'a' 'b'"), ("lastname", "'a'")] {
        let reply = one_of(column, values).await;
        assert_eq!(reply.status, if values == "'a'" && column == "lastname" { 200 } else { 400 }, "{column} {values}");
    }
}

#[tokio::test]
async fn many_rows_are_made_all_or_none() {
    let caller = dataverse().await;
    let path = format!("{CONTACTS}/Microsoft.Dynamics.CRM.CreateMultiple");
    let row = |name: Value| json!({ "@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": name });
    let bad = caller.post(&path, &json!({ "Targets": [row(json!("Ana")), row(json!(["x"]))] })).await;
    assert_eq!((bad.status, caller.crm().list(ObjectType::Contacts).len()), (400, 0));
    let made = caller.post(&path, &json!({ "Targets": [row(json!("Ana")), row(json!("Ben"))] })).await.body;
    assert_eq!(made["Ids"].as_array().unwrap().len(), 2);
    let change = json!({ "contactid": made["Ids"][1], "jobtitle": "Boss" });
    let update = caller.post(&path.replace("Create", "Update"), &json!({ "Targets": [change] })).await;
    assert_eq!(update.status, 204);
    assert_eq!(caller.crm().list(ObjectType::Contacts)[1].properties["jobtitle"], "Boss");
}

#[tokio::test]
async fn the_loser_of_a_merge_stays_and_is_only_inactive() {
    let caller = dataverse().await;
    let (keep, lose) = (contact(&caller, "keep").await, contact(&caller, "lose").await);
    caller.crm().merge(ObjectType::Contacts, &keep, &lose).unwrap();
    let row = caller.get(&format!("{CONTACTS}({lose})")).await.body;
    assert_eq!((&row["statecode"], &row["merged"], &row["_masterid_value"]), (&json!(1), &json!(true), &json!(keep)));
    assert_eq!(names(&caller.get(&format!("{CONTACTS}?$filter=statecode eq 0")).await.body), ["keep"]);
}

#[tokio::test]
async fn duplicates_are_looked_for_only_on_request_and_bindings_must_lead_somewhere() {
    let caller = dataverse().await;
    let ana = json!({ "lastname": "Ana", "emailaddress1": "ana@acme.test" });
    caller.post(CONTACTS, &ana).await;
    assert_eq!(caller.post(CONTACTS, &ana).await.status, 204);
    let asked = async || {
        let request = caller.request(Method::POST, CONTACTS).header("MSCRM.SuppressDuplicateDetection", "false");
        Reply::read(request.json(&ana)).await
    };
    assert_eq!(code(&asked().await), (412, "0x80040333"));
    caller.quirk("duplicate_status", 500);
    assert_eq!(code(&asked().await), (500, "0x80040333"));
    let bound = |id: &str| json!({ "lastname": "Ben", "parentcustomerid_account@odata.bind": format!("/accounts({id})") });
    let account = caller.crm().create(ObjectType::Companies, &[("name", "Acme")]).unwrap();
    let unknown = "60c4e275-7a2d-e711-80e5-00000000ffff";
    assert_eq!(code(&caller.post(CONTACTS, &bound(unknown)).await), (404, "0x80040217"));
    assert_eq!(caller.post(CONTACTS, &bound(&account)).await.status, 204);
    assert_eq!(code(&caller.post(CONTACTS, &json!({ "shoe": 42 })).await), (400, "0x80048d19"));
}

#[tokio::test]
async fn a_429_says_how_long_to_wait_and_longer_to_those_who_do_not() {
    let caller = dataverse().await;
    caller.quirk("burst_max", 1);
    assert_eq!(caller.get(CONTACTS).await.header("x-ms-ratelimit-burst-remaining-xrm-requests"), "0");
    let first = caller.get(CONTACTS).await;
    assert_eq!((code(&first), first.header("retry-after")), ((429, "0x80072322"), "10"));
    assert_eq!(caller.get(CONTACTS).await.header("retry-after"), "20");
}

#[tokio::test]
async fn a_token_is_had_for_the_clients_secret_and_a_dead_one_is_refused_without_a_body() {
    let caller = dataverse().await;
    let path = "/3b1c-tenant/oauth2/v2.0/token";
    let form = |secret: &str| format!("grant_type=client_credentials&client_id=x&client_secret={secret}&scope=y");
    assert_eq!(caller.form(path, &form("other")).await.body["error"], "invalid_client");
    let token = caller.form(path, &form(TOKEN)).await.body["access_token"].as_str().unwrap().to_owned();
    let with = async || Reply::read(caller.bare(Method::GET, "/api/data/v9.2/WhoAmI").bearer_auth(&token)).await;
    assert_eq!(with().await.status, 200);
    caller.crm().expire_access_tokens();
    let dead = with().await;
    assert_eq!((dead.status, dead.text.as_str()), (401, ""));
    assert!(dead.header("www-authenticate").starts_with("Bearer authorization_uri="));
}
