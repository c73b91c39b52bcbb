//! What became of a command, by its shape and not by its verb.

use serde::{Deserialize, Serialize};

use super::Page;
use crate::entry::{Entry, Version};
use crate::error::Error;
use crate::limits::UNFIT_TEXT_BYTES_MAX;
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
    /// Several numbers, in the order of the verb.
    Numbers(Vec<u64>),
    /// Whether something was so.
    Flag(bool),
    /// What became of an update in place.
    Changed(Changed),
    /// What was there before, where that was to be given, and what became of the value that was to take
    /// its place.
    Swapped(Option<Entry>, Stored),
    /// Some of the keys there are.
    Page(Page),
    /// What became of each of several commands that were done together.
    List(Vec<Self>),
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

/// What became of an update in place. Nothing changed unless it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changed {
    /// It was done.
    Done {
        /// The version there is now.
        version: Version,
        /// What came out, for a verb that has something to say.
        number: i64,
    },
    /// There is nothing under the key.
    Absent,
    /// The condition did not hold.
    Refused,
    /// It does not apply to the value that is there.
    Unfit(Unfit),
    /// The value would be larger than it may be, or than fits into the shard's table.
    TooLarge,
}

/// Why an update does not apply to the value that is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unfit {
    /// It is no integer.
    #[error("the value is not an integer of 64 bits in decimal")]
    NotInteger,
    /// The sum is beyond 64 bits.
    #[error("the sum is beyond 64 bits")]
    Overflow,
    /// The sum is beyond the bounds that were given.
    #[error("the sum would be {0}, which is beyond min or max")]
    Bound(i64),
    /// It is no JSON.
    #[error("the value is not JSON, and only that can be patched")]
    NotJson,
    /// The patch says why.
    #[error("{0}")]
    Mismatch(#[serde(with = "reason")] Box<str>),
}

impl Unfit {
    /// Why a patch does not apply, as far as there is room for it.
    #[must_use]
    pub fn mismatch(reason: &str) -> Self {
        let end = reason.floor_char_boundary(UNFIT_TEXT_BYTES_MAX);
        Self::Mismatch(reason[..end].into())
    }
}

impl Reply {
    /// Whether something was found.
    #[must_use]
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Entry(Some(_)) | Self::Number(_))
    }

    /// About how many bytes it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Entry(Some(entry)) | Self::Swapped(Some(entry), _) => {
                entry.value.len() + entry.tags.as_bytes().len()
            }
            Self::Entry(None)
            | Self::Swapped(None, _)
            | Self::Stored(_)
            | Self::Number(_)
            | Self::Numbers(_)
            | Self::Flag(_)
            | Self::Changed(_) => 0,
            Self::Page(page) => page.bytes(),
            Self::List(replies) => replies.iter().map(Self::bytes).sum(),
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
            (Self::Numbers(one), Self::Numbers(other)) => {
                let sum = |(one, other): (u64, u64)| one.saturating_add(other);
                Self::Numbers(one.into_iter().zip(other).map(sum).collect())
            }
            (Self::Flag(one), Self::Flag(other)) => Self::Flag(one || other),
            (one, _) => one,
        }
    }
}

/// A reason that is no longer than it may be.
mod reason {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::limits::UNFIT_TEXT_BYTES_MAX;

    pub(super) fn serialize<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<str>, D::Error> {
        let text = <&str>::deserialize(from)?;
        if UNFIT_TEXT_BYTES_MAX < text.len() {
            return Err(D::Error::invalid_length(text.len(), &"a short reason"));
        }
        Ok(text.into())
    }
}
