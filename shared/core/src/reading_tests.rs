//! Every way of reading, against a source that does what it declares, while people edit; and sources that do not.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::record::RemoteId;
use crate::sweep::EVERY_STAMP;

pub(super) const WINDOW: Window = Window { from: 1_000, until: 9_000 };

pub(super) fn traits(order: Order, paging: Paging) -> SourceTraits {
    SourceTraits {
        order,
        paging,
        id_order: IdOrder::Number,
        result_cap: None,
        token_life: None,
        stamped: true,
        precision_ms: 1_000,
        commit_lag: Duration::ZERO,
        fast_lag: Duration::ZERO,
        page_rows_max: 200,
        read_rows_max: 100,
        batch_rows_max: 100,
        request_life: Duration::ZERO,
        guarded: false,
        archive_view: false,
        page_cost: 1,
    }
}

fn record(id: u64, modified: Option<Millis>) -> Record {
    Record {
        id: RemoteId::new(id.to_string()),
        modified,
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values: Vec::new(),
    }
}

/// A source that holds ids and stamps, in a table order of its own. A token is a place in the list that was found when it was first asked.
struct Source {
    traits: SourceTraits,
    rows: Vec<(u64, Millis)>,
    lists: Vec<Vec<u64>>,
    asked: usize,
}

struct Page {
    records: Vec<Record>,
    total: Option<u64>,
    more: bool,
    token: Option<String>,
}

impl Source {
    fn new(traits: SourceTraits, stamps: &[Millis]) -> Self {
        // No order that helps: the table's own.
        let mut rows: Vec<(u64, Millis)> = stamps.iter().enumerate().map(|(at, stamp)| (at as u64 + 1, *stamp)).collect();
        rows.sort_by_key(|(id, _)| id * 7_919 % 101);
        Self { traits, rows, lists: Vec::new(), asked: 0 }
    }

    fn answer(&mut self, ask: Ask<'_>) -> Page {
        self.asked += 1;
        let mut found: Vec<(u64, Millis)> =
            self.rows.iter().copied().filter(|(_, stamp)| (ask.from..ask.until).contains(stamp)).collect();
        match ask.sort {
            Sort::Id => found.sort_by_key(|(id, _)| *id),
            Sort::TimeThenId => found.sort_by_key(|(id, stamp)| (*stamp, *id)),
            // Ties lie as the table has them.
            Sort::Time => found.sort_by_key(|(_, stamp)| *stamp),
            Sort::None => {}
        }
        // The place reached is a condition of the query, so what lies before it is not counted.
        match ask.after {
            After::Id(last) => found.retain(|(id, _)| *id > last.parse().unwrap()),
            After::Key { stamp, id } => found.retain(|(other, at)| (*at, *other) > (stamp, id.parse().unwrap())),
            After::Start | After::Page(_) | After::Token(_) => {}
        }
        let cap = self.traits.result_cap.map_or(usize::MAX, |cap| cap as usize);
        let (rows, total) = (usize::from(ask.rows_max), found.len() as u64);
        let mut token = None;
        let page: Vec<(u64, Millis)> = match ask.after {
            After::Id(_) | After::Key { .. } => found.into_iter().take(rows).collect(),
            After::Page(number) => {
                let skip = (number as usize - 1) * rows;
                found.into_iter().take(cap).skip(skip).take(rows).collect()
            }
            After::Start if self.traits.paging == Paging::Tokens && ask.sort != Sort::Time => {
                self.lists.push(found.iter().take(cap).map(|(id, _)| *id).collect());
                self.listed(self.lists.len() - 1, 0, rows, &mut token)
            }
            After::Start => found.into_iter().take(rows).collect(),
            After::Token(at) => {
                let (list, skip) = at.split_once(':').unwrap();
                self.listed(list.parse().unwrap(), skip.parse().unwrap(), rows, &mut token)
            }
        };
        let uncounted = self.traits.paging == Paging::Uncounted;
        let passed = if let After::Page(number) = ask.after { (number - 1) * rows as u64 } else { 0 };
        let more = token.is_some() || (uncounted && passed + (page.len() as u64) < total);
        let records = page.iter().map(|(id, stamp)| record(*id, Some(*stamp))).collect();
        Page { records, total: (!uncounted).then_some(total), more, token }
    }

    fn listed(&self, list: usize, skip: usize, rows: usize, token: &mut Option<String>) -> Vec<(u64, Millis)> {
        let ids = &self.lists[list];
        if skip + rows < ids.len() {
            *token = Some(format!("{list}:{}", skip + rows));
        }
        let now = |id: &u64| self.rows.iter().copied().find(|(other, _)| other == id);
        ids.iter().skip(skip).take(rows).filter_map(now).collect()
    }

