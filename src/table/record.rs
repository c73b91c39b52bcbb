//! How a record lies in the log: its image, word for word.
//!
//! A record may begin in one block and go on in the next of its queue, so a value of any size is a
//! record like any other, moves through the same queues and is counted in the same blocks.

use bytes::Bytes;

use super::block::{BlockId, Blocks, Place};
use super::fault;
use super::sync::{AtomicU64, Ordering};
use super::{Found, NewEntry};
use crate::entry::{Entry, Key, Tags};
use crate::limits::NAMESPACE_BYTES_MAX;
use crate::record::{self, Record};

// A record begins where at least as many words are left in its block, so that a head is never divided.
pub(super) use crate::record::{HEAD_WORDS_MAX, Head};

/// A record in the blocks, as it was found.
pub(super) struct View<'a> {
    pub(super) head: Head,
    blocks: &'a Blocks,
    place: Place,
    generation: u64,
    /// The words in the block where the record begins.
    first: &'a [AtomicU64],
    /// The words in the blocks where it goes on; empty for nearly every record.
    rest: Vec<Part<'a>>,
}

struct Part<'a> {
    block: BlockId,
    generation: u64,
    words: &'a [AtomicU64],
}

/// Room for a record that is about to be written: where it begins, and in which blocks it goes on.
pub(super) struct Run {
    pub(super) place: Place,
    /// Words in the first block.
    pub(super) first_len: usize,
    /// Further blocks and how many words each takes, from its beginning.
    pub(super) rest: Vec<(BlockId, usize)>,
}

impl<'a> View<'a> {
    /// Looks at the record at `place` while `is_named` says that a slot still names it.
    ///
    /// `None` if no slot does any more. What is read through the view counts only if
    /// [`is_whole`](Self::is_whole) says so afterwards.
    #[inline]
    pub(super) fn open(
        blocks: &'a Blocks,
        place: Place,
        is_named: impl Fn() -> bool,
    ) -> Option<Self> {
        let (block, offset) = blocks.split(place);
        let generation = blocks.generation(block);
        if !is_named() {
            return None;
        }
        let words = blocks.words(block).get(offset..)?;
        let head = Head::read(|at| words.get(at).map(|word| word.load(Ordering::Relaxed)))?;
        let len = head.words();
        let (first, rest) = match words.get(..len) {
            Some(all) => (all, Vec::new()),
            None => (words, follow(blocks, block, len - words.len(), is_named)?),
        };
        Some(Self { head, blocks, place, generation, first, rest })
    }

