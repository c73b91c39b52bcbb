//! Going over all entries in steps, while they change.
//!
//! The cursor is a position in the order of hashes, which is the order of buckets whatever their
//! number, so growth neither hides an entry nor shows one twice. An entry that is there from the
//! first step to the last is seen; one that is put or removed meanwhile may be.

use super::index::Position;
use super::reader::Moved;
use super::{Cursor, RecordStep, Table, TableReader};
use crate::entry::{Millis, Slot};
use crate::limits::{SCAN_STEP_BUCKETS_MAX, SCAN_STEP_BYTES_MAX};
use crate::record::Record;

/// What a scan looks for.
struct Look<W> {
    now: Millis,
    /// Whether records of a slot are wanted. May be asked of one that is being overwritten: its answer
    /// does not count then.
    is_wanted: W,
}

impl TableReader {
    /// What is known of the next keys from `cursor` on, in slots that `is_wanted` says yes to: about
    /// `entries_max` of them, whole buckets of a few. What has ended at `now` is among them for as long
    /// as that is [remembered](super::TableWriter::keep_ended).
    ///
    /// A step is bounded in entries, in bytes and in buckets looked at, so it may well come back
    /// with nothing and a cursor to go on from. Nothing of a record that is not wanted is looked at
    /// but its head.
    #[must_use]
    pub fn scan_records(
        &self,
        cursor: Cursor,
        entries_max: usize,
        now: Millis,
        is_wanted: impl Fn(Slot) -> bool,
    ) -> RecordStep {
        let look = Look { now, is_wanted };
        let mut found = Vec::new();
        let mut next = Some(cursor);
        let mut bytes = 0;
        for _ in 0..SCAN_STEP_BUCKETS_MAX {
            let Some(Cursor(at)) = next else { break };
            if entries_max <= found.len() || SCAN_STEP_BYTES_MAX <= bytes {
                break;
            }
            let len = found.len();
            let after = self.table.scan_bucket(Position(at), &look, &mut found);
            next = after.map(|position| Cursor(position.0));
            bytes += found[len..].iter().map(|record| record.as_bytes().len()).sum::<usize>();
        }
        RecordStep { found, next }
    }
}

impl Table {
    /// Adds the records of the bucket of `from`, from there on; returns where the next begins.
    fn scan_bucket(
        &self,
        from: Position,
        look: &Look<impl Fn(Slot) -> bool>,
        found: &mut Vec<Record>,
    ) -> Option<Position> {
        let len = found.len();
        loop {
            match self.try_scan_bucket(from, look, found) {
                Ok(after) => return after,
                Err(Moved) => found.truncate(len),
            }
        }
    }

    fn try_scan_bucket(
        &self,
        from: Position,
        look: &Look<impl Fn(Slot) -> bool>,
        found: &mut Vec<Record>,
    ) -> Result<Option<Position>, Moved> {
        let layout = self.index.layout();
        let (bucket, after) = (layout.bucket_of(from), layout.after(from));
        let mut chain = self.index.chain(&self.blocks, bucket);
        let mut scratch = Vec::new();
        for (slot, item) in chain.by_ref() {
            let view = self.view(slot, item)?;
            let is_wanted =
                self.is_known(&view.head, look.now) && (look.is_wanted)(view.head.slot());
            let record = is_wanted.then(|| {
                let namespace_len = view.name_into(&mut scratch);
                let (namespace, key) = scratch.split_at(namespace_len);
                let position = Position::of(self.hash(namespace, key));
                let is_here = from <= position && after.is_none_or(|after| position < after);
                is_here.then(|| view.record())
            });
            if !view.is_whole() {
                return Err(Moved);
            }
            found.extend(record.flatten());
        }
        let layout = self.index.layout();
        let is_same = layout.bucket_of(from) == bucket && layout.after(from) == after;
        if chain.is_intact() && is_same { Ok(after) } else { Err(Moved) }
    }
}
