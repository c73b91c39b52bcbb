//! `Append`: more bytes at the end of a value, or over some of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Access, Condition, Scope, Verb};
use crate::entry::{Key, MediaType, Millis, left, octets};

/// Bytes that go into a value. How many it has then is the number of a
/// [`Changed::Done`](super::Changed::Done).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Where they go.
    pub key: Key,
    /// The bytes.
    #[serde(with = "octets")]
    pub value: Bytes,
    /// Where they begin, with zeros before them where the value is shorter; `None` for its end.
    pub at: Option<u64>,
    /// What a value is that was not there.
    pub media: MediaType,
    /// When a value ends that was not there; one that was keeps its end.
    #[serde(with = "left")]
    pub expires_at: Option<Millis>,
    /// Bytes that the value may have then.
    pub bytes_max: u64,
    /// What must hold for it.
    pub condition: Condition,
}

impl Verb for Append {
    const NUMBER: u16 = 9;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}
