//! A copy of the database is at another place, and is not worked on until somebody adopts it; a database that moved with its witness holds nothing.

use tidemark_core::environment::Place;
use tidemark_store::environment::{Whereabouts, load, look, place, timeline, whereabouts};
use tidemark_store::holds;
use tidemark_tests::house::House;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};

use crate::restore::{GUARD, enter, witness, work_until_beaten};

on_both_databases! {
    async fn h33_the_first_start_adopts_its_place_and_another_place_is_told(kind) {
        let rig = Rig::start(kind).await?;
        assert_eq!(load(&rig.store).await?, None);
        for _ in 0..2 {
            assert_eq!(whereabouts(&rig.store).await?, Whereabouts::Home);
        }
        let environment = rig.db.own("tidemark_environment");
        assert_eq!(rig.db.count(&environment).await?, 1);
        let elsewhere = r#"{"kind":"sqlite","file":"/another/orders.db","inode":7}"#;
        rig.db.run(&format!("UPDATE {environment} SET place = '{elsewhere}'")).await?;
        let Whereabouts::Elsewhere { known, now } = whereabouts(&rig.store).await? else { eyre::bail!("nobody noticed") };
        assert_eq!(known.map(|known| known.to_string()).as_deref(), Some("SQLite file /another/orders.db (inode 7)"));
        tidemark_store::environment::adopt_place(&rig.store, &now, "ann", None).await?;
        assert_eq!(whereabouts(&rig.store).await?, Whereabouts::Home);
        Ok(())
    }

    async fn heavy_h33_a_copy_is_not_worked_on_until_somebody_adopts_it(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        house.tidemark(&["agree"]).await?.good()?;
        let copy = copy_of(&house).await?;
        let calls = house.rig.crm.crm().calls().len();
        // A copy's queue may be anybody's.
        let verbs: &[&str] = if kind == Kind::Postgres { &["agree", "scheduler", "worker", "up"] } else { &["agree", "up"] };
        for verb in verbs {
            let ended = house.tidemark(&["--config", &copy, verb]).await?;
            assert_eq!(ended.code, Some(1), "{verb}: {}{}", ended.stdout, ended.stderr);
            for words in ["at another place", "tidemark environment adopt", "a token of another account"] {
                assert!(ended.stderr.contains(words), "{verb}: {words:?} is missing in {}", ended.stderr);
            }
        }
        assert_eq!(house.rig.crm.crm().calls().len(), calls, "no call was made");
        let said = house.tidemark(&["--config", &copy, "environment", "--json"]).await?.good()?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        assert_eq!((&said["elsewhere"], &said["witnessed"]), (&true.into(), &serde_json::Value::Null), "{said}");
        let adopted = house.tidemark(&["--config", &copy, "environment", "adopt", "--reason", "moved"]).await?.good()?;
        assert!(adopted.contains("nobody beside the queue remembers"), "what cannot be told from a restore is held: {adopted}");
        house.tidemark(&["--config", &copy, "agree"]).await?.good()?;
        let said = house.tidemark(&["--config", &copy, "environment"]).await?.good()?;
        assert!(said.contains("HELD") && !said.contains("ANOTHER"), "{said}");
        Ok(())
    }

    async fn heavy_h33_a_database_that_moved_with_its_witness_holds_nothing(kind) {
        let mut house = House::open(kind, Setup::default(), &[]).await?;
        enter(&house, "ana@acme.test").await?;
        let processes: &[&str] = if kind == Kind::Postgres { &["scheduler-1", "worker-1"] } else { &["up-1"] };
        work_until_beaten(&mut house, processes).await?;
        let elsewhere = r#"{"kind":"sqlite","file":"/old/orders.db","inode":7}"#;
        house.rig.db.run(&format!("UPDATE {} SET place = '{elsewhere}'", house.rig.db.own("tidemark_environment"))).await?;
        let ended = house.tidemark(&["agree"]).await?;
        assert!(ended.code == Some(1) && ended.stderr.contains("/old/orders.db"), "{}", ended.stderr);
        let said = house.tidemark(&["environment", "adopt"]).await?.good()?;
        assert!(said.contains("Nothing was lost on the way"), "{said}");
        assert_eq!(holds::list_held(&house.rig.store).await?, []);
        house.tidemark(&["agree"]).await?.good()?;
        let said = house.tidemark(&["environment", "adopt"]).await?.good()?;
        assert!(said.contains("There is nothing to adopt"), "{said}");
        Ok(())
    }
}

/// What a role may not ask for is no part of its place, and nothing else depends on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_the_least_rights_has_a_place_and_a_pulse_on_postgres() -> eyre::Result<()> {
    let rig = Rig::with(Kind::Postgres, Setup { own_role: true, ..Setup::default() }).await?;
    assert_eq!(whereabouts(&rig.store).await?, Whereabouts::Home);
    for function in ["pg_control_system()", "pg_control_checkpoint()"] {
        rig.db.run(&format!("REVOKE EXECUTE ON FUNCTION {function} FROM public")).await?;
    }
    let now = place(&rig.store).await?;
    assert!(matches!(now, Place::Postgres { system: None, oid: 1.., .. }), "{now}");
    assert_eq!(timeline(&rig.store).await?, None);
    assert_eq!(whereabouts(&rig.store).await?, Whereabouts::Home);
    let witness = witness(&rig.store).await?;
    assert_eq!(look(&rig.second_store().await?, Some(&witness), GUARD).await?, None);
    Ok(())
}

/// Another file on SQLite. On PostgreSQL a copy is what finds another number in its own row: the copy of a database, and a database that is called the same, have another.
async fn copy_of(house: &House) -> eyre::Result<String> {
    let folder = house.rig.db.folder.path();
    let (copy, config) = (folder.join("copy.db"), folder.join("copy.toml"));
    let mut text = house.rig.text.clone();
    match house.rig.db.kind {
        Kind::Sqlite => {
            house.rig.db.run(&format!("VACUUM INTO '{}'", copy.display())).await?;
            text = text.replace(&house.rig.db.url, &format!("sqlite://{}", copy.display()));
        }
        Kind::Postgres => {
            let environment = house.rig.db.own("tidemark_environment");
            let oid = "CAST((CAST(place AS JSON)->>'oid') AS BIGINT)";
            let sql = format!("UPDATE {environment} SET place = replace(place, CAST({oid} AS TEXT), CAST({oid} + 1 AS TEXT))");
            house.rig.db.run(&sql).await?;
        }
    }
    std::fs::write(&config, text)?;
    Ok(config.display().to_string())
}
