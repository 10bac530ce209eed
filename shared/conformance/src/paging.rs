//! Cases about the pages of one query: how far they reach, and how long what asks for the next one is taken.

use eyre::{WrapErr, ensure, eyre};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;
use tidemark_core::source::{Next, Paging};

use crate::Verdict;
use crate::asking::{around, missing};
use crate::bench::Bench;

/// So few records a query of the practice CRM reaches while that is tried, unless a smaller cap is declared.
const REACHED: u32 = 6;

pub(crate) async fn caps(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    let Some(reach) = practice.reach else { return Ok(Verdict::NotDeclared) };
    let declared = bench.traits()?.result_cap.unwrap_or(REACHED);
    ensure!(u64::from(declared) <= reach, "a query is said to reach {declared} records, and reaches {reach}");
    // Of a cap that is larger only that can be tried: a query that reaches less than was declared is no end.
    let (as_declared, cap) = (declared <= REACHED, declared.min(REACHED));
    practice.cap(Some(cap)).await?;
    let read = beyond(bench, cap as usize, as_declared).await;
    practice.cap(None).await?;
    read.map(|()| Verdict::Holds)
}

/// Reads more records than a query reaches: of many stamps, which all have to come where the cap is the declared one, and of one, where a refusal that is said will do.
async fn beyond(bench: &Bench, cap: usize, as_declared: bool) -> eyre::Result<()> {
    let step = i64::from(bench.traits()?.precision_ms);
    let rows_max = u16::try_from(cap / 2)?.max(1);
    let many = made_at(bench, "p", 0..2 * cap + 1).await?;
    let tie = made_at(bench, "q", std::iter::repeat_n(10 * cap, cap + 2)).await?;
    bench.later().await?;
    for (all, may_be_said) in [(many, !as_declared), (tie, true)] {
        match bench.window(around(&bench.stamps(&all).await?, step), rows_max).await {
            Ok(found) => {
                let lost = missing(&all, &found).len();
                ensure!(
                    lost == 0,
                    "{lost} of {} records did not come, where a query reaches {cap}, and nothing was said of it",
                    all.len()
                );
            }
            Err(error) => ensure!(may_be_said && is_said(&error), error),
        }
    }
    Ok(())
}

/// The CRM refuses to go further, or the reading ends of itself. Of any other failure nobody knows what it would have come to.
fn is_said(error: &eyre::Report) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| matches!(failure.class, Class::Rejected | Class::Malformed))
}

/// One record at each of these moments.
async fn made_at(bench: &Bench, who: &str, moments: impl Iterator<Item = usize>) -> eyre::Result<Vec<RemoteId>> {
    let mut made = Vec::new();
    for (number, at) in moments.enumerate() {
        bench.moment(at).await?;
        made.push(bench.make(&format!("{who}{number}")).await?);
    }
    Ok(made)
}

/// Records of one stamp: where pages go by stamp, only there a token leads on.
const TIED: usize = 7;
/// More pages than these records fill in any way.
const PAGES_MAX: usize = 60;

pub(crate) async fn worn(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    let traits = bench.traits()?;
    if traits.paging != Paging::Tokens || !practice.can_wear() {
        return Ok(Verdict::NotDeclared);
    }
    let all = made_at(bench, "p", std::iter::repeat_n(0, TIED)).await?;
    bench.later().await?;
    let window = around(&bench.stamps(&all).await?, i64::from(traits.precision_ms));
    let wanted = bench.wanted();
    let (mut found, mut position, mut worn) = (Vec::new(), None, false);
    for _ in 0..PAGES_MAX {
        bench.ready().await?;
        let asking = bench.asking(&wanted, window, 2, position.as_ref());
        let mut answer = bench.crm.read_page(&asking).await;
        // The first token that is used wears out before; whether a page is asked for with one only its refusal tells.
        if !worn {
            practice.wear(true).await?;
            let late = bench.crm.read_page(&asking).await;
            practice.wear(false).await?;
            worn = late.callout.class.is_some();
            if worn {
                answer = late;
            }
        }
        let page = answer.result.wrap_err("a window whose token wore out")?;
        found.extend(page.records);
        match page.next {
            Next::More(more) => position = Some(more),
            Next::Drained => {
                ensure!(worn, "no page was refused whose token had worn out");
                let lost = missing(&all, &found).len();
                ensure!(lost == 0, "{lost} of {} records did not come, of a window whose token wore out", all.len());
                return Ok(Verdict::Holds);
            }
        }
    }
    Err(eyre!("a window whose token wore out does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_to_go_further_says_that_records_are_missing() {
        for class in Class::ALL {
            let told = Err::<(), _>(Failure::new(class, "no")).wrap_err("reading a window").unwrap_err();
            assert_eq!(is_said(&told), matches!(class, Class::Rejected | Class::Malformed), "{}", class.word());
        }
        assert!(!is_said(&eyre!("a window does not end")));
    }
}
