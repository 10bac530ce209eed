//! What PostgreSQL permits: Tidemark's role has the rights that `migrate --plan` prints and no others, the shop's role has none on anything of ours.

use std::time::Duration;

use eyre::{OptionExt, ensure};
use sea_orm::ConnectionTrait;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::processes::{Ended, command, run};
use tidemark_tests::{Kind, Rig, Role, Setup, TOKEN};
use tidemark_worker::{Outcome, handle};

async fn rig() -> eyre::Result<Rig> {
    rig_with("").await
}

async fn rig_with(contacts: &'static str) -> eyre::Result<Rig> {
    Rig::with(Kind::Postgres, Setup { own_role: true, contacts, ..Setup::default() }).await
}

async fn job(rig: &Rig, kind: HintKind) -> eyre::Result<Outcome> {
    let stream = rig.stream("hubspot.contacts")?.id;
    // The fast reader alone: two cursors would make two stories.
    rig.db.run("UPDATE tidemark.tidemark_stream SET poll_owed_at = 0, settled_due_at = 9000000000000000").await?;
    Ok(handle(&rig.ctx, Hint { kind, stream }).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_is_a_failing_poll_in_words_and_parks_nothing() -> eyre::Result<()> {
    let rig = rig().await?;
    let role = rig.role.as_ref().ok_or_eyre("no role")?.name.clone();
    let crm = rig.crm.crm();
    let ids: Vec<String> =
        (0..20).map(|at| crm.create(Contacts, &[("email", &format!("c{at}@acme.test"))])).collect::<Result<_, _>>()?;
    rig.settle().await?;
    assert_eq!(rig.db.count("customers").await?, 20);
    let cursor = "SELECT fast_until::text FROM tidemark.tidemark_stream WHERE name = 'hubspot.contacts'";

    rig.db.run(&format!("REVOKE UPDATE (company) ON customers FROM {role}")).await?;
    for id in &ids {
        crm.edit(Contacts, id, &[("company", "Robots")])?;
    }
    // The CRM tells its time in whole seconds: the edits may be in the next window only.
    tidemark_tests::deadline::until("the edits are read", Duration::from_secs(20), || async {
        let before = rig.db.one(cursor).await?;
        let outcome = job(&rig, HintKind::Poll).await?;
        if !matches!(outcome, Outcome::Broken(_)) {
            return Ok(None);
        }
        ensure!(rig.db.one(cursor).await? == before, "the cursor moved over records that were not applied");
        Ok(Some(()))
    })
    .await?;
    let error = rig.db.one("SELECT poll_error FROM tidemark.tidemark_stream WHERE name = 'hubspot.contacts'").await?;
    let error = error.unwrap_or_default();
    assert!(error.contains("permission denied for table customers") && error.contains("migrate --plan"), "{error}");
    assert_eq!(rig.debts("parked").await?, 0, "no record is at fault");

    rig.db.run(&format!("GRANT UPDATE (company) ON customers TO {role}")).await?;
    rig.settle().await?;
    assert_eq!(rig.db.count("customers WHERE company = 'Robots'").await?, 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_leaves_pushes_and_reads_waiting_with_a_pause() -> eyre::Result<()> {
    let rig = rig().await?;
    let role = rig.role.as_ref().ok_or_eyre("no role")?.name.clone();
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', now())").await?;
    rig.settle().await?;
    rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
    tidemark_worker::relay_once(&rig.ctx).await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id")?;
    let stream = rig.stream("hubspot.contacts")?.id;
    rig.db
        .run(&format!("INSERT INTO tidemark.tidemark_debt (stream_id, kind, subject) VALUES ({stream}, 'read', '{id}')"))
        .await?;
    rig.db.run(&format!("REVOKE SELECT (email) ON customers FROM {role}")).await?;
    for kind in [HintKind::Push, HintKind::Read] {
        assert!(matches!(job(&rig, kind).await?, Outcome::Broken(_)));
    }
    let debts = "SELECT kind, state, attempts::text, (due_at > 1000 * extract(epoch FROM now()) - 1000)::text, (lease_until IS NULL)::text FROM tidemark.tidemark_debt ORDER BY kind";
    let text = |words: &[&str]| words.iter().map(|word| Some((*word).to_owned())).collect::<Vec<_>>();
    assert_eq!(
        rig.db.rows(debts).await?,
        [text(&["push", "waiting", "1", "true", "true"]), text(&["read", "waiting", "1", "true", "true"])]
    );
    let causes = rig.db.rows("SELECT DISTINCT cause FROM tidemark.tidemark_debt").await?;
    assert!(causes.len() == 1 && causes[0][0].as_deref().is_some_and(|cause| cause.contains("permission denied")), "{causes:?}");

    rig.db.run(&format!("GRANT SELECT (email) ON customers TO {role}")).await?;
    rig.settle().await?;
    assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna");
    Ok(())
}

/// A policy refuses a row with the same code that a missing right has; the row alone is at fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_policy_refuses_is_parked_alone() -> eyre::Result<()> {
    let rig = rig().await?;
    rig.db.run("ALTER TABLE customers ENABLE ROW LEVEL SECURITY").await?;
    rig.db.run("CREATE POLICY shop ON customers USING (true) WITH CHECK (email NOT LIKE '%@rival.test')").await?;
    let crm = rig.crm.crm();
    for email in ["a@acme.test", "b@rival.test", "c@acme.test"] {
        crm.create(Contacts, &[("email", email)])?;
    }
    rig.catch_up("hubspot.contacts").await?;
    assert_eq!((rig.db.count("customers").await?, rig.debts("parked").await?), (2, 1));
    Ok(())
}

/// The shop's own role: its tables, and nothing of Tidemark's.
async fn shop(rig: &Rig) -> eyre::Result<sea_orm::DatabaseConnection> {
    let shop = Role::create(&rig.db, "shop").await?;
    for grant in [
        "USAGE ON SCHEMA public",
        "SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON customers, orders",
        "USAGE ON SEQUENCE customers_id_seq, orders_id_seq",
    ] {
        rig.db.run(&format!("GRANT {grant} TO {}", shop.name)).await?;
    }
    shop.connect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h19_the_printed_grants_suffice_and_the_shop_needs_no_right_of_ours() -> eyre::Result<()> {
    let rig = rig().await?;
    let role = rig.role.as_ref().ok_or_eyre("no role")?;
    // What the handbook says may be taken away once everything is installed.
    let database = rig.db.url.rsplit_once('/').map(|(_, name)| name.to_owned()).ok_or_eyre("no database")?;
    for right in [&format!("CREATE ON DATABASE {database}"), "TRIGGER ON customers", "TRIGGER ON orders"] {
        rig.db.run(&format!("REVOKE {right} FROM {}", role.name)).await?;
    }
    let shop = shop(&rig).await?;
    let refused = shop.execute_unprepared("SELECT 1 FROM tidemark.tidemark_change").await;
    assert!(refused.is_err_and(|error| error.to_string().contains("permission denied for schema tidemark")));

    shop.execute_unprepared("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', now()), ('bo@acme.test', 'Bo', now())").await?;
    shop.execute_unprepared("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 1250)")
        .await?;
    let only_crm = rig.crm.crm().create(Contacts, &[("email", "only@crm.test"), ("company", "Robots")])?;
    rig.settle().await?;
    assert_eq!(rig.db.count("customers WHERE hubspot_id IS NOT NULL").await?, 3);
    shop.execute_unprepared("UPDATE customers SET first_name = 'Anna' WHERE email = 'ana@acme.test'").await?;
    shop.execute_unprepared("UPDATE orders SET status = 'shipped'").await?;
    shop.execute_unprepared("DELETE FROM customers WHERE email = 'bo@acme.test'").await?;
    rig.crm.crm().edit(Contacts, &only_crm, &[("company", "Machines")])?;
    rig.settle().await?;
    let names: Vec<String> =
        rig.records("contacts").await?.into_values().filter_map(|one| one.get("firstname").cloned()).collect();
    assert!(names.contains(&"Anna".to_owned()), "{names:?}");
    assert_eq!(rig.db.one("SELECT company FROM customers WHERE email = 'only@crm.test'").await?.as_deref(), Some("Machines"));
    Ok(())
}

/// Everything `migrate --plan` grants, taken away one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_each_right_that_is_missing() -> eyre::Result<()> {
    let mark = "deletes = { inbound = { set = { column = \"other_id\", value = \"gone\" } } }";
    for (contacts, granted) in [
        ("", "GRANT USAGE ON SEQUENCE public.customers_id_seq"),
        ("deletes = { inbound = \"delete\" }", "GRANT DELETE ON \"public\".\"customers\""),
        (mark, "\"other_id\") ON \"public\".\"customers\""),
    ] {
        let rig = rig_with(contacts).await?;
        let role = rig.role.as_ref().ok_or_eyre("no role")?;
        assert!(role.grants.iter().any(|grant| grant.contains(granted)), "{granted} is not among {:#?}", role.grants);
        let ended = check(&rig).await?;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        for grant in &role.grants {
            let (right, _) = grant.trim_start_matches("GRANT ").split_once(" TO ").ok_or_eyre("no grantee")?;
            rig.db.run(&format!("REVOKE {right} FROM {}", role.name)).await?;
            let ended = check(&rig).await?;
            // As printed, less the quotes: `SELECT (id, email) on public.customers`.
            let (what, place) = right.split_once(" ON ").ok_or_eyre("no place")?;
            let place = place.replace("SCHEMA", "schema").replace("SEQUENCE", "sequence");
            let words = format!("lacks {what} on {place}\n      → ").replace('"', "");
            assert!(ended.stdout.contains(&words), "{words:?} is missing in\n{}{}", ended.stdout, ended.stderr);
            assert_eq!(ended.stdout.matches("lacks").count(), if what == "USAGE" && place.starts_with("schema") { 2 } else { 1 });
            // Without the triggers' right all goes on until they have to be installed again.
            assert_eq!(ended.code, Some(if what == "TRIGGER" { 0 } else { 2 }), "{}", ended.stdout);
            rig.db.run(grant).await?;
        }
        assert_eq!(check(&rig).await?.code, Some(0), "all is granted again");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_the_columns_a_right_is_missing_on() -> eyre::Result<()> {
    let rig = rig().await?;
    let role = &rig.role.as_ref().ok_or_eyre("no role")?.name;
    for right in ["INSERT (id)", "UPDATE (company, hubspot_id)", "SELECT (email_confirmed_at)"] {
        rig.db.run(&format!("REVOKE {right} ON customers FROM {role}")).await?;
        let ended = check(&rig).await?;
        let words = format!("error hubspot.contacts: the database role lacks {right} on public.customers");
        assert!(ended.code == Some(2) && ended.stdout.contains(&words), "{words:?} is missing in\n{}", ended.stdout);
        assert!(ended.stdout.contains("migrate --plan"), "{}", ended.stdout);
        rig.db.run(&format!("GRANT {right} ON customers TO {role}")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_to_install_triggers_is_an_error_once_they_are_gone() -> eyre::Result<()> {
    let rig = rig().await?;
    let role = &rig.role.as_ref().ok_or_eyre("no role")?.name;
    let lacks = "hubspot.contacts: the database role lacks TRIGGER on public.customers";
    rig.db.run(&format!("REVOKE TRIGGER ON customers FROM {role}")).await?;
    let ended = check(&rig).await?;
    assert!(ended.code == Some(0) && ended.stdout.contains(&format!("note  {lacks}")), "{}", ended.stdout);
    rig.db.run("DROP TRIGGER tidemark_customers_insert ON customers").await?;
    let ended = check(&rig).await?;
    assert!(ended.code == Some(2) && ended.stdout.contains(&format!("error {lacks}")), "{}", ended.stdout);
    Ok(())
}

async fn check(rig: &Rig) -> eyre::Result<Ended> {
    let folder = rig.db.folder.path();
    std::fs::write(folder.join("tidemark.toml"), &rig.text)?;
    run(command(folder, &[("HUBSPOT_TOKEN", TOKEN)], &["check"])?, Duration::from_secs(60)).await
}
