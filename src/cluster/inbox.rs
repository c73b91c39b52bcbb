//! What peers have told and discovery has not looked at yet: bounded, however much they tell.
//!
//! A mailbox has no bound of its own, and an actor that does not run for a while would find all in it
//! that was said meanwhile. So what a peer tells is folded into what it told before: of heartbeats the
//! last one counts, and views, which may be parts, are merged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::INBOX_PEERS_MAX;
use crate::member::{Heartbeat, NodeId, View};

/// What was told and not taken yet.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Told>);

/// All of it, once it is taken.
#[derive(Default)]
pub(super) struct Told {
    /// By who told it.
    pub(super) peers: BTreeMap<NodeId, FromPeer>,
    /// The incarnation this node has to exceed.
    pub(super) floor: Option<u64>,
}

/// What one peer has told.
#[derive(Default)]
pub(super) struct FromPeer {
    /// Its last sign of life.
    pub(super) beat: Option<Heartbeat>,
    /// What it knows of the members.
    pub(super) view: Option<View>,
    /// Whether it refused something as its view is another.
    pub(super) disagrees: bool,
    /// Whether it goes.
    pub(super) has_left: bool,
}

/// Keeps an actor from being woken again before it has looked.
#[derive(Default)]
pub(super) struct Bell(AtomicBool);

impl Inbox {
    /// Has what a peer tells folded into what it told before.
    ///
    /// Who is new and finds no room is not heard, and tells it again. Before that, peers that are not
    /// there any more make room, as `is_there` says.
    pub(super) fn put(
        &self,
        from: &NodeId,
        fold: impl FnOnce(&mut FromPeer),
        is_there: impl Fn(&NodeId) -> bool,
    ) {
        let mut told = self.lock();
        let peers = &mut told.peers;
        if INBOX_PEERS_MAX <= peers.len() && !peers.contains_key(from) {
            peers.retain(|peer, _| is_there(peer));
            if INBOX_PEERS_MAX <= peers.len() {
                return;
            }
        }
        fold(peers.entry(from.clone()).or_default());
    }

    /// Notes an incarnation that this node has to exceed.
    pub(super) fn put_floor(&self, floor: u64) {
        let mut told = self.lock();
        told.floor = told.floor.max(Some(floor));
    }

    /// Everything that was told, which is not here any more then.
    pub(super) fn take(&self) -> Told {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromPeer {
    /// Adds a view, or a part of one, to those before.
    pub(super) fn add_view(&mut self, view: View) {
        match &mut self.view {
            Some(before) => before.merge(&view),
            None => self.view = Some(view),
        }
    }
}

impl Bell {
    /// Rings, and returns whether the actor has to be woken: it was not since it looked last.
    pub(super) fn ring(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Says that the actor looks from now on, and returns whether it was rung. Whoever rings after
    /// this wakes it again.
    ///
    /// An actor that is woken as it ends does not look. So actors look with every tick as well.
    pub(super) fn answer(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Boot, Member, NodeName, Standing};

    fn node(boot: u64) -> NodeId {
        NodeId { name: NodeName::new(&format!("n{boot}")).unwrap(), boot: Boot(boot) }
    }

    fn beat(digest: u64) -> Heartbeat {
        Heartbeat { digest, epoch: 1, hears: [].into() }
    }

    fn view_of(boot: u64) -> View {
        let member = Member {
            id: node(boot),
            addr: String::new(),
            http: String::new(),
            incarnation: 1,
            standing: Standing::Alive,
            weight: 1,
        };
        View::new(boot, [member])
    }

    #[test]
    fn of_a_hundred_thousand_heartbeats_the_last_of_each_peer_is_left() {
        let (inbox, bell) = (Inbox::default(), Bell::default());
        let mut woken = 0;
        for n in 0..100_000 {
            inbox.put(&node(n % 3), |told| told.beat = Some(beat(n)), |_| true);
            woken += u32::from(bell.ring());
        }
        assert_eq!(woken, 1);
        let told = inbox.take().peers;
        let digests: Vec<_> =
            told.values().map(|told| told.beat.as_ref().unwrap().digest).collect();
        assert_eq!(digests, [99_999, 99_997, 99_998]);
        assert!(inbox.take().peers.is_empty());
        assert!(bell.answer() && bell.ring());
    }

    #[test]
    fn parts_of_a_view_are_merged_and_nothing_told_before_is_lost() {
        let inbox = Inbox::default();
        for boot in [3, 1, 2] {
            inbox.put(&node(9), |told| told.add_view(view_of(boot)), |_| true);
        }
        inbox.put(&node(9), |told| told.has_left = true, |_| true);
        inbox.put(&node(9), |told| told.disagrees = true, |_| true);
        let told = inbox.take().peers.remove(&node(9)).unwrap();
        let view = told.view.unwrap();
        assert_eq!((view.members().count(), view.epoch()), (3, 3));
        assert!(told.has_left && told.disagrees && told.beat.is_none());
    }

    #[test]
    fn peers_that_are_gone_make_room_for_those_that_are_there() {
        let inbox = Inbox::default();
        let max = INBOX_PEERS_MAX as u64;
        let tell = |boot, alive: &dyn Fn(&NodeId) -> bool| {
            inbox.put(&node(boot), |told| told.beat = Some(beat(boot)), alive);
        };
        (0..max).for_each(|boot| tell(boot, &|_| true));
        // Nobody is gone, so that there is no room.
        tell(max, &|_| true);
        assert_eq!(inbox.lock().peers.len(), INBOX_PEERS_MAX);
        tell(max, &|peer| peer.boot.0 % 2 == 0);
        let told = inbox.take().peers;
        assert_eq!(told.len(), INBOX_PEERS_MAX / 2 + 1);
        assert!(told.contains_key(&node(max)));
    }

    #[test]
    fn the_greatest_floor_counts() {
        let inbox = Inbox::default();
        [4, 7, 5].into_iter().for_each(|floor| inbox.put_floor(floor));
        assert_eq!(inbox.take().floor, Some(7));
    }
}
