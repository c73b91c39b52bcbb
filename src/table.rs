//! The table of a shard: a bounded cache in a log of atomic words, one writer, any number of readers
//! that never wait.
//!
//! All memory is equal blocks (`block`). Most of them are segments of two queues of records
//! (`record`, `ledger`): the small and the main queue of S3-FIFO (`evict`). Others are the buckets of
//! the index (`index`, `chain`) and the ghosts (`ghost`). The number of blocks is the limit, so it
//! holds exactly; a block is taken when it is first needed, so an idle table is small.
//!
//! A write appends a record and publishes it with one store into the index. A read (`reader`)
//! searches one cache line, copies the words out, and checks that the block they were in was not
//! reused meanwhile. Everything is safe Rust over atomics; `block` and `index` say why it is right.
//!
//! A value larger than a block goes on in the next ones of its queue. That keeps one way of storing,
//! evicting and counting for all sizes, and nothing outside the blocks that could fragment: values
//! of mixed sizes churn for ever without the process growing.
//!
//! Time is an argument everywhere, so what a table does can be repeated.

mod sync;

mod fault;

mod block;
mod record;

mod index;
mod chain;
mod ghost;

mod ledger;
mod clean;
mod evict;
mod expiry;
mod tombs;
mod quota;
mod restart;
#[cfg(test)]
#[cfg(smache_loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(smache_loom))]
mod restart_tests;

mod accounts;
mod journal;
#[cfg(test)]
#[cfg(not(smache_loom))]
mod journal_tests;
#[cfg(test)]
#[cfg(not(smache_loom))]
mod quota_tests;

mod reader;
mod scan;
mod writer;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::block::{Blocks, Role};
use self::index::Index;
use self::journal::Journal;
use self::ledger::Ledger;
use self::record::Head;
use self::sync::{AtomicU64, Ordering};
use crate::census::Census;
use crate::entry::{Entry, Key, Namespace};
use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BLOCKS_MIN, ENTRY_BYTES_MAX, ENTRY_SHARE_MAX,
    TABLE_BYTES_MAX, TABLE_BYTES_MIN,
};

pub use self::accounts::AccountStats;
pub use self::journal::{Cause, Event, Heard, Listener, SlotCount};
pub use crate::record::{NewEntry, Record};

/// How large a table is, and what it counts.
#[derive(Clone, Copy, Debug)]
pub struct TableConfig {
    /// Bytes of everything together: values, keys, index, ghosts, bookkeeping. Held within
    /// [`TABLE_BYTES_MIN`] and [`TABLE_BYTES_MAX`].
    pub memory_bytes: usize,
    /// Seed of the hash, random per process, so that nobody can choose keys that collide.
    pub seed: u64,
    /// What bounds the entries.
    pub limit: Limit,
}

/// What bounds the entries of a table. Its memory is bounded in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Memory alone.
    #[default]
    Memory,
    /// So many entries, whatever their size.
    Entries(u64),
    /// So many bytes of values, whatever else they cost.
    ValueBytes(u64),
}

/// The memory of one shard. Outlives its writers: a new one goes on where the last one was.
pub struct Table {
    blocks: Blocks,
    index: Index,
    limit: Limit,
    seed: u64,
    limit_bytes: usize,
    counters: Counters,
    journal: Journal,
    /// For how many milliseconds it is remembered that an entry has ended: none if nobody else may have
    /// an older one of its key.
    ended_kept: AtomicU64,
    /// What the writer keeps while there is no writer.
    parked: Mutex<Parked>,
}

/// Reads a table. Cloned freely; never waits.
#[derive(Clone)]
pub struct TableReader {
    table: Arc<Table>,
}

/// An entry that was found. A value that is too large to be copied out at once is left where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entry, its value empty if that was left.
    pub entry: Entry,
    /// Bytes of the value.
    pub value_bytes: usize,
}

/// Writes a table. There is one at a time; the next can be had when it is dropped.
pub struct TableWriter {
    table: Arc<Table>,
    ledger: Box<Ledger>,
}

/// What the entries of a namespace may have in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Which namespace.
    pub namespace: Namespace,
    /// Bytes that its entries may have here.
    pub bytes_max: u64,
    /// Bytes that they may have in all, of which this is a part: once that is less what is over it goes at
    /// once, while a part that is less has moved elsewhere and concerns what is written from then on.
    pub bytes_in_all: u64,
}

/// What a put changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was no entry.
    Created,
    /// There was another one.
    Replaced,
    /// There was exactly this one; nothing was written.
    Unchanged,
    /// The entry is over [`TableReader::entry_bytes_max`], or the quota of its namespace; nothing changed.
    TooLarge,
}

