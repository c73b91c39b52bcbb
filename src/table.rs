//! One shard's memory: entries under keys, within a bound of bytes.
//!
//! A [`Table`] belongs to whoever made it and outlives the shard that writes it. Readers take a
//! [`TableReader`], as many as they like; there is one [`TableWriter`] at a time. A reader waits for
//! nobody.
//!
//! Entries are evicted oldest first. What is counted against the bound is the entry's own bytes and
//! [`ENTRY_OVERHEAD_BYTES`] for what the map and the allocator keep beside them.

mod reader;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::entry::{Entry, Key, MediaType, Millis, Version};

pub use reader::TableReader;
pub use writer::TableWriter;

/// What an entry costs beside its key, its value and its media type, in bytes.
///
/// Measured with one million entries of 16-byte keys and 64-byte values: map slot, shared entry,
/// place in the queue, reference-counted byte strings and the allocator's rounding.
pub const ENTRY_OVERHEAD_BYTES: usize = 320;

/// The memory of one shard.
pub struct Table {
    map: papaya::HashMap<Key, Arc<Entry>, Seed>,
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    entries: AtomicUsize,
    evictions: AtomicU64,
    /// What only the writer needs; it has to survive the writer.
    ledger: Mutex<Ledger>,
    has_writer: AtomicBool,
}

/// The part of a table that only its writer touches.
#[derive(Default)]
struct Ledger {
    /// Keys in the order they were written; a key whose version moved on is passed over.
    order: VecDeque<(Key, Version)>,
    /// Named counters, outside the entries and their bound: as many as doors name.
    counters: HashMap<Key, u64>,
    version: Version,
    /// A change is half done: set before it, cleared after it. Found set by the next writer if the
    /// last one panicked in between.
    is_dirty: bool,
}

/// The hash of a table: xxh3 from a seed of its own, so that nobody can make keys that collide.
#[derive(Clone)]
struct Seed(u64);

struct SeededHasher(u64);

impl BuildHasher for Seed {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher(self.0)
    }
}

impl Hasher for SeededHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Entries present, expired ones included until they are met.
    pub entries: usize,
    /// Bytes counted against the bound.
    pub used_bytes: usize,
    /// The bound.
    pub limit_bytes: usize,
    /// Entries dropped to keep the bound, since the table was made.
    pub evictions: u64,
}

impl Table {
    /// An empty table that holds at most `limit_bytes`. `seed` makes its hash unpredictable.
    #[must_use]
    pub fn new(limit_bytes: usize, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            map: papaya::HashMap::with_hasher(Seed(seed)),
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            ledger: Mutex::default(),
            has_writer: AtomicBool::new(false),
        })
    }

    /// A way to read this table.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> TableReader {
        TableReader::new(Arc::clone(self))
    }

    /// The way to write this table, `None` while another writer lives.
    ///
    /// If the last writer panicked in the middle of a change, the table is checked and put right
    /// first; nothing that a reader could see is lost.
    #[must_use]
    pub fn writer(self: &Arc<Self>) -> Option<TableWriter> {
        let had_writer = self.has_writer.swap(true, Ordering::AcqRel);
        (!had_writer).then(|| TableWriter::new(Arc::clone(self)))
    }

    fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        let map = self.map.pin();
        let entry = map.get(key)?;
        (!entry.is_expired(now)).then(|| Entry::clone(entry))
    }

    fn stats(&self) -> TableStats {
        TableStats {
            entries: self.entries.load(Ordering::Relaxed),
            used_bytes: self.used_bytes.load(Ordering::Relaxed),
            limit_bytes: self.limit_bytes,
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    /// The ledger, also after a writer that panicked: `is_dirty` tells what that left.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an entry counts against the bound, in bytes.
fn cost_bytes(key: &Key, entry: &Entry) -> usize {
    let media_bytes = match &entry.media {
        MediaType::Other(text) => text.len(),
        _ => 0,
    };
    let name_bytes = key.namespace().as_bytes().len() + key.as_bytes().len();
    ENTRY_OVERHEAD_BYTES + name_bytes + entry.value.len() + media_bytes
}
