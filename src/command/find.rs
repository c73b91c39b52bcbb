//! `Find`: the entry under a key, if its value is no larger than wanted.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;

/// The entry under a key as a [`Reply::Entry`](super::Reply::Entry), or
/// [`Reply::Number`](super::Reply::Number) of its bytes if they are more than wanted: who asks for many
/// knows what they take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// Which.
    pub key: Key,
    /// Bytes of value that are wanted at most.
    pub bytes_max: u64,
}

impl Verb for Find {
    const NUMBER: u16 = 13;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Read)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }
}
