//! What a person on call reads, thing by thing.

use super::*;
use crate::base::{Dispute, FieldBase, State};
use crate::lineage::{self, Because, What};
use crate::merge::tests::spec;
use crate::record::Value;
use crate::rule::Rule;
use crate::spec::{Condition, Direction, Lineage, Test};

/// 2026-11-25 13:00:00 UTC.
const NOON: Millis = 1_795_611_600_000;

pub(super) fn text(value: &str) -> Value {
    (!value.is_empty()).then(|| value.to_owned())
}

pub(super) fn pair(row: &str, record: &str, state: State) -> Option<FieldBase> {
    Some(FieldBase { row: text(row), record: text(record), state, replaced: Vec::new(), edit: None })
}

fn conflict() -> State {
    State::Conflict(Box::new(dispute()))
}

pub(super) fn dispute() -> Dispute {
    Dispute { agreed: Some((text("030 0"), text("0300"))), since: Some(NOON) }
}

fn row(values: &[&str]) -> RowFacts {
    RowFacts::Found(Row { key: RowKey::new("7"), columns: values.iter().map(|value| text(value)).collect() })
}

fn link(fields: Vec<Option<FieldBase>>) -> LinkFacts {
    LinkFacts {
        id: 12,
        row_key: Some(RowKey::new("7")),
        remote_id: Some(RemoteId::new("501")),
        state: LinkState::Linked,
        base: Base { fields },
        since: NOON,
        made: None,
        push_under_way: false,
        unheard: false,
    }
}

pub(super) fn linked(fields: Vec<Option<FieldBase>>, values: &[&str]) -> Facts {
    Facts {
        row_key: Some(RowKey::new("7")),
        remote_id: Some(RemoteId::new("501")),
        row: row(values),
        link: Some(link(fields)),
        ..Facts::default()
    }
}

fn lone(values: &[&str]) -> Facts {
    Facts { row_key: Some(RowKey::new("7")), row: row(values), ..Facts::default() }
}

fn debt(state: &str, attempts: i32, cause: &str, next_step: &str) -> Option<DebtFacts> {
    let (cause, next_step) = (text(cause), text(next_step));
    Some(DebtFacts { state: state.into(), attempts, cause, next_step, due_at: NOON + 60_000, leased: false })
}

/// One field that moved, as it would have been stored and loaded.
pub(super) fn entry(
    spec: &StreamSpec,
    minutes: i64,
    source: (&str, Option<i64>),
    at: usize,
    rule: Rule,
    was: &str,
    base: Option<FieldBase>,
) -> Entry {
    let mut fields = vec![None; spec.fields.len()];
    fields[at] = base;
    let because = Because { field: at, rule, was: text(was), times: None };
    let stored = lineage::to_json(spec, 12, &[because], &Base { fields });
    Entry {
        at: NOON + minutes * 60_000,
        what: Some(What::Changed),
        source: source.0.to_owned(),
        number: source.1,
        fields: lineage::from_json(stored.as_deref()),
    }
}

fn whole(minutes: i64, what: What, source: &str) -> Entry {
    Entry { at: NOON + minutes * 60_000, what: Some(what), source: source.to_owned(), number: Some(1), fields: Vec::new() }
}

fn agreed() -> Vec<Option<FieldBase>> {
    vec![pair("Rome", "Rome", State::Agreed), pair("Ana", "Ana", State::Agreed), pair("030 1", "0301", State::Agreed)]
}

