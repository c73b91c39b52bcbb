//! What happened to a table, in order, and why.
//!
//! Every change of what is known of a key passes [`Journal::note`], after it was published. The counts
//! of each slot always listen; to anybody else it costs one branch while nobody is there. A listener
//! has a queue of its own, so that the writer never waits for longer than another takes to swap it for
//! an empty one. One that falls behind misses what no longer fits and is told so: it then looks at the
//! table again.
//!
//! The events of one key come in the order of their versions. Those of a table do too but for what was
//! written over a version that the table does not follow, what was taken over, which has the version it had elsewhere, and for what was removed, which tells the
//! version that is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::accounts::Accounts;
use super::record::Head;
use super::sync::{AtomicU64, Ordering};
use super::{Table, TableReader};
use crate::census::{Account, Census};
use crate::entry::{Key, SLOTS, Slot, Version};
use crate::limits::{JOURNAL_EVENTS_MAX, JOURNAL_KEY_BYTES_MAX};

/// Why something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It was put.
    Put,
    /// It was deleted, with or without a tombstone that says so.
    Delete,
    /// It had ended.
    Expire,
    /// There was no room for it.
    Evict,
    /// It was known elsewhere and newer: an entry, a tombstone, or that it has ended.
    TakenOver,
    /// It is another node's to know.
    Forgotten,
}

/// A change of what is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Why.
    pub cause: Cause,
    /// The key.
    pub key: Key,
    /// The version of what is known now; if nothing is, of what was known before.
    pub version: Version,
    /// Whether the key had an entry before, be it one that had ended.
    pub had_entry: bool,
    /// Whether the key has an entry now. Of one that ends later, there is an event when it is removed.
    pub has_entry: bool,
}

/// What was heard since the last time.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Events, the first one first.
    pub events: Vec<Event>,
    /// Whether events after these were missed: nobody knows which.
    pub has_gap: bool,
}

/// Hears what happens to a table from when it was made until it is dropped.
pub struct Listener {
    table: Arc<Table>,
    queue: Arc<Queue>,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCount {
    /// Entries, with those that have ended but are not removed yet.
    pub keys: u32,
    /// All entries and tombstones.
    pub records: u32,
}

/// The one place that every change passes.
pub(super) struct Journal {
    /// How many tables share the slots: this one has each of so many.
    tables: usize,
    /// Keys and records of each slot of this table, half a word each.
    counts: Box<[AtomicU64]>,
    keys: AtomicU64,
    /// What there is of each namespace.
    pub(super) accounts: Accounts,
    listeners: AtomicU64,
    queues: Mutex<Vec<Arc<Queue>>>,
}

/// A change of what is known of a key: from one record to another.
pub(super) struct Change<'a> {
    pub(super) cause: Cause,
    pub(super) account: Account,
    pub(super) before: Option<&'a Head>,
    pub(super) after: Option<&'a Head>,
}

/// What a listener has not taken yet, and what is told when there is something.
struct Queue {
    told: Mutex<Told>,
    bell: Arc<Notify>,
}

#[derive(Default)]
struct Told {
    heard: Heard,
    /// Bytes of the keys of the events.
    key_bytes: usize,
}

impl Event {
    /// The slot of the key.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.key.slot()
    }
}

impl SlotCount {
    /// What one record counts.
    fn of(head: Option<&Head>) -> Self {
        let keys = head.is_some_and(|head| !head.is_tombstone);
        Self { keys: keys.into(), records: head.is_some().into() }
    }

    fn pack(self) -> u64 {
        u64::from(self.keys) << 32 | u64::from(self.records)
    }

    fn unpack(word: u64) -> Self {
        Self { keys: (word >> 32) as u32, records: word as u32 }
    }
}

impl TableReader {
    /// What a slot holds, as of the last write.
    #[must_use]
    pub fn count(&self, slot: Slot) -> SlotCount {
        self.table.journal.count(slot)
    }

    /// Entries of all slots, with those that have ended but are not removed yet.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.table.journal.keys.load(Ordering::Relaxed)
    }

    /// Hears everything that happens from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.listen_with(Arc::default())
    }

    /// The same, and rings a bell when there is something to be taken.
    #[must_use]
    pub fn listen_with(&self, bell: Arc<Notify>) -> Listener {
        let queue = Arc::new(Queue { told: Mutex::default(), bell });
        let mut queues = self.table.journal.lock_queues();
        queues.push(Arc::clone(&queue));
        self.table.journal.listeners.store(queues.len() as u64, Ordering::Relaxed);
        drop(queues);
        Listener { table: Arc::clone(&self.table), queue }
    }
}

