//! `tidemark connector new` and `test`, as somebody meets them who writes a connector: by the documents alone, in front of a practice CRM and in front of a stranger's.

use std::time::Duration;

use eyre::{OptionExt, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tidemark_sandbox::{Dialect, Sandbox, SandboxConfig, Weather};
use tidemark_tests::TOKEN;
use tidemark_tests::processes::{Ended, command, run};
use tidemark_tests::vendor::PEOPLE;

const DOCUMENT: &str = include_str!("../../../docs/connectors.md");
const PIPEDRIVE: &str = include_str!("../../../connectors/pipedrive.toml");
const FILE: &str = "acme-crm.toml";
/// A shop that knows which account it means.
const SHOP: &str = r#"
[database]
url = "sqlite:orders.db"
[connections.acme]
connector = "acme-crm"
environment = "sandbox"
account = "7"
secret.token = { env = "CRM_TOKEN" }
[[connections.acme.streams]]
object = "persons"
table = "customers"
key = "id"
direction = "in"
fields = { name = { column = "name", owner = "crm" } }
"#;

async fn tidemark(here: &TempDir, args: &[&str]) -> eyre::Result<Ended> {
    run(command(here.path(), &[("CRM_TOKEN", TOKEN)], args)?, Duration::from_secs(120)).await
}

async fn pipedrive(control: bool) -> eyre::Result<Sandbox> {
    let config = SandboxConfig { dialect: Dialect::Pipedrive, token: TOKEN.to_owned(), control, ..SandboxConfig::default() };
    Ok(Sandbox::start(config).await?)
}

/// Tries the file, with what every try of these tests says.
async fn attempt(here: &TempDir, against: &str, more: &[&str]) -> eyre::Result<Ended> {
    let usual = ["--secret", "token=CRM_TOKEN", "--object", "persons", "--email", "email", "--name", "name", "--phone", "phone"];
    tidemark(here, &[&["connector", "test", FILE, "--against", against], &usual[..], more].concat()).await
}

fn outcomes(ended: &Ended) -> eyre::Result<Vec<(String, String)>> {
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let rows = told["cases"].as_array().ok_or_eyre("no cases")?;
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| (text(row, "case"), text(row, "outcome"))).collect())
}

fn of(outcomes: &[(String, String)], outcome: &str) -> Vec<String> {
    outcomes.iter().filter(|(_, own)| own == outcome).map(|(case, _)| case.clone()).collect()
}

/// Pipedrive's file under another name, with something else in it.
fn changed(here: &TempDir, changes: &[(&str, &str)]) -> eyre::Result<String> {
    let mut text = PIPEDRIVE.replacen("name = \"pipedrive\"", "name = \"acme-crm\"", 1).replace("{config.company}", "acme");
    text = text.replacen("[config.company]\nabout = \"the company's domain: acme in acme.pipedrive.com\"\n", "", 1);
    for (from, to) in changes {
        ensure!(text.contains(from), "the file does not say {from}");
        text = text.replace(from, to);
    }
    std::fs::write(here.path().join(FILE), &text)?;
    Ok(text)
}

fn line(text: &str, part: &str) -> eyre::Result<usize> {
    text.lines().position(|line| line.contains(part)).map(|at| at + 1).ok_or_eyre("the file does not say that")
}

/// The file that whoever follows the document has before the first try.
fn filled(blank: &str) -> eyre::Result<String> {
    let section = DOCUMENT.split("### From nothing to a tested file").nth(1).ok_or_eyre("the example is gone")?;
    let mut text = blank.to_owned();
    for row in section.lines().filter(|line| line.starts_with("| `FILL-")) {
        let parts: Vec<&str> = row.split('`').collect();
        let [_, from, _, to, _] = parts.as_slice() else { eyre::bail!("{row}") };
        ensure!(text.contains(from), "the file has no {from}");
        text = text.replace(from, to);
    }
    let block = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    Ok(format!("{text}\n{}", block.ok_or_eyre("the example appends nothing")?))
}

/// As the document's last command does.
fn mended(text: &str) -> String {
    let stands = |line: &str| ["archived", "[[error", "rule", "when", "then"].iter().any(|start| line.starts_with(start));
    let line = |line: &str| line.strip_prefix("# ").filter(|rest| stands(rest)).unwrap_or(line).to_owned() + "\n";
    text.lines().map(line).collect()
}

