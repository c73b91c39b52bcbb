//! `Get`: the entry under a key.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;

/// The entry under a key, as [`Reply::Entry`](super::Reply::Entry).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// Which.
    pub key: Key,
}

impl Verb for Get {
    const NUMBER: u16 = 1;
    const SINCE: u16 = 3;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Read)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }
}
