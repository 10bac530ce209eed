//! The command as a stranger meets it: wrong settings end in words that name the thing, the place and the remedy.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use eyre::{OptionExt, WrapErr};
use serde_json::{Value, json};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_queue::{Queue, QueueConfig};
use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_sandbox::{Sandbox, SandboxConfig};
use tidemark_tests::deadline::until;
use tidemark_tests::{Kind, OrderDatabase, Rig, TOKEN, on_both_databases, processes};

struct Place {
    db: OrderDatabase,
    crm: Sandbox,
}

impl Place {
    async fn new(kind: Kind) -> eyre::Result<Self> {
        let crm = Sandbox::start(SandboxConfig { token: TOKEN.to_owned(), ..SandboxConfig::default() }).await?;
        Ok(Self { db: OrderDatabase::create(kind).await?, crm })
    }

    fn configuration(&self) -> String {
        format!(
            r#"[database]
url = "{}"

[connections.hubspot]
connector = "hubspot"
environment = "sandbox"
base_url = "{}"
secret.token = {{ env = "HUBSPOT_TOKEN" }}

[[connections.hubspot.streams]]
object = "contacts"
table = "customers"
key = "id"
direction = "both"
external_key = "tidemark_key"
match_on = ["email"]

[connections.hubspot.streams.fields]
email = {{ column = "email", owner = "crm" }}
firstname = {{ column = "first_name", owner = "orders" }}
"#,
            self.db.url,
            self.crm.base_url()
        )
    }

    /// Tables and triggers of ours.
    async fn installed(&self) -> eyre::Result<i64> {
        let from = match self.db.kind {
            Kind::Sqlite => "sqlite_master WHERE name LIKE 'tidemark%'",
            Kind::Postgres => {
                "(SELECT tablename FROM pg_tables WHERE schemaname = 'tidemark' UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'tidemark%') t"
            }
        };
        self.db.count(from).await
    }

    /// Runs the command with this configuration, less or more of the environment.
    fn run(&self, configuration: &str, args: &[&str], env: &[(&str, &str)]) -> eyre::Result<Said> {
        let file = self.db.folder.path().join("tidemark.toml");
        std::fs::write(&file, configuration)?;
        run(&file, args, env)
    }
}

struct Said {
    code: Option<i32>,
    text: String,
}

fn run(file: &Path, args: &[&str], env: &[(&str, &str)]) -> eyre::Result<Said> {
    let mut command = Command::new(processes::binary()?);
    // Beside its file, so that what a command makes goes with the test.
    command.current_dir(file.parent().ok_or_eyre("a file without a folder")?);
    command.arg("--config").arg(file).args(args).env("HUBSPOT_TOKEN", TOKEN).envs(env.iter().copied());
    let Output { status, stdout, stderr } = command.output().wrap_err("the command did not start")?;
    Ok(Said { code: status.code(), text: String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr) })
}

#[track_caller]
fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.text);
    for word in words {
        assert!(said.text.contains(word), "{word:?} is missing in:\n{}", said.text);
    }
}

