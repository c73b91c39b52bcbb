//! What a shard's actor is told, and the work it takes from its inbox.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use super::Counts;
use super::gate::Gate;
use super::transfer::Transfer;
use crate::command::{Changed, Command, Condition, Reply, Stored};
use crate::entry::{Key, Millis, Slot};
use crate::error::Error;
use crate::ids::Ids;
use crate::limits::TOMBSTONE_TTL;
use crate::policy::{Governed, Policy};
use crate::supervision::Place;
use crate::table::{self, NewEntry, TableWriter};

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

/// One thing for the writer to do.
pub(super) trait Task {
    /// What came of it.
    type Done: Clone;

    /// The slot it is about; `None` for all of the shard.
    fn slot(&self) -> Option<Slot>;

    /// Whether it may be done now, as far as its slot goes.
    fn check(&self, turn: &Turn<'_>, slot: Slot) -> Result<(), Undone>;

    /// About how many bytes it carries.
    fn bytes(&self) -> usize;

    /// About how many bytes what came of it carries.
    fn done_bytes(done: &Self::Done) -> usize;

    /// Whether it can be put off where what goes back is full.
    fn can_wait(&self) -> bool;

    fn apply(&self, turn: &mut Turn<'_>) -> Result<Self::Done, Undone>;
}

/// What the writer has in its hands while it does its work.
pub(super) struct Turn<'a> {
    pub(super) writer: &'a mut TableWriter,
    pub(super) gate: &'a Gate,
    pub(super) counts: &'a Counts,
    pub(super) ids: &'a Ids,
    pub(super) policies: &'a Governed,
    pub(super) now: Millis,
}

/// Why something was not done. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// Its slot is another node's by now.
    NotHere,
    /// The replies before it fill what goes back at a time.
    Later,
    /// No ids are reserved now.
    NoIds,
}

/// Tasks in order, with what came of those that are done.
pub(super) struct Batch<T: Task> {
    pub(super) writes: Arc<[Write<T>]>,
    /// About how many bytes they carry.
    pub(super) bytes: usize,
    /// Bytes of replies from which on reads are put off.
    pub(super) reply_bytes_max: usize,
}

/// A task and, once it was its turn, what came of it.
///
/// That is kept beside the task and not only sent, so that a batch which is sent again after a crash
/// is continued where it stopped.
pub(super) struct Write<T: Task> {
    task: T,
    done: OnceLock<Result<T::Done, Undone>>,
}

/// A batch of either kind.
pub(super) enum Work {
    Commands(Batch<Command>),
    Transfers(Batch<Transfer>),
}

/// Work that waits for the actor.
pub(super) struct Waiting {
    pub(super) work: Work,
    /// Told when all of it is done. Dropped without a word if the actor ends before.
    pub(super) done: oneshot::Sender<()>,
    /// Its place in the inbox, free when this is gone.
    pub(super) place: Place,
}

