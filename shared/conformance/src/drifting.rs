//! The case about properties that come, go and become something else.

use std::collections::BTreeSet;

use eyre::{OptionExt, ensure};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::fit::PropertyKind::{Choice, Number, Text};
use tidemark_core::record::RemoteId;
use tidemark_crm::Property;

use crate::Verdict;
use crate::bench::Bench;
use crate::practice::Practice;

/// Nobody calls a property so.
const UNHEARD: &str = "tidemark_unheard";
const VALUE: &str = "a value of its own";

pub(crate) async fn drift(bench: &Bench) -> eyre::Result<Verdict> {
    let made = bench.make("ana").await?;
    is_no_property(bench, UNHEARD, &made).await?;
    // Where nothing is described nobody notices that a property goes.
    let Some(described) = bench.described().await? else { return Ok(Verdict::NotDeclared) };
    let names = names(&described);
    ensure!(!names.contains(UNHEARD), "{UNHEARD}, which is no property, is described");
    for name in bench.wanted().iter().flatten() {
        ensure!(names.contains(name.as_str()), "{name} is mapped and not described: nobody would notice that it goes");
    }
    if let Some(practice) = bench.practice() {
        comes_and_goes(bench, practice, &made, &names).await?;
    }
    Ok(Verdict::Holds)
}

fn names(described: &[Property]) -> BTreeSet<&str> {
    described.iter().map(|property| property.name.as_str()).collect()
}

/// Asked for, it is refused as such or blank.
async fn is_no_property(bench: &Bench, name: &str, made: &RemoteId) -> eyre::Result<()> {
    match value(bench, name, made).await? {
        Ok(value) => ensure!(value.is_none(), "{name}, which is no property, is read as {value:?}"),
        Err(failure) => {
            let class = failure.class.word();
            ensure!(failure.class == Class::Schema, "a property that is not there is told to be {class}: {failure}");
        }
    }
    Ok(())
}

/// What a record that was made holds of a property.
async fn value(bench: &Bench, name: &str, made: &RemoteId) -> eyre::Result<Result<Option<String>, Failure>> {
    let records = match bench.by_ids_with(&[Some(name.to_owned())], std::slice::from_ref(made)).await {
        Ok(records) => records,
        Err(failure) => return Ok(Err(failure)),
    };
    let record = records.into_iter().next().ok_or_eyre("what was made is not read by its id")?;
    Ok(Ok(record.values.into_iter().next().flatten()))
}

/// What an administrator adds one after the other under one name: kinds and options of the control API.
const ADDED: [(&str, &[&str]); 4] =
    [("text", &[]), ("number", &[]), ("enumeration", &["gold", "silver"]), ("enumeration", &["gold"])];

/// One that an administrator adds, takes away and brings back as something else.
async fn comes_and_goes(bench: &Bench, practice: &Practice, made: &RemoteId, before: &BTreeSet<&str>) -> eyre::Result<()> {
    let mut kinds = Vec::new();
    for (kind, options) in ADDED {
        let kept = practice.add_property(kind, options).await?;
        let told = told(bench, practice, made, before, &kept, options).await;
        // However that went: the next one to look finds none.
        let removed = practice.remove_property(&kept).await;
        let told = told?;
        removed?;
        let described = bench.described().await?.unwrap_or_default();
        ensure!(!names(&described).contains(told.name.as_str()), "{} was taken away, and is described still", told.name);
        if kinds.is_empty() {
            is_no_property(bench, &told.name, made).await?;
        }
        kinds.push(told.kind);
    }
    let known = matches!(kinds[..], [Text, Number, Choice | Number, Choice | Number]);
    ensure!(known, "a text, a number and a choice are described as {kinds:?}");
    Ok(())
}

/// How what was added is described; a value that somebody gives it there is read as it is.
async fn told(
    bench: &Bench,
    practice: &Practice,
    made: &RemoteId,
    before: &BTreeSet<&str>,
    kept: &str,
    options: &[&str],
) -> eyre::Result<Property> {
    let told = added(bench, before).await?;
    let (name, offers) = (&told.name, &told.options);
    // Where a choice is a number to those who read it, nobody has to know more.
    ensure!(
        told.kind != Choice || offers.len() == options.len(),
        "{name} has the options {options:?}, and is described with {offers:?}"
    );
    let is_text = |option: &String| option.parse::<f64>().is_err();
    let taken = told.kind == Choice || !offers.iter().any(is_text);
    ensure!(
        taken,
        "{name} is a choice among {offers:?} and is described as {:?}: each of them would be refused as none",
        told.kind
    );
    let value_there = match told.kind {
        Choice => offers.first().map(String::as_str),
        _ => (told.kind == Text && options.is_empty()).then_some(VALUE),
    };
    if let Some(there) = value_there {
        practice.edit(made.as_str(), kept, there).await?;
        let shown = value(bench, name, made).await??;
        ensure!(shown.as_deref() == Some(there), "{name} holds {there:?}, and {shown:?} is read");
    }
    Ok(told)
}

/// The one property that was not described before.
async fn added(bench: &Bench, before: &BTreeSet<&str>) -> eyre::Result<Property> {
    let described = bench.described().await?.unwrap_or_default();
    let mut new = described.into_iter().filter(|property| !before.contains(property.name.as_str()));
    let added = new.next().ok_or_eyre("a property that was added is not described")?;
    let other = new.next();
    ensure!(other.is_none(), "one property was added, and {} and {:?} are described", added.name, other.map(|other| other.name));
    Ok(added)
}
