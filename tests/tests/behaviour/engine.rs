//! The connectors that are described in files, each against its dialect, with the real worker: what is in either side arrives on the other, once, whatever the weather.

use std::time::Duration;

use eyre::{WrapErr, bail, ensure};
use futures::future::join_all;
use tidemark_sandbox::{ForcedAnswer, Weather};
use tidemark_store::overview;
use tidemark_tests::processes::{command, run};
use tidemark_tests::vendor::{
    DATAVERSE, DESCRIBED, MAILCHIMP, PEOPLE, PIPEDRIVE, SALESFORCE, Vendor, ZOHO_BOOKS_NOTES, ZOHO_CRM,
};
use tidemark_tests::{Kind, Rig, Setup, deadline, on_both_databases};
use tidemark_worker::Outcome;

/// One vendor's rig.
struct Shop {
    rig: Rig,
    vendor: &'static Vendor,
    stream: String,
}

impl Shop {
    async fn open(kind: Kind, vendor: &'static Vendor, setup: Setup) -> eyre::Result<Self> {
        let rig = Rig::with(kind, Setup { vendor: Some(vendor), ..setup }).await?;
        Ok(Self { rig, vendor, stream: vendor.stream() })
    }

    /// What the CRM keeps of the people who are there, by e-mail: name and phone.
    async fn people(&self) -> eyre::Result<Vec<[String; 3]>> {
        let records = self.rig.records(self.vendor.object).await?;
        let mut people: Vec<[String; 3]> = records
            .into_values()
            // Mailchimp's archive is a status.
            .filter(|kept| kept.get("status").is_none_or(|status| status != "archived"))
            .map(|kept| {
                [self.vendor.email, self.vendor.name, self.vendor.phone]
                    .map(|one| kept.get(one.kept).cloned().unwrap_or_default())
            })
            .collect();
        people.sort();
        Ok(people)
    }

    async fn customers(&self) -> eyre::Result<Vec<[String; 3]>> {
        let rows = self.rig.db.rows("SELECT email, last_name, phone FROM customers ORDER BY email").await?;
        Ok(rows.into_iter().map(|row| std::array::from_fn(|at| row.get(at).cloned().flatten().unwrap_or_default())).collect())
    }

    /// Everything is done, and both sides hold these people.
    async fn agree_on(&self, people: &[[&str; 3]]) -> eyre::Result<()> {
        self.rig.settle().await?;
        let (there, here) = (self.people().await?, self.customers().await?);
        ensure!(there == people, "the CRM has {there:?}");
        ensure!(here == people, "the order database has {here:?}");
        Ok(())
    }

    /// A poll that has something to read: within one second of the CRM there may be nothing yet.
    async fn poll(&self) -> eyre::Result<Outcome> {
        deadline::until("there is something to read", Duration::from_secs(20), || async {
            let outcome = self.rig.poll(&self.stream).await?;
            Ok((!matches!(outcome, Outcome::Done { units: 0 })).then_some(outcome))
        })
        .await
    }

    async fn is_paused(&self) -> eyre::Result<bool> {
        let paused = format!("{} WHERE state = 'paused'", self.rig.db.own("tidemark_connection"));
        Ok(self.rig.db.count(&paused).await? == 1)
    }

    fn next(&self, forced: ForcedAnswer) {
        self.rig.crm.crm().force_next(forced);
    }

    fn id_of(&self, email: &str) -> eyre::Result<String> {
        let all = self.rig.crm.crm().list(PEOPLE);
        let found = all.iter().find(|record| record.properties.get(self.vendor.email.kept).is_some_and(|own| own == email));
        found.map(|record| record.id.clone()).ok_or_else(|| eyre::eyre!("nobody has {email}"))
    }
}

