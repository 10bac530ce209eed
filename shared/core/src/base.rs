//! What was last agreed, per field, as a pair: the row's form and the record's form, each as its own side answered it.
//!
//! One value cannot describe a field that one side alters (a phone number the CRM normalises, several statuses in one deal stage): compared with the row it would be
//! pushed for ever, compared with the record it would overwrite the row. With the pair, "changed here" and "changed there" are each judged in their own form.

use serde_json::Value as Json;

use crate::Millis;
use crate::conflict::Side;
use crate::newest::{Edit, Moment};
use crate::record::{Row, Value};
use crate::spec::StreamSpec;

/// How a field stands since it was last settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Agreed,
    /// The record is to be put right by a push although the row did not change.
    Owed,
    /// Both sides changed and a person decides; the pair is what each side held when that was noticed.
    Conflict(Box<Dispute>),
    /// A person decided the conflict, and the word is not carried out yet: a push is owed for the orders' value, a read for the CRM's.
    Decided(Side, Box<Dispute>),
    /// The row holds again what a page had just replaced: an old object was saved whole. Not sent while it is held.
    Held(Box<Dispute>),
    /// An accepted difference, with its reason.
    Differs(String),
}

impl State {
    /// The record is to be put right by a push.
    pub fn owes(&self) -> bool {
        *self == Self::Owed || self.is_decided(Side::Orders)
    }

    /// A person decided for this side.
    pub fn is_decided(&self, side: Side) -> bool {
        matches!(self, Self::Decided(take, _) if *take == side)
    }

    /// The two sides differ, and something is still to be done about it.
    pub fn is_unsettled(&self) -> bool {
        matches!(self, Self::Owed | Self::Conflict(_) | Self::Decided(..) | Self::Held(_))
    }
}

/// What a person who decides a conflict has to know besides what each side holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dispute {
    /// The pair that stood before, agreed or owed; `None` when the field met for the first time.
    pub agreed: Option<(Value, Value)>,
    /// When it was noticed, database clock; `None` where an earlier version noticed it.
    pub since: Option<Millis>,
}

/// The last settled pair of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldBase {
    pub row: Value,
    pub record: Value,
    pub state: State,
    /// Row values that a page replaced of late, oldest first: what a stale save would bring back.
    pub replaced: Vec<Replaced>,
    /// The unsent edit of a field that goes to who was later, with the row's time when it was first seen.
    pub edit: Option<Box<Edit>>,
}

/// A row value that was there before a page wrote another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub value: Value,
    /// Database clock.
    pub at: Millis,
}

impl FieldBase {
    pub fn agreed(row: Value, record: Value) -> Self {
        Self { row, record, state: State::Agreed, replaced: Vec::new(), edit: None }
    }

    /// Both sides still say what was agreed, and nothing else is known of it.
    pub fn rests(&self, row: Option<&str>, record: Option<&str>) -> bool {
        self.state == State::Agreed && self.edit.is_none() && self.row.as_deref() == row && self.record.as_deref() == record
    }

    /// It waits for a person's decision.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Conflict(_))
    }
}

/// The base of a link: aligned with `StreamSpec::fields`; `None` where a field has not met yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    pub fields: Vec<Option<FieldBase>>,
}

impl Base {
    /// A base in which no field has met.
    pub fn unmet(spec: &StreamSpec) -> Self {
        Self { fields: vec![None; spec.fields.len()] }
    }

    pub fn get(&self, at: usize) -> Option<&FieldBase> {
        self.fields.get(at)?.as_ref()
    }

    /// Every field has met.
    pub fn is_met(&self) -> bool {
        !self.fields.is_empty() && self.fields.iter().all(Option::is_some)
    }

    /// The row holds something else in this field than was last agreed, or the field has not met.
    pub fn row_moved(&self, at: usize, row: &Row) -> bool {
        self.get(at).is_none_or(|known| known.row.as_deref() != row.field(at))
    }

    pub fn owes(&self) -> bool {
        self.fields.iter().flatten().any(|field| field.state.owes())
    }

    pub fn conflicts(&self) -> usize {
        self.fields.iter().flatten().filter(|field| matches!(field.state, State::Conflict(_))).count()
    }

    /// A field waits for a person's decision.
    pub fn is_open(&self) -> bool {
        self.fields.iter().flatten().any(FieldBase::is_open)
    }

