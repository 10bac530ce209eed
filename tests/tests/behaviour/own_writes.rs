//! On PostgreSQL the capture triggers pass over what Tidemark writes itself, and over nothing that the order system makes of it.

use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::{Kind, Rig};

/// A confirmed customer that is in the CRM, agreed, with an order.
async fn agreed() -> eyre::Result<(Rig, String)> {
    let rig = Rig::start(Kind::Postgres).await?;
    rig.db.run("INSERT INTO customers (id, email, first_name, company, email_confirmed_at) VALUES (1, 'ana@acme.test', 'Ana', 'Old', '2026-01-01 00:00:00')").await?;
    rig.db.run("INSERT INTO orders (id, number, customer_id, status) VALUES (7, 'R-7', 1, 'draft')").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.unwrap_or_default();
    Ok((rig, id))
}

/// Table, operation and key of what waits for the relay.
async fn noted(rig: &Rig) -> eyre::Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', table_name, op, row_key) FROM tidemark.tidemark_change ORDER BY 1";
    Ok(rig.db.rows(sql).await?.into_iter().flatten().flatten().collect())
}

/// The rows that are owed a push.
async fn owed(rig: &Rig) -> eyre::Result<Vec<String>> {
    let sql = "SELECT subject FROM tidemark.tidemark_debt WHERE kind = 'push' ORDER BY 1";
    Ok(rig.db.rows(sql).await?.into_iter().flatten().flatten().collect())
}

/// How many log rows there ever were: one that was taken out again counts.
async fn ever_noted(rig: &Rig) -> eyre::Result<Option<String>> {
    rig.db.one("SELECT CAST(last_value AS TEXT) FROM tidemark.tidemark_change_id_seq").await
}

/// The record gets another company, and the row with it.
async fn edited(rig: &Rig, id: &str, company: &str) -> eyre::Result<()> {
    rig.crm.crm().edit(Contacts, id, &[("company", company)])?;
    rig.catch_up("hubspot.contacts").await?;
    Ok(())
}

async fn company(rig: &Rig) -> eyre::Result<Option<String>> {
    rig.db.one("SELECT company FROM customers WHERE email = 'ana@acme.test'").await
}

/// A trigger of the order system on its customers.
async fn shop(rig: &Rig, when: &str, body: &str) -> eyre::Result<()> {
    rig.db
        .run(&format!(
            "CREATE OR REPLACE FUNCTION shop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
             CREATE OR REPLACE TRIGGER shop {when} ON customers FOR EACH ROW EXECUTE FUNCTION shop()"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_write_is_not_noted_and_what_others_write_is() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    let before = ever_noted(&rig).await?;
    edited(&rig, &id, "New").await?;
    rig.crm.crm().create(Contacts, &[("email", "bo@acme.test"), ("company", "Bo")])?;
    rig.catch_up("hubspot.contacts").await?;
    assert_eq!((company(&rig).await?.as_deref(), rig.db.count("customers").await?), (Some("New"), 2));
    assert_eq!(ever_noted(&rig).await?, before, "neither the changed row nor the new one");
    // The word ends with our transaction: the next one on the same connection of the pool is heard, and so is the application.
    rig.db.run("UPDATE customers SET phone = '1'").await?;
    assert_eq!(noted(&rig).await?.len(), 2);
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &id).await?["phone"], "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_of_the_shop_makes_of_our_statement_is_noted_in_every_table() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    let body = "UPDATE public.customers SET first_name = NEW.company WHERE id = NEW.id; UPDATE public.orders SET total_cents = 1 WHERE customer_id = NEW.id; RETURN NULL;";
    shop(&rig, "AFTER INSERT OR UPDATE OF company", body).await?;
    edited(&rig, &id, "New").await?;
    assert_eq!(noted(&rig).await?, ["public.customers U 1", "public.orders U 7"]);
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &id).await?["firstname"], "New");

    let bo = rig.crm.crm().create(Contacts, &[("email", "bo@acme.test"), ("company", "Bo")])?;
    rig.catch_up("hubspot.contacts").await?;
    let key = rig.db.one("SELECT CAST(id AS TEXT) FROM customers WHERE email = 'bo@acme.test'").await?.unwrap_or_default();
    assert_eq!(noted(&rig).await?, [format!("public.customers U {key}")], "the new row, once: as the trigger changed it");
    rig.db.run("UPDATE customers SET email_confirmed_at = now()").await?;
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &bo).await?["firstname"], "Bo");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_of_an_older_version_note_our_echo_and_it_is_taken_out() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    rig.db.run("CREATE OR REPLACE TRIGGER tidemark_customers_update AFTER UPDATE ON customers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION tidemark.tidemark_customers_update()").await?;
    let before = ever_noted(&rig).await?;
    edited(&rig, &id, "New").await?;
    assert_ne!(ever_noted(&rig).await?, before, "it was noted");
    assert_eq!((noted(&rig).await?, owed(&rig).await?), (vec![], vec![]));
    shop(&rig, "AFTER UPDATE OF company", "UPDATE public.customers SET first_name = NEW.company WHERE id = NEW.id; RETURN NULL;")
        .await?;
    edited(&rig, &id, "Newer").await?;
    assert_eq!((noted(&rig).await?, owed(&rig).await?), (vec![], vec!["1".to_owned()]));
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &id).await?["firstname"], "Newer");
    Ok(())
}

