//! What waits for the link: commands with their places and deadlines.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::{LinkError, Outcome};
use crate::command::Routed;
use crate::limits::{PEER_BATCH_BYTES_MAX, PEER_BATCH_COMMANDS_MAX, PEER_CALL_TIMEOUT};

/// Commands of one caller that go together.
pub(super) struct Waiting {
    pub(super) commands: Commands,
    /// About how many bytes they get.
    pub(super) bytes: usize,
    pub(super) since: Instant,
    /// Their place in the queue, free when this is gone.
    pub(super) permit: OwnedSemaphorePermit,
}

/// The commands, and who waits for them.
pub(super) enum Commands {
    One(Routed, oneshot::Sender<Outcome>),
    Many(Vec<Routed>, oneshot::Sender<Vec<Outcome>>),
}

/// Who waits for how many replies of a batch.
pub(super) struct Waiter {
    replies: Replies,
    /// Held until the reply is there, as the batch is held somewhere until then.
    permit: OwnedSemaphorePermit,
}

enum Replies {
    One(oneshot::Sender<Outcome>),
    Many(usize, oneshot::Sender<Vec<Outcome>>),
}

/// A batch that goes in one message.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<Routed>,
    pub(super) waiters: Vec<Waiter>,
    /// When the first of them began to wait.
    pub(super) since: Option<Instant>,
}

/// What waits for the link. It outlives the actor that sends it.
#[derive(Default)]
pub(super) struct Queue(Mutex<List>);

#[derive(Default)]
struct List {
    waiting: VecDeque<Waiting>,
    is_closed: bool,
}

impl Queue {
    /// Adds commands and returns whether the queue was empty; `None` if it is closed.
    pub(super) fn add(&self, waiting: Waiting) -> Option<bool> {
        let mut list = self.lock();
        if list.is_closed {
            return None;
        }
        list.waiting.push_back(waiting);
        Some(list.waiting.len() == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Takes what goes in the next message; empty if nothing waits.
    pub(super) fn take(&self) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut list = self.lock();
        while let Some(next) = list.waiting.front() {
            let commands = batch.commands.len() + next.commands.len();
            let is_full =
                PEER_BATCH_COMMANDS_MAX < commands || PEER_BATCH_BYTES_MAX < bytes + next.bytes;
            if is_full && !batch.commands.is_empty() {
                break;
            }
            bytes += next.bytes;
            if let Some(waiting) = list.waiting.pop_front() {
                batch.add(waiting);
            }
        }
        batch
    }

    /// Takes what has waited for too long at `now`.
    pub(super) fn take_late(&self, now: Instant) -> Vec<Waiting> {
        let mut list = self.lock();
        let is_late = |waiting: &Waiting| PEER_CALL_TIMEOUT <= now - waiting.since;
        let late = list.waiting.iter().take_while(|waiting| is_late(waiting)).count();
        list.waiting.drain(..late).collect()
    }

    /// Takes everything, and lets nothing in any more.
    pub(super) fn close(&self) -> Vec<Waiting> {
        let mut list = self.lock();
        list.is_closed = true;
        list.waiting.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // Nothing that can panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Tells who waits that nothing happened.
    pub(super) fn fail(self) {
        match self.commands {
            Commands::One(_, reply) => drop(reply.send(Err(LinkError::NotSent))),
            Commands::Many(commands, reply) => {
                drop(reply.send(vec![Err(LinkError::NotSent); commands.len()]));
            }
        }
    }
}

impl Commands {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many(commands, _) => commands.len(),
        }
    }
}

impl Batch {
    fn add(&mut self, waiting: Waiting) {
        self.since.get_or_insert(waiting.since);
        let replies = match waiting.commands {
            Commands::One(routed, reply) => {
                self.commands.push(routed);
                Replies::One(reply)
            }
            Commands::Many(mut commands, reply) => {
                let len = commands.len();
                self.commands.append(&mut commands);
                Replies::Many(len, reply)
            }
        };
        self.waiters.push(Waiter { replies, permit: waiting.permit });
    }
}

/// Gives each who waits the next of `outcomes`; where these end, `missing`.
pub(super) fn distribute(
    waiters: Vec<Waiter>,
    mut outcomes: impl Iterator<Item = Outcome>,
    missing: LinkError,
) {
    let mut next = || outcomes.next().unwrap_or(Err(missing));
    for Waiter { replies, permit } in waiters {
        drop(permit);
        // Whoever waited may have given up.
        match replies {
            Replies::One(reply) => drop(reply.send(next())),
            Replies::Many(len, reply) => {
                drop(reply.send((0..len).map(|_| next()).collect()));
            }
        }
    }
}
