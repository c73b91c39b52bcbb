//! What must hold for a write: one type for every protocol's way of saying it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::entry::Version;
use crate::limits::CONDITION_VERSIONS_MAX;

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
    /// Both of two demands.
    Both(Demand, Demand),
}

/// One of two that a condition is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Demand {
    /// Nothing.
    #[default]
    Nothing,
    /// The key is there.
    There,
    /// The key is there under one of these: a list in `If-Match`.
    OneOf(Versions),
    /// The key is there under a version of that second or an earlier one, by the cluster's time:
    /// `If-Unmodified-Since`.
    NotAfter(u64),
    /// The key is absent.
    Absent,
    /// The key is not there under one of these: a list in `If-None-Match`.
    NoneOf(Versions),
}

/// Some versions, up to [`CONDITION_VERSIONS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Versions(Vec<Version>);

impl Condition {
    /// The condition that two demands are, in the simplest form: what older nodes know is said as they
    /// know it.
    #[must_use]
    pub fn both(one: Demand, other: Demand) -> Self {
        match (one, other) {
            (Demand::Nothing, Demand::Nothing) => Self::Always,
            (Demand::There, Demand::Nothing) => Self::Present,
            (Demand::Nothing, Demand::Absent) => Self::Absent,
            (Demand::OneOf(Versions(versions)), Demand::Nothing) if versions.len() == 1 => {
                Self::Version(versions[0])
            }
            (one, other) => Self::Both(one, other),
        }
    }

    /// The first protocol between nodes that has it.
    #[must_use]
    pub fn since(&self) -> u16 {
        match self {
            Self::Always | Self::Absent | Self::Present | Self::Version(_) => 3,
            Self::Both(..) => 5,
        }
    }

    /// Whether it holds for a key that is there under `version`, or absent.
    #[must_use]
    pub fn holds(&self, version: Option<Version>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => version.is_none(),
            Self::Present => version.is_some(),
            Self::Version(wanted) => version == Some(*wanted),
            Self::Both(one, other) => one.is_met(version) && other.is_met(version),
        }
    }
}

impl Demand {
    fn is_met(&self, version: Option<Version>) -> bool {
        match self {
            Self::Nothing => true,
            Self::There => version.is_some(),
            Self::OneOf(versions) => version.is_some_and(|version| versions.name(version)),
            Self::NotAfter(second) => {
                version.is_some_and(|version| version.millis().0 / 1_000 <= *second)
            }
            Self::Absent => version.is_none(),
            Self::NoneOf(versions) => version.is_none_or(|version| !versions.name(version)),
        }
    }
}

impl Versions {
    /// These versions; `None` if they are too many.
    #[must_use]
    pub fn new(versions: Vec<Version>) -> Option<Self> {
        (versions.len() <= CONDITION_VERSIONS_MAX).then_some(Self(versions))
    }

    fn name(&self, version: Version) -> bool {
        self.0.contains(&version)
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let versions = Vec::deserialize(deserializer)?;
        Self::new(versions).ok_or_else(|| D::Error::custom("a condition names too many versions"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_looks_at_whether_and_under_which_version_a_key_is_there() {
        let (one, two) = (Version(1), Version(2));
        let list = |versions: &[Version]| Versions::new(versions.to_vec()).unwrap();
        let first = |demand| Condition::both(demand, Demand::Nothing);
        let second = |demand| Condition::both(Demand::Nothing, demand);
        for (condition, absent, under_one) in [
            (Condition::Always, true, true),
            (Condition::Absent, true, false),
            (Condition::Present, false, true),
            (Condition::Version(one), false, true),
            (Condition::Version(two), false, false),
            (first(Demand::OneOf(list(&[two, one]))), false, true),
            (first(Demand::OneOf(list(&[]))), false, false),
            (first(Demand::NotAfter(0)), false, true),
            (second(Demand::NoneOf(list(&[two]))), true, true),
            (second(Demand::NoneOf(list(&[one, two]))), true, false),
            (Condition::both(Demand::There, Demand::NoneOf(list(&[two]))), false, true),
            (Condition::both(Demand::There, Demand::Absent), false, false),
        ] {
            assert_eq!(condition.holds(None), absent, "{condition:?}");
            assert_eq!(condition.holds(Some(one)), under_one, "{condition:?}");
        }
        let late = Version::at(crate::entry::Millis(2_000));
        assert!(!first(Demand::NotAfter(1)).holds(Some(late)));
        assert!(first(Demand::NotAfter(2)).holds(Some(late)));
    }

    #[test]
    fn what_an_older_node_knows_is_said_as_it_knows_it() {
        let one = Demand::OneOf(Versions(vec![Version(7)]));
        assert_eq!(Condition::both(one, Demand::Nothing), Condition::Version(Version(7)));
        assert_eq!(Condition::both(Demand::Nothing, Demand::Absent), Condition::Absent);
        assert_eq!(Condition::both(Demand::There, Demand::Nothing), Condition::Present);
        assert_eq!(Condition::both(Demand::There, Demand::Absent).since(), 5);
        assert!(Versions::new(vec![Version(1); CONDITION_VERSIONS_MAX + 1]).is_none());
    }
}
