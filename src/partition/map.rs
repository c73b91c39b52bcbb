//! Who owns which slot: computed by every node from its view, and equal where views are.

use super::score::{Node, hash_slot};
use super::slot::{SLOTS, Slot};
use super::slot_set::SlotSet;
use crate::member::{Member, NodeId, NodeName, Standing, View};

/// Stands for no owner.
const NOBODY: u16 = u16::MAX;

/// The owner of every slot, by weighted rendezvous hashing over the members that are alive.
///
/// Nobody owns anything if no member is alive. A change of the members moves only what it must: to
/// who came, or from who left.
#[derive(Clone, Debug)]
pub struct PartitionMap {
    epoch: u64,
    digest: u64,
    members: Vec<Member>,
    owners: Vec<u16>,
}

impl PartitionMap {
    /// The map of a view.
    #[must_use]
    pub fn new(view: &View) -> Self {
        let members: Vec<Member> = view.living().cloned().collect();
        let mut map = Self { epoch: view.epoch(), digest: view.digest(), members, owners: vec![] };
        let nodes = map.nodes();
        map.owners = (0..SLOTS).map(|slot| owner_of(Slot(slot), &nodes)).collect();
        map
    }

    /// The map of a view that may differ in its epoch only, for which nothing is computed then.
    #[must_use]
    pub fn renewed(&self, view: &View) -> Self {
        match view.digest() == self.digest {
            true => Self { epoch: view.epoch(), ..self.clone() },
            false => Self::new(view),
        }
    }

    /// The epoch of the view.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The fingerprint of the view: equal ones mean equal maps.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// All who take part, by name; those who join or leave own nothing.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The record of a name among those who take part.
    #[must_use]
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        let place = self.members.binary_search_by(|member| member.id.name.cmp(name)).ok()?;
        self.members.get(place)
    }

    /// The owner of a slot; `None` if nobody is alive.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> Option<&NodeId> {
        self.owner_index(slot).map(|index| &self.members[usize::from(index)].id)
    }

    /// The owner of a slot as its place in [`PartitionMap::members`].
    #[must_use]
    pub fn owner_index(&self, slot: Slot) -> Option<u16> {
        self.owners.get(usize::from(slot.0)).copied().filter(|index| *index != NOBODY)
    }

    /// The first `count` members for a slot, its owner first: where copies of it belong.
    ///
    /// Computed at each call, in time proportional to the members and to `count`.
    #[must_use]
    pub fn copies(&self, slot: Slot, count: usize) -> Vec<&NodeId> {
        let hash = hash_slot(slot);
        let mut left = self.nodes();
        let mut copies = Vec::with_capacity(count.min(left.len()));
        while copies.len() < count
            && let Some(best) = best_of(hash, &left)
        {
            let (index, _) = left.remove(best);
            copies.push(&self.members[usize::from(index)].id);
        }
        copies
    }

    /// The slots a member owns.
    #[must_use]
    pub fn slots_of(&self, name: &NodeName) -> SlotSet {
        let place = self.members.binary_search_by(|member| member.id.name.cmp(name)).ok();
        let index = place.and_then(|place| u16::try_from(place).ok()).filter(|i| *i != NOBODY);
        let slots = (0..SLOTS).map(Slot);
        slots.filter(|slot| index.is_some() && self.owner_index(*slot) == index).collect()
    }

    /// How many slots each member owns, in the order of [`PartitionMap::members`].
    #[must_use]
    pub fn shares(&self) -> Vec<u16> {
        let mut shares = vec![0; self.members.len()];
        for index in self.owners.iter().filter(|index| **index != NOBODY) {
            shares[usize::from(*index)] += 1;
        }
        shares
    }

    /// Those who can own, with their places.
    fn nodes(&self) -> Vec<(u16, Node)> {
        let places = (0..NOBODY).zip(&self.members);
        let alive = places.filter(|(_, member)| member.standing == Standing::Alive);
        alive.map(|(index, m)| (index, Node::new(m.id.name.as_str(), m.weight))).collect()
    }
}

fn owner_of(slot: Slot, nodes: &[(u16, Node)]) -> u16 {
    best_of(hash_slot(slot), nodes).map_or(NOBODY, |best| nodes[best].0)
}

