//! Records that were merged away: their rows go on with the survivor, or wait for a person, and nothing is bound twice.

use proptest::prelude::*;

use super::*;
use crate::base::{Base, FieldBase};
use crate::freshness::Heard;
use crate::ghost::Ghosts;
use crate::link::LinkView;
use crate::meeting::Candidate;
use crate::merge::tests::spec;
use crate::page::{Step, plan};
use crate::record::{Row, Value};
use crate::window::Reader;

const PAGE: Heard = Heard::Page { asked_at: 10_000, commit_lag: 500, reader: Reader::Fast, orders_until: None };

fn values(phone: &str) -> Vec<Value> {
    vec![Some("Rome".into()), Some("Ana".into()), Some(phone.into())]
}

fn record(id: &str, phone: &str, absorbed: &[&str]) -> Record {
    Record {
        id: RemoteId::new(id),
        modified: Some(9_000),
        archived: false,
        external_key: None,
        absorbed: absorbed.iter().map(|id| RemoteId::new(*id)).collect(),
        version: None,
        left_out: Vec::new(),
        values: values(phone),
    }
}

fn link(id: i64, row: &str, remote: &str, state: LinkState) -> KnownLink {
    let base = values("1").into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value))).collect();
    let view = LinkView {
        state,
        gone: None,
        base: Base { fields: base },
        seen: Some(1_000),
        written_at: None,
        push_leased: false,
        ghosts: Ghosts::default(),
    };
    KnownLink {
        id,
        row_key: Some(RowKey::new(row)),
        remote_id: Some(RemoteId::new(remote)),
        view,
        version: 0,
        counted_in: None,
        counted_out: None,
    }
}

/// Links with their rows.
fn known(links: &[KnownLink]) -> Known {
    let row = |link: &KnownLink| link.row_key.clone().map(|key| (key.clone(), Row { key, columns: values("1") }));
    Known {
        links: links.iter().filter_map(|link| Some((link.remote_id.clone()?, link.clone()))).collect(),
        rows: links.iter().filter_map(row).collect(),
        ..Known::default()
    }
}

/// Steps borrow their records, which live on in a test.
fn decide(records: &[Record], mut known: Known) -> (Known, Vec<Step<'static>>) {
    let (spec, records): (&StreamSpec, &[Record]) = (Box::leak(Box::new(spec())), records.to_vec().leak());
    known.absorbed = absorb(spec, records, &known);
    let steps = plan(spec, records, &known, PAGE, 1);
    (known, steps)
}

