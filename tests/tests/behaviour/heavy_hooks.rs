//! One-way streams in real processes at their most talkative: what they log, print and show tells what is going on, and never where a hook is.

use std::time::Duration;

use tempfile::TempDir;
use tidemark_sandbox::hooks::HookAnswer;
use tidemark_tests::deadline::until;
use tidemark_tests::hook_rig::{HookRig, HookSetup, SECRETS};
use tidemark_tests::on_both_databases;
use tidemark_tests::processes::{Service, command, run};

const PATIENCE: Duration = Duration::from_secs(60);
const PAGES: [&str; 13] = [
    "",
    "streams/zap.orders",
    "streams/maker.customer_changed",
    "streams/zap.orders/rows/1",
    "debts",
    "conflicts",
    "callouts",
    "reliability",
    "acts",
    "api/status",
    "api/debts",
    "metrics",
    "readyz",
];

on_both_databases! {
    async fn no_page_line_or_word_says_where_a_hook_is(kind) {
        let setup = HookSetup { signed: true, waits: true, stream: "deletes = { outbound = \"tell\" }", ..HookSetup::default() };
        let rig = HookRig::with(kind, setup).await?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("tidemark.toml"), &rig.text)?;
        let own = rig.env();
        let mut env: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        env.extend([
            ("TIDEMARK__SERVER__LISTEN", "127.0.0.1:0"), ("TIDEMARK__SCHEDULER__TICK_EVERY", "200ms"),
            ("TIDEMARK__LOG__LEVEL", "debug"),
        ]);
        let say = async |args: &[&str]| {
            let ended = run(command(folder.path(), &env, args)?, PATIENCE).await?;
            eyre::Ok(format!("{}{}", ended.stdout, ended.stderr))
        };
        let mut everything = String::new();
        for args in [["migrate"].as_slice(), &["check"], &["status"], &["match", "zap.orders"]] {
            everything.push_str(&say(args).await?);
        }
        assert!(everything.contains("the rows that are there count as told"), "{everything}");
        assert!(everything.contains("meets nobody"), "{everything}");
        assert!(everything.contains("nobody can try without firing it"), "{everything}");
        let mut up = Service::start("up", folder.path(), &env, &["up"])?;
        for name in ["zap.orders", "maker.customer_changed"] {
            rig.go(name).await?;
            until("the rows that are there are taken down", PATIENCE, || async {
                Ok((!rig.of_stream("loaded_at", name).await?.is_empty()).then_some(()))
            }).await?;
        }
        rig.receiver.next([HookAnswer::Masked, HookAnswer::Status(500)]);
        rig.db.run("INSERT INTO orders (id, number, status) VALUES (1, 'A1', 'accepted')").await?;
        until("it is told", PATIENCE, || async {
            Ok(rig.receiver.heard().iter().any(|heard| heard.status == Some(200)).then_some(()))
        }).await?;
        let address = until("the dashboard is there", PATIENCE, || async {
            let log = up.log();
            Ok(log.lines().find_map(|line| line.strip_prefix("dashboard  ")).map(|address| address.trim().to_owned()))
        }).await?;
        let show = async |page: &str| {
            let address = address.trim_end_matches('/');
            eyre::Ok(reqwest::get(format!("{address}/{page}")).await?.text().await?)
        };
        let home = show("").await?;
        assert!(!home.contains("never") && !home.contains("Reads again"), "{home}");
        rig.receiver.always(Some(HookAnswer::Status(410)));
        rig.db.run("UPDATE orders SET total_cents = 5").await?;
        until("the stream waits for a person", PATIENCE, || async {
            Ok((rig.of_stream("state", "zap.orders").await? == "paused").then_some(()))
        }).await?;
        // A page may be a second old.
        until("the page says so", PATIENCE, async || {
            let home = show("").await?;
            Ok((home.contains("needs a person") && home.contains("tidemark resume zap.orders")).then_some(()))
        }).await?;
        for page in PAGES {
            everything.push_str(&show(page).await?);
        }
        for args in [["status"].as_slice(), &["status", "--json"], &["agree", "zap.orders"], &["why", "zap.orders", "1"], &["reliability"]] {
            everything.push_str(&say(args).await?);
        }
        assert!(everything.contains("/hooks/catch/…"), "calls are on record");
        up.prove_alive()?;
        up.terminate(PATIENCE).await?;
        everything.push_str(&up.log());
        everything.push_str(&rig.everything().await?);
        for secret in SECRETS {
            let found = everything.find(secret).map(|at| everything[at.saturating_sub(300)..at].to_owned());
            assert_eq!(found, None, "{secret}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_practice_receiver_prints_what_it_is_told_and_refuses_what_is_not_signed() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let args = ["sandbox", "--dialect", "hooks", "--listen", "127.0.0.1:0", "--signing", "shared"];
    let (trusting, strict) = (&args[..5], &args[..]);
    let check = async |name: &str, args: &[&str], status: u16, told: &[&str]| {
        let receiver = Service::start(name, folder.path(), &[], args)?;
        let url = until("it says where it listens", PATIENCE, || async {
            Ok(receiver.log().lines().find_map(|line| Some(line.strip_prefix("catch hook")?.trim().to_owned())))
        })
        .await?;
        for _ in told {
            let post = reqwest::Client::new().post(&url).header("Idempotency-Key", "k1").header("X-Tidemark-Event", "updated");
            assert_eq!(post.json(&serde_json::json!({ "number": "A1" })).send().await?.status(), status);
        }
        until("all is printed", PATIENCE, || async {
            let log = receiver.log();
            Ok(told.iter().all(|line| log.contains(line)).then_some(()))
        })
        .await
    };
    check("trusting", trusting, 200, &["200 updated k1 {\"number\":\"A1\"}", "200 updated k1 again {\"number\":\"A1\"}"]).await?;
    check("strict", strict, 403, &["403 updated k1 not signed"]).await?;
    let crowd = run(command(folder.path(), &[], &["sandbox", "--dialect", "hooks", "--records", "3"])?, PATIENCE).await?;
    assert!(crowd.code != Some(0) && crowd.stderr.contains("leave --records and --weather out"), "{crowd:?}");
    Ok(())
}