/// What became of something that was known elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It was newer, and is what is known here from now on.
    Taken,
    /// As much or more was known here; nothing changed.
    Older,
    /// As [`Put::TooLarge`]; nothing changed.
    TooLarge,
}

/// What a tick did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Ended entries that were removed.
    pub expired: u64,
    /// Whether there is nothing more to do for now. If not, tick again soon.
    pub is_done: bool,
}

/// Where a scan goes on. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(u32);

/// Which keys a scan looks for.
#[derive(Clone, Copy, Debug)]
pub struct KeyLook<'a, W> {
    /// Their namespace.
    pub namespace: &'a [u8],
    /// How they begin.
    pub prefix: &'a [u8],
    /// Whether keys of a slot are wanted.
    pub is_wanted: W,
    /// Whether they are, or only how many.
    pub wants_bytes: bool,
}

/// What one step of a scan for keys found.
#[derive(Clone, Debug)]
pub struct KeyStep {
    /// The keys without their namespace, if they were wanted.
    pub keys: Vec<Bytes>,
    /// How many there are.
    pub count: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// What one step of a scan found.
#[derive(Clone, Debug)]
pub struct RecordStep {
    /// What is known of keys, in no particular order.
    pub found: Vec<Record>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// What a table holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Entries, with tombstones and those that have ended but are not removed yet.
    pub entries: u64,
    /// The bound of `used_bytes`.
    pub limit_bytes: u64,
    /// Memory that the table has taken.
    pub used_bytes: u64,
    /// Of that, what records of entries fill.
    pub live_bytes: u64,
    /// Of that, what is left of records that were replaced, deleted or dropped.
    pub dead_bytes: u64,
    /// Entries dropped for want of room, ever.
    pub evictions: u64,
    /// Of those, the ones that were not asked for again after they were new.
    pub evictions_unused: u64,
    /// Entries removed because they had ended, ever.
    pub expirations: u64,
    /// Tombstones dropped before they had ended, or never written, for want of room, ever.
    pub tombstones_dropped: u64,
}

/// Where the writer's own knowledge is.
enum Parked {
    Idle(Box<Ledger>),
    /// A writer has it.
    Taken,
    /// A writer panicked in the middle of a change.
    Broken,
}

/// What the writer tells of its ledger after each change.
#[derive(Default)]
struct Counters {
    entries: AtomicU64,
    made_blocks: AtomicU64,
    live_words: AtomicU64,
    filled_words: AtomicU64,
    evictions: AtomicU64,
    evictions_unused: AtomicU64,
    expirations: AtomicU64,
    tombstones_dropped: AtomicU64,
    version: AtomicU64,
}

impl From<u32> for Cursor {
    fn from(at: u32) -> Self {
        Self(at)
    }
}

impl From<Cursor> for u32 {
    fn from(Cursor(at): Cursor) -> Self {
        at
    }
}

impl TableConfig {
    /// A table of so many bytes with a random seed.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        // Without entropy the table still works; only chosen collisions are possible then.
        let seed = getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15);
        Self { memory_bytes, seed, limit: Limit::Memory }
    }
}

impl Table {
    /// Bytes of bookkeeping that do not depend on the number of blocks.
    const FIXED_BYTES: usize = 4 * 1024;

    /// An empty table for keys of all slots. It takes its memory as it fills.
    #[must_use]
    pub fn new(config: &TableConfig) -> Arc<Self> {
        Self::one_of(NonZeroUsize::MIN, config)
    }

    /// An empty table, one of so many that share the slots by what is left of dividing by their number:
    /// it has counts for no others.
    #[must_use]
    pub fn one_of(tables: NonZeroUsize, config: &TableConfig) -> Arc<Self> {
        Self::counted_one_of(tables, config, Arc::default())
    }

    /// The same, with the namespaces that `census` counts.
    #[must_use]
    pub fn counted_one_of(
        tables: NonZeroUsize,
        config: &TableConfig,
        census: Arc<Census>,
    ) -> Arc<Self> {
        let bytes = config.memory_bytes.clamp(TABLE_BYTES_MIN, TABLE_BYTES_MAX);
        let most = (bytes / BLOCKS_MIN).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        let block_bytes = 1 << most.ilog2();
        let cost = block_bytes + Blocks::FIXED_BYTES + Index::FIXED_BYTES;
        let journal = Journal::new(tables.get(), census);
        let count = (bytes - Self::FIXED_BYTES - journal.bytes()) / cost;
        Self::with_blocks(config, journal, (count, block_bytes / 8))
    }

