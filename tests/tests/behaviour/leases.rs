//! What a process held is given back when it has stopped: all of it, nobody else's, and nothing that may be on its way to the CRM.

use std::collections::HashMap;

use eyre::OptionExt;
use tidemark_store::debts::{self, Kind, Which};
use tidemark_store::{leases, push, streams};
use tidemark_tests::{Rig, on_both_databases};

on_both_databases! {
    async fn a_process_that_stopped_holds_nothing_but_what_it_may_have_sent(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('a@acme.test', 'A', '2026-01-01 00:00:00'),
            ('b@acme.test', 'B', '2026-01-01 00:00:00'), ('c@acme.test', 'C', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        rig.db.run("UPDATE customers SET first_name = 'Changed'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let stream = rig.stream("hubspot.contacts")?;
        let lease = 60_000;

        // Another process whose name begins alike holds one row and the other stream.
        let others = debts::claim(&rig.store, stream.id, Kind::Push, Which::Due, "one-2/x", lease, 1).await?;
        for (held, owner) in [(stream, "one"), (rig.stream("hubspot.deals")?, "one-2")] {
            let owed = format!("UPDATE {} SET poll_owed_at = 0 WHERE id = {}", rig.db.own("tidemark_stream"), held.id);
            rig.db.run(&owed).await?;
            streams::claim_poll(&rig.store, held, owner, lease).await?.ok_or_eyre("not claimed")?;
        }
        let claims = debts::claim(&rig.store, stream.id, Kind::Push, Which::Due, "one/x", lease, 10).await?;
        assert_eq!((others.len(), claims.len()), (1, 2));
        let prepared = push::prepare(&rig.store, stream, &HashMap::new(), "one/x", claims, lease).await?;
        // The first of its two rows is on its way to the CRM.
        let sent = prepared[0].claim.subject.clone();
        let ghost = r#"[{"property":"firstname","row":"Changed","record":"Changed","fence":"one/x","until":9000000000000}]"#;
        assert!(push::remember(&rig.store, stream, "one/x", 0, &[(&sent, Some(ghost.to_owned()))]).await?);

        assert_eq!(leases::release(&rig.store, "one").await?, 2, "one stream and one debt");
        let (debts, links) = (rig.db.own("tidemark_debt"), rig.db.own("tidemark_link"));
        let held = rig.db.rows(&format!("SELECT lease_fence, subject FROM {debts} WHERE lease_until IS NOT NULL ORDER BY 1 DESC")).await?;
        let text = |words: &[&str]| words.iter().map(|word| Some((*word).to_owned())).collect::<Vec<_>>();
        assert_eq!(held, [text(&["one/x", &sent]), text(&["one-2/x", &others[0].subject])]);
        let marked = rig.db.rows(&format!("SELECT row_key FROM {links} WHERE push_until IS NOT NULL")).await?;
        assert_eq!(marked, [text(&[&sent])]);
        let owners = rig.db.rows(&format!("SELECT lease_owner FROM {} WHERE lease_until IS NOT NULL", rig.db.own("tidemark_stream"))).await?;
        assert_eq!(owners, [text(&["one-2"])]);
        Ok(())
    }
}
