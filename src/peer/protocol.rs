//! Which protocols this build speaks with peers, and which one it speaks with a given peer.
//!
//! A protocol is everything that nodes say to each other after HELLO. Nodes of neighbouring versions
//! are one cluster for as long as an upgrade takes, so that a build speaks a range of them, and two
//! nodes the greatest they have in common.

use std::fmt;

/// The oldest protocol this build speaks. The one before it has a wire format that cannot be read
/// here.
pub const PROTOCOL_MIN: u16 = 3;

/// The newest protocol this build speaks: the fifth brought conditions, updates in place and listing, the
/// sixth what all nodes know alike, figures of namespaces, commands that are done together, and publishing.
/// With `next-protocol` there is one that has a verb more, for tests of rolling upgrades only.
pub const PROTOCOL_MAX: u16 = if cfg!(feature = "next-protocol") { 7 } else { 6 };

/// The first protocol in which commands say what the requests are called that they are of.
pub(super) const TRACES_SINCE: u16 = 4;
/// The first protocol in which nodes tell each other what all know alike.
pub const PROTOCOL_OF_AGREEMENT: u16 = 6;
/// The first protocol in which nodes tell each other what is published.
pub const PROTOCOL_OF_HUB: u16 = 6;
/// The first protocol that tells members that have left, or are forgotten, from those that are dead.
pub const PROTOCOL_OF_LEFT: u16 = 4;

// A range with nothing in it would be refused by everybody.
const _: () = assert!(PROTOCOL_MIN <= PROTOCOL_MAX);

/// The protocols a node speaks: all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocols {
    min: u16,
    max: u16,
}

impl Protocols {
    /// Those of this build.
    pub const OURS: Self = Self { min: PROTOCOL_MIN, max: PROTOCOL_MAX };

    /// Those from `min` to `max`; `None` if that is none.
    #[must_use]
    pub fn new(min: u16, max: u16) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// The protocol that nodes of the two speak with each other; `None` if they cannot.
    #[must_use]
    pub fn greatest_common(self, other: Self) -> Option<u16> {
        let greatest = self.max.min(other.max);
        (self.min.max(other.min) <= greatest).then_some(greatest)
    }

    /// As HELLO says them, whatever else it says.
    pub(super) fn to_bytes(self) -> [u8; 4] {
        let ([min_high, min_low], [max_high, max_low]) =
            (self.min.to_be_bytes(), self.max.to_be_bytes());
        [min_high, min_low, max_high, max_low]
    }

    /// What [`Self::to_bytes`] has made.
    pub(super) fn from_bytes([min_high, min_low, max_high, max_low]: [u8; 4]) -> Option<Self> {
        let min = u16::from_be_bytes([min_high, min_low]);
        Self::new(min, u16::from_be_bytes([max_high, max_low]))
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Protocols> {
        let pairs = (0..6).flat_map(|min| (0..6).map(move |max| (min, max)));
        pairs.filter_map(|(min, max)| Protocols::new(min, max)).collect()
    }

    #[test]
    fn two_nodes_speak_the_greatest_protocol_that_both_can() {
        let can = |range: Protocols, protocol| (range.min..=range.max).contains(&protocol);
        for (a, b) in all().into_iter().flat_map(|a| all().into_iter().map(move |b| (a, b))) {
            let greatest = (0..6).rev().find(|protocol| can(a, *protocol) && can(b, *protocol));
            assert_eq!(a.greatest_common(b), greatest, "{a} and {b}");
            assert_eq!(b.greatest_common(a), greatest, "{b} and {a}");
        }
    }

    #[test]
    fn ranges_go_through_their_bytes_and_those_of_nothing_are_none() {
        for range in all() {
            assert_eq!(Protocols::from_bytes(range.to_bytes()), Some(range));
        }
        assert_eq!(Protocols::from_bytes([0, 2, 0, 1]), None);
        assert_eq!(Protocols::new(u16::MAX, u16::MAX).map(Protocols::to_bytes), Some([255; 4]));
    }
}
