//! What was dropped from the small queue lately: fingerprints only, forgotten in order.
//!
//! A key that comes back while it is remembered here goes to the main queue at once. Each
//! fingerprint carries a stamp of when it was dropped, so the order is first in, first out although
//! they lie in buckets; only where a bucket overflows is one forgotten too early.

use super::block::{BlockId, Blocks, Place};
use super::sync::{AtomicU64, Ordering};

/// Fingerprints in a bucket of eight words.
const BUCKET_GHOSTS: u64 = 16;
const PRINT_BITS: u32 = 18;
const STAMP_BITS: u32 = 14;
/// Stamps there are; 0 is kept for an empty place.
const STAMPS: u64 = (1 << STAMP_BITS) - 1;
/// Ghosts remembered for every ten entries in the table.
const GHOSTS_PER_TEN: u64 = 9;
/// A block in so many, at most, is used for ghosts.
const BLOCKS_SHARE: usize = 24;

/// The ghosts of a table, in blocks of its memory.
#[derive(Default)]
pub(super) struct Ghosts {
    blocks: Vec<BlockId>,
    buckets: u64,
    /// Ghosts with the same stamp.
    quantum: u64,
    /// Ghosts ever added.
    added: u64,
    /// How many of the latest are remembered.
    window: u64,
    /// Entries for which there is memory enough.
    entries_max: u64,
}

impl Ghosts {
    /// How many blocks should be used for a table of `entries` entries; `None` if those there are
    /// will do.
    pub(super) fn blocks_wanted(&self, all: &Blocks, entries: u64) -> Option<usize> {
        if entries <= self.entries_max {
            return None;
        }
        let most = (all.count() / BLOCKS_SHARE).max(1);
        // Some more than now, so that they are not begun anew all the time.
        let wanted = (entries + entries / 4).div_ceil(entries_per_block(all)) as usize;
        (self.blocks.len() < most).then_some(wanted.clamp(1, most))
    }

    /// Blocks in use for ghosts.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Takes one more block, all zeros, and forgets everything: the buckets have changed.
    pub(super) fn add_block(&mut self, all: &Blocks, block: BlockId) {
        self.blocks.push(block);
        for word in self.blocks.iter().flat_map(|block| all.words(*block)) {
            word.store(0, Ordering::Relaxed);
        }
        let ghosts = self.blocks.len() as u64 * all.block_words() as u64 * 2;
        self.buckets = ghosts / BUCKET_GHOSTS;
        self.quantum = (ghosts * 2).div_ceil(STAMPS).max(1);
        self.added = 0;
        self.entries_max = self.blocks.len() as u64 * entries_per_block(all);
    }

    /// Asks for the memory where a key is remembered or will be, without waiting for it.
    pub(super) fn prefetch(&self, all: &Blocks, hash: u64) {
        if let Some(bucket) = self.bucket(all, hash) {
            std::hint::black_box(bucket[0].load(Ordering::Relaxed));
        }
    }

    /// Remembers as many as fit a table of `entries` entries.
    pub(super) fn set_window(&mut self, entries: u64) {
        let most = self.buckets * BUCKET_GHOSTS * 3 / 4;
        self.window = (entries * GHOSTS_PER_TEN).div_ceil(10).min(most);
    }

    /// Remembers a key.
    pub(super) fn add(&mut self, all: &Blocks, hash: u64) {
        let Some(bucket) = self.bucket(all, hash) else { return };
        let ghost = print(hash) << STAMP_BITS | (self.now() + 1);
        self.added += 1;
        // The newest first: all others move on by one, up to the first empty place or over the end.
        let mut carried = ghost;
        for word in bucket {
            let old = word.load(Ordering::Relaxed);
            let is_open = old & 0xffff_ffff == 0;
            let moved = if is_open { old } else { old << 32 };
            word.store(moved | carried, Ordering::Relaxed);
            carried = old >> 32;
            if is_open || carried == 0 {
                return;
            }
        }
    }

    /// Forgets a key; whether it was remembered.
    pub(super) fn remove(&mut self, all: &Blocks, hash: u64) -> bool {
        let Some(bucket) = self.bucket(all, hash) else { return false };
        let now = self.now();
        let print = print(hash);
        for word in bucket {
            let pair = word.load(Ordering::Relaxed);
            for shift in [0, 32] {
                let ghost = pair >> shift & 0xffff_ffff;
                let is_found = ghost != 0 && ghost >> STAMP_BITS == print;
                if is_found && age(ghost, now) * self.quantum <= self.window {
                    word.store(pair & !(0xffff_ffff << shift), Ordering::Relaxed);
                    return true;
                }
            }
        }
        false
    }

    fn now(&self) -> u64 {
        self.added / self.quantum % STAMPS
    }

    fn bucket<'a>(&self, all: &'a Blocks, hash: u64) -> Option<&'a [AtomicU64]> {
        let bucket = ((hash & 0xffff_ffff) * self.buckets) >> 32;
        let (part, at) = all.split(Place(bucket * 8));
        let block = self.blocks.get(part as usize)?;
        Some(&all.words(*block)[at..at + 8])
    }
}

/// Entries for which a block has ghosts enough, with a third more places than ghosts: so few buckets
/// overflow.
fn entries_per_block(all: &Blocks) -> u64 {
    all.block_words() as u64 * 2 * 3 / 4 * 10 / GHOSTS_PER_TEN
}

/// How many stamps ago a ghost was added.
fn age(ghost: u64, now: u64) -> u64 {
    let stamp = (ghost & STAMPS) - 1;
    if stamp <= now { now - stamp } else { now + STAMPS - stamp }
}

/// Bits of the hash that the choice of the bucket does not use.
fn print(hash: u64) -> u64 {
    hash >> 32 & ((1 << PRINT_BITS) - 1)
}
