//! The memory of a table: equal blocks of atomic words, taken once and then reused for ever.
//!
//! Everything lives in these blocks: the log, the index, its spill groups, the ghosts. So the
//! memory of a table is the number of its blocks, nothing fragments, and a block the log gives up
//! can become a block of the index. A block is never handed back, which is what lets readers look
//! into it at any time without unsafe code; whether what they saw was whole is a question of its
//! *generation*.
//!
//! # Reading while the writer recycles
//!
//! A block's words are rewritten when it is recycled, so a reader brackets its reading with the
//! block's generation, a sequence lock over atomics (Boehm, "Can seqlocks get along with
//! programming language memory models?", 2012):
//!
//! 1. The reader loads the slot that names the record (Acquire), then the generation (Acquire),
//!    then the slot again. The slot is cleared before the generation is raised (Release), so a
//!    slot seen unchanged after generation `g` was published in `g` or later. Its Acquire makes
//!    every word of that record visible.
//! 2. It copies the words with relaxed loads.
//! 3. `fence(Acquire)`, then it loads the generation again. Had any of the loads of step 2 seen a
//!    word of a later use, the writer's `fence(Release)`, which stands between raising the
//!    generation and the first such word, would synchronize with this fence, and the reader would
//!    see the raised generation. So an unchanged generation means that all words were of one use.
//!
//! A record that goes on in further blocks is read the same way: all their generations are loaded
//! before the slot is looked at again, and all are compared at the end.

use std::sync::OnceLock;

use super::fault;
use super::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// The number of a block in its table.
pub(super) type BlockId = u32;

/// Bits of a [`Place`].
pub(super) const PLACE_BITS: u32 = 34;

/// Where a record begins: the number of a word, counted over all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u64);

/// What a block is used for, as a new writer needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing; or something only the old writer knew.
    Free,
    /// A segment of the small queue, with its place in the order of all segments.
    Small(u64),
    /// A segment of the main queue.
    Main(u64),
    /// A segment of tombstones.
    Tombs(u64),
    /// Buckets, spill groups or ghosts.
    Fixed,
}

/// All blocks of a table.
pub(super) struct Blocks {
    words: Box<[OnceLock<Box<[AtomicU64]>>]>,
    /// Raised whenever a block is recycled. Apart from `notes`: readers look here all the time.
    generations: Box<[AtomicU64]>,
    /// Where the last record of a segment goes on.
    nexts: Box<[AtomicU32]>,
    notes: Box<[Note]>,
    words_log2: u32,
}

/// What the writer keeps of a segment, where a later writer finds it.
struct Note {
    role: AtomicU64,
    /// Words in use; everything beyond is not part of any record.
    fill: AtomicU32,
    /// Where the first record begins that begins here.
    first: AtomicU32,
    /// The record that began earlier and goes on here, while it is alive; 0 for none.
    over: AtomicU64,
}

impl Blocks {
    /// Bytes of bookkeeping per block, of readers and writer together.
    pub(super) const FIXED_BYTES: usize = 96;

    pub(super) fn new(count: usize, words: usize) -> Self {
        let note = || Note {
            role: AtomicU64::new(0),
            fill: AtomicU32::new(0),
            first: AtomicU32::new(0),
            over: AtomicU64::new(0),
        };
        Self {
            words: (0..count).map(|_| OnceLock::new()).collect(),
            generations: (0..count).map(|_| AtomicU64::new(0)).collect(),
            nexts: (0..count).map(|_| AtomicU32::new(0)).collect(),
            notes: (0..count).map(|_| note()).collect(),
            words_log2: words.trailing_zeros(),
        }
    }

    /// How many blocks there may be.
    pub(super) fn count(&self) -> usize {
        self.words.len()
    }

    /// Words in a block, a power of two.
    pub(super) fn block_words(&self) -> usize {
        1 << self.words_log2
    }

    /// Blocks that so many words fill, the last one perhaps in part.
    pub(super) fn blocks_for(&self, words: usize) -> usize {
        (words + self.block_words() - 1) >> self.words_log2
    }

    /// Where word `offset` of `block` is.
    pub(super) fn place(&self, block: BlockId, offset: usize) -> Place {
        Place((u64::from(block) << self.words_log2) + offset as u64)
    }

    /// The block and the word in it.
    pub(super) fn split(&self, place: Place) -> (BlockId, usize) {
        let offset = place.0 & ((1 << self.words_log2) - 1);
        ((place.0 >> self.words_log2) as BlockId, offset as usize)
    }

