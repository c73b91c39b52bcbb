//! Disturbances of connections on purpose, to see what becomes of a cluster.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::limits::PEERS_MAX;

/// What is done to the connections to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaos {
    /// Nothing goes through any more, nor does a new connection.
    Cut,
    /// Nothing that is sent arrives.
    CutSend,
    /// Nothing arrives here.
    CutReceive,
    /// What arrives is read so much later.
    Delay(Duration),
    /// All is well again.
    Heal,
}

/// What is done to the connections to one node, those to come as well.
#[derive(Debug, Default)]
pub(super) struct Disturbance {
    cuts: AtomicU8,
    delay_millis: AtomicU64,
    changed: Notify,
}

/// The disturbances of all nodes, by their names.
#[derive(Default)]
pub(super) struct Disturbances(Mutex<HashMap<String, Arc<Disturbance>>>);

const SENDING: u8 = 1;
const RECEIVING: u8 = 2;

impl Disturbance {
    pub(super) fn set(&self, chaos: Chaos) {
        let (cuts, delay) = match chaos {
            Chaos::Cut => (SENDING | RECEIVING, Duration::ZERO),
            Chaos::CutSend => (SENDING, Duration::ZERO),
            Chaos::CutReceive => (RECEIVING, Duration::ZERO),
            Chaos::Delay(delay) => (0, delay),
            Chaos::Heal => (0, Duration::ZERO),
        };
        self.cuts.store(cuts, Ordering::Release);
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay_millis.store(millis, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(super) fn cuts_sending(&self) -> bool {
        self.cuts.load(Ordering::Acquire) & SENDING != 0
    }

    pub(super) fn cuts_receiving(&self) -> bool {
        self.cuts.load(Ordering::Acquire) & RECEIVING != 0
    }

    /// Whether a HELLO gets no answer.
    pub(super) fn cuts_anything(&self) -> bool {
        self.cuts.load(Ordering::Acquire) != 0
    }

    /// Waits while anything is cut.
    pub(super) async fn healed(&self) {
        loop {
            // Waits from here on, so that a change before the next line is not missed.
            let changed = self.changed.notified();
            if !self.cuts_anything() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_millis.load(Ordering::Relaxed))
    }
}

impl Disturbances {
    /// Those that were asked for: of every node that was met, and of those that are disturbed.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// That of the node of that name; of none that is remembered if there are too many.
    pub(super) fn of(&self, name: &str) -> Arc<Disturbance> {
        // Nothing that can panic is done under the lock.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(disturbance) = all.get(name) {
            return Arc::clone(disturbance);
        }
        if 4 * PEERS_MAX <= all.len() {
            all.retain(|_, d| d.cuts_anything() || 1 < Arc::strong_count(d));
        }
        let disturbance = Arc::new(Disturbance::default());
        all.insert(name.to_owned(), Arc::clone(&disturbance));
        disturbance
    }
}
