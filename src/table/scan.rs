//! Going over all entries in steps, while they change.
//!
//! The cursor is a position in the order of hashes, which is the order of buckets whatever their
//! number, so growth neither hides an entry nor shows one twice. An entry that is there from the
//! first step to the last is seen; one that is put or removed meanwhile may be.

use super::index::Position;
use super::reader::{self, Moved};
use super::{Cursor, ScanStep, Table, TableReader};
use crate::entry::{Key, Known, Millis};
use crate::limits::{SCAN_STEP_BUCKETS_MAX, SCAN_STEP_BYTES_MAX};

impl TableReader {
    /// What is known of the next keys from `cursor` on that `is_wanted` says yes to: about
    /// `entries_max` of them, whole buckets of a few, and nothing that has ended at `now`.
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
        let mut step = ScanStep { found: Vec::new(), next: Some(cursor) };
        let mut bytes = 0;
        for _ in 0..SCAN_STEP_BUCKETS_MAX {
            let Some(Cursor(at)) = step.next else { break };
            if entries_max <= step.found.len() || SCAN_STEP_BYTES_MAX <= bytes {
                break;
            }
            let len = step.found.len();
            let after = self.table.scan_bucket(Position(at), now, &is_wanted, &mut step.found);
            step.next = after.map(|position| Cursor(position.0));
            bytes += step.found[len..]
                .iter()
                .map(|(key, known)| key.as_bytes().len() + known.value_len())
                .sum::<usize>();
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
        found: &mut Vec<(Key, Known)>,
    ) -> Option<Position> {
        let len = found.len();
        loop {
            match self.try_scan_bucket(from, now, is_wanted, found) {
                Ok(after) => return after,
                Err(Moved) => found.truncate(len),
            }
        }
    }

    fn try_scan_bucket(
        &self,
        from: Position,
        now: Millis,
        is_wanted: &impl Fn(&Key) -> bool,
        found: &mut Vec<(Key, Known)>,
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
            let position = Position::of(self.hash_key(&key));
            let is_here = from <= position && after.is_none_or(|after| position < after);
            if !is_here || !is_wanted(&key) {
                continue;
            }
            let known = (!view.head.is_expired(now)).then(|| reader::known(&view));
            if !view.is_whole() {
                return Err(Moved);
            }
            found.extend(known.map(|known| (key, known)));
        }
        let layout = self.index.layout();
        let is_same = layout.bucket_of(from) == bucket && layout.after(from) == after;
        if chain.is_intact() && is_same { Ok(after) } else { Err(Moved) }
    }
}
