//! A shard as others hold it: reads from its table, writes through its actor.
//!
//! The actor may end and be started again at any time. Its table stays, so that reads do not notice,
//! and so does its inbox: writes that were waiting are done by the next actor, inside their deadline.

mod actor;
mod apply;
mod gate;
mod message;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::warn;

use crate::census::{Account, Census};
use crate::clock::Pulse;
use crate::command::{Command, Reply};
use crate::entry::{Entry, Key, Millis, Slot, Version};
use crate::error::Error;
use crate::ids::Ids;
use crate::limits::{
    SHARD_ATTEMPTS_MAX, SHARD_BATCH_MAX, SHARD_CALL_BEAT, SHARD_CALL_BEATS,
    SHARD_IN_FLIGHT_BYTES_MAX, SHARD_IN_FLIGHT_MAX,
};
use crate::metrics::Counter;
use crate::policy::Policies;
use crate::record::Record;
use crate::supervision::{ChildSpec, Inbox, Kind, NotAdded, Orders, Post};
use crate::table::{AccountStats, Cursor, Found, RecordStep, Table, TableReader, TableStats};

pub use gate::{Gate, Passage};
pub use transfer::Transfer;

use actor::{Holding, ShardActor};
use apply::Look;
use message::{Batch, ShardMsg, Task, Waiting, Work, Write};

/// One shard. Clones are the same shard.
#[derive(Clone)]
pub struct Shard {
    inner: Arc<Inner>,
}

struct Inner {
    id: usize,
    reader: TableReader,
    post: Post<ShardMsg>,
    holding: Arc<Holding>,
    /// The deadline of those who wait for the actor.
    pulse: Pulse,
}

/// Requests this shard has seen. Reads are counted with those of other shards, by namespace.
struct Counts {
    shard: usize,
    census: Arc<Census>,
    writes: Counter,
    oversize: Counter,
    taken_over: Counter,
    moved: Counter,
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
    /// Writes that changed something.
    pub writes: u64,
    /// Entries of other nodes that were dropped when they came, as they are too large for this table.
    pub oversize: u64,
    /// Entries of other nodes that are here now.
    pub taken_over: u64,
    /// Entries that are with other nodes now.
    pub moved: u64,
}

impl Shard {
    /// The shard of `table`, and how its actor is started. What `gate` does not let through is not
    /// written, and what is given from `ids` is only what is there. Needs a tokio runtime.
    #[must_use]
    pub fn new(id: usize, table: Arc<Table>, gate: Arc<Gate>, ids: Arc<Ids>) -> (Self, ChildSpec) {
        Self::governed(id, table, gate, ids, Arc::default())
    }

    /// The same, with what is written going by `policies`.
    #[must_use]
    pub fn governed(
        id: usize,
        table: Arc<Table>,
        gate: Arc<Gate>,
        ids: Arc<Ids>,
        policies: Arc<Policies>,
    ) -> (Self, ChildSpec) {
        let reader = table.reader();
        let holding = Arc::new(Holding {
            id,
            table,
            inbox: Inbox::new(SHARD_IN_FLIGHT_MAX, SHARD_IN_FLIGHT_BYTES_MAX),
            gate,
            counts: Counts::new(id, Arc::clone(reader.census())),
            ids,
            policies,
            seen: AtomicU64::new(0),
        });
        let post = Post::default();
        let orders = Orders { first: Some(|| ShardMsg::Work), crash: || ShardMsg::Crash };
        let held = Arc::clone(&holding);
        let spec =
            ChildSpec::of_actor(format!("shard-{id}"), Kind::Shard, &post, &orders, move || {
                (ShardActor, Arc::clone(&held))
            });
        let pulse = Pulse::start(SHARD_CALL_BEAT);
        (Self { inner: Arc::new(Inner { id, reader, post, holding, pulse }) }, spec)
    }