    /// Somebody edits a record: it leaves the window.
    fn edit(&mut self, at: usize) {
        let at = at % self.rows.len().max(1);
        if let Some(row) = self.rows.get_mut(at) {
            row.1 = WINDOW.until + 5;
        }
    }
}

/// Reads the window to its end. What was answered, or how it failed.
fn read(source: &mut Source, rows_max: u16, edits: &[usize]) -> Result<BTreeSet<u64>, Fault> {
    read_while(source, WINDOW, rows_max, |source, round| {
        if let Some(at) = edits.get(round) {
            source.edit(*at);
        }
    })
}

/// The same of any window, with what happens after each page.
fn read_while(
    source: &mut Source,
    window: Window,
    rows_max: u16,
    happens: impl Fn(&mut Source, usize),
) -> Result<BTreeSet<u64>, Fault> {
    let traits = source.traits.clone();
    let mut position: Option<Position> = None;
    let mut seen = BTreeSet::new();
    for round in 0..2_000 {
        let place = Place::of(window, position.as_ref());
        let question = ask(&traits, &place, rows_max);
        let page = source.answer(question);
        seen.extend(page.records.iter().map(|record| record.id.as_str().parse::<u64>().unwrap()));
        let answered = Answered {
            records: &page.records,
            total: page.total,
            more: page.more,
            token: page.token.as_deref().map(|text| Token { text, given_at: round }),
        };
        match conclude(&traits, window, &place, question, answered)? {
            Course::Drained => return Ok(seen),
            Course::More(next) => position = Some(next.position()),
        }
        happens(source, usize::try_from(round).unwrap());
    }
    panic!("the window never ends: {:?}", position);
}

const WAYS: [(Order, Paging); 9] = [
    (Order::IdOnly, Paging::Queries),
    (Order::IdOnly, Paging::Tokens),
    (Order::TimeThenId, Paging::Queries),
    (Order::TimeOnly, Paging::Numbers),
    (Order::TimeOnly, Paging::Uncounted),
    (Order::TimeOnly, Paging::Tokens),
    (Order::None, Paging::Numbers),
    (Order::None, Paging::Uncounted),
    (Order::None, Paging::Tokens),
];

proptest! {
    /// The law of all readers: whoever stays in the window is read, whatever leaves it meanwhile.
    #[test]
    fn whoever_stays_in_the_window_is_read(
        stamps in prop::collection::vec(prop_oneof![3 => (0i64..11).prop_map(|second| second * 1_000), 1 => 0i64..11_000], 0..60),
        edits in prop::collection::vec(0usize..60, 0..12),
        rows_max in 1u16..9,
        cap in prop::option::of(12u32..40),
    ) {
        for (order, paging) in WAYS {
            // A cap is told by a count.
            let result_cap = cap.filter(|_| paging != Paging::Uncounted);
            let mut source = Source::new(SourceTraits { result_cap, ..traits(order, paging) }, &stamps);
            let read = match read(&mut source, rows_max, &edits) {
                Ok(read) => read,
                // A tie beyond the cap cannot be read by any query.
                Err(Fault::TieBeyondCap(_)) => {
                    let most = (1..9).map(|second| stamps.iter().filter(|stamp| **stamp / 1_000 == second).count()).max().unwrap_or(0);
                    prop_assert!(most > cap.unwrap_or(u32::MAX) as usize);
                    continue;
                }
                Err(fault) => return Err(TestCaseError::fail(format!("{order:?} {paging:?}: {fault}"))),
            };
            for (id, _) in source.rows.iter().filter(|(_, stamp)| WINDOW.contains(*stamp)) {
                prop_assert!(read.contains(id), "{order:?} {paging:?} lost {id}");
            }
            prop_assert!(source.asked <= 40 + 4 * stamps.len(), "{order:?} {paging:?} asked {} times", source.asked);
        }
    }

    /// A CRM in which people work while everything in it is read, at whatever pace.
    #[test]
    fn a_sweep_ends_while_records_are_made(
        stamps in prop::collection::vec(0i64..9_000, 0..40),
        made in prop::collection::vec(0u64..3, 0..40),
        rows_max in 1u16..9,
    ) {
        for (order, paging) in WAYS {
            let mut source = Source::new(traits(order, paging), &stamps);
            let mut all = read_while(&mut source, EVERY_STAMP, rows_max, |source, round| {
                for _ in 0..made.get(round).copied().unwrap_or_default() {
                    source.rows.push((source.rows.len() as u64 + 1, WINDOW.until + 5_000 * round as i64));
                }
            }).map_err(|fault| TestCaseError::fail(format!("{order:?} {paging:?}: {fault}")))?;
            all.retain(|id| *id <= stamps.len() as u64);
            prop_assert_eq!(all.len(), stamps.len(), "{:?} {:?}", order, paging);
            prop_assert!(source.asked <= 60 + 4 * source.rows.len(), "{order:?} {paging:?} asked {} times", source.asked);
        }
    }

    #[test]
    fn a_place_is_kept_as_text_and_taken_up_again(from in 0i64..100, number in 1u64..9, id in "[a-z0-9:\"]{1,8}") {
        for at in [At::Start, At::Id(id.clone()), At::Key(from, id.clone()), At::Page { number, counted: 9, rows: 3 }, At::Onward { number, rows: 3, behind: id.clone() }, At::Back { number, rows: 3 }, At::Token { token: id.clone(), since: from, trail: None }, At::Token { token: id.clone(), since: from, trail: Some(Trail::at(&id, 4)) }] {
            let place = Place { at, ..Place::part(from, from + 9) };
            prop_assert_eq!(Place::of(WINDOW, Some(&place.position())), place);
        }
    }
}

