//! `Peek`: the entry under a key, which is not counted as looked for. Tests of rolling upgrades have
//! it as the verb that a newer version brings.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;

/// The entry under a key, as [`Reply::Entry`](super::Reply::Entry).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peek {
    /// Which.
    pub key: Key,
}

impl Verb for Peek {
    // Far from those of versions to come, which count up.
    const NUMBER: u16 = 0x7001;
    const SINCE: u16 = 7;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Read)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }
}