/// A rule is rewritten into our own statement and is no trigger: everything is noted where there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rule_of_the_shop_adds_to_our_statement_is_noticed() -> eyre::Result<()> {
    let (rig, _) = agreed().await?;
    rig.db.run("CREATE RULE shop AS ON INSERT TO customers DO ALSO UPDATE customers SET phone = '1' WHERE id = 1").await?;
    rig.crm.crm().create(Contacts, &[("email", "bo@acme.test"), ("company", "Bo")])?;
    rig.catch_up("hubspot.contacts").await?;
    assert_eq!((rig.db.count("customers").await?, owed(&rig).await?), (2, vec!["1".to_owned()]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_gets_another_key_under_our_hands_is_noticed_under_both() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    rig.db.run("ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey").await?;
    shop(&rig, "BEFORE UPDATE OF company", "NEW.id = OLD.id + 1000; RETURN NEW;").await?;
    edited(&rig, &id, "New").await?;
    assert_eq!(rig.db.one("SELECT CAST(id AS TEXT) FROM customers").await?.as_deref(), Some("1001"));
    assert_eq!(owed(&rig).await?, ["1", "1001"]);
    Ok(())
}

/// A BEFORE trigger that changes a column we did not write leaves no trace of its own: the row is compared with what was agreed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_of_the_shop_adds_to_our_own_row_is_noticed() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    shop(&rig, "BEFORE INSERT OR UPDATE", "NEW.last_name = 'of ' || NEW.company; RETURN NEW;").await?;
    edited(&rig, &id, "New").await?;
    let other = rig.crm.crm().create(Contacts, &[("email", "bo@acme.test"), ("company", "Bo")])?;
    rig.catch_up("hubspot.contacts").await?;
    assert_eq!(owed(&rig).await?.len(), 2, "{:?}", owed(&rig).await?);
    rig.db.run("UPDATE customers SET email_confirmed_at = '2026-01-01 00:00:00'").await?;
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &id).await?["lastname"], "of New");
    assert_eq!(rig.record("contacts", &other).await?["lastname"], "of Bo");
    Ok(())
}

/// A trigger names its tables as it is used to: our sessions find what any session of the role finds, behind our own tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_of_the_shop_that_names_no_schema_works_under_our_hands() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    shop(&rig, "AFTER UPDATE OF company", "UPDATE orders SET status = 'accepted' WHERE customer_id = NEW.id; RETURN NULL;")
        .await?;
    edited(&rig, &id, "New").await?;
    assert_eq!(company(&rig).await?.as_deref(), Some("New"), "the page was applied");
    rig.settle().await?;
    assert_eq!(rig.records("deals").await?.len(), 1, "and what the trigger did was heard of");
    Ok(())
}

/// The base holds what is stored, whether or not it is read back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_of_the_shop_makes_of_our_value_is_what_was_agreed() -> eyre::Result<()> {
    let (rig, id) = agreed().await?;
    shop(&rig, "BEFORE INSERT OR UPDATE", "NEW.company = upper(NEW.company); RETURN NEW;").await?;
    edited(&rig, &id, "New").await?;
    rig.crm.crm().create(Contacts, &[("email", "bo@acme.test"), ("company", "Bo")])?;
    rig.catch_up("hubspot.contacts").await?;
    let sql = "SELECT CAST(base AS json) ->> 'company' FROM tidemark.tidemark_link WHERE base LIKE '%company%' ORDER BY id";
    let bases: Vec<String> = rig.db.rows(sql).await?.into_iter().flatten().flatten().collect();
    assert_eq!(bases, [r#"["NEW","New"]"#, r#"["BO","Bo"]"#]);
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &id).await?["company"], "New", "and it is not sent back");
    Ok(())
}
