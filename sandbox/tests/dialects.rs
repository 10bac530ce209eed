//! What holds for every dialect: the page, the oracle, the vendor's own answers on demand, and a document that names each switch.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use caller::{Caller, Reply, TOKEN};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ForcedAnswer, ObjectType, Setting};

const DOCUMENT: &str = include_str!("../../docs/sandbox.md");

async fn started(dialect: Dialect) -> (Caller, ObjectType, &'static str) {
    let caller = Caller::new(dialect, ("authorization", &format!("Bearer {TOKEN}"))).await;
    caller.crm().populate(3).unwrap();
    let (object, name) = caller.crm().objects()[0];
    (caller, object, name)
}

#[tokio::test]
async fn an_account_can_be_filled_and_its_page_shows_records_quirks_and_calls() {
    for dialect in Dialect::ALL {
        let (caller, _, name) = started(dialect).await;
        Reply::read(caller.bare(Method::GET, "/a/strange/path")).await;
        let page = Reply::read(caller.bare(Method::GET, "/sandbox/")).await.text;
        assert!(page.contains(dialect.name()) && page.contains("contact2@robots.example"), "{dialect}");
        assert!(page.contains(&format!("/sandbox/?object={name}")) && page.contains("/a/strange/path"), "{dialect}");
        for quirk in caller.crm().quirks() {
            assert!(page.contains(quirk.name), "{dialect}: {}", quirk.name);
        }
        assert_eq!(Dialect::parse(dialect.name()), Some(dialect));
    }
}

#[tokio::test]
async fn the_oracle_keeps_every_version_under_the_ids_outsiders_know() {
    for dialect in Dialect::ALL {
        let (caller, object, name) = started(dialect).await;
        let crm = caller.crm();
        let first = crm.list(object)[0].clone();
        let (property, value) = first.properties.iter().next().unwrap();
        crm.edit(object, &first.id, &[(property, value)]).unwrap();
        crm.delete(object, &first.id).unwrap();
        crm.restore(object, &first.id).unwrap();
        let others = crm.list(object);
        crm.merge(object, &others[1].id, &others[2].id).unwrap();
        let path = format!("/sandbox/versions/{name}/{}", first.id);
        let told = Reply::read(caller.bare(Method::GET, &path)).await.body;
        let lives: Vec<&Value> = told.as_array().unwrap().iter().map(|version| &version["life"]).collect();
        assert_eq!(lives, ["active", "active", "archived", "active"], "{dialect}");
        let merged = Reply::read(caller.bare(Method::GET, &format!("/sandbox/records/{name}"))).await.body;
        assert_eq!(merged[2]["merged_into"], json!(others[1].id), "{dialect}");
        assert!(crm.versions(object, "no such id").is_err(), "{dialect}");
    }
}

#[tokio::test]
async fn each_of_the_vendors_own_answers_can_be_had_on_demand_and_says_its_status_by_name() {
    for dialect in Dialect::ALL {
        let (caller, ..) = started(dialect).await;
        let crm = caller.crm();
        for shape in crm.shapes() {
            crm.force_next(ForcedAnswer { shape: Some((*shape).to_owned()), ..ForcedAnswer::default() });
            let status = caller.get("/any").await.status;
            assert_eq!(Some(status.to_string().as_str()), shape.split(' ').next(), "{dialect}: {shape}");
        }
        let unknown = caller.post("/sandbox/next", &json!({ "shape": "999 unheard of" })).await;
        assert_eq!(unknown.status, 400, "{dialect}");
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_and_that_costs_no_quota() {
    for dialect in Dialect::ALL {
        let (caller, ..) = started(dialect).await;
        let refused = Reply::read(caller.bare(Method::GET, "/any")).await;
        assert_eq!(refused.status, 401, "{dialect}: {}", refused.text);
        let counters = caller.crm().counters();
        assert_eq!((counters.unauthenticated, counters.limit_exceeded), (1, 0), "{dialect}");
    }
}

#[test]
fn the_document_names_every_dialect_with_its_switches_and_shapes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut missing = Vec::new();
    for dialect in Dialect::ALL {
        let (caller, ..) = runtime.block_on(started(dialect));
        let heading = format!("\n## `{dialect}`");
        let Some((_, section)) = DOCUMENT.split_once(&heading) else {
            missing.push(format!("## `{dialect}`"));
            continue;
        };
        let section = section.split("\n## ").next().unwrap();
        for quirk in caller.crm().quirks() {
            let normal = match quirk.normal {
                Setting::Flag(on) => if on { "on" } else { "off" }.to_owned(),
                Setting::Number(number) => number.to_string(),
            };
            let row = format!("| `{}` | {normal} | {} |", quirk.name, quirk.about);
            missing.extend((!section.contains(&row)).then_some(row));
        }
        let shapes = caller.crm().shapes().iter().map(|shape| format!("`{shape}`"));
        missing.extend(shapes.filter(|shape| !section.contains(shape)));
    }
    assert!(missing.is_empty(), "docs/sandbox.md lacks:\n{}", missing.join("\n"));
}
