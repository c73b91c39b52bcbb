//! Commands that wait for the link, as bytes, and who waits for what becomes of them.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{LinkError, Outcome};
use crate::limits::{PEER_BATCH_BYTES_MAX, PEER_BATCH_COMMANDS_MAX, PEER_CALL_TIMEOUT};
use crate::peer::codec;
use crate::supervision::{Inbox, Place};

/// Commands of one caller that go together.
pub(super) struct Waiting {
    /// A whole message: others are added to it, and it is added to others without its head.
    pub(super) bytes: Vec<u8>,
    pub(super) commands: usize,
    pub(super) replies: Replies,
    pub(super) since: Instant,
    /// Held until the reply is there, as the commands are held somewhere until then.
    pub(super) place: Place,
}

/// Who waits for how many replies.
pub(super) enum Replies {
    One(oneshot::Sender<Outcome>),
    Many(usize, oneshot::Sender<Vec<Outcome>>),
}

/// A batch that goes in one message.
pub(super) struct Batch {
    pub(super) frame: Vec<u8>,
    pub(super) waiters: Vec<Waiter>,
    /// When the first of them began to wait.
    pub(super) since: Instant,
}

/// Who waits for a part of a batch, and its place.
pub(super) struct Waiter(Replies, Place);

impl Batch {
    /// Takes what goes in the next message; `None` if nothing waits.
    pub(super) fn take(inbox: &Inbox<Waiting>) -> Option<Self> {
        let (mut commands, mut bytes) = (0, 0);
        let fits = |next: &Waiting| {
            let is_first = commands == 0;
            commands += next.commands;
            bytes += next.bytes.len();
            is_first || commands <= PEER_BATCH_COMMANDS_MAX && bytes <= PEER_BATCH_BYTES_MAX
        };
        let mut taken = inbox.take_while(fits).into_iter();
        let first = taken.next()?;
        let mut batch = Self { frame: first.bytes, waiters: vec![], since: first.since };
        batch.waiters.push(Waiter(first.replies, first.place));
        for next in taken {
            batch.frame.extend_from_slice(&next.bytes[codec::HEAD_BYTES..]);
            batch.waiters.push(Waiter(next.replies, next.place));
        }
        Some(batch)
    }
}

impl Waiting {
    /// Whether it has waited for too long at `now`.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        PEER_CALL_TIMEOUT <= now - self.since
    }

    /// Tells who waits that nothing happened.
    pub(super) fn fail(self) {
        let waiter = Waiter(self.replies, self.place);
        distribute(vec![waiter], std::iter::empty(), LinkError::NotSent);
    }
}

/// Gives each who waits the next of `outcomes`; where these end, `missing`.
pub(super) fn distribute(
    waiters: Vec<Waiter>,
    mut outcomes: impl Iterator<Item = Outcome>,
    missing: LinkError,
) {
    let mut next = || outcomes.next().unwrap_or(Err(missing));
    for Waiter(replies, place) in waiters {
        drop(place);
        // Whoever waited may have given up.
        match replies {
            Replies::One(reply) => drop(reply.send(next())),
            Replies::Many(len, reply) => {
                drop(reply.send((0..len).map(|_| next()).collect()));
            }
        }
    }
}
