//! A mapped property that is gone from the CRM, or of another type, stops its stream before a row loses anything by it; all others go on, and so does the stream when a person says so.

use std::time::Duration;

use eyre::{WrapErr, ensure};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::streams;
use tidemark_tests::deadline::until;
use tidemark_tests::vendor::{DATAVERSE, MAILCHIMP, PEOPLE, PIPEDRIVE_OWN, SALESFORCE, Vendor, ZOHO_CRM};
use tidemark_tests::{Kind, Otherwise, Rig, Setup, TOKEN, on_both_databases};
use tidemark_worker::look_at_schemas;

const CONTACTS: &str = "hubspot.contacts";
const DEALS: &str = "hubspot.deals";
/// A blank in the CRM empties the column: what a property that is gone looks like.
const CLEARS: Otherwise = &[(
    "phone = { column = \"phone\", owner = \"hold\" }",
    "phone = { column = \"phone\", owner = \"crm\", blanks = \"clear\" }",
)];

/// Ana on both sides, with a phone number, and the CRM's properties looked at a while ago.
async fn shop(kind: Kind) -> eyre::Result<(Rig, String)> {
    let rig = Rig::with(kind, Setup { instead: CLEARS, ..Setup::default() }).await?;
    let ana = rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("firstname", "Ana"), ("phone", "0301")])?;
    rig.settle().await?;
    look_at_schemas(&rig.ctx).await?;
    a_while_passes(&rig).await?;
    Ok((rig, ana))
}

async fn a_while_passes(rig: &Rig) -> eyre::Result<()> {
    rig.db.run(&format!("UPDATE {} SET described_at = described_at - 7200000", rig.db.own("tidemark_stream"))).await
}

async fn state(rig: &Rig, stream: &str) -> eyre::Result<(String, String)> {
    let sql = format!("SELECT state, COALESCE(reason, '') FROM {} WHERE name = '{stream}'", rig.db.own("tidemark_stream"));
    let row = rig.db.rows(&sql).await?.concat();
    Ok((row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default()))
}

async fn phone(rig: &Rig) -> eyre::Result<Option<String>> {
    rig.db.one("SELECT phone FROM customers WHERE email = 'ana@acme.test'").await
}

/// Calls that ask how contacts are described.
fn looks(rig: &Rig) -> u64 {
    rig.crm.crm().counters().by_endpoint.get("GET /crm/v3/properties/contacts").copied().unwrap_or_default()
}

/// Polls until the stream stops; why it did.
async fn stops(rig: &Rig, stream: &str) -> eyre::Result<String> {
    let stopped = async || {
        rig.poll(stream).await?;
        look_at_schemas(&rig.ctx).await?;
        let (now, reason) = state(rig, stream).await?;
        Ok((now == "paused").then_some(reason))
    };
    until("the stream stops", Duration::from_secs(20), stopped).await
}

