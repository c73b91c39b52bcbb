//! `NextId`: an id that was never given before.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;

/// The next id, from 1, as [`Reply::Number`](super::Reply::Number).
///
/// Ids are no entry of any table: see [`ids`](crate::ids). That one node at a time is asked for them is
/// why they follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextId;

/// Who owns this is asked for ids. It is a name for a slot and no key of an entry.
static COUNTER: Key = Key::from_static("next-id");

impl Verb for NextId {
    const NUMBER: u16 = 4;
    const SINCE: u16 = 3;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&COUNTER, Access::Write)
    }

    fn bytes(&self) -> usize {
        0
    }
}
