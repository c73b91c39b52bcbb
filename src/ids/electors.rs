//! Which other runs may be alive, as far as this node can know.

use std::collections::BTreeMap;

use crate::limits::MEMBERS_MAX;
use crate::member::{NodeId, View};

/// Every other run this node ever knew of, also those the roster has forgotten.
#[derive(Debug, Default)]
pub(super) struct Electors {
    runs: BTreeMap<NodeId, Run>,
    /// Whether one was not remembered, as there are too many.
    is_overfull: bool,
}

#[derive(Debug)]
struct Run {
    life: Life,
    /// Where it listens; empty while that is not known.
    addr: String,
}

/// What is known of the life of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It has spoken, and no view had it yet.
    New,
    /// It is a member.
    Member,
    /// It is a member, and nobody listens at its address; nothing was heard of it since.
    Refused,
    /// It was declared dead as nothing was heard of it. It may live where nothing comes through.
    Silent,
    /// It has left, its process is gone, or another run has its name.
    Dead,
}

impl Electors {
    /// Takes in who is a member.
    pub(super) fn see(&mut self, me: &NodeId, view: &View) {
        for member in view.members().filter(|member| member.id.name != me.name) {
            if member.is_living() {
                self.put(&member.id, Life::Member);
            }
            let Some(run) = self.runs.get_mut(&member.id) else { continue };
            run.addr.clone_from(&member.addr);
            run.life = match (run.life, member.is_living()) {
                (Life::New | Life::Silent | Life::Dead, true) => Life::Member,
                (Life::New | Life::Member, false) => Life::Silent,
                (Life::Refused, false) => Life::Dead,
                (life, _) => life,
            };
        }
        for (id, run) in &mut self.runs {
            let is_replaced = view.get(&id.name).is_some_and(|member| member.id != *id);
            // What has spoken and is in no view yet may be the later one of the two.
            if is_replaced && run.life != Life::New {
                run.life = Life::Dead;
            }
        }
    }

    /// A run has spoken.
    pub(super) fn meet(&mut self, id: &NodeId) {
        self.put(id, Life::New);
    }

    /// A run was heard, so that whoever listens at its address, it lives.
    pub(super) fn heard(&mut self, id: &NodeId) {
        if let Some(run) = self.runs.get_mut(id).filter(|run| run.life == Life::Refused) {
            run.life = Life::Member;
        }
    }

