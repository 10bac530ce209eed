//! How long the core takes to plan a page of 200 records with 20 mapped fields: what it costs to poll, without network and database. A page is planned in
//! less than a millisecond, whatever it holds.

use std::collections::HashMap;

use divan::Bencher;
use divan::counter::ItemsCount;
use tidemark_boot::Config;
use tidemark_core::base::{Base, FieldBase};
use tidemark_core::freshness::Heard;
use tidemark_core::ghost::Ghosts;
use tidemark_core::link::{LinkState, LinkView};
use tidemark_core::page::{Known, KnownLink, Step, plan};
use tidemark_core::record::{Record, RemoteId, Row, RowKey, Value};
use tidemark_core::spec::StreamSpec;
use tidemark_core::window::Reader;

const RECORDS: usize = 200;
const NOON: i64 = 1_700_000_000_000;
const HEARD: Heard = Heard::Page { asked_at: NOON + 60_000, commit_lag: 5_000, reader: Reader::Fast, orders_until: None };

/// Column and property, how one becomes the other, and a value of each side.
const FIELDS: [(&str, &str, &str, &str); 20] = [
    ("email", "text", "ana.silva@acme.test", "ana.silva@acme.test"),
    ("firstname", "text", "Ana", "Ana"),
    ("lastname", "text", "Silva", "Silva"),
    ("phone", "text", "+49 30 901820", "+49 30 901820"),
    ("mobilephone", "text", "+49 170 9018200", "+49 170 9018200"),
    ("company", "text", "Acme Robots GmbH", "Acme Robots GmbH"),
    ("jobtitle", "text", "Head of Procurement", "Head of Procurement"),
    ("address", "text", "Karl-Liebknecht-Strasse 13", "Karl-Liebknecht-Strasse 13"),
    ("city", "text", "Berlin", "Berlin"),
    ("zip", "text", "10178", "10178"),
    ("country", "text", "Germany", "Germany"),
    ("website", "text", "https://acme.test/about/procurement", "https://acme.test/about/procurement"),
    ("industry", "text", "Mechanical engineering", "Mechanical engineering"),
    ("numemployees", "integer", "1250", "1250"),
    ("annualrevenue", "decimal_of_cents", "1250000050", "12500000.50"),
    ("credit_limit", "decimal_of_cents", "500000", "5000"),
    ("newsletter", "bool", "1", "true"),
    ("vip", "bool", "0", "false"),
    ("first_order", "date", "2024-05-17", "2024-05-17"),
    ("last_order", "date", "2026-01-30", "2026-01-30"),
];

fn main() {
    divan::main();
}

/// A poll that brings nothing new: its records overlap what the last one brought.
#[divan::bench]
fn what_is_known_already(bencher: Bencher) {
    let page = Page::linked();
    page.measure(bencher, |step| matches!(step, Step::Pass));
}

/// One field of every record was edited in the CRM.
#[divan::bench]
fn an_edit_of_each(bencher: Bencher) {
    let mut page = Page::linked();
    page.edit(|property, _| property == "phone");
    page.measure(bencher, |step| matches!(step, Step::Merge { merged, .. } if merged.row_changes.len() == 1));
}

/// Every text of every record was edited in the CRM.
#[divan::bench]
fn all_texts_of_each(bencher: Bencher) {
    let mut page = Page::linked();
    page.edit(|_, form| form == "text");
    page.measure(bencher, |step| matches!(step, Step::Merge { merged, .. } if merged.row_changes.len() == 13));
}

/// A first load: every record becomes a row.
#[divan::bench]
fn all_new(bencher: Bencher) {
    let page = Page { known: Known::default(), ..Page::linked() };
    page.measure(bencher, |step| matches!(step, Step::Insert { row } if row.len() == FIELDS.len()));
}

struct Page {
    spec: StreamSpec,
    records: Vec<Record>,
    known: Known,
}

