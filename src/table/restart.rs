//! A new writer after one that panicked: verifies what is published, repairs what was left half
//! done, and works out again what only the old writer knew.
//!
//! What is published is what the index names, and no panic can leave that half done: a record is
//! named by one store after it was written whole, and is named in its new place before it is
//! removed from the old one. What can be left behind is a second item of the same record, a spill
//! group or a block that nobody names, a segment without its queue.

use super::Table;
use super::block::{BlockId, Role};
use super::index::{self, BUCKET_WORDS, GROUP_WORDS, Item, Layout, Position};
use super::journal::Recount;
use super::ledger::{Ledger, Which};
use super::record::View;
use super::sync::Ordering;
use crate::entry::{Millis, Version};

/// Buckets whose records are asked for together: one after the other, verifying would take four
/// times as long, nearly all of it waiting for memory.
const AT_ONCE: usize = 8;

/// An item that is not where it belongs, or names nothing.
struct Stray {
    bucket: u64,
    item: Item,
}

/// Works out everything a writer needs from the blocks and the index, and repairs both.
pub(super) fn rebuild(table: &Table) -> Ledger {
    let mut ledger = Ledger::new(table);
    ledger.recount = Recount::new(&table.journal);
    ledger.census_changes = table.journal.accounts.census().changes();
    let spills = spill_parts(table);
    let mut used = vec![false; spills * table.index.groups_per_block()];
    let mut strays = Vec::new();
    ledger.clock = Version(table.counters.version.load(Ordering::Relaxed));
    ledger.evictions = table.counters.evictions.load(Ordering::Relaxed);
    ledger.evictions_unused = table.counters.evictions_unused.load(Ordering::Relaxed);
    ledger.tombstones_dropped = table.counters.tombstones_dropped.load(Ordering::Relaxed);
    ledger.expirations = table.counters.expirations.load(Ordering::Relaxed);
    let buckets = buckets_made(table);
    for first in (0..buckets).step_by(AT_ONCE) {
        let some = first..buckets.min(first + AT_ONCE as u64);
        some.clone().for_each(|bucket| prefetch(table, bucket));
        some.for_each(|b| check_bucket(table, &mut ledger, b, &mut used, &mut strays));
    }
    ledger.chains.restore(&table.blocks, &table.index, &used);
    // Versions of links of two writers must not meet while a reader is under way.
    ledger.chains.set_version((ledger.clock.0 >> 8) as u32);
    for stray in strays {
        ledger.settle(table, &stray);
    }
    ledger.sort_blocks(table, spills);
    table.journal.restore(&std::mem::take(&mut ledger.recount));
    ledger
}

fn spill_parts(table: &Table) -> usize {
    (0..table.blocks.count()).take_while(|part| table.index.spill(*part) != 0).count()
}

/// Buckets that may hold something: all before growth, and those of parts added for it.
fn buckets_made(table: &Table) -> u64 {
    let layout = table.index.layout();
    let is_growing = layout.frontier < layout.buckets();
    if is_growing { layout.buckets_next() } else { layout.buckets() }
}

/// Asks for the memory of the records of a bucket without waiting for it.
fn prefetch(table: &Table, bucket: u64) {
    let slots = table.index.bucket_made(&table.blocks, bucket).unwrap_or_default();
    let items = slots.iter().map(|slot| slot.load(Ordering::Relaxed));
    let first_word = |item: u64| {
        let (block, offset) = table.blocks.split(Item(item).place());
        table.blocks.words(block).get(offset).map_or(0, |word| word.load(Ordering::Relaxed))
    };
    std::hint::black_box(items.map(first_word).fold(0, |all, word| all ^ word));
}

/// Counts what is alive in one bucket, and collects what does not belong there.
fn check_bucket(
    table: &Table,
    ledger: &mut Ledger,
    bucket: u64,
    used: &mut [bool],
    strays: &mut Vec<Stray>,
) {
    let Some(slots) = table.index.bucket_made(&table.blocks, bucket) else { return };
    let mut seen: Vec<Item> = Vec::with_capacity(BUCKET_WORDS + GROUP_WORDS);
    let mut words = slots;
    loop {
        let mut next = None;
        for word in words.iter().map(|slot| slot.load(Ordering::Acquire)) {
            match word {
                0 => {}
                link if index::is_link(link) => next = Some(index::group_of(link)),
                item => {
                    let item = Item(item);
                    let is_first = !seen.iter().any(|other| other.place() == item.place());
                    if is_first && ledger.adopt(table, bucket, item) {
                        seen.push(item);
                    } else {
                        strays.push(Stray { bucket, item });
                    }
                }
            }
        }
        let Some(group) = next else { return };
        used[group as usize] = true;
        words = table.index.group(&table.blocks, group);
    }
}

