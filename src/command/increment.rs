//! `Increment`: another number in the place of one.

use serde::{Deserialize, Serialize};

use super::{Access, Condition, Scope, Verb};
use crate::entry::{Key, Millis, left};

/// A number added to the one under a key, which is an integer in decimal. The number it is then is in
/// a [`Changed::Done`](super::Changed::Done).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// Where the number is.
    pub key: Key,
    /// What is added.
    pub by: i64,
    /// What it is added to where the key is absent.
    pub initial: i64,
    /// The least that may come out.
    pub min: i64,
    /// The most that may come out.
    pub max: i64,
    /// When a number ends that was not there; one that was keeps its end.
    #[serde(with = "left")]
    pub expires_at: Option<Millis>,
    /// What must hold for it.
    pub condition: Condition,
}

impl Verb for Increment {
    const NUMBER: u16 = 8;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }
}
