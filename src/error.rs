//! What can go wrong with a command, in the cache's own words.
//!
//! Each variant says whether the write may have happened, as a client must know that before it
//! tries again. Doors translate these into their protocol, each in one function.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a command has no reply.
///
/// It crosses the wire between nodes as it is, by the order of the variants: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
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
    /// This node does not have the slot, or not any more, or not yet. Nothing changed.
    #[error("slot {slot} is on its way from one node to another; try again")]
    NotHere {
        /// The slot of the key.
        slot: u16,
    },
    /// The owner of the key cannot be reached. Nothing changed.
    #[error("{owner} owns the key and cannot be reached; try again")]
    Unreachable {
        /// The node that owns it, or what is known of it.
        #[serde(with = "text")]
        owner: Arc<str>,
    },
    /// The owner of the key did not answer in time. The write may have happened.
    #[error("{owner} owns the key and did not answer; the write may have happened")]
    Unanswered {
        /// The node that owns it.
        #[serde(with = "text")]
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
    /// The replies before it fill what goes back at a time. Nothing changed. Between nodes only: who
    /// sent it sends it again.
    #[error("too much was asked for at a time; try again")]
    Later,
    /// The node that has to do it is of another version and does not know the command. Nothing
    /// changed.
    #[error("{node} runs smache {version}, which does not know this command")]
    Unsupported {
        /// The node.
        #[serde(with = "text")]
        node: Arc<str>,
        /// Its version.
        #[serde(with = "text")]
        version: Arc<str>,
    },
    /// Too many commands wait for the owners of their keys. Nothing changed.
    #[error("too many commands wait for other nodes; try again")]
    Crowded,
    /// No ids are reserved for the node that gives them. Nothing changed.
    #[error("no ids are reserved yet; try again")]
    NoIds,
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
            | Self::IdsTaken { .. }
            | Self::Later
            | Self::Unsupported { .. }
            | Self::Crowded
            | Self::NoIds => false,
        }
    }
}

/// A short text that is shared.
mod text {
    use std::sync::Arc;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::limits::PEER_TEXT_BYTES_MAX;

    pub(super) fn serialize<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        let text = <&str>::deserialize(from)?;
        if PEER_TEXT_BYTES_MAX < text.len() {
            return Err(D::Error::invalid_length(text.len(), &"a short text"));
        }
        Ok(text.into())
    }
}