on_both_databases! {
    async fn a_new_stream_stands_at_plan_ready_until_someone_says_go(kind) {
        let place = Place::new(kind).await?;
        let config = place.configuration();
        says(&place.run(&config, &["up"], &[])?, 1, &["tidemark migrate"]);
        says(&place.run(&config, &["migrate", "--plan"], &[])?, 0, &["CREATE TABLE tidemark_link", "TRIGGER \"tidemark_customers_insert\""]);
        assert_eq!(place.installed().await?, 0, "a plan changes nothing");
        says(&place.run(&config, &["migrate"], &[])?, 0, &["captured", "tidemark resume"]);
        says(&place.run(&config, &["status"], &[])?, 0, &["hubspot.contacts", "plan_ready"]);
        says(&place.run(&config, &["resume", "hubspot.contacts"], &[])?, 0, &["runs"]);
        says(&place.run(&config, &["pause", "hubspot", "--reason", "quarter end"], &[])?, 0, &["paused"]);
        says(&place.run(&config, &["status", "--json"], &[])?, 0, &["quarter end"]);
        says(&place.run(&config, &["resume", "nobody"], &[])?, 1, &["nobody", "hubspot.contacts"]);
        Ok(())
    }

    async fn a_column_that_is_not_there_is_refused_before_anything_is_installed(kind) {
        let place = Place::new(kind).await?;
        let config = place.configuration();
        let wrong = config.replace("\"first_name\"", "\"firstname\"");
        let words = ["column firstname of", "customers", "hubspot.contacts", "did you mean first_name?"];
        says(&place.run(&wrong, &["migrate", "--plan"], &[])?, 1, &words);
        says(&place.run(&wrong, &["migrate"], &[])?, 1, &words);
        says(&place.run(&config.replace("key = \"id\"", "key = \"nr\""), &["migrate"], &[])?, 1, &["column nr of", "it has id, email"]);
        assert_eq!(place.installed().await?, 0, "no table, no trigger");

        // The mapping goes wrong later: processes do not start with it, and what is installed stays as it was.
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        let before = place.installed().await?;
        for verb in ["up", "migrate", "agree"] {
            says(&place.run(&wrong, &[verb], &[])?, 1, &words);
        }
        assert_eq!(place.installed().await?, before);
        place.db.run("INSERT INTO customers (email, first_name) VALUES ('ana@acme.test', 'Ana')").await?;
        place.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        assert_eq!(place.db.count(&place.db.own("tidemark_change")).await?, 2, "the shop goes on and is captured");
        Ok(())
    }

    async fn migrate_leaves_the_order_tables_as_they_were_but_for_its_triggers(kind) {
        let place = Place::new(kind).await?;
        place.db.run("INSERT INTO customers (email, first_name) VALUES ('ana@acme.test', 'Ana')").await?;
        // The shop's own trigger and rights are its own affair.
        place.db.run(match kind {
            Kind::Sqlite => "CREATE TRIGGER shop AFTER UPDATE ON orders BEGIN SELECT 1; END",
            Kind::Postgres => "CREATE FUNCTION shop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER shop AFTER UPDATE ON orders EXECUTE FUNCTION shop();
                GRANT SELECT ON customers TO PUBLIC",
        }).await?;
        let before = schema(&place.db).await?;
        let config = place.configuration();
        for _ in 0..2 {
            says(&place.run(&config, &["migrate"], &[])?, 0, &["captured"]);
            let after = schema(&place.db).await?;
            let (ours, rest): (Vec<_>, Vec<_>) = after.into_iter().partition(|line| line[0].as_deref().is_some_and(|kind| kind == "trigger") && line[1].as_deref().is_some_and(|name| name.starts_with("tidemark_customers_")));
            assert_eq!(rest, before);
            assert_eq!(ours.len(), 4, "{ours:?}");
        }
        Ok(())
    }

    async fn check_finds_what_would_fail_and_says_what_to_do(kind) {
        let place = Place::new(kind).await?;
        let config = place.configuration();
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        says(&place.run(&config, &["check"], &[])?, 2, &["tidemark_key", "check --fix"]);
        says(&place.run(&config, &["check", "--fix"], &[])?, 0, &["made the unique property"]);
        says(&place.run(&config, &["check"], &[])?, 0, &["fits the mapping"]);

        says(&place.run(&config.replace("\"customers\"", "\"custmers\""), &["check"], &[])?, 2, &["there is no table", "custmers"]);
        says(&place.run(&config.replace("\"first_name\"", "\"firstname\""), &["check"], &[])?, 2, &["no column firstname", "did you mean first_name"]);
        says(&place.run(&config.replace("firstname =", "frstname ="), &["check"], &[])?, 2, &["no property frstname"]);
        says(&place.run(&config, &["check"], &[("HUBSPOT_TOKEN", "wrong")])?, 2, &["check the token"]);
        let schema = if kind == Kind::Postgres { "public." } else { "" };
        place.db.run(&format!("CREATE TABLE {schema}strict (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, must_have TEXT NOT NULL)")).await?;
        says(&place.run(&config.replace("\"customers\"", "\"strict\""), &["check"], &[])?, 2, &["strict.must_have is NOT NULL", "update_only"]);
        Ok(())
    }

    async fn check_predicts_which_field_will_not_fit(kind) {
        let place = Place::new(kind).await?;
        for column in ["visits INTEGER", "wants_mail BOOLEAN", "born DATE", "budget TEXT"] {
            place.db.run(&format!("ALTER TABLE customers ADD COLUMN {column}")).await?;
        }
        let config = place.configuration();
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        says(&place.run(&config, &["check", "--fix"], &[])?, 0, &[]);
        for name in ["budget", "score"] {
            let made = json!({ "name": name, "label": name, "type": "number", "fieldType": "number", "groupName": "contactinformation" });
            let url = format!("{}/crm/v3/properties/contacts", place.crm.base_url());
            reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&made).send().await?.error_for_status()?;
        }
        let customers = if kind == Kind::Postgres { "public.customers" } else { "customers" };
        let map = |field: &str| config.replace("[connections.hubspot.streams.fields]\n", &format!("[connections.hubspot.streams.fields]\n{field}\n"));
        // Read first, because a mapping that is new to capture is an error of its own.
        let check = |field: &str| -> eyre::Result<Said> {
            let config = map(field);
            says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
            place.run(&config, &["check"], &[])
        };
        for (field, between, why, remedy) in [
            ("budget = { column = \"budget\", as = \"date\" }", "budget (number) and", "the property holds no dates", "map it to another property, or correct `as`"),
            ("lifecyclestage = \"visits\"", "lifecyclestage (choice) and", "none of its options is a value of this column", "write map = { … }"),
            ("score = { column = \"born\", as = \"integer\" }", "score (number) and", "the column holds no numbers", "map it to another column"),
            ("jobtitle = { column = \"visits\", map = { boss = \"Boss\" } }", "jobtitle (text) and", "words of the map are no values of this column", "left side"),
        ] {
            let said = check(field)?;
            says(&said, 2, &["error hubspot.contacts: ", between, customers, " do not fit: ", why, remedy]);
            assert_eq!(said.text.matches("do not fit").count(), 1, "the other fields are not blamed:\n{}", said.text);
        }
        let doubtful = check("jobtitle = \"visits\"")?;
        says(&doubtful, 0, &["note  hubspot.contacts: jobtitle (text) and", "do not fit", "say how to read it with `as`"]);
        let fine = check("jobtitle = { column = \"wants_mail\", as = \"bool\" }\ncity = { column = \"born\", as = \"date\" }\nscore = { column = \"visits\", as = \"integer\" }")?;
        says(&fine, 0, &["contacts fits the mapping"]);
        assert!(!fine.text.contains("do not fit"), "{}", fine.text);
        Ok(())
    }

    async fn check_leaves_a_waiting_queue_as_it_is(kind) {
        let place = Place::new(kind).await?;
        let config = place.configuration();
        let folder = place.db.folder.path();
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        // On both databases the embedded queue's file is in this folder.
        says(&place.run(&config, &["check", "--fix"], &[])?, 0, &["queue: its file can be written"]);
        let queue_files = |folder: &Path| -> eyre::Result<Vec<(String, Vec<u8>)>> {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("tidemark-queue") || name.starts_with(".tidemark") {
                    files.push((name, std::fs::read(entry.path())?));
                }
            }
            files.sort();
            Ok(files)
        };
        assert_eq!(queue_files(folder)?, [], "nothing is made");

        let hints: Vec<Hint> = (0..25).map(|stream| Hint { kind: HintKind::Poll, stream }).collect();
        let queue = Queue::connect(&QueueConfig::Embedded { file: folder.join("tidemark-queue.db") }).await?;
        queue.push(&hints).await?;
        let before = queue_files(folder)?;
        assert!(before.iter().any(|(name, bytes)| name == "tidemark-queue.db-wal" && !bytes.is_empty()), "hints wait");
        for args in [&["check"][..], &["status", "--ping"]] {
            says(&place.run(&config, args, &[])?, 0, &[]);
            assert!(queue_files(folder)? == before, "{args:?} changed the queue of a running service");
        }
        assert_eq!(queue.depth().await?.waiting, 25);
        // A service that was killed leaves its hints behind, and no lock.
        let left = folder.join("left");
        std::fs::create_dir(&left)?;
        for (name, bytes) in &before {
            std::fs::write(left.join(name), bytes)?;
        }
        let url = left.join("tidemark-queue.db");
        let url = url.to_str().ok_or_eyre("a strange name")?;
        says(&place.run(&config, &["check"], &[("TIDEMARK__QUEUE__URL", url)])?, 0, &["queue: its file can be written"]);
        assert!(queue_files(&left)? == before, "check changed a queue that nobody holds");

        std::fs::write(folder.join("file"), "")?;
        let below = folder.join("file").join("queue.db");
        let below = below.to_str().ok_or_eyre("a strange name")?;
        says(&place.run(&config, &["check"], &[("TIDEMARK__QUEUE__URL", below)])?, 2, &["error queue: ", below, "a folder that can be written"]);
        Ok(())
    }

    async fn agree_sorts_every_field_into_three_groups_and_names_what_differs(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '030 12', '2026-01-01 00:00:00'),
            ('secret@acme.test', 'Not', '1', NULL)").await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 1250), ('R-2', 1, 'draft', 1)").await?;
        rig.crm.crm().create(Deals, &[("dealname", "Lead")])?;
        rig.settle().await?;
        let file = rig.db.folder.path().join("tidemark.toml");
        std::fs::write(&file, &rig.text)?;
        let said = run(&file, &["agree", "--json"], &[])?;
        says(&said, 0, &[]);
        let report: Value = serde_json::from_str(&said.text)?;
        let groups = |report: &Value, at: usize| ["pairs", "agree", "decided", "differ"].map(|group| report["streams"][at][group].as_u64());
        assert_eq!(report["agree"], true);
        assert_eq!((report["streams"][0]["stream"].as_str(), groups(&report, 0)), (Some("hubspot.contacts"), [Some(1), Some(4), Some(2), Some(0)]));
        assert_eq!(report["streams"][0]["decided_reasons"], json!({ "altered by the CRM": 1, "send_when does not hold": 1 }));
        assert_eq!((report["streams"][1]["stream"].as_str(), groups(&report, 1)), (Some("hubspot.deals"), [Some(1), Some(4), Some(2), Some(0)]));
        assert_eq!(report["streams"][1]["decided_reasons"], json!({ "send_when does not hold": 1, "the stream does not write rows": 1 }));
        says(&run(&file, &["agree"], &[])?, 0, &["4 fields agree, 2 decided to differ, 0 differ", "altered by the CRM", "Both sides agree."]);

        // Nobody has read these yet: a value of one record, and a record the order system never had.
        let id = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 1").await?.ok_or_eyre("no id")?;
        rig.crm.crm().edit(Contacts, &id, &[("company", "Planted")])?;
        let lone = rig.crm.crm().create(Contacts, &[("email", "lone@acme.test")])?;
        let said = run(&file, &["agree", "--json"], &[])?;
        says(&said, 2, &[]);
        let report: Value = serde_json::from_str(&said.text)?;
        assert_eq!((&report["agree"], groups(&report, 0)), (&Value::Bool(false), [Some(1), Some(3), Some(2), Some(2)]));
        assert_eq!(groups(&report, 1)[3], Some(0), "the other stream is not blamed");
        let mut differences = report["streams"][0]["differences"].as_array().cloned().ok_or_eyre("no list")?;
        differences.sort_by_key(|one| one["field"].is_null());
        assert_eq!(differences, [
            json!({ "stream": "hubspot.contacts", "row": "1", "record": id, "field": "company", "record_value": "Planted", "reason": "changed since it was last agreed" }),
            json!({ "stream": "hubspot.contacts", "row": null, "record": lone, "field": null, "reason": "not in the order database yet" }),
        ]);
        let (pair, alone) = (format!("row 1 ↔ record {id} company: \"\" ↔ \"Planted\""), format!("record {lone}  (not in the order database yet)"));
        says(&run(&file, &["agree"], &[])?, 2, &[&pair, &alone, "altered by the CRM", "The sides differ."]);
        says(&run(&file, &["agree", "hubspot.deals"], &[])?, 0, &["hubspot.deals", "Both sides agree."]);
        says(&run(&file, &["agree", "hubspot.nothing"], &[])?, 1, &["hubspot.nothing", "hubspot.contacts"]);
        Ok(())
    }

    async fn heavy_a_running_service_says_within_a_tick_that_a_trigger_is_gone(kind) {
        let place = Place::new(kind).await?;
        let config = format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", place.configuration());
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        let folder = place.db.folder.path();
        let mut up = processes::Service::start("up", folder, &[("HUBSPOT_TOKEN", TOKEN)], &["--config", "tidemark.toml", "up"])?;
        let status = |words: &'static str| {
            let place = &place;
            let config = &config;
            move || std::future::ready(place.run(config, &["status", "--json"], &[]).map(|said| said.text.contains(words).then_some(())))
        };
        let patience = Duration::from_secs(30);
        until("capture was looked at", patience, status("\"capture\": \"installed\"")).await?;
        let table = if kind == Kind::Postgres { " ON customers" } else { "" };
        place.db.run(&format!("DROP TRIGGER tidemark_customers_delete{table}")).await?;
        until("the loss is noticed", patience, status("\"capture\": \"missing\"")).await?;
        says(&place.run(&config, &["status"], &[])?, 0, &["capture triggers on", "run `tidemark migrate`"]);
        let log = up.tail();
        assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("is lost")), "{log}");
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        says(&place.run(&config, &["status", "--json"], &[])?, 0, &["\"capture\": \"installed\""]);
        let (ended, _) = up.terminate(Duration::from_secs(20)).await?;
        assert_eq!(ended.code(), Some(0), "{}", up.tail());
        Ok(())
    }

    async fn a_conflict_is_listed_and_decided_on_the_command_line(kind) {
        let place = Place::new(kind).await?;
        let config = place.configuration();
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        says(&place.run(&config, &["conflicts"], &[])?, 0, &["Nothing waits for a decision."]);
        let (links, streams) = (place.db.own("tidemark_link"), place.db.own("tidemark_stream"));
        for (row, record) in [(7, 70), (8, 80)] {
            place.db.run(&format!("INSERT INTO {links} (stream_id, row_key, remote_id, state, open_since, base) SELECT id, '{row}', '{record}', 'linked', 1,
                '{{\"firstname\":[\"Ana\",\"Anna\",{{\"conflict\":[\"A\",\"A\"],\"since\":1772359863000}}]}}' FROM {streams}")).await?;
        }
        let listed = ["row 7 ↔ record 70  firstname", "agreed   \"A\"", "row      \"Ana\"", "record   \"Anna\"", "2026-03-01 10:11:03 UTC",
            "tidemark resolve hubspot.contacts 7 firstname --take orders|crm"];
        says(&place.run(&config, &["conflicts", "hubspot.contacts"], &[])?, 0, &listed);
        says(&place.run(&config, &["conflicts", "--json"], &[])?, 0, &["\"record_value\": \"Anna\""]);
        says(&place.run(&config, &["conflicts", "hubspot.contcts"], &[])?, 1, &["no stream hubspot.contcts", "hubspot.contacts"]);
        says(&place.run(&config, &["resolve", "hubspot.contacts", "7", "firstname", "--take", "crm"], &[])?, 0, &["the CRM's value stands", "read"]);
        says(&place.run(&config, &["resolve", "hubspot.contacts", "7", "first_name", "--take", "crm"], &[])?, 1, &["nothing waits for a decision there"]);
        says(&place.run(&config, &["resolve", "hubspot.contacts", "7", "name", "--take", "crm"], &[])?, 1, &["maps no field name", "firstname"]);
        says(&place.run(&config, &["resolve", "hubspot.contacts", "--all", "firstname", "--take", "orders"], &[])?, 0, &["the order database's value stands"]);
        says(&place.run(&config, &["conflicts"], &[])?, 0, &["Nothing waits for a decision."]);
        let debts = place.db.rows(&format!("SELECT kind, subject FROM {} ORDER BY id", place.db.own("tidemark_debt"))).await?;
        assert_eq!(debts, [["read", "70"], ["push", "8"]].map(|debt| debt.map(|text| Some(text.to_owned()))));
        Ok(())
    }

    async fn what_cannot_be_reached_is_named_without_its_password(kind) {
        let place = Place::new(kind).await?;
        let config = place.configuration();
        let nowhere = config.replace(&place.db.url, "postgres://me:s3cret@127.0.0.1:9/orders");
        let said = place.run(&nowhere, &["status"], &[])?;
        says(&said, 1, &["127.0.0.1:9/orders"]);
        assert!(!said.text.contains("s3cret"));
        says(&place.run(&config, &["migrate"], &[])?, 0, &[]);
        let said = place.run(&config, &["check"], &[("TIDEMARK__QUEUE__URL", "redis://default:s3cret@127.0.0.1:9/0")])?;
        says(&said, 2, &["127.0.0.1:9"]);
        assert!(!said.text.contains("s3cret"));
        says(&place.run(&config.replace(&place.crm.base_url(), "http://127.0.0.1:9"), &["check"], &[])?, 2, &["can be reached"]);
        Ok(())
    }
}

/// All that makes up the two order tables, and their rows: what kind of thing, its name, its definition.
async fn schema(db: &OrderDatabase) -> eyre::Result<Vec<Vec<Option<String>>>> {
    let sql = match db.kind {
        Kind::Sqlite => "SELECT type, name, sql FROM sqlite_master WHERE tbl_name IN ('customers', 'orders') UNION ALL SELECT 'row', CAST(id AS TEXT), email FROM customers ORDER BY 1, 2",
        Kind::Postgres => "WITH t AS (SELECT * FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r')
            SELECT 'table', relname::text, concat_ws(' ', relowner, relacl, reloptions, relpersistence, relrowsecurity, relreplident) FROM t UNION ALL
            SELECT 'column', t.relname || '.' || attname, concat_ws(' ', attnum, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attacl, pg_get_expr(adbin, adrelid))
                FROM t JOIN pg_attribute a ON a.attrelid = t.oid LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = attnum WHERE attnum > 0 UNION ALL
            SELECT 'constraint', conname::text, pg_get_constraintdef(p.oid) FROM t JOIN pg_constraint p ON p.conrelid = t.oid UNION ALL
            SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public' UNION ALL
            SELECT 'trigger', tgname::text, pg_get_triggerdef(g.oid) FROM t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT tgisinternal UNION ALL
            SELECT 'rule', rulename::text, definition FROM pg_rules WHERE schemaname = 'public' UNION ALL
            SELECT 'row', xmin::text, c::text FROM customers c ORDER BY 1, 2",
    };
    db.rows(sql).await
}

#[tokio::test]
async fn a_wrong_configuration_names_key_line_and_remedy() -> eyre::Result<()> {
    let place = Place::new(Kind::Sqlite).await?;
    let config = place.configuration();
    says(
        &place.run(&config.replace("direction = \"both\"", "direction = \"sideways\""), &["check"], &[])?,
        1,
        &["tidemark.toml:14", "direction", "both"],
    );
    says(&place.run(&config.replace("match_on", "mach_on"), &["check"], &[])?, 1, &["mach_on", "match_on"]);
    says(
        &place.run(&config.replace("{ env = \"HUBSPOT_TOKEN\" }", "\"pat-eu1-secret\""), &["check"], &[])?,
        1,
        &["secret", "env"],
    );
    let missing = place.db.folder.path().join("nothing.toml");
    says(&run(&missing, &["check"], &[])?, 1, &["nothing.toml"]);
    Ok(())
}
