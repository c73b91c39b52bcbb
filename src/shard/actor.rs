//! The serialized writer of one table.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::yield_now;

use super::gate::Gate;
use super::message::{Inbox, ShardMsg, Waiting};
use crate::clock;
use crate::command::{Command, Condition, Put, Reply, Routed, Stored};
use crate::entry::{Entry, Key, Known, MediaType, Millis, Tags, Version};
use crate::limits::{SHARD_TICK, SHARD_TICK_MORE, TOMBSTONE_TTL};
use crate::table::{self, NewEntry, Table, TableReader, TableWriter};

pub(super) struct ShardActor;

/// What a shard holds and its actor only borrows: it outlives every actor.
pub(super) struct Holding {
    pub(super) table: Arc<Table>,
    pub(super) inbox: Inbox,
    /// Named counters, apart from the entries so that none is evicted; as many as doors name.
    pub(super) counters: Mutex<HashMap<Key, u64>>,
    pub(super) gate: Arc<Gate>,
    /// The greatest version seen elsewhere: those given from now on are greater.
    pub(super) seen: AtomicU64,
}

pub(super) struct ShardState {
    holding: Arc<Holding>,
    writer: TableWriter,
    /// What was taken from the inbox; empty between two messages, and kept for its room.
    taken: Vec<Waiting>,
    /// Whether a tick is on its way.
    is_ticking: bool,
}

impl Actor for ShardActor {
    type Msg = ShardMsg;
    type State = ShardState;
    type Arguments = Arc<Holding>;

    async fn pre_start(
        &self,
        _me: ActorRef<ShardMsg>,
        holding: Arc<Holding>,
    ) -> Result<ShardState, ActorProcessingErr> {
        let writer = holding.table.writer().ok_or("the table still has its last writer")?;
        Ok(ShardState { holding, writer, taken: vec![], is_ticking: false })
    }

    async fn handle(
        &self,
        me: ActorRef<ShardMsg>,
        message: ShardMsg,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMsg::Work => {
                // Behind whoever is ready to ask: what they ask for is done together.
                yield_now().await;
                state.work(clock::now());
                state.schedule_tick(&me);
            }
            ShardMsg::Tick => state.tick(&me, clock::now()),
            ShardMsg::Crash => crash(),
        }
        Ok(())
    }
}

impl Holding {
    pub(super) fn lock_counters(&self) -> MutexGuard<'_, HashMap<Key, u64>> {
        // A counter is changed by one step, so that a panic leaves nothing half done in it.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `key`: of the counter, where it is the name of one.
    pub(super) fn known(&self, reader: &TableReader, key: &Key) -> Option<Known> {
        let Some(name) = key.counter_name() else { return reader.known(key) };
        self.lock_counters().get(&name).map(|count| counter(*count))
    }

    /// Every counter, as it moves between nodes.
    pub(super) fn counters(&self) -> Vec<(Key, Known)> {
        let counters = self.lock_counters();
        counters.iter().map(|(name, count)| (Key::of_counter(name), counter(*count))).collect()
    }
}

/// A counter as it moves between nodes: its version is what it has counted.
fn counter(count: u64) -> Known {
    Known::Entry(Entry {
        value: Bytes::new(),
        media: MediaType::Bytes,
        version: Version(count),
        expires_at: None,
        tags: Tags::default(),
    })
}

impl ShardState {
    /// Does all that waits in the inbox.
    fn work(&mut self, now: Millis) {
        let mut taken = std::mem::take(&mut self.taken);
        self.holding.inbox.take(&mut taken);
        // After the inbox: a slot that was opened before what is in there brought a version along.
        let seen = Version(self.holding.seen.load(Ordering::Acquire));
        if self.writer.version() < seen {
            self.writer.observe(seen);
        }
        for Waiting { batch, done, permit } in taken.drain(..) {
            for write in batch.iter() {
                write.apply(|routed| self.apply(routed, now));
            }
            drop(permit);
            // Whoever waited may have given up.
            let _ = done.send(());
        }
        self.taken = taken;
    }

