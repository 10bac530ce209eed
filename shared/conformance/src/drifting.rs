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
    let Some(described) = bench.described().await? else { return Ok(Verdict::Holds) };
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

/// One that an administrator adds, takes away and brings back as something else.
async fn comes_and_goes(bench: &Bench, practice: &Practice, made: &RemoteId, before: &BTreeSet<&str>) -> eyre::Result<()> {
    let kept = practice.add_property("text", &[]).await?;
    let text = added(bench, before).await?;
    practice.edit(made.as_str(), &kept, VALUE).await?;
    let shown = value(bench, &text.name, made).await??;
    ensure!(shown.as_deref() == Some(VALUE), "{} was added and filled, and {shown:?} is read", text.name);
    goes(bench, practice, &kept, &text.name).await?;
    is_no_property(bench, &text.name, made).await?;
    let mut kinds = vec![text.kind];
    for (kind, options) in [("number", &[][..]), ("enumeration", &["gold", "silver"]), ("enumeration", &["gold"])] {
        let kept = practice.add_property(kind, options).await?;
        let retyped = added(bench, before).await?;
        // Where a choice is a number to those who read it, nobody has to know more.
        let told = retyped.kind != Choice || retyped.options.len() == options.len();
        ensure!(told, "{} has the options {options:?}, and is described with {:?}", retyped.name, retyped.options);
        goes(bench, practice, &kept, &retyped.name).await?;
        kinds.push(retyped.kind);
    }
    let known = matches!(kinds[..], [Text, Number, Choice | Number, Choice | Number]);
    ensure!(known, "a text, a number and a choice are described as {kinds:?}");
    Ok(())
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

async fn goes(bench: &Bench, practice: &Practice, kept: &str, name: &str) -> eyre::Result<()> {
    practice.remove_property(kept).await?;
    let described = bench.described().await?.unwrap_or_default();
    ensure!(!names(&described).contains(name), "{name} was taken away, and is described still");
    Ok(())
}
