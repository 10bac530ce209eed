//! The account, properties and references of HubSpot, and what a connection refuses before it calls.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;
use std::error::Error;

use secrecy::SecretString;
use serde_json::json;
use server::{Server, TOKEN, say, say_nothing, spec};
use tidemark_core::failure::Class;
use tidemark_core::fit::PropertyKind;
use tidemark_core::record::RemoteId;
use tidemark_core::spec::{BudgetSpec, ConnectionSpec};
use tidemark_crm::{Account, Bucket, Catalog, ConnectError, Crm};

fn secrets(key: &str) -> BTreeMap<String, SecretString> {
    BTreeMap::from([(key.to_owned(), SecretString::from(TOKEN))])
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(RemoteId, RemoteId)> {
    pairs.iter().map(|(from, to)| (RemoteId::new(*from), RemoteId::new(*to))).collect()
}

#[tokio::test]
async fn the_account_answers_its_number_and_our_word_for_its_kind() {
    let details = |kind: &str| say(200, &json!({ "portalId": 24_539_219, "accountType": kind, "timeZone": "Europe/Paris" }));
    let server =
        Server::saying(vec![details("STANDARD"), details("DEVELOPER_TEST"), details("SANDBOX"), details("NEW_KIND")]).await;
    for environment in ["production", "test", "sandbox", "new_kind"] {
        let account = server.crm.account().await.result.unwrap();
        assert_eq!(account, Account { id: "24539219".to_owned(), environment: environment.to_owned() });
    }
    assert_eq!((server.asked()[0].method.as_str(), server.asked()[0].path.as_str()), ("GET", "/account-info/v3/details"));
}

#[tokio::test]
async fn describing_an_object_teaches_which_properties_are_unique() {
    let answer = json!({ "results": [
        { "name": "email", "type": "string", "fieldType": "text", "options": [], "hasUniqueValue": false },
        { "name": "tidemark_key", "type": "string", "fieldType": "text", "hasUniqueValue": true },
        { "name": "stage", "type": "enumeration", "fieldType": "select", "options": [{ "value": "a", "label": "A" }, { "value": "b", "label": "B" }] },
        { "name": "score", "type": "number", "calculated": true },
        { "name": "createdate", "type": "datetime", "modificationMetadata": { "readOnlyValue": true, "readOnlyDefinition": true } },
        { "name": "old", "type": "string", "archived": true },
    ] });
    let server = Server::saying(vec![say(200, &answer)]).await;
    assert!(server.crm.is_unique("contacts", "email") && !server.crm.is_unique("deals", "email"));
    assert!(!server.crm.is_unique("contacts", "tidemark_key"));
    let properties = server.crm.describe("contacts").await.result.unwrap();
    let seen: Vec<_> = properties.iter().map(|one| (one.name.as_str(), one.unique, one.read_only, one.options.len())).collect();
    let expected = [
        ("email", true, false, 0),
        ("tidemark_key", true, false, 0),
        ("stage", false, false, 2),
        ("score", false, true, 0),
        ("createdate", false, true, 0),
    ];
    assert_eq!(seen, expected);
    assert!(server.crm.is_unique("contacts", "tidemark_key"));
}

#[tokio::test]
async fn a_property_says_what_the_crm_takes_as_far_as_it_is_told_or_declared() {
    let stages = json!([{ "value": "a", "label": "Option A", "hidden": true }, { "value": "b", "label": "Option B" }]);
    let answer = json!({ "results": [
        { "name": "likes", "type": "enumeration", "fieldType": "checkbox", "options": stages },
        { "name": "hs_pipeline_stage", "type": "enumeration", "fieldType": "radio", "options": stages, "externalOptions": true },
        { "name": "vip", "type": "bool", "fieldType": "booleancheckbox", "options": [{ "value": "true", "label": "Yes" }] },
        { "name": "score", "type": "number", "calculated": true, "modificationMetadata": { "readOnlyValue": false } },
        { "name": "hs_x", "type": "json", "fieldType": "text" },
    ] });
    let server = Server::saying(vec![say(200, &answer)]).await;
    assert!(server.crm.describes());
    let properties = server.crm.describe("tickets").await.result.unwrap();
    let [likes, stage, vip, score, other] = properties.as_slice() else { panic!("{properties:?}") };
    assert_eq!((likes.options.as_slice(), likes.several), (["a".to_owned(), "b".to_owned()].as_slice(), true));
    assert_eq!(likes.labels, ["Option A", "Option B"], "those that are hidden are taken all the same");
    assert!(stage.required && stage.options.is_empty() && !stage.several, "its options are kept elsewhere: {stage:?}");
    assert_eq!((vip.kind, vip.labels.as_slice()), (PropertyKind::Bool, ["Yes".to_owned()].as_slice()));
    assert!(!score.read_only, "what is said counts before what follows from it");
    assert_eq!((other.kind, other.chars_max, other.required), (PropertyKind::Other, None, false));
}

#[tokio::test]
async fn the_key_property_is_made_unique_and_known_at_once() {
    let taken = json!({ "status": "error", "message": "Property already exists", "category": "CONFLICT" });
    let server = Server::saying(vec![say(201, &json!({ "name": "tidemark_key" })), say(409, &taken)]).await;
    server.crm.create_key_property("deals", "tidemark_key").await.result.unwrap();
    assert!(server.crm.is_unique("deals", "tidemark_key"));
    let asked = &server.asked()[0];
    assert_eq!((asked.path.as_str(), &asked.body["hasUniqueValue"]), ("/crm/v3/properties/deals", &json!(true)));
    assert_eq!((&asked.body["groupName"], &asked.body["type"]), (&json!("dealinformation"), &json!("string")));
    let again = server.crm.create_key_property("deals", "tidemark_key").await.result.unwrap_err();
    assert_eq!(again.class, Class::Duplicate);
    let custom = server.crm.create_key_property("p1_cars", "tidemark_key").await.result.unwrap_err();
    assert_eq!(custom.class, Class::Schema);
}

#[tokio::test]
async fn references_come_lowest_first_and_a_record_without_any_is_absent() {
    let answer = json!({
        "status": "COMPLETE",
        "results": [{ "from": { "id": "1" }, "to": [{ "toObjectId": 100, "associationTypes": [] }, { "toObjectId": 99, "associationTypes": [] }] }],
        "numErrors": 1,
        "errors": [{ "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": "No contact is associated with deal 2", "context": { "fromObjectId": ["2"] } }],
    });
    let server = Server::saying(vec![say(207, &answer)]).await;
    let read = server.crm.read_references("deals", "contacts", &["1", "2"].map(RemoteId::new)).await.result.unwrap();
    assert_eq!(read, [(RemoteId::new("1"), ["99", "100"].map(RemoteId::new).to_vec())]);
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.path.as_str(), &asked.body),
        ("/crm/v4/associations/deals/contacts/batch/read", &json!({ "inputs": [{ "id": "1" }, { "id": "2" }] }))
    );
}