/// The phone of customers, under whatever name a vendor has for it: taken away, and brought back as a number.
async fn drifts(kind: Kind, vendor: &'static Vendor) -> eyre::Result<()> {
    let instead: Otherwise =
        &[("column = \"phone\", owner = \"hold\" }", "column = \"phone\", owner = \"crm\", blanks = \"clear\" }")];
    let rig = Rig::with(kind, Setup { vendor: Some(vendor), instead, ..Setup::default() }).await?;
    let (crm, stream, phone) = (rig.crm.crm(), vendor.stream(), vendor.phone);
    if vendor.phone.mapped.starts_with("custom_fields.") {
        crm.add_property(PEOPLE, phone.kept, "phone", false)?;
    }
    let ana = vendor.add(&crm, "ana@acme.test", "Ana")?;
    crm.edit(PEOPLE, &ana, &[(phone.kept, "+49301")])?;
    rig.settle().await?;
    look_at_schemas(&rig.ctx).await?;
    a_while_passes(&rig).await?;
    crm.remove_property(PEOPLE, phone.kept)?;
    crm.edit(PEOPLE, &ana, &[(vendor.name.kept, "Anna")])?;
    let reason = stops(&rig, &stream).await?;
    let gone = format!("{} is no property of {} any more.", phone.mapped, vendor.object);
    ensure!(reason.starts_with(&gone), "{reason}");
    let kept = rig.db.one("SELECT phone FROM customers").await?;
    ensure!(kept.as_deref() == Some("+49301"), "the row has {kept:?}");
    // As it was.
    crm.add_property(PEOPLE, phone.kept, "phone", false)?;
    streams::set_state(&rig.store, &stream, "running", None).await?;
    rig.settle().await?;
    a_while_passes(&rig).await?;
    look_at_schemas(&rig.ctx).await?;
    let (now, reason) = state(&rig, &stream).await?;
    ensure!(now == "running", "{reason}");
    crm.remove_property(PEOPLE, phone.kept)?;
    crm.add_property(PEOPLE, phone.kept, "number", false)?;
    a_while_passes(&rig).await?;
    let (reason, retyped) =
        (stops(&rig, &stream).await?, format!("{} of {} was a text and is a number now.", phone.mapped, vendor.object));
    ensure!(reason.starts_with(&retyped), "{reason}");
    Ok(())
}

