//! Reading: no lock, no message, no waiting for the writer.

use std::sync::Arc;

use bytes::Bytes;

use super::index::{self, Item, Position};
use super::record::View;
use super::sync::{AtomicU64, Ordering};
use super::{Found, Table, TableReader, TableStats};
use crate::entry::{Entry, Key, Millis, Version};
use crate::record::Record;

/// A read met a change and has to look again.
pub(super) struct Moved;

impl TableReader {
    pub(super) fn new(table: &Arc<Table>) -> Self {
        Self { table: Arc::clone(table) }
    }

    /// The entry of `key` at `now`; `None` if there is none or it has ended.
    ///
    /// Takes no lock and waits for nobody. Counts as a hit for eviction.
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.table.get(key, now)
    }

    /// The same, with the value left where it is if that has more than `bytes_max`.
    #[must_use]
    pub fn find(&self, key: &Key, now: Millis, bytes_max: usize) -> Option<Found> {
        let read = |view: &View<'_>| is_readable(view, now).then(|| view.entry_up_to(bytes_max));
        self.table.look_up(key, Position::of(self.table.hash_key(key)), read).flatten()
    }

    /// Up to `len` bytes of the value of `key` from `from` on, if it is of `version` still; also of one
    /// that has ended since.
    ///
    /// All parts of one version are of one value, as no two values of a key have the same.
    #[must_use]
    pub fn part(&self, key: &Key, version: Version, from: usize, len: usize) -> Option<Bytes> {
        let read = |view: &View<'_>| {
            let is_same = view.head.version == version && !view.head.is_tombstone;
            is_same.then(|| view.part(from, len))
        };
        self.table.look_up(key, Position::of(self.table.hash_key(key)), read).flatten()
    }

    /// What is known of `key` as the table holds it, also a tombstone or what has ended; `None` if
    /// nothing is. Counts as a hit, as others ask for it.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<Record> {
        let position = Position::of(self.table.hash_key(key));
        self.table.look_up(key, position, |view| view.record())
    }

    /// Whether something is known of `key` at `now`, if only that it was deleted or has ended.
    #[must_use]
    pub fn knows(&self, key: &Key, now: Millis) -> bool {
        let position = Position::of(self.table.hash_key(key));
        let look = |view: &View<'_>| self.table.is_known(&view.head, now);
        self.table.look_up(key, position, look).unwrap_or_default()
    }

    /// The greatest version that was written here or seen from elsewhere.
    #[must_use]
    pub fn version(&self) -> Version {
        Version(self.table.counters.version.load(Ordering::Relaxed))
    }

    /// What the table holds and has done, as of the last write.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        self.table.stats()
    }

    /// Most bytes that one entry may have, with key and all: [`Put::TooLarge`](super::Put) beyond.
    #[must_use]
    pub fn entry_bytes_max(&self) -> usize {
        self.table.entry_words_max() * 8
    }
}

impl Table {
    #[inline]
    pub(super) fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        let position = Position::of(self.hash_key(key));
        self.look_up(key, position, |view| readable(view, now)).flatten()
    }

    /// What `read` makes of the record of `key`; `None` if there is none.
    #[inline]
    fn look_up<T>(
        &self,
        key: &Key,
        position: Position,
        read: impl Fn(&View<'_>) -> T,
    ) -> Option<T> {
        loop {
            match self.search(key, position, &read) {
                Ok(found) => return found,
                Err(Moved) => std::hint::spin_loop(),
            }
        }
    }

    #[inline]
    fn search<T>(
        &self,
        key: &Key,
        position: Position,
        read: impl Fn(&View<'_>) -> T,
    ) -> Result<Option<T>, Moved> {
        let bucket = self.index.layout().bucket_of(position);
        let mut chain = self.index.chain(&self.blocks, bucket);
        for (slot, item) in chain.by_ref().filter(|(_, item)| item.may_be(position)) {
            let view = self.view(slot, item)?;
            let found = view.is_of(key).then(|| read(&view));
            if !view.is_whole() {
                return Err(Moved);
            }
            if found.is_some() {
                count_hit(slot, item);
                return Ok(found);
            }
        }
        match chain.is_intact() && self.index.layout().bucket_of(position) == bucket {
            true => Ok(None),
            false => Err(Moved),
        }
    }

    /// The record an item names, to be checked for being whole after it was read.
    #[inline]
    pub(super) fn view(&self, slot: &AtomicU64, item: Item) -> Result<View<'_>, Moved> {
        let is_named = || item.is_same(slot.load(Ordering::Acquire));
        View::open(&self.blocks, item.place(), is_named).ok_or(Moved)
    }
}

/// The entry, unless it has ended or is only a tombstone.
#[inline]
pub(super) fn readable(view: &View<'_>, now: Millis) -> Option<Entry> {
    is_readable(view, now).then(|| view.entry())
}

#[inline]
fn is_readable(view: &View<'_>, now: Millis) -> bool {
    !view.head.is_tombstone && !view.head.is_expired(now)
}

/// Counts a hit, unless enough were counted: a key that is always read is never written to.
#[inline]
fn count_hit(slot: &AtomicU64, item: Item) {
    if item.hits() < index::HITS_MAX {
        // Lost if anything else changed the slot meanwhile. Relaxed is enough: as a
        // read-modify-write it leaves intact what the writer's release made visible.
        let _ = slot.compare_exchange(item.0, item.hit().0, Ordering::Relaxed, Ordering::Relaxed);
    }
}
