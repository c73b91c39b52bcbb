//! A shard as others hold it: reads from its table, writes through its actor.
//!
//! The actor may end and be started again at any time. Its table stays, so that reads do not notice,
//! and so does its inbox: writes that were waiting are done by the next actor, inside their deadline.

mod actor;
mod gate;
mod message;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorRef};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::clock::Pulse;
use crate::command::{Reply, Routed, Stored};
use crate::entry::{Entry, Key, Known, Millis, Version};
use crate::error::Error;
use crate::limits::{
    SHARD_ATTEMPTS_MAX, SHARD_BATCH_MAX, SHARD_CALL_BEAT, SHARD_CALL_BEATS, SHARD_IN_FLIGHT_MAX,
};
use crate::metrics::Counter;
use crate::supervision::{ChildSpec, Kind, Running};
use crate::table::{Cursor, ScanStep, Table, TableReader, TableStats};

pub use gate::{Gate, Passage};

use actor::{Holding, ShardActor};
use message::{Batch, Inbox, ShardMsg, Waiting, Write};

/// One shard. Clones are the same shard.
#[derive(Clone)]
pub struct Shard {
    inner: Arc<Inner>,
}

struct Inner {
    id: usize,
    reader: TableReader,
    /// The actor that writes now, published whenever one is started.
    actor: watch::Receiver<Option<ActorRef<ShardMsg>>>,
    holding: Arc<Holding>,
    in_flight: Arc<Semaphore>,
    /// The deadline of those who wait for the actor.
    pulse: Pulse,
    counts: Counts,
}

/// Requests this shard has seen.
#[derive(Default)]
struct Counts {
    hits: Counter,
    misses: Counter,
    writes: Counter,
}

/// What a shard has done and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStats {
    /// Which shard, from 0.
    pub id: usize,
    /// Its table.
    pub table: TableStats,
    /// Writes admitted and not yet answered.
    pub queue: usize,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Writes that changed something.
    pub writes: u64,
}

impl Shard {
    /// The shard of `table`, and how its actor is started. What `gate` does not let through is not
    /// written. Needs a tokio runtime.
    #[must_use]
    pub fn new(id: usize, table: Arc<Table>, gate: Arc<Gate>) -> (Self, ChildSpec) {
        let (actor_tx, actor) = watch::channel(None);
        let in_flight = Arc::new(Semaphore::new(SHARD_IN_FLIGHT_MAX));
        let reader = table.reader();
        let (inbox, counters) = (Inbox::default(), Mutex::default());
        let holding = Arc::new(Holding { table, inbox, counters, gate, seen: AtomicU64::new(0) });
        let held = Arc::clone(&holding);
        let actor_tx = Arc::new(actor_tx);
        let spec = ChildSpec::new(format!("shard-{id}"), Kind::Shard, move |supervisor| {
            let (holding, actor_tx) = (Arc::clone(&held), Arc::clone(&actor_tx));
            async move {
                let started =
                    ShardActor::spawn_linked(None, ShardActor, holding, supervisor).await?;
                actor_tx.send_replace(Some(started.0.clone()));
                // Behind the line above: whoever still told the last actor had added before this.
                // One that has ended by now is reported as any other that ends.
                drop(started.0.cast(ShardMsg::Work));
                Ok(Running::new(started, || ShardMsg::Crash))
            }
        });
        let pulse = Pulse::start(SHARD_CALL_BEAT);
        let counts = Counts::default();
        let inner = Inner { id, reader, actor, holding, in_flight, pulse, counts };
        (Self { inner: Arc::new(inner) }, spec)
    }

