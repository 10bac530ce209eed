//! What PostgreSQL permits: Tidemark's role has the rights that `migrate --plan` prints and no others, the shop's role has none on anything of ours.

use std::time::Duration;

use eyre::{OptionExt, ensure};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::{Kind, Rig, Setup};
use tidemark_worker::{Outcome, handle};

async fn rig() -> eyre::Result<Rig> {
    Rig::with(Kind::Postgres, Setup { own_role: true, ..Setup::default() }).await
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
