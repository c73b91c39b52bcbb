//! The writer's side of the index: adding, removing and moving items.
//!
//! The order of the stores in here is what `index.rs` promises to readers.

use super::block::{Blocks, Place};
use super::fault;
use super::index::{self, GROUP_WORDS, Index, Item, Layout, Position};
use super::sync::{AtomicU64, Ordering};

/// What only the writer knows of the index.
#[derive(Default)]
pub(super) struct Chains {
    /// Spill groups given back.
    groups: Vec<u32>,
    /// Spill groups never used yet, from this one up to `groups_end`.
    groups_next: u32,
    groups_end: u32,
    /// Raised with every link, so that no two links look alike.
    version: u32,
    /// Items on their way from one bucket to others.
    moving: Vec<Item>,
}

impl Chains {
    /// Spill groups that can be had without another block.
    pub(super) fn groups_left(&self) -> usize {
        self.groups.len() + (self.groups_end - self.groups_next) as usize
    }

    /// Blocks of spill groups.
    pub(super) fn spill_blocks(&self, index: &Index) -> usize {
        self.groups_end as usize >> index.groups_per_block().trailing_zeros()
    }

    /// Takes a block, all zeros, for more groups.
    pub(super) fn add_groups(&mut self, index: &Index, block: u32) {
        index.set_spill(self.spill_blocks(index), block);
        self.groups_end += index.groups_per_block() as u32;
    }

    /// Declares which groups are in use; the others are free. For a new writer.
    pub(super) fn restore(&mut self, blocks: &Blocks, index: &Index, used: &[bool]) {
        self.groups_end = used.len() as u32;
        self.groups_next = self.groups_end;
        for (group, _) in used.iter().enumerate().filter(|(_, is_used)| !**is_used) {
            let slots = index.group(blocks, group as u32);
            slots.iter().for_each(|slot| slot.store(0, Ordering::Release));
            self.groups.push(group as u32);
        }
    }

    /// Makes sure that links of this writer differ from those of the one before.
    pub(super) fn set_version(&mut self, version: u32) {
        self.version = version;
    }

    /// Adds an item to a bucket. There must be a group left.
    pub(super) fn add(&mut self, blocks: &Blocks, index: &Index, bucket: u64, item: Item) {
        let mut slots = index.bucket(blocks, bucket);
        loop {
            fault::step();
            if let Some(slot) = slots.iter().find(|slot| slot.load(Ordering::Relaxed) == 0) {
                return slot.store(item.0, Ordering::Release);
            }
            let last = &slots[slots.len() - 1];
            let word = last.load(Ordering::Relaxed);
            slots = match index::is_link(word) {
                true => index.group(blocks, index::group_of(word)),
                false => self.extend(blocks, index, last),
            };
        }
    }

