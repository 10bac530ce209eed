//! What every connector has to be able to say, whatever its vendor: one list of cases, run on each connector in front of its dialect.
//!
//! A case asks as the worker asks, and looks at the CRM's own truth. What a connector does not declare is not asked of it.

mod asking;
mod bench;
mod refusing;
mod telling;
mod writing;
pub mod wrong;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use eyre::{WrapErr, eyre};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

pub use bench::{Bench, Change};

use crate::vendor::Vendor;

/// How a case went that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// The connector does not declare what is asked here.
    NotDeclared,
}

/// What is said of a file that does not even load.
pub(crate) const UNUSABLE: &str = "the connector cannot be used";

pub type Run = for<'a> fn(&'a Bench) -> BoxFuture<'a, eyre::Result<Verdict>>;

/// One thing that must hold.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// What holds, for people.
    pub says: &'static str,
    run: Run,
}

pub static CASES: [Case; 21] = [
    Case {
        name: "windows",
        says: "Windows that meet leave no record between them.",
        run: |bench| asking::windows(bench).boxed(),
    },
    Case {
        name: "ties",
        says: "More records of one stamp than a page holds are all read.",
        run: |bench| asking::ties(bench).boxed(),
    },
    Case { name: "edits", says: "Edits between two pages hide no other record.", run: |bench| asking::edits(bench).boxed() },
    Case {
        name: "stamps",
        says: "A record carries the stamp of its last edit, in the steps that are declared.",
        run: |bench| asking::stamps(bench).boxed(),
    },
    Case {
        name: "by_id",
        says: "By its id a record is found that lives, and no other.",
        run: |bench| asking::by_id(bench).boxed(),
    },
    Case { name: "archive", says: "What was deleted is known as such.", run: |bench| asking::archive(bench).boxed() },
    Case {
        name: "id_stays",
        says: "A record keeps its id when its e-mail changes.",
        run: |bench| asking::id_stays(bench).boxed(),
    },
    Case {
        name: "look_up",
        says: "A value finds its record, and a hostile one finds none.",
        run: |bench| asking::look_up(bench).boxed(),
    },
    Case { name: "account", says: "The account behind the credentials is told.", run: |bench| asking::account(bench).boxed() },
    Case {
        name: "values",
        says: "What is made and changed is kept as it was sent, and can be cleared.",
        run: |bench| writing::values(bench).boxed(),
    },
    Case { name: "upsert", says: "A record that carries our key is made once.", run: |bench| writing::upsert(bench).boxed() },
    Case { name: "batches", says: "One bad item of a batch spoils no other.", run: |bench| writing::batches(bench).boxed() },
    Case { name: "deletes", says: "A record that is archived is gone.", run: |bench| writing::deletes(bench).boxed() },
    Case { name: "gone", says: "Whoever changes what is not there hears so.", run: |bench| writing::gone(bench).boxed() },
    Case { name: "doubles", says: "A refused double is called one.", run: |bench| writing::doubles(bench).boxed() },
    Case {
        name: "unheard",
        says: "A create whose answer was lost counts as perhaps done.",
        run: |bench| writing::unheard(bench).boxed(),
    },
    Case {
        name: "throttles",
        says: "A throttle in any of the vendor's shapes is waited out.",
        run: |bench| refusing::throttles(bench).boxed(),
    },
    Case {
        name: "day",
        says: "A day's budget that is spent is known from a throttle.",
        run: |bench| refusing::day(bench).boxed(),
    },
    Case {
        name: "credentials",
        says: "Dead credentials are told within three calls.",
        run: |bench| refusing::credentials(bench).boxed(),
    },
    Case {
        name: "no_page",
        says: "An error, a broken body and a redirect never look like a page.",
        run: |bench| refusing::no_page(bench).boxed(),
    },
    Case {
        name: "tape",
        says: "What is recorded of a call holds no secret and nobody's data.",
        run: |bench| telling::tape(bench).boxed(),
    },
];

/// The case of that name.
pub fn case(name: &str) -> eyre::Result<&'static Case> {
    CASES.iter().find(|case| case.name == name).ok_or_else(|| eyre!("there is no case {name}"))
}

impl Case {
    /// Runs on a connector in front of a CRM of its own, with these changes in its file.
    pub async fn run(&self, vendor: &'static Vendor, changes: &[Change]) -> eyre::Result<Verdict> {
        let bench = Bench::open(vendor, changes).await.wrap_err(UNUSABLE)?;
        let ran = AssertUnwindSafe((self.run)(&bench)).catch_unwind().await;
        ran.map_err(|_| eyre!("it panicked"))?
    }
}

/// What came of each case on each connector: by case, then by connector.
pub async fn table(vendors: &[&'static Vendor]) -> eyre::Result<BTreeMap<(&'static str, &'static str), Result<Verdict, String>>> {
    let mut came = BTreeMap::new();
    for case in &CASES {
        let each = vendors.iter().map(async |vendor| {
            let verdict =
                case.run(vendor, &[]).await.map_err(|error| format!("{} on {}: {error:?}", case.name, vendor.connector));
            ((case.name, vendor.connector), verdict)
        });
        came.extend(join_all(each).await);
    }
    Ok(came)
}

/// The table as it stands in the documents.
pub fn document(vendors: &[&'static Vendor], came: &BTreeMap<(&'static str, &'static str), Result<Verdict, String>>) -> String {
    let names: Vec<&str> = vendors.iter().map(|vendor| vendor.connector).collect();
    let mut text = String::from(HEAD);
    text.push_str(&format!("| case | | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len())));
    for case in &CASES {
        let cells: Vec<&str> = names
            .iter()
            .map(|name| match came.get(&(case.name, *name)) {
                Some(Ok(Verdict::Holds)) => "holds",
                Some(Ok(Verdict::NotDeclared)) => "–",
                Some(Err(_)) | None => "**fails**",
            })
            .collect();
        text.push_str(&format!("| `{}` | {} | {} |\n", case.name, case.says, cells.join(" | ")));
    }
    text.push_str(TAIL);
    text
}

const HEAD: &str = "# Conformance

Written by a run of `tests/tests/behaviour/conformance.rs`, which compares it with this file; `UPDATE_CONFORMANCE=1 scripts/test conformance` writes it anew.

Each case asks a connector as Tidemark's worker asks it, one HTTP call at a time, in front of the [practice CRM](sandbox.md) in its vendor's dialect, and compares
the answer with what the CRM really holds. `–` marks what a connector does not declare. That a case holds says nothing of the vendor's own servers: see *nobody
verified* in [connectors.md](connectors.md).

";

const TAIL: &str = "
Deliberately wrong files must fail: `tests/src/conformance/wrong.rs` lists them, each with the case that has to catch it.
";
