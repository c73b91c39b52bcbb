//! What the cluster has cost so far, as numbers that only grow, and how long its links are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Cluster;
use crate::member::NodeName;
use crate::metrics::{Counter, PeerCounts};

/// What the cluster has cost so far.
#[derive(Clone, Debug)]
pub struct ClusterFigures {
    /// What the links to other nodes count.
    pub peers: Arc<PeerCounts>,
    /// How long the last heartbeat and its answer took, for each node there is a session with.
    pub round_trips: BTreeMap<NodeName, Option<Duration>>,
    /// Members that died, without a word.
    pub died: u64,
    /// Slots they had: what was in them is lost.
    pub slots_lost: u64,
    /// Entries that could not be sent in the last pass over what is to be moved.
    pub left: u64,
    /// Members that are reached by way of another one only.
    pub detours: u64,
}

/// What is counted of it.
#[derive(Default)]
pub(super) struct Figures {
    died: Counter,
    slots_lost: Counter,
    pub(super) left: AtomicU64,
    round_trips: Mutex<BTreeMap<NodeName, Duration>>,
}

impl Figures {
    /// A member died that had so many slots.
    pub(super) fn died(&self, slots: u16) {
        self.died.count();
        self.slots_lost.add(slots.into());
    }

    /// A heartbeat and its answer took so long.
    pub(super) fn answered(&self, peer: &NodeName, took: Duration) {
        // Nothing that can panic is done under the lock.
        let mut trips = self.round_trips.lock().unwrap_or_else(PoisonError::into_inner);
        trips.insert(peer.clone(), took);
    }

    /// Forgets how far those are that are not peers any more.
    pub(super) fn keep(&self, is_peer: impl Fn(&NodeName) -> bool) {
        let mut trips = self.round_trips.lock().unwrap_or_else(PoisonError::into_inner);
        trips.retain(|name, _| is_peer(name));
    }
}

impl Cluster {
    /// What the cluster has cost so far.
    #[must_use]
    pub fn figures(&self) -> ClusterFigures {
        let Figures { died, slots_lost, left, round_trips } = &self.shared.figures;
        let trips = round_trips.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let peers = self.shared.transport().peers().into_iter().map(|peer| peer.id.name);
        ClusterFigures {
            peers: self.shared.transport().counts(),
            round_trips: peers.map(|name| (name.clone(), trips.get(&name).copied())).collect(),
            died: died.total(),
            slots_lost: slots_lost.total(),
            left: left.load(Ordering::Relaxed),
            detours: self.shared.membership.sight.load().detours.len() as u64,
        }
    }
}