    /// Whether all that was read so far belonged to one record.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        let is_still = |part: &Part<'_>| self.blocks.is_still(part.block, part.generation);
        self.blocks.is_still(self.block(), self.generation) && self.rest.iter().all(is_still)
    }

    /// The blocks of the record, and how many of its words are in each.
    pub(super) fn parts(&self) -> impl Iterator<Item = (BlockId, usize)> + '_ {
        let rest = self.rest.iter().map(|part| (part.block, part.words.len()));
        std::iter::once((self.block(), self.first.len())).chain(rest)
    }

    /// The place and the generation of its block: never those of another record.
    pub(super) fn identity(&self) -> (Place, u64) {
        (self.place, self.generation)
    }

    /// Where the record begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The block in which the record begins.
    pub(super) fn block(&self) -> BlockId {
        self.blocks.split(self.place).0
    }

    /// Whether the record is of `key`.
    #[inline]
    pub(super) fn is_of(&self, key: &Key) -> bool {
        let namespace = key.namespace().as_bytes();
        self.head.key_len() == key.as_bytes().len()
            && self.head.namespace_len() == namespace.len()
            && self.is_at(self.head.namespace_at(), namespace)
            && self.is_at(self.head.key_at(), key.as_bytes())
    }

    /// Whether the record says the same as `new`.
    pub(super) fn is_same(&self, new: &NewEntry<'_>) -> bool {
        !self.head.is_tombstone
            && self.head.expires_at == new.expires_at
            && self.head.value_len() == new.value.len()
            && self.head.tags_len() == new.tags.as_bytes().len()
            && self.is_at(self.head.tags_at(), new.tags.as_bytes())
            && self.head.media(|from, len| self.bytes(from, len)) == *new.media
            && self.is_at(self.head.value_at(), new.value)
    }

    /// The key of the record.
    pub(super) fn key(&self) -> Key {
        let namespace = self.bytes(self.head.namespace_at(), self.head.namespace_len());
        let key = self.bytes(self.head.key_at(), self.head.key_len());
        Key::from_stored(namespace, key, self.head.slot())
    }

    /// The bytes of namespace and key in `scratch`, without allocating; returns where they part.
    pub(super) fn name_into(&self, scratch: &mut Vec<u8>) -> usize {
        let namespace_len = self.head.namespace_len();
        scratch.resize(namespace_len + self.head.key_len(), 0);
        self.copy(self.head.namespace_at(), scratch);
        namespace_len
    }

    /// The bytes of the namespace in `name`; fewer than there are if it is too long for it.
    #[inline]
    pub(super) fn namespace_into<'n>(&self, name: &'n mut [u8; NAMESPACE_BYTES_MAX]) -> &'n [u8] {
        let name = &mut name[..self.head.namespace_len().min(NAMESPACE_BYTES_MAX)];
        self.copy(self.head.namespace_at(), name);
        name
    }

    /// The entry of the record, copied out.
    #[inline]
    pub(super) fn entry(&self) -> Entry {
        self.entry_of(self.bytes(self.head.value_at(), self.head.value_len()))
    }

    /// The same without the value, if that has more than `bytes_max`.
    #[inline]
    pub(super) fn entry_up_to(&self, bytes_max: usize) -> Found {
        let value_bytes = self.head.value_len();
        let entry = match value_bytes <= bytes_max {
            true => self.entry(),
            false => self.entry_of(Bytes::new()),
        };
        Found { entry, value_bytes }
    }

    #[inline]
    fn entry_of(&self, value: Bytes) -> Entry {
        let head = &self.head;
        Entry {
            value,
            media: head.media(|from, len| self.bytes(from, len)),
            version: head.version,
            expires_at: head.expires_at,
            tags: Tags::from_stored(self.bytes(head.tags_at(), head.tags_len())),
        }
    }

    /// Some bytes of the value, from `from` on; fewer where it ends.
    pub(super) fn part(&self, from: usize, len: usize) -> Bytes {
        let value_bytes = self.head.value_len();
        let from = from.min(value_bytes);
        self.bytes(self.head.value_at() + from, len.min(value_bytes - from))
    }

    /// The image of the record, copied out.
    pub(super) fn record(&self) -> Record {
        Record::from_log(self.words().map(u64::to_le_bytes).collect::<Vec<_>>().into_flattened())
    }

    /// All words of the record, in order.
    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let words = self.first.iter().chain(self.rest.iter().flat_map(|part| part.words));
        words.map(|word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn bytes(&self, from: usize, len: usize) -> Bytes {
        if len == 0 {
            return Bytes::new();
        }
        if let (Some(words), 0) = (self.first.get(from / 8..(from + len) / 8), (from | len) % 8) {
            // Whole words out of one block: the usual value, and no need to clear the memory first.
            let bytes = words.iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
            return Bytes::from(bytes.collect::<Vec<_>>().into_flattened());
        }
        let mut bytes = vec![0; len];
        self.copy(from, &mut bytes);
        Bytes::from(bytes)
    }

    /// Copies the bytes from `from` on into `out`.
    #[inline]
    fn copy(&self, from: usize, out: &mut [u8]) {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let words = self.first.get(from / 8..).unwrap_or_default();
        if self.rest.is_empty() {
            return unpack(words.iter().map(load), from % 8, out);
        }
        let skip = (from / 8).saturating_sub(self.first.len());
        let rest = self.rest.iter().flat_map(|part| part.words);
        unpack(words.iter().chain(rest.skip(skip)).map(load), from % 8, out);
    }

    /// Whether the bytes from `from` on are `bytes`.
    #[inline]
    fn is_at(&self, from: usize, bytes: &[u8]) -> bool {
        let (at, shift) = (from / 8, from % 8 * 8);
        bytes.chunks(8).enumerate().all(|(i, chunk)| {
            let word = match shift {
                0 => self.word(at + i),
                _ => self.word(at + i) >> shift | self.word(at + i + 1) << (64 - shift),
            };
            word.to_le_bytes()[..chunk.len()] == *chunk
        })
    }

    /// One word of the record; 0 beyond its end.
    #[inline]
    fn word(&self, at: usize) -> u64 {
        let word = match self.first.get(at) {
            Some(word) => Some(word),
            None => {
                let (at, len) = (at - self.first.len(), self.blocks.block_words());
                self.rest.get(at / len).and_then(|part| part.words.get(at % len))
            }
        };
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

/// Finds the blocks where a record goes on that begins in `block` and has `left` more words.
#[cold]
fn follow(
    blocks: &Blocks,
    mut block: BlockId,
    mut left: usize,
    is_named: impl Fn() -> bool,
) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while 0 < left {
        block = blocks.next(block);
        if blocks.count() <= block as usize || blocks.count() < parts.len() {
            return None;
        }
        let generation = blocks.generation(block);
        let words = blocks.words(block);
        if words.is_empty() {
            return None;
        }
        let words = &words[..left.min(words.len())];
        left -= words.len();
        parts.push(Part { block, generation, words });
    }
    is_named().then_some(parts)
}

/// Fills `out` with the bytes of `words`, leaving out the first `skip` (less than 8).
#[inline]
fn unpack(mut words: impl Iterator<Item = u64>, skip: usize, out: &mut [u8]) {
    if skip == 0 {
        return fill(words, out);
    }
    let shift = skip * 8;
    let mut low = words.next().unwrap_or(0);
    // The last bytes may be in a word behind which there is none.
    let shifted = words.chain(std::iter::once(0)).map(|high| {
        let word = low >> shift | high << (64 - shift);
        low = high;
        word
    });
    fill(shifted, out);
}

/// Fills `out` with the bytes of `words`.
#[inline]
fn fill(mut words: impl Iterator<Item = u64>, out: &mut [u8]) {
    let (whole, tail) = out.as_chunks_mut::<8>();
    for (chunk, word) in whole.iter_mut().zip(words.by_ref()) {
        *chunk = word.to_le_bytes();
    }
    if !tail.is_empty() {
        let word = words.next().unwrap_or(0).to_le_bytes();
        tail.copy_from_slice(&word[..tail.len()]);
    }
}

impl Run {
    /// Writes a record: its head and all its bytes.
    pub(super) fn write(&self, blocks: &Blocks, head: &Head, key: &Key, new: &NewEntry<'_>) {
        let mut room = Room::new(blocks, self);
        // Moved in: a word is then stored through one pointer and not through two.
        record::write(head, key, new, move |word| room.put(word));
    }

    /// Writes the same record once more, word by word.
    pub(super) fn copy(&self, blocks: &Blocks, view: &View<'_>) {
        self.write_words(blocks, view.words());
    }

    /// Writes a record that is there as words.
    pub(super) fn write_words(&self, blocks: &Blocks, words: impl Iterator<Item = u64>) {
        let mut room = Room::new(blocks, self);
        words.for_each(|word| room.put(word));
    }
}

/// The words of a run, to be filled one after the other, over the end of a block into the next.
struct Room<'a> {
    blocks: &'a Blocks,
    words: std::slice::Iter<'a, AtomicU64>,
    rest: std::slice::Iter<'a, (BlockId, usize)>,
}

impl<'a> Room<'a> {
    fn new(blocks: &'a Blocks, run: &'a Run) -> Self {
        let (block, offset) = blocks.split(run.place);
        let words = blocks.words(block)[offset..offset + run.first_len].iter();
        Self { blocks, words, rest: run.rest.iter() }
    }

    #[inline]
    fn put(&mut self, word: u64) {
        fault::step();
        if let Some(slot) = self.words.next() {
            return slot.store(word, Ordering::Relaxed);
        }
        if let Some((block, len)) = self.rest.next() {
            self.words = self.blocks.words(*block)[..*len].iter();
            self.put(word);
        }
    }
}
