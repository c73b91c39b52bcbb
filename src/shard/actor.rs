//! The serialized writer of one table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::yield_now;

use super::message::{Inbox, ShardMsg, Waiting};
use crate::clock;
use crate::command::{Command, Condition, Put, Reply, Stored};
use crate::entry::{Key, Millis, Tags};
use crate::limits::{SHARD_TICK, SHARD_TICK_MORE};
use crate::table::{self, NewEntry, Table, TableWriter};

pub(super) struct ShardActor;

/// What a shard holds and its actor only borrows: it outlives every actor.
pub(super) struct Holding {
    pub(super) table: Arc<Table>,
    pub(super) inbox: Arc<Inbox>,
    /// Named counters, apart from the entries so that none is evicted; as many as doors name.
    pub(super) counters: Mutex<HashMap<Key, u64>>,
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

impl ShardState {
    /// Does all that waits in the inbox.
    fn work(&mut self, now: Millis) {
        let mut taken = std::mem::take(&mut self.taken);
        self.holding.inbox.take(&mut taken);
        for Waiting { batch, done, permit } in taken.drain(..) {
            for write in batch.iter() {
                write.apply(|command| self.apply(command, now));
            }
            drop(permit);
            // Whoever waited may have given up.
            let _ = done.send(());
        }
        self.taken = taken;
    }

    fn apply(&mut self, command: &Command, now: Millis) -> Reply {
        match command {
            Command::Get(key) => Reply::Found(self.writer.get(key, now)),
            Command::Put(put) => Reply::Stored(self.put(put, now)),
            Command::Delete(key) => Reply::Deleted(self.writer.delete(key, now)),
            Command::NextId(name) => Reply::Id(self.next_id(name)),
        }
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
        // A counter is changed by one step, so that a panic leaves nothing half done in it.
        let mut counters = self.holding.counters.lock().unwrap_or_else(PoisonError::into_inner);
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
