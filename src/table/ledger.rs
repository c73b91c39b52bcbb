//! What only the writer keeps: which blocks are free, the two queues, what is alive where.
//!
//! All of it can be had again from the blocks and the index, which is what a new writer does after
//! one that panicked.

use std::collections::VecDeque;

use super::Table;
use super::block::{BlockId, Place, Role};
use super::chain::Chains;
use super::expiry::Sweep;
use super::fault;
use super::ghost::Ghosts;
use super::index::Item;
use super::journal::Recount;
use super::quota::Quotas;
use super::record::{HEAD_WORDS_MAX, Head, Run, View};
use super::sync::{AtomicU64, Ordering};
use crate::entry::{Millis, Version};

/// Blocks kept free, so that eviction itself can always copy what it keeps.
pub(super) const BLOCKS_RESERVE: usize = 2;

/// Which queue: one of the two of S3-FIFO, or that of tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Where new entries wait whether they are asked for again.
    Small,
    /// Where those are that were.
    Main,
    /// Where tombstones are, the oldest first.
    Tombs,
    /// Where the entries of a namespace are that has a quota.
    Own(u8),
}

/// A queue of records: segments in order, written at the back, evicted from the front.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) segments: VecDeque<BlockId>,
    /// Where eviction has come to in the first segment.
    pub(super) cursor: usize,
    /// Whether the last segment takes more records.
    pub(super) is_open: bool,
    /// The record that will be judged next, with the generation of its block, and its hash.
    pub(super) ahead: Option<((Place, u64), u64)>,
    /// What its living records cost, in the unit of the table's limit.
    pub(super) cost: u64,
}

/// The writer's own knowledge.
#[derive(Default)]
pub(super) struct Ledger {
    /// Blocks that were used and are not now.
    pub(super) free: Vec<BlockId>,
    /// The first block that was never used.
    pub(super) fresh: usize,
    /// Words of living records, by block.
    pub(super) live: Vec<u32>,
    /// When each segment is to be swept for ended entries; `u64::MAX` for never.
    pub(super) due: Vec<u64>,
    pub(super) small: Queue,
    pub(super) main: Queue,
    pub(super) tombs: Queue,
    pub(super) quotas: Quotas,
    /// How often namespaces were to be counted again, by the last count.
    pub(super) census_changes: u64,
    /// Segments ever opened: the order of all segments.
    pub(super) order: u64,
    pub(super) chains: Chains,
    pub(super) ghosts: Ghosts,
    pub(super) clock: Version,
    /// How far the time that versions are stamped with is ahead of the one that is told.
    pub(super) lead_ms: i64,
    pub(super) sweep: Option<Sweep>,
    pub(super) scratch: Vec<u8>,
    /// Set while something is being changed: left set by a panic.
    pub(super) is_dirty: bool,
    /// No segment was worth cleaning, and little has changed since.
    pub(super) is_clean: bool,
    /// Words that died since then, other than by eviction.
    pub(super) died: usize,
    pub(super) entries: u64,
    pub(super) live_words: u64,
    /// Words of all segments that belong or belonged to a record.
    pub(super) filled_words: u64,
    /// What a new writer counts for the journal; empty once it has.
    pub(super) recount: Recount,
    /// Entries put out for want of room, ever.
    pub(super) evictions: u64,
    /// Of those, the ones that were not asked for again after they were new.
    pub(super) evictions_unused: u64,
    /// Entries removed because they had ended, ever.
    pub(super) expirations: u64,
    /// Tombstones dropped before they had ended, or never written, for want of room.
    pub(super) tombstones_dropped: u64,
}

impl Which {
    pub(super) fn role(self, order: u64) -> Role {
        match self {
            Self::Small => Role::Small(order),
            // A new writer takes them for that, and sorts what is in them as it is told the quotas.
            Self::Main | Self::Own(_) => Role::Main(order),
            Self::Tombs => Role::Tombs(order),
        }
    }
}

