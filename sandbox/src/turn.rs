//! One call's view of the practice CRM: its state, the time, the weather, and what the call has written so far.

use rand::rngs::StdRng;

use crate::{
    Limits, ObjectType, Weather,
    memory::Memory,
    meters::Meters,
    quirk::{Quirks, Switch},
    record::{Act, Moment},
    schema::Habits,
    stamp,
    store::Store,
    vendor::Vendor,
};

pub(crate) struct Turn<'a> {
    pub(crate) vendor: &'static dyn Vendor,
    pub(crate) store: &'a mut Store,
    pub(crate) weather: &'a Weather,
    pub(crate) quirks: &'a Quirks,
    pub(crate) meters: &'a mut Meters,
    pub(crate) limits: Limits,
    pub(crate) memory: &'a mut Memory,
    pub(crate) dice: &'a mut StdRng,
    pub(crate) account: &'a str,
    /// Calls being answered at this moment, this one included.
    pub(crate) in_flight: u64,
    /// `None`: no token is accepted.
    pub(crate) token: Option<&'a str>,
    /// What the vendor names this call by in its errors.
    pub(crate) correlation: &'a str,
    /// True time; reads see what is committed by now.
    pub(crate) now_ms: i64,
    /// Records created, updated or archived by this call.
    pub(crate) written: u64,
    /// When the last of them commits. Not after `now_ms` when nothing commits late.
    pub(crate) commit_ms: i64,
}

impl Turn<'_> {
    /// The times of the next record written.
    pub(crate) fn moment(&mut self) -> Moment {
        self.weather.moment(self.now_ms, self.vendor.precision_ms(), self.dice)
    }

    /// The times of the next act.
    pub(crate) fn moment_of(&mut self, act: Act) -> Moment {
        Moment { moves_stamp: self.vendor.moves_stamp(act, self.quirks), ..self.moment() }
    }

    /// Notes that a record was written.
    pub(crate) fn wrote(&mut self, object: ObjectType, id: u64) {
        self.written += 1;
        if let Some(record) = self.store.table(object).find(id) {
            self.commit_ms = self.commit_ms.max(record.head().commit_ms);
        }
    }

    /// The CRM's clock.
    pub(crate) fn crm_ms(&self) -> i64 {
        self.now_ms.saturating_add(self.weather.clock_offset_ms)
    }

    /// The CRM's clock, as text.
    pub(crate) fn clock(&self) -> String {
        stamp::iso(self.crm_ms())
    }

    pub(crate) fn habits(&self) -> Habits {
        self.vendor.habits(self.weather, self.quirks)
    }

    /// A token that was given for the account's own, or that one itself.
    pub(crate) fn knows(&self, sent: Option<&str>) -> bool {
        sent.is_some_and(|sent| Some(sent) == self.token || self.memory.knows_token(sent, self.now_ms))
    }

    pub(crate) fn is_on(&self, switch: &Switch) -> bool {
        self.quirks.is_on(switch)
    }

    pub(crate) fn number(&self, switch: &Switch) -> u64 {
        self.quirks.number(switch)
    }
}
