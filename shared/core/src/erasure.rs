//! Decides whether a person can be erased now, by what one who was erased is known again, and what is said when that happens. Erases nothing, and keeps no plain value.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Millis;
use crate::link::{LinkState, LinkView};
use crate::record::{RemoteId, RowKey};
use crate::spec::StreamSpec;
use crate::why::time;

/// The class of a debt that waits because its person was erased. Who retries such a debt lets the person in again.
pub const CLASS: &str = "erased";

/// What a comparison says of them meanwhile.
pub const WAITS: &str = "its person was erased: whether they are let in again waits for a person";

/// A stamp that no version is newer than: a record under it never comes back by itself. Far below the largest number, so that a lag may be added to it.
pub const NEVER: Millis = 1 << 53;

/// Where an erasure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The row and all that was kept are gone; the record is still to be.
    Begun,
    /// Both sides are.
    Done,
    /// A person let the one who was erased in again: the match keys stop nobody any more.
    Lifted,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Begun, Self::Done, Self::Lifted];

    pub fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Lifted => "lifted",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// Why nothing is erased now, and what to do. `one_way`: there are no records on the other side, so that none is waited for.
pub fn refusal(link: Option<&LinkView>, one_way: bool) -> Option<&'static str> {
    let link = link?;
    if link.push_leased {
        return Some("a push of it is under way: try again in a minute");
    }
    match link.state {
        LinkState::Creating if one_way => None,
        LinkState::Linked | LinkState::Tombstone => None,
        LinkState::Creating if link.ghosts.is_empty() => None,
        LinkState::Creating => {
            Some("its record is being made, and its id is not known yet: wait until `tidemark why` shows it linked")
        }
        LinkState::Double => {
            Some("its record was merged into another row's: merge the rows first, then erase the one that is left")
        }
    }
}

/// What is remembered of a match key: enough to know the same value again, by who has the key; not the value.
///
/// HMAC-SHA-256 over the property and the value as it is compared, without the case and the spaces around it. `None` for a blank.
pub fn digest(key: &[u8], property: &str, value: Option<&str>) -> Option<String> {
    let value = value.map(str::trim).filter(|value| !value.is_empty())?.to_lowercase();
    // A key of any length will do.
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let mac = mac.chain_update(property).chain_update([0]).chain_update(value).finalize();
    Some(mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The digests of one side's match keys. `value` gives a field's value in the record's form.
pub fn digests<'a>(spec: &StreamSpec, key: &[u8], value: impl Fn(usize) -> Option<&'a str>) -> Vec<String> {
    let of = |property: &String| digest(key, property, value(spec.field(property)?.0));
    let mut digests: Vec<String> = spec.match_on.iter().filter_map(of).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}

/// What a debt says that waits because its person was erased: cause and next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    pub cause: String,
    pub next_step: String,
}

/// A record that nobody knew carries the match key of one who was erased.
pub fn record_again(id: &RemoteId, erased_at: Millis) -> Again {
    Again {
        cause: format!("record {id} carries a match key of a person who was erased on {} UTC", time(erased_at)),
        next_step: "erase it too with `tidemark erase STREAM --record ID`; or, if the person has agreed anew, retry: it becomes a row then".into(),
    }
}

/// The order system has a row again for one who was erased.
pub fn row_again(key: &RowKey, erased_at: Millis) -> Again {
    Again {
        cause: format!("row {key} carries a match key of a person who was erased on {} UTC, and was made again since", time(erased_at)),
        next_step: "if the person came back and agreed anew, retry: it is sent then; if an import or a backup brought it back, erase it with `tidemark erase STREAM ROW`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Base;
    use crate::ghost::Ghosts;
    use crate::push::Sent;

    #[test]
    fn a_digest_knows_the_value_again_and_gives_nothing_away() {
        let of = |key: &[u8], property: &str, value: &str| digest(key, property, Some(value));
        let ana = of(b"k", "email", "ana@acme.test");
        assert_eq!(ana, of(b"k", "email", "  Ana@ACME.test "), "as match keys are compared");
        assert_ne!(ana, of(b"k", "email", "bo@acme.test"));
        assert_ne!(ana, of(b"k", "phone", "ana@acme.test"));
        assert_ne!(ana, of(b"another", "email", "ana@acme.test"), "who has not the key cannot try values");
        assert!(ana.is_some_and(|text| text.len() == 64 && !text.contains("ana")));
        assert_eq!((of(b"k", "email", " "), digest(b"k", "email", None)), (None, None));
    }

    #[test]
    fn the_digest_is_the_hmac_of_the_standard() {
        let expect = "3cf831b859c0d97d2c9a7b793c9884adf4e7c9023f36cbfdf77f7b7621985cbb";
        assert_eq!(digest(b"key", "email", Some("a")).as_deref(), Some(expect));
    }

    fn link(state: LinkState) -> LinkView {
        LinkView {
            state,
            gone: None,
            base: Base::default(),
            seen: None,
            written_at: None,
            push_leased: false,
            ghosts: Ghosts::default(),
        }
    }

    #[test]
    fn what_is_on_its_way_is_not_erased() {
        assert_eq!(refusal(None, false), None);
        assert_eq!(refusal(Some(&link(LinkState::Linked)), false), None);
        assert_eq!(refusal(Some(&link(LinkState::Tombstone)), false), None);
        assert_eq!(refusal(Some(&link(LinkState::Creating)), false), None, "nothing ever left for it");
        assert!(refusal(Some(&link(LinkState::Double)), false).is_some());
        assert!(refusal(Some(&LinkView { push_leased: true, ..link(LinkState::Linked) }), true).is_some());
    }

    #[test]
    fn what_was_told_and_not_answered_for_is_waited_for_only_where_a_record_may_come_of_it() {
        let sent = [Sent { field: 0, row: Some("Ana".into()), record: Some("Ana".into()) }];
        let unheard = LinkView { ghosts: Ghosts::default().with(&sent, "a", 5), ..link(LinkState::Creating) };
        assert!(refusal(Some(&unheard), false).is_some_and(|why| why.contains("is being made")));
        assert_eq!(refusal(Some(&unheard), true), None, "a dead hook never answers");
    }

    #[test]
    fn one_who_was_erased_is_not_silently_kept_away() {
        let record = record_again(&RemoteId::new("501"), 0);
        assert!(record.cause.contains("record 501") && record.next_step.contains("retry"));
        let row = row_again(&RowKey::new("7"), 0);
        assert!(
            row.cause.contains("row 7") && row.cause.contains("1970-01-01 00:00:00 UTC") && row.next_step.contains("agreed anew")
        );
    }
}