#[tokio::test]
async fn references_that_could_not_be_read_are_not_taken_for_none() {
    let fault = json!({ "status": "COMPLETE", "results": [], "errors": [{ "category": "INTERNAL_ERROR", "message": "later" }] });
    let server = Server::saying(vec![say(207, &fault)]).await;
    let failure = server.crm.read_references("deals", "contacts", &[RemoteId::new("1")]).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Retry);
}

#[tokio::test]
async fn each_pair_of_a_reference_has_its_own_outcome() {
    let answer = json!({
        "status": "COMPLETE",
        "results": [{ "from": { "id": "1" }, "to": { "id": "11" }, "associationSpec": { "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3 } }],
        "errors": [{ "category": "OBJECT_NOT_FOUND", "message": "no deal", "context": { "fromObjectId": ["2"] } }],
    });
    let server = Server::saying(vec![say(207, &answer)]).await;
    let outcomes = server.crm.refer("deals", "contacts", &pairs(&[("1", "11"), ("2", "12")])).await.result.unwrap();
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1].as_ref().unwrap_err().class, Class::Gone);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/crm/v4/associations/deals/contacts/batch/associate/default");
    assert_eq!(asked.body["inputs"][1], json!({ "from": { "id": "2" }, "to": { "id": "12" } }));
}

#[tokio::test]
async fn references_are_ended_in_one_entry_per_record() {
    let server = Server::saying(vec![say_nothing(204)]).await;
    let outcomes =
        server.crm.unrefer("deals", "contacts", &pairs(&[("1", "11"), ("2", "12"), ("1", "13")])).await.result.unwrap();
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(())]);
    let expected = json!({ "inputs": [{ "from": { "id": "1" }, "to": [{ "id": "11" }, { "id": "13" }] }, { "from": { "id": "2" }, "to": [{ "id": "12" }] }] });
    assert_eq!(
        (server.asked()[0].path.as_str(), &server.asked()[0].body),
        ("/crm/v4/associations/deals/contacts/batch/archive", &expected)
    );
}

