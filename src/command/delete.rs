//! `Delete`: the end of an entry.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;

/// The end of an entry. A [`Reply::Flag`](super::Reply::Flag) says whether there was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// Of which.
    pub key: Key,
}

impl Verb for Delete {
    const NUMBER: u16 = 3;
    const SINCE: u16 = 3;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }
}
