//! What a node knows of all members: one record per name, merged without a coordinator.
//!
//! Records of one name are totally ordered, and the greater one stands. That makes a view a
//! join-semilattice: nodes that have seen the same records hold the same view, in whatever order and
//! however often they came (Shapiro and others, "Conflict-free Replicated Data Types", SSS 2011).

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use super::id::{Boot, NodeId, NodeName};
use crate::limits::MEMBERS_MAX;

/// What a member does, in the order in which it happens to one run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It takes part but has not found a cluster yet: it owns nothing and holds nothing.
    Joining,
    /// It takes part and owns slots.
    Alive,
    /// It takes part, owns nothing any more and hands over what it holds.
    Leaving,
    /// It left or was declared dead.
    Gone,
}

/// The record of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name and which run of it.
    pub id: NodeId,
    /// `host:port` where other nodes reach it; empty if it cannot be dialled.
    pub addr: String,
    /// `host:port` of its HTTP door, for people and clients; empty if it has none.
    pub http: String,
    /// The order of what is said of this name: started as the wall-clock milliseconds of its start,
    /// and raised by the member itself to refute a false word about it.
    pub incarnation: u64,
    /// What it does.
    pub standing: Standing,
    /// Its memory in MiB, at least 1: its share of the slots is in proportion.
    pub weight: u32,
}

/// All members as one node knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    epoch: u64,
    members: BTreeMap<NodeName, Member>,
}

impl Member {
    /// Whether it takes part: joining, alive or leaving.
    #[must_use]
    pub fn is_living(&self) -> bool {
        self.standing < Standing::Gone
    }

    /// Whether this record stands against `other` of the same name.
    ///
    /// The greater incarnation does; at the same one what happens later; then the greater boot and,
    /// so that the order is total, the rest.
    #[must_use]
    pub fn overrides(&self, other: &Self) -> bool {
        other.rank() < self.rank()
    }

    fn rank(&self) -> (u64, Standing, Boot, u32, &str, &str) {
        let Self { id, addr, http, incarnation, standing, weight } = self;
        (*incarnation, *standing, id.boot, *weight, addr, http)
    }
}

impl View {
    /// A view of `members` as it came from elsewhere; of records of one name the standing one stays,
    /// and those over [`MEMBERS_MAX`] are left out.
    #[must_use]
    pub fn new(epoch: u64, members: impl IntoIterator<Item = Member>) -> Self {
        let mut view = Self { epoch, members: BTreeMap::new() };
        for member in members {
            view.put(member);
        }
        view
    }

    /// A count of changes: grows with each, and nodes that agree end with the same.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every record, also of members that are gone, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The records of those who take part, by name.
    pub fn living(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.is_living())
    }

    /// The record of a name.
    #[must_use]
    pub fn get(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    /// A fingerprint of all records of those who take part.
    ///
    /// Two views with the same fingerprint have the same owners. What is gone does not count, as
    /// each node forgets it in its own time.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        let text = |hash: &mut Xxh3, text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        for member in self.living() {
            text(&mut hash, member.id.name.as_str());
            text(&mut hash, &member.addr);
            text(&mut hash, &member.http);
            hash.update(&member.id.boot.0.to_le_bytes());
            hash.update(&member.incarnation.to_le_bytes());
            hash.update(&[member.standing as u8]);
            hash.update(&member.weight.to_le_bytes());
        }
        hash.digest()
    }

    pub(super) fn into_members(self) -> impl Iterator<Item = Member> {
        self.members.into_values()
    }

    /// Puts a record where it stands against the one there, and returns whether it did.
    pub(super) fn put(&mut self, member: Member) -> bool {
        let stands = match self.members.get(&member.id.name) {
            Some(known) => member.overrides(known),
            None => self.members.len() < MEMBERS_MAX,
        };
        if stands {
            self.members.insert(member.id.name.clone(), member);
        }
        stands
    }

    /// Forgets a name.
    pub(super) fn forget(&mut self, name: &NodeName) {
        self.members.remove(name);
    }

    /// Sets the epoch, which never falls.
    pub(super) fn raise_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, boot: u64, incarnation: u64, standing: Standing) -> Member {
        Member {
            id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) },
            addr: String::new(),
            http: String::new(),
            incarnation,
            standing,
            weight: 1,
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let records = [
            member("a", 1, 5, Standing::Alive),
            member("a", 1, 5, Standing::Gone),
            member("a", 1, 6, Standing::Alive),
            member("a", 2, 6, Standing::Alive),
            member("b", 9, 1, Standing::Leaving),
        ];
        let forth = View::new(0, records.clone());
        let back = View::new(0, records.into_iter().rev());
        assert_eq!(forth, back);
        assert_eq!(forth.get(&NodeName::new("a").unwrap()).unwrap().id.boot, Boot(2));
    }

    #[test]
    fn those_who_are_gone_do_not_change_the_fingerprint() {
        let alone = View::new(0, [member("a", 1, 1, Standing::Alive)]);
        let mut other = alone.clone();
        other.put(member("b", 1, 1, Standing::Gone));
        assert_eq!(alone.digest(), other.digest());
        other.put(member("b", 1, 2, Standing::Alive));
        assert_ne!(alone.digest(), other.digest());
    }

    #[test]
    fn no_more_members_are_taken_than_the_limit() {
        let many = (0..=MEMBERS_MAX).map(|n| member(&format!("n{n}"), 1, 1, Standing::Alive));
        assert_eq!(View::new(0, many).members().count(), MEMBERS_MAX);
    }
}