    /// One JSON object by property name. Shortest form first: a text or null when both sides hold the same and agree, `[row, record]` when their forms differ,
    /// `[row, record, state]` when they do not agree (a word, or an object that tells what a person has to know), `[row, record, state, replaced]` after a page, and
    /// `[row, record, state, replaced, edit]` while an edit of the row waits whose time counts. Fields that have not met are absent.
    pub fn to_json(&self, spec: &StreamSpec) -> String {
        let mut out = String::with_capacity(48 * spec.fields.len());
        out.push('{');
        for (field, base) in spec.fields.iter().zip(&self.fields) {
            if let Some(base) = base {
                let sides = (base.row.as_deref(), base.record.as_deref());
                push_field(&mut out, &field.property, sides, &base.state, &base.replaced, base.edit.as_deref());
            }
        }
        out.push('}');
        out
    }

    /// Reads what `to_json` wrote under this or an earlier mapping. A property that is no longer mapped is forgotten; one that is new has not met. Text that is not a
    /// base at all is a base in which nothing met: every field is compared afresh, nothing is lost.
    pub fn from_json(spec: &StreamSpec, text: &str) -> Self {
        let Ok(Json::Object(mut stored)) = serde_json::from_str(text) else { return Self::unmet(spec) };
        Self { fields: spec.fields.iter().map(|field| stored.remove(&field.property).and_then(read_field)).collect() }
    }
}

/// The base of a row that was made from a record, in the form of `Base::to_json`: every field agrees. Row and record are aligned with the fields.
pub fn agreed_json<'a>(spec: &StreamSpec, sides: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> String {
    let mut out = String::with_capacity(48 * spec.fields.len());
    out.push('{');
    for (field, (row, record)) in spec.fields.iter().zip(sides) {
        push_field(&mut out, &field.property, (row, record), &State::Agreed, &[], None);
    }
    out.push('}');
    out
}

fn read_field(stored: Json) -> Option<FieldBase> {
    match stored {
        Json::Null => Some(FieldBase::agreed(None, None)),
        Json::String(text) => Some(FieldBase::agreed(Some(text.clone()), Some(text))),
        Json::Array(parts) => {
            let mut parts = parts.into_iter();
            let row = side(parts.next()?)?;
            let record = side(parts.next()?)?;
            let state = match parts.next() {
                None | Some(Json::Null) => State::Agreed,
                Some(Json::String(word)) if word == "owed" => State::Owed,
                Some(Json::String(word)) if word == "conflict" => State::Conflict(Box::default()),
                Some(Json::String(word)) => State::Differs(word.strip_prefix("differs: ").unwrap_or(&word).to_owned()),
                Some(Json::Object(told)) => read_dispute(told)?,
                Some(_) => return None,
            };
            let replaced = parts.next().map(read_replaced).unwrap_or_default();
            let edit = parts.next().and_then(read_edit).map(Box::new);
            Some(FieldBase { row, record, state, replaced, edit })
        }
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
    }
}

/// `{"conflict": agreed pair or null, "since": …}`; `held` in the place of `conflict` for what is held, `orders` or `crm` once a person decided for that side.
fn read_dispute(mut told: serde_json::Map<String, Json>) -> Option<State> {
    let (word, agreed) = ["conflict", "held", "orders", "crm"].into_iter().find_map(|word| Some((word, told.remove(word)?)))?;
    let agreed = match agreed {
        Json::Array(pair) => {
            let mut pair = pair.into_iter();
            Some((side(pair.next()?)?, side(pair.next()?)?))
        }
        _ => None,
    };
    let dispute = Box::new(Dispute { agreed, since: told.get("since").and_then(Json::as_i64) });
    Some(match word {
        "held" => State::Held(dispute),
        "orders" => State::Decided(Side::Orders, dispute),
        "crm" => State::Decided(Side::Crm, dispute),
        _ => State::Conflict(dispute),
    })
}

/// Text that is no such list names nothing: the next change of the row counts as an edit.
fn read_replaced(json: Json) -> Vec<Replaced> {
    let Json::Array(entries) = json else { return Vec::new() };
    let entry = |entry: Json| {
        let Json::Array(parts) = entry else { return None };
        let mut parts = parts.into_iter();
        Some(Replaced { value: side(parts.next()?)?, at: parts.next()?.as_i64()? })
    };
    entries.into_iter().filter_map(entry).collect()
}

/// `[value, at, precision]`.
fn read_edit(json: Json) -> Option<Edit> {
    let Json::Array(parts) = json else { return None };
    let mut parts = parts.into_iter();
    let value = side(parts.next()?)?;
    Some(Edit { value, at: Moment { at: parts.next()?.as_i64()?, precision: parts.next()?.as_i64()? } })
}

fn push_edit(out: &mut String, edit: &Edit) {
    out.push_str(",[");
    push_value(out, edit.value.as_deref());
    out.push_str(&format!(",{},{}]", edit.at.at, edit.at.precision));
}

