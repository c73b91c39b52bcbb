//! Namespaces with a quota: each has a queue of its own, and makes room in that.
//!
//! What is evicted for a namespace is at the front of its queue, in segments that hold nothing else, so
//! that whatever is written to it costs the entries of others nothing: a segment comes free for each one
//! that is filled. The queue is a FIFO in which what was hit goes around once more for each hit, as in
//! the main queue of S3-FIFO. What others need room for is taken from it when its front is older than
//! that of the main queue: a quota is a bound, and reserves nothing.
//!
//! Which segments are whose only the writer knows. One that begins takes all for segments of the main
//! queue, and sorts what is in them as soon as it is told the quotas again; so it does for a quota that
//! is new. A namespace that has none any more leaves its segments to the main queue.

use std::collections::HashMap;

use super::block::{BlockId, Role};
use super::chain;
use super::evict::Verdict;
use super::index::Position;
use super::journal::Cause;
use super::ledger::{BLOCKS_RESERVE, Ledger, Queue, Which};
use super::record::View;
use super::{Quota, Table};
use crate::entry::{Millis, Namespace};
use crate::limits::{NAMESPACE_BYTES_MAX, POLICIES_MAX};

/// The part of its quota that one write to a namespace copies at most before hits count no more.
const COPY_SHARE_MAX: u64 = 8;
/// What a namespace has beside its quota for what is dead in its segments, as a share of that.
const DEAD_SHARE: u64 = 8;
/// Units of work to look up and move an entry; looking at one in passing is one unit.
const MOVE_UNITS: usize = 8;

/// The namespaces that have a quota, and their queues.
#[derive(Default)]
pub(super) struct Quotas {
    owns: Vec<Option<Own>>,
    names: HashMap<Box<[u8]>, u8>,
    /// Whose segment each block is: the number of its queue and one, 0 for nobody's.
    of_block: Vec<u8>,
    sorting: Sorting,
    /// Entries that were evicted from those queues.
    pub(super) evictions: u64,
}

/// A namespace with a quota.
struct Own {
    bytes_max: u64,
    bytes_in_all: u64,
    /// Whether what is over it goes without being asked for.
    is_shrinking: bool,
    queue: Queue,
}

/// Entries that were there before their namespace had a quota are moved to its queue.
#[derive(Default)]
struct Sorting {
    /// Segments that were not gone through, with the generation each had.
    left: Vec<(BlockId, u64)>,
    /// How far the last of them was.
    at: usize,
    /// Where room was made before, so that it is not tried for ever.
    tried: Option<u64>,
}

impl Own {
    fn must_shrink(&self) -> bool {
        self.is_shrinking && self.bytes_max < self.queue.cost && !self.queue.segments.is_empty()
    }
}

// The number of a queue fits into a byte, with one value left for nobody.
const _: () = assert!(POLICIES_MAX < u8::MAX as usize);

impl Quotas {
    pub(super) fn new(blocks: usize) -> Self {
        Self { of_block: vec![0; blocks], ..Self::default() }
    }

    /// The queue of a namespace; `None` if it has no quota.
    #[inline]
    pub(super) fn of(&self, namespace: &[u8]) -> Option<u8> {
        if self.names.is_empty() { None } else { self.names.get(namespace).copied() }
    }

    /// The queues there are.
    pub(super) fn queues(&self) -> impl Iterator<Item = (Which, &Queue)> {
        let each = (0_u8..).zip(&self.owns);
        each.filter_map(|(own, of)| Some((Which::Own(own), &of.as_ref()?.queue)))
    }

    /// # Panics
    ///
    /// If there is no such queue: segments are given up before their queue is.
    pub(super) fn queue_of(&self, own: u8) -> &Queue {
        &self.own(own).queue
    }

    /// # Panics
    ///
    /// As [`Self::queue_of`].
    pub(super) fn queue_of_mut(&mut self, own: u8) -> &mut Queue {
        let own = self.owns[usize::from(own)].as_mut();
        &mut own.unwrap_or_else(|| unreachable!("a queue outlives its segments")).queue
    }

    fn own(&self, own: u8) -> &Own {
        let own = self.owns[usize::from(own)].as_ref();
        own.unwrap_or_else(|| unreachable!("a queue outlives its segments"))
    }

