//! Going over all entries in steps, while they change.
//!
//! The cursor is a position in the order of hashes, which is the order of buckets whatever their
//! number, so growth neither hides an entry nor shows one twice. An entry that is there from the
//! first step to the last is seen; one that is put or removed meanwhile may be.

use bytes::Bytes;

use super::index::Position;
use super::reader::Moved;
use super::record::{Head, View};
use super::{Cursor, KeyLook, KeyStep, RecordStep, Table, TableReader};
use crate::entry::{Millis, Slot};
use crate::limits::{
    LIST_STEP_BUCKETS_MAX, LIST_STEP_BYTES_MAX, SCAN_STEP_BUCKETS_MAX, SCAN_STEP_BYTES_MAX,
};

/// What a scan looks for. Both may be asked of a record that is being overwritten: what they say does
/// not count then.
struct Look<H, P> {
    /// Whether a record is looked at, by its head.
    is_wanted: H,
    /// What is made of a record with that namespace and key; `None` for one that is not wanted.
    pick: P,
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
        let look = Look {
            is_wanted: |head: &Head| self.table.is_known(head, now) && is_wanted(head.slot()),
            pick: |view: &View<'_>, _: &[u8], _: &[u8]| Some(view.record()),
        };
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
            bytes += found[len..].iter().map(|(_, record)| record.as_bytes().len()).sum::<usize>();
        }
        RecordStep { found: found.into_iter().map(|(_, record)| record).collect(), next }
    }

    /// The next keys from `cursor` on that are there at `now`, `keys_max` at most, unless more of them
    /// are at one position. Bounded as [`Self::scan_records`].
    #[must_use]
    pub fn scan_keys(
        &self,
        cursor: Cursor,
        keys_max: usize,
        now: Millis,
        keys: &KeyLook<'_, impl Fn(Slot) -> bool>,
    ) -> KeyStep {
        let KeyLook { namespace, prefix, is_wanted, wants_bytes } = keys;
        let look = Look {
            is_wanted: |head: &Head| {
                let is_there = !head.is_tombstone && !head.is_expired(now);
                let is_named = head.namespace_len() == namespace.len();
                is_there && is_named && prefix.len() <= head.key_len() && is_wanted(head.slot())
            },
            pick: |_: &View<'_>, found: &[u8], key: &[u8]| {
                let is_one = found == *namespace && key.starts_with(prefix);
                is_one.then(|| match wants_bytes {
                    true => Bytes::copy_from_slice(key),
                    false => Bytes::new(),
                })
            },
        };
        let mut found = Vec::new();
        let mut next = Some(cursor);
        let mut bytes = 0;
        for _ in 0..LIST_STEP_BUCKETS_MAX {
            let Some(Cursor(at)) = next else { break };
            if (*wants_bytes && keys_max <= found.len()) || LIST_STEP_BYTES_MAX <= bytes {
                break;
            }
            let len = found.len();
            let after = self.table.scan_bucket(Position(at), &look, &mut found);
            next = after.map(|position| Cursor(position.0));
            bytes += found[len..].iter().map(|(_, key)| key.len()).sum::<usize>();
        }
        if *wants_bytes {
            next = cut(&mut found, keys_max).or(next);
        }
        let count = found.len() as u64;
        let keys = match wants_bytes {
            true => found.into_iter().map(|(_, key)| key).collect(),
            false => vec![],
        };
        KeyStep { keys, count, next }
    }

    /// How many tables share the slots.
    #[must_use]
    pub fn tables(&self) -> u16 {
        self.table.journal.tables()
    }

    /// A number that this table has and another one, or one of an earlier run, hardly has.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.table.seed
    }
}

/// Leaves the first `most` of what was found, and those at the position of the last of them; where the
/// rest begins, if there is any.
fn cut<T>(found: &mut Vec<(Position, T)>, most: usize) -> Option<Cursor> {
    if found.len() <= most {
        return None;
    }
    found.sort_by_key(|(position, _)| *position);
    let last = found[most - 1].0;
    let end = found.iter().position(|(position, _)| last < *position)?;
    let next = found[end].0;
    found.truncate(end);
    Some(Cursor(next.0))
}

impl Table {
    /// Adds what is wanted of the bucket of `from`, from there on; returns where the next begins.
    fn scan_bucket<T>(
        &self,
        from: Position,
        look: &Look<impl Fn(&Head) -> bool, impl Fn(&View<'_>, &[u8], &[u8]) -> Option<T>>,
        found: &mut Vec<(Position, T)>,
    ) -> Option<Position> {
        let len = found.len();
        loop {
            match self.try_scan_bucket(from, look, found) {
                Ok(after) => return after,
                Err(Moved) => found.truncate(len),
            }
        }
    }

    fn try_scan_bucket<T>(
        &self,
        from: Position,
        look: &Look<impl Fn(&Head) -> bool, impl Fn(&View<'_>, &[u8], &[u8]) -> Option<T>>,
        found: &mut Vec<(Position, T)>,
    ) -> Result<Option<Position>, Moved> {
        let layout = self.index.layout();
        let (bucket, after) = (layout.bucket_of(from), layout.after(from));
        let mut chain = self.index.chain(&self.blocks, bucket);
        let mut scratch = Vec::new();
        for (slot, item) in chain.by_ref() {
            let view = self.view(slot, item)?;
            let picked = (look.is_wanted)(&view.head).then(|| {
                let namespace_len = view.name_into(&mut scratch);
                let (namespace, key) = scratch.split_at(namespace_len);
                let position = Position::of(self.hash(namespace, key));
                let is_here = from <= position && after.is_none_or(|after| position < after);
                let picked = if is_here { (look.pick)(&view, namespace, key) } else { None };
                picked.map(|picked| (position, picked))
            });
            if !view.is_whole() {
                return Err(Moved);
            }
            found.extend(picked.flatten());
        }
        let layout = self.index.layout();
        let is_same = layout.bucket_of(from) == bucket && layout.after(from) == after;
        if chain.is_intact() && is_same { Ok(after) } else { Err(Moved) }
    }
}