    /// The entry under `key`, straight from the table.
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        let entry = self.inner.reader.get(key, now);
        let counts = &self.inner.counts;
        let count = if entry.is_some() { &counts.hits } else { &counts.misses };
        count.count();
        entry
    }

    /// The entry under `key`, uncounted: for explanations.
    #[must_use]
    pub fn peek(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.inner.reader.get(key, now)
    }

    /// What is known of `key`, also that it was deleted or has ended.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<Known> {
        self.inner.holding.known(&self.inner.reader, key)
    }

    /// What is known of the next keys from `cursor` on, as [`TableReader::scan`].
    #[must_use]
    pub fn scan(
        &self,
        cursor: Cursor,
        entries_max: usize,
        now: Millis,
        is_wanted: impl Fn(&Key) -> bool,
    ) -> ScanStep {
        self.inner.reader.scan(cursor, entries_max, now, is_wanted)
    }

    /// Every counter, under the name it moves by.
    #[must_use]
    pub fn counters(&self) -> Vec<(Key, Known)> {
        self.inner.holding.counters()
    }

    /// The greatest version that was written here or seen from elsewhere.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.reader.version()
    }

    /// Makes the version of every later write greater than one that was seen elsewhere.
    pub fn observe(&self, version: Version) {
        self.inner.holding.seen.fetch_max(version.0, Ordering::AcqRel);
    }

    /// Waits until all that was sent to the writer before is done.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`]; it may not be done then.
    pub async fn barrier(&self) -> Result<(), Error> {
        let nothing: Batch = Arc::new([]);
        let passed = self.inner.pulse.limit(SHARD_CALL_BEATS, self.write_batch(&nothing)).await;
        passed.unwrap_or(Err(Error::Timeout { shard: self.inner.id }))
    }

    /// Has the writer do `commands`, in order, and returns what became of each.
    ///
    /// A read among them sees the writes before it.
    ///
    /// # Errors
    ///
    /// For each command on its own: [`Error::Busy`] if too many writes are waiting (nothing
    /// changed), [`Error::NotHere`] if its slot is another node's by now (nothing changed),
    /// [`Error::Timeout`] if it was not answered in time or [`Error::Down`] if the shard is gone for
    /// good (the write may have happened).
    pub async fn write(&self, mut commands: Vec<Routed>) -> Vec<Result<Reply, Error>> {
        let timeout = Err(Error::Timeout { shard: self.inner.id });
        let mut replies = Vec::with_capacity(commands.len());
        let mut batches: Vec<(Batch, Result<(), Error>)> = vec![];
        while !commands.is_empty() {
            let writes = commands.drain(..commands.len().min(SHARD_BATCH_MAX));
            batches.push((writes.map(Write::new).collect(), timeout.clone()));
        }
        let all = async {
            for (batch, outcome) in &mut batches {
                *outcome = self.write_batch(batch).await;
            }
        };
        // What it gives up keeps the outcome it began with.
        let _ = self.inner.pulse.limit(SHARD_CALL_BEATS, all).await;
        for (batch, outcome) in &batches {
            replies.extend(batch.iter().map(|write| self.reply_of(write, outcome)));
        }
        self.count(&replies);
        replies
    }

    /// Has the writer do one command, as [`Shard::write`].
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub async fn write_one(&self, command: Routed) -> Result<Reply, Error> {
        let batch: Batch = Arc::new([Write::new(command)]);
        let outcome = self.inner.pulse.limit(SHARD_CALL_BEATS, self.write_batch(&batch)).await;
        let outcome = outcome.unwrap_or(Err(Error::Timeout { shard: self.inner.id }));
        let reply = self.reply_of(&batch[0], &outcome);
        self.count(std::slice::from_ref(&reply));
        reply
    }

    /// The reply to a write of a batch that ended with `outcome`.
    fn reply_of(&self, write: &Write, outcome: &Result<(), Error>) -> Result<Reply, Error> {
        match (write.reply(), outcome) {
            (Some(reply), _) => reply.cloned(),
            (None, Err(error)) => Err(error.clone()),
            // An actor answers a batch only when it has done all of it.
            (None, Ok(())) => Err(Error::Down { shard: self.inner.id }),
        }
    }

    fn count(&self, replies: &[Result<Reply, Error>]) {
        let counts = &self.inner.counts;
        for reply in replies.iter().flatten() {
            match reply {
                Reply::Found(Some(_)) => counts.hits.count(),
                Reply::Found(None) => counts.misses.count(),
                Reply::Stored(Stored::Created(_) | Stored::Replaced(_)) | Reply::Deleted(true) => {
                    counts.writes.count();
                }
                Reply::Stored(Stored::Unchanged(_) | Stored::Refused | Stored::TooLarge)
                | Reply::Deleted(false)
                | Reply::Id(_)
                | Reply::Merged(_)
                | Reply::Forgotten(_) => {}
            }
        }
    }

    /// Has the actor do a batch, and the next one if that ends before it is done.
    ///
    /// What an actor has done of a batch is kept in the batch, so that nothing is done twice. A batch
    /// in whose midst actors end time and again is given up: it may be what ends them.
    async fn write_batch(&self, batch: &Batch) -> Result<(), Error> {
        let shard = self.inner.id;
        // A batch has at most SHARD_BATCH_MAX writes, far from what a u32 holds.
        let permits = batch.len() as u32;
        for attempt in 0..SHARD_ATTEMPTS_MAX {
            let in_flight = Arc::clone(&self.inner.in_flight);
            let Ok(permit) = in_flight.try_acquire_many_owned(permits) else {
                // Only before an actor had it in its hands is it sure that nothing changed.
                return Err(if attempt == 0 {
                    Error::Busy { shard }
                } else {
                    Error::Down { shard }
                });
            };
            let (done, is_done) = oneshot::channel();
            let waiting = Waiting { batch: Arc::clone(batch), done, permit };
            if self.inner.holding.inbox.add(waiting) {
                self.ring()?;
            }
            if is_done.await.is_ok() {
                return Ok(());
            }
            // The actor ended with the batch in its hands.
        }
        Err(Error::Down { shard })
    }

    /// Tells the actor that there is work. One that has ended needs not be told: the next looks.
    fn ring(&self) -> Result<(), Error> {
        let actor = &self.inner.actor;
        if actor.has_changed().is_err() {
            return Err(Error::Down { shard: self.inner.id });
        }
        if let Some(actor) = &*actor.borrow() {
            drop(actor.cast(ShardMsg::Work));
        }
        Ok(())
    }

    /// What this shard has done and holds.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let counts = &self.inner.counts;
        ShardStats {
            id: self.inner.id,
            table: self.inner.reader.stats(),
            queue: SHARD_IN_FLIGHT_MAX - self.inner.in_flight.available_permits(),
            hits: counts.hits.total(),
            misses: counts.misses.total(),
            writes: counts.writes.total(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::{Command, Condition, Put};
    use crate::entry::MediaType;
    use crate::supervision::Supervisor;
    use crate::table::TableConfig;

    const NOW: Millis = Millis(1);

    async fn start() -> (Shard, Supervisor) {
        let (shard, supervisor, _) = start_gated().await;
        (shard, supervisor)
    }

    async fn start_gated() -> (Shard, Supervisor, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        let table = Table::new(&TableConfig::new(1 << 24));
        let (shard, spec) = Shard::new(0, table, Arc::clone(&gate));
        let supervisor = Supervisor::start().await.unwrap();
        supervisor.add(spec).await.unwrap();
        (shard, supervisor, gate)
    }

    fn key(n: usize) -> Key {
        Key::new(n.to_string()).unwrap()
    }

    fn put(n: usize) -> Routed {
        Routed::new(Command::Put(Put {
            key: key(n),
            value: Bytes::from_static(b"{}"),
            media: MediaType::Json,
            expires_at: None,
            condition: Condition::Always,
        }))
    }

    #[tokio::test]
    async fn a_batch_larger_than_one_message_is_done_in_order() {
        let (shard, _supervisor) = start().await;
        let counter = || Routed::new(Command::NextId(key(0)));
        let replies = shard.write((0..3 * SHARD_BATCH_MAX).map(|_| counter()).collect()).await;
        let ids: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
        let expected: Vec<_> = (1..=3 * SHARD_BATCH_MAX as u64).map(Reply::Id).collect();
        assert_eq!(ids, expected);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writes_that_meet_a_crash_are_done_by_the_next_actor() {
        let (shard, supervisor) = start().await;
        for round in 0..15 {
            let writers: Vec<_> = (0..64)
                .map(|n| {
                    let shard = shard.clone();
                    tokio::spawn(async move { shard.write(vec![put(64 * round + n)]).await })
                })
                .collect();
            supervisor.crash("shard-0").await.unwrap();
            for writer in writers {
                let replies = writer.await.unwrap();
                assert!(matches!(replies[..], [Ok(Reply::Stored(Stored::Created(_)))]));
            }
        }
        for n in 0..64 * 15 {
            assert!(shard.get(&key(n), NOW).is_some(), "key {n}");
        }
        assert_eq!(shard.stats().queue, 0);
    }

    #[tokio::test]
    async fn writes_over_the_bound_are_refused_and_change_nothing() {
        let (shard, _supervisor) = start().await;
        let all = shard.inner.in_flight.clone();
        let held = all.try_acquire_many_owned(SHARD_IN_FLIGHT_MAX as u32).unwrap();
        assert_eq!(shard.write(vec![put(1)]).await, [Err(Error::Busy { shard: 0 })]);
        drop(held);
        assert_eq!(shard.get(&key(1), NOW), None);
        assert!(shard.write(vec![put(1)]).await[0].is_ok());
    }

    #[tokio::test]
    async fn a_shard_that_stops_by_itself_is_started_again() {
        let (shard, supervisor) = start().await;
        let actor = shard.inner.actor.borrow().clone().unwrap();
        actor.stop(None);
        let mut actors = shard.inner.actor.clone();
        actors
            .wait_for(|next| next.as_ref().is_some_and(|n| n.get_id() != actor.get_id()))
            .await
            .unwrap();
        assert!(shard.write(vec![put(1)]).await[0].is_ok());
        assert_eq!(supervisor.tree().restarts, 1);
    }

    #[tokio::test]
    async fn a_shard_whose_supervisor_stopped_is_down() {
        let (shard, supervisor) = start().await;
        supervisor.stop().await;
        let replies = shard.write(vec![put(1)]).await;
        assert!(replies[0].as_ref().is_err_and(Error::may_have_happened), "{replies:?}");
    }

    #[tokio::test]
    async fn what_comes_after_a_slot_was_given_away_is_not_written() {
        let (shard, _supervisor, gate) = start_gated().await;
        let slot = put(1).slot;
        assert!(shard.write_one(put(1)).await.is_ok());
        gate.set(slot, Passage::default());
        shard.barrier().await.unwrap();
        assert_eq!(shard.write_one(put(1)).await, Err(Error::NotHere { slot: slot.0 }));
        let known = shard.known(&key(1)).unwrap();
        let merge = Routed::new(Command::Merge(key(1), known.clone()));
        assert_eq!(shard.write_one(merge).await, Err(Error::NotHere { slot: slot.0 }));
        let forget = Routed::new(Command::Forget(key(1), known.version()));
        assert_eq!(shard.write_one(forget).await, Ok(Reply::Forgotten(true)));
        assert_eq!(shard.known(&key(1)), None);
    }

    #[tokio::test]
    async fn a_slot_that_is_ours_again_takes_what_others_had_of_it() {
        let (shard, _supervisor, gate) = start_gated().await;
        let slot = put(1).slot;
        assert!(shard.write_one(put(1)).await.is_ok());
        let known = shard.known(&key(1)).unwrap();
        gate.set(slot, Passage::default());
        let forget = Routed::new(Command::Forget(key(1), known.version()));
        shard.write_one(forget.clone()).await.unwrap();
        gate.set(slot, Passage { serves: true, is_ours: true, ..Passage::default() });
        let merge = Routed::new(Command::Merge(key(1), known.clone()));
        assert_eq!(shard.write_one(merge.clone()).await, Ok(Reply::Merged(true)));
        assert_eq!(shard.write_one(merge).await, Ok(Reply::Merged(false)));
        assert_eq!(shard.write_one(forget).await, Err(Error::NotHere { slot: slot.0 }));
        assert_eq!(shard.known(&key(1)), Some(known));
    }

    #[tokio::test]
    async fn a_deletion_is_remembered_where_there_are_other_nodes() {
        let (shard, _supervisor, gate) = start_gated().await;
        let delete = || Routed::new(Command::Delete(key(1)));
        gate.set_peers(true);
        shard.write_one(put(1)).await.unwrap();
        let written = shard.known(&key(1)).unwrap();
        assert_eq!(shard.write_one(delete()).await, Ok(Reply::Deleted(true)));
        assert!(shard.known(&key(1)).is_some_and(|known| written.version() < known.version()));
        let merge = Routed::new(Command::Merge(key(1), written));
        assert_eq!(shard.write_one(merge).await, Ok(Reply::Merged(false)));
        assert_eq!(shard.get(&key(1), NOW), None);
    }

    #[tokio::test]
    async fn a_counter_goes_on_where_it_has_come_to_elsewhere() {
        let (shard, _supervisor) = start().await;
        let next = || Routed::new(Command::NextId(key(7)));
        for id in 1..=3 {
            assert_eq!(shard.write_one(next()).await, Ok(Reply::Id(id)));
        }
        let [(name, known)] = &shard.counters()[..] else { panic!("one counter") };
        assert_eq!(shard.known(name).as_ref(), Some(known));
        let (other, _supervisor) = start().await;
        let merge = Routed::new(Command::Merge(name.clone(), known.clone()));
        assert_eq!(other.write_one(merge).await, Ok(Reply::Merged(true)));
        assert_eq!(other.write_one(next()).await, Ok(Reply::Id(4)));
    }
}