    /// What all entries in those queues cost.
    pub(super) fn cost(&self) -> u64 {
        self.queues().map(|(_, queue)| queue.cost).sum()
    }

    /// The queue that a segment of the main queue's role is in.
    pub(super) fn which(&self, block: BlockId) -> Which {
        self.of_block[block as usize].checked_sub(1).map_or(Which::Main, Which::Own)
    }

    /// Notes that a block becomes a segment of a queue.
    pub(super) fn assign(&mut self, block: BlockId, which: Which) {
        self.of_block[block as usize] = if let Which::Own(own) = which { own + 1 } else { 0 };
    }

    /// Notes that a block is no segment any more.
    pub(super) fn release(&mut self, block: BlockId) {
        self.of_block[block as usize] = 0;
    }

    /// The queue whose front is the oldest of all, if it is older than that of the main queue, or of the
    /// small one where the main queue is empty.
    pub(super) fn oldest(&self, table: &Table, [main, small]: [&Queue; 2]) -> Option<Which> {
        if self.names.is_empty() {
            return None;
        }
        let order = |queue: &Queue| queue.segments.front().map(|block| order_of(table, *block));
        let own = self.queues().filter_map(|(which, queue)| Some((order(queue)?, which)));
        let (oldest, which) = own.min_by_key(|(order, _)| *order)?;
        let shared = order(main).or_else(|| order(small));
        (oldest < shared.unwrap_or(u64::MAX)).then_some(which)
    }

    /// The queue that has most.
    pub(super) fn largest(&self) -> Option<Which> {
        let filled = self.queues().filter(|(_, queue)| !queue.segments.is_empty());
        filled.max_by_key(|(_, queue)| queue.cost).map(|(which, _)| which)
    }

    /// The quotas as they were told.
    pub(super) fn told(&self) -> Vec<Quota> {
        let mut told = vec![];
        for (name, own) in &self.names {
            let Own { bytes_max, bytes_in_all, .. } = *self.own(*own);
            // It was one before.
            let namespace = Namespace::from_peer(name.to_vec().into());
            told.extend(namespace.map(|namespace| Quota { namespace, bytes_max, bytes_in_all }));
        }
        told
    }

    /// Makes a queue for a namespace, or changes its quota; `None` if it had one, or there are too many.
    fn add(&mut self, quota: &Quota) -> Option<u8> {
        let Quota { namespace, bytes_max, bytes_in_all } = quota;
        let (namespace, bytes_max, bytes_in_all) =
            (namespace.as_bytes(), *bytes_max, *bytes_in_all);
        if let Some(own) = self.of(namespace) {
            if let Some(own) = &mut self.owns[usize::from(own)] {
                own.is_shrinking |= bytes_in_all < own.bytes_in_all;
                (own.bytes_max, own.bytes_in_all) = (bytes_max, bytes_in_all);
            }
            return None;
        }
        let free = self.owns.iter().position(Option::is_none);
        if free.is_none() && POLICIES_MAX <= self.owns.len() {
            return None;
        }
        let at = free.unwrap_or(self.owns.len());
        if at == self.owns.len() {
            self.owns.push(None);
        }
        let (queue, is_shrinking) = (Queue::default(), false);
        self.owns[at] = Some(Own { bytes_max, bytes_in_all, is_shrinking, queue });
        let own = at as u8;
        self.names.insert(namespace.into(), own);
        Some(own)
    }
}

fn order_of(table: &Table, block: BlockId) -> u64 {
    match table.blocks.role(block) {
        Role::Small(order) | Role::Main(order) | Role::Tombs(order) => order,
        Role::Free | Role::Fixed => u64::MAX,
    }
}

impl Ledger {
    /// Says which namespaces have a quota from now on.
    pub(super) fn set_quotas(&mut self, table: &Table, quotas: &[Quota]) {
        let is_told = |name: &[u8]| quotas.iter().any(|it| it.namespace.as_bytes() == name);
        let gone: Vec<_> =
            self.quotas.names.keys().filter(|name| !is_told(name)).cloned().collect();
        gone.iter().for_each(|name| self.dissolve(table, name));
        let mut is_new = false;
        for quota in quotas {
            is_new |= self.quotas.add(quota).is_some();
        }
        if is_new {
            let segments = self.small.segments.iter().chain(&self.main.segments);
            let with_generation = |block: &BlockId| (*block, table.blocks.generation(*block));
            let left = segments.map(with_generation).collect();
            self.quotas.sorting = Sorting { left, ..Sorting::default() };
        }
    }

