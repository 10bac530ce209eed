//! One token for all processes: asked for by one, kept sealed before it is used, and refused for good only when nobody has a newer one. With a refresh token that is spent by its use.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eyre::{OptionExt, ensure};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_crm::seal::Sealer;
use tidemark_sandbox::{ForcedAnswer, Weather};
use tidemark_store::{connections, credentials};
use tidemark_tests::processes::{command, run};
use tidemark_tests::vendor::{PEOPLE, ZOHO_CRM};
use tidemark_tests::{Kind, Rig, Setup, TOKEN, deadline, on_both_databases};
use tidemark_worker::{Context, Outcome, handle};

const STREAM: &str = "crm.Contacts";
const ENDPOINT: &str = "/oauth/v2/token";
/// What makes of Zoho's file that of a vendor whose refresh token is spent by its use.
const ROTATES: (&str, &str) = ("refused = \"/error\"", "refused = \"/error\"\nrotates = \"/refresh_token\"");
const KEY: [u8; 32] = [1; 32];
/// The longest a test waits for something that is a matter of moments.
const SOON: Duration = Duration::from_secs(20);

fn base64(key: &[u8]) -> String {
    STANDARD.encode(key)
}

/// A rig with a key whose CRM gives a new refresh token with each access token.
async fn rotating(kind: Kind) -> eyre::Result<Rig> {
    let rig = Rig::with(
        kind,
        Setup {
            vendor: Some(&ZOHO_CRM),
            connector: &[ROTATES],
            instead: &[("[defaults]\n", "[credentials]\nkey = { env = \"TIDEMARK_KEY\" }\n[defaults]\n")],
            ..Setup::default()
        },
    )
    .await?;
    rig.crm.crm().set_quirk("refresh_rotates", true)?;
    Ok(rig)
}

/// How often the token endpoint was asked.
fn asked(rig: &Rig) -> usize {
    rig.crm.crm().calls().iter().filter(|call| call.path == ENDPOINT).count()
}

/// A job of that kind by this worker, due now.
async fn job(rig: &Rig, ctx: &Context, kind: HintKind) -> eyre::Result<Outcome> {
    let stream = rig.stream(STREAM)?.id;
    let streams = rig.db.own("tidemark_stream");
    rig.db.run(&format!("UPDATE {streams} SET poll_owed_at = 0, settled_due_at = 0 WHERE id = {stream}")).await?;
    match handle(ctx, Hint { kind, stream }).await {
        Outcome::Broken(error) => Err(error.into()),
        outcome => Ok(outcome),
    }
}

/// Polls by this worker until one has gone through.
async fn polls(rig: &Rig, ctx: &Context) -> eyre::Result<()> {
    deadline::until("a poll has gone through", SOON, async || {
        Ok(matches!(job(rig, ctx, HintKind::Poll).await?, Outcome::Done { .. }).then_some(()))
    })
    .await
}

async fn paused(rig: &Rig) -> eyre::Result<Option<String>> {
    let row = connections::list(&rig.store).await?.into_iter().find(|connection| connection.name == "crm");
    let row = row.ok_or_eyre("no connection")?;
    Ok((row.state == "paused").then(|| row.reason.unwrap_or_default()))
}

async fn row(rig: &Rig) -> eyre::Result<credentials::Credential> {
    credentials::find(&rig.store, "crm").await?.ok_or_eyre("nothing is kept")
}

fn sealer(key: [u8; 32]) -> eyre::Result<Sealer> {
    Ok(Sealer::new(&SecretSlice::from(key.to_vec()), None)?)
}

/// What is kept, in clear: access token and refresh token.
async fn kept(rig: &Rig) -> eyre::Result<[String; 2]> {
    let sealed = row(rig).await?.sealed.ok_or_eyre("no token is kept")?;
    let opened = sealer(KEY)?.open("crm", &sealed)?;
    let told: BTreeMap<String, serde_json::Value> = serde_json::from_str(opened.text.expose_secret())?;
    let text = |name: &str| told.get(name).and_then(|value| value.as_str()).map(str::to_owned).ok_or_eyre("a token is missing");
    Ok([text("access")?, text("refresh")?])
}

