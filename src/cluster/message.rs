//! What the actors of a cluster are told. They speak to each other by this, and none names another.

use ractor::RpcReplyPort;
use tokio::sync::OwnedSemaphorePermit;

use super::dials::{Ending, Place};
use super::window::Windows;
use crate::entry::Version;
use crate::member::NodeName;
use crate::partition::{HandoffEvent, SlotSet};
use crate::peer::message::Response;

/// What discovery is told.
pub(super) enum DiscoveryMsg {
    /// Time has passed. One of these waits at a time, in this place.
    Tick(OwnedSemaphorePermit),
    /// Peers have told something, or something happened to sessions.
    Wake,
    /// This node has left.
    Left,
    /// Somebody who runs the cluster says that a member will not be back.
    Forget(NodeName, RpcReplyPort<()>),
    /// An attempt is over.
    Tried(Place, Ending),
    /// Panic, for demonstrations.
    Crash,
}

/// What the keeper is told.
pub(super) enum KeeperMsg {
    /// Time has passed. One of these waits at a time, in this place.
    Tick(OwnedSemaphorePermit),
    /// Discovery sees other members, or others of them can be reached.
    View,
    /// Something happened to the handoff.
    Handoff(HandoffEvent),
    /// A peer answered a claim, and this is the greatest version it knows.
    Answered(HandoffEvent, Version),
    /// A peer claims slots, and waits for what comes of it.
    Claim(HandoffEvent, Claimant),
    /// A pass of the mover is over, and nothing is left of these slots.
    Cleared(u64, SlotSet),
    /// No write to the slots of this closing is under way any more.
    Closed(u64),
    /// Panic, for demonstrations.
    Crash,
}

/// What the mover is told.
pub(super) enum MoverMsg {
    /// There may be something to move.
    Work,
    /// The pass under way is over.
    Passed(Passed),
    /// It may be tried again what could not be moved.
    Rested,
    /// Panic, for demonstrations.
    Crash,
}

/// Who waits for what comes of a claim.
pub(super) struct Claimant {
    pub(super) reply: RpcReplyPort<Response>,
    /// Its place among those who wait, free again with this.
    _place: OwnedSemaphorePermit,
}

/// What came of a pass.
pub(super) struct Passed {
    /// Nothing is left of these slots.
    pub(super) cleared: SlotSet,
    /// Entries that were taken.
    pub(super) moved: u64,
    /// Entries that were not.
    pub(super) left: u64,
    /// How much may be on its way to each.
    pub(super) windows: Windows,
}

impl Claimant {
    /// Who waits for `reply` in a place of those who may wait.
    pub(super) fn new(reply: RpcReplyPort<Response>, place: OwnedSemaphorePermit) -> Self {
        Self { reply, _place: place }
    }
}

// None of them is ever sent to another process.
impl ractor::Message for DiscoveryMsg {}
impl ractor::Message for KeeperMsg {}
impl ractor::Message for MoverMsg {}