    /// Makes the segments of a namespace segments of the main queue, each where it is by its age.
    fn dissolve(&mut self, table: &Table, name: &[u8]) {
        let Some(own) = self.quotas.names.remove(name) else { return };
        let Some(Own { queue, .. }) = self.quotas.owns[usize::from(own)].take() else { return };
        queue.segments.iter().for_each(|block| self.quotas.release(*block));
        let (front, back) =
            (self.main.segments.front().copied(), self.main.segments.back().copied());
        self.main.cost += queue.cost;
        self.main.segments.extend(queue.segments);
        self.main.segments.make_contiguous().sort_unstable_by_key(|block| order_of(table, *block));
        if self.main.segments.front().copied() != front {
            // What was judged before is judged again, and found to be gone.
            (self.main.cursor, self.main.ahead) = (0, None);
        }
        self.main.is_open &= self.main.segments.back().copied() == back;
    }

    /// The queue in which a record belongs that is or was to be in `which`.
    pub(super) fn home(&self, view: &View<'_>, which: Which) -> Which {
        if self.quotas.names.is_empty() || matches!(which, Which::Tombs | Which::Own(_)) {
            return which;
        }
        let mut name = [0; NAMESPACE_BYTES_MAX];
        self.quotas.of(view.namespace_into(&mut name)).map_or(which, Which::Own)
    }

    /// Whether an entry that costs so much is within the quota of its namespace at all.
    pub(super) fn is_within_quota(&self, namespace: &Namespace, cost: u64) -> bool {
        let own = self.quotas.of(namespace.as_bytes());
        own.is_none_or(|own| cost <= self.quotas.own(own).bytes_max)
    }

    /// Counts an entry that was evicted from a queue.
    pub(super) fn count_eviction(&mut self, which: Which) {
        self.evictions += 1;
        self.quotas.evictions += u64::from(matches!(which, Which::Own(_)));
    }

    /// Makes room for a record within the quota of its namespace, for which its entries cost `more` than
    /// before. Where memory is short and it has as many blocks as it may, it gives up one before it takes
    /// one, so that nobody else has to: by cleaning, if what is dead in one of its segments is worth it.
    ///
    /// Returns whether anything was moved or dropped.
    pub(super) fn make_own_room(
        &mut self,
        table: &Table,
        own: u8,
        (words, more): (usize, u64),
        now: Millis,
    ) -> bool {
        let bytes_max = self.quotas.own(own).bytes_max;
        let block_bytes = 8 * table.blocks.block_words() as u64;
        let segments_max = (bytes_max + bytes_max / DEAD_SHARE).div_ceil(block_bytes) + 2;
        let copied_max = (bytes_max / 8 / COPY_SHARE_MAX) as usize;
        let (mut copied, mut is_moved) = (0, false);
        loop {
            let cost = self.quotas.own(own).queue.cost + more;
            let blocks = self.blocks_for(table, Which::Own(own), words);
            let is_short = 0 < blocks && self.available(table) < blocks + BLOCKS_RESERVE;
            let is_full = segments_max <= self.quotas.own(own).queue.segments.len() as u64;
            let is_over = bytes_max < cost;
            if !(is_over || is_full && is_short) {
                return is_moved;
            }
            if !is_over && let Some(block) = self.dirtiest_of(table, own) {
                is_moved = true;
                self.clean_segment(table, Which::Own(own), block, now);
                continue;
            }
            match self.judge_front(table, Which::Own(own), now, copied < copied_max) {
                Some(Verdict::Gone) => {}
                Some(Verdict::Kept(words)) => copied += words,
                None => return is_moved,
            }
            is_moved = true;
        }
    }

