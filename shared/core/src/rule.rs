//! The rules by which a field came to its value, one for each way a merge or a push can end, each with its sentence. Names them; decides nothing.

/// What became of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The row took the record's value.
    Took,
    /// The record is to be put right by a push.
    Owes,
    /// The row is to take the record's value by a read.
    Takes,
    /// Both sides keep what they hold until a person decides.
    Waits,
    /// The two are left to differ.
    Kept,
    /// Both sides came to say the same without a write of ours.
    Agreed,
    /// The record was given the row's value.
    Sent,
}

impl Effect {
    /// Whose value stood.
    pub fn stood(self) -> &'static str {
        match self {
            Self::Took | Self::Takes => "crm",
            Self::Owes | Self::Sent => "orders",
            Self::Waits | Self::Kept => "neither",
            Self::Agreed => "both",
        }
    }
}

macro_rules! rules {
    ($($name:ident, $word:literal, $effect:ident, $sentence:literal;)*) => {
        /// Why a field has its value. Closed: whoever adds a way to decide names its rule here, and with it the sentence a person reads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule { $($name),* }

        impl Rule {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is stored.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// As a person on call reads it.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),* }
            }

            pub fn effect(self) -> Effect {
                match self { $(Self::$name => Effect::$effect),* }
            }
        }
    };
}

rules! {
    TakenThere, "taken", Took, "taken from the CRM: it changed there and not here";
    TakenBoth, "taken_both", Took, "taken from the CRM: both sides changed, the CRM owns the field";
    TakenLater, "taken_later", Took, "taken from the CRM: both sides changed, and the later one stands";
    TakenUntold, "taken_untold", Took, "taken from the CRM: both sides changed, which was later cannot be told, and the CRM stands then";
    TakenDecided, "taken_decided", Took, "taken from the CRM: both sides had changed, then it was edited there";
    TakenWord, "taken_word", Took, "taken from the CRM: a person decided so";
    TakenStale, "taken_stale", Took, "taken from the CRM: the row's value was one that a page had just replaced, as an application leaves that saves an old object";
    PutBack, "put_back", Took, "put back to the CRM's value: only the row changed, the CRM owns the field";
    MetBlankRow, "met_taken", Took, "taken from the CRM: the row was blank when the two met";
    MetCrm, "met_crm", Took, "taken from the CRM: the two met with different values, the CRM owns the field";

    OwedThere, "owed", Owes, "the row's value stands and is owed to the CRM: it changed there, the order database owns the field";
    OwedBoth, "owed_both", Owes, "the row's value stands and is owed to the CRM: both sides changed, the order database owns the field";
    OwedLater, "owed_later", Owes, "the row's value stands and is owed to the CRM: both sides changed, and the later one stands";
    OwedUntold, "owed_untold", Owes, "the row's value stands and is owed to the CRM: both sides changed, which was later cannot be told, and the order database stands then";
    OwedAgain, "owed_again", Owes, "the row changed while it was owed to the CRM: the newer value is owed";
    OwedLate, "owed_late", Owes, "the row's value stands and is owed to the CRM: an older write of ours landed there late";
    DecidedOrders, "decided_orders", Owes, "a person decided: the row's value stands and is owed to the CRM";
    DecidedCrm, "decided_crm", Takes, "a person decided: the record's value stands, and the row takes it with the next read";
    Awaited, "awaited", Takes, "the row keeps its reference for now: the record it is to refer to has no row yet";
    MetBlankRecord, "met_owed", Owes, "the row's value is owed to the CRM: the record was blank when the two met";
    MetOrders, "met_orders", Owes, "the row's value stands and is owed to the CRM: the two met with different values, the order database owns the field";

    ConflictBoth, "conflict", Waits, "a conflict began: both sides changed, and a person decides";
    ConflictUntold, "conflict_untold", Waits, "a conflict began: both sides changed, which was later cannot be told, and a person decides";
    ConflictAgain, "conflict_again", Waits, "the conflict goes on: both sides changed again";
    ConflictUndecided, "conflict_undecided", Waits, "the conflict goes on: the CRM changed it before a person's word was carried out";
    ConflictMet, "conflict_met", Waits, "a conflict began: the two met with different values, and a person decides";

    Held, "held", Waits, "not sent for now: the row holds again what a page had just replaced, as when an application saves an old object";

    BlankRecord, "blank_record", Kept, "the row keeps its value: a blank in the CRM does not overwrite";
    BlankRow, "blank_row", Kept, "the record keeps its value: a blank in the row does not overwrite";
    RowsNotWritten, "rows_not_written", Kept, "the row stays as it is: the stream does not write rows";
    RecordsNotWritten, "records_not_written", Kept, "the record stays as it is: the stream does not write records";
    NotTaken, "not_taken", Kept, "sent to the CRM, which did not take the value";

    SameMet, "same_met", Agreed, "both sides said the same when the two met";
    SameBoth, "same_both", Agreed, "both sides were changed to the same value";
    SameForm, "same_form", Agreed, "one side was changed to what the other says already";
    ConflictEnded, "conflict_ended", Agreed, "the conflict ended: both sides say the same";
    OwedEnded, "owed_ended", Agreed, "nothing is owed any more: the CRM holds the row's value";
    DifferenceEnded, "difference_ended", Agreed, "the accepted difference ended: both sides say the same";
    OurWrite, "our_write", Agreed, "our own write, whose answer was lost, has landed in the CRM";

    SentHere, "sent", Sent, "sent to the CRM: it changed in the row";
    SentOwed, "sent_owed", Sent, "sent to the CRM: it was owed";
    SentDecided, "sent_decided", Sent, "sent to the CRM: both sides had changed, then it was edited in the row";
    SentWord, "sent_word", Sent, "sent to the CRM: a person decided so";
    SentHeld, "sent_held", Sent, "sent to the CRM: it was held as a stale save, and still stood when the guard was over";
    SentUnmet, "sent_unmet", Sent, "sent to the CRM: the field had not met yet";
    SentAltered, "sent_altered", Sent, "sent to the CRM, which wrote it in its own form";
}

impl Rule {
    /// `None` for a word that another version wrote.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.word() == word)
    }

    /// Both times belong to its story.
    pub fn compares_times(self) -> bool {
        matches!(self, Self::TakenLater | Self::TakenUntold | Self::OwedLater | Self::OwedUntold | Self::ConflictUntold)
    }

    /// Why an accepted difference is accepted, as the base keeps it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::RowsNotWritten => "the stream does not write rows",
            Self::RecordsNotWritten => "the stream does not write records",
            Self::BlankRecord => "a blank in the CRM does not overwrite",
            Self::BlankRow => "a blank in the row does not overwrite",
            Self::NotTaken => "the CRM did not take the value",
            other => other.sentence(),
        }
    }
}
