//! Remembers what was sent with an unknown outcome: a worker that died before it heard the answer, a call that timed out, a write that lands late.
//!
//! Such a value may show up in the record at any moment until the CRM has surely dropped the request. It is then our own write coming through, not a change somebody
//! made there: it neither makes a conflict nor overwrites a newer row. A ghost is written down right before the call, forgotten with a known outcome, and laid
//! to rest by a read asked for after its last moment. An answer that does not say how the CRM has written a value leaves it a ghost until the record is read.

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::push::Sent;
use crate::record::Value;
use crate::spec::StreamSpec;

/// One field's value on its way to the CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ghost {
    pub sent: Sent,
    /// The claim it was sent under; empty once the claim was answered.
    pub fence: String,
    /// It has landed by then or never will, database clock.
    pub until: Millis,
}

/// The ghosts of one link, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ghosts(Vec<Ghost>);

/// As stored, by property name, so that a change of the mapping forgets only what it took away.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    property: String,
    row: Value,
    record: Value,
    fence: String,
    until: Millis,
}

impl Ghosts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was sent and not heard of, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.0.iter().map(|ghost| ghost.sent.clone()).collect()
    }

    /// When the last of them has landed or never will.
    pub fn until(&self) -> Option<Millis> {
        self.0.iter().map(|ghost| ghost.until).max()
    }

    /// The newest one a field's record value comes from, as it was sent or as the CRM may have written it.
    pub fn of(&self, field: usize, record: Option<&str>) -> Option<&Ghost> {
        let mut newest_first = self.0.iter().rev();
        newest_first.find(|ghost| ghost.sent.field == field && may_come_from(ghost.sent.record.as_deref(), record))
    }

    /// With what is about to be sent under a fence; what the same claim sent before is replaced.
    pub fn with(&self, sent: &[Sent], fence: &str, until: Millis) -> Self {
        let mut ghosts = self.without(fence);
        ghosts.0.extend(sent.iter().map(|sent| Ghost { sent: sent.clone(), fence: fence.to_owned(), until }));
        ghosts
    }

    /// A claim's call was given up: what it sent has landed by `until` or never will.
    pub fn given_up(&self, fence: &str, until: Millis) -> Self {
        let give_up = |ghost: &Ghost| Ghost { until: if ghost.fence == fence { until } else { ghost.until }, ..ghost.clone() };
        Self(self.0.iter().map(give_up).collect())
    }

    /// What is left once the outcome of a claim's calls is known.
    pub fn without(&self, fence: &str) -> Self {
        Self(self.0.iter().filter(|ghost| ghost.fence != fence).cloned().collect())
    }

    /// A claim's call was answered at `at`, but without the values of every field: whatever of the others shows up is still how the CRM wrote what it was sent, whatever
    /// else becomes of the claim.
    pub fn untold(&self, fence: &str, is_told: impl Fn(usize) -> bool, at: Millis) -> Self {
        let untold = |ghost: &&Ghost| ghost.fence != fence || !is_told(ghost.sent.field);
        let kept = self.0.iter().filter(untold).cloned();
        let answered =
            |ghost: Ghost| if ghost.fence == fence { Ghost { fence: String::new(), until: at, ..ghost } } else { ghost };
        Self(kept.map(answered).collect())
    }

    /// What is left once these fields were written by a claim made at `claimed_at`: what had landed by then was overwritten, and who writes it now is somebody else.
    pub fn overwritten(&self, sent: &[Sent], claimed_at: Millis) -> Self {
        let over = |ghost: &&Ghost| ghost.until < claimed_at && sent.iter().any(|sent| sent.field == ghost.sent.field);
        Self(self.0.iter().filter(|ghost| !over(ghost)).cloned().collect())
    }

    /// What may still land after a record was read as it stood at `as_of`.
    pub fn after(&self, as_of: Millis) -> Self {
        Self(self.0.iter().filter(|ghost| ghost.until >= as_of).cloned().collect())
    }

    /// `None` when there are none, which is nearly always.
    pub fn to_json(&self, spec: &StreamSpec) -> Option<String> {
        let stored = |ghost: &Ghost| {
            let field = spec.fields.get(ghost.sent.field)?;
            Some(Stored {
                property: field.property.clone(),
                row: ghost.sent.row.clone(),
                record: ghost.sent.record.clone(),
                fence: ghost.fence.clone(),
                until: ghost.until,
            })
        };
        let stored: Vec<Stored> = self.0.iter().filter_map(stored).collect();
        if stored.is_empty() { None } else { serde_json::to_string(&stored).ok() }
    }

    /// Text that is not a list of ghosts holds none.
    pub fn from_json(spec: &StreamSpec, text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        let stored: Vec<Stored> = serde_json::from_str(text).unwrap_or_default();
        let ghost = |stored: Stored| {
            let (field, _) = spec.field(&stored.property)?;
            let sent = Sent { field, row: stored.row, record: stored.record };
            Some(Ghost { sent, fence: stored.fence, until: stored.until })
        };
        Self(stored.into_iter().filter_map(ghost).collect())
    }
}