impl Page {
    /// Two hundred records, each linked to a row that holds the same.
    fn linked() -> Self {
        let spec = spec();
        let ours: Vec<Value> = in_order(&spec).map(|(_, _, row, _)| Some(row.to_owned())).collect();
        let theirs: Vec<Value> = in_order(&spec).map(|(_, _, _, record)| Some(record.to_owned())).collect();
        let met = ours.iter().zip(&theirs).map(|(row, record)| Some(FieldBase::agreed(row.clone(), record.clone()))).collect();
        let base = Base { fields: met };
        let record = |n: usize| Record {
            id: RemoteId::new(n.to_string()),
            modified: Some(NOON),
            archived: false,
            external_key: None,
            absorbed: Vec::new(),
            version: None,
            left_out: Vec::new(),
            values: theirs.clone(),
        };
        let link = |n: usize| KnownLink {
            id: i64::try_from(n).unwrap_or_default(),
            row_key: Some(RowKey::new(n.to_string())),
            remote_id: Some(RemoteId::new(n.to_string())),
            view: LinkView {
                state: LinkState::Linked,
                gone: None,
                base: base.clone(),
                seen: Some(NOON),
                written_at: None,
                push_leased: false,
                ghosts: Ghosts::default(),
            },
            version: 1,
            counted_in: None,
            counted_out: None,
        };
        let row = |n: usize| Row { key: RowKey::new(n.to_string()), columns: ours.clone() };
        let links: HashMap<_, _> = (0..RECORDS).map(|n| (RemoteId::new(n.to_string()), link(n))).collect();
        let rows: HashMap<_, _> = (0..RECORDS).map(|n| (RowKey::new(n.to_string()), row(n))).collect();
        Self { spec, records: (0..RECORDS).map(record).collect(), known: Known { links, rows, ..Known::default() } }
    }

    /// A later version of every record, with other values in these fields, by property and form.
    fn edit(&mut self, is_edited: impl Fn(&str, &str) -> bool) {
        for record in &mut self.records {
            record.modified = Some(NOON + 10_000);
            let fields = record.values.iter_mut().zip(in_order(&self.spec));
            for (value, _) in fields.filter(|(_, (property, form, ..))| is_edited(property, form)) {
                *value = value.take().map(|value| format!("{value} (new)"));
            }
        }
    }

    /// Measures the planning of the page, which has to say this of every record.
    fn measure(&self, bencher: Bencher, is_right: impl Fn(&Step<'_>) -> bool) {
        let decide = || plan(&self.spec, &self.records, &self.known, HEARD, 1);
        let steps = decide();
        assert!(steps.len() == RECORDS && steps.iter().all(is_right), "{:?}", steps.first());
        bencher.counter(ItemsCount::new(RECORDS)).bench_local(decide);
    }
}

/// The fields as the mapping orders them: by property.
fn in_order(spec: &StreamSpec) -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
    spec.fields.iter().filter_map(|field| FIELDS.into_iter().find(|(property, ..)| *property == field.property))
}

fn spec() -> StreamSpec {
    let fields: Vec<String> =
        FIELDS.iter().map(|(name, form, ..)| format!("{name} = {{ column = \"{name}\", as = \"{form}\" }}")).collect();
    let text = format!(
        r#"[database]
url = "sqlite:orders.db"

[connections.hubspot]
connector = "hubspot"
environment = "test"
account = "1"
secret.token = {{ env = "HUBSPOT_TOKEN" }}

[[connections.hubspot.streams]]
object = "contacts"
table = "customers"
key = "id"
owner = "crm"
match_on = ["email"]

[connections.hubspot.streams.fields]
{}
"#,
        fields.join("\n")
    );
    let env = [("HUBSPOT_TOKEN".to_owned(), "benchmark".to_owned())];
    let config = Config::parse(&text, "tidemark.toml", env.into_iter()).unwrap_or_else(|errors| panic!("{errors}"));
    config.streams.into_iter().next().unwrap_or_else(|| panic!("the configuration has no stream"))
}