/// The place of the node that is drawn most to a slot of which [`hash_slot`] is known.
fn best_of(slot: u64, nodes: &[(u16, Node)]) -> Option<usize> {
    let mut score = nodes.first()?.1.score(slot);
    let mut best = 0;
    for (place, (_, node)) in nodes.iter().enumerate().skip(1) {
        if node.beat(&mut score, slot) {
            best = place;
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Boot;

    fn member(name: &str, weight: u32) -> Member {
        Member {
            id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(1) },
            addr: String::new(),
            http: String::new(),
            incarnation: 1,
            standing: Standing::Alive,
            weight,
        }
    }

    fn map(members: impl IntoIterator<Item = Member>) -> PartitionMap {
        PartitionMap::new(&View::new(1, members))
    }

    #[test]
    fn sixteen_equal_nodes_share_within_a_tenth() {
        let forms: [fn(usize) -> String; 8] = [
            |n| format!("smache-{n}"),
            |n| format!("smache{n}"),
            |n| format!("node{n}@localhost"),
            |n| format!("node-{n}"),
            |n| format!("n{}", n + 1),
            |n| format!("smache-{n}@smache-{n}.smache.default.svc.cluster.local"),
            |n| format!("10.0.0.{}:4040", n + 1),
            |n| format!("127.0.0.1:{}", 4000 + n),
        ];
        for form in forms {
            let shares = map((0..16).map(|n| member(&form(n), 1024))).shares();
            let even = f64::from(SLOTS) / 16.0;
            let worst = shares.iter().map(|share| (f64::from(*share) / even - 1.0).abs());
            let worst = worst.fold(0.0, f64::max);
            assert!(worst <= 0.1, "{}: {worst}", form(0));
        }
    }

    #[test]
    fn shares_follow_weights() {
        let map = map([member("a", 100), member("b", 200), member("c", 500), member("d", 1)]);
        let shares: Vec<f64> = map.shares().iter().map(|s| f64::from(*s)).collect();
        for (share, weight) in shares.iter().zip([100.0, 200.0, 500.0]) {
            let due = f64::from(SLOTS) * weight / 801.0;
            assert!((share / due - 1.0).abs() < 0.1, "{shares:?}");
        }
    }

    #[test]
    fn a_change_moves_only_what_it_must() {
        for weight in [1024, 777] {
            let few = map((0..9).map(|n| member(&format!("n{n}"), 1024 + n % 3)));
            let more = (0..9).map(|n| member(&format!("n{n}"), 1024 + n % 3));
            let more = map(more.chain([member("new", weight)]));
            let came = NodeName::new("new").unwrap();
            for slot in (0..SLOTS).map(Slot) {
                let (before, after) = (few.owner(slot).unwrap(), more.owner(slot).unwrap());
                assert!(before == after || after.name == came, "{slot:?}");
            }
            assert!(!more.slots_of(&came).is_empty());
        }
    }

    #[test]
    fn the_owner_comes_first_among_the_copies_and_the_next_takes_over() {
        let members: Vec<_> = (0..7).map(|n| member(&format!("n{n}"), 100 + n)).collect();
        let all = map(members.clone());
        for slot in (0..SLOTS).step_by(97).map(Slot) {
            let copies = all.copies(slot, 3);
            assert_eq!(copies.len(), 3);
            assert_eq!(Some(copies[0]), all.owner(slot));
            let rest = map(members.iter().filter(|m| m.id != *copies[0]).cloned());
            assert_eq!(Some(copies[1]), rest.owner(slot));
        }
        assert_eq!(all.copies(Slot(0), 100).len(), 7);
    }

    #[test]
    fn who_leaves_owns_nothing_and_nobody_owns_where_nobody_is_alive() {
        let leaving = Member { standing: Standing::Leaving, ..member("a", 1) };
        let one = map([leaving.clone(), member("b", 1)]);
        assert_eq!(one.shares(), [0, SLOTS]);
        let none = map([leaving]);
        assert_eq!(none.owner(Slot(3)), None);
        assert_eq!(none.members().len(), 1);
    }
}