on_both_databases! {
    async fn with_every_vendor_that_describes_a_property_that_drifts_stops_its_stream(kind) {
        let each = [&DATAVERSE, &MAILCHIMP, &PIPEDRIVE_OWN, &SALESFORCE, &ZOHO_CRM].map(async |vendor| drifts(kind, vendor).await.wrap_err(vendor.connector));
        let wrong: Vec<String> = join_all(each).await.into_iter().filter_map(|one| Some(format!("{:?}", one.err()?))).collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        Ok(())
    }

    async fn a_property_that_is_removed_stops_its_stream_before_a_row_loses_its_value(kind) {
        let (rig, ana) = shop(kind).await?;
        rig.crm.crm().remove_property(Contacts, "phone")?;
        rig.crm.crm().edit(Contacts, &ana, &[("company", "Acme")])?;
        let stops = async || {
            rig.poll(CONTACTS).await?;
            let (now, reason) = state(&rig, CONTACTS).await?;
            Ok((now == "paused").then_some(reason))
        };
        let reason = until("the stream stops", Duration::from_secs(20), stops).await?;
        assert!(reason.starts_with("phone is no property of contacts any more.") && reason.contains("`tidemark resume hubspot.contacts`"), "{reason}");
        assert_eq!(phone(&rig).await?.as_deref(), Some("0301"));
        assert_eq!(state(&rig, DEALS).await?.0, "running", "the rest goes on");
        assert_eq!(rig.db.one(&format!("SELECT who FROM {} WHERE verb = 'pause' AND subject = '{CONTACTS}'", rig.db.own("tidemark_act"))).await?.as_deref(), Some("tidemark"));
        // Somebody who knows lets it go on: what was read is read again, and what is gone is blank.
        streams::set_state(&rig.store, CONTACTS, "running", None).await?;
        rig.settle().await?;
        assert_eq!(rig.db.one("SELECT company FROM customers").await?.as_deref(), Some("Acme"));
        assert_eq!((phone(&rig).await?, state(&rig, CONTACTS).await?.0.as_str()), (None, "running"));
        Ok(())
    }

    async fn a_record_that_is_read_by_its_id_loses_nothing_either(kind) {
        let (rig, ana) = shop(kind).await?;
        rig.crm.crm().remove_property(Contacts, "phone")?;
        let owed = format!("INSERT INTO {} (stream_id, kind, subject, due_at) SELECT id, 'read', '{ana}', 0 FROM {} WHERE name = '{CONTACTS}'", rig.db.own("tidemark_debt"), rig.db.own("tidemark_stream"));
        rig.db.run(&owed).await?;
        rig.read(CONTACTS).await?;
        assert_eq!((state(&rig, CONTACTS).await?.0.as_str(), phone(&rig).await?.as_deref()), ("paused", Some("0301")));
        assert_eq!(rig.debts("waiting").await?, 1, "the read stays owed");
        Ok(())
    }

    async fn a_property_of_another_type_stops_its_stream_at_the_next_look(kind) {
        let (rig, _) = shop(kind).await?;
        rig.crm.crm().remove_property(Contacts, "phone")?;
        rig.crm.crm().add_property(Contacts, "phone", "number", false)?;
        look_at_schemas(&rig.ctx).await?;
        let (now, reason) = state(&rig, CONTACTS).await?;
        assert_eq!(now, "paused");
        assert!(reason.starts_with("phone of contacts was a text and is a number now."), "{reason}");
        streams::set_state(&rig.store, CONTACTS, "running", None).await?;
        a_while_passes(&rig).await?;
        look_at_schemas(&rig.ctx).await?;
        assert_eq!(state(&rig, CONTACTS).await?.0, "running", "a person took it as it is");
        Ok(())
    }

    async fn the_first_refusal_brings_the_look_forward(kind) {
        let (rig, _) = shop(kind).await?;
        // What is sent was described a moment ago, and that was two minutes ago.
        rig.db.run("UPDATE customers SET first_name = 'Ann', email_confirmed_at = '2026-01-01 00:00:00'").await?;
        rig.push(CONTACTS).await?;
        rig.db.run(&format!("UPDATE {} SET described_at = described_at - 120000", rig.db.own("tidemark_stream"))).await?;
        let before = looks(&rig);
        look_at_schemas(&rig.ctx).await?;
        assert_eq!(looks(&rig), before, "nobody doubts it");
        rig.crm.crm().remove_property(Contacts, "firstname")?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.debts("parked").await?, 1, "the CRM refused it");
        look_at_schemas(&rig.ctx).await?;
        let (now, reason) = state(&rig, CONTACTS).await?;
        assert_eq!((now.as_str(), reason.starts_with("firstname is no property of contacts any more.")), ("paused", true), "{reason}");
        Ok(())
    }

    async fn a_look_costs_one_call_an_hour_for_all_workers_and_none_for_blanks_that_are_blank(kind) {
        let (rig, ana) = shop(kind).await?;
        let (second, before) = (rig.second_worker().await?, looks(&rig));
        for worker in [&rig.ctx, &second, &rig.ctx] {
            look_at_schemas(worker).await?;
        }
        assert_eq!(looks(&rig) - before, 1, "one of them had the turn");
        // Within a minute of a look nobody asks again, and what is blank is merged as blank.
        rig.crm.crm().edit(Contacts, &ana, &[("phone", "")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!((phone(&rig).await?, looks(&rig) - before), (None, 1));
        a_while_passes(&rig).await?;
        rig.crm.crm().edit(Contacts, &ana, &[("company", "Acme")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!((looks(&rig) - before, state(&rig, CONTACTS).await?.0.as_str()), (2, "running"), "one look, and it is there");
        Ok(())
    }

    async fn who_may_not_look_goes_on(kind) {
        let (rig, ana) = shop(kind).await?;
        let url = format!("{}/sandbox/next", rig.crm.base_url());
        let refusal = json!({ "method": "GET", "path_contains": "/properties/", "status": 403, "body": "{\"category\":\"MISSING_SCOPES\",\"message\":\"no\"}", "times": 100 });
        reqwest::Client::new().request(Method::POST, url).bearer_auth(TOKEN).json(&refusal).send().await?.error_for_status()?;
        rig.crm.crm().edit(Contacts, &ana, &[("phone", ""), ("company", "Acme")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.one("SELECT company FROM customers").await?.as_deref(), Some("Acme"));
        assert_eq!(state(&rig, CONTACTS).await?.0, "running");
        Ok(())
    }
}
