//! Where each key's record is: buckets of eight words, one cache line each, that readers search
//! while the writer changes them.
//!
//! A word of a bucket is empty (0), an *item* (hash tag, hits, place of the record) or, in the last
//! word only, a *link* to a spill group of four more words, the last of which may be a link again.
//! With seven entries to a bucket about one in eight of them lies in a group.
//!
//! # Growing by an eighth
//!
//! The bucket of a hash is its share of the number of buckets, so the order of hashes is the order
//! of buckets whatever their number. Growing moves the buckets from the last to the first, in
//! place: what was in one goes to one at or behind it, which has been moved already. How far that
//! has come, the *frontier*, is part of the layout, one atomic word. So the index is never more than
//! an eighth larger than it need be, growth is spread evenly over the writes that cause it, and a
//! tag of 27 bits is enough to move an entry without looking at its record.
//!
//! # Why a reader misses nothing
//!
//! Whatever is moved is published in its new place before it is removed from the old one, and in
//! between something changes that a reader which found nothing looks at again:
//!
//! - between buckets: the frontier, hence the bucket that the hash has now;
//! - within the chain of one bucket: the last word of the bucket, the *root*. It is an item while
//!   there are no groups; as a link it carries a version that is raised at every such move.
//!
//! All stores are releases and all loads acquires. If the reader saw the old place empty, it sees
//! that something changed and searches again; if it did not see that change from the beginning, and
//! saw no change at the end, it did not see the removal either. It waits for nobody: the writer may
//! stand still anywhere in between, and the entry is in one place at least.

use super::block::{Blocks, PLACE_BITS, Place};
use super::sync::{AtomicU32, AtomicU64, Ordering};

/// Words in a bucket: one cache line.
pub(super) const BUCKET_WORDS: usize = 8;
/// Words in a spill group.
pub(super) const GROUP_WORDS: usize = 4;
/// Hits an item can count.
pub(super) const HITS_MAX: u64 = 3;

const LINK: u64 = 1 << 63;
const TAG_BITS: u32 = 27;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const HITS_SHIFT: u32 = PLACE_BITS;
const HITS_MASK: u64 = HITS_MAX << HITS_SHIFT;
const TAG_SHIFT: u32 = HITS_SHIFT + 2;
const FRONTIER_BITS: u32 = 40;
/// Links a reader follows before it starts anew: it was led into a chain that is not its own.
const HOPS_MAX: usize = 64;

const _: () = assert!(TAG_SHIFT + TAG_BITS == 63);

/// The upper half of a key's hash: its position among all buckets, however many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub(super) u32);

/// A word that names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item(pub(super) u64);

/// How many buckets there are, and how many of them have moved on to the next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Blocks of buckets.
    pub(super) parts: u64,
    /// The first bucket whose entries have moved; the number of buckets if none have.
    pub(super) frontier: u64,
    buckets_per_part: u64,
}

/// The index of a table.
pub(super) struct Index {
    /// The blocks with the buckets, in order.
    homes: Box<[AtomicU32]>,
    /// The blocks with the spill groups.
    spills: Box<[AtomicU32]>,
    layout: AtomicU64,
    buckets_log2: u32,
    groups_log2: u32,
}

/// The items of one bucket and its groups, as a reader comes across them.
pub(super) struct Chain<'a> {
    index: &'a Index,
    blocks: &'a Blocks,
    slots: &'a [AtomicU64],
    at: usize,
    hops: usize,
    root: &'a AtomicU64,
    root_word: u64,
}

impl Position {
    pub(super) fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }

    /// The bucket of this position among so many.
    fn among(self, buckets: u64) -> u64 {
        (u64::from(self.0) * buckets) >> 32
    }
}

impl Item {
    pub(super) fn new(position: Position, hits: u64, place: Place) -> Self {
        Self((u64::from(position.0) & TAG_MASK) << TAG_SHIFT | hits << HITS_SHIFT | place.0)
    }

    pub(super) fn place(self) -> Place {
        Place(self.0 & ((1 << PLACE_BITS) - 1))
    }

    pub(super) fn hits(self) -> u64 {
        (self.0 & HITS_MASK) >> HITS_SHIFT
    }

    /// The same item with one more hit.
    pub(super) fn hit(self) -> Self {
        Self(self.0 + (1 << HITS_SHIFT))
    }

    /// The same key's item for a record elsewhere, with so many hits.
    pub(super) fn moved(self, place: Place, hits: u64) -> Self {
        Self(self.0 >> TAG_SHIFT << TAG_SHIFT | hits << HITS_SHIFT | place.0)
    }

