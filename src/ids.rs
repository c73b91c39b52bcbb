//! Numbers that are never given twice while one node of the cluster lives: pure data and decisions,
//! like [`member`](crate::member).
//!
//! A node gives ids from ranges that were reserved for this run of it and for no other, so that a run
//! that is stopped and goes on later, or is cut off, gives nothing that another gives. How ranges are
//! reserved is said at [`Reservations`].

mod cell;
mod electors;
mod reservations;

#[cfg(test)]
mod simulation;

pub use cell::{IdRange, Ids, Need};
pub use reservations::{Answer, Ask, IdAction, IdEvent, Reservations};
