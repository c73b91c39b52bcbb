//! The phases in which a door closes, as it and its connections see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// What a door does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It takes connections and requests.
    Open,
    /// It takes them still, and each answer says that the connection closes with it.
    Leaving,
    /// The same, and connections without a request under way are closed.
    Draining,
    /// It takes no more connections; in those it has, what has begun is answered.
    Shut,
    /// It closes whatever is left.
    Closed,
}

/// The phase a door is in. Clones are of the same door.
#[derive(Clone)]
pub struct Phases(Arc<Shared>);

struct Shared {
    phase: watch::Sender<Phase>,
    /// Whether each answer closes its connection. Apart from the phase, as every request looks at
    /// it.
    is_leaving: AtomicBool,
}

impl Default for Phases {
    /// Of a door that is open.
    fn default() -> Self {
        let phase = watch::Sender::new(Phase::Open);
        Self(Arc::new(Shared { phase, is_leaving: AtomicBool::new(false) }))
    }
}

impl Phases {
    /// The phase now.
    #[must_use]
    pub fn now(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Whether each answer closes its connection. Cheaper than the phase.
    #[inline]
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Ordering::Relaxed)
    }

    /// Tells of every phase from now on, for as long as `self` is there.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// Goes on to a phase; never back to one.
    pub(super) fn enter(&self, phase: Phase) {
        self.0.is_leaving.store(true, Ordering::Relaxed);
        self.0.phase.send_if_modified(|now| {
            let is_later = *now < phase;
            *now = phase.max(*now);
            is_later
        });
    }
}