#[test]
fn an_unknown_connector_is_refused_with_the_known_ones() {
    let spec = ConnectionSpec { connector: "hubspott".to_owned(), ..spec(None) };
    let text = Catalog::default().connect(&spec, &secrets("token")).unwrap_err().to_string();
    assert!(
        text.contains("connections.main.connector")
            && text.contains("hubspott")
            && text.contains("known are: dataverse, hubspot, mailchimp, pipedrive, salesforce"),
        "{text}"
    );
}

#[test]
fn a_missing_or_unusable_secret_is_refused_without_showing_it() {
    let missing = Catalog::default().connect(&spec(None), &secrets("key")).unwrap_err();
    assert_eq!(missing.to_string(), "connections.main.secret.token is missing");
    let broken = BTreeMap::from([("token".to_owned(), SecretString::from("pat\u{7}1"))]);
    let refused = Catalog::default().connect(&spec(None), &broken).unwrap_err();
    assert!(matches!(refused, ConnectError::Client { .. }) && !format!("{refused:?}").contains("pat"));
    let with_line_break = BTreeMap::from([("token".to_owned(), SecretString::from(format!("{TOKEN}\n")))]);
    assert!(Catalog::default().connect(&spec(None), &with_line_break).is_ok());
}

#[test]
fn a_token_is_never_sent_in_the_clear_to_another_host_in_production() {
    let base = |base: &str, environment: &str| {
        let spec = ConnectionSpec { environment: environment.to_owned(), ..spec(Some(base.to_owned())) };
        Catalog::default()
            .connect(&spec, &secrets("token"))
            .map(drop)
            .map_err(|error| error.source().map(ToString::to_string).unwrap_or_default())
    };
    assert!(base("http://crm.test", "production").unwrap_err().contains("is not https"));
    assert!(base("http://crm.test", "sandbox").is_ok() && base("http://[::1]:9", "production").is_ok());
    assert!(base("https://ana:secret@crm.test", "production").is_err_and(|text| !text.contains("secret@")));
    assert!(base("ftp://crm.test", "production").is_err() && base("crm", "production").is_err());
}

#[test]
fn a_budget_of_the_connection_stands_in_for_the_vendors() {
    let limits = |per_second, search_per_second| {
        let spec = ConnectionSpec { budget: BudgetSpec { per_second, search_per_second, per_day: None }, ..spec(None) };
        let crm = Catalog::default().connect(&spec, &secrets("token")).unwrap();
        crm.limits().iter().map(|limit| (limit.bucket, limit.per_second, limit.burst)).collect::<Vec<_>>()
    };
    assert_eq!(limits(None, None), [(Bucket::General, 17.0, 15), (Bucket::Search, 4.0, 1)]);
    assert_eq!(limits(Some(8.0), Some(2.0)), [(Bucket::General, 8.0, 7), (Bucket::Search, 2.0, 1)]);
    assert_eq!(limits(Some(34.0), Some(0.0)), [(Bucket::General, 34.0, 30), (Bucket::Search, 4.0, 1)]);
}