impl Queue {
    /// Words that a new record can take from the open segment.
    pub(super) fn room(&self, table: &Table) -> usize {
        let Some(last) = self.segments.back().filter(|_| self.is_open) else { return 0 };
        let room = table.blocks.block_words() - table.blocks.fill(*last);
        if room < HEAD_WORDS_MAX { 0 } else { room }
    }
}

impl Ledger {
    pub(super) fn new(table: &Table) -> Self {
        let count = table.blocks.count();
        Self {
            live: vec![0; count],
            due: vec![u64::MAX; count],
            quotas: Quotas::new(count),
            ..Self::default()
        }
    }

    pub(super) fn queue(&mut self, which: Which) -> &mut Queue {
        match which {
            Which::Small => &mut self.small,
            Which::Main => &mut self.main,
            Which::Tombs => &mut self.tombs,
            Which::Own(own) => self.quotas.queue_of_mut(own),
        }
    }

    /// Blocks that can be taken at once.
    pub(super) fn available(&self, table: &Table) -> usize {
        self.free.len() + table.blocks.count() - self.fresh
    }

    /// Takes a block, if there is one.
    fn take(&mut self, table: &Table) -> Option<BlockId> {
        self.is_clean = false;
        if let Some(block) = self.free.pop() {
            return Some(block);
        }
        let block = (self.fresh < table.blocks.count()).then_some(self.fresh as BlockId)?;
        self.fresh += 1;
        Some(block)
    }

    /// Takes a block, all zeros, for something else than a segment.
    pub(super) fn take_fixed(&mut self, table: &Table) -> Option<BlockId> {
        let block = self.take(table)?;
        table.blocks.open(block, Role::Fixed);
        for word in table.blocks.words(block) {
            word.store(0, Ordering::Relaxed);
        }
        Some(block)
    }

    /// Gives a segment back. Nothing in it may be alive.
    pub(super) fn recycle(&mut self, table: &Table, block: BlockId) {
        debug_assert_eq!(self.live[block as usize], 0, "block {block} is given back alive");
        self.filled_words -= table.blocks.fill(block) as u64;
        self.due[block as usize] = u64::MAX;
        self.quotas.release(block);
        if self.sweep.as_ref().is_some_and(|sweep| sweep.block == block) {
            self.sweep = None;
        }
        table.blocks.retire(block);
        self.free.push(block);
    }

    /// Blocks that a new record of so many words takes.
    pub(super) fn blocks_for(&mut self, table: &Table, which: Which, words: usize) -> usize {
        let room = self.queue(which).room(table);
        table.blocks.blocks_for(words.saturating_sub(room))
    }

    /// Makes room for a record at the back of a queue; `None` if there are not enough blocks.
    pub(super) fn reserve(&mut self, table: &Table, which: Which, words: usize) -> Option<Run> {
        if self.available(table) < self.blocks_for(table, which, words) {
            return None;
        }
        let block_words = table.blocks.block_words();
        if self.queue(which).room(table) == 0 {
            self.open(table, which)?;
        }
        let block = *self.queue(which).segments.back()?;
        let offset = table.blocks.fill(block);
        let first_len = words.min(block_words - offset);
        let mut run = Run { place: table.blocks.place(block, offset), first_len, rest: Vec::new() };
        let mut left = words - first_len;
        while 0 < left {
            let len = left.min(block_words);
            run.rest.push((self.open(table, which)?, len));
            left -= len;
        }
        Some(run)
    }

    fn open(&mut self, table: &Table, which: Which) -> Option<BlockId> {
        let block = self.take(table)?;
        self.order += 1;
        table.blocks.open(block, which.role(self.order));
        self.quotas.assign(block, which);
        let queue = self.queue(which);
        queue.segments.push_back(block);
        queue.is_open = true;
        Some(block)
    }

