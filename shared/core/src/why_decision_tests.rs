//! What a person on call reads of a decision: until it is carried out, and afterwards.

use super::tests::{dispute, entry, linked, pair};
use super::{Facts, tell};
use crate::base::{FieldBase, State};
use crate::conflict::Side;
use crate::lineage::Entry;
use crate::merge::tests::spec;
use crate::rule::Rule;

#[test]
fn a_persons_decision_is_told_until_it_is_carried_out_and_afterwards() {
    let spec = spec();
    let phone = |side| pair("030 1", "0302", State::Decided(side, Box::new(dispute())));
    let decided = |minutes, rule, side| entry(&spec, minutes, ("person", None), 2, rule, "030 0", phone(side));
    let after = |base: Option<FieldBase>, history: Vec<Entry>| {
        let (row, fields) = (base.as_ref().unwrap().row.clone().unwrap(), vec![None, None, base]);
        let why = tell(&spec, &Facts { history, ..linked(fields, &["Rome", "Ana", &row]) }, Some("phone"));
        let passages = why.history.iter().map(|passage| format!("{}: {}", passage.stood.unwrap(), passage.sentence));
        why.fields.iter().map(|field| field.sentence.clone()).chain(passages).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(after(phone(Side::Orders), vec![decided(1, Rule::DecidedOrders, Side::Orders)]), @"
    decided: the row says «030 1», the record says «0302»; a person let the row's value stand, and a push will put the record right
    orders: a person decided: the row's value stands and is owed to the CRM (by hand; the acts say who); the row says «030 1», the record says «0302»
    ");
    insta::assert_snapshot!(after(phone(Side::Crm), vec![decided(1, Rule::DecidedCrm, Side::Crm)]), @"
    decided: the row says «030 1», the record says «0302»; a person let the record's value stand, and the next read gives it to the row
    crm: a person decided: the record's value stands, and the row takes it with the next read (by hand; the acts say who); the row says «030 1», the record says «0302»
    ");
    let agreed = || pair("0302", "0302", State::Agreed);
    let history =
        vec![entry(&spec, 2, ("read", None), 2, Rule::TakenWord, "030 1", agreed()), decided(1, Rule::DecidedCrm, Side::Crm)];
    insta::assert_snapshot!(after(agreed(), history), @"
    agreed: both say «0302»
    crm: taken from the CRM: a person decided so (read by its id); it was «030 1» and became «0302»
    crm: a person decided: the record's value stands, and the row takes it with the next read (by hand; the acts say who); the row says «030 1», the record says «0302»
    ");
}
