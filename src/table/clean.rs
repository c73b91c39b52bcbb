//! Cleaning: the living records of a segment that is mostly dead are copied together, and the
//! segment is free again. Nothing is lost by it, so it comes before eviction.

use super::Table;
use super::block::{BlockId, Place};
use super::chain;
use super::index::Position;
use super::journal::Cause;
use super::ledger::{Ledger, Which};
use super::record::{HEAD_WORDS_MAX, View};
use crate::entry::Millis;

/// Words that may be copied for each word that becomes free: segments up to three quarters alive are
/// cleaned. Higher, and writes would mostly copy; lower, and living entries would be dropped while
/// more memory than that is dead.
const COPIES_PER_WORD: usize = 3;

impl Ledger {
    /// Cleans the segment that gives most for the least copying. Returns how many words it copied,
    /// `None` if no segment is worth it.
    pub(super) fn clean(&mut self, table: &Table, now: Millis) -> Option<usize> {
        if self.is_clean {
            return None;
        }
        let Some((which, block, copies)) = self.dirtiest(table, COPIES_PER_WORD) else {
            self.is_clean = true;
            return None;
        };
        self.clean_segment(table, which, block, now);
        Some(copies)
    }

    /// The segment with the fewest words to copy, and how many these are, if cleaning it copies at
    /// most `per_word` words for each one that it frees.
    pub(super) fn dirtiest(
        &self,
        table: &Table,
        per_word: usize,
    ) -> Option<(Which, BlockId, usize)> {
        let queues =
            [(Which::Small, &self.small), (Which::Main, &self.main), (Which::Tombs, &self.tombs)];
        let segments = queues.into_iter().chain(self.quotas.queues()).flat_map(|(which, queue)| {
            // What eviction is about to judge is not to be put back behind all others.
            let judged = usize::from(0 < queue.cursor);
            queue.segments.iter().skip(judged).map(move |block| (which, *block))
        });
        let worth = segments.filter_map(|(which, block)| {
            let live = self.live[block as usize] as usize;
            // What is not filled yet will be, so only what was is gained.
            let most = per_word * (table.blocks.fill(block) - live);
            if most < live || most == 0 {
                return None;
            }
            let copies = live + self.outside(table, block);
            let is_worth =
                live == 0 || copies <= most && self.has_room(table, which, block, copies);
            is_worth.then_some((which, block, copies))
        });
        worth.min_by_key(|(_, _, copies)| *copies)
    }

    /// Whether so many words out of `block` fit behind the queue without anything being evicted.
    fn has_room(&self, table: &Table, which: Which, block: BlockId, words: usize) -> bool {
        let queue = match which {
            Which::Small => &self.small,
            Which::Main => &self.main,
            Which::Tombs => &self.tombs,
            Which::Own(own) => self.quotas.queue_of(own),
        };
        let is_last = queue.segments.back() == Some(&block);
        let room = if is_last { 0 } else { queue.room(table) };
        // A segment may end a little early, where a head does not fit any more.
        let beyond = (words + HEAD_WORDS_MAX).saturating_sub(room);
        table.blocks.blocks_for(beyond) <= self.available(table)
    }

    /// Words outside of a segment that belong to living records which are partly in it.
    fn outside(&self, table: &Table, block: BlockId) -> usize {
        let blocks = &table.blocks;
        let outside = |place: Place| {
            let view = View::open(blocks, place, || true)?;
            let inside = view.parts().filter(|part| part.0 == block).map(|part| part.1);
            Some(view.head.words() - inside.sum::<usize>())
        };
        let begun = blocks.over(block).and_then(outside).unwrap_or(0);
        let goes_on = blocks.over(blocks.next(block));
        let ended = goes_on.filter(|place| blocks.split(*place).0 == block).and_then(outside);
        begun + ended.unwrap_or(0)
    }

    /// Copies what lives in a segment to the back of its queue, and gives the segment back.
    ///
    /// Leaves the segment where it is if there was no room for all of it.
    pub(super) fn clean_segment(
        &mut self,
        table: &Table,
        which: Which,
        block: BlockId,
        now: Millis,
    ) {
        let queue = self.queue(which);
        queue.is_open &= queue.segments.back() != Some(&block);
        if let Some(place) = table.blocks.over(block) {
            self.rescue(table, which, place, now);
        }
        let mut at = table.blocks.first(block);
        while 0 < self.live[block as usize] && at < table.blocks.fill(block) {
            at += self.rescue(table, which, table.blocks.place(block, at), now);
        }
        if self.live[block as usize] == 0 {
            self.extract(table, which, block);
        }
    }

    /// Copies the record at `place` to the back of its queue if it lives; returns its words.
    fn rescue(&mut self, table: &Table, which: Which, place: Place, now: Millis) -> usize {
        let Some(view) = View::open(&table.blocks, place, || true) else { return usize::MAX / 2 };
        let position = Position::of(self.hash_of(table, &view));
        let found = chain::find_place(&table.blocks, &table.index, position, place);
        if let Some((slot, item)) = found {
            if view.head.is_expired(now) {
                self.expirations += 1;
                self.drop_entry(table, position, (&view, slot), Cause::Expire);
            } else if !self.relocate(
                table,
                (slot, item),
                &view,
                (self.home(&view, which), item.hits()),
            ) {
                // There was room for all of it when this began, so this does not happen; if it did,
                // dropping is what a cache may do.
                self.count_eviction(which);
                self.drop_entry(table, position, (&view, slot), Cause::Evict);
            }
        }
        view.head.words()
    }

    /// The segments that can be had without copying more than a quarter of them.
    pub(super) fn clean_cheap(&mut self, table: &Table, now: Millis) -> bool {
        let Some((which, block, _)) = self.dirtiest(table, 1) else { return false };
        let live = self.live[block as usize] as usize;
        if table.blocks.block_words() / 4 < live {
            return false;
        }
        self.clean_segment(table, which, block, now);
        true
    }
}
