//! What nobody can exclude in a CRM without a key of ours: a worker that stands still between its look-up and its call for longer than its claim holds. Says whose second
//! record that made; that it was detected is a law.

use tidemark_core::Millis;
use tidemark_core::window::millis;

use super::crm::{Author, Crm};

/// A job's last look-up by what is in records: its place in the order of events, and its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looked {
    seq: u64,
    at: Millis,
}

impl Crm {
    pub(crate) fn note_look_up(&mut self, job: u64) {
        let looked = Looked { seq: self.seq, at: self.our_now() };
        self.looked.insert(job, looked);
    }

    /// A record was made by a job: whether another of the house made one for the same person since it looked, and its own claim was over by then.
    pub(crate) fn note_double(&mut self, id: &str, job: u64) {
        let (Some(looked), Some(record)) = (self.looked.get(&job).copied(), self.records.get(id)) else { return };
        let Some(tag) = record.get("tag").map(str::to_owned).filter(|_| record.object == "contacts" && record.key.is_none())
        else {
            return;
        };
        let is_new = |other: &String| {
            let cell = self.records.get(other).and_then(|other| other.cells.get("tag"));
            other != id && cell.is_some_and(|cell| cell.seq > looked.seq && cell.author != Author::People)
        };
        let claim_over = self.our_now() - looked.at >= millis(self.swarm.lease);
        if claim_over && self.tagged("contacts", "tag", &tag).iter().any(is_new) {
            self.coverage.count("a second record was made by a worker that stood still");
            self.doubled_in_the_gap.insert(tag);
        }
    }
}