fn push_replaced(out: &mut String, replaced: &[Replaced]) {
    for (at, one) in replaced.iter().enumerate() {
        out.push_str(if at == 0 { ",[[" } else { ",[" });
        push_value(out, one.value.as_deref());
        out.push_str(&format!(",{}]", one.at));
    }
    if !replaced.is_empty() {
        out.push(']');
    }
}

fn push_dispute(out: &mut String, word: &str, dispute: &Dispute) {
    out.push_str(",{\"");
    out.push_str(word);
    out.push_str("\":");
    match &dispute.agreed {
        Some((row, record)) => {
            out.push('[');
            push_value(out, row.as_deref());
            out.push(',');
            push_value(out, record.as_deref());
            out.push(']');
        }
        None => out.push_str("null"),
    }
    if let Some(since) = dispute.since {
        out.push_str(&format!(",\"since\":{since}"));
    }
    out.push('}');
}

fn side(json: Json) -> Option<Value> {
    match json {
        Json::Null => Some(None),
        Json::String(text) => Some(Some(text)),
        _ => None,
    }
}

fn push_field(
    out: &mut String,
    property: &str,
    (row, record): (Option<&str>, Option<&str>),
    state: &State,
    replaced: &[Replaced],
    edit: Option<&Edit>,
) {
    if out.len() > 1 {
        out.push(',');
    }
    push_text(out, property);
    out.push(':');
    if *state == State::Agreed && replaced.is_empty() && edit.is_none() && row == record {
        return push_value(out, row);
    }
    out.push('[');
    push_value(out, row);
    out.push(',');
    push_value(out, record);
    match state {
        State::Agreed if replaced.is_empty() && edit.is_none() => {}
        State::Agreed => out.push_str(",null"),
        State::Owed => out.push_str(",\"owed\""),
        State::Conflict(dispute) => push_dispute(out, "conflict", dispute),
        State::Decided(take, dispute) => push_dispute(out, take.word(), dispute),
        State::Held(dispute) => push_dispute(out, "held", dispute),
        State::Differs(reason) => {
            out.push(',');
            push_text(out, &format!("differs: {reason}"));
        }
    }
    push_replaced(out, replaced);
    if let Some(edit) = edit {
        if replaced.is_empty() {
            out.push_str(",[]");
        }
        push_edit(out, edit);
    }
    out.push(']');
}

fn push_value(out: &mut String, value: Option<&str>) {
    match value {
        Some(text) => push_text(out, text),
        None => out.push_str("null"),
    }
}

fn push_text(out: &mut String, text: &str) {
    // Without a branch per byte, so that the compiler looks at many at a time.
    if text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\')) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Json::String(text.to_owned()).to_string());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merge::tests::spec;

    fn any_field() -> impl Strategy<Value = Option<FieldBase>> {
        let side = || prop::option::of("[ -~é\\n\"]{0,6}");
        let dispute = || {
            let parts = (prop::option::of((side(), side())), prop::option::of(any::<Millis>()));
            parts.prop_map(|(agreed, since)| Box::new(Dispute { agreed, since }))
        };
        let taken = prop_oneof![Just(Side::Orders), Just(Side::Crm)];
        let replaced = prop::collection::vec((side(), any::<Millis>()).prop_map(|(value, at)| Replaced { value, at }), 0..3);
        let state = prop_oneof![
            Just(State::Agreed),
            Just(State::Owed),
            dispute().prop_map(State::Conflict),
            (taken, dispute()).prop_map(|(take, dispute)| State::Decided(take, dispute)),
            dispute().prop_map(State::Held),
            "[a-z ]{1,8}".prop_map(State::Differs)
        ];
        let moment = (any::<Millis>(), any::<Millis>()).prop_map(|(at, precision)| Moment { at, precision });
        let edit = prop::option::of((side(), moment).prop_map(|(value, at)| Box::new(Edit { value, at })));
        let field = (side(), side(), state, replaced, edit);
        prop::option::of(field.prop_map(|(row, record, state, replaced, edit)| FieldBase { row, record, state, replaced, edit }))
    }

    proptest! {
        #[test]
        fn a_base_is_read_back_as_it_was_written(fields in prop::collection::vec(any_field(), 3)) {
            let spec = spec();
            let base = Base { fields };
            prop_assert_eq!(Base::from_json(&spec, &base.to_json(&spec)), base);
        }
    }

    #[test]
    fn a_conflict_that_an_earlier_version_noticed_is_still_one() {
        let base = Base::from_json(&spec(), r#"{"phone":["2","3","conflict"]}"#);
        assert_eq!((base.conflicts(), base.is_open()), (1, true));
    }

    #[test]
    fn a_base_that_is_not_one_meets_everything_afresh() {
        assert_eq!(Base::from_json(&spec(), "not json"), Base::unmet(&spec()));
    }
}