#[tokio::test]
async fn whoever_follows_the_example_has_a_file_of_which_every_case_holds() -> eyre::Result<()> {
    let here = TempDir::new()?;
    let said = tidemark(&here, &["connector", "new", "acme-crm", "--out", FILE]).await?.good()?;
    assert!(said.contains("tidemark connector check acme-crm.toml"), "{said}");
    let file = here.path().join(FILE);
    let blank = std::fs::read_to_string(&file)?;
    let again = tidemark(&here, &["connector", "new", "acme-crm", "--out", FILE]).await?;
    assert!(again.code == Some(1) && again.stderr.contains("where nothing is yet"), "{again:?}");
    let unfilled = tidemark(&here, &["connector", "check", FILE]).await?;
    assert_eq!(unfilled.code, Some(1));
    let blanks = blank.lines().enumerate().filter(|(_, line)| !line.starts_with(['#', '[']) && line.contains("FILL-"));
    for (at, line) in blanks {
        assert!(unfilled.stderr.contains(&format!("{FILE}:{}: ", at + 1)), "{line}: {unfilled:?}");
    }

    let first = filled(&blank)?;
    std::fs::write(&file, &first)?;
    tidemark(&here, &["connector", "check", FILE]).await?.good()?;
    let sandbox = pipedrive(true).await?;
    let ended = attempt(&here, &sandbox.base_url(), &["--yes-write", "--json"]).await?;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let came = outcomes(&ended)?;
    assert_eq!(of(&came, "fails"), shown_in_the_document(), "{}", ended.stdout);
    let told: Value = serde_json::from_str(&ended.stdout)?;
    for row in told["cases"].as_array().into_iter().flatten().filter(|row| row["outcome"] == "fails" && row["line"].is_u64()) {
        let at = format!("acme-crm.toml:{}: {})", row["line"], row["place"].as_str().unwrap_or_default());
        let case = row["case"].as_str().unwrap_or_default();
        let shown = DOCUMENT.lines().find(|line| line.starts_with(case) && line.contains(" fails  "));
        assert!(shown.is_some_and(|line| line.ends_with(&at) || line.ends_with('…')), "{case}: {at} is not what {shown:?} says");
    }

    std::fs::write(&file, mended(&first))?;
    let ended = attempt(&here, &sandbox.base_url(), &["--yes-write"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("windows      holds") && ended.stdout.contains(" 0 fail, 0 not seen"), "{}", ended.stdout);
    // Nothing is left of it but what is archived.
    assert!(sandbox.crm().list(PEOPLE).iter().all(|person| person.archived), "test records live on");
    assert_eq!(sandbox.crm().weather(), SandboxConfig::default().weather);
    Ok(())
}

/// The cases that fail in the document's table.
fn shown_in_the_document() -> Vec<String> {
    let rows = DOCUMENT.lines().filter(|line| line.contains(" fails  "));
    rows.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_is_sent_before_it_was_asked_for_and_nothing_to_another_account() -> eyre::Result<()> {
    let (here, sandbox) = (TempDir::new()?, pipedrive(true).await?);
    changed(&here, &[])?;
    let asked = attempt(&here, &sandbox.base_url(), &[]).await?;
    assert!(asked.code == Some(1) && asked.stderr.contains("--yes-write"), "{asked:?}");
    assert!(asked.stdout.contains("persons at http://127.0.0.1") && asked.stdout.contains("tidemark-"), "{asked:?}");
    assert_eq!(sandbox.crm().calls().len(), 0);
    std::fs::write(here.path().join("tidemark.toml"), SHOP)?;
    let usual = ["--object", "persons", "--email", "email", "--name", "name", "--phone", "phone", "--yes-write"];
    let base = sandbox.base_url();
    let other =
        tidemark(&here, &[&["connector", "test", FILE, "--against", &base, "--connection", "acme"], &usual[..]].concat()).await?;
    assert!(
        other.code == Some(1) && other.stderr.contains("nothing was written") && other.stderr.contains("7 is configured"),
        "{other:?}"
    );
    let unknown =
        tidemark(&here, &[&["connector", "test", FILE, "--against", &base, "--connection", "b"], &usual[..]].concat()).await?;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there are acme"), "{unknown:?}");
    let dead = run(
        command(
            here.path(),
            &[("CRM_TOKEN", "dead")],
            &[&["connector", "test", FILE, "--against", &base, "--secret", "token=CRM_TOKEN"], &usual[..]].concat(),
        )?,
        Duration::from_secs(30),
    )
    .await?;
    assert!(dead.code == Some(1) && !dead.stderr.contains("dead"), "{dead:?}");
    assert_eq!(sandbox.crm().list(PEOPLE).len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_mistake_fails_its_case_and_names_its_line() -> eyre::Result<()> {
    let sandbox = pipedrive(true).await?;
    for (change, case, place) in [
        (("upper = \"open\"", "upper = \"closed\""), "windows", "[object.persons.read]"),
        (("at = [\"/update_time\", \"/add_time\"]", "at = \"/add_time\""), "stamps", "modified = "),
        (("/additional_data/next_cursor", "/additional_data/next"), "ties", "page = { kind = \"token\""),
        (
            (
                "body = \"{row}\"\noutcome = { kind = \"whole\", row = \"/data\" }",
                "body = { a = \"{row}\" }\noutcome = { kind = \"whole\", row = \"/data\" }",
            ),
            "values",
            "[object.persons.create]",
        ),
        (("then = { class = \"day_budget\" }", "then = { class = \"throttled\" }"), "day", "[[error]]"),
        (
            (
                "body = \"{row}\"\noutcome = { kind = \"whole\", row = \"/data\" }",
                "body = { a = \"{row}\" }\noutcome = { kind = \"whole\", row = \"/data\" }",
            ),
            "gone",
            "[object.persons.create]",
        ),
    ] {
        let here = TempDir::new()?;
        let text = changed(&here, &[change])?;
        let ended = attempt(&here, &sandbox.base_url(), &["--yes-write", "--json", "--case", case]).await?;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let told: Value = serde_json::from_str(&ended.stdout)?;
        let row = &told["cases"][0];
        assert_eq!((row["outcome"].as_str(), row["case"].as_str()), (Some("fails"), Some(case)), "{row}");
        let (told, expect) = (row["line"].as_u64().unwrap_or_default(), line(&text, place)? as u64);
        assert!((expect..expect + 4).contains(&told), "{row}: about line {expect}");
        assert!(row["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{row}");
    }
    Ok(())
}

#[tokio::test]
async fn in_front_of_a_crm_without_a_control_api_time_passes_and_the_rest_needs_the_practice_crm() -> eyre::Result<()> {
    let (here, sandbox) = (TempDir::new()?, pipedrive(false).await?);
    sandbox.crm().set_quirk("burst_calls_max", 1_000_000_u64)?;
    changed(&here, &[("calls = 20\nwindow_secs = 2\nper_second = 8.0", "calls = 400\nwindow_secs = 2\nper_second = 100.0")])?;
    let cases = ["windows", "ties", "edits", "stamps", "by_id", "archive", "id_stays", "values", "gone", "day", "merged"];
    let cases: Vec<&str> = cases.iter().flat_map(|case| ["--case", case]).collect();
    let ended = attempt(&here, &sandbox.base_url(), &[&["--yes-write", "--json"], cases.as_slice()].concat()).await?;
    let came = outcomes(&ended)?;
    assert_eq!(of(&came, "needs the practice CRM"), ["day", "merged"], "{}", ended.stdout);
    let held = of(&came, "holds");
    // Whether two saves fall into one second is chance.
    let rest: Vec<&String> = came.iter().map(|(case, _)| case).filter(|case| !held.contains(case)).collect();
    assert!(rest.iter().all(|case| ["day", "merged", "ties"].contains(&case.as_str())), "{}", ended.stdout);
    assert_eq!(of(&came, "fails"), Vec::<String>::new(), "{}", ended.stdout);
    assert!(sandbox.crm().list(PEOPLE).iter().all(|person| person.archived), "test records live on");
    Ok(())
}

#[tokio::test]
async fn a_probe_finds_a_step_a_bound_and_a_lag_that_are_declared_wrongly() -> eyre::Result<()> {
    let (here, sandbox) = (TempDir::new()?, pipedrive(false).await?);
    sandbox.crm().set_quirk("burst_calls_max", 1_000_000_u64)?;
    let fast = ("calls = 20\nwindow_secs = 2\nper_second = 8.0", "calls = 400\nwindow_secs = 2\nper_second = 100.0");
    changed(&here, &[fast])?;
    let usual = ["--secret", "token=CRM_TOKEN", "--object", "persons", "--email", "email", "--name", "name", "--phone", "phone"];
    let base = sandbox.base_url();
    let asked = [&["connector", "probe", FILE, "--against", base.as_str(), "--json", "--yes-write"], &usual[..]].concat();
    let ended = tidemark(&here, &asked).await?;
    let steps: Vec<&str> = ended.stderr.lines().collect();
    assert!(steps.len() == 11 && steps[0].contains("at most") && steps[1].contains("record 1 of 6"), "{steps:?}");
    let right = ended.good()?;
    let compared = |told: &str| -> eyre::Result<Vec<(String, String)>> {
        let told: Value = serde_json::from_str(told)?;
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let findings = told["findings"].as_array().ok_or_eyre("nothing was found")?;
        Ok(findings.iter().map(|finding| (text(finding, "what"), text(finding, "comparison"))).collect())
    };
    let expect = |words: [&str; 5]| {
        let whats = ["precision", "lower bound", "upper bound", "order", "commit lag"];
        whats.iter().zip(words).map(|(what, word)| ((*what).to_owned(), word.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(compared(&right)?, expect(["agrees"; 5]), "{right}");

    // Saves that show three seconds after their stamp.
    let late =
        Weather { late_commit: 1.0, late_commit_ms: (3_000, 3_000), answers_wait_for_commit: false, ..sandbox.crm().weather() };
    sandbox.crm().set_weather(late);
    changed(
        &here,
        &[
            fast,
            ("precision = \"second\"", "precision = \"minute\""),
            ("upper = \"open\"", "upper = \"closed\""),
            ("lower = \"closed\"", "lower = \"unknown\""),
            ("commit_lag_secs = 300\nfast_lag_secs = 30", "commit_lag_secs = 1\nfast_lag_secs = 1"),
        ],
    )?;
    let wrong = tidemark(&here, &asked).await?;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert_eq!(compared(&wrong.stdout)?, expect(["differs", "harsher", "differs", "agrees", "differs"]), "{wrong:?}");
    assert!(sandbox.crm().list(PEOPLE).iter().all(|person| person.archived), "test records live on");
    Ok(())
}