    /// A run said that it goes.
    pub(super) fn left(&mut self, id: &NodeId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.life = Life::Dead;
        }
    }

    /// Nobody listens at an address.
    pub(super) fn refused(&mut self, addr: &str) {
        for run in self.runs.values_mut().filter(|run| run.addr == addr) {
            run.life = match run.life {
                Life::Member => Life::Refused,
                Life::Silent => Life::Dead,
                life => life,
            };
        }
    }

    /// Those who may live.
    pub(super) fn living(&self) -> impl Iterator<Item = &NodeId> {
        self.runs.iter().filter(|(_, run)| run.life != Life::Dead).map(|(id, _)| id)
    }

    /// Where those listen of whom nothing is heard, and who may live.
    pub(super) fn silent(&self) -> impl Iterator<Item = &str> {
        let silent = self.runs.values().filter(|run| run.life == Life::Silent);
        silent.map(|run| run.addr.as_str()).filter(|addr| !addr.is_empty())
    }

    /// Whether nothing is heard of somebody who may live.
    pub(super) fn has_silent(&self) -> bool {
        self.runs.values().any(|run| run.life == Life::Silent)
    }

    /// Whether it is sure that a run is over.
    pub(super) fn is_dead(&self, id: &NodeId) -> bool {
        self.runs.get(id).is_some_and(|run| run.life == Life::Dead)
    }

    /// Whether somebody who may live is not remembered any more.
    pub(super) fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    /// A fingerprint of those who may live and of `me`. Boot ids are random.
    pub(super) fn digest(&self, me: &NodeId) -> u64 {
        self.living().fold(me.boot.0, |sum, id| sum.wrapping_add(id.boot.0))
    }

    fn put(&mut self, id: &NodeId, life: Life) {
        if self.runs.contains_key(id) {
            return;
        }
        if MEMBERS_MAX <= self.runs.len() {
            self.runs.retain(|_, run| run.life != Life::Dead);
        }
        match self.runs.len() < MEMBERS_MAX {
            true => drop(self.runs.insert(id.clone(), Run { life, addr: String::new() })),
            false => self.is_overfull = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Boot, Member, NodeName, Standing};

    fn id(name: &str, boot: u64) -> NodeId {
        NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) }
    }

    fn view(members: &[(&str, u64, Standing)]) -> View {
        let member = |(name, boot, standing): &(&str, u64, Standing)| Member {
            id: id(name, *boot),
            addr: format!("{name}:1"),
            http: String::new(),
            incarnation: *boot,
            standing: *standing,
            weight: 1,
        };
        View::new(1, members.iter().map(member))
    }

    fn may_live(electors: &Electors) -> Vec<u64> {
        electors.living().map(|id| id.boot.0).collect()
    }

    #[test]
    fn who_was_declared_dead_by_silence_may_live_until_the_contrary_is_sure() {
        let me = id("me", 9);
        let ends: [fn(&mut Electors); 3] = [
            |electors| electors.left(&id("a", 1)),
            |electors| electors.refused("a:1"),
            |electors| electors.see(&id("me", 9), &view(&[("a", 2, Standing::Alive)])),
        ];
        for (end, left) in ends.iter().zip([vec![], vec![], vec![2]]) {
            let mut electors = Electors::default();
            electors.see(&me, &view(&[("a", 1, Standing::Alive), ("me", 9, Standing::Alive)]));
            assert!(may_live(&electors) == [1] && !electors.has_silent());
            electors.see(&me, &view(&[("a", 1, Standing::Gone)]));
            // Forgotten by the roster.
            electors.see(&me, &view(&[]));
            assert!(may_live(&electors) == [1] && electors.has_silent());
            assert_eq!(electors.silent().collect::<Vec<_>>(), ["a:1"]);
            end(&mut electors);
            assert!(may_live(&electors) == left && !electors.has_silent());
            assert!(electors.is_dead(&id("a", 1)));
        }
    }

    #[test]
    fn a_member_at_whose_address_nobody_listens_lives_while_it_is_heard() {
        let (me, gone) = (id("me", 9), view(&[("a", 1, Standing::Gone)]));
        let mut electors = Electors::default();
        electors.see(&me, &view(&[("a", 1, Standing::Alive)]));
        electors.refused("a:1");
        electors.heard(&id("a", 1));
        electors.see(&me, &gone);
        assert_eq!(may_live(&electors), [1]);
        electors.see(&me, &view(&[("a", 1, Standing::Alive)]));
        electors.refused("a:1");
        assert_eq!(may_live(&electors), [1]);
        electors.see(&me, &gone);
        assert_eq!(may_live(&electors), [0; 0]);
    }

    #[test]
    fn who_has_spoken_is_remembered_before_any_view_has_it() {
        let (me, mut electors) = (id("me", 9), Electors::default());
        electors.see(&me, &view(&[("a", 1, Standing::Alive)]));
        electors.meet(&id("a", 2));
        // The view is behind.
        electors.see(&me, &view(&[("a", 1, Standing::Alive)]));
        assert_eq!(may_live(&electors), [1, 2]);
        electors.see(&me, &view(&[("a", 2, Standing::Alive)]));
        assert_eq!(may_live(&electors), [2]);
    }

    #[test]
    fn those_who_are_dead_make_room_and_who_finds_none_is_known_to_be_missing() {
        let mut electors = Electors::default();
        let max = MEMBERS_MAX as u64;
        (0..max).for_each(|boot| electors.meet(&id("a", boot)));
        electors.left(&id("a", 0));
        electors.meet(&id("a", max));
        assert!(!electors.is_overfull());
        electors.meet(&id("a", max + 1));
        assert!(electors.is_overfull());
    }
}
