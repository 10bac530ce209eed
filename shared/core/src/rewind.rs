//! Decides whether the readers of a stream may be set back, how far, and what reading again costs. Moves nothing.
//!
//! Reading again is safe at any time: a version that a link has seen is not merged twice. So what is refused is only what would do nothing, or something else than was
//! asked for.

use crate::Millis;
use crate::why::time;

/// How far back, CRM clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    To(Millis),
    /// By so much before where the fast reader stands.
    By(Millis),
}

/// Where a stream's readers stand, CRM clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub is_loaded: bool,
    /// `None` while everything is being read from the start.
    pub fast: Option<Millis>,
    pub crm_now: Millis,
}

/// Why a stream is not rewound; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it was not loaded yet, and its first load reads everything: there is nothing to read again")]
    NotLoaded,
    #[error("everything is being read from the start already: wait for it, `tidemark status` says how far it is")]
    FromTheStart,
    #[error("{} lies in the future: the CRM's clock says {}. Name an earlier time", time(*to), time(*crm_now))]
    Future { to: Millis, crm_now: Millis },
    #[error(
        "the readers have come up to {} and no farther: what was modified since {} is read by itself. Name an earlier time",
        time(*fast),
        time(*to)
    )]
    NotReadYet { to: Millis, fast: Millis },
    #[error(
        "no record is stamped before 1970, so there is nothing to read there. Name a later time; `tidemark sweep` reads every record, whatever its stamp"
    )]
    BeforeEveryStamp,
}

/// Where the readers are set to: everything modified since then is read again. Neither of them is ever set forward.
pub fn target(standing: Standing, back: Back) -> Result<Millis, Refused> {
    if !standing.is_loaded {
        return Err(Refused::NotLoaded);
    }
    let Some(fast) = standing.fast else { return Err(Refused::FromTheStart) };
    let to = match back {
        Back::To(to) if to > standing.crm_now => return Err(Refused::Future { to, crm_now: standing.crm_now }),
        Back::To(to) => to,
        // A cursor that lies ahead of the CRM's clock is read from that clock, too.
        Back::By(by) => fast.min(standing.crm_now).saturating_sub(by),
    };
    if to < 0 {
        return Err(Refused::BeforeEveryStamp);
    }
    if to >= fast {
        return Err(Refused::NotReadYet { to, fast });
    }
    Ok(to)
}

/// How a stream is read, and what its connection may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    pub page_rows: u64,
    /// Records whose references one call tells.
    pub batch_rows: u64,
    pub reference_fields: u64,
    pub searches_per_second: f64,
    pub calls_per_second: f64,
    /// Calls of the connection that are left of the day; `None` where nothing bounds them.
    pub day_left: Option<u64>,
}

/// What reading so many records again takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub records: u64,
    pub calls: u64,
    pub seconds: u64,
    /// Of the day's calls that are left, how many in a thousand; more than a thousand: it goes on tomorrow.
    pub day_permille: Option<u64>,
}

/// The least it takes. Both readers read it, each to its own end: the settled one for what shows late.
pub fn cost(records: u64, terms: Terms) -> Cost {
    let pages = records.div_ceil(terms.page_rows.max(1)).max(1);
    let references = terms.reference_fields * records.div_ceil(terms.batch_rows.max(1));
    let (searches, others) = (2 * pages, 2 * references);
    let calls = searches + others;
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
    let seconds = (searches as f64 / terms.searches_per_second.max(0.001) + others as f64 / terms.calls_per_second.max(0.001))
        .ceil() as u64;
    let day_permille = terms.day_left.map(|left| (calls * 1_000).div_ceil(left.max(1)));
    Cost { records, calls, seconds, day_permille }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = 1_772_359_863_000;
    const FAST: Millis = NOW - 5_000;
    const STANDS: Standing = Standing { is_loaded: true, fast: Some(FAST), crm_now: NOW };

    fn check(standing: Standing, back: Back, expect: Result<Millis, &str>) {
        let got = target(standing, back).map_err(|refused| refused.to_string());
        match expect {
            Ok(to) => assert_eq!(got, Ok(to)),
            Err(words) => assert!(got.as_ref().is_err_and(|said| said.contains(words)), "{got:?} does not say {words:?}"),
        }
    }

    #[test]
    fn a_time_behind_the_readers_is_where_they_are_set() {
        check(STANDS, Back::To(NOW - 60_000), Ok(NOW - 60_000));
        check(STANDS, Back::To(0), Ok(0));
        check(STANDS, Back::By(60_000), Ok(FAST - 60_000));
    }

    #[test]
    fn what_would_do_nothing_is_refused_in_words() {
        check(STANDS, Back::To(NOW + 1), Err("2026-03-01 10:11:03"));
        check(STANDS, Back::To(NOW - 1_000), Err("up to 2026-03-01 10:10:58 and no farther"));
        check(STANDS, Back::By(0), Err("no farther"));
        check(STANDS, Back::To(-1), Err("before 1970"));
        check(STANDS, Back::By(Millis::MAX), Err("before 1970"));
        check(Standing { is_loaded: false, fast: None, ..STANDS }, Back::By(1_000), Err("first load"));
        check(Standing { fast: None, ..STANDS }, Back::By(1_000), Err("from the start already"));
    }

    #[test]
    fn a_cursor_in_the_future_is_no_start_to_count_from() {
        check(Standing { fast: Some(NOW + 3_600_000), ..STANDS }, Back::By(1_000), Ok(NOW - 1_000));
    }

    const TERMS: Terms = Terms {
        page_rows: 200,
        batch_rows: 100,
        reference_fields: 1,
        searches_per_second: 4.0,
        calls_per_second: 10.0,
        day_left: Some(1_000),
    };

    #[test]
    fn both_readers_pay_for_pages_and_references() {
        // 3 pages and 5 calls for references, twice.
        assert_eq!(cost(410, TERMS), Cost { records: 410, calls: 16, seconds: 3, day_permille: Some(16) });
        let free = Terms { reference_fields: 0, day_left: None, ..TERMS };
        assert_eq!(cost(0, free), Cost { records: 0, calls: 2, seconds: 1, day_permille: None });
        assert_eq!(cost(200_000, Terms { day_left: Some(0), ..TERMS }).day_permille, Some(6_000_000));
    }

    proptest! {
        #[test]
        fn nothing_is_ever_set_forward(fast in 0..NOW, to in 0..NOW, by in 0i64..NOW) {
            for back in [Back::To(to), Back::By(by)] {
                if let Ok(to) = target(Standing { fast: Some(fast), ..STANDS }, back) {
                    prop_assert!(to < fast && to >= 0);
                }
            }
        }
    }
}
