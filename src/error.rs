//! What can go wrong with a command, in the cache's own words.
//!
//! Each variant says whether the write may have happened, as a client must know that before it
//! tries again. Doors translate these into their protocol, each in one function.

use std::sync::Arc;

/// Why a command has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many writes are waiting for the shard. Nothing changed.
    #[error("shard {shard} has too many writes waiting; try again")]
    Busy {
        /// The shard whose queue is full.
        shard: usize,
    },
    /// The shard did not answer in time. The write may have happened.
    #[error("shard {shard} did not answer in time; the write may have happened")]
    Timeout {
        /// The shard that was asked.
        shard: usize,
    },
    /// The shard is gone for good, as the node is stopping. The write may have happened.
    #[error("shard {shard} is down; the write may have happened")]
    Down {
        /// The shard that was asked.
        shard: usize,
    },
    /// This node does not have the slot, or not any more. Nothing changed.
    #[error("another node has slot {slot}; try again")]
    NotHere {
        /// The slot of the key.
        slot: u16,
    },
    /// The owner of the key cannot be reached. Nothing changed.
    #[error("{owner} owns the key and cannot be reached; try again")]
    Unreachable {
        /// The node that owns it, or what is known of it.
        owner: Arc<str>,
    },
    /// The owner of the key did not answer in time. The write may have happened.
    #[error("{owner} owns the key and did not answer; the write may have happened")]
    Unanswered {
        /// The node that owns it.
        owner: Arc<str>,
    },
    /// The value is over `--max-value`. Nothing changed.
    #[error("value has {bytes} bytes; allowed: up to {bytes_max}")]
    ValueTooLarge {
        /// Bytes of the value.
        bytes: usize,
        /// Bytes it may have.
        bytes_max: usize,
    },
    /// The batch holds more commands than one call may. Nothing changed.
    #[error("batch has {commands} commands; allowed: up to {commands_max}")]
    BatchTooLarge {
        /// Commands in the batch.
        commands: usize,
        /// Commands it may have.
        commands_max: usize,
    },
    /// The ids next in turn are all taken by keys. Nothing changed; the counter has moved on.
    #[error("the next {attempts} ids are all taken; try again")]
    IdsTaken {
        /// Ids that were tried.
        attempts: usize,
    },
}

impl Error {
    /// Whether the write this error answers may have been applied.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Down { .. } | Self::Unanswered { .. } => true,
            Self::Busy { .. }
            | Self::NotHere { .. }
            | Self::Unreachable { .. }
            | Self::ValueTooLarge { .. }
            | Self::BatchTooLarge { .. }
            | Self::IdsTaken { .. } => false,
        }
    }
}