impl Ledger {
    /// Counts a record as alive if it is one, and belongs to this bucket.
    fn adopt(&mut self, table: &Table, bucket: u64, item: Item) -> bool {
        let Some((view, position)) = self.record_of(table, item) else { return false };
        if table.index.layout().bucket_of(position) != bucket {
            return false;
        }
        self.adopt_record(table, &view);
        true
    }

    fn adopt_record(&mut self, table: &Table, view: &View<'_>) {
        let which = self.which(table, view);
        for (at, (block, len)) in view.parts().enumerate() {
            self.live[block as usize] += len as u32;
            if 0 < at {
                table.blocks.set_over(block, Some(view.place()));
            }
        }
        self.live_words += view.head.words() as u64;
        self.queue(which).cost += table.limit.cost(&view.head);
        self.recount.add(&table.journal, table.account_of(view), &view.head);
        self.entries += 1;
        if view.head.version.is_credible(self.clock.millis()) {
            self.clock = self.clock.max(view.head.version);
        }
        if let Some(Millis(at)) = view.head.expires_at {
            let due = &mut self.due[view.block() as usize];
            *due = at.min(*due);
        }
    }

    /// The record an item names, if it is one, and its position.
    fn record_of<'a>(&mut self, table: &'a Table, item: Item) -> Option<(View<'a>, Position)> {
        let (block, _) = table.blocks.split(item.place());
        let is_segment = |block| {
            (block as usize) < table.blocks.count()
                && matches!(
                    table.blocks.role(block),
                    Role::Small(_) | Role::Main(_) | Role::Tombs(_)
                )
        };
        if !is_segment(block) {
            return None;
        }
        let view = View::open(&table.blocks, item.place(), || true)?;
        let is_sound = view.parts().all(|(block, _)| is_segment(block));
        let position = Position::of(self.hash_of(table, &view));
        (is_sound && item.may_be(position)).then_some((view, position))
    }

    /// Puts a stray item where it belongs, if it is not there already, and removes it.
    fn settle(&mut self, table: &Table, stray: &Stray) {
        let place = stray.item.place();
        if let Some((view, position)) = self.record_of(table, stray.item) {
            let home = table.index.layout().bucket_of(position);
            let mut there = table.index.chain(&table.blocks, home);
            if home != stray.bucket && !there.any(|(_, item)| item.place() == place) {
                self.chains.add(&table.blocks, &table.index, home, stray.item);
                self.adopt_record(table, &view);
            }
        }
        self.chains.remove(&table.blocks, &table.index, stray.bucket, place);
    }

    /// Gives every block that was ever used back to what it is used for, or to the free ones.
    fn sort_blocks(&mut self, table: &Table, spills: usize) {
        let blocks = &table.blocks;
        let parts = (buckets_made(table) / Layout::buckets_in(blocks)) as usize;
        let homes = (0..parts).map(|part| table.index.home(part));
        let fixed: Vec<BlockId> =
            homes.chain((0..spills).map(|part| table.index.spill(part))).collect();
        let mut segments = Vec::new();
        self.fresh = blocks.made();
        for block in 0..self.fresh as BlockId {
            match blocks.role(block) {
                _ if fixed.contains(&block) => blocks.set_role(block, Role::Fixed),
                Role::Small(order) => segments.push((order, Which::Small, block)),
                Role::Main(order) => segments.push((order, Which::Main, block)),
                Role::Tombs(order) => segments.push((order, Which::Tombs, block)),
                Role::Free | Role::Fixed => {
                    blocks.retire(block);
                    self.free.push(block);
                }
            }
        }
        segments.sort_unstable_by_key(|(order, _, _)| *order);
        for (order, which, block) in segments {
            self.order = order;
            self.filled_words += blocks.fill(block) as u64;
            match self.live[block as usize] {
                0 => self.recycle(table, block),
                _ => self.queue(which).segments.push_back(block),
            }
        }
    }
}