    /// The words of a block; none if there is no such block yet.
    #[inline]
    pub(super) fn words(&self, block: BlockId) -> &[AtomicU64] {
        match self.words.get(block as usize).and_then(OnceLock::get) {
            Some(words) => words,
            None => &[],
        }
    }

    /// Makes sure that a block has its memory.
    pub(super) fn make(&self, block: BlockId) {
        let words = self.block_words();
        self.words[block as usize].get_or_init(|| (0..words).map(|_| AtomicU64::new(0)).collect());
    }

    /// How many blocks have their memory.
    pub(super) fn made(&self) -> usize {
        self.words.iter().take_while(|block| block.get().is_some()).count()
    }

    /// The generation to remember before the words are read. Step 1 above.
    #[inline]
    pub(super) fn generation(&self, block: BlockId) -> u64 {
        self.generations[block as usize].load(Ordering::Acquire)
    }

    /// Whether everything read from `block` since [`generation`](Self::generation) was of one use.
    #[inline]
    pub(super) fn is_still(&self, block: BlockId, generation: u64) -> bool {
        fence(Ordering::Acquire);
        self.generations[block as usize].load(Ordering::Relaxed) == generation
    }

    /// Takes a block out of use. No slot may name a record in it any more.
    pub(super) fn retire(&self, block: BlockId) {
        let at = block as usize;
        fault::step();
        self.set_role(block, Role::Free);
        self.notes[at].over.store(0, Ordering::Relaxed);
        let raised = self.generations[at].load(Ordering::Relaxed) + 1;
        // Release: whoever sees the raised generation sees the slots cleared before.
        self.generations[at].store(raised, Ordering::Release);
        fault::step();
    }

    /// Takes a block into use as a segment. Its words may be written from here on.
    pub(super) fn open(&self, block: BlockId, role: Role) {
        self.make(block);
        let note = &self.notes[block as usize];
        note.fill.store(0, Ordering::Relaxed);
        note.first.store(self.block_words() as u32, Ordering::Relaxed);
        note.over.store(0, Ordering::Relaxed);
        fault::step();
        self.set_role(block, role);
        // Between the raised generation and every word of the new use: step 3 above. Here and not
        // where it was raised, because that may have been another thread.
        fence(Ordering::Release);
    }

    pub(super) fn role(&self, block: BlockId) -> Role {
        let word = self.notes[block as usize].role.load(Ordering::Relaxed);
        match word & 7 {
            1 => Role::Small(word >> 3),
            2 => Role::Main(word >> 3),
            3 => Role::Fixed,
            4 => Role::Tombs(word >> 3),
            _ => Role::Free,
        }
    }

    pub(super) fn set_role(&self, block: BlockId, role: Role) {
        let word = match role {
            Role::Free => 0,
            Role::Small(order) => order << 3 | 1,
            Role::Main(order) => order << 3 | 2,
            Role::Fixed => 3,
            Role::Tombs(order) => order << 3 | 4,
        };
        self.notes[block as usize].role.store(word, Ordering::Relaxed);
    }

    /// Words in use in a segment.
    pub(super) fn fill(&self, block: BlockId) -> usize {
        self.notes[block as usize].fill.load(Ordering::Relaxed) as usize
    }

    pub(super) fn set_fill(&self, block: BlockId, words: usize) {
        self.notes[block as usize].fill.store(words as u32, Ordering::Relaxed);
    }

    /// Where the first record begins in a segment; its end if none does.
    pub(super) fn first(&self, block: BlockId) -> usize {
        self.notes[block as usize].first.load(Ordering::Relaxed) as usize
    }

    pub(super) fn set_first(&self, block: BlockId, offset: usize) {
        self.notes[block as usize].first.store(offset as u32, Ordering::Relaxed);
    }

    /// The living record that began earlier and goes on in this segment.
    pub(super) fn over(&self, block: BlockId) -> Option<Place> {
        match self.notes[block as usize].over.load(Ordering::Relaxed) {
            0 => None,
            place => Some(Place(place)),
        }
    }

    pub(super) fn set_over(&self, block: BlockId, place: Option<Place>) {
        let word = place.map_or(0, |place| place.0);
        self.notes[block as usize].over.store(word, Ordering::Relaxed);
    }

    /// Where the last record of a segment goes on.
    pub(super) fn next(&self, block: BlockId) -> BlockId {
        self.nexts[block as usize].load(Ordering::Relaxed)
    }

    pub(super) fn set_next(&self, block: BlockId, next: BlockId) {
        self.nexts[block as usize].store(next, Ordering::Relaxed);
    }
}
