//! Decides which numbered page is asked for next: where the source counts, from the last to the first; where it does not, on to the last and back. Knows no CRM.

use super::{Answered, Ask, At, Course, Fault, Place, rest};
use crate::source::SourceTraits;
use crate::sweep::EVERY_STAMP;
use crate::window::Window;

/// From the last page to the first, whose count the first answer tells.
pub(super) fn counted(
    traits: &SourceTraits,
    window: Window,
    place: &Place,
    ask: Ask<'_>,
    answer: Answered<'_>,
) -> Result<Course, Fault> {
    let total = answer.total.ok_or(Fault::Uncounted)?;
    let (number, counted, rows) = match place.at {
        At::Page { number, counted, rows } => (number, counted, rows),
        // The first answer only counts, unless it is all there is.
        _ if total <= answer.records.len() as u64 => return Ok(rest(traits, window, place)),
        _ => {
            let pages = total.div_ceil(u64::from(ask.rows_max));
            return Ok(Course::More(place.at(At::Page { number: pages, counted: total, rows: ask.rows_max })));
        }
    };
    // Whoever reads everything meets each new record as growth: a part that is begun again for it would never end. Who moved past us meanwhile is met by the next reading
    // of everything. A tie is read by itself, and nobody comes into it late but by a late commit.
    let of_everything = !traits.stamped || window.until >= EVERY_STAMP.until;
    if total > counted && (!of_everything || place.is_one_step(traits)) {
        return place.once_more().map(Course::More);
    }
    Ok(match number {
        0 | 1 => rest(traits, window, place),
        _ => Course::More(place.at(At::Page { number: number - 1, counted: total, rows })),
    })
}

/// Whoever leaves moves others to earlier pages: past us on the way on, towards us on the way back.
pub(super) fn uncounted(
    traits: &SourceTraits,
    window: Window,
    place: &Place,
    ask: Ask<'_>,
    answer: Answered<'_>,
) -> Result<Course, Fault> {
    let (number, rows) = match &place.at {
        At::Back { number: 0 | 1, .. } => return Ok(rest(traits, window, place)),
        At::Back { number, rows } => return Ok(Course::More(place.at(At::Back { number: number - 1, rows: *rows }))),
        At::Onward { number, rows, .. } => (*number, *rows),
        _ => (1, ask.rows_max),
    };
    let last = answer.records.last().map(|record| record.id.0.clone());
    match last {
        None if answer.more => Err(Fault::Promised(None)),
        // A source that takes no number gives the same page for ever.
        Some(last) if answer.more && matches!(&place.at, At::Onward { behind, .. } if *behind == last) => {
            Err(Fault::Repeated(last))
        }
        Some(behind) if answer.more => Ok(Course::More(place.at(At::Onward { number: number + 1, rows, behind }))),
        _ if number == 1 => Ok(rest(traits, window, place)),
        _ => Ok(Course::More(place.at(At::Back { number: number - 1, rows }))),
    }
}