/// Another process, by hand: asks with the refresh token that is kept and returns what it would keep.
async fn by_hand(rig: &Rig) -> eyre::Result<String> {
    let [_, refresh] = kept(rig).await?;
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    let request = reqwest::Client::new().post(format!("{}{ENDPOINT}", rig.crm.base_url()));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer: serde_json::Value = request.send().await?.json().await?;
    let text = serde_json::json!({ "access": answer["access_token"], "refresh": answer["refresh_token"] });
    Ok(sealer(KEY)?.seal("crm", &SecretString::from(text.to_string()))?)
}

/// From now on no token can be kept, as in a database that goes over to its stand-in.
async fn refuse_to_keep(rig: &Rig) -> eyre::Result<()> {
    let credentials = rig.db.own("tidemark_credential");
    match rig.db.kind {
        Kind::Sqlite => {
            let refuses = "BEGIN SELECT RAISE(ABORT, 'the database is going over'); END";
            rig.db.run(&format!("CREATE TRIGGER unkept BEFORE UPDATE OF sealed ON {credentials} {refuses}")).await
        }
        Kind::Postgres => {
            let refuses = "BEGIN RAISE EXCEPTION 'the database is going over'; END";
            rig.db.run(&format!("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {refuses} $$")).await?;
            rig.db
                .run(&format!(
                    "CREATE TRIGGER unkept BEFORE UPDATE OF sealed ON {credentials} FOR EACH ROW EXECUTE FUNCTION refuse()"
                ))
                .await
        }
    }
}