    /// Puts a new group in place of the item in `last`, which becomes the first of the group.
    fn extend<'a>(
        &mut self,
        blocks: &'a Blocks,
        index: &Index,
        last: &AtomicU64,
    ) -> &'a [AtomicU64] {
        let group = self.groups.pop().unwrap_or_else(|| {
            assert!(self.groups_next < self.groups_end, "a spill group is kept ready");
            self.groups_next += 1;
            self.groups_next - 1
        });
        let slots = index.group(blocks, group);
        slots[0].store(last.load(Ordering::Relaxed), Ordering::Release);
        fault::step();
        last.store(self.link(group), Ordering::Release);
        fault::step();
        slots
    }

    fn link(&mut self, group: u32) -> u64 {
        self.version = self.version.wrapping_add(1);
        index::link(self.version, group)
    }

    /// Removes the item of the record at `place` from a bucket.
    pub(super) fn remove(&mut self, blocks: &Blocks, index: &Index, bucket: u64, place: Place) {
        let found = index.chain(blocks, bucket).find(|(_, item)| item.place() == place);
        if let Some((slot, _)) = found {
            self.clear(blocks, index, bucket, slot);
        }
    }

    /// Removes the item in `slot`, which is in the chain of this bucket.
    pub(super) fn clear(&mut self, blocks: &Blocks, index: &Index, bucket: u64, slot: &AtomicU64) {
        fault::step();
        slot.store(0, Ordering::Release);
        fault::step();
        self.close_up(blocks, index, bucket, slot);
    }

    /// Fills the hole from the last group of the chain, and gives the group back when it can.
    fn close_up(&mut self, blocks: &Blocks, index: &Index, bucket: u64, hole: &AtomicU64) {
        let root = &index.bucket(blocks, bucket)[index::BUCKET_WORDS - 1];
        let Some((parent, group)) = last_group(blocks, index, root) else { return };
        let slots = index.group(blocks, group);
        let is_inside = slots.iter().any(|slot| std::ptr::eq(slot, hole));
        let mut items = slots.iter().filter(|slot| slot.load(Ordering::Relaxed) != 0);
        let (first, second) = (items.next(), items.next());
        match (first, second) {
            (Some(only), None) if is_inside => self.replace(root, parent, only),
            (Some(_), Some(_)) if is_inside => return,
            (Some(moved), second) => {
                self.replace(root, hole, moved);
                match (second, items.next()) {
                    (Some(only), None) => self.replace(root, parent, only),
                    (None, _) => self.unlink(root, parent),
                    (Some(_), Some(_)) => return,
                }
            }
            (None, _) => self.unlink(root, parent),
        }
        self.groups.push(group);
    }

    /// Moves the item of `from` to `to`: published there, then noticeable, then gone from here.
    fn replace(&mut self, root: &AtomicU64, to: &AtomicU64, from: &AtomicU64) {
        to.store(from.load(Ordering::Relaxed), Ordering::Release);
        fault::step();
        self.touch(root);
        fault::step();
        from.store(0, Ordering::Release);
        fault::step();
    }

    /// Takes an empty group out of its chain.
    fn unlink(&mut self, root: &AtomicU64, parent: &AtomicU64) {
        parent.store(0, Ordering::Release);
        self.touch(root);
        fault::step();
    }

    /// Makes a move noticeable. A root that is no link any more has changed by that.
    fn touch(&mut self, root: &AtomicU64) {
        let word = root.load(Ordering::Relaxed);
        if index::is_link(word) {
            root.store(self.link(index::group_of(word)), Ordering::Release);
        }
    }

    /// Moves the bucket before the frontier to where its items belong after the growth.
    ///
    /// There must be [`MOVE_GROUPS`](Self::MOVE_GROUPS) groups left.
    pub(super) fn move_bucket(&mut self, blocks: &Blocks, index: &Index) -> Layout {
        let layout = index.layout();
        let bucket = layout.frontier - 1;
        let mut moving = std::mem::take(&mut self.moving);
        moving.clear();
        let items = index.chain(blocks, bucket).map(|(_, item)| item);
        moving.extend(items.filter(|item| layout.bucket_next(*item, bucket) != bucket));
        for item in &moving {
            self.add(blocks, index, layout.bucket_next(*item, bucket), *item);
        }
        fault::step();
        let moved = layout.moved_to(bucket);
        index.set_layout(moved);
        for item in &moving {
            self.remove(blocks, index, bucket, item.place());
        }
        self.moving = moving;
        moved
    }

    /// Spill groups that moving one bucket may need: a chain of 64 items has no equal in practice.
    pub(super) const MOVE_GROUPS: usize = 64 / (GROUP_WORDS - 1) + 1;
}

/// The last group of the chain at `root`, and the word that leads to it.
fn last_group<'a>(
    blocks: &'a Blocks,
    index: &Index,
    root: &'a AtomicU64,
) -> Option<(&'a AtomicU64, u32)> {
    let mut last = None;
    let mut parent = root;
    while index::is_link(parent.load(Ordering::Relaxed)) {
        let group = index::group_of(parent.load(Ordering::Relaxed));
        last = Some((parent, group));
        parent = &index.group(blocks, group)[GROUP_WORDS - 1];
    }
    last
}

/// The place in the index of the item of a record, if the record is alive.
pub(super) fn find_place<'a>(
    blocks: &'a Blocks,
    index: &'a Index,
    position: Position,
    place: Place,
) -> Option<(&'a AtomicU64, Item)> {
    let bucket = index.layout().bucket_of(position);
    index.chain(blocks, bucket).find(|(_, item)| item.place() == place)
}
