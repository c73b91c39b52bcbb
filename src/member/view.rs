//! What a node knows of all members: one record per name, merged without a coordinator.
//!
//! Records of one name are totally ordered, and the greater one stands. That makes a view a
//! join-semilattice: nodes that have seen the same records hold the same view, in whatever order and
//! however often they came (Shapiro and others, "Conflict-free Replicated Data Types", SSS 2011).

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::id::{Boot, NodeId, NodeName};
use crate::limits::{COUNT_MAX, MEMBERS_MAX, PEER_TEXT_BYTES_MAX};

/// What a member does, in the order in which it happens to one run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It takes part but has not found a cluster yet: it owns nothing and holds nothing.
    Joining,
    /// It takes part and owns slots.
    Alive,
    /// It takes part, owns nothing any more and hands over what it holds.
    Leaving,
    /// It was declared dead: nothing is heard of it, and it may be back.
    Gone,
    /// It said good-bye, and is not expected back as this run.
    Left,
    /// Somebody who runs the cluster said that it will not be back.
    Forgotten,
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

/// All members as one node knows them, or some of its records. A copy costs nothing until one of
/// both is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    epoch: u64,
    /// The sum of the fingerprints of all who take part, so that a change costs one of them.
    digest: u64,
    members: Arc<BTreeMap<NodeName, Arc<Member>>>,
}

impl Member {
    /// Whether it takes part: joining, alive or leaving.
    #[must_use]
    pub fn is_living(&self) -> bool {
        self.standing < Standing::Gone
    }

    /// Whether it is in a cluster, so that its view names everybody.
    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.standing, Standing::Alive | Standing::Leaving)
    }

    /// Why no member can be like this; `None` if one can.
    ///
    /// It is asked of whatever another node says, of itself or of others: what is wrong would go from
    /// there to everybody, and into every map.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        let Self { id: _, addr, http, incarnation, standing: _, weight } = self;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if *weight == 0 {
            return Some("a member has no weight");
        }
        if COUNT_MAX < *incarnation {
            return Some("an incarnation is too great");
        }
        if !is_plain(addr) || !is_plain(http) {
            return Some("an address is not plain");
        }
        let is_short = addr.len().max(http.len()) <= PEER_TEXT_BYTES_MAX;
        (!is_short).then_some("an address is too long")
    }

    /// Whether this record stands against `other` of the same name.
    ///
    /// The greater incarnation does; at the same one what happens later; then the greater boot and,
    /// so that the order is total, the rest.
    #[must_use]
    pub fn overrides(&self, other: &Self) -> bool {
        other.rank() < self.rank()
    }

    fn digest(&self) -> u64 {
        let Self { id, addr, http, incarnation, standing, weight } = self;
        let mut hash = Xxh3::new();
        for text in [id.name.as_str(), addr, http] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(&id.boot.0.to_le_bytes());
        hash.update(&incarnation.to_le_bytes());
        hash.update(&[*standing as u8]);
        hash.update(&weight.to_le_bytes());
        hash.digest()
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
        Self::of(epoch, members.into_iter().map(Arc::new))
    }

    /// The same of records that are shared.
    pub(super) fn of(epoch: u64, members: impl IntoIterator<Item = Arc<Member>>) -> Self {
        let mut view = Self { epoch, ..Self::default() };
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
        self.shared().map(Arc::as_ref)
    }

    /// The records of those who take part, by name.
    pub fn living(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.is_living())
    }

    /// The record of a name.
    #[must_use]
    pub fn get(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name).map(Arc::as_ref)
    }

    /// A fingerprint of all records of those who take part.
    ///
    /// Two views with the same fingerprint have the same owners. What is gone does not count, as
    /// each node forgets it in its own time. It is kept, not computed here.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn shared(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    /// Adds what another view says, as if both had come at once.
    pub fn merge(&mut self, theirs: &Self) {
        self.raise_epoch(theirs.epoch);
        for member in self.news_of(theirs) {
            self.put(Arc::clone(member));
        }
    }

    /// The records of `theirs` that stand against ours, or whose names are unknown here.
    pub(super) fn news_of<'a>(&self, theirs: &'a Self) -> Vec<&'a Arc<Member>> {
        let mut ours = self.members.iter().peekable();
        let is_news = |(name, member): &(&NodeName, &Arc<Member>)| {
            while ours.next_if(|(known, _)| known < name).is_some() {}
            let known = ours.peek().filter(|(known, _)| known == name);
            known.is_none_or(|(_, known)| !Arc::ptr_eq(known, member) && member.overrides(known))
        };
        theirs.members.iter().filter(is_news).map(|(_, member)| member).collect()
    }

    /// Puts a record where it stands against the one there, and returns whether it did.
    pub(super) fn put(&mut self, member: Arc<Member>) -> bool {
        let known = self.members.get(&member.id.name);
        let stands = match known {
            Some(known) => member.overrides(known),
            None => self.members.len() < MEMBERS_MAX,
        };
        if stands {
            self.digest = self.digest.wrapping_sub(known.map_or(0, share_of));
            self.digest = self.digest.wrapping_add(share_of(&member));
            Arc::make_mut(&mut self.members).insert(member.id.name.clone(), member);
        }
        stands
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Forgets a name.
    pub(super) fn forget(&mut self, name: &NodeName) {
        if let Some(known) = Arc::make_mut(&mut self.members).remove(name) {
            self.digest = self.digest.wrapping_sub(share_of(&known));
        }
    }

    /// Sets the epoch, which never falls.
    pub(super) fn raise_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }
}

/// What a record adds to the fingerprint of a view.
fn share_of(member: &Arc<Member>) -> u64 {
    match member.is_living() {
        true => member.digest(),
        false => 0,
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
    fn views_that_are_merged_say_what_all_their_records_say() {
        let records = [
            member("a", 1, 5, Standing::Alive),
            member("b", 1, 5, Standing::Gone),
            member("a", 1, 6, Standing::Alive),
            member("b", 1, 5, Standing::Alive),
        ];
        let mut merged = View::new(3, records[..2].iter().cloned());
        merged.merge(&View::new(2, records[2..].iter().cloned()));
        assert_eq!(merged, View::new(3, records));
    }

    #[test]
    fn those_who_are_gone_do_not_change_the_fingerprint() {
        let alone = View::new(0, [member("a", 1, 1, Standing::Alive)]);
        let mut other = alone.clone();
        other.put(Arc::new(member("b", 1, 1, Standing::Gone)));
        assert_eq!(alone.digest(), other.digest());
        other.put(Arc::new(member("b", 1, 2, Standing::Alive)));
        assert_ne!(alone.digest(), other.digest());
        other.put(Arc::new(member("b", 1, 3, Standing::Gone)));
        assert_eq!(alone.digest(), other.digest());
    }

    #[test]
    fn no_more_members_are_taken_than_the_limit() {
        let many = (0..=MEMBERS_MAX).map(|n| member(&format!("n{n}"), 1, 1, Standing::Alive));
        assert_eq!(View::new(0, many).members().count(), MEMBERS_MAX);
    }
}
