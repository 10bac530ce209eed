//! The simulation's fixed seeds: every law holds in each, and each named race really happens in them. `scripts/simulate` lives as many more as one likes.

use rayon::prelude::*;
use tidemark_core::bug::Bug;
use tidemark_tests::simulation::{Coverage, RACES, Verdict, on_each_core, restores, run};

/// How often each race has to happen in the fixed seeds, at least; most happen hundreds of times.
const OFTEN: u64 = 100;

/// Seeds beyond the first that broke a law once, and what they found.
const BROKE: [(u64, &str); 17] = [
    (332, "rows that are merged in the shop take their record along"),
    (359, "a property that lists leave out is edited while it is out of the mapping"),
    (581, "a search still shows our key in a record that was merged away with it"),
    (758, "a restored database has forgotten that the CRM's clock was set back"),
    (1008, "a record is merged away while its survivor is being pushed, and an index that is behind shows it once more"),
    (1181, "a key is given out again after a restore while the record that carries it has become another row"),
    (1257, "an old object that is saved writes the row"),
    (2742, "a page whose answer took its time comes after a read by id under the same stamp"),
    (3239, "a version above what was seen is older than our write, whose stamp was not told"),
    (3995, "a create lands between the look-up by its key and the decision to send it again"),
    (4482, "a key is given out again after a restore, to a row that is deleted before anything of it was sent"),
    (5592, "our own write hides an edit from right before it until its stamp is read again"),
    (6080, "a decision about one field makes an old object that was saved into another look like a new edit"),
    (6845, "a row is deleted while its record is edited"),
    (9399, "without a key of ours a worker stands still between its look-up and its call"),
    (9850, "a sweep from before a restore is none since then"),
    (9960, "the version that was stamped first is committed last"),
];

/// What two cores live through in about two minutes: the first seeds, as many of the next in which a backup is put back, since what follows a restore happens but once or
/// twice in a life, and those that broke a law.
fn fixed_seeds() -> Vec<u64> {
    let broke = BROKE.iter().map(|(seed, _)| *seed);
    (1..=165).chain((166..).filter(|seed| restores(*seed)).take(70)).chain(broke).collect()
}

fn told(verdict: &Verdict) -> String {
    let seed = verdict.seed;
    format!("seed {seed}: {}\n  {}\n  scripts/simulate --seed {seed} --trace", verdict.breaches.join("\n  "), verdict.swarm)
}

#[test]
fn heavy_every_law_holds_in_every_seed_and_every_race_is_run() -> eyre::Result<()> {
    let verdicts =
        on_each_core(|| fixed_seeds().into_par_iter().map(|seed| run(seed, false, None)).collect::<eyre::Result<Vec<_>>>())??;
    let mut coverage = Coverage::default();
    let mut broken = Vec::new();
    for verdict in &verdicts {
        coverage.add(&verdict.coverage);
        if !verdict.breaches.is_empty() {
            broken.push(told(verdict));
        }
    }
    assert!(broken.is_empty(), "{} of {} seeds broke a law\n{}", broken.len(), verdicts.len(), broken.join("\n"));
    let rare: Vec<_> = RACES.iter().filter(|race| coverage.0.get(*race).copied().unwrap_or(0) < OFTEN).collect();
    assert!(rare.is_empty(), "hardly ever run: {rare:?} in {coverage:?}");
    Ok(())
}

#[test]
fn a_seed_lives_the_same_life_twice() -> eyre::Result<()> {
    // Lines about links hold the random part of a claim's fence, which decides nothing.
    let life = || -> eyre::Result<Vec<String>> {
        Ok(run(7, true, None)?.trace.into_iter().filter(|line| !line.contains("      link ")).collect())
    };
    let (once, again) = (life()?, life()?);
    assert!(once.len() > 1_000);
    assert_eq!(once, again);
    Ok(())
}

/// Bugs that a single seed shows; the others are in docs/proof.md, with `scripts/simulate --bugs`.
#[test]
fn planted_bugs_are_caught_by_a_law() -> eyre::Result<()> {
    for bug in [Bug::NoWalk, Bug::NoSettledReader, Bug::OwedIsIgnored] {
        let caught = (1..=8)
            .map(|seed| run(seed, false, Some(bug)))
            .find(|verdict| verdict.as_ref().is_ok_and(|verdict| !verdict.breaches.is_empty()));
        assert!(caught.is_some(), "{bug:?} went unnoticed in eight seeds");
    }
    Ok(())
}