    fn with_blocks(
        config: &TableConfig,
        journal: Journal,
        (count, words): (usize, usize),
    ) -> Arc<Self> {
        let blocks = Blocks::new(count, words);
        blocks.make(0);
        blocks.set_role(0, Role::Fixed);
        let table = Self {
            index: Index::new(&blocks),
            blocks,
            limit: config.limit,
            seed: config.seed,
            limit_bytes: config.memory_bytes.clamp(TABLE_BYTES_MIN, TABLE_BYTES_MAX),
            counters: Counters::default(),
            journal,
            ended_kept: AtomicU64::new(0),
            parked: Mutex::new(Parked::Taken),
        };
        // The first block is the first part of the index. No record is ever in it, so that a place
        // is never 0.
        let ledger = Ledger { fresh: 1, ..Ledger::new(&table) };
        table.counters.publish(&ledger, &table);
        table.park(Parked::Idle(Box::new(ledger)));
        Arc::new(table)
    }

    /// A reader.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> TableReader {
        TableReader::new(self)
    }

    /// The writer; `None` while there is one.
    ///
    /// After a writer that panicked in the middle of a change, the table is verified and repaired
    /// first, which takes about 90 ns per entry. Readers go on meanwhile.
    #[must_use]
    pub fn writer(self: &Arc<Self>) -> Option<TableWriter> {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Parked::Broken = *parked {
            *parked = Parked::Idle(Box::new(restart::rebuild(self)));
        }
        match std::mem::replace(&mut *parked, Parked::Taken) {
            Parked::Idle(ledger) => Some(TableWriter::new(self, ledger)),
            Parked::Taken | Parked::Broken => None,
        }
    }

    fn park(&self, ledger: Parked) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }

    fn hash_key(&self, key: &Key) -> u64 {
        self.hash(key.namespace().as_bytes(), key.as_bytes())
    }

    #[inline]
    fn hash(&self, namespace: &[u8], key: &[u8]) -> u64 {
        match namespace {
            [] => xxh3_64_with_seed(key, self.seed),
            _ => xxh3_64_with_seed(key, xxh3_64_with_seed(namespace, self.seed)),
        }
    }

    /// Most words of one entry.
    fn entry_words_max(&self) -> usize {
        let share = self.blocks.count() * self.blocks.block_words() / ENTRY_SHARE_MAX;
        share.min(ENTRY_BYTES_MAX / 8)
    }

    fn stats(&self) -> TableStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let (live, filled) = (read(&counters.live_words), read(&counters.filled_words));
        let per_block = Blocks::FIXED_BYTES + Index::FIXED_BYTES;
        let fixed = Self::FIXED_BYTES + self.journal.bytes() + self.blocks.count() * per_block;
        let block_bytes = self.blocks.block_words() as u64 * 8;
        TableStats {
            entries: read(&counters.entries),
            limit_bytes: self.limit_bytes as u64,
            used_bytes: fixed as u64 + read(&counters.made_blocks) * block_bytes,
            live_bytes: live * 8,
            dead_bytes: filled.saturating_sub(live) * 8,
            evictions: read(&counters.evictions),
            evictions_unused: read(&counters.evictions_unused),
            expirations: read(&counters.expirations),
            tombstones_dropped: read(&counters.tombstones_dropped),
        }
    }
}

impl Limit {
    /// What an entry counts.
    fn cost(self, head: &Head) -> u64 {
        match self {
            Self::Memory => head.words() as u64 * 8,
            Self::Entries(_) => 1,
            Self::ValueBytes(_) => head.value_len() as u64,
        }
    }

    /// Whether entries of this cost together are too many. Memory is counted in blocks instead.
    fn is_over(self, cost: u64) -> bool {
        match self {
            Self::Memory => false,
            Self::Entries(most) | Self::ValueBytes(most) => most < cost,
        }
    }

    /// What all entries together may cost.
    fn capacity(self, blocks: &Blocks, fixed: usize) -> u64 {
        match self {
            Self::Memory => {
                (blocks.count().saturating_sub(fixed) * blocks.block_words() * 8) as u64
            }
            Self::Entries(most) | Self::ValueBytes(most) => most,
        }
    }
}

impl Counters {
    fn publish(&self, ledger: &Ledger, table: &Table) {
        let all = [
            (&self.entries, ledger.entries),
            (&self.made_blocks, ledger.fresh.min(table.blocks.count()) as u64),
            (&self.live_words, ledger.live_words),
            (&self.filled_words, ledger.filled_words),
            (&self.evictions, ledger.evictions),
            (&self.evictions_unused, ledger.evictions_unused),
            (&self.expirations, ledger.expirations),
            (&self.tombstones_dropped, ledger.tombstones_dropped),
            (&self.version, ledger.clock.0),
        ];
        for (counter, value) in all {
            counter.store(value, Ordering::Relaxed);
        }
    }
}
