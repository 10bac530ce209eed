//! What the CRM would refuse, as it describes itself, waits without being sent; it goes by itself once the row is corrected or the CRM describes itself otherwise. Nothing else
//! is held back, and describing is never why something does not go out.

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::debts;
use tidemark_tests::{Kind, Otherwise, Rig, Setup, TOKEN, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
const COMPANY: &str = "company = { column = \"company\", owner = \"crm\" }";
/// The column `company` is sent as a choice.
const STAGE: Otherwise = &[(COMPANY, "lifecyclestage = { column = \"company\", owner = \"orders\" }")];
const STAGE_AND_VISITS: Otherwise =
    &[STAGE[0], ("phone = { column = \"phone\", owner = \"hold\" }", "visits = { column = \"phone\", owner = \"orders\" }")];
const VISITS_AND_BORN: Otherwise = &[
    (COMPANY, "visits = { column = \"company\", owner = \"orders\" }\nborn = { column = \"last_name\", owner = \"orders\" }"),
    ("lastname = { column = \"last_name\", owner = \"orders\" }\n", ""),
];

/// A rig without records, read once.
async fn rig(kind: Kind, instead: Otherwise, connector: Otherwise) -> eyre::Result<Rig> {
    let rig = Rig::with(kind, Setup { instead, connector, ..Setup::default() }).await?;
    rig.settle().await?;
    Ok(rig)
}

/// A confirmed customer.
async fn customer(rig: &Rig, name: &str, company: &str) -> eyre::Result<()> {
    let values = format!("'{name}@acme.test', '{name}', '{company}', '2026-01-01 00:00:00'");
    rig.db.run(&format!("INSERT INTO customers (email, first_name, company, email_confirmed_at) VALUES ({values})")).await
}

/// Calls that write records, and calls that describe contacts.
fn calls(rig: &Rig) -> (u64, u64) {
    let asked = rig.crm.crm().counters().by_endpoint;
    let of = |endpoint: &str| asked.get(endpoint).copied().unwrap_or_default();
    let writes = ["create", "upsert", "update"].map(|verb| of(&format!("POST /crm/v3/objects/contacts/batch/{verb}")));
    (writes.into_iter().sum(), of("GET /crm/v3/properties/contacts"))
}

/// Class, property, cause and next step of everything that is parked.
async fn parked(rig: &Rig) -> eyre::Result<Vec<[String; 4]>> {
    let sql = format!(
        "SELECT class, COALESCE(code, ''), cause, next_step FROM {} WHERE state = 'parked' ORDER BY id",
        rig.db.own("tidemark_debt")
    );
    let line = |row: Vec<Option<String>>| {
        let cells: [Option<String>; 4] = row.try_into().unwrap_or_default();
        let [class, code, cause, next] = cells;
        let property = code.as_deref().and_then(|code| code.split_once(':')).map(|(property, _)| property.to_owned());
        [class, property.or(code), cause, next].map(Option::unwrap_or_default)
    };
    Ok(rig.db.rows(&sql).await?.into_iter().map(line).collect())
}

/// The values of one property, of every record.
async fn values(rig: &Rig, property: &str) -> eyre::Result<Vec<String>> {
    Ok(rig.records("contacts").await?.into_values().filter_map(|mut record| record.remove(property)).collect())
}

/// Somebody makes or changes a property in the CRM.
async fn property(rig: &Rig, method: Method, path: &str, body: &Value) -> eyre::Result<()> {
    let url = format!("{}/crm/v3/properties/contacts{path}", rig.crm.base_url());
    reqwest::Client::new().request(method, url).bearer_auth(TOKEN).json(body).send().await?.error_for_status()?;
    Ok(())
}

/// Somebody gives the stage these options.
async fn options(rig: &Rig, options: &[&str]) -> eyre::Result<()> {
    let options: Vec<Value> = options.iter().map(|value| json!({ "value": value, "label": value })).collect();
    property(rig, Method::PATCH, "/lifecyclestage", &json!({ "options": options })).await
}

on_both_databases! {
    async fn a_value_that_is_no_option_waits_without_a_write_and_goes_once_the_row_is_corrected(kind) {
        let rig = rig(kind, STAGE, &[]).await?;
        customer(&rig, "Ana", "lead").await?;
        rig.push(CONTACTS).await?;
        assert_eq!((values(&rig, "lifecyclestage").await?, calls(&rig)), (vec!["lead".to_owned()], (1, 1)));
        rig.catch_up(CONTACTS).await?;
        rig.db.run("UPDATE customers SET company = 'friend', first_name = 'Anna'").await?;
        let (writes, _) = calls(&rig);
        rig.push(CONTACTS).await?;
        let next = "correct company of row 1, map its value to an option, or add the option in the CRM; it is sent by itself then";
        let said = ["unfit", "lifecyclestage", "company: \"friend\" is none of the 8 options of lifecyclestage", next].map(str::to_owned);
        assert_eq!((parked(&rig).await?, calls(&rig).0), (vec![said], writes), "nothing is sent to be refused");
        rig.db.run("UPDATE customers SET company = 'Customer'").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(parked(&rig).await?[0][0], "rejected", "what it may be, the CRM is asked");
        rig.db.run("UPDATE customers SET company = 'customer'").await?;
        rig.settle().await?;
        assert_eq!((values(&rig, "lifecyclestage").await?, values(&rig, "firstname").await?), (vec!["customer".to_owned()], vec!["Anna".to_owned()]));
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }

    async fn an_option_that_is_added_in_the_crm_frees_what_waits_for_it_and_nothing_else(kind) {
        let rig = rig(kind, STAGE_AND_VISITS, &[]).await?;
        property(&rig, Method::POST, "", &json!({ "name": "visits", "type": "number", "fieldType": "number" })).await?;
        // Whoever looks while nothing waits asks nobody.
        tidemark_worker::look_again(&rig.ctx).await?;
        assert_eq!(calls(&rig), (0, 0));
        customer(&rig, "Ana", "friend").await?;
        customer(&rig, "Bo", "lead").await?;
        rig.db.run("UPDATE customers SET phone = 'a lot' WHERE first_name = 'Bo'").await?;
        rig.push(CONTACTS).await?;
        let held = |rows: Vec<[String; 4]>| rows.into_iter().map(|[class, property, ..]| (class, property)).collect::<Vec<_>>();
        let unfit = |property: &str| ("unfit".to_owned(), property.to_owned());
        assert_eq!(held(parked(&rig).await?), [unfit("lifecyclestage"), unfit("visits")]);
        assert_eq!((calls(&rig), rig.records("contacts").await?.len()), ((0, 1), 0));
        // Another process looks: nothing changed, and it does not ask again for a while.
        let worker = rig.second_worker().await?;
        tidemark_worker::look_again(&worker).await?;
        tidemark_worker::look_again(&worker).await?;
        tidemark_worker::look_again(&rig.ctx).await?;
        assert_eq!((held(parked(&rig).await?).len(), calls(&rig)), (2, (0, 2)));
        options(&rig, &["lead", "friend"]).await?;
        tidemark_worker::look_again(&rig.second_worker().await?).await?;
        assert_eq!(held(parked(&rig).await?), [unfit("visits")]);
        // This process goes by what it was told before, and asks again rather than hold anything back.
        rig.push(CONTACTS).await?;
        assert_eq!((values(&rig, "lifecyclestage").await?, rig.debts("parked").await?), (vec!["friend".to_owned()], 1));
        rig.db.run("UPDATE customers SET phone = '12' WHERE first_name = 'Bo'").await?;
        rig.settle().await?;
        assert_eq!(values(&rig, "visits").await?, ["12"]);
        Ok(())
    }

    async fn nothing_is_held_back_by_a_description_of_before(kind) {
        let rig = rig(kind, STAGE, &[]).await?;
        for name in ["Ana", "Bo", "Cy"] {
            customer(&rig, name, "lead").await?;
            rig.push(CONTACTS).await?;
        }
        assert_eq!(calls(&rig), (3, 1), "it is described once");
        options(&rig, &["lead", "friend"]).await?;
        customer(&rig, "Di", "friend").await?;
        rig.push(CONTACTS).await?;
        assert_eq!((rig.debts("parked").await?, calls(&rig), rig.records("contacts").await?.len()), (0, (4, 2), 4));
        Ok(())
    }

    async fn what_cannot_be_described_is_sent_and_the_crm_judges(kind) {
        let rig = rig(kind, STAGE, &[]).await?;
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/crm/v3/properties/contacts".into(), ..ForcedAnswer::default() });
        customer(&rig, "Ana", "lead").await?;
        customer(&rig, "Bo", "friend").await?;
        rig.push(CONTACTS).await?;
        let held: Vec<String> = parked(&rig).await?.into_iter().map(|[class, ..]| class).collect();
        assert_eq!((held.as_slice(), values(&rig, "lifecyclestage").await?), (["rejected".to_owned()].as_slice(), vec!["lead".to_owned()]));
        customer(&rig, "Cy", "lead").await?;
        rig.push(CONTACTS).await?;
        assert_eq!((calls(&rig).1, rig.records("contacts").await?.len()), (1, 2), "it is not asked before each push");
        Ok(())
    }

    async fn a_description_that_cannot_be_had_again_holds_nothing_back(kind) {
        let rig = rig(kind, STAGE, &[]).await?;
        customer(&rig, "Ana", "lead").await?;
        rig.push(CONTACTS).await?;
        options(&rig, &["lead", "friend"]).await?;
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/crm/v3/properties/contacts".into(), ..ForcedAnswer::default() });
        customer(&rig, "Bo", "friend").await?;
        rig.push(CONTACTS).await?;
        assert_eq!((rig.debts("parked").await?, rig.records("contacts").await?.len()), (0, 2));
        Ok(())
    }

    async fn a_person_who_retries_has_the_crm_judge(kind) {
        let rig = rig(kind, STAGE, &[]).await?;
        customer(&rig, "Ana", "friend").await?;
        rig.push(CONTACTS).await?;
        assert_eq!((parked(&rig).await?[0][0].as_str(), calls(&rig).0), ("unfit", 0));
        let id = rig.db.one(&format!("SELECT CAST(id AS TEXT) FROM {}", rig.db.own("tidemark_debt"))).await?.unwrap_or_default();
        assert!(debts::retry(&rig.store, id.parse()?).await?);
        rig.push(CONTACTS).await?;
        assert_eq!(parked(&rig).await?[0][0], "rejected");
        Ok(())
    }

    async fn a_property_that_became_read_only_stops_its_rows_with_words(kind) {
        let rig = rig(kind, &[(COMPANY, "createdate = { column = \"company\", owner = \"orders\" }")], &[]).await?;
        customer(&rig, "Ana", "2026-01-01").await?;
        rig.push(CONTACTS).await?;
        let held = parked(&rig).await?;
        assert_eq!((held[0][0].as_str(), held[0][2].as_str(), calls(&rig).0), ("unfit", "createdate is read-only in the CRM", 0));
        // What is not sent is not judged.
        rig.db.run("UPDATE customers SET company = NULL").await?;
        rig.push(CONTACTS).await?;
        assert_eq!((rig.debts("parked").await?, rig.records("contacts").await?.len()), (0, 1));
        Ok(())
    }

    async fn what_is_required_is_required_where_a_record_is_made_and_nowhere_else(kind) {
        let rig = rig(kind, &[], &[("[object.contacts]\n", "[object.contacts]\nrequired = [\"lastname\"]\n")]).await?;
        customer(&rig, "Ana", "").await?;
        rig.push(CONTACTS).await?;
        let held = parked(&rig).await?;
        let why = "the CRM makes none of the contacts without lastname, and last_name is blank";
        assert_eq!((held[0][1].as_str(), held[0][2].as_str(), calls(&rig).0), ("lastname", why, 0));
        rig.db.run("UPDATE customers SET last_name = 'Lind'").await?;
        rig.settle().await?;
        assert_eq!(values(&rig, "lastname").await?, ["Lind"]);
        // One that is there already is bound, whatever it lacks, and what it gets is no new record.
        rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?;
        customer(&rig, "bo", "").await?;
        rig.push(CONTACTS).await?;
        rig.settle().await?;
        assert_eq!((rig.records("contacts").await?.len(), rig.debts("parked").await?), (2, 0));
        assert_eq!(values(&rig, "firstname").await?, ["Ana", "bo"]);
        Ok(())
    }

    async fn numbers_days_and_declared_lengths_are_told_before_the_crm_has_to(kind) {
        let rig = rig(kind, VISITS_AND_BORN, &[("[object.contacts]\n", "[object.contacts]\nchars_max = { firstname = 5 }\n")]).await?;
        for (name, kind) in [("visits", "number"), ("born", "date")] {
            property(&rig, Method::POST, "", &json!({ "name": name, "type": kind, "fieldType": kind })).await?;
        }
        for (name, company) in [("Ana", "many"), ("Bo", "3"), ("Cornelia", "3"), ("Di", "1 e 3")] {
            customer(&rig, name, company).await?;
        }
        rig.db.run("UPDATE customers SET last_name = '1.3.1990' WHERE first_name = 'Bo'").await?;
        rig.push(CONTACTS).await?;
        let told: Vec<String> = parked(&rig).await?.into_iter().map(|[class, _, cause, _]| format!("{class} {cause}")).collect();
        let expected = [
            "unfit company: \"many\" is no number, and visits takes nothing else",
            "unfit last_name: \"1.3.1990\" is no date such as 2026-03-01, nor a number of milliseconds, and born takes nothing else",
            "unfit first_name: it has 8 characters, and firstname takes 5",
        ];
        assert_eq!(told[..3], expected);
        assert!(told.len() == 4 && told[3].starts_with("rejected "), "what may be a number is left to the CRM: {told:?}");
        rig.db.run("UPDATE customers SET company = '3', last_name = '1990-03-01', first_name = 'Short'").await?;
        rig.settle().await?;
        assert_eq!((values(&rig, "born").await?.len(), values(&rig, "visits").await?.len()), (4, 4));
        Ok(())
    }
}