    /// Does a command, unless its slot is another node's: `None` then.
    fn apply(&mut self, Routed { slot, command }: &Routed, now: Millis) -> Option<Reply> {
        let gate = &self.holding.gate;
        let is_allowed = match command {
            Command::Get(_)
            | Command::Put(_)
            | Command::Delete(_)
            | Command::NextId(_)
            | Command::Merge(..) => gate.serves(*slot, now),
            // What came back meanwhile is ours to keep.
            Command::Forget(..) => !gate.is_open(*slot),
        };
        is_allowed.then(|| match command {
            Command::Get(key) => Reply::Found(self.writer.get(key, now)),
            Command::Put(put) => Reply::Stored(self.put(put, now)),
            Command::Delete(key) => Reply::Deleted(self.delete(key, now)),
            Command::NextId(name) => Reply::Id(self.next_id(name)),
            Command::Merge(key, known) => Reply::Merged(self.merge(key, known, now)),
            Command::Forget(key, version) => Reply::Forgotten(self.forget(key, *version)),
        })
    }

    fn delete(&mut self, key: &Key, now: Millis) -> bool {
        match self.holding.gate.has_peers() {
            true => self.writer.bury(key, now.after(TOMBSTONE_TTL), now),
            false => self.writer.delete(key, now),
        }
    }

    fn merge(&mut self, key: &Key, known: &Known, now: Millis) -> bool {
        let Some(name) = key.counter_name() else {
            return match self.writer.merge(key, known, now) {
                table::Merge::Taken => true,
                table::Merge::Older => false,
                table::Merge::TooLarge => {
                    // As good as evicted at once, with what it would have replaced.
                    self.writer.delete(key, now);
                    true
                }
            };
        };
        let mut counters = self.holding.lock_counters();
        let counter = counters.entry(name).or_insert(0);
        let is_newer = *counter < known.version().0;
        *counter = known.version().0.max(*counter);
        is_newer
    }

    fn forget(&mut self, key: &Key, version: Version) -> bool {
        let Some(name) = key.counter_name() else {
            return self.writer.forget(key, version);
        };
        let mut counters = self.holding.lock_counters();
        let is_as_it_was = counters.get(&name) == Some(&version.0);
        is_as_it_was && counters.remove(&name).is_some()
    }

    fn put(&mut self, put: &Put, now: Millis) -> Stored {
        let is_refused = match put.condition {
            Condition::Always => false,
            Condition::Absent => self.writer.get(&put.key, now).is_some(),
        };
        if is_refused {
            return Stored::Refused;
        }
        let Put { key, value, media, expires_at, condition: _ } = put;
        let new = NewEntry { value, media, expires_at: *expires_at, tags: Tags::none() };
        match self.writer.put(key, &new, now) {
            (table::Put::Created, version) => Stored::Created(version),
            (table::Put::Replaced, version) => Stored::Replaced(version),
            (table::Put::Unchanged, version) => Stored::Unchanged(version),
            (table::Put::TooLarge, _) => Stored::TooLarge,
        }
    }

    fn next_id(&mut self, name: &Key) -> u64 {
        let mut counters = self.holding.lock_counters();
        let counter = counters.entry(name.clone()).or_insert(0);
        *counter += 1;
        *counter
    }

    /// Has the table do a bounded piece of its own work, and asks to go on if there is more.
    fn tick(&mut self, me: &ActorRef<ShardMsg>, now: Millis) {
        self.is_ticking = false;
        let tick = self.writer.tick(now);
        if !tick.is_done {
            self.schedule_tick_after(SHARD_TICK_MORE, me);
        } else if self.writer.has_deadlines() {
            self.schedule_tick(me);
        }
    }

    fn schedule_tick(&mut self, me: &ActorRef<ShardMsg>) {
        if !self.is_ticking {
            self.schedule_tick_after(SHARD_TICK, me);
        }
    }

    fn schedule_tick_after(&mut self, pause: Duration, me: &ActorRef<ShardMsg>) {
        self.is_ticking = true;
        // The timer ends with the actor; nobody has to wait for it.
        drop(me.send_after(pause, || ShardMsg::Tick));
    }
}

fn crash() {
    panic!("crashed on demand");
}