    /// The entry under `key`, straight from the table.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.find(key, now, usize::MAX).map(|found| found.entry)
    }

    /// The same, with the value left where it is if that has more than `bytes_max`.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &Key, now: Millis, bytes_max: usize) -> Option<Found> {
        let found = self.inner.reader.find(key, now, bytes_max);
        self.inner.holding.counts.looked(key, found.is_some());
        found
    }

    /// Some of a value of that version, if it is there still, as [`TableReader::part`].
    #[must_use]
    pub fn part(&self, key: &Key, version: Version, from: usize, len: usize) -> Option<Bytes> {
        self.inner.reader.part(key, version, from, len)
    }

    /// What comes of a command that needs no writer, straight from the table; `None` for one that
    /// does.
    #[inline]
    #[must_use]
    pub fn read(&self, command: &Command, now: Millis) -> Option<Reply> {
        let Holding { gate, counts, .. } = &*self.inner.holding;
        apply::read(command, &Look { reader: &self.inner.reader, gate, counts, now })
    }

    /// The entry under `key`, uncounted: for explanations.
    #[must_use]
    pub fn peek(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.inner.reader.get(key, now)
    }

    /// What is known of `key`, also that it was deleted or has ended.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<Record> {
        self.inner.reader.record(key)
    }

    /// Whether something is known of `key`, if only that it was deleted or has ended.
    #[must_use]
    pub fn knows(&self, key: &Key, now: Millis) -> bool {
        self.inner.reader.knows(key, now)
    }

    /// How many keys of a slot something is known of, with tombstones and what has ended.
    #[must_use]
    pub fn records(&self, slot: Slot) -> u64 {
        self.inner.reader.count(slot).records.into()
    }

    /// What is known of the next keys from `cursor` on, as [`TableReader::scan_records`].
    #[must_use]
    pub fn scan(
        &self,
        cursor: Cursor,
        entries_max: usize,
        now: Millis,
        is_wanted: impl Fn(Slot) -> bool,
    ) -> RecordStep {
        self.inner.reader.scan_records(cursor, entries_max, now, is_wanted)
    }

    /// The greatest version that was written here or seen from elsewhere.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.reader.version()
    }

    /// Makes the version of every later write greater than one that was seen elsewhere, if that is
    /// [credible](Version::is_credible) at `time`, the cluster's: a wrong clock is not followed.
    pub fn observe(&self, version: Version, time: Millis) {
        if version.is_credible(time) {
            self.inner.holding.seen.fetch_max(version.0, Ordering::AcqRel);
        }
    }

    /// Waits until all that was sent to the writer before is done.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`]; it may not be done then.
    pub async fn barrier(&self) -> Result<(), Error> {
        let nothing = Batch::<Command>::new([], usize::MAX);
        let passed = self.inner.pulse.limit(SHARD_CALL_BEATS, self.have_done(&nothing)).await;
        passed.unwrap_or(Err(Error::Timeout { shard: self.inner.id }))
    }

    /// Has the writer do `commands`, in order, and returns what became of each. Reads are put off once
    /// what goes back has `reply_bytes_max` bytes.
    ///
    /// A read among them sees the writes before it. What is behind a command that was not done, on
    /// keys of the same slot, is not done either.
    ///
    /// # Errors
    ///
    /// For each command on its own: [`Error::Busy`] if too much is waiting (nothing changed),
    /// [`Error::NotHere`] if its slot is another node's by now, [`Error::Later`] if it was put off or
    /// [`Error::NoIds`] if it wants one and none is reserved (nothing changed), [`Error::Timeout`] if it was not answered in time or [`Error::Down`] if the
    /// shard is gone for good (the write may have happened).
    pub async fn write(
        &self,
        commands: Vec<Command>,
        reply_bytes_max: usize,
    ) -> Vec<Result<Reply, Error>> {
        self.all(commands, reply_bytes_max).await
    }

    /// Has the writer take over or forget what moves between nodes, in order; whether that changed
    /// something.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub async fn transfer(&self, transfers: Vec<Transfer>) -> Vec<Result<bool, Error>> {
        self.all(transfers, usize::MAX).await
    }

    /// Has the writer do one command, as [`Shard::write`].
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub async fn write_one(&self, command: Command) -> Result<Reply, Error> {
        let batch = Batch::new([command], usize::MAX);
        let outcome = self.inner.pulse.limit(SHARD_CALL_BEATS, self.have_done(&batch)).await;
        let outcome = outcome.unwrap_or(Err(Error::Timeout { shard: self.inner.id }));
        self.done(&batch.writes[0], &outcome)
    }

    async fn all<T: Task>(
        &self,
        mut tasks: Vec<T>,
        reply_bytes_max: usize,
    ) -> Vec<Result<T::Done, Error>>
    where
        Work: From<Batch<T>>,
    {
        let timeout = Err(Error::Timeout { shard: self.inner.id });
        let mut answers = Vec::with_capacity(tasks.len());
        let mut batches: Vec<(Batch<T>, Result<(), Error>)> = vec![];
        while !tasks.is_empty() {
            let part = tasks.drain(..tasks.len().min(SHARD_BATCH_MAX));
            batches.push((Batch::new(part, reply_bytes_max), timeout.clone()));
        }
        let all = async {
            for (batch, outcome) in &mut batches {
                *outcome = self.have_done(batch).await;
            }
        };
        // What it gives up keeps the outcome it began with.
        let _ = self.inner.pulse.limit(SHARD_CALL_BEATS, all).await;
        for (batch, outcome) in &batches {
            answers.extend(batch.writes.iter().map(|write| self.done(write, outcome)));
        }
        answers
    }

    /// What came of a task of a batch that ended with `outcome`.
    fn done<T: Task>(
        &self,
        write: &Write<T>,
        outcome: &Result<(), Error>,
    ) -> Result<T::Done, Error> {
        match (write.done(), outcome) {
            (Some(done), _) => done.cloned(),
            (None, Err(error)) => Err(error.clone()),
            // An actor answers a batch only when it has done all of it.
            (None, Ok(())) => Err(Error::Down { shard: self.inner.id }),
        }
    }

    /// Has the actor do a batch, and the next one if that ends before it is done.
    ///
    /// What an actor has done of a batch is kept in the batch, so that nothing is done twice. A batch
    /// in whose midst actors end time and again is given up: it may be what ends them.
    async fn have_done<T: Task>(&self, batch: &Batch<T>) -> Result<(), Error>
    where
        Work: From<Batch<T>>,
    {
        let shard = self.inner.id;
        for attempt in 0..SHARD_ATTEMPTS_MAX {
            let (done, is_done) = oneshot::channel();
            let wait = |place| Waiting { work: Work::from(batch.clone()), done, place };
            match self.inner.holding.inbox.add(batch.writes.len(), batch.bytes, wait) {
                Ok(true) => self.ring()?,
                Ok(false) => {}
                // Only before an actor had it in its hands is it sure that nothing changed.
                Err(NotAdded::Full) if attempt == 0 => return Err(Error::Busy { shard }),
                Err(NotAdded::Full | NotAdded::Closed) => return Err(Error::Down { shard }),
            }
            if is_done.await.is_ok() {
                return Ok(());
            }
            // The actor ended with the batch in its hands.
        }
        Err(Error::Down { shard })
    }

    /// Has the writer look at the policies, which have changed.
    pub fn govern(&self) {
        // A shard that has ended for good writes nothing either.
        let _ = self.ring();
    }

    /// Tells the actor that there is work. One that has ended needs not be told: the next looks.
    fn ring(&self) -> Result<(), Error> {
        if self.inner.post.is_closed() {
            return Err(Error::Down { shard: self.inner.id });
        }
        self.inner.post.tell(ShardMsg::Work);
        Ok(())
    }

    /// What there is of a namespace here.
    #[must_use]
    pub fn account(&self, account: Account) -> AccountStats {
        self.inner.reader.account(account)
    }

    /// What this shard has done and holds.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let Holding { counts, inbox, .. } = &*self.inner.holding;
        ShardStats {
            id: self.inner.id,
            table: self.inner.reader.stats(),
            queue: inbox.places().items(),
            writes: counts.writes.total(),
            oversize: counts.oversize.total(),
            taken_over: counts.taken_over.total(),
            moved: counts.moved.total(),
        }
    }
}