    /// Whether the record may be of a key with this position.
    #[inline]
    pub(super) fn may_be(self, position: Position) -> bool {
        self.0 >> TAG_SHIFT == u64::from(position.0) & TAG_MASK
    }

    /// Whether `word` names the same record, however often it was hit.
    #[inline]
    pub(super) fn is_same(self, word: u64) -> bool {
        (self.0 ^ word) & !HITS_MASK == 0
    }

    /// The position of an item found in `bucket` of `buckets`.
    fn position(self, bucket: u64, buckets: u64) -> Position {
        let first = (bucket << 32).div_ceil(buckets);
        let near = first & !TAG_MASK | self.0 >> TAG_SHIFT;
        let position = if near < first { near + TAG_MASK + 1 } else { near };
        Position(position as u32)
    }
}

/// Whether a word leads to a spill group.
pub(super) fn is_link(word: u64) -> bool {
    word & LINK != 0
}

/// The word that leads to `group`.
pub(super) fn link(version: u32, group: u32) -> u64 {
    LINK | u64::from(version & 0x7fff_ffff) << 32 | u64::from(group)
}

/// The group a link leads to.
pub(super) fn group_of(link: u64) -> u32 {
    link as u32
}

impl Layout {
    /// The number of blocks after `parts`: an eighth more.
    pub(super) fn parts_next(parts: u64) -> u64 {
        parts + (parts / 8).max(1)
    }

    /// Buckets in one block.
    pub(super) fn buckets_in(blocks: &Blocks) -> u64 {
        (blocks.block_words() / BUCKET_WORDS) as u64
    }

    /// Buckets before the next growth.
    pub(super) fn buckets(&self) -> u64 {
        self.parts * self.buckets_per_part
    }

    /// Buckets after the next growth.
    pub(super) fn buckets_next(&self) -> u64 {
        Self::parts_next(self.parts) * self.buckets_per_part
    }

    #[inline]
    pub(super) fn bucket_of(&self, position: Position) -> u64 {
        let bucket = position.among(self.buckets());
        if bucket < self.frontier {
            return bucket;
        }
        position.among(self.buckets_next())
    }

    /// Where an item of a bucket before the frontier goes when that bucket moves.
    pub(super) fn bucket_next(&self, item: Item, bucket: u64) -> u64 {
        let position = item.position(bucket, self.buckets());
        position.among(self.buckets_next())
    }

    /// The first position behind the bucket of `position`; `None` if it is the last.
    pub(super) fn after(&self, position: Position) -> Option<Position> {
        let (bucket, buckets) = (self.bucket_of(position) + 1, self.buckets());
        let is_old = position.among(buckets) < self.frontier;
        let buckets = if is_old { buckets } else { self.buckets_next() };
        u32::try_from((bucket << 32).div_ceil(buckets)).ok().map(Position)
    }

    /// The layout when `bucket` and all behind it have moved.
    pub(super) fn moved_to(self, bucket: u64) -> Self {
        if 0 < bucket {
            return Self { frontier: bucket, ..self };
        }
        let parts = Self::parts_next(self.parts);
        Self { parts, frontier: parts * self.buckets_per_part, ..self }
    }
}

impl Index {
    /// Bytes of bookkeeping per block of the table.
    pub(super) const FIXED_BYTES: usize = 8;

    /// An index without a bucket: the first writer adds the first part.
    pub(super) fn new(blocks: &Blocks) -> Self {
        let none = || (0..blocks.count()).map(|_| AtomicU32::new(0)).collect();
        let words_log2 = blocks.block_words().trailing_zeros();
        let index = Self {
            homes: none(),
            spills: none(),
            layout: AtomicU64::new(0),
            buckets_log2: words_log2 - BUCKET_WORDS.trailing_zeros(),
            groups_log2: words_log2 - GROUP_WORDS.trailing_zeros(),
        };
        let buckets_per_part = 1 << index.buckets_log2;
        index.set_layout(Layout { parts: 1, frontier: buckets_per_part, buckets_per_part });
        index
    }

    #[inline]
    pub(super) fn layout(&self) -> Layout {
        let word = self.layout.load(Ordering::Acquire);
        Layout {
            parts: word >> FRONTIER_BITS,
            frontier: word & ((1 << FRONTIER_BITS) - 1),
            buckets_per_part: 1 << self.buckets_log2,
        }
    }

    pub(super) fn set_layout(&self, layout: Layout) {
        let word = layout.parts << FRONTIER_BITS | layout.frontier;
        self.layout.store(word, Ordering::Release);
    }

