//! Making room: cleaning first, then S3-FIFO.
//!
//! S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023): new
//! entries go to a small queue; at its front, what was asked for again moves to the main queue, the
//! rest is dropped and remembered as a ghost. What is put again while it is a ghost goes to the
//! main queue at once. At the front of the main queue what was hit goes around once more.
//!
//! The queues are lists of segments of a log, but they are judged record by record, so the order is
//! the one of plain queues. Records that are no longer alive are passed over.

use super::Table;
use super::block::Place;
use super::chain;
use super::index::Position;
use super::journal::{Cause, Change};
use super::ledger::{BLOCKS_RESERVE, Ledger, Which};
use super::record::View;
use super::sync::AtomicU64;
use crate::entry::Millis;

/// Share of the small queue, in hundredths of what the table may hold.
const SMALL_SHARE: u64 = 10;
/// Hits in the small queue that move an entry to the main queue.
const HITS_PROMOTE: u64 = 2;
/// The part of a table that one write copies at most before hits count no more: it never waits for a
/// whole round of the main queue.
const COPY_SHARE_MAX: usize = 8;
/// Blocks kept free by new entries, step by step, so that none has to wait for a whole one. What
/// replaces an entry may use them up before anything is evicted.
const BLOCKS_AHEAD: usize = BLOCKS_RESERVE + 2;
/// Records judged before a new entry while there are fewer, at most.
const JUDGED_AHEAD_MAX: usize = 2;
/// Words copied then for each one that will be written.
const COPIED_AHEAD: usize = 4;

/// What became of one record at the front of a queue.
pub(super) enum Verdict {
    /// It was dropped, or was dead before.
    Gone,
    /// It was copied: so many words.
    Kept(usize),
}

impl Ledger {
    /// Makes sure that `blocks` can be taken and that `cost` more is within the limit.
    ///
    /// Returns whether anything was moved or dropped.
    pub(super) fn make_room(
        &mut self,
        table: &Table,
        blocks: usize,
        cost: u64,
        now: Millis,
    ) -> bool {
        // Cleaning a segment with parts of large records leaves other segments dirtier, so that it
        // could go on for ever: past this much copying, room is made by eviction, which cannot.
        let copied_max = table.blocks.count() * table.blocks.block_words() / COPY_SHARE_MAX;
        let mut cleaned = 0;
        let mut copied = 0;
        let mut is_moved = false;
        loop {
            let is_short = self.available(table) < blocks + BLOCKS_RESERVE;
            let shared = self.small.cost + self.main.cost;
            let is_over = table.limit.is_over(shared + self.quotas.cost() + cost);
            if !is_short && !is_over {
                return is_moved;
            }
            is_moved = true;
            if is_short
                && cleaned < copied_max
                && let Some(copies) = self.clean(table, now)
            {
                // A segment of which nothing is copied is a step as well.
                cleaned += copies.max(1);
                continue;
            }
            match self.judge_next(table, now, copied < copied_max) {
                Some(Verdict::Gone) => {}
                Some(Verdict::Kept(words)) => copied += words,
                None => return is_moved,
            }
        }
    }

    /// Evicts a little in advance, before a new entry of so many words.
    pub(super) fn make_room_ahead(&mut self, table: &Table, words: usize, now: Millis) {
        let mut copied = 0;
        for _ in 0..JUDGED_AHEAD_MAX {
            if BLOCKS_AHEAD <= self.available(table) || COPIED_AHEAD * words < copied {
                return;
            }
            if self.clean(table, now).is_some() {
                continue;
            }
            match self.judge_next(table, now, true) {
                Some(Verdict::Gone) => {}
                Some(Verdict::Kept(words)) => copied += words,
                None => return,
            }
        }
    }

    /// Decides on the next record in order; `None` if there is none left.
    fn judge_next(&mut self, table: &Table, now: Millis, may_keep: bool) -> Option<Verdict> {
        self.start_ghosts(table);
        let order = self.order_to_judge(table);
        let mut order =
            self.quotas.oldest(table, [&self.main, &self.small]).into_iter().chain(order);
        let which = order.find(|which| self.front(table, *which).is_some());
        let which = match which {
            Some(which) => which,
            None => self.quotas.largest()?,
        };
        self.judge_front(table, which, now, may_keep)
    }

    /// Decides on the first record of a queue; `None` if there is none.
    pub(super) fn judge_front(
        &mut self,
        table: &Table,
        which: Which,
        now: Millis,
        may_keep: bool,
    ) -> Option<Verdict> {
        let place = self.front(table, which)?;
        let verdict = self.judge(table, which, place, (now, may_keep));
        self.look_ahead(table, which);
        Some(verdict)
    }

    /// Asks for the memory that judging the next records will need. Called at the beginning of a put,
    /// so that the waiting for it and for the bucket of the new key is one and the same.
    pub(super) fn prefetch_ahead(&self, table: &Table) {
        for (_, hash) in self.small.ahead.iter().chain(&self.main.ahead) {
            table.index.prefetch(&table.blocks, Position::of(*hash));
            self.ghosts.prefetch(&table.blocks, *hash);
        }
    }

