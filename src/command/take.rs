//! `Take`: the end of an entry, if a condition holds.

use serde::{Deserialize, Serialize};

use super::{Access, Condition, Gives, Scope, Verb};
use crate::entry::Key;

/// The end of an entry. Where it is given, the [`Reply::Entry`](super::Reply::Entry) is what it was;
/// else a [`Reply::Flag`](super::Reply::Flag) says whether there was one. A condition that did not hold
/// is a [`Changed::Refused`](super::Changed::Refused).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Of which.
    pub key: Key,
    /// What must hold of it, if it is there.
    pub condition: Condition,
    /// Whether it is given.
    pub gives: Gives,
}

impl Verb for Take {
    const NUMBER: u16 = 7;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }

    fn gives(&self) -> Gives {
        self.gives
    }
}
