//! `DeleteMany`: the end of several entries of one slot.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Key;
use crate::limits::DELETE_KEYS_MAX;

/// The end of several entries of one slot, all at once or not at all. A
/// [`Reply::Number`](super::Reply::Number) says how many there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeleteMany {
    keys: Vec<Key>,
}

/// Why keys cannot be deleted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keys are not 1 to {DELETE_KEYS_MAX} of one slot")]
pub struct NotOneSlot;

impl DeleteMany {
    /// The end of the entries of `keys`.
    ///
    /// # Errors
    ///
    /// [`NotOneSlot`] if there are none, too many, or they are of several slots.
    pub fn new(keys: Vec<Key>) -> Result<Self, NotOneSlot> {
        let slot = keys.first().map(Key::slot);
        let is_one = keys.iter().all(|key| Some(key.slot()) == slot);
        let is_allowed = (1..=DELETE_KEYS_MAX).contains(&keys.len()) && is_one;
        if is_allowed { Ok(Self { keys }) } else { Err(NotOneSlot) }
    }

    /// Which entries.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl<'de> Deserialize<'de> for DeleteMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Verb for DeleteMany {
    const NUMBER: u16 = 6;
    const SINCE: u16 = 3;

    fn scope(&self) -> Scope<'_> {
        Scope::Slot(&self.keys, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.keys.iter().map(Key::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_slot_can_be_deleted_together_and_others_cannot() {
        let key = |name: &'static str| Key::from_static(name);
        assert!(DeleteMany::new(vec![key("{a}1"), key("{a}2")]).is_ok());
        assert_eq!(DeleteMany::new(vec![key("a"), key("b")]), Err(NotOneSlot));
        assert_eq!(DeleteMany::new(vec![]), Err(NotOneSlot));
        assert_eq!(DeleteMany::new(vec![key("a"); DELETE_KEYS_MAX + 1]), Err(NotOneSlot));
    }
}
