//! What every connector has to be able to say, whatever its CRM: one list of cases, for the tests of this workspace and for `tidemark connector test`.
//!
//! A case asks as the worker asks, one call at a time, and makes what it needs through the connector itself. What only a practice CRM can show (its clock, its faults, its truth) is
//! asked of its control API, where there is one. Nothing here knows how a practice CRM is made.

mod asking;
mod bench;
mod drifting;
mod likely;
mod pace;
mod paging;
mod practice;
pub mod probe;
mod refusing;
mod subject;
mod telling;
mod writing;

use std::panic::AssertUnwindSafe;

use eyre::eyre;
use futures::FutureExt;
use futures::future::BoxFuture;

pub use bench::Bench;
pub use likely::places;
pub use practice::Practice;
pub use subject::Subject;

/// How a case went that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// The connector does not declare what is asked here, or the CRM does not have it.
    NotDeclared,
    /// Only a practice CRM can be brought to show it.
    NeedsPractice,
    /// It would have to be seen again: this time the CRM gave no occasion.
    Unseen(String),
}

pub type Run = for<'a> fn(&'a Bench) -> BoxFuture<'a, eyre::Result<Verdict>>;

/// One thing that must hold.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// What holds, for people.
    pub says: &'static str,
    /// Where in a connector's file the fault is likely: below the object, or from the root on where it begins with a slash. The first that is there counts.
    pub places: &'static [&'static str],
    /// Most records that it makes.
    pub makes: usize,
    run: Run,
}

const fn case(name: &'static str, says: &'static str, places: &'static [&'static str], makes: usize, run: Run) -> Case {
    Case { name, says, places, makes, run }
}

pub static CASES: [Case; 28] = [
    case("windows", "Windows that meet leave no record between them.", &["read.lower", "read"], 8, |bench| {
        asking::windows(bench).boxed()
    }),
    case("ties", "More records of one stamp than a page holds are all read.", &["read.page", "read"], 9, |bench| {
        asking::ties(bench).boxed()
    }),
    case(
        "caps",
        "More records than a query reaches are all read, or it is said that they are not.",
        &["read.result_cap", "read.page", "read"],
        21,
        |bench| paging::caps(bench).boxed(),
    ),
    case(
        "worn",
        "A window whose next page is refused, because what asks for it wore out, is read to its end.",
        &["read.token_life_secs", "/error", "read.page"],
        7,
        |bench| paging::worn(bench).boxed(),
    ),
    case("edits", "Edits between two pages hide no other record.", &["read.order", "read"], 9, |bench| {
        asking::edits(bench).boxed()
    }),
    case("stamps", "A record carries the stamp of its last edit, in the steps that are declared.", &["modified"], 5, |bench| {
        asking::stamps(bench).boxed()
    }),
    case("by_id", "By its id a record is found that lives, and no other.", &["read_ids"], 4, |bench| {
        asking::by_id(bench).boxed()
    }),
    case(
        "parts",
        "A list shows of a record what a read by id shows, or it is said that it does not.",
        &["listed", "read"],
        1,
        |bench| asking::parts(bench).boxed(),
    ),
    case(
        "drift",
        "A property that is not there is refused as such or blank, and described nowhere; what is added, retyped or taken away shows in how the object is described.",
        &["describe"],
        1,
        |bench| drifting::drift(bench).boxed(),
    ),
    case("archive", "What was deleted is known as such.", &["archived", "read_archived"], 3, |bench| {
        asking::archive(bench).boxed()
    }),
    case("told", "A delete is told in the window in which it happened.", &["deletes", "archived", "read"], 3, |bench| {
        asking::told(bench).boxed()
    }),
    case(
        "merged",
        "Who was merged into another is not read as if they lived.",
        &["archived", "merged", "read_ids"],
        2,
        |bench| asking::merged(bench).boxed(),
    ),
    case("id_stays", "A record keeps its id when its e-mail changes.", &["id"], 1, |bench| asking::id_stays(bench).boxed()),
    case("look_up", "A value finds its record, and a hostile one finds none.", &["look_up"], 2, |bench| {
        asking::look_up(bench).boxed()
    }),
    case("account", "The account behind the credentials is told.", &["/account"], 0, |bench| asking::account(bench).boxed()),
    case("values", "What is made and changed is kept as it was sent, and can be cleared.", &["update", "create"], 1, |bench| {
        writing::values(bench).boxed()
    }),
    case("upsert", "A record that carries our key is made once.", &["upsert"], 1, |bench| writing::upsert(bench).boxed()),
    case("batches", "One bad item of a batch spoils no other.", &["create.outcome", "create"], 3, |bench| {
        writing::batches(bench).boxed()
    }),
    case("deletes", "A record that is archived is gone.", &["archived", "archive"], 2, |bench| writing::deletes(bench).boxed()),
    case(
        "guard",
        "A record that has another version than was read is left as it is.",
        &["update.guard", "version", "update"],
        1,
        |bench| writing::guard(bench).boxed(),
    ),
    case("gone", "Whoever changes what is not there hears so.", &["update", "/error", "/words"], 1, |bench| {
        writing::gone(bench).boxed()
    }),
    case("doubles", "A refused double is called one.", &["/error", "/words"], 2, |bench| writing::doubles(bench).boxed()),
    case("unheard", "A create whose answer was lost counts as perhaps done.", &["create"], 1, |bench| {
        writing::unheard(bench).boxed()
    }),
    case("throttles", "A throttle in any of the vendor's shapes is waited out.", &["/error", "/words"], 0, |bench| {
        refusing::throttles(bench).boxed()
    }),
    case("day", "A day's budget that is spent is known from a throttle.", &["/error", "/words"], 0, |bench| {
        refusing::day(bench).boxed()
    }),
    case("credentials", "Dead credentials are told within three calls.", &["/auth"], 0, |bench| {
        refusing::credentials(bench).boxed()
    }),
    case("no_page", "An error, a broken body and a redirect never look like a page.", &["/refused", "read.rows"], 1, |bench| {
        refusing::no_page(bench).boxed()
    }),
    case("tape", "What is recorded of a call holds no secret and nobody's data.", &[], 1, |bench| telling::tape(bench).boxed()),
];

/// The case of that name.
pub fn case_named(name: &str) -> eyre::Result<&'static Case> {
    let known = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    CASES.iter().find(|case| case.name == name).ok_or_else(|| eyre!("there is no case {name}; there are {}", known()))
}

impl Case {
    /// Runs, and takes away what it made. What it could not take away stays with the bench.
    pub async fn run(&self, bench: &Bench) -> eyre::Result<Verdict> {
        let ran = AssertUnwindSafe((self.run)(bench)).catch_unwind().await;
        bench.clear().await;
        ran.map_err(|_| eyre!("it panicked"))?
    }
}