on_both_databases! {
    async fn two_workers_whose_token_wore_out_ask_for_the_next_one_once(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        let second = rig.second_worker().await?;
        polls(&rig, &second).await?;
        ensure!(asked(&rig) == 1, "the second worker asked although a token is kept: {}", asked(&rig));
        rig.crm.crm().expire_access_tokens();
        rig.db.run("UPDATE customers SET last_name = 'Anna'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        // Both hear that it wore out, and both want another at the same time.
        job(&rig, &rig.ctx, HintKind::Poll).await?;
        job(&rig, &second, HintKind::Push).await?;
        rig.debts_due(STREAM).await?;
        let (one, two) = tokio::join!(job(&rig, &rig.ctx, HintKind::Poll), job(&rig, &second, HintKind::Push));
        ensure!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        polls(&rig, &second).await?;
        rig.settle().await?;
        ensure!(asked(&rig) == 2, "it was asked for {} times", asked(&rig) - 1);
        ensure!(paused(&rig).await?.is_none(), "{:?}", paused(&rig).await?);
        ensure!(rig.crm.crm().list(PEOPLE)[0].properties["Last_Name"] == "Anna");
        Ok(())
    }

    async fn a_refresh_token_that_changes_survives_a_restart(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        for start in 1..4 {
            let fresh = rig.second_worker().await?;
            polls(&rig, &fresh).await?;
            ensure!(asked(&rig) == start, "a start asked by itself");
            rig.crm.crm().expire_access_tokens();
            polls(&rig, &fresh).await?;
            ensure!(asked(&rig) == start + 1 && paused(&rig).await?.is_none(), "{:?}", paused(&rig).await?);
        }
        Ok(())
    }

    async fn an_answer_that_comes_late_overwrites_no_newer_token_and_is_kept_while_it_is_the_newest(kind) {
        let rig = rotating(kind).await?;
        let store = &rig.store;
        let lapse = async || rig.db.run(&format!("UPDATE {} SET lease_until = 0", rig.db.own("tidemark_credential"))).await;
        let seen = row(&rig).await?;
        ensure!(credentials::claim(store, "crm", &seen, "slow", 60_000).await?);
        ensure!(!credentials::claim(store, "crm", &seen, "other", 60_000).await?, "two hold the lease");
        let held = row(&rig).await?;
        ensure!(!credentials::claim(store, "crm", &held, "other", 60_000).await?, "a lease that holds was taken");
        lapse().await?;
        ensure!(credentials::claim(store, "crm", &held, "quick", 60_000).await?, "a lease that lapsed was not taken");
        ensure!(credentials::keep(store, "crm", seen.version, "quick's", Some(60_000)).await?);
        ensure!(!credentials::keep(store, "crm", seen.version, "slow's", Some(60_000)).await?, "an old answer was kept");
        ensure!(!credentials::refuse(store, "crm", seen.version, "no").await?, "an old refusal counts");
        let now = row(&rig).await?;
        ensure!(now.sealed.as_deref() == Some("quick's") && now.version == seen.version + 1 && now.lease.is_none() && now.refused.is_none(), "{now:?}");
        // Nobody has kept another: the late answer may hold the only good refresh token.
        ensure!(credentials::claim(store, "crm", &now, "slow", 60_000).await?);
        lapse().await?;
        let again = row(&rig).await?;
        ensure!(credentials::claim(store, "crm", &again, "quick", 60_000).await?);
        ensure!(credentials::keep(store, "crm", now.version, "slow's", None).await?, "the newest answer was thrown away");
        Ok(())
    }

    async fn a_token_that_was_given_is_kept_although_the_database_fails_for_a_moment(kind) {
        let rig = rotating(kind).await?;
        polls(&rig, &rig.ctx).await?;
        let before = (asked(&rig), row(&rig).await?.version);
        rig.crm.crm().expire_access_tokens();
        refuse_to_keep(&rig).await?;
        let (outcome, mended) = tokio::join!(polls(&rig, &rig.ctx), async {
            deadline::until("the next token was given", SOON, async || Ok((asked(&rig) > before.0).then_some(()))).await?;
            rig.db.run(if kind == Kind::Sqlite { "DROP TRIGGER unkept" } else { "DROP TRIGGER unkept ON tidemark.tidemark_credential" }).await
        });
        outcome?;
        mended?;
        ensure!(asked(&rig) == before.0 + 1, "it was asked for again, and the only good one was lost");
        ensure!(row(&rig).await?.version > before.1, "it was not kept");
        ensure!(paused(&rig).await?.is_none(), "{:?}", paused(&rig).await?);
        Ok(())
    }

    async fn a_refusal_after_anothers_refresh_is_no_death(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        rig.crm.crm().expire_access_tokens();
        let before = row(&rig).await?.version;
        job(&rig, &rig.ctx, HintKind::Poll).await?;
        // While it asks, another process that was overtaken by its own lease keeps what it was given.
        rig.crm.crm().force_next(ForcedAnswer { status: 200, body: serde_json::json!({ "error": "invalid_code" }), path_contains: ENDPOINT.into(), delay_ms: 3_000, ..ForcedAnswer::default() });
        let other = async {
            deadline::until("it asks", SOON, async || Ok(row(&rig).await?.lease.map(|_| ()))).await?;
            let sealed = by_hand(&rig).await?;
            Ok::<_, eyre::Report>(credentials::keep(&rig.store, "crm", before, &sealed, Some(600_000)).await?)
        };
        let (outcome, other) = tokio::join!(job(&rig, &rig.ctx, HintKind::Poll), other);
        ensure!(other?, "the other process's token was not kept");
        ensure!(matches!(outcome?, Outcome::Done { .. }), "the newer token was not taken");
        ensure!(paused(&rig).await?.is_none(), "{:?}", paused(&rig).await?);
        ensure!(row(&rig).await?.refused.is_none());
        Ok(())
    }

    async fn a_refused_grant_is_tried_once_by_all_and_needs_a_person(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        let workers = [rig.second_worker().await?, rig.second_worker().await?, rig.second_worker().await?];
        for worker in &workers {
            polls(&rig, worker).await?;
        }
        let before = asked(&rig);
        rig.crm.crm().set_token(Some("another".into()));
        let reason = deadline::until("the connection is paused", SOON, async || {
            job(&rig, &rig.ctx, HintKind::Poll).await?;
            paused(&rig).await
        })
        .await?;
        ensure!(reason.contains("needs a person") && reason.contains("tidemark resume crm") && reason.contains("invalid_code"), "{reason}");
        // As if the others had been under way: their calls were let through before the pause.
        let running = format!("UPDATE {} SET state = 'running' WHERE name = 'crm'", rig.db.own("tidemark_connection"));
        for worker in &workers {
            for _ in 0..3 {
                rig.db.run(&running).await?;
                job(&rig, worker, HintKind::Poll).await?;
            }
        }
        ensure!(asked(&rig) == before + 1, "a refused grant was tried {} times", asked(&rig) - before);
        // A person resumes without having changed anything: one more try.
        connections::set_state(&rig.store, "crm", "running", None).await?;
        deadline::until("the connection is paused again", SOON, async || {
            job(&rig, &workers[0], HintKind::Poll).await?;
            paused(&rig).await
        })
        .await?;
        ensure!(asked(&rig) == before + 2, "a resume is {} tries", asked(&rig) - before - 1);
        // And now with what the CRM gave anew.
        let fresh = rig.worker_with(&[("TIDEMARK__CONNECTIONS__CRM__SECRET__REFRESH_TOKEN", "another")]).await?;
        connections::set_state(&rig.store, "crm", "running", None).await?;
        polls(&rig, &fresh).await?;
        let told = job(&rig, &workers[0], HintKind::Poll).await?;
        ensure!(matches!(&told, Outcome::Deferred(words) if words.contains("start this one again")), "{told:?}");
        ensure!(paused(&rig).await?.is_none() && asked(&rig) == before + 3, "{:?}", paused(&rig).await?);
        Ok(())
    }

    async fn a_key_that_is_wrong_at_the_start_is_tried_once_by_all_streams_and_workers(kind) {
        let weather = Weather { latency_ms: (50, 100), ..Weather::calm() };
        let rig = Rig::with(kind, Setup { weather, ..Setup::default() }).await?;
        rig.db.run("INSERT INTO customers (email, last_name) VALUES ('ana@acme.test', 'Ana')").await?;
        rig.crm.crm().set_token(Some("another".into()));
        ensure!(rig.streams().len() > 1, "one stream alone shows little");
        rig.all_at_once(&rig.second_worker().await?).await?;
        let refused = rig.crm.crm().counters().unauthenticated;
        ensure!(refused == 1, "a wrong key was tried {refused} times");
        let row = connections::list(&rig.store).await?.remove(0);
        ensure!(row.state == "paused" && row.probe_in.is_some(), "{row:?}");
        let acts = rig.db.count(&format!("{} WHERE verb = 'pause'", rig.db.own("tidemark_act"))).await?;
        ensure!(acts == 1, "the pause is told {acts} times");
        Ok(())
    }

    async fn a_grant_that_each_worker_asks_with_for_itself_is_refused_once(kind) {
        let rig = Rig::with(kind, Setup { vendor: Some(&ZOHO_CRM), ..Setup::default() }).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        let second = rig.second_worker().await?;
        polls(&rig, &second).await?;
        rig.crm.crm().set_token(Some("another".into()));
        let before = asked(&rig);
        rig.db.run("UPDATE customers SET last_name = 'Anna'").await?;
        // Both hear that their tokens are worn out; then all want others at the same time.
        job(&rig, &rig.ctx, HintKind::Poll).await?;
        job(&rig, &second, HintKind::Poll).await?;
        rig.all_at_once(&second).await?;
        ensure!(paused(&rig).await?.is_some(), "nothing pauses the connection");
        ensure!(asked(&rig) == before + 1, "a refused grant was tried {} times", asked(&rig) - before);
        Ok(())
    }

    async fn an_answer_that_nobody_kept_is_named_when_the_grant_is_refused(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        rig.crm.crm().expire_access_tokens();
        rig.crm.crm().force_next(ForcedAnswer { path_contains: ENDPOINT.into(), applies: true, dropped: true, ..ForcedAnswer::default() });
        let reason = deadline::until("the connection is paused", SOON, async || {
            job(&rig, &rig.ctx, HintKind::Poll).await?;
            paused(&rig).await
        })
        .await?;
        ensure!(reason.contains("the refresh token it held was the only good one") && reason.contains("needs a person"), "{reason}");
        Ok(())
    }

    async fn no_token_stands_in_the_database_in_clear(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        let [access, refresh] = kept(&rig).await?;
        ensure!(access.starts_with("1000.") && refresh.starts_with("1000.r"), "these are no tokens: {access} {refresh}");
        let sql = format!("SELECT connection, origin, sealed, lease, refused FROM {}", rig.db.own("tidemark_credential"));
        let cells: Vec<String> = rig.db.rows(&sql).await?.into_iter().flatten().flatten().collect();
        ensure!(cells.len() >= 3, "{cells:?}");
        for secret in [access.as_str(), refresh.as_str(), TOKEN] {
            let plain = cells.iter().any(|cell| cell.contains(secret) || cell.contains(STANDARD.encode(secret).trim_end_matches('=')));
            ensure!(!plain, "{secret} stands in {cells:?}");
        }
        Ok(())
    }

    async fn another_key_is_refused_at_start_and_a_former_one_is_gone_over_from(kind) {
        let rig = rotating(kind).await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        let next = base64(&[2; 32]);
        let own = ("TIDEMARK__CREDENTIALS__KEY", next.as_str());
        let told = rig.worker_with(&[own]).await.err().ok_or_eyre("another key opens what is sealed")?.to_string();
        ensure!(told.contains("the token of crm was sealed with key") && told.contains("credentials.former_key"), "{told}");
        let former = base64(&KEY);
        rig.worker_with(&[own, ("TIDEMARK__CREDENTIALS__FORMER_KEY", &former)]).await?;
        let fresh = rig.worker_with(&[own]).await?;
        polls(&rig, &fresh).await?;
        ensure!(asked(&rig) == 1, "the token that was kept is not used");
        // Where the key is lost, another grant begins anew.
        let lost = base64(&[3; 32]);
        rig.crm.crm().set_token(Some("another".into()));
        let anew = rig.worker_with(&[("TIDEMARK__CREDENTIALS__KEY", &lost), ("TIDEMARK__CONNECTIONS__CRM__SECRET__REFRESH_TOKEN", "another")]).await?;
        polls(&rig, &anew).await?;
        Ok(())
    }

    async fn without_a_key_a_connector_whose_refresh_token_changes_does_not_start_and_is_never_asked(kind) {
        let rig = Rig::with(kind, Setup { vendor: Some(&ZOHO_CRM), ..Setup::default() }).await?;
        let here = tempfile::TempDir::new()?;
        std::fs::create_dir(here.path().join("own"))?;
        std::fs::write(here.path().join("own/zoho-crm.toml"), ZOHO_CRM.file.replace(ROTATES.0, ROTATES.1))?;
        std::fs::write(here.path().join("tidemark.toml"), format!("[connectors]\nfolder = \"own\"\n{}", rig.text))?;
        let key = base64(&KEY);
        let env = [("CRM_TOKEN", TOKEN), ("TIDEMARK__CREDENTIALS__KEY", key.as_str())];
        for (verb, code) in [("worker", 1), ("agree", 1), ("check", 2)] {
            let ended = run(command(here.path(), &env[..1], &[verb])?, SOON).await?;
            let said = format!("{}{}", ended.stdout, ended.stderr);
            ensure!(ended.code == Some(code) && said.contains("credentials.key") && said.contains("openssl rand -base64 32"), "{verb}: {ended:?}");
        }
        let ended = run(command(here.path(), &env, &["check"])?, SOON).await?;
        ensure!(ended.code == Some(0) && ended.stdout.contains("no token is kept that could be used"), "{ended:?}");
        ensure!(asked(&rig) == 0, "a refresh token was spent");
        Ok(())
    }

    async fn a_token_that_does_not_rotate_is_shared_too(kind) {
        let rig = Rig::with(kind, Setup {
            vendor: Some(&ZOHO_CRM),
            instead: &[("[defaults]\n", "[credentials]\nkey = { env = \"TIDEMARK_KEY\" }\n[defaults]\n")],
            ..Setup::default()
        })
        .await?;
        ZOHO_CRM.add(&rig.crm.crm(), "ana@acme.test", "Ana")?;
        rig.settle().await?;
        for start in 1..3 {
            let fresh = rig.second_worker().await?;
            polls(&rig, &fresh).await?;
            ensure!(asked(&rig) == start, "{}", asked(&rig));
            rig.crm.crm().expire_access_tokens();
            polls(&rig, &fresh).await?;
        }
        Ok(())
    }
}
