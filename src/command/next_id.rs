//! `NextId`: the next number of a counter.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;

/// The next number of the counter under a name, from 1, as [`Reply::Number`](super::Reply::Number).
///
/// Counters are apart from what clients name, so that no key can be taken by one, and none of them is
/// evicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextId {
    /// Where the counter is.
    pub counter: Key,
}

impl NextId {
    /// The next number of the counter `name`.
    #[must_use]
    pub fn of(name: &Key) -> Self {
        Self { counter: Key::of_counter(name) }
    }
}

impl Verb for NextId {
    const NUMBER: u16 = 4;
    const SINCE: u16 = 2;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.counter, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.counter.len()
    }
}