#[test]
fn a_tie_larger_than_a_page_is_read_to_its_end() {
    let stamps = vec![3_000; 50];
    for (order, paging) in WAYS {
        let mut source = Source::new(traits(order, paging), &stamps);
        assert_eq!(read(&mut source, 7, &[]).unwrap().len(), 50, "{order:?} {paging:?}");
    }
}

#[test]
fn a_window_beyond_the_cap_is_parted_until_it_fits() {
    let stamps: Vec<Millis> = (0..80).map(|at| 1_000 + at * 100).collect();
    for (paging, rows_max) in [(Paging::Numbers, 5), (Paging::Tokens, 5), (Paging::Queries, 12)] {
        let capped = SourceTraits { result_cap: Some(12), ..traits(Order::None, paging) };
        let mut source = Source::new(capped.clone(), &stamps);
        assert_eq!(read(&mut source, rows_max, &[]).unwrap().len(), 80, "{paging:?}");
        let mut full = Source::new(capped.clone(), &[3_000; 12]);
        assert_eq!(read(&mut full, rows_max, &[]).unwrap().len(), 12, "{paging:?}");
        let mut tie = Source::new(capped, &[3_000; 13]);
        assert_eq!(read(&mut tie, rows_max, &[]), Err(Fault::TieBeyondCap(12)), "and a tie beyond it is no end, but an error");
    }
}

pub(super) fn place(at: At) -> Place {
    Place { at, ..Place::part(WINDOW.from, WINDOW.until) }
}

/// What one answer at a place comes to.
fn check(traits: &SourceTraits, at: At, records: &[Record], total: Option<u64>, token: Option<&str>) -> Result<Course, Fault> {
    let place = place(at);
    let question = ask(traits, &place, 2);
    let token = token.map(|text| Token { text, given_at: 0 });
    let answered = Answered { records, total, more: false, token };
    conclude(traits, WINDOW, &place, question, answered)
}

#[test]
fn a_page_that_repeats_its_position_ends_the_window_with_an_error() {
    let again = |result: Result<Course, Fault>| assert!(matches!(result, Err(Fault::Repeated(_))), "{result:?}");
    let pair = [record(4, Some(2_000)), record(5, Some(2_000))];
    again(check(&traits(Order::IdOnly, Paging::Queries), At::Id("4".into()), &pair, None, None));
    again(check(&traits(Order::TimeThenId, Paging::Queries), At::Key(2_000, "4".into()), &pair, None, None));
    again(check(
        &traits(Order::TimeOnly, Paging::Numbers),
        At::Start,
        &[record(1, Some(3_000)), record(2, Some(2_000))],
        None,
        None,
    ));
    let dead = At::Token { token: "x".into(), since: 0, trail: None };
    again(check(&traits(Order::None, Paging::Tokens), dead, &pair, None, Some("x")));
}

#[test]
fn a_source_that_takes_no_number_is_told_from_one_that_has_many_pages() {
    let uncounted = traits(Order::None, Paging::Uncounted);
    let answer = |at: At, records: &[Record], more: bool| {
        let place = place(at);
        let question = ask(&uncounted, &place, 2);
        conclude(&uncounted, WINDOW, &place, question, Answered { records, total: None, more, token: None })
    };
    let pair = [record(4, None), record(5, None)];
    let onward = |behind: &str| At::Onward { number: 2, rows: 2, behind: behind.into() };
    assert_eq!(answer(At::Start, &pair, true), Ok(Course::More(place(onward("5")))));
    assert_eq!(answer(onward("5"), &pair, true), Err(Fault::Repeated("5".into())));
    assert_eq!(answer(onward("3"), &[], true), Err(Fault::Promised(None)));
    assert_eq!(answer(onward("3"), &pair, false), Ok(Course::More(place(At::Back { number: 1, rows: 2 }))));
    assert_eq!(answer(At::Start, &pair, false), Ok(Course::Drained));
}

