//! Every verb's help as a stranger meets it, kept in files: a change of it is seen in review. `INSTA_UPDATE=always` writes them anew.

use std::time::Duration;

use eyre::{OptionExt, ensure};
use tempfile::TempDir;
use tidemark_tests::processes::{Ended, command, run};

/// Without a terminal, without a variable: nothing of this machine is in what it says.
async fn tidemark(args: &[&str]) -> eyre::Result<Ended> {
    let here = TempDir::new()?;
    run(command(here.path(), &[], args)?, Duration::from_secs(30)).await
}

async fn help(args: &[&str]) -> eyre::Result<String> {
    let said = tidemark(args).await?.good()?;
    // Spaces before the end of a line are clap's, and no reader's.
    Ok(said.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The verbs the help lists.
async fn verbs() -> eyre::Result<Vec<String>> {
    let help = help(&["--help"]).await?;
    let (_, after) = help.split_once("\nCommands:\n").ok_or_eyre("no commands")?;
    let (listed, _) = after.split_once("\n\n").ok_or_eyre("no end")?;
    // What goes on from the line before stands further in.
    let lines = listed.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let verbs: Vec<String> = lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    ensure!(verbs.len() > 10, "{verbs:?}");
    Ok(verbs.into_iter().filter(|verb| verb != "help").collect())
}

#[tokio::test]
async fn the_help_of_every_verb_is_what_was_reviewed() -> eyre::Result<()> {
    insta::assert_snapshot!("tidemark", help(&["--help"]).await?);
    for verb in verbs().await? {
        insta::assert_snapshot!(verb.clone(), help(&[&verb, "--help"]).await?);
    }
    for act in ["new", "test", "probe"] {
        insta::assert_snapshot!(format!("connector-{act}"), help(&["connector", act, "--help"]).await?);
    }
    Ok(())
}

#[tokio::test]
async fn every_verb_says_what_it_needs_how_it_ends_and_an_example() -> eyre::Result<()> {
    for verb in verbs().await? {
        let help = help(&[&verb, "--help"]).await?;
        for part in ["\nNeeds: ", "\nExit codes:\n  0", "\nExample"] {
            assert!(help.contains(part), "{part:?} is missing in the help of {verb}:\n{help}");
        }
        let examples = help.rsplit_once("\nExample").map(|(_, examples)| examples).ok_or_eyre("no example")?;
        assert!(examples.contains(&format!("tidemark {verb}")), "{examples}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "too wide for a terminal:\n{help}");
    }
    Ok(())
}

/// 2 says that the sides differ; a script that mistypes an option must not read that.
#[tokio::test]
async fn what_is_not_understood_ends_with_1_and_help_with_0() -> eyre::Result<()> {
    for wrong in [&["agree", "--jsn"][..], &["chekc"], &["demo", "--records", "none"], &[]] {
        let ended = tidemark(wrong).await?;
        assert_eq!(ended.code, Some(1), "{wrong:?}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("Usage: tidemark") || ended.stderr.contains("--help"), "{}", ended.stderr);
    }
    for good in [&["--help"][..], &["--version"], &["help", "check"], &["check", "-h"]] {
        assert_eq!(tidemark(good).await?.code, Some(0), "{good:?}");
    }
    Ok(())
}