/// CRMs rewrite what they are sent: case, spaces, punctuation of phone numbers. Anything further is somebody's change.
fn may_come_from(sent: Option<&str>, record: Option<&str>) -> bool {
    let letters =
        |text: &str| text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    match (sent.filter(|text| !text.is_empty()), record.filter(|text| !text.is_empty())) {
        (None, None) => true,
        (Some(sent), Some(record)) => sent == record || (letters(sent) == letters(record) && !letters(sent).is_empty()),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::spec;

    fn sent(record: &str) -> Sent {
        Sent { field: 2, row: Some(record.to_owned()), record: Some(record.to_owned()) }
    }

    #[test]
    fn a_value_that_the_answer_does_not_tell_stays_known_until_a_later_read() {
        let two = [sent("1"), Sent { field: 1, ..sent("2") }];
        let left = Ghosts::default().with(&two, "a", 90).with(&[sent("3")], "b", 95).untold("a", |field| field == 1, 10);
        assert!(left.of(2, Some("1")).is_some() && left.of(1, Some("2")).is_none(), "the answer told field 1");
        assert!(left.after(11).of(2, Some("1")).is_none(), "read after the answer");
        assert_eq!(left.after(11).until(), Some(95), "another claim's call goes on");
        assert_eq!(left.without("a"), left, "its references are settled under the same claim later");
    }

    #[test]
    fn what_had_landed_before_the_field_was_written_again_is_no_write_of_ours_any_more() {
        let ghosts = Ghosts::default().with(&[sent("1"), Sent { field: 1, ..sent("2") }], "a", 90).untold("a", |_| false, 10);
        let left = ghosts.overwritten(&[sent("3")], 11);
        assert!(left.of(2, Some("1")).is_none() && left.of(1, Some("2")).is_some(), "the other field was not written");
        assert_eq!(ghosts.overwritten(&[sent("3")], 10), ghosts, "it may have landed after");
    }

    #[test]
    fn ghosts_are_read_back_as_they_were_written() {
        let ghosts = Ghosts::default().with(&[sent("1")], "a", 10).with(&[sent("2")], "b", 20);
        assert_eq!(Ghosts::from_json(&spec(), ghosts.to_json(&spec()).as_deref()), ghosts);
        assert_eq!(Ghosts::default().to_json(&spec()), None);
    }

    #[test]
    fn a_known_outcome_forgets_only_its_own_claim() {
        let ghosts = Ghosts::default().with(&[sent("1")], "a", 10).with(&[sent("2")], "b", 20);
        assert!(ghosts.without("b").of(2, Some("1")).is_some());
        assert!(ghosts.without("b").of(2, Some("2")).is_none());
        assert_eq!((ghosts.after(11).until(), ghosts.after(21).until()), (Some(20), None));
    }

    #[test]
    fn a_value_the_crm_wrote_its_own_way_is_still_ours() {
        let ghosts = Ghosts::default().with(&[sent("+49 (30) 12-34")], "a", 10);
        assert!(ghosts.of(2, Some("+49301234")).is_some());
        assert!(ghosts.of(2, Some("+49301235")).is_none());
        assert!(ghosts.of(2, None).is_none());
        assert!(ghosts.of(1, Some("+49301234")).is_none(), "another field");
    }
}