    /// The segment of a namespace with most of what is dead, if that is worth copying the rest.
    fn dirtiest_of(&self, table: &Table, own: u8) -> Option<BlockId> {
        let queue = &self.quotas.own(own).queue;
        let block_words = table.blocks.block_words();
        let dead =
            |block: &BlockId| table.blocks.fill(*block) - self.live[*block as usize] as usize;
        // The first is about to be judged, and the last to be filled.
        let last = queue.segments.len().saturating_sub(1);
        let between = queue.segments.iter().take(last).skip(1);
        let dirtiest = between.max_by_key(|block| dead(block))?;
        (block_words < DEAD_SHARE as usize * dead(dirtiest)).then_some(*dirtiest)
    }

    /// Entries evicted that were in no queue of a namespace.
    pub(super) fn shared_evictions(&self) -> u64 {
        self.evictions - self.quotas.evictions
    }

    /// Some work in the background: evicts what is over a quota that was made smaller, and moves what is
    /// not in the queue of its namespace yet. Returns how many units of work are left.
    pub(super) fn govern(&mut self, table: &Table, mut units: usize, now: Millis) -> usize {
        for at in 0..self.quotas.owns.len() {
            while 0 < units
                && self.quotas.owns[at].as_ref().is_some_and(Own::must_shrink)
                && self.judge_front(table, Which::Own(at as u8), now, false).is_some()
            {
                units = units.saturating_sub(MOVE_UNITS);
            }
            if let Some(own) = &mut self.quotas.owns[at] {
                own.is_shrinking = own.must_shrink();
            }
        }
        while 0 < units
            && let Some((block, generation)) = self.quotas.sorting.left.last().copied()
        {
            let is_there = table.blocks.generation(block) == generation;
            let at = self.quotas.sorting.at.max(table.blocks.first(block));
            if !is_there || table.blocks.fill(block) <= at {
                self.quotas.sorting.left.pop();
                self.quotas.sorting.at = 0;
                continue;
            }
            units = units.saturating_sub(self.sort(table, (block, at), now));
        }
        units
    }

    /// Moves a record to the queue of its namespace, if it has one and is not there; returns how many
    /// units of work that was.
    fn sort(&mut self, table: &Table, (block, at): (BlockId, usize), now: Millis) -> usize {
        let place = table.blocks.place(block, at);
        let Some(view) = View::open(&table.blocks, place, || true) else {
            self.quotas.sorting.left.pop();
            self.quotas.sorting.at = 0;
            return 1;
        };
        let words = view.head.words();
        let which = self.which(table, &view);
        let Which::Own(own) = self.home(&view, which) else {
            self.quotas.sorting.at = at + words;
            return 1;
        };
        if which == Which::Own(own) {
            self.quotas.sorting.at = at + words;
            return 1;
        }
        let blocks = self.blocks_for(table, Which::Own(own), words);
        let is_short = self.available(table) < blocks + BLOCKS_RESERVE;
        if is_short && self.quotas.sorting.tried.replace(place.0) != Some(place.0) {
            // That may move what is looked at, so that it is looked at again.
            self.make_room(table, blocks, 0, now);
            return MOVE_UNITS;
        }
        self.quotas.sorting.at = at + words;
        let position = Position::of(self.hash_of(table, &view));
        let found = chain::find_place(&table.blocks, &table.index, position, place);
        let Some((slot, item)) = found else { return MOVE_UNITS };
        let Own { bytes_max, queue, .. } = self.quotas.own(own);
        let is_over = *bytes_max < queue.cost + table.limit.cost(&view.head);
        if view.head.is_expired(now) {
            self.expirations += 1;
            self.drop_entry(table, position, (&view, slot), Cause::Expire);
            self.note_death(table, words);
        } else if is_over
            || !self.relocate(table, (slot, item), &view, (Which::Own(own), item.hits()))
        {
            self.count_eviction(Which::Own(own));
            self.drop_entry(table, position, (&view, slot), Cause::Evict);
            self.note_death(table, words);
        } else {
            self.note_death(table, words);
        }
        MOVE_UNITS
    }

    /// Whether there is nothing for [`Self::govern`] to do.
    pub(super) fn is_governed(&self) -> bool {
        self.quotas.sorting.left.is_empty()
            && !self.quotas.owns.iter().flatten().any(Own::must_shrink)
    }
}
