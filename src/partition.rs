//! Which part of the key space a key is in.

mod slot;

pub use slot::{SLOTS, Slot, slot_of};