#[test]
fn a_pair_and_all_its_fields_are_told() {
    let spec = spec();
    let mut facts = linked(
        vec![
            pair("Rome", "", State::Differs(Rule::BlankRecord.reason().into())),
            pair("Ana", "Anna", State::Owed),
            pair("030 1", "0302", conflict()),
        ],
        &["Oslo", "Ana", "030 1"],
    );
    facts.push = debt("waiting", 3, "HubSpot answered 502", "");
    facts.history = vec![
        entry(&spec, 9, ("fast", Some(17)), 2, Rule::ConflictBoth, "030 0", pair("030 1", "0302", conflict())),
        entry(&spec, 8, ("fast", Some(16)), 1, Rule::OwedThere, "Ana", pair("Ana", "Anna", State::Owed)),
        entry(&spec, 7, ("push", Some(2)), 1, Rule::SentHere, "An", pair("Ana", "Ana", State::Agreed)),
        entry(&spec, 6, ("read", None), 0, Rule::BlankRecord, "Rome", pair("Rome", "", State::Differs("x".into()))),
    ];
    facts.link.as_mut().unwrap().made = Some("fast 3".into());
    insta::assert_snapshot!(tell(&spec, &facts, None), @"
    hubspot.contacts  row 7 ↔ record 501
      Row 7 of customers and record 501 of contacts are one thing, linked since 2026-11-25 13:00:00.
      A push is owed to the CRM, due at 2026-11-25 13:01:00; 3 attempts failed, the last one: HubSpot answered 502.

    As last agreed:
      city ↔ city  differs: the row says «Rome», the record is blank; a blank in the CRM does not overwrite. The row was changed since to «Oslo»: the CRM owns the field, so that is put back
      name ↔ name  owed: the row says «Ana», the record says «Anna»; a push will put the record right
      phone ↔ phone  conflict: the row says «030 1», the record says «0302»; before that, the row says «030 0», the record says «0300»; a person decides: tidemark resolve, the dashboard, or an edit of one side to what is right

    What happened, newest first, UTC:
      2026-11-25 13:09:00  phone: a conflict began: both sides changed, and a person decides (window 17, fast reader); the row says «030 1», the record says «0302»; they had agreed on «030 0»
      2026-11-25 13:08:00  name: the row's value stands and is owed to the CRM: it changed there, the order database owns the field (window 16, fast reader); the row says «Ana», the record says «Anna»
      2026-11-25 13:07:00  name: sent to the CRM: it changed in the row (push, attempt 2); it was «An» there and became «Ana»
      2026-11-25 13:06:00  city: the row keeps its value: a blank in the CRM does not overwrite (read by its id); the row says «Rome», the record is blank
      2026-11-25 13:00:00  the row was made from the record (window 3, fast reader)
    ");
}

#[test]
fn one_field_is_told_by_its_property_or_its_column() {
    let mut spec = spec();
    spec.fields[2].column = "telephone".into();
    let mut facts = linked(agreed(), &["Rome", "Ana", "030 1"]);
    facts.history = vec![
        entry(&spec, 63, ("settled", Some(17)), 2, Rule::TakenBoth, "030 9", pair("030 1", "0301", State::Agreed)),
        entry(&spec, 60, ("fast", Some(16)), 1, Rule::OwedThere, "Ana", pair("Ana", "Anna", State::Owed)),
        whole(0, What::Met, "fast"),
    ];
    let why = tell(&spec, &facts, Some("phone"));
    assert_eq!(why, tell(&spec, &facts, Some("telephone")));
    insta::assert_snapshot!(why, @"
    hubspot.contacts  row 7 ↔ record 501
      Row 7 of customers and record 501 of contacts are one thing, linked since 2026-11-25 13:00:00.

    As last agreed:
      phone ↔ telephone  agreed: the row says «030 1», the record says «0301»

    What happened, newest first, UTC:
      2026-11-25 14:03:00  phone: taken from the CRM: both sides changed, the CRM owns the field (window 17, settled reader); it was «030 9» and became «030 1»
      2026-11-25 13:00:00  both sides said the same when the two met (window 1, fast reader)
    ");
    insta::assert_snapshot!(serde_json::to_string_pretty(&why).unwrap(), @r#"
    {
      "stream": "hubspot.contacts",
      "row": "7",
      "record": "501",
      "stands": [
        "Row 7 of customers and record 501 of contacts are one thing, linked since 2026-11-25 13:00:00."
      ],
      "fields": [
        {
          "property": "phone",
          "column": "telephone",
          "state": "agreed",
          "row": "030 1",
          "record": "0301",
          "sentence": "agreed: the row says «030 1», the record says «0301»"
        }
      ],
      "history": [
        {
          "at": 1795615380000,
          "time": "2026-11-25 14:03:00",
          "field": "phone",
          "rule": "taken_both",
          "stood": "crm",
          "source": "window 17, settled reader",
          "window": 17,
          "was": "030 9",
          "row": "030 1",
          "record": "0301",
          "sentence": "taken from the CRM: both sides changed, the CRM owns the field (window 17, settled reader); it was «030 9» and became «030 1»"
        },
        {
          "at": 1795611600000,
          "time": "2026-11-25 13:00:00",
          "source": "window 1, fast reader",
          "window": 1,
          "sentence": "both sides said the same when the two met (window 1, fast reader)"
        }
      ],
      "older": false
    }
    "#);
}

#[test]
fn a_row_made_from_its_record_and_a_record_made_from_its_row_say_so_for_each_field() {
    let mut facts = linked(agreed(), &["Rome", "Ana", "030 1"]);
    facts.link.as_mut().unwrap().made = Some("fast 3".into());
    let sentence = |facts: &Facts| tell(&spec(), facts, Some("city")).history.remove(0).sentence;
    insta::assert_snapshot!(sentence(&facts), @"the row was made from the record (window 3, fast reader)");
    facts.link.as_mut().unwrap().made = None;
    facts.history = vec![whole(0, What::Created, "push")];
    insta::assert_snapshot!(sentence(&facts), @"the record was made from the row (push)");
    facts.history = vec![whole(0, What::Met, "fast")];
    insta::assert_snapshot!(sentence(&facts), @"both sides said the same when the two met (window 1, fast reader)");
}

#[track_caller]
fn stands(spec: &StreamSpec, facts: &Facts) -> String {
    tell(spec, facts, None).stands.join("\n")
}

#[test]
fn a_lone_row_says_what_it_waits_for() {
    let mut spec = spec();
    let mut facts = lone(&["Rome", "Ana", "030 1", "draft", ""]);
    facts.push = debt("parked", 1, "phone is not a number", "correct phone of row 7; it is sent by itself then");
    insta::assert_snapshot!(stands(&spec, &facts), @"
    Row 7 of customers is linked to no record of contacts.
    Its push is parked, and a person has to see to it: phone is not a number. Next step: correct phone of row 7; it is sent by itself then.
    ");
    facts.push = debt("parent", 0, "waits until row 3 of companies is in the CRM", "");
    facts.parent_kept_back = true;
    insta::assert_snapshot!(stands(&spec, &facts), @"
    Row 7 of customers is linked to no record of contacts.
    Waits until row 3 of companies is in the CRM. Looked at again by itself, the next time at 2026-11-25 13:01:00. The parent is not sent while the send_when of its stream does not hold.
    ");
    facts.push = None;
    insta::assert_snapshot!(stands(&spec, &facts), @"
    Row 7 of customers is linked to no record of contacts.
    No push is owed for it: its change was not noted yet, or got round the triggers and is found when every row is compared.
    ");
    let one_of = Test::OneOf(vec!["accepted".into(), "shipped".into()]);
    spec.send_when = vec![
        Condition { column: "status".into(), test: one_of },
        Condition { column: "confirmed_at".into(), test: Test::Present },
        Condition { column: "city".into(), test: Test::Absent },
    ];
    insta::assert_snapshot!(stands(&spec, &facts), @"
    Row 7 of customers is linked to no record of contacts.
    It is not sent while send_when does not hold: status must be one of accepted, shipped and is «draft»; confirmed_at must be present and is blank; city must be absent and is not.
    ");
    spec.direction = Direction::In;
    insta::assert_snapshot!(stands(&spec, &facts), @"
    Row 7 of customers is linked to no record of contacts.
    The stream does not write records, and without match_on no record is ever bound to it.
    ");
    spec.match_on = vec!["phone".into()];
    facts.halted = Some("the stream waits for its go: nothing is read or written before".into());
    facts.also_a_record = true;
    insta::assert_snapshot!(stands(&spec, &facts), @"
    Row 7 of customers is linked to no record of contacts.
    The stream does not write records: it is bound when a record with the same phone is read.
    Record 7 is another thing: ask for record:7 to hear of it.
    The stream waits for its go: nothing is read or written before.
    ");
}

#[test]
fn a_record_without_a_row_says_why() {
    let mut facts = Facts { remote_id: Some(RemoteId::new("501")), ..Facts::default() };
    facts.read = debt("parked", 0, "2 rows match this record: 7, 8", "merge or correct one of them");
    insta::assert_snapshot!(tell(&spec(), &facts, None), @"
    hubspot.contacts  record 501
      Record 501 of contacts is linked to no row of customers.
      Reading the record is parked, and a person has to see to it: 2 rows match this record: 7, 8. Next step: merge or correct one of them.

    What happened, newest first, UTC:
      Nothing is kept: Tidemark changed nothing here, or longer ago than retention.lineage, or lineage is off.
    ");
    facts.read = debt("waiting", 0, "", "");
    insta::assert_snapshot!(stands(&spec(), &facts), @"
    Record 501 of contacts is linked to no row of customers.
    The record is to be read by its id, due at 2026-11-25 13:01:00.
    ");
}

#[test]
fn what_is_gone_or_being_made_is_told() {
    let mut facts = linked(agreed(), &[]);
    facts.row = RowFacts::Absent;
    facts.link.as_mut().unwrap().state = LinkState::Tombstone;
    facts.history = vec![whole(1, What::Archived, "push"), whole(0, What::Gone, "read")];
    insta::assert_snapshot!(tell(&spec(), &facts, Some("phone")), @"
    hubspot.contacts  row 7 ↔ record 501
      Row 7 of customers and record 501 of contacts were one thing, and one of them is gone: neither is made again, and nothing is sent.
      The row is not in customers any more.

    As last agreed:
      phone ↔ phone  agreed: the row says «030 1», the record says «0301»

    What happened, newest first, UTC:
      2026-11-25 13:01:00  the record was archived, because its row was deleted (push)
      2026-11-25 13:00:00  the record is gone from the CRM; its row is kept and not sent any more (read by its id)
    ");
    facts.history = vec![whole(1, What::Left, "push"), Entry { what: None, ..whole(0, What::Left, "push") }];
    insta::assert_snapshot!(tell(&spec(), &facts, None).history.iter().map(|passage| passage.sentence.as_str()).collect::<Vec<_>>().join("\n"), @"
    the row was deleted; its record is left alone (push)
    something happened that this version does not know (push)
    ");
    let mut facts = linked(vec![None, None, None], &["Rome", "Ana", "1"]);
    let link = facts.link.as_mut().unwrap();
    (link.state, link.remote_id, link.push_under_way, link.unheard) = (LinkState::Creating, None, true, true);
    facts.remote_id = None;
    insta::assert_snapshot!(tell(&spec(), &facts, Some("phone")), @"
    hubspot.contacts  row 7
      Row 7 of customers is being made a record of contacts; whether it is there already is not known before it is looked up.
      A push of it is under way.
      How a write to the record came through was not answered: that is seen when the record is read again.

    As last agreed:
      phone ↔ phone  never met: the field is compared when the record is read next

    What happened, newest first, UTC:
      Nothing is kept: Tidemark changed nothing here, or longer ago than retention.lineage, or lineage is off.
    ");
}

#[test]
fn a_row_that_moved_on_says_what_becomes_of_that() {
    let mut spec = spec();
    let facts = linked(agreed(), &["Oslo", "Anna", "030 1"]);
    let fields = |spec: &StreamSpec| {
        let said: Vec<String> = tell(spec, &facts, None).fields.into_iter().map(|field| field.sentence).collect();
        said.join("\n")
    };
    insta::assert_snapshot!(fields(&spec), @"
    agreed: both say «Rome». The row was changed since to «Oslo»: the CRM owns the field, so that is put back
    agreed: both say «Ana». The row was changed since to «Anna»: that is owed to the CRM
    agreed: the row says «030 1», the record says «0301»
    ");
    spec.send_when = vec![Condition { column: "name".into(), test: Test::Absent }];
    insta::assert_snapshot!(fields(&spec).lines().nth(1).unwrap(), @"agreed: both say «Ana». The row was changed since to «Anna»: that is not sent while send_when does not hold");
    spec.direction = Direction::In;
    insta::assert_snapshot!(fields(&spec).lines().nth(1).unwrap(), @"agreed: both say «Ana». The row was changed since to «Anna»: the stream does not write records, so that stays here");
}

#[test]
fn a_name_that_is_no_field_is_told_with_those_that_are() {
    let mut spec = spec();
    spec.remote_id = Some("hubspot_id".into());
    spec.send_when = vec![Condition { column: "confirmed_at".into(), test: Test::Present }];
    let facts = linked(agreed(), &["Rome", "Ana", "030 1", "2026", "501"]);
    let first = |name: &str| tell(&spec, &facts, Some(name)).stands.remove(0);
    insta::assert_snapshot!(first("colour"), @"colour is not mapped in hubspot.contacts: nothing is kept in agreement under that name. Mapped are city ↔ city, name ↔ name, phone ↔ phone.");
    insta::assert_snapshot!(["id", "hubspot_id", "order_key", "confirmed_at"].map(first).join("\n"), @"
    id is not mapped in hubspot.contacts: nothing is kept in agreement under that name. It is the key of the table. Mapped are city ↔ city, name ↔ name, phone ↔ phone.
    hubspot_id is not mapped in hubspot.contacts: nothing is kept in agreement under that name. It is the column that receives the CRM's id. Mapped are city ↔ city, name ↔ name, phone ↔ phone.
    order_key is not mapped in hubspot.contacts: nothing is kept in agreement under that name. It is the property that holds our key. Mapped are city ↔ city, name ↔ name, phone ↔ phone.
    confirmed_at is not mapped in hubspot.contacts: nothing is kept in agreement under that name. It only decides, by send_when, whether a row is sent. Mapped are city ↔ city, name ↔ name, phone ↔ phone.
    ");
    assert!(tell(&spec, &facts, Some("colour")).fields.is_empty());
}

#[test]
fn personal_data_is_shown_as_it_is_kept() {
    let mut spec = spec();
    spec.fields[2].lineage = Lineage::Digest;
    spec.fields[1].lineage = Lineage::Off;
    let mut facts = linked(agreed(), &["Rome", "Anna", "030 7"]);
    facts.history = vec![
        entry(&spec, 1, ("fast", Some(17)), 2, Rule::TakenThere, "030 9", pair("030 1", "0301", State::Agreed)),
        entry(&spec, 1, ("fast", Some(17)), 1, Rule::TakenThere, "Anna", pair("Ana", "Ana", State::Agreed)),
        whole(0, What::Met, "fast"),
    ];
    let told = format!("{}{}", tell(&spec, &facts, Some("phone")), tell(&spec, &facts, Some("name")));
    for secret in ["030", "Ana", "Anna"] {
        assert!(!told.contains(secret), "{secret} shows in {told}");
    }
    insta::assert_snapshot!(told, @r#"
    hubspot.contacts  row 7 ↔ record 501
      Row 7 of customers and record 501 of contacts are one thing, linked since 2026-11-25 13:00:00.

    As last agreed:
      phone ↔ phone  agreed: the row holds a value with digest f5d060, the record holds a value with digest 4e95cd. The row was changed since to a value with digest e73e85: that is owed to the CRM

    What happened, newest first, UTC:
      2026-11-25 13:01:00  phone: taken from the CRM: it changed there and not here (window 17, fast reader); it was a value with digest c7cfc3 and became a value with digest f5d060
      2026-11-25 13:00:00  both sides said the same when the two met (window 1, fast reader)
    hubspot.contacts  row 7 ↔ record 501
      Row 7 of customers and record 501 of contacts are one thing, linked since 2026-11-25 13:00:00.

    As last agreed:
      name ↔ name  agreed: its values are not shown, because lineage = "off". The row was changed since: that is owed to the CRM

    What happened, newest first, UTC:
      Nothing is kept: Tidemark changed nothing here, or longer ago than retention.lineage, or lineage is off.
    "#);
}

#[test]
fn hostile_and_long_values_stay_on_one_line() {
    let spec = spec();
    let long = "x".repeat(500);
    let mut facts = linked(agreed(), &["Rome", "Ana", "030 1"]);
    let base = pair("\u{1b}[31mred\nline", &long, State::Agreed);
    facts.history = vec![entry(&spec, 1, ("fast", Some(17)), 0, Rule::OwedThere, "", base)];
    let sentence = tell(&spec, &facts, Some("city")).history.remove(0).sentence;
    assert!(!sentence.contains(['\u{1b}', '\n']) && sentence.len() < 400, "{sentence}");
}

#[test]
fn a_rule_of_another_version_is_named() {
    let mut facts = linked(agreed(), &["Rome", "Ana", "030 1"]);
    let mut other = entry(&spec(), 1, ("sweep", None), 0, Rule::TakenThere, "Oslo", pair("Rome", "Rome", State::Agreed));
    other.fields[0].word = "newest".into();
    facts.history = vec![other];
    insta::assert_snapshot!(tell(&spec(), &facts, Some("city")).history.remove(0).sentence, @r#"decided by the rule "newest", which this version does not know (sweep reader); both say «Rome»"#);
}

#[test]
fn what_is_unknown_is_said_with_what_was_looked_for() {
    let mut spec = spec();
    insta::assert_snapshot!(unknown(&spec, &Asked::parse("99"), None), @"hubspot.contacts knows no 99: customers has no row with id = 99, and no record 99 was ever linked to a row or is owed");
    insta::assert_snapshot!(unknown(&spec, &Asked::parse("row:99"), None), @"hubspot.contacts knows no row 99: customers has none with id = 99");
    spec.direction = Direction::Out;
    insta::assert_snapshot!(unknown(&spec, &Asked::parse("record:99"), Some("the stream is paused")), @"hubspot.contacts knows no record 99: none was ever linked to a row, and none is owed; a record without a row is left alone, because the stream does not write rows; the stream is paused");
    assert!(!Facts::default().is_known());
}
