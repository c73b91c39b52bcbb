//! `Rename`: the entry of one key under another one of its slot.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Access, Condition, Scope, Verb};
use crate::entry::Key;

/// The entry of one key under another one of its slot, with its end and all it has. That it was done is a
/// [`Changed::Done`](super::Changed::Done).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rename {
    keys: [Key; 2],
    /// What becomes of the entry where it was.
    pub source: Source,
    /// What must hold of the key it goes to.
    pub condition: Condition,
}

/// What becomes of an entry where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// It ends.
    Ends,
    /// It stays.
    Stays,
}

/// Why an entry cannot go from one key to another at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the two keys are not of one slot")]
pub struct TwoSlots;

impl Rename {
    /// The entry of `from` under `to`.
    ///
    /// # Errors
    ///
    /// [`TwoSlots`].
    pub fn new(from: Key, to: Key, source: Source, condition: Condition) -> Result<Self, TwoSlots> {
        let is_one = from.slot() == to.slot();
        if is_one { Ok(Self { keys: [from, to], source, condition }) } else { Err(TwoSlots) }
    }

    /// Where the entry is.
    #[must_use]
    pub fn from(&self) -> &Key {
        &self.keys[0]
    }

    /// Where it goes.
    #[must_use]
    pub fn to(&self) -> &Key {
        &self.keys[1]
    }
}

impl<'de> Deserialize<'de> for Rename {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ([from, to], source, condition) = Deserialize::deserialize(deserializer)?;
        Self::new(from, to, source, condition).map_err(D::Error::custom)
    }
}

impl Verb for Rename {
    const NUMBER: u16 = 17;
    const SINCE: u16 = 6;

    fn scope(&self) -> Scope<'_> {
        Scope::Slot(&self.keys, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.from().len() + self.to().len()
    }
}
