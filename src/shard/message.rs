//! What a shard's actor is told, and the inbox it takes its work from.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::command::{Reply, Routed};
use crate::error::Error;

/// Writes in order, with the replies of those that are done.
pub(super) type Batch = Arc<[Write]>;

/// A write and, once it was applied, its reply.
///
/// The reply is kept beside the write and not only sent, so that a batch which is sent again after a
/// crash is continued where it stopped.
pub(super) struct Write {
    routed: Routed,
    /// Empty if its slot was not ours any more when it was its turn: nothing was done.
    reply: OnceLock<Option<Reply>>,
}

pub(super) enum ShardMsg {
    /// There is work in the inbox.
    Work,
    /// Do a piece of background work.
    Tick,
    /// Panic, for demonstrations.
    Crash,
}

// Never sent to another process.
impl ractor::Message for ShardMsg {}

/// A batch that waits for the actor.
pub(super) struct Waiting {
    pub(super) batch: Batch,
    /// Told when all of the batch is done. Dropped without a word if the actor ends before.
    pub(super) done: oneshot::Sender<()>,
    /// Its place in the queue, free when this is gone.
    pub(super) permit: OwnedSemaphorePermit,
}

/// What waits for the actor, bounded by the permits inside.
///
/// A message for each batch would cost more than the write it carries; so the actor is told once that
/// there is work and takes all that has gathered by the time it gets to it. What is here when an
/// actor ends is done by the next.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Vec<Waiting>>);

impl Write {
    pub(super) fn new(routed: Routed) -> Self {
        Self { routed, reply: OnceLock::new() }
    }

    /// What came of it, once it was its turn; an error if its slot was not ours any more by then.
    pub(super) fn reply(&self) -> Option<Result<&Reply, Error>> {
        let not_here = Error::NotHere { slot: self.routed.slot.0 };
        self.reply.get().map(|reply| reply.as_ref().ok_or(not_here))
    }

    /// Applies the command by `apply`, unless that was done before.
    pub(super) fn apply(&self, apply: impl FnOnce(&Routed) -> Option<Reply>) {
        self.reply.get_or_init(|| apply(&self.routed));
    }
}

impl Inbox {
    /// Adds a batch and returns whether the inbox was empty, so that the actor has to be told.
    pub(super) fn add(&self, waiting: Waiting) -> bool {
        let mut inbox = self.lock();
        inbox.push(waiting);
        inbox.len() == 1
    }

    /// Exchanges what is here for `empty`, whose room is used again.
    pub(super) fn take(&self, empty: &mut Vec<Waiting>) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // Nothing that can panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
