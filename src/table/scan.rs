//! Going over all entries in steps, while they change.
//!
//! The cursor is a position in the order of hashes, which is the order of buckets whatever their
//! number, so growth neither hides an entry nor shows one twice. An entry that is there from the
//! first step to the last is seen; one that is put or removed meanwhile may be.

use super::index::Position;
use super::reader::{self, Moved};
use super::{Cursor, ScanStep, Table, TableReader};
use crate::entry::{Entry, Key, Millis};
use crate::limits::{SCAN_STEP_BUCKETS_MAX, SCAN_STEP_BYTES_MAX};

impl TableReader {
    /// The next entries from `cursor` on that `is_wanted` says yes to: about `entries_max`, whole
    /// buckets of a few.
    ///
    /// A step is bounded in entries, in bytes and in buckets looked at, so it may well come back
    /// with nothing and a cursor to go on from.
    #[must_use]
    pub fn scan(
        &self,
        cursor: Cursor,
        entries_max: usize,
        now: Millis,
        is_wanted: impl Fn(&Key) -> bool,
    ) -> ScanStep {
        let mut step = ScanStep { entries: Vec::new(), next: Some(cursor) };
        let mut bytes = 0;
        for _ in 0..SCAN_STEP_BUCKETS_MAX {
            let Some(Cursor(at)) = step.next else { break };
            if entries_max <= step.entries.len() || SCAN_STEP_BYTES_MAX <= bytes {
                break;
            }
            let len = step.entries.len();
            let after = self.table.scan_bucket(Position(at), now, &is_wanted, &mut step.entries);
            step.next = after.map(|position| Cursor(position.0));
            bytes += step.entries[len..].iter().map(|(_, entry)| entry.value.len()).sum::<usize>();
        }
        step
    }
}

impl Table {
    /// Adds the entries of the bucket of `from`, from there on; returns where the next begins.
    fn scan_bucket(
        &self,
        from: Position,
        now: Millis,
        is_wanted: &impl Fn(&Key) -> bool,
        entries: &mut Vec<(Key, Entry)>,
    ) -> Option<Position> {
        let len = entries.len();
        loop {
            match self.try_scan_bucket(from, now, is_wanted, entries) {
                Ok(after) => return after,
                Err(Moved) => entries.truncate(len),
            }
        }
    }

    fn try_scan_bucket(
        &self,
        from: Position,
        now: Millis,
        is_wanted: &impl Fn(&Key) -> bool,
        entries: &mut Vec<(Key, Entry)>,
    ) -> Result<Option<Position>, Moved> {
        let layout = self.index.layout();
        let (bucket, after) = (layout.bucket_of(from), layout.after(from));
        let mut chain = self.index.chain(&self.blocks, bucket);
        for (slot, item) in chain.by_ref() {
            let view = self.view(slot, item)?;
            let key = view.key();
            if !view.is_whole() {
                return Err(Moved);
            }
            let Some(key) = key else { continue };
            let position = Position::of(self.hash_key(&key));
            let is_here = from <= position && after.is_none_or(|after| position < after);
            if !is_here || !is_wanted(&key) {
                continue;
            }
            let entry = reader::readable(&view, now);
            if !view.is_whole() {
                return Err(Moved);
            }
            entries.extend(entry.map(|entry| (key, entry)));
        }
        let layout = self.index.layout();
        let is_same = layout.bucket_of(from) == bucket && layout.after(from) == after;
        if chain.is_intact() && is_same { Ok(after) } else { Err(Moved) }
    }
}
