//! What must hold for a write: one type for every protocol's way of saying it.

use serde::{Deserialize, Serialize};

use crate::entry::Version;

/// What must hold for a write, decided by the shard's writer together with the write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The key is absent: `If-None-Match: *`, `NX`.
    Absent,
    /// The key is there: `If-Match: *`, `XX`.
    Present,
    /// The key is there under this version: `If-Match`, `WATCH`.
    Version(Version),
}

impl Condition {
    /// Whether it holds for a key that is there under `version`, or absent.
    #[must_use]
    pub fn holds(&self, version: Option<Version>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => version.is_none(),
            Self::Present => version.is_some(),
            Self::Version(wanted) => version == Some(*wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_looks_at_whether_and_under_which_version_a_key_is_there() {
        let (one, two) = (Version(1), Version(2));
        for (condition, absent, under_one) in [
            (Condition::Always, true, true),
            (Condition::Absent, true, false),
            (Condition::Present, false, true),
            (Condition::Version(one), false, true),
            (Condition::Version(two), false, false),
        ] {
            assert_eq!(condition.holds(None), absent, "{condition:?}");
            assert_eq!(condition.holds(Some(one)), under_one, "{condition:?}");
        }
    }
}