#[test]
fn h16_a_row_whose_record_was_merged_away_goes_on_with_the_survivor() {
    let (known, steps) = decide(&[record("S", "2", &["L"])], known(&[link(1, "7", "L", LinkState::Linked)]));
    assert_eq!(known.absorbed.aliases, [(RemoteId::new("L"), RemoteId::new("S"))]);
    let [Step::Rebind { link: 1, key, merged, .. }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((key.as_str(), merged.conflicts), ("7", 0));
    assert_eq!(merged.row_changes, [(2, Some("2".into()))], "what the survivor says otherwise has changed in the CRM");
}

/// Some CRMs list what is archived among what is not.
#[test]
fn a_linked_record_that_shows_itself_archived_is_asked_for_by_id_and_not_merged() {
    let archived = Record { archived: true, ..record("S", "2", &[]) };
    let (_, steps) = decide(std::slice::from_ref(&archived), known(&[link(1, "7", "S", LinkState::Linked)]));
    assert!(matches!(&steps[..], [Step::OweRead { reason: "it is archived in the CRM" }]), "{steps:?}");
    let (_, steps) = decide(&[archived], known(&[link(1, "7", "S", LinkState::Tombstone)]));
    assert!(matches!(&steps[..], [Step::Pass]), "what is known to be gone is not asked for again: {steps:?}");
}

#[test]
fn h16_two_rows_of_one_record_are_never_both_bound() {
    let links = [link(1, "7", "L", LinkState::Linked), link(2, "8", "S", LinkState::Linked)];
    let (known, steps) = decide(&[record("S", "2", &["L"])], known(&links));
    let [double] = known.absorbed.doubles.as_slice() else { panic!("{:?}", known.absorbed) };
    assert_eq!((double.link, double.key.as_str()), (1, "7"));
    assert_eq!(double.cause, "two rows, one record: record L was merged into S, which belongs to row 8");
    assert!(matches!(&steps[..], [Step::Merge { link: 2, .. }]), "the survivor's own row goes on: {steps:?}");
    let lone = [link(1, "7", "K", LinkState::Linked), link(2, "8", "L", LinkState::Linked)];
    let (known, _) = decide(&[record("S", "2", &["L", "K"])], self::known(&lone));
    assert_eq!(known.absorbed.rebound[&RemoteId::new("S")].id, 1, "the older link");
    assert_eq!(known.absorbed.doubles.len(), 1);
}

#[test]
fn h16_a_survivor_that_carries_the_key_of_another_row_is_that_rows() {
    let mut known = known(&[link(1, "7", "L", LinkState::Linked)]);
    let own = Candidate { key: RowKey::new("9"), taken: false, by_external_key: true, creating: false };
    known.candidates.insert(RemoteId::new("S"), vec![own]);
    known.rows.insert(RowKey::new("9"), Row { key: RowKey::new("9"), columns: values("1") });
    let (known, steps) = decide(&[record("S", "2", &["L"])], known);
    assert_eq!(known.absorbed.doubles.len(), 1);
    assert!(matches!(&steps[..], [Step::Bind { link: None, key, .. }] if key.as_str() == "9"), "{steps:?}");
}

#[test]
fn h16_the_second_row_goes_on_once_the_first_is_gone() {
    let mut links = known(&[link(1, "7", "L", LinkState::Double), link(2, "8", "S", LinkState::Tombstone)]);
    links.rows.remove(&RowKey::new("8"));
    let (known, steps) = decide(&[record("S", "2", &["L"])], links);
    assert_eq!(known.absorbed.released, [2], "its record is given up");
    assert!(matches!(&steps[..], [Step::Rebind { link: 1, .. }]), "{steps:?}");
}

#[test]
fn h16_old_news_of_the_loser_leads_to_the_survivor() {
    let mut known = known(&[]);
    known.aliases.insert(RemoteId::new("L"), RemoteId::new("S"));
    let (_, steps) = decide(&[record("L", "3", &[])], known);
    assert_eq!(steps, [Step::Redirect { survivor: RemoteId::new("S") }], "no second row is made of it");
    let both = [record("L", "3", &[]), record("S", "2", &["L"])];
    let (_, steps) = decide(&both, self::known(&[link(1, "7", "L", LinkState::Linked)]));
    assert!(matches!(&steps[..], [Step::Pass, Step::Rebind { .. }]), "{steps:?}");
}

#[test]
fn h16_a_merge_waits_for_a_push_that_is_under_way() {
    let mut pushed = link(1, "7", "L", LinkState::Linked);
    pushed.view.push_leased = true;
    let (known, steps) = decide(&[record("S", "2", &["L"])], known(&[pushed]));
    assert!(matches!(&steps[..], [Step::OweRead { .. }]), "{steps:?}");
    assert!(known.absorbed.aliases.is_empty() && known.absorbed.doubles.is_empty());
}

#[test]
fn h16_a_deleted_rows_record_leads_to_its_survivor_or_is_not_given_up_yet() {
    let mut pushed = link(2, "8", "S", LinkState::Linked);
    for leased in [true, false] {
        pushed.view.push_leased = leased;
        let mut known = known(&[link(1, "7", "L", LinkState::Linked), pushed.clone()]);
        known.rows.remove(&RowKey::new("7"));
        let (known, _) = decide(&[record("S", "2", &["L"])], known);
        let (aliases, released) = (known.absorbed.aliases.len(), known.absorbed.released.len());
        assert_eq!((aliases, released), if leased { (0, 0) } else { (1, 1) }, "both or neither");
    }
}

#[test]
fn h16_a_record_that_seemed_gone_comes_back_as_its_survivor_unless_the_key_is_somebody_elses() {
    let mut matched = spec();
    matched.match_on = vec!["name".into()];
    for (name, expect) in [("Ana", 1), ("Bob", 0)] {
        let mut known = known(&[link(1, "7", "L", LinkState::Tombstone)]);
        known.rows.insert(RowKey::new("7"), Row { key: RowKey::new("7"), columns: vec![None, Some(name.into()), None] });
        assert_eq!(absorb(&matched, &[record("S", "2", &["L"])], &known).rebound.len(), expect, "{name}");
    }
}

fn state() -> impl Strategy<Value = LinkState> {
    prop_oneof![Just(LinkState::Linked), Just(LinkState::Linked), Just(LinkState::Double), Just(LinkState::Tombstone)]
}

proptest! {
    #[test]
    fn h16_each_row_goes_on_is_doubled_or_waits_and_one_at_most_goes_on(
        losers in prop::collection::vec((state(), any::<bool>(), any::<bool>()), 0..5),
        own in prop::option::of((state(), any::<bool>()))
    ) {
        let names: Vec<String> = (0..losers.len()).map(|at| format!("L{at}")).collect();
        let mut links = Vec::new();
        let mut gone = Vec::new();
        for (at, (state, there, leased)) in losers.iter().enumerate() {
            let mut loser = link(i64::try_from(at).unwrap() + 10, &format!("r{at}"), &names[at], *state);
            loser.view.push_leased = *leased;
            gone.extend((!there).then(|| loser.row_key.clone()).flatten());
            links.push(loser);
        }
        if let Some((state, there)) = own {
            let own = link(1, "own", "S", state);
            gone.extend((!there).then(|| own.row_key.clone()).flatten());
            links.push(own);
        }
        let mut known = known(&links);
        gone.iter().for_each(|key| { known.rows.remove(key); });
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let records = [record("S", "2", &names)];
        let absorbed = absorb(&spec(), &records, &known);
        prop_assert!(absorbed.rebound.len() <= 1);
        let rebound: Vec<i64> = absorbed.rebound.values().map(|link| link.id).collect();
        let doubled: Vec<i64> = absorbed.doubles.iter().map(|double| double.link).collect();
        prop_assert!(rebound.iter().all(|id| !doubled.contains(id)));
        let own_lives = own.is_some_and(|(state, there)| there && state == LinkState::Linked);
        prop_assert!(!own_lives || rebound.is_empty(), "the survivor's own row keeps it");
        for link in links.iter().filter(|link| link.id >= 10 && goes_on(&spec(), link, &known)) {
            let decided = rebound.contains(&link.id) || doubled.contains(&link.id);
            let old_news = own.is_some_and(|(state, _)| state == LinkState::Double);
            prop_assert!(decided || old_news || absorbed.waiting.contains(&RemoteId::new("S")));
        }
    }
}

#[test]
fn h16_a_row_that_went_before_the_merge_was_heard_of_gives_its_record_up() {
    let links = [link(1, "7", "a", LinkState::Linked), link(2, "8", "b", LinkState::Linked)];
    let mut known = known(&links);
    known.rows.remove(&RowKey::new("7"));
    let absorbed = absorb(&spec(), &[record("b", "1", &["a"])], &known);
    assert_eq!((absorbed.released, absorbed.doubles.len(), absorbed.rebound.len()), (vec![1], 0, 0));
    known.links.get_mut(&RemoteId::new("a")).unwrap().view.push_leased = true;
    assert!(absorb(&spec(), &[record("b", "1", &["a"])], &known).released.is_empty(), "what is on its way settles first");
}

#[test]
fn h16_nobody_goes_on_with_a_record_while_a_push_of_its_own_row_is_under_way() {
    let (mut own, loser) = (link(1, "7", "S", LinkState::Linked), link(2, "8", "L", LinkState::Linked));
    own.view.push_leased = true;
    let mut known = known(&[own, loser]);
    // Its row went, and the record may be archived at this moment.
    known.rows.remove(&RowKey::new("7"));
    let (known, steps) = decide(&[record("S", "1", &["L"])], known);
    assert!(matches!(steps.as_slice(), [Step::OweRead { .. }]), "{steps:?}");
    assert!(known.absorbed.rebound.is_empty() && known.absorbed.released.is_empty());
}
