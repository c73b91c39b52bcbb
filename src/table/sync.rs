//! The atomics of the table: those of `std`, or those of the model checker under `--cfg smache_loom`.

#[cfg(smache_loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(smache_loom))]
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