impl Counts {
    fn new(shard: usize, census: Arc<Census>) -> Self {
        Self {
            shard,
            census,
            writes: Counter::default(),
            oversize: Counter::default(),
            taken_over: Counter::default(),
            moved: Counter::default(),
        }
    }

    /// Whether it is the shard that speaks for all where something is counted for all of them.
    fn is_first(&self) -> bool {
        self.shard == 0
    }

    #[inline]
    fn looked(&self, key: &Key, is_hit: bool) {
        self.census.looked(key.namespace(), is_hit);
    }

    fn wrote(&self) {
        self.writes.count();
    }

    /// Notes that an entry was dropped when it came from another node.
    fn too_large(&self, bytes: usize) {
        if self.oversize.total() == 0 {
            warn!(bytes, "an entry of another node is too large for this one: such are dropped");
        }
        self.oversize.count();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::clock;
    use crate::command::{Condition, Delete, Get, NextId, Put, Stored};
    use crate::entry::MediaType;
    use crate::ids::IdRange;
    use crate::record::NewEntry;
    use crate::supervision::Supervisor;
    use crate::table::TableConfig;

    const NOW: Millis = Millis(1);

    async fn start() -> (Shard, Supervisor) {
        let (shard, supervisor, _) = start_gated().await;
        (shard, supervisor)
    }

    async fn start_gated() -> (Shard, Supervisor, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        let (shard, supervisor) = start_with(Arc::clone(&gate), Arc::new(Ids::alone())).await;
        (shard, supervisor, gate)
    }

    async fn start_with(gate: Arc<Gate>, ids: Arc<Ids>) -> (Shard, Supervisor) {
        let table = Table::new(&TableConfig::new(1 << 24));
        let (shard, spec) = Shard::new(0, table, gate, ids);
        let supervisor = Supervisor::start().await.unwrap();
        supervisor.add(spec).await.unwrap();
        (shard, supervisor)
    }

    fn key(n: usize) -> Key {
        Key::new(n.to_string()).unwrap()
    }

    fn put(n: usize) -> Command {
        Command::Put(Put {
            key: key(n),
            value: Bytes::from_static(b"{}"),
            media: MediaType::Json,
            expires_at: None,
            condition: Condition::Always,
        })
    }

    #[tokio::test]
    async fn a_batch_larger_than_one_message_is_done_in_order() {
        let (shard, _supervisor) = start().await;
        let counter = || Command::from(NextId);
        let replies =
            shard.write((0..3 * SHARD_BATCH_MAX).map(|_| counter()).collect(), usize::MAX).await;
        let ids: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
        let expected: Vec<_> = (1..=3 * SHARD_BATCH_MAX as u64).map(Reply::Number).collect();
        assert_eq!(ids, expected);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writes_that_meet_a_crash_are_done_by_the_next_actor() {
        let (shard, supervisor) = start().await;
        for round in 0..15 {
            let writers: Vec<_> = (0..64)
                .map(|n| {
                    let shard = shard.clone();
                    tokio::spawn(
                        async move { shard.write(vec![put(64 * round + n)], usize::MAX).await },
                    )
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
    async fn what_is_behind_something_put_off_on_its_slot_is_put_off_too() {
        let (shard, _supervisor) = start().await;
        shard.write(vec![put(1), put(2)], usize::MAX).await;
        let get = |n| Command::from(Get { key: key(n) });
        let delete = |n| Command::from(Delete { key: key(n) });
        let replies = shard.write(vec![get(1), get(2), delete(2), delete(1)], 1).await;
        assert!(matches!(replies[0], Ok(Reply::Entry(Some(_)))));
        let later = Err(Error::Later);
        assert_eq!(replies[1..], [later.clone(), later, Ok(Reply::Flag(true))]);
        assert!(shard.get(&key(2), NOW).is_some());
    }

    #[tokio::test]
    async fn writes_over_the_bound_in_bytes_are_refused_and_change_nothing() {
        let (shard, _supervisor) = start().await;
        let held = shard.inner.holding.inbox.places().take(1, SHARD_IN_FLIGHT_BYTES_MAX).unwrap();
        assert_eq!(shard.write_one(put(1)).await, Err(Error::Busy { shard: 0 }));
        drop(held);
        assert!(shard.write_one(put(1)).await.is_ok());
    }

    #[tokio::test]
    async fn writes_over_the_bound_are_refused_and_change_nothing() {
        let (shard, _supervisor) = start().await;
        let places = shard.inner.holding.inbox.places();
        let held = places.take(SHARD_IN_FLIGHT_MAX, 1).unwrap();
        assert_eq!(shard.write(vec![put(1)], usize::MAX).await, [Err(Error::Busy { shard: 0 })]);
        drop(held);
        assert_eq!(shard.get(&key(1), NOW), None);
        assert!(shard.write(vec![put(1)], usize::MAX).await[0].is_ok());
    }

    #[tokio::test]
    async fn a_shard_that_stops_by_itself_is_started_again() {
        let (shard, supervisor) = start().await;
        shard.inner.post.actor().unwrap().stop(None);
        while supervisor.tree().restarts == 0 {
            tokio::task::yield_now().await;
        }
        assert!(shard.write(vec![put(1)], usize::MAX).await[0].is_ok());
        assert_eq!(supervisor.tree().restarts, 1);
    }

    #[tokio::test]
    async fn a_shard_whose_supervisor_stopped_is_down() {
        let (shard, supervisor) = start().await;
        supervisor.stop().await;
        let replies = shard.write(vec![put(1)], usize::MAX).await;
        assert!(replies[0].as_ref().is_err_and(Error::may_have_happened), "{replies:?}");
    }

    #[tokio::test]
    async fn what_comes_after_a_slot_was_given_away_is_not_written() {
        let (shard, _supervisor, gate) = start_gated().await;
        let slot = key(1).slot();
        assert!(shard.write_one(put(1)).await.is_ok());
        gate.set_all([(slot, Passage::default())]);
        shard.barrier().await.unwrap();
        assert_eq!(shard.write_one(put(1)).await, Err(Error::NotHere { slot: slot.0 }));
        let known = shard.record(&key(1)).unwrap();
        let merge = Transfer::TakeOver(known.clone());
        assert_eq!(shard.transfer(vec![merge]).await[0], Err(Error::NotHere { slot: slot.0 }));
        let forget = forget(&known, 0);
        assert_eq!(shard.transfer(vec![forget]).await[0], Ok(true));
        assert_eq!(shard.record(&key(1)), None);
    }

    #[tokio::test]
    async fn a_slot_that_is_ours_again_takes_what_others_had_of_it() {
        let (shard, _supervisor, gate) = start_gated().await;
        let slot = key(1).slot();
        assert!(shard.write_one(put(1)).await.is_ok());
        let known = shard.record(&key(1)).unwrap();
        gate.set_all([(slot, Passage::default())]);
        let forget = forget(&known, 0);
        shard.transfer(vec![forget.clone()]).await;
        gate.set_all([(slot, Passage { serves: true, is_ours: true, ..Passage::default() })]);
        let merge = Transfer::TakeOver(known.clone());
        assert_eq!(shard.transfer(vec![merge.clone()]).await[0], Ok(true));
        assert_eq!(shard.transfer(vec![merge]).await[0], Ok(false));
        assert_eq!(shard.transfer(vec![forget]).await[0], Err(Error::NotHere { slot: slot.0 }));
        assert_eq!(shard.record(&key(1)), Some(known));
    }

    #[tokio::test]
    async fn an_entry_of_another_node_that_is_too_large_here_is_dropped_and_counted() {
        let (shard, _supervisor) = start().await;
        shard.write_one(put(1)).await.unwrap();
        let later = Version(shard.version().0 + 1);
        let large = Record::new(&key(1), &NewEntry::of(&vec![0; 1 << 23]), later).unwrap();
        assert_eq!(shard.transfer(vec![Transfer::TakeOver(large)]).await, [Ok(true)]);
        assert_eq!((shard.get(&key(1), NOW), shard.stats().oversize), (None, 1));
    }

    #[tokio::test]
    async fn a_deletion_is_remembered_where_there_are_other_nodes() {
        let (shard, _supervisor, gate) = start_gated().await;
        let delete = || Command::from(Delete { key: key(1) });
        gate.set_peers(true);
        shard.write_one(put(1)).await.unwrap();
        let written = shard.record(&key(1)).unwrap();
        assert_eq!(shard.write_one(delete()).await, Ok(Reply::Flag(true)));
        assert!(shard.record(&key(1)).is_some_and(|known| written.version() < known.version()));
        let merge = Transfer::TakeOver(written);
        assert_eq!(shard.transfer(vec![merge]).await[0], Ok(false));
        assert_eq!(shard.get(&key(1), NOW), None);
    }

    #[tokio::test]
    async fn deletions_of_absent_keys_leave_the_table_alone() {
        let (shard, _supervisor, gate) = start_gated().await;
        let delete = |n| Command::from(Delete { key: key(n) });
        gate.set_peers(true);
        shard.write((1..=100).map(put).collect(), usize::MAX).await;
        assert_eq!(shard.write_one(delete(1)).await, Ok(Reply::Flag(true)));
        let (tombstone, before) = (shard.record(&key(1)), shard.stats());
        for part in 1..=40 {
            let absent = (1_000 * part..1_000 * (part + 1)).map(delete);
            let replies = shard.write(absent.chain([delete(1)]).collect(), usize::MAX).await;
            assert!(replies.iter().all(|reply| *reply == Ok(Reply::Flag(false))));
        }
        assert_eq!(shard.record(&key(1)), tombstone);
        assert_eq!(shard.stats(), before);
        assert_eq!((before.table.entries, shard.record(&key(1_000))), (100, None));
    }

    fn forget(known: &Record, openings: u32) -> Transfer {
        let (key, version) = (known.key(), known.version());
        Transfer::Forget { key, version, openings: Some(openings) }
    }

    #[tokio::test]
    async fn what_was_sent_before_a_slot_came_back_is_not_forgotten_when_it_goes_again() {
        let (shard, _supervisor, gate) = start_gated().await;
        let slot = key(1).slot();
        shard.write_one(put(1)).await.unwrap();
        let known = shard.record(&key(1)).unwrap();
        gate.set_all([(slot, Passage::default())]);
        let sent = gate.openings(slot);
        gate.set_all([(slot, Passage { serves: true, is_ours: true, ..Passage::default() })]);
        // Whoever took it sends it back, hears that it is here, and forgets it.
        let back = Transfer::TakeOver(known.clone());
        assert_eq!(shard.transfer(vec![back]).await, [Ok(false)]);
        gate.set_all([(slot, Passage::default())]);
        let not_here = Err(Error::NotHere { slot: slot.0 });
        assert_eq!(shard.transfer(vec![forget(&known, sent)]).await, [not_here]);
        assert_eq!(shard.transfer(vec![forget(&known, gate.openings(slot))]).await, [Ok(true)]);
    }

    /// The deletion of a key that is known elsewhere only, and is older there.
    async fn wins_over_what_comes_later(shard: &Shard) {
        let (other, _supervisor) = start().await;
        other.write_one(put(1)).await.unwrap();
        let older = other.record(&key(1)).unwrap();
        shard.observe(older.version(), clock::now());
        let delete = Command::from(Delete { key: key(1) });
        assert_eq!(shard.write_one(delete).await, Ok(Reply::Flag(false)));
        assert_eq!(shard.transfer(vec![Transfer::TakeOver(older)]).await, [Ok(false)]);
        assert_eq!(shard.get(&key(1), NOW), None);
    }

    #[tokio::test]
    async fn the_deletion_of_a_key_that_is_still_arriving_wins() {
        let (shard, _supervisor, gate) = start_gated().await;
        gate.set_peers(true);
        let arriving =
            Passage { serves: true, is_ours: true, is_arriving: true, is_doubtful: false };
        gate.set_all([(key(1).slot(), arriving)]);
        wins_over_what_comes_later(&shard).await;
    }

    #[tokio::test]
    async fn the_deletion_of_a_key_that_a_lost_node_may_have_wins() {
        let (shard, _supervisor, gate) = start_gated().await;
        gate.set_peers(true);
        gate.lost_until(clock::now().after(Duration::from_secs(60)));
        wins_over_what_comes_later(&shard).await;
    }

    #[tokio::test]
    async fn what_wants_an_id_where_none_is_reserved_is_not_done_nor_what_is_behind_it() {
        let ids = Arc::new(Ids::default());
        let (shard, _supervisor) = start_with(Arc::default(), Arc::clone(&ids)).await;
        let both = || vec![NextId.into(), NextId.into(), put(1)];
        let replies = shard.write(both(), usize::MAX).await;
        assert_eq!(replies[..2], [Err(Error::NoIds), Err(Error::NoIds)]);
        assert!(replies[2].is_ok());
        ids.add(IdRange { next: 7, end: 8 });
        let replies = shard.write(both(), usize::MAX).await;
        assert_eq!(replies[..2], [Ok(Reply::Number(7)), Err(Error::NoIds)]);
    }
}