    /// Groups in one block.
    pub(super) fn groups_per_block(&self) -> usize {
        1 << self.groups_log2
    }

    /// The block of a part of the buckets; 0 is the first part's, or none.
    pub(super) fn home(&self, part: usize) -> u32 {
        self.homes[part].load(Ordering::Relaxed)
    }

    pub(super) fn set_home(&self, part: usize, block: u32) {
        self.homes[part].store(block, Ordering::Release);
    }

    /// The parts without a block that the bucket before the frontier moves to.
    pub(super) fn parts_for_move(&self, layout: Layout) -> impl Iterator<Item = usize> + '_ {
        let (bucket, from, to) = (layout.frontier - 1, layout.buckets(), layout.buckets_next());
        let (low, high) = (bucket * to / from, ((bucket + 1) * to - 1) / from);
        let parts = (low >> self.buckets_log2) as usize..=(high >> self.buckets_log2) as usize;
        parts.filter(|part| 0 < *part && self.home(*part) == 0)
    }

    /// The block of some of the groups; 0 for none.
    pub(super) fn spill(&self, part: usize) -> u32 {
        self.spills.get(part).map_or(0, |block| block.load(Ordering::Relaxed))
    }

    pub(super) fn set_spill(&self, part: usize, block: u32) {
        self.spills[part].store(block, Ordering::Release);
    }

    /// The words of a bucket.
    #[inline]
    pub(super) fn bucket<'a>(&self, blocks: &'a Blocks, bucket: u64) -> &'a [AtomicU64] {
        let part = (bucket >> self.buckets_log2) as usize;
        let offset = (bucket & ((1 << self.buckets_log2) - 1)) as usize * BUCKET_WORDS;
        let block = self.homes[part].load(Ordering::Acquire);
        &blocks.words(block)[offset..offset + BUCKET_WORDS]
    }

    /// Asks for the memory of a bucket without waiting for it.
    pub(super) fn prefetch(&self, blocks: &Blocks, position: Position) {
        let bucket = self.bucket(blocks, self.layout().bucket_of(position));
        std::hint::black_box(bucket[0].load(Ordering::Relaxed));
    }

    /// The words of a bucket, if its part has a block.
    pub(super) fn bucket_made<'a>(
        &self,
        blocks: &'a Blocks,
        bucket: u64,
    ) -> Option<&'a [AtomicU64]> {
        let part = (bucket >> self.buckets_log2) as usize;
        let is_made = part == 0 || self.home(part) != 0;
        is_made.then(|| self.bucket(blocks, bucket))
    }

    /// The words of a spill group.
    pub(super) fn group<'a>(&self, blocks: &'a Blocks, group: u32) -> &'a [AtomicU64] {
        let part = group as usize >> self.groups_log2;
        let offset = (group as usize & ((1 << self.groups_log2) - 1)) * GROUP_WORDS;
        let block = self.spills[part].load(Ordering::Acquire);
        &blocks.words(block)[offset..offset + GROUP_WORDS]
    }

    /// The items of `bucket`, to be searched.
    #[inline]
    pub(super) fn chain<'a>(&'a self, blocks: &'a Blocks, bucket: u64) -> Chain<'a> {
        let slots = self.bucket(blocks, bucket);
        let root = &slots[BUCKET_WORDS - 1];
        let root_word = root.load(Ordering::Acquire);
        Chain { index: self, blocks, slots, at: 0, hops: 0, root, root_word }
    }
}

impl Chain<'_> {
    /// Whether nothing was moved within the chain since the search began.
    ///
    /// If it was, an item that was there all the time may have been missed.
    #[inline]
    pub(super) fn is_intact(&self) -> bool {
        let word = self.root.load(Ordering::Acquire);
        let is_item = !is_link(word) && !is_link(self.root_word);
        self.hops < HOPS_MAX
            && (word == self.root_word || is_item && Item(word).is_same(self.root_word))
    }
}

impl<'a> Iterator for Chain<'a> {
    type Item = (&'a AtomicU64, Item);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some(slot) = self.slots.get(self.at) {
            let word = slot.load(Ordering::Acquire);
            self.at += 1;
            if is_link(word) {
                // An item that became a link since the search began may be back before it ends.
                let is_lost = self.hops == 0 && word != self.root_word;
                if is_lost || self.hops == HOPS_MAX {
                    self.hops = HOPS_MAX;
                    return None;
                }
                self.hops += 1;
                (self.slots, self.at) = (self.index.group(self.blocks, group_of(word)), 0);
            } else if word != 0 {
                return Some((slot, Item(word)));
            }
        }
        None
    }
}
