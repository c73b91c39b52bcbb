//! Who owns which slot: computed by every node from its view, and equal where views are.

use super::score::{Node, Race, hash_slot};
use super::slot_set::SlotSet;
use super::{SLOTS, Slot};
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
        let mut map = Self::without_owners(view);
        let nodes = map.nodes();
        let weights = weights_of(&nodes);
        map.owners = (0..SLOTS).map(|slot| best_of(Slot(slot), weights, &nodes)).collect();
        map
    }

    /// The map of a view, as [`PartitionMap::new`] has it, computed for what differs from this one:
    /// owners that stay are only compared with who is new or has another weight.
    #[must_use]
    pub fn renewed(&self, view: &View) -> Self {
        if view.digest() == self.digest {
            return Self { epoch: view.epoch(), ..self.clone() };
        }
        let mut map = Self::without_owners(view);
        let nodes = map.nodes();
        let weights = weights_of(&nodes);
        // Where each node of this map is in the new one, if it is as it was.
        let mut stayed: Vec<Option<&(u16, Node)>> = vec![None; self.members.len()];
        let mut fresh = Vec::new();
        for node in &nodes {
            let now = &map.members[usize::from(node.0)];
            let was = self.place(&now.id.name).filter(|was| is_same(&self.members[*was], now));
            match was {
                Some(was) => stayed[was] = Some(node),
                None => fresh.push(*node),
            }
        }
        let owner = |slot| {
            let was = self.owner_index(slot).and_then(|was| stayed[usize::from(was)]);
            let Some(stays) = was else { return best_of(slot, weights, &nodes) };
            // In the order of all nodes, as it decides between equals.
            let (before, after) = fresh.split_at(fresh.partition_point(|node| node.0 < stays.0));
            best_of(slot, weights, before.iter().chain([stays]).chain(after))
        };
        map.owners = (0..SLOTS).map(|slot| owner(Slot(slot))).collect();
        map
    }

    fn without_owners(view: &View) -> Self {
        let members = view.living().cloned().collect();
        Self { epoch: view.epoch(), digest: view.digest(), members, owners: vec![] }
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
        self.members.get(self.place(name)?)
    }

    fn place(&self, name: &NodeName) -> Option<usize> {
        self.members.binary_search_by(|member| member.id.name.cmp(name)).ok()
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
        let mut left = self.nodes();
        let weights = weights_of(&left);
        let mut copies = Vec::with_capacity(count.min(left.len()));
        while copies.len() < count && !left.is_empty() {
            let best = best_of(slot, weights, &left);
            left.retain(|(index, _)| *index != best);
            copies.push(&self.members[usize::from(best)].id);
        }
        copies
    }

    /// The slots a member owns.
    #[must_use]
    pub fn slots_of(&self, name: &NodeName) -> SlotSet {
        let index =
            self.place(name).and_then(|place| u16::try_from(place).ok()).filter(|i| *i != NOBODY);
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

/// Whether nodes weigh the same, so that their hashes alone decide.
#[derive(Clone, Copy, Debug)]
enum Weights {
    Even,
    Uneven { heaviest: u32 },
}

fn weights_of(nodes: &[(u16, Node)]) -> Weights {
    match nodes.windows(2).all(|pair| pair[0].1.weight() == pair[1].1.weight()) {
        true => Weights::Even,
        false => {
            Weights::Uneven { heaviest: nodes.iter().map(|n| n.1.weight()).max().unwrap_or(1) }
        }
    }
}

/// Whether two records of a name are equal in what owners depend on.
fn is_same(left: &Member, right: &Member) -> bool {
    left.standing == right.standing && left.weight == right.weight
}

/// The node that is drawn most to a slot, the first of equals.
fn best_of<'a>(
    slot: Slot,
    weights: Weights,
    nodes: impl IntoIterator<Item = &'a (u16, Node)>,
) -> u16 {
    let slot = hash_slot(slot);
    let mut nodes = nodes.into_iter();
    let Some(first) = nodes.next() else { return NOBODY };
    let mut best = first.0;
    match weights {
        Weights::Even => {
            let mut most = first.1.hash(slot);
            for (index, node) in nodes {
                let hash = node.hash(slot);
                if most < hash {
                    (best, most) = (*index, hash);
                }
            }
        }
        Weights::Uneven { heaviest } => {
            best = Race::run(slot, heaviest, first, nodes);
        }
    }
    best
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
    fn the_owner_is_who_is_drawn_most_by_all_digits() {
        for count in [2, 7, 60] {
            let weights = |n: usize| [1, 1000, 1000 + n as u32, u32::MAX][n % 4];
            let map = map((0..count).map(|n| member(&format!("n{n}"), weights(n))));
            let nodes = map.nodes();
            for slot in (0..SLOTS).step_by(7).map(Slot) {
                let best = nodes.iter().reduce(|best, node| {
                    let is_better = node
                        .1
                        .score(hash_slot(slot))
                        .is_better_than(&best.1.score(hash_slot(slot)));
                    if is_better { node } else { best }
                });
                assert_eq!(map.owner_index(slot), best.map(|best| best.0));
            }
        }
    }

    #[test]
    fn a_renewed_map_is_the_map_of_its_view() {
        let set = |from: usize, to: usize, weight: fn(usize) -> u32| {
            View::new(1, (from..to).map(|n| member(&format!("n{n}"), weight(n))))
        };
        let leaving = Member { standing: Standing::Leaving, ..member("n5", 9) };
        let views = [
            set(0, 0, |_| 1),
            set(0, 1, |_| 9),
            set(0, 12, |_| 9),
            set(3, 15, |_| 9),
            set(2, 15, |n| 9 + n as u32 % 2),
            View::new(1, [leaving, member("n6", 9), member("n7", 1)]),
        ];
        for (before, after) in views.iter().flat_map(|v| views.iter().map(move |w| (v, w))) {
            let renewed = PartitionMap::new(before).renewed(after);
            assert_eq!(renewed.owners, PartitionMap::new(after).owners);
            assert_eq!(renewed.digest(), after.digest());
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
