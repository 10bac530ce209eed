//! Deliberate bugs, one at a time, so that the laws of the simulation can be seen to catch them. In a build without the feature `bugs` none can be planted and each
//! question is `false` at compile time.

/// What others got wrong, and what this design excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// `modified > cursor`: records with the cursor's own stamp are never read.
    StrictBoundary,
    /// A window begins where the last one ended: what was stamped in the same step afterwards is never read.
    NoOverlap,
    /// Windows are cut by our clock instead of the CRM's.
    OurClock,
    /// A clock that was set back is read on from where it was.
    ClockStepIgnored,
    /// The cursor is the end of the run, not the end of what was asked for.
    CursorAtTheEnd,
    /// Nobody reads again what the fast reader passed too early.
    NoSettledReader,
    /// Pages are asked for by how many records were read already.
    ForwardOffset,
    /// A record is applied once; later versions count as known.
    OncePerRecord,
    /// A version with the newest stamp seen counts as old.
    EqualStampIsOld,
    /// Whatever a page says is merged, however old.
    NoVersionGuard,
    /// What cannot be ordered is dropped instead of read.
    DoubtIsDropped,
    /// A page is applied though another reader has the stream by now.
    NoFence,
    /// One agreed value a field, the CRM's form.
    SingleValuedBase,
    /// Settling takes the row as it is then for what was sent.
    BaseFromTheRowAtSettle,
    /// A push is paid though its row changed meanwhile.
    PaysAnyGeneration,
    /// What is sent is row less base, and nothing else is owed.
    OwedIsIgnored,
    /// A value that is owed counts as unchanged here.
    OwedIsNoChange,
    /// Fields either side may change are sent without a look.
    HoldSentUnread,
    /// Fields of the CRM are sent like any other.
    CrmFieldsSent,
    /// A blank is a value like any other although the mapping keeps values.
    BlanksOverwrite,
    /// Unheard writes are forgotten.
    GhostsForgotten,
    /// A lost answer counts as a success.
    LostAnswerIsPaid,
    /// Records are made without looking for them.
    CreatesWithoutLookUp,
    /// Records are made by an upsert on a natural key.
    UpsertsByNaturalKey,
    /// A call is made whatever is left of its lease.
    NoLeaseBeforeCall,
    /// A deleted row or record leaves no trace.
    NoTombstone,
    /// Everything that our own transaction caused counts as our echo.
    EchoByMarker,
    /// The relay forgets the log before it owes the pushes.
    RelayInTwoSteps,
    /// Rows from before the first trigger are never looked at.
    NoWalk,
    /// Children are sent without their parents.
    OrphansSent,
    /// Only what a sweep finds is braked.
    BrakesOnlySweeps,
    /// A changed mapping goes on where the old one stood.
    ResumesAcrossMappings,
    /// Whoever still goes by the old mapping reads on.
    OldMappingReads,
    /// A backup that was put back is taken for the database as it was.
    RestoreUnnoticed,
    /// What a list leaves out of a record counts as blank.
    PartIsMerged,
    /// A record is read by its id only where the list shows something new.
    ListIsTrusted,
}

impl Bug {
    pub const ALL: [Self; 36] = [
        Self::StrictBoundary,
        Self::NoOverlap,
        Self::OurClock,
        Self::ClockStepIgnored,
        Self::CursorAtTheEnd,
        Self::NoSettledReader,
        Self::ForwardOffset,
        Self::OncePerRecord,
        Self::EqualStampIsOld,
        Self::NoVersionGuard,
        Self::DoubtIsDropped,
        Self::NoFence,
        Self::SingleValuedBase,
        Self::BaseFromTheRowAtSettle,
        Self::PaysAnyGeneration,
        Self::OwedIsIgnored,
        Self::OwedIsNoChange,
        Self::HoldSentUnread,
        Self::CrmFieldsSent,
        Self::BlanksOverwrite,
        Self::GhostsForgotten,
        Self::LostAnswerIsPaid,
        Self::CreatesWithoutLookUp,
        Self::UpsertsByNaturalKey,
        Self::NoLeaseBeforeCall,
        Self::NoTombstone,
        Self::EchoByMarker,
        Self::RelayInTwoSteps,
        Self::NoWalk,
        Self::OrphansSent,
        Self::BrakesOnlySweeps,
        Self::ResumesAcrossMappings,
        Self::OldMappingReads,
        Self::RestoreUnnoticed,
        Self::PartIsMerged,
        Self::ListIsTrusted,
    ];
}

#[cfg(feature = "bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out again.
#[cfg(feature = "bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted in this thread.
#[cfg(feature = "bugs")]
pub fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Never, in this build.
#[cfg(not(feature = "bugs"))]
pub const fn planted(_: Bug) -> bool {
    false
}