    /// Works out the hash of the record that will be judged next.
    fn look_ahead(&mut self, table: &Table, which: Which) {
        let queue = self.queue(which);
        let Some(block) = queue.segments.front() else { return };
        if table.blocks.fill(*block) <= queue.cursor {
            return;
        }
        let place = table.blocks.place(*block, queue.cursor.max(table.blocks.first(*block)));
        let Some(view) = View::open(&table.blocks, place, || true) else { return };
        let hash = self.hash_of(table, &view);
        self.queue(which).ahead = Some((view.identity(), hash));
    }

    /// The queue that has to give up something, and the other one.
    fn order_to_judge(&self, table: &Table) -> [Which; 2] {
        match self.is_small_large(table) || self.main.cost == 0 {
            true => [Which::Small, Which::Main],
            false => [Which::Main, Which::Small],
        }
    }

    /// Whether the small queue is over its share.
    fn is_small_large(&self, table: &Table) -> bool {
        let capacity = table.limit.capacity(&table.blocks, self.fixed_blocks(table));
        capacity.saturating_sub(self.quotas.cost()) * SMALL_SHARE / 100 < self.small.cost
    }

    /// The queue for a key that is neither there nor remembered.
    ///
    /// Until anything was dropped for the first time, what is more than the small queue's share goes
    /// to the main queue: otherwise all would begin in the small one, and a loop over more than fits
    /// would never be hit.
    pub(super) fn which_first(&self, table: &Table) -> Which {
        match self.shared_evictions() == 0 && self.is_small_large(table) {
            true => Which::Main,
            false => Which::Small,
        }
    }

    /// Blocks that are no segments.
    pub(super) fn fixed_blocks(&self, table: &Table) -> usize {
        let parts = table.index.layout().parts as usize;
        parts + self.chains.spill_blocks(&table.index) + self.ghosts.blocks()
    }

    /// Decides on the record at the front of a queue.
    fn judge(
        &mut self,
        table: &Table,
        which: Which,
        place: Place,
        (now, may_keep): (Millis, bool),
    ) -> Verdict {
        let Some(view) = View::open(&table.blocks, place, || true) else {
            return Verdict::Gone;
        };
        let words = view.head.words();
        self.queue(which).cursor += words;
        let hash = match self.queue(which).ahead.take() {
            Some((ahead, hash)) if ahead == view.identity() => hash,
            Some(_) | None => self.hash_of(table, &view),
        };
        let position = Position::of(hash);
        let found = chain::find_place(&table.blocks, &table.index, position, place);
        let Some((slot, item)) = found else {
            return Verdict::Gone;
        };
        if view.head.is_expired(now) {
            self.expirations += 1;
            self.drop_entry(table, position, (&view, slot), Cause::Expire);
            return Verdict::Gone;
        }
        let keep = match which {
            Which::Small => (HITS_PROMOTE <= item.hits()).then_some(0),
            Which::Main | Which::Own(_) => item.hits().checked_sub(1),
            // Its tombstones are never judged here.
            Which::Tombs => None,
        };
        if let Some(hits) = keep.filter(|_| may_keep)
            && self.relocate(table, (slot, item), &view, (self.home(&view, Which::Main), hits))
        {
            return Verdict::Kept(words);
        }
        if which == Which::Small {
            self.ghosts.set_window(self.entries);
            self.ghosts.add(&table.blocks, hash);
            self.evictions_unused += 1;
        }
        self.count_eviction(which);
        self.drop_entry(table, position, (&view, slot), Cause::Evict);
        Verdict::Gone
    }

    /// Removes a living record from the index.
    pub(super) fn drop_entry(
        &mut self,
        table: &Table,
        position: Position,
        (view, slot): (&View<'_>, &AtomicU64),
        cause: Cause,
    ) {
        let bucket = table.index.layout().bucket_of(position);
        self.chains.clear(&table.blocks, &table.index, bucket, slot);
        self.bury(table, view);
        self.entries -= 1;
        let account = table.account_of(view);
        let change = Change { cause, account, before: Some(&view.head), after: None };
        table.journal.note(&change, || view.key());
    }

    /// Gives ghosts the memory they should have, when the table holds many more entries than when it
    /// last did. Returns whether anything was moved for it.
    pub(super) fn fit_ghosts(&mut self, table: &Table, now: Millis) -> bool {
        let Some(wanted) = self.ghosts.blocks_wanted(&table.blocks, self.entries) else {
            return false;
        };
        while self.ghosts.blocks() < wanted {
            self.make_room(table, 1, 0, now);
            let Some(block) = self.take_fixed(table) else { break };
            self.ghosts.add_block(&table.blocks, block);
        }
        true
    }

    /// Gives ghosts a first block when the first entry is about to be dropped.
    fn start_ghosts(&mut self, table: &Table) {
        if self.ghosts.blocks() == 0
            && let Some(block) = self.take_fixed(table)
        {
            self.ghosts.add_block(&table.blocks, block);
        }
    }
}
