//! `Swap`: a value under a key, for who wants to know the one before or keeps its end.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Access, Condition, Gives, Scope, Verb};
use crate::entry::{Key, MediaType, Millis, left, octets};

/// A value under a key, as [`Put`](super::Put), with what that has not: `KEEPTTL` and `GET` of `SET`.
/// What became of it, and what was there before, is a [`Reply::Swapped`](super::Reply::Swapped).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Where it goes.
    pub key: Key,
    /// Its bytes.
    #[serde(with = "octets")]
    pub value: Bytes,
    /// What the bytes are.
    pub media: MediaType,
    /// When it ends.
    pub end: End,
    /// What must hold for it to be written.
    pub condition: Condition,
    /// Whether the entry that was there is given, written or not.
    pub gives: Gives,
}

/// When an entry ends that takes the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// As the one before, never if there was none.
    Kept,
    /// At that time; `None` for never.
    At(#[serde(with = "left")] Option<Millis>),
}

impl Verb for Swap {
    const NUMBER: u16 = 12;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    fn gives(&self) -> Gives {
        self.gives
    }
}
