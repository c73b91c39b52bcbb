//! What became of a command, by its shape and not by its verb.

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Version};
use crate::error::Error;
use crate::member::NodeName;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An entry, `None` if it is absent.
    Entry(Option<Entry>),
    /// What became of a value.
    Stored(Stored),
    /// A number.
    Number(u64),
    /// Whether something was so.
    Flag(bool),
    /// What each node said.
    Many(Vec<NodeReply>),
}

/// What one node of many said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReply {
    /// Which node.
    pub node: NodeName,
    /// What it said.
    pub reply: Result<Reply, Error>,
}

/// What became of a value that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// The key was new.
    Created(Version),
    /// The key had another value.
    Replaced(Version),
    /// The key had this very value: nothing was written, the old version stands.
    Unchanged(Version),
    /// The condition did not hold: nothing was written.
    Refused,
    /// The entry is too large for the shard's table: nothing was written.
    TooLarge,
}

impl Reply {
    /// About how many bytes it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Entry(Some(entry)) => entry.value.len() + entry.tags.as_bytes().len(),
            Self::Entry(None) | Self::Stored(_) | Self::Number(_) | Self::Flag(_) => 0,
            Self::Many(replies) => {
                replies.iter().flat_map(|of| &of.reply).map(Self::bytes).sum::<usize>()
            }
        }
    }

    /// What two parts of a node say together: numbers are added, one flag is enough. Of what cannot
    /// be joined the first part speaks for both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => Self::Number(one.saturating_add(other)),
            (Self::Flag(one), Self::Flag(other)) => Self::Flag(one || other),
            (one, _) => one,
        }
    }
}
