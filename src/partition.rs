//! Which part of the key space a key is in, who owns it, and how it changes hands: pure data and
//! decisions, like [`member`](crate::member).

mod slot_set;
mod score;
mod map;
mod handoff;

#[cfg(test)]
mod handoff_tests;

pub use handoff::{Handoff, HandoffAction, HandoffEvent};
pub use map::PartitionMap;
pub use slot_set::SlotSet;

pub use crate::entry::{SLOTS, Slot};
