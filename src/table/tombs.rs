//! Tombstones: in a queue of their own, which is bounded, so that no number of deletes costs an entry
//! its place.
//!
//! Room for one is made out of what is dead and of older tombstones; where there is none, it is not
//! written. What was deleted stays deleted here in any case; what may be lost is that another node
//! learns of it.

use super::Table;
use super::chain::{self, Chains};
use super::index::Position;
use super::journal::Cause;
use super::ledger::{BLOCKS_RESERVE, Ledger, Which};
use super::record::View;
use crate::entry::Millis;
use crate::limits::TOMBSTONE_SHARE_MAX;

/// Old tombstones dropped before each new one while they have their share, so that none has to wait
/// for a whole segment.
const DROPPED_AHEAD: usize = 2;
/// Segments cleaned for one tombstone, at most.
const CLEANED_MAX: usize = 2;

impl Ledger {
    /// Makes room for a tombstone of so many words without dropping an entry; whether there is any.
    pub(super) fn make_tomb_room(&mut self, table: &Table, words: usize, now: Millis) -> bool {
        let most = (table.blocks.count() / TOMBSTONE_SHARE_MAX).max(1);
        if most <= self.tombs.segments.len() {
            (0..DROPPED_AHEAD).for_each(|_| _ = self.drop_tombstone(table, now));
        }
        let mut cleaned = 0;
        loop {
            let blocks = self.blocks_for(table, Which::Tombs, words);
            let is_within = blocks == 0 || self.tombs.segments.len() + blocks <= most;
            let is_there = blocks == 0 || blocks + BLOCKS_RESERVE <= self.available(table);
            if is_within && is_there {
                return self.has_group(table);
            }
            if is_within && cleaned < CLEANED_MAX && self.clean(table, now).is_some() {
                cleaned += 1;
            } else if !self.drop_tombstone(table, now) {
                return false;
            }
        }
    }

    /// Whether the index has room for one more without an entry being dropped. It does not grow for a
    /// tombstone: the next entry has it grow.
    fn has_group(&mut self, table: &Table) -> bool {
        if self.chains.groups_left() < 2 * Chains::MOVE_GROUPS
            && BLOCKS_RESERVE + 1 < self.available(table)
            && let Some(block) = self.take_fixed(table)
        {
            self.chains.add_groups(&table.index, block);
        }
        Chains::MOVE_GROUPS <= self.chains.groups_left()
    }

    /// Drops the oldest tombstone, or passes over what is left of one; `false` if there is none.
    fn drop_tombstone(&mut self, table: &Table, now: Millis) -> bool {
        let Some(place) = self.front(table, Which::Tombs) else { return false };
        let Some(view) = View::open(&table.blocks, place, || true) else { return false };
        self.tombs.cursor += view.head.words();
        let position = Position::of(self.hash_of(table, &view));
        if let Some((slot, _)) = chain::find_place(&table.blocks, &table.index, position, place) {
            let cause = match view.head.is_expired(now) {
                true => Cause::Expire,
                false => Cause::Evict,
            };
            self.expirations += u64::from(cause == Cause::Expire);
            self.tombstones_dropped += u64::from(cause == Cause::Evict);
            self.drop_entry(table, position, (&view, slot), cause);
        }
        true
    }
}
