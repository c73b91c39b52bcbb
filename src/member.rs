//! Who is in the cluster, as pure data and decisions: no clock, socket, randomness or actor inside.
//!
//! A [`View`] is what a node knows of all members, and a [`Roster`] is the machine that keeps it.

mod id;
mod view;
mod event;
mod evidence;
mod roster;

#[cfg(test)]
mod roster_tests;

pub use event::{Heartbeat, NameTaken, PeerState, RosterAction, RosterEvent};
pub use id::{Boot, NodeId, NodeName, NodeNameError};
pub use roster::Roster;
pub use view::{Member, Standing, View};
