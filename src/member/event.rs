//! What a roster is told, and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use super::id::{NodeId, NodeName};
use super::view::{Member, View};

/// What a node says of itself to every node it is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// [`View::digest`] of the sender's view.
    pub digest: u64,
    /// [`View::epoch`] of the sender's view.
    pub epoch: u64,
    /// Whom the sender hears: bit `n % 8` of byte `n / 8` for the `n`th of those who take part, by
    /// name. It has a meaning only for who has the same view.
    pub hears: Arc<[u8]>,
}

/// What happens to a roster.
#[derive(Clone, Debug)]
pub enum RosterEvent {
    /// [`MEMBER_TICK`](crate::limits::MEMBER_TICK) passed.
    Tick,
    /// A heartbeat came.
    Heard {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        beat: Heartbeat,
    },
    /// A link to a node is up.
    Linked(NodeId),
    /// The link to a node is down.
    Unlinked(NodeId),
    /// Nobody listens at the address of a node, so that the system refused the dial.
    DialRefused(NodeId),
    /// A node sent its view, asked or not.
    ViewReceived {
        /// Who sent it.
        from: NodeId,
        /// What it knows, or the part of it that may be new here.
        view: View,
    },
    /// A node refused something as its view is another.
    Disagreed(NodeId),
    /// A greeting was exchanged with this member, and its name was admitted.
    Met(Member),
    /// Another node knows our name and wants at least this incarnation of us.
    Floor(u64),
    /// No cluster was found to join, or none was looked for: this node begins one.
    Form,
    /// A member that is dead, or has left, is not to be remembered, here or anywhere.
    Forget(NodeName),
    /// This node begins to leave. Said again for as long as it does.
    Leave,
    /// This node has left.
    Left,
}

/// What a roster wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterAction {
    /// Send [`Roster::heartbeat`](super::Roster::heartbeat) to every linked node.
    Beat,
    /// Exchange views with a node: send [`Roster::view_for`](super::Roster::view_for) it, and bring
    /// back what it answers, its own for us, as [`RosterEvent::ViewReceived`].
    SendView {
        /// With whom.
        to: NodeId,
    },
    /// The view or its epoch is another: publish it.
    Changed,
    /// A member is new, or new again.
    Joined(NodeId),
    /// Nothing was heard of a member for [`SUSPECT_AFTER`](crate::limits::SUSPECT_AFTER).
    Suspected(NodeId),
    /// A suspect was heard again.
    Recovered(NodeId),
    /// Nothing comes over the link to a member any more, though others hear it: drop the link, and go
    /// by way of [`Roster::detour`](super::Roster::detour).
    Deaf(NodeId),
    /// A member was declared dead, here or elsewhere, or was replaced: drop its link.
    Died(NodeId),
    /// A member that this node does not know is dead, and may come back with what it had.
    Missed(NodeId),
    /// A member said good-bye, here or elsewhere: drop its link.
    Left(NodeId),
    /// A member that was dead, or had left, is forgotten, as was said here or elsewhere.
    Forgotten(NodeId),
    /// Another run has our name and the greater incarnation: this node must stop.
    Superseded {
        /// Which run.
        by: NodeId,
    },
    /// No tick came for longer than [`SUSPECT_AFTER`](crate::limits::SUSPECT_AFTER): others may have
    /// taken this node for dead.
    Woke {
        /// For so long.
        after: Duration,
    },
}

/// A name that cannot be given to another run now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("name in use by {addr}, heard {heard_ms_ago} ms ago")]
pub struct NameTaken {
    /// Its incarnation: a run with a lesser one that was a member has been replaced.
    pub incarnation: u64,
    /// Where the run with this name is reached.
    pub addr: String,
    /// How long ago it was heard, in milliseconds.
    pub heard_ms_ago: u64,
}

/// What is thought of a member, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Known, but never heard, or not in a cluster yet.
    Joining,
    /// Heard lately.
    Alive,
    /// Not heard for [`SUSPECT_AFTER`](crate::limits::SUSPECT_AFTER).
    Suspect,
    /// Declared dead.
    Dead,
    /// Heard lately, and about to leave.
    Leaving,
    /// It said good-bye.
    Left,
}

impl PeerState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Joining, Self::Alive, Self::Suspect, Self::Dead, Self::Leaving, Self::Left];

    /// What it is called, wherever it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Leaving => "leaving",
            Self::Left => "left",
        }
    }
}
