//! Faults of a driver that a checker worth its name has to find: each can be planted into every node.

/// What every node of a run does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// It takes a member that does not answer its claim for a second for one that has nothing.
    BelievesSilence,
    /// It says that it took over what it was sent, and did not.
    AcknowledgesUntaken,
    /// It does not doubt what it holds after it hung.
    WakesWithoutDoubt,
    /// It forgets what was deleted.
    ForgetsDeletes,
    /// It forgets what has ended.
    ForgetsEnds,
    /// It begins a cluster where somebody may be whom it did not reach.
    FormsUnmet,
    /// It says that it has nothing left of what it gives away.
    HidesResidue,
    /// It does not learn the versions of who had its slots before.
    IgnoresClocks,
    /// It answers from its own table while entries are arriving, if it has any.
    TrustsLeftOvers,
    /// It answers from its own table while entries are arriving.
    AsksNoSource,
    /// It forgets what it has sent before that was taken.
    ForgetsUnacknowledged,
    /// It forgets what was taken, also if it has something newer by now.
    ForgetsNewer,
    /// It takes over whatever it is sent.
    MergesOlder,
    /// It takes over entries of slots it does not hold.
    TakesForOthers,
    /// It answers claims of nodes that see other members.
    AnswersAnyView,
    /// It reads what it has of slots that are another's.
    ReadsUnheld,
    /// It clears residue of which something is left.
    ClearsTooMuch,
    /// It serves slots that it still claims.
    OpensEarly,
    /// It stamps versions with nothing but its wall clock.
    StampsByWallClock,
    /// It goes before it has handed everything over.
    LeavesEarly,
    /// It serves a slot for a moment after it gave it away.
    ClosesLate,
}

impl Bug {
    pub const ALL: [Self; 21] = [
        Self::BelievesSilence,
        Self::AcknowledgesUntaken,
        Self::WakesWithoutDoubt,
        Self::ForgetsDeletes,
        Self::ForgetsEnds,
        Self::FormsUnmet,
        Self::HidesResidue,
        Self::IgnoresClocks,
        Self::TrustsLeftOvers,
        Self::AsksNoSource,
        Self::ForgetsUnacknowledged,
        Self::ForgetsNewer,
        Self::MergesOlder,
        Self::TakesForOthers,
        Self::AnswersAnyView,
        Self::ReadsUnheld,
        Self::ClearsTooMuch,
        Self::OpensEarly,
        Self::StampsByWallClock,
        Self::LeavesEarly,
        Self::ClosesLate,
    ];
}
