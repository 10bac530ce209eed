//! The end of a seed: nobody edits, nothing fails, and both sides have to come to agree within a bound and then be silent.

use std::time::Duration;

use tidemark_core::Millis;
use tidemark_store::pace::Driver;
use tidemark_store::streams;

use super::laws;
use super::world::World;

/// Turns within which both sides must agree once it is calm.
const CALM_TURNS: u32 = 25_000;
/// Turns in which people still merge rows of one record; what comes up later goes on waiting for them.
const ROWS_MERGED_UNTIL: u32 = 1_600;
/// Quiet time that must pass without a write, after agreement.
const SILENCE: Millis = 20_000;

impl World {
    /// Nobody edits, nothing fails: both sides come to agree within a bound, and then nothing is written any more.
    pub(crate) async fn calm(&mut self) -> eyre::Result<Vec<String>> {
        self.note(|| "it is calm".into());
        self.start_outdated_workers_anew().await?;
        self.face.model().fair = true;
        (self.swarm.drop_hint, self.swarm.double_hint) = (0.0, 0.0);
        self.jobs.values_mut().for_each(|job| job.frozen_until = 0);
        // By the CRM's clock, which may have been far ahead a moment ago: what it stamped then is read when that time comes.
        let last_edit = {
            let crm = self.face.model();
            crm.latest().max(crm.now()) + self.swarm.request_life + self.swarm.precision
        };
        let calm_from = self.turns.now() + self.swarm.index_lag;
        let mut silent_since: Option<(Millis, u64)> = None;
        for turn in 0..CALM_TURNS {
            self.step += 1;
            self.keep_going(turn).await?;
            let breaches = self.turn().await?;
            if !breaches.is_empty() {
                return Ok(breaches);
            }
            if turn.is_multiple_of(40) {
                self.answer_brakes().await?;
                self.let_records_go().await?;
                self.adopt().await?;
            }
            if turn < ROWS_MERGED_UNTIL && turn.is_multiple_of(40) {
                self.merge_rows().await?;
            }
            if !turn.is_multiple_of(40)
                || !self.is_quiet(last_edit).await?
                || !self.is_swept_since(calm_from).await?
                || self.complete_the_mapping().await?
            {
                continue;
            }
            let (now, writes) = (self.turns.now(), self.face.model().writes);
            match silent_since {
                None => {
                    let breaches = self.verdict().await?;
                    if !breaches.is_empty() {
                        return Ok(breaches);
                    }
                    silent_since = Some((now, writes));
                }
                Some((since, before)) if writes != before || self.last_write > since => {
                    return Ok(vec![format!(
                        "something was written after agreement: {} calls, last row {}",
                        writes - before,
                        self.last_write
                    )]);
                }
                Some((since, _)) if now - since > SILENCE => return Ok(Vec::new()),
                Some(_) => {}
            }
        }
        let quiet = streams::quiet(&self.store).await?;
        let debts = self.orders.texts("SELECT s.object, d.kind, d.subject, d.state, d.cause, CAST(d.attempts AS TEXT) FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id", 6).await?;
        Ok(vec![format!("no rest after {CALM_TURNS} calm turns: {quiet:?}; {debts:?}")])
    }

    pub(crate) async fn verdict(&mut self) -> eyre::Result<Vec<String>> {
        self.orders.look().await?;
        let mut breaches = self.remember_conflicts().await?;
        let known = self.decisions().await?;
        let parked = "SELECT s.object, d.kind, d.subject, d.cause FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id WHERE d.state = 'parked'";
        let parked = self.orders.texts(parked, 4).await?;
        let (merging, parked): (Vec<_>, Vec<_>) = parked.into_iter().partition(|debt| self.waits_for_its_rows_to_be_merged(debt));
        self.ledger.waiting = merging.into_iter().filter_map(|debt| debt.get(2).cloned().flatten()).collect();
        self.ledger.waiting.extend(self.unsent_namesakes());
        breaches.extend({
            let crm = self.face.model();
            laws::at_rest(&self.orders, &crm, &self.ledger, &known, &self.swarm)
        });
        breaches.extend(parked.iter().map(|debt| format!("something waits for a person though nothing is wrong: {debt:?}")));
        Ok(breaches)
    }

    pub(crate) async fn keep_going(&mut self, turn: u32) -> eyre::Result<()> {
        match turn % 24 {
            0 => self.schedule(),
            2 | 14 => self.relay(),
            at if at % 2 == 1 => self.deliver(),
            _ => {}
        }
        // Never so fast that a call takes longer than it may, or a lease ends, only because everybody waits for a turn.
        let busy = if self.swarm.lease > Duration::from_secs(30) { 300 } else { 100 };
        let most = if self.turns.ready().is_empty() { 1_000 } else { busy };
        if most == 1_000 || turn.is_multiple_of(12) {
            let next = self.turns.next_moment().map_or(most, |moment| (moment - self.turns.now()).clamp(1, most));
            self.pass(next).await?;
        }
        Ok(())
    }

    /// A restored database has forgotten that the CRM's clock was set back, and its cursors are ahead of what was stamped since: the next sweep finds it.
    async fn is_swept_since(&self, moment: Millis) -> eyre::Result<bool> {
        let swarm = &self.swarm;
        if !(swarm.restores && swarm.clock_steps && swarm.sweeps) {
            return Ok(true);
        }
        let unswept = format!(
            "SELECT name FROM tidemark_stream s WHERE NOT EXISTS (SELECT 1 FROM tidemark_window w
             WHERE w.stream_id = s.id AND w.reader = 'sweep' AND w.state = 'completed' AND w.started_at >= {moment})"
        );
        Ok(self.orders.texts(&unswept, 1).await?.is_empty())
    }

    pub(crate) async fn is_quiet(&self, last_edit: Millis) -> eyre::Result<bool> {
        let quiet = streams::quiet(&self.store).await?;
        let (landing, written) = {
            let crm = self.face.model();
            (!crm.landings.is_empty(), crm.latest() + self.swarm.precision)
        };
        // Our own last write hides an edit from right before it until its stamp is read again.
        Ok(!landing && quiet.is_quiet_since(last_edit.max(written)) && !self.is_held().await?)
    }
}