    /// Makes a written record part of its segments, so that it can be published.
    pub(super) fn commit(&mut self, table: &Table, which: Which, run: &Run, head: &Head) {
        let (first, offset) = table.blocks.split(run.place);
        let mut last = first;
        for (block, len) in &run.rest {
            table.blocks.set_over(*block, Some(run.place));
            table.blocks.set_first(*block, *len);
            table.blocks.set_fill(*block, *len);
            table.blocks.set_next(last, *block);
            self.live[*block as usize] += *len as u32;
            last = *block;
        }
        fault::step();
        if offset < table.blocks.first(first) {
            table.blocks.set_first(first, offset);
        }
        table.blocks.set_fill(first, offset + run.first_len);
        fault::step();
        self.live[first as usize] += run.first_len as u32;
        self.live_words += head.words() as u64;
        self.filled_words += head.words() as u64;
        self.queue(which).cost += table.limit.cost(head);
        if let Some(Millis(at)) = head.expires_at {
            let due = &mut self.due[first as usize];
            *due = at.min(*due);
        }
    }

    /// Notes that a record is not named by the index any more.
    pub(super) fn bury(&mut self, table: &Table, view: &View<'_>) {
        let which = self.which(table, view);
        for (at, (block, len)) in view.parts().enumerate() {
            self.live[block as usize] -= len as u32;
            if 0 < at {
                table.blocks.set_over(block, None);
            }
        }
        self.live_words -= view.head.words() as u64;
        self.queue(which).cost -= table.limit.cost(&view.head);
    }

    /// Notes that so many words died other than by eviction, so cleaning may be worth it again.
    pub(super) fn note_death(&mut self, table: &Table, words: usize) {
        self.died += words;
        if table.blocks.block_words() / 4 <= self.died {
            (self.is_clean, self.died) = (false, 0);
        }
    }

    /// The queue of a record.
    pub(super) fn which(&self, table: &Table, view: &View<'_>) -> Which {
        match table.blocks.role(view.block()) {
            Role::Main(_) => self.quotas.which(view.block()),
            Role::Tombs(_) => Which::Tombs,
            Role::Small(_) | Role::Free | Role::Fixed => Which::Small,
        }
    }

    /// Copies a living record to the back of a queue; `false` if there is no room for it.
    pub(super) fn relocate(
        &mut self,
        table: &Table,
        (slot, item): (&AtomicU64, Item),
        view: &View<'_>,
        (which, hits): (Which, u64),
    ) -> bool {
        let Some(run) = self.reserve(table, which, view.head.words()) else { return false };
        run.copy(&table.blocks, view);
        self.commit(table, which, &run, &view.head);
        slot.store(item.moved(run.place, hits).0, Ordering::Release);
        fault::step();
        self.bury(table, view);
        true
    }

    /// The next record to be judged at the front of a queue; gives back segments on the way.
    pub(super) fn front(&mut self, table: &Table, which: Which) -> Option<Place> {
        loop {
            let queue = self.queue(which);
            let block = *queue.segments.front()?;
            let at = queue.cursor.max(table.blocks.first(block));
            if at < table.blocks.fill(block) {
                queue.cursor = at;
                return Some(table.blocks.place(block, at));
            }
            queue.is_open &= 1 < queue.segments.len();
            queue.segments.pop_front();
            queue.cursor = 0;
            self.recycle(table, block);
        }
    }

    /// Removes a segment from the middle of its queue and gives it back.
    pub(super) fn extract(&mut self, table: &Table, which: Which, block: BlockId) {
        let queue = self.queue(which);
        if let Some(at) = queue.segments.iter().position(|segment| *segment == block) {
            queue.segments.remove(at);
            queue.cursor = if at == 0 { 0 } else { queue.cursor };
            self.recycle(table, block);
        }
    }

    /// The hash of the key of a record.
    pub(super) fn hash_of(&mut self, table: &Table, view: &View<'_>) -> u64 {
        let mut scratch = std::mem::take(&mut self.scratch);
        let namespace_len = view.name_into(&mut scratch);
        let (namespace, key) = scratch.split_at(namespace_len);
        let hash = table.hash(namespace, key);
        self.scratch = scratch;
        hash
    }
}