impl Turn<'_> {
    /// When a value of a key ends that is new, and is to end at `asked`.
    pub(super) fn end_of_new(&self, key: &Key, asked: Option<Millis>) -> Option<Millis> {
        let policy = self.policies.get(key.namespace());
        policy.map_or(asked, |policy| policy.end_of_new(asked, self.now))
    }

    /// Puts an entry, which ends no later than the policy of its namespace allows, and counts it as
    /// written if it was.
    pub(super) fn put(&mut self, key: &Key, new: &NewEntry<'_>) -> Stored {
        let policy = self.policies.get(key.namespace());
        let latest = |policy: &Policy| policy.latest_end(new.expires_at, self.now);
        let expires_at = policy.map_or(new.expires_at, latest);
        let new = NewEntry { expires_at, ..*new };
        let (put, version) = self.writer.put(key, &new, self.now);
        match put {
            table::Put::Created => {
                self.counts.wrote();
                Stored::Created(version)
            }
            table::Put::Replaced => {
                self.counts.wrote();
                Stored::Replaced(version)
            }
            table::Put::Unchanged => Stored::Unchanged(version),
            table::Put::TooLarge => Stored::TooLarge,
        }
    }

    /// Puts what came of an update in place, with what the verb has to say.
    pub(super) fn update(&mut self, key: &Key, new: &NewEntry<'_>, number: i64) -> Reply {
        Reply::Changed(match self.put(key, new) {
            Stored::Created(version) | Stored::Replaced(version) | Stored::Unchanged(version) => {
                Changed::Done { version, number }
            }
            Stored::Refused => Changed::Refused,
            Stored::TooLarge => Changed::TooLarge,
        })
    }

    /// Whether a condition holds of a key as it is now.
    pub(super) fn allows(&self, condition: &Condition, key: &Key) -> bool {
        match condition {
            Condition::Always => true,
            condition => condition.holds(self.writer.head(key, self.now)),
        }
    }

    /// Ends an entry, and remembers that where other nodes may still have it. Whether there was one.
    ///
    /// Where there was none nothing is remembered, or deletions of keys that never were would crowd
    /// out those that count. But for a slot that is arriving, and for a while after a node was lost:
    /// an older entry may come from there then, and the deletion has to win over it.
    pub(super) fn delete(&mut self, key: &Key) -> bool {
        let Self { writer, gate, now, .. } = self;
        let has_more = |writer: &TableWriter| {
            gate.may_bring(key.slot(), *now) || writer.head(key, *now).is_some()
        };
        let was_there = match gate.has_peers() {
            true => has_more(writer) && writer.bury(key, now.after(TOMBSTONE_TTL), *now),
            false => writer.delete(key, *now),
        };
        if was_there {
            self.counts.wrote();
        }
        was_there
    }
}

impl<T: Task> Clone for Batch<T> {
    fn clone(&self) -> Self {
        Self { writes: Arc::clone(&self.writes), ..*self }
    }
}

impl From<Batch<Command>> for Work {
    fn from(batch: Batch<Command>) -> Self {
        Self::Commands(batch)
    }
}

impl From<Batch<Transfer>> for Work {
    fn from(batch: Batch<Transfer>) -> Self {
        Self::Transfers(batch)
    }
}

impl<T: Task> Batch<T> {
    pub(super) fn new(tasks: impl IntoIterator<Item = T>, reply_bytes_max: usize) -> Self {
        let mut bytes = 0;
        let writes = tasks.into_iter().map(|task| {
            bytes += task.bytes();
            Write::new(task)
        });
        Self { writes: writes.collect(), bytes, reply_bytes_max }
    }

    /// Does what is not done yet, in order. What is behind something that was not done, on keys of
    /// the same slot, is not done either: it would be done before it then.
    pub(super) fn apply(&self, turn: &mut Turn<'_>) {
        let mut undone = vec![];
        let mut bytes = 0;
        for write in &*self.writes {
            let done = write.done.get_or_init(|| {
                let is_full = self.reply_bytes_max <= bytes;
                let done = write.try_apply(turn, &undone, is_full);
                if let (Err(why), Some(slot)) = (&done, write.task.slot()) {
                    undone.push((slot, *why));
                }
                done
            });
            bytes += done.as_ref().map_or(0, T::done_bytes);
        }
    }
}

impl<T: Task> Write<T> {
    fn new(task: T) -> Self {
        Self { task, done: OnceLock::new() }
    }

    /// What came of it, once it was its turn.
    pub(super) fn done(&self) -> Option<Result<&T::Done, Error>> {
        let slot = self.task.slot().map_or(0, |slot| slot.0);
        let error = |why: &Undone| match why {
            Undone::NotHere => Error::NotHere { slot },
            Undone::Later => Error::Later,
            Undone::NoIds => Error::NoIds,
        };
        self.done.get().map(|done| done.as_ref().map_err(error))
    }

    fn try_apply(
        &self,
        turn: &mut Turn<'_>,
        undone: &[(Slot, Undone)],
        is_full: bool,
    ) -> Result<T::Done, Undone> {
        if let Some(slot) = self.task.slot() {
            if let Some((_, why)) = undone.iter().find(|(other, _)| *other == slot) {
                return Err(*why);
            }
            self.task.check(turn, slot)?;
        }
        if is_full && self.task.can_wait() {
            return Err(Undone::Later);
        }
        self.task.apply(turn)
    }
}