#[test]
fn a_source_that_does_not_heed_the_lower_bound_is_told_before_it_costs_every_page() {
    for paging in [Paging::Numbers, Paging::Uncounted, Paging::Tokens] {
        let time = traits(Order::TimeOnly, paging);
        let ends_at = |stamp| check(&time, At::Start, &[record(1, Some(-9_000)), record(2, Some(stamp))], None, None);
        assert_eq!(ends_at(-1_000), Err(Fault::Unheeded(-1_000)), "{paging:?}");
        assert!(
            matches!(ends_at(0), Ok(Course::More(_))),
            "{paging:?}: a bound that leaves its own stamp out is asked one step early"
        );
        assert!(matches!(ends_at(1_000), Ok(Course::More(_))), "{paging:?}");
    }
}

#[test]
fn nothing_is_drained_while_more_is_promised() {
    let promised = |order| check(&traits(order, Paging::Queries), At::Start, &[], Some(3), None);
    for order in [Order::IdOnly, Order::TimeThenId] {
        assert_eq!(promised(order), Err(Fault::Promised(Some(3))));
    }
    assert_eq!(promised(Order::None), Err(Fault::OnePage));
    assert_eq!(check(&traits(Order::None, Paging::Numbers), At::Start, &[record(1, None)], None, None), Err(Fault::Uncounted));
    assert_eq!(check(&traits(Order::IdOnly, Paging::Queries), At::Start, &[], Some(0), None), Ok(Course::Drained));
}

#[test]
fn what_is_no_id_or_has_no_stamp_is_named() {
    let strange = Record { id: RemoteId::new("x1"), ..record(1, None) };
    assert_eq!(
        check(&traits(Order::IdOnly, Paging::Queries), At::Start, std::slice::from_ref(&strange), None, None),
        Err(Fault::StrangeId("x1".into()))
    );
    let bytes = SourceTraits { id_order: IdOrder::Bytes, ..traits(Order::IdOnly, Paging::Queries) };
    assert_eq!(check(&bytes, At::Id("w9".into()), &[strange], None, None), Ok(Course::Drained));
    let unstamped = check(&traits(Order::TimeThenId, Paging::Queries), At::Start, &[record(1, None)], None, None);
    assert_eq!(unstamped, Err(Fault::Unstamped("1".into())));
}

#[test]
fn a_count_that_grew_begins_the_part_again_but_not_for_ever() {
    let numbers = traits(Order::None, Paging::Numbers);
    let mut place = place(At::Page { number: 2, counted: 4, rows: 2 });
    for _ in 0..AGAIN_MAX {
        let question = ask(&numbers, &place, 2);
        let answered = Answered { records: &[], total: Some(5), more: false, token: None };
        let Ok(Course::More(next)) = conclude(&numbers, WINDOW, &place, question, answered) else { panic!("{place:?}") };
        assert_eq!(next.at, At::Start);
        place = Place { at: At::Page { number: 2, counted: 4, rows: 2 }, ..next };
    }
    let fault = place.once_more().unwrap_err();
    assert!(fault.is_of_place(), "a later try begins anew, or it would be as restless: {fault}");
}

#[test]
fn a_tie_that_grows_is_read_again_even_by_who_reads_everything() {
    let numbers = traits(Order::TimeOnly, Paging::Numbers);
    let tie = Place { until: WINDOW.from + 1_000, ..place(At::Page { number: 2, counted: 4, rows: 2 }) };
    let answered = Answered { records: &[], total: Some(5), more: false, token: None };
    let next = conclude(&numbers, EVERY_STAMP, &tie, ask(&numbers, &tie, 2), answered);
    assert_eq!(next, Ok(Course::More(Place { at: At::Start, again: 1, ..tie })));
}

#[test]
fn a_count_that_grows_ends_no_reading_of_everything() {
    let numbers = SourceTraits { stamped: false, ..traits(Order::None, Paging::Numbers) };
    let mut place = place(At::Page { number: 9, counted: 18, rows: 2 });
    for grown in 19..27 {
        let answered = Answered { records: &[], total: Some(grown), more: false, token: None };
        let Ok(Course::More(next)) = conclude(&numbers, WINDOW, &place, ask(&numbers, &place, 2), answered) else {
            panic!("{place:?}")
        };
        place = next;
    }
    assert_eq!(place.at, At::Page { number: 1, counted: 26, rows: 2 });
}

#[test]
fn a_position_of_another_version_begins_the_window_again() {
    let old = Place::of(WINDOW, Some(&Position("501".into())));
    assert_eq!(old, place(At::Start));
}