impl Listener {
    /// What happened since the last time, and whether something was missed after it.
    #[must_use]
    pub fn take(&mut self) -> Heard {
        std::mem::take(&mut *self.queue.lock()).heard
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let journal = &self.table.journal;
        let mut queues = journal.lock_queues();
        queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        journal.listeners.store(queues.len() as u64, Ordering::Relaxed);
    }
}

impl Journal {
    /// The journal of one of so many tables that share the slots, with the namespaces that `census`
    /// counts.
    pub(super) fn new(tables: usize, census: Arc<Census>) -> Self {
        let tables = tables.clamp(1, SLOTS.into());
        Self {
            tables,
            counts: (0..usize::from(SLOTS).div_ceil(tables)).map(|_| AtomicU64::new(0)).collect(),
            keys: AtomicU64::new(0),
            accounts: Accounts::new(census),
            listeners: AtomicU64::new(0),
            queues: Mutex::default(),
        }
    }

    /// How many tables share the slots.
    pub(super) fn tables(&self) -> u16 {
        // Held within the number of slots.
        self.tables as u16
    }

    /// Bytes of the counts.
    pub(super) fn bytes(&self) -> usize {
        8 * self.counts.len() + Accounts::BYTES
    }

    /// Notes a change that was published.
    #[inline]
    pub(super) fn note(&self, change: &Change<'_>, key: impl FnOnce() -> Key) {
        let Some(head) = change.after.or(change.before) else { return };
        let (before, after) = (SlotCount::of(change.before), SlotCount::of(change.after));
        if before != after {
            let count = &self.counts[self.index(head.slot())];
            let changed =
                |was: u64, less: u64, more: u64| was.wrapping_sub(less).wrapping_add(more);
            let word = changed(count.load(Ordering::Relaxed), before.pack(), after.pack());
            count.store(word, Ordering::Relaxed);
            let keys = self.keys.load(Ordering::Relaxed);
            let keys = changed(keys, before.keys.into(), after.keys.into());
            self.keys.store(keys, Ordering::Relaxed);
        }
        self.accounts.note(change);
        if 0 < self.listeners.load(Ordering::Relaxed) {
            let is_entry = |head: Option<&Head>| head.is_some_and(|head| !head.is_tombstone);
            self.tell(&Event {
                cause: change.cause,
                key: key(),
                version: head.version,
                had_entry: is_entry(change.before),
                has_entry: is_entry(change.after),
            });
        }
    }

    #[cold]
    fn tell(&self, event: &Event) {
        self.lock_queues().iter().for_each(|queue| queue.push(event));
    }

    /// Counts what is there once more, after a writer that panicked. What it did last, listeners may
    /// not have been told.
    pub(super) fn restore(&self, recount: &Recount) {
        let keys = recount.counts.iter().map(|count| u64::from(SlotCount::unpack(*count).keys));
        self.keys.store(keys.sum(), Ordering::Relaxed);
        for (count, recounted) in self.counts.iter().zip(&recount.counts) {
            count.store(*recounted, Ordering::Relaxed);
        }
        self.accounts.restore(&recount.accounts);
        self.lock_queues().iter().for_each(|queue| queue.lock().heard.has_gap = true);
    }

    fn count(&self, slot: Slot) -> SlotCount {
        SlotCount::unpack(self.counts[self.index(slot)].load(Ordering::Relaxed))
    }

    fn index(&self, slot: Slot) -> usize {
        usize::from(slot.0 % SLOTS) / self.tables
    }

    fn lock_queues(&self) -> MutexGuard<'_, Vec<Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as a new writer finds them.
#[derive(Default)]
pub(super) struct Recount {
    counts: Vec<u64>,
    /// Entries and their bytes by account.
    accounts: Vec<(u64, u64)>,
}

impl Recount {
    pub(super) fn new(journal: &Journal) -> Self {
        Self { counts: vec![0; journal.counts.len()], accounts: vec![(0, 0); Account::COUNT] }
    }

    pub(super) fn add(&mut self, journal: &Journal, account: Account, head: &Head) {
        if let Some((entries, bytes)) = self.accounts.get_mut(account.index())
            && !head.is_tombstone
        {
            *entries += 1;
            *bytes += 8 * head.words() as u64;
        }
        if let Some(count) = self.counts.get_mut(journal.index(head.slot())) {
            *count += SlotCount::of(Some(head)).pack();
        }
    }
}

impl Queue {
    fn push(&self, event: &Event) {
        let mut told = self.lock();
        let key_bytes = told.key_bytes + event.key.as_bytes().len();
        let is_full = JOURNAL_EVENTS_MAX <= told.heard.events.len();
        if told.heard.has_gap || is_full || JOURNAL_KEY_BYTES_MAX < key_bytes {
            told.heard.has_gap = true;
            drop(told);
            self.bell.notify_one();
            return;
        }
        told.key_bytes = key_bytes;
        told.heard.events.push(event.clone());
        drop(told);
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