/// The same with every vendor, at the same time; what went wrong with which.
async fn with_each<F: Future<Output = eyre::Result<()>>>(
    kind: Kind,
    setup: &Setup,
    body: impl Fn(Shop) -> F,
) -> eyre::Result<()> {
    let each = DESCRIBED.iter().map(async |vendor| {
        let shop = Shop::open(kind, vendor, setup.clone()).await?;
        body(shop).await.wrap_err(vendor.connector)
    });
    let wrong: Vec<String> = join_all(each).await.into_iter().filter_map(|one| Some(format!("{:?}", one.err()?))).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

/// Pages of three records.
fn small_pages() -> Setup {
    Setup { instead: &[("overlap = \"5s\"", "overlap = \"5s\"\npage_rows_max = 3")], ..Setup::default() }
}

on_both_databases! {
    async fn what_both_sides_had_before_meets_once(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            shop.vendor.add(&shop.rig.crm.crm(), "ana@acme.test", "Ana")?;
            shop.vendor.add(&shop.rig.crm.crm(), "bo@acme.test", "Bo")?;
            shop.rig.db.run("INSERT INTO customers (email, last_name, phone) VALUES ('bo@acme.test', 'Bo', NULL), ('cy@acme.test', 'Cy', '+49301')").await?;
            shop.agree_on(&[["ana@acme.test", "Ana", ""], ["bo@acme.test", "Bo", ""], ["cy@acme.test", "Cy", "+49301"]]).await
        })
        .await
    }

    async fn edits_and_blanks_arrive_on_the_other_side(kind) {
        with_each(kind, &Setup { contacts: "blanks = \"clear\"", ..Setup::default() }, async |shop| {
            let crm = shop.rig.crm.crm();
            shop.rig.db.run("INSERT INTO customers (email, last_name, phone) VALUES ('ana@acme.test', 'Ana', '+49301'), ('bo@acme.test', 'Bo', '+49302')").await?;
            shop.agree_on(&[["ana@acme.test", "Ana", "+49301"], ["bo@acme.test", "Bo", "+49302"]]).await?;
            let id = shop.id_of("ana@acme.test")?;
            crm.edit(PEOPLE, &id, &[(shop.vendor.phone.kept, "+49309")])?;
            shop.rig.db.run("UPDATE customers SET last_name = 'Bö \"O''Neil\" & Söhne', phone = NULL WHERE email = 'bo@acme.test'").await?;
            shop.agree_on(&[["ana@acme.test", "Ana", "+49309"], ["bo@acme.test", "Bö \"O'Neil\" & Söhne", ""]]).await?;
            crm.edit(PEOPLE, &id, &[(shop.vendor.email.kept, "anna@acme.test")])?;
            shop.agree_on(&[["anna@acme.test", "Ana", "+49309"], ["bo@acme.test", "Bö \"O'Neil\" & Söhne", ""]]).await
        })
        .await
    }

    async fn more_records_of_one_second_than_a_page_holds_all_arrive(kind) {
        with_each(kind, &small_pages(), async |shop| {
            let people: Vec<[String; 3]> = (10..24).map(|at| [format!("p{at}@acme.test"), format!("P{at}"), String::new()]).collect();
            for [email, name, _] in &people {
                shop.vendor.add(&shop.rig.crm.crm(), email, name)?;
            }
            let people: Vec<[&str; 3]> = people.iter().map(|person| person.each_ref().map(String::as_str)).collect();
            shop.agree_on(&people).await?;
            shop.rig.sweep(&shop.stream).await?;
            ensure!(shop.rig.drift().await?.is_empty(), "a sweep found {:?}", shop.rig.drift().await?);
            Ok(())
        })
        .await
    }

    async fn a_delete_on_either_side_reaches_the_other(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            let crm = shop.rig.crm.crm();
            for name in ["ana", "bo", "cy", "di"] {
                shop.vendor.add(&crm, &format!("{name}@acme.test"), name)?;
            }
            shop.rig.settle().await?;
            shop.vendor.remove(&crm, &shop.id_of("ana@acme.test")?)?;
            shop.vendor.remove(&crm, &shop.id_of("bo@acme.test")?)?;
            shop.rig.sweep(&shop.stream).await?;
            shop.rig.read(&shop.stream).await?;
            shop.rig.read(&shop.stream).await?;
            shop.agree_on(&[["cy@acme.test", "cy", ""], ["di@acme.test", "di", ""]]).await?;
            shop.rig.db.run("DELETE FROM customers WHERE email = 'cy@acme.test'").await?;
            shop.agree_on(&[["di@acme.test", "di", ""]]).await
        })
        .await
    }

    async fn a_delete_that_the_crm_tells_of_itself_needs_no_sweep(kind) {
        for vendor in [&SALESFORCE, &ZOHO_CRM, &MAILCHIMP] {
            let shop = Shop::open(kind, vendor, Setup::default()).await?;
            let crm = shop.rig.crm.crm();
            for name in ["ana", "bo", "cy"] {
                vendor.add(&crm, &format!("{name}@acme.test"), name)?;
            }
            shop.rig.settle().await?;
            vendor.remove(&crm, &shop.id_of("ana@acme.test")?)?;
            deadline::until("the delete is told", Duration::from_secs(30), || async {
                shop.rig.settle().await?;
                Ok((shop.customers().await?.len() == 2).then_some(()))
            })
            .await
            .wrap_err(vendor.connector)?;
            shop.agree_on(&[["bo@acme.test", "bo", ""], ["cy@acme.test", "cy", ""]]).await.wrap_err(vendor.connector)?;
            let sweeps = format!("{} WHERE reader = 'sweep'", shop.rig.db.own("tidemark_window"));
            ensure!(shop.rig.db.count(&sweeps).await? == 0, "a sweep was made");
        }
        Ok(())
    }

    async fn an_edit_between_the_read_of_a_push_and_its_write_is_not_overwritten_where_the_crm_guards_it(kind) {
        let shop = Shop::open(kind, &DATAVERSE, Setup::default()).await?;
        let crm = shop.rig.crm.crm();
        shop.rig.db.run("INSERT INTO customers (email, last_name, phone) VALUES ('ana@acme.test', 'Ana', '+49301')").await?;
        shop.agree_on(&[["ana@acme.test", "Ana", "+49301"]]).await?;
        let id = shop.id_of("ana@acme.test")?;
        shop.rig.db.run("UPDATE customers SET phone = '+49302'").await?;
        let asked = || crm.counters().forced;
        let before = asked();
        shop.next(ForcedAnswer { honest: true, delay_ms: 1_500, method: Some("GET".into()), path_contains: "/contacts".into(), ..ForcedAnswer::default() });
        let person = async {
            deadline::until("the record is read", Duration::from_secs(20), || async { Ok((asked() > before).then_some(())) }).await?;
            crm.edit(PEOPLE, &id, &[(shop.vendor.phone.kept, "+49309")])?;
            eyre::Ok(())
        };
        let (pushed, edited) = tokio::join!(shop.rig.push(&shop.stream), person);
        pushed?;
        edited?;
        ensure!(shop.people().await?[0][2] == "+49309", "what the person wrote was overwritten: {:?}", shop.people().await?);
        let specs: Vec<_> = shop.rig.config.streams.iter().collect();
        deadline::until("the conflict is shown", Duration::from_secs(20), || async {
            shop.rig.read(&shop.stream).await?;
            Ok((overview::conflicts(&shop.rig.store, &specs, 100, 0).await?.len() == 1).then_some(()))
        })
        .await?;
        ensure!(shop.people().await?[0][2] == "+49309" && shop.customers().await?[0][2] == "+49302", "both stand until somebody decides");
        Ok(())
    }

    async fn what_a_list_leaves_out_is_read_by_id_once_and_blanks_nothing(kind) {
        let shop = Shop::open(kind, &ZOHO_BOOKS_NOTES, Setup { contacts: "blanks = \"clear\"", ..Setup::default() }).await?;
        let crm = shop.rig.crm.crm();
        shop.vendor.add(&crm, "ana@acme.test", "Ana")?;
        let id = shop.id_of("ana@acme.test")?;
        crm.edit(PEOPLE, &id, &[("notes", "in the list nobody sees this")])?;
        shop.rig.db.run("INSERT INTO customers (email, last_name, phone) VALUES ('ana@acme.test', 'Ana', NULL), ('bo@acme.test', 'Bo', 'as the shop knows')").await?;
        let bo = ["bo@acme.test", "Bo", "as the shop knows"];
        shop.agree_on(&[["ana@acme.test", "Ana", "in the list nobody sees this"], bo]).await?;
        crm.edit(PEOPLE, &id, &[("notes", "nor this")])?;
        shop.agree_on(&[["ana@acme.test", "Ana", "nor this"], bo]).await?;
        // What the list shows goes one way, what it does not show the other.
        shop.rig.db.run("UPDATE customers SET last_name = 'Anna' WHERE email = 'ana@acme.test'").await?;
        crm.edit(PEOPLE, &id, &[("notes", "")])?;
        shop.agree_on(&[["ana@acme.test", "Anna", ""], bo]).await?;
        let by_id = || crm.calls().iter().filter(|call| call.method == "GET" && call.path.contains("/contacts/")).count();
        let before = by_id();
        shop.rig.sweep_alone(&shop.stream).await?;
        shop.rig.read(&shop.stream).await?;
        ensure!(by_id() == before, "a sweep reads nobody by id whose list says nothing new");
        ensure!(shop.rig.drift().await?.is_empty(), "{:?}", shop.rig.drift().await?);
        let compared = shop.rig.agree().await?;
        ensure!(compared.iter().all(|stream| stream.pairs == 2 && stream.agree == 6 && stream.differ == 0), "{compared:?}");
        ensure!(by_id() == before + 2, "a report says nothing of what it did not read");
        shop.agree_on(&[["ana@acme.test", "Anna", ""], bo]).await
    }

    async fn a_check_says_which_properties_take_calls_of_their_own(kind) {
        let rig = Rig::with(kind, Setup { vendor: Some(&ZOHO_BOOKS_NOTES), ..Setup::default() }).await?;
        let here = tempfile::TempDir::new()?;
        std::fs::write(here.path().join("tidemark.toml"), &rig.text)?;
        let ended = run(command(here.path(), &[("CRM_TOKEN", tidemark_tests::TOKEN)], &["check"])?, Duration::from_secs(60)).await?;
        let note = "note  crm.contacts: zoho-books shows notes of contacts by id alone, in no list";
        ensure!(ended.code == Some(0) && ended.stdout.contains(note), "{ended:?}");
        Ok(())
    }

    async fn a_day_is_counted_in_the_vendors_own_unit(kind) {
        let shop = Shop::open(kind, &PIPEDRIVE, Setup::default()).await?;
        let crm = shop.rig.crm.crm();
        PIPEDRIVE.add(&crm, "ana@acme.test", "Ana")?;
        shop.rig.db.run("INSERT INTO customers (email, last_name) VALUES ('bo@acme.test', 'Bo')").await?;
        shop.rig.settle().await?;
        shop.rig.db.run("UPDATE customers SET last_name = 'Bob' WHERE email = 'bo@acme.test'").await?;
        shop.rig.db.run("DELETE FROM customers WHERE email = 'ana@acme.test'").await?;
        shop.agree_on(&[["bo@acme.test", "Bob", ""]]).await?;
        let url = format!("{}/api/v2/persons", shop.rig.crm.base_url());
        let answer = reqwest::Client::new().get(url).header("x-api-token", tidemark_tests::TOKEN).send().await?;
        let told = |part: &str| eyre::Ok(answer.headers()[format!("x-daily-ratelimit-token-{part}")].to_str()?.parse::<i64>()?);
        // This look at it was a page, too.
        let (spent, page) = (told("limit")? - told("remaining")?, 10);
        let booked = tidemark_store::budget::spent_today(&shop.rig.store, "crm").await?;
        let calls = crm.counters().by_endpoint;
        ensure!(booked == spent - page, "{booked} are booked, {} were spent: {calls:?}", spent - page);
        Ok(())
    }

    async fn a_throttle_in_any_shape_is_waited_out_and_pauses_nothing(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            for shape in shop.rig.crm.crm().throttles() {
                let (name, shape) = (shape.replace(' ', "-").to_lowercase(), Some((*shape).to_owned()));
                let email = format!("{name}@acme.test");
                shop.vendor.add(&shop.rig.crm.crm(), &email, "Ana")?;
                shop.next(ForcedAnswer { shape: shape.clone(), times: 1, ..ForcedAnswer::default() });
                let outcome = shop.poll().await?;
                ensure!(matches!(outcome, Outcome::Deferred(_)), "{shape:?}: {outcome:?}");
                ensure!(!shop.is_paused().await?, "{shape:?} paused the connection");
                shop.rig.settle().await?;
                shop.rig.db.run(&format!("UPDATE customers SET last_name = 'Bo' WHERE email = '{email}'")).await?;
                shop.next(ForcedAnswer { shape: shape.clone(), times: 2, ..ForcedAnswer::default() });
                shop.rig.settle().await?;
                ensure!(!shop.is_paused().await?, "{shape:?} paused the connection");
                let people = shop.people().await?;
                ensure!(people.iter().any(|person| person[0] == email && person[1] == "Bo"), "{shape:?}: {people:?}");
            }
            Ok(())
        })
        .await
    }

    async fn dead_credentials_pause_the_connection_and_new_ones_lose_nothing(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            let crm = shop.rig.crm.crm();
            shop.vendor.add(&crm, "ana@acme.test", "Ana")?;
            shop.rig.settle().await?;
            crm.set_token(Some("another".into()));
            shop.vendor.add(&crm, "bo@acme.test", "Bo")?;
            shop.rig.db.run("UPDATE customers SET last_name = 'Anna'").await?;
            let mut polls = 0;
            while !shop.is_paused().await? {
                polls += 1;
                ensure!(polls < 5, "nothing pauses the connection");
                shop.poll().await?;
            }
            let calls = crm.counters().unauthenticated;
            shop.rig.poll(&shop.stream).await?;
            shop.rig.push(&shop.stream).await?;
            ensure!(crm.counters().unauthenticated == calls, "a paused connection is called");
            crm.set_token(Some(tidemark_tests::TOKEN.into()));
            tidemark_store::connections::set_state(&shop.rig.store, "crm", "running", None).await?;
            shop.agree_on(&[["ana@acme.test", "Anna", ""], ["bo@acme.test", "Bo", ""]]).await
        })
        .await
    }

    async fn a_wrong_key_is_tried_once_by_everything_that_is_due(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            let crm = shop.rig.crm.crm();
            shop.rig.db.run("INSERT INTO customers (email, last_name) VALUES ('ana@acme.test', 'Ana')").await?;
            crm.set_token(Some("another".into()));
            shop.rig.all_at_once(&shop.rig.second_worker().await?).await?;
            ensure!(crm.calls().len() == 1, "{:?}", crm.calls());
            ensure!(shop.is_paused().await?, "nothing pauses the connection");
            Ok(())
        })
        .await
    }

    async fn a_refused_connection_is_probed_rarely_and_goes_on_by_itself(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            let crm = shop.rig.crm.crm();
            shop.vendor.add(&crm, "ana@acme.test", "Ana")?;
            shop.rig.settle().await?;
            let second = shop.rig.second_worker().await?;
            crm.set_token(Some("another".into()));
            shop.vendor.add(&crm, "bo@acme.test", "Bo")?;
            deadline::until("the connection is paused", Duration::from_secs(20), || async {
                shop.poll().await?;
                Ok(shop.is_paused().await?.then_some(()))
            })
            .await?;
            let before = crm.calls().len();
            tidemark_worker::probe_once(&shop.rig.ctx).await?;
            ensure!(crm.calls().len() == before, "it is probed although its hour is not over");
            shop.rig.probe_due("crm").await?;
            let (one, two) = tokio::join!(tidemark_worker::probe_once(&shop.rig.ctx), tidemark_worker::probe_once(&second));
            ensure!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
            ensure!(crm.calls().len() == before + 1, "a probe is one call by all: {:?}", &crm.calls()[before..]);
            ensure!(shop.is_paused().await?, "it goes on with a refused key");
            crm.set_token(Some(tidemark_tests::TOKEN.into()));
            shop.rig.probe_due("crm").await?;
            tidemark_worker::probe_once(&shop.rig.ctx).await?;
            ensure!(!shop.is_paused().await?, "it stays paused though its key is good");
            shop.agree_on(&[["ana@acme.test", "Ana", ""], ["bo@acme.test", "Bo", ""]]).await?;
            // What a person has paused is theirs.
            tidemark_store::connections::set_state(&shop.rig.store, "crm", "paused", Some("by ana")).await?;
            let before = crm.calls().len();
            tidemark_worker::probe_once(&shop.rig.ctx).await?;
            let row = tidemark_store::connections::list(&shop.rig.store).await?.remove(0);
            ensure!(row.probe_in.is_none() && crm.calls().len() == before && shop.is_paused().await?, "{row:?}");
            Ok(())
        })
        .await
    }

    async fn a_create_whose_answer_was_lost_makes_nothing_twice(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            shop.rig.settle().await?;
            let (method, path) = shop.vendor.makes;
            shop.next(ForcedAnswer { method: Some(method.into()), path_contains: path.into(), applies: true, dropped: true, ..ForcedAnswer::default() });
            shop.rig.db.run("INSERT INTO customers (email, last_name) VALUES ('ana@acme.test', 'Ana')").await?;
            shop.rig.push(&shop.stream).await?;
            ensure!(shop.people().await?.len() == 1, "the create was to be lost after it was done: {:?}", shop.people().await?);
            shop.agree_on(&[["ana@acme.test", "Ana", ""]]).await?;
            ensure!(shop.rig.crm.crm().list(PEOPLE).len() == 1, "made twice");
            Ok(())
        })
        .await
    }

    async fn an_error_that_looks_like_a_page_reads_nothing_and_passes_nothing(kind) {
        with_each(kind, &Setup::default(), async |shop| {
            let crm = shop.rig.crm.crm();
            shop.vendor.add(&crm, "ana@acme.test", "Ana")?;
            shop.rig.settle().await?;
            let bodies = [serde_json::json!({}), serde_json::json!([]), serde_json::json!({ "success": false, "data": [] }), "<html>Sign in</html>".into()];
            let bodies = bodies.iter().filter(|body| shop.vendor.connector == PIPEDRIVE.connector || body.get("success").is_none());
            shop.vendor.add(&crm, "bo@acme.test", "Bo")?;
            for body in bodies {
                shop.next(ForcedAnswer { status: 200, body: body.clone(), path_contains: shop.vendor.lists.into(), ..ForcedAnswer::default() });
                let outcome = shop.poll().await?;
                ensure!(matches!(outcome, Outcome::Deferred(_)), "{body}: {outcome:?}");
            }
            shop.agree_on(&[["ana@acme.test", "Ana", ""], ["bo@acme.test", "Bo", ""]]).await
        })
        .await
    }

    async fn broken_answers_lose_nothing_and_double_nothing(kind) {
        with_each(kind, &small_pages(), async |shop| {
            let crm = shop.rig.crm.crm();
            for at in 10..18 {
                shop.vendor.add(&crm, &format!("p{at}@acme.test"), "P")?;
            }
            let rough = Weather { error_5xx: 0.1, html_error: 0.05, truncated: 0.1, lost_answer: 0.1, ..crm.weather() };
            crm.set_weather(rough.clone());
            shop.rig.db.run("INSERT INTO customers (email, last_name) VALUES ('q1@acme.test', 'Q'), ('q2@acme.test', 'Q'), ('q3@acme.test', 'Q')").await?;
            for _ in 0..3 {
                shop.poll().await?;
                shop.rig.debts_due(&shop.stream).await?;
                shop.rig.push(&shop.stream).await?;
                shop.rig.read(&shop.stream).await?;
            }
            crm.set_weather(Weather { error_5xx: 0.0, html_error: 0.0, truncated: 0.0, lost_answer: 0.0, ..rough });
            shop.rig.settle().await?;
            ensure!(shop.people().await?.len() == 11 && shop.customers().await?.len() == 11, "{:?}", shop.people().await?);
            Ok(())
        })
        .await
    }

    async fn a_worn_session_is_renewed_without_anybody(kind) {
        let shop = Shop::open(kind, &SALESFORCE, Setup::default()).await?;
        let crm = shop.rig.crm.crm();
        SALESFORCE.add(&crm, "ana@acme.test", "Ana")?;
        shop.rig.settle().await?;
        for name in ["bo", "cy"] {
            crm.expire_access_tokens();
            SALESFORCE.add(&crm, &format!("{name}@acme.test"), "X")?;
            shop.rig.settle().await?;
        }
        if shop.is_paused().await? {
            bail!("a session that wore out is no reason to stop");
        }
        assert_eq!(shop.customers().await?.len(), 3);
        Ok(())
    }
}
