//! How an entry lies in the log: a head of two to four words, then its bytes without gaps.
//!
//! | words | what |
//! |---|---|
//! | 1 | version |
//! | 1 | length of the key (16 bits) and of the value (27), media type (2), flags |
//! | 0 or 1 | deadline in milliseconds, if it ends |
//! | 0 or 1 | lengths of namespace (8), media type (8) and tags (16), if any is set |
//! | rest | namespace, key, media type, tags, value, back to back; zeros up to the last word |
//!
//! A record may begin in one block and go on in the next of its queue, so a value of any size is a
//! record like any other, moves through the same queues and is counted in the same blocks.

use bytes::Bytes;

use super::NewEntry;
use super::block::{BlockId, Blocks, Place};
use super::fault;
use super::sync::{AtomicU64, Ordering};
use crate::entry::{Entry, Key, MediaType, Millis, Namespace, Tags, Version};

/// Most words of a head. A record begins where at least so many are left in its block, so that a
/// head is never divided.
pub(super) const HEAD_WORDS_MAX: usize = 4;

const KEY_BITS: u32 = 16;
const VALUE_BITS: u32 = 27;
const MEDIA_SHIFT: u32 = KEY_BITS + VALUE_BITS;
const ENDS: u64 = 1 << (MEDIA_SHIFT + 2);
const EXTRAS: u64 = 1 << (MEDIA_SHIFT + 3);
const TOMBSTONE: u64 = 1 << (MEDIA_SHIFT + 4);
const MEDIA_OTHER: u8 = 3;
const VALUE_LEN_MAX: usize = (1 << VALUE_BITS) - 1;

/// What is known of a record before its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) expires_at: Option<Millis>,
    pub(super) is_tombstone: bool,
    key_len: u16,
    value_len: u32,
    media: u8,
    namespace_len: u8,
    media_len: u8,
    tags_len: u16,
}

/// A record in the blocks, as it was found.
pub(super) struct View<'a> {
    pub(super) head: Head,
    blocks: &'a Blocks,
    place: Place,
    block: BlockId,
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

impl Head {
    /// The head of a new record.
    pub(super) fn new(key: &Key, new: &NewEntry<'_>, version: Version) -> Self {
        let (media, media_len) = match new.media {
            MediaType::Bytes => (0, 0),
            MediaType::Json => (1, 0),
            MediaType::Text => (2, 0),
            MediaType::Other(text) => (MEDIA_OTHER, text.len() as u8),
        };
        Self {
            version,
            expires_at: new.expires_at,
            is_tombstone: false,
            key_len: key.as_bytes().len() as u16,
            // What is longer than 27 bits can say is longer than a table takes.
            value_len: new.value.len().min(VALUE_LEN_MAX) as u32,
            media,
            namespace_len: key.namespace().as_bytes().len() as u8,
            media_len,
            tags_len: new.tags.as_bytes().len() as u16,
        }
    }

    /// The head of a record that only says that its key was deleted.
    pub(super) fn into_tombstone(self) -> Self {
        Self { is_tombstone: true, ..self }
    }

    fn has_extras(&self) -> bool {
        0 < self.namespace_len | self.media_len || 0 < self.tags_len
    }

    /// Words of the head itself.
    fn len(&self) -> usize {
        2 + usize::from(self.expires_at.is_some()) + usize::from(self.has_extras())
    }

    /// Words of the whole record.
    pub(super) fn words(&self) -> usize {
        let names = usize::from(self.namespace_len) + usize::from(self.key_len);
        let extras = usize::from(self.media_len) + usize::from(self.tags_len);
        self.len() + (names + extras + self.value_len()).div_ceil(8)
    }

    /// Bytes of the value.
    pub(super) fn value_len(&self) -> usize {
        self.value_len as usize
    }

    /// Whether the record has ended at `now`.
    pub(super) fn is_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn read(words: &[AtomicU64]) -> Option<Self> {
        let word = |at: usize| words.get(at).map(|word| word.load(Ordering::Relaxed));
        let packed = word(1)?;
        let mut head = Self {
            version: Version(word(0)?),
            is_tombstone: packed & TOMBSTONE != 0,
            key_len: packed as u16,
            value_len: (packed >> KEY_BITS) as u32 & VALUE_LEN_MAX as u32,
            media: (packed >> MEDIA_SHIFT) as u8 & 3,
            ..Self::default()
        };
        let mut at = 2;
        if packed & ENDS != 0 {
            head.expires_at = Some(Millis(word(at)?));
            at += 1;
        }
        if packed & EXTRAS != 0 {
            let extras = word(at)?;
            head.namespace_len = extras as u8;
            head.media_len = (extras >> 8) as u8;
            head.tags_len = (extras >> 16) as u16;
        }
        Some(head)
    }

    fn write(&self, packer: &mut Packer<'_>) {
        let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        packer.word(self.version.0);
        packer.word(
            u64::from(self.key_len)
                | u64::from(self.value_len) << KEY_BITS
                | u64::from(self.media) << MEDIA_SHIFT
                | flag(self.expires_at.is_some(), ENDS)
                | flag(self.has_extras(), EXTRAS)
                | flag(self.is_tombstone, TOMBSTONE),
        );
        if let Some(at) = self.expires_at {
            packer.word(at.0);
        }
        if self.has_extras() {
            let (namespace, media) = (u64::from(self.namespace_len), u64::from(self.media_len));
            packer.word(namespace | media << 8 | u64::from(self.tags_len) << 16);
        }
    }
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
        let head = Head::read(words)?;
        let len = head.words();
        let (first, rest) = match words.get(..len) {
            Some(all) => (all, Vec::new()),
            None => (words, follow(blocks, block, len - words.len(), is_named)?),
        };
        Some(Self { head, blocks, place, block, generation, first, rest })
    }

    /// Whether all that was read so far belonged to one record.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        let is_still = |part: &Part<'_>| self.blocks.is_still(part.block, part.generation);
        self.blocks.is_still(self.block, self.generation) && self.rest.iter().all(is_still)
    }

    /// The blocks of the record, and how many of its words are in each.
    pub(super) fn parts(&self) -> impl Iterator<Item = (BlockId, usize)> + '_ {
        let rest = self.rest.iter().map(|part| (part.block, part.words.len()));
        std::iter::once((self.block, self.first.len())).chain(rest)
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
        self.block
    }

    /// Whether the record is of `key`.
    #[inline]
    pub(super) fn is_of(&self, key: &Key) -> bool {
        let namespace = key.namespace().as_bytes();
        usize::from(self.head.key_len) == key.as_bytes().len()
            && usize::from(self.head.namespace_len) == namespace.len()
            && self.is_at(self.head.len() * 8, namespace)
            && self.is_at(self.key_at(), key.as_bytes())
    }

    /// Whether the record says the same as `new`.
    pub(super) fn is_same(&self, new: &NewEntry<'_>) -> bool {
        !self.head.is_tombstone
            && self.head.expires_at == new.expires_at
            && self.head.value_len() == new.value.len()
            && usize::from(self.head.tags_len) == new.tags.as_bytes().len()
            && self.is_at(self.tags_at(), new.tags.as_bytes())
            && self.media() == *new.media
            && self.is_at(self.value_at(), new.value)
    }

    /// The key of the record.
    pub(super) fn key(&self) -> Option<Key> {
        let namespace = self.bytes(self.head.len() * 8, self.head.namespace_len.into());
        let key = self.bytes(self.key_at(), self.head.key_len.into());
        Key::in_namespace(Namespace::from_stored(namespace), key).ok()
    }

    /// The bytes of namespace and key in `scratch`, without allocating; returns where they part.
    pub(super) fn name_into(&self, scratch: &mut Vec<u8>) -> usize {
        let namespace_len = usize::from(self.head.namespace_len);
        scratch.resize(namespace_len + usize::from(self.head.key_len), 0);
        self.copy(self.head.len() * 8, scratch);
        namespace_len
    }

    /// The entry of the record, copied out.
    #[inline]
    pub(super) fn entry(&self) -> Entry {
        Entry {
            value: self.bytes(self.value_at(), self.head.value_len()),
            media: self.media(),
            version: self.head.version,
            expires_at: self.head.expires_at,
            tags: Tags::from_stored(self.bytes(self.tags_at(), self.head.tags_len.into())),
        }
    }

    fn media(&self) -> MediaType {
        match self.head.media {
            0 => MediaType::Bytes,
            1 => MediaType::Json,
            2 => MediaType::Text,
            _ => MediaType::Other(self.bytes(self.media_at(), self.head.media_len.into())),
        }
    }

    fn key_at(&self) -> usize {
        self.head.len() * 8 + usize::from(self.head.namespace_len)
    }

    fn media_at(&self) -> usize {
        self.key_at() + usize::from(self.head.key_len)
    }

    fn tags_at(&self) -> usize {
        self.media_at() + usize::from(self.head.media_len)
    }

    fn value_at(&self) -> usize {
        self.tags_at() + usize::from(self.head.tags_len)
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
        let mut packer = Packer::new(blocks, self);
        head.write(&mut packer);
        packer.bytes(key.namespace().as_bytes());
        packer.bytes(key.as_bytes());
        if let MediaType::Other(text) = new.media {
            packer.bytes(text);
        }
        packer.bytes(new.tags.as_bytes());
        packer.bytes(new.value);
        packer.finish();
    }

    /// Writes the same record once more, word by word.
    pub(super) fn copy(&self, blocks: &Blocks, view: &View<'_>) {
        let mut packer = Packer::new(blocks, self);
        for word in view.first {
            packer.word(word.load(Ordering::Relaxed));
        }
        for word in view.rest.iter().flat_map(|part| part.words) {
            packer.word(word.load(Ordering::Relaxed));
        }
    }
}

/// Writes bytes into words, over the end of a block into the next.
struct Packer<'a> {
    blocks: &'a Blocks,
    words: std::slice::Iter<'a, AtomicU64>,
    rest: std::slice::Iter<'a, (BlockId, usize)>,
    /// Bytes that do not fill a word yet, and how many.
    open: u64,
    open_len: usize,
}

impl<'a> Packer<'a> {
    fn new(blocks: &'a Blocks, run: &'a Run) -> Self {
        let (block, offset) = blocks.split(run.place);
        let words = blocks.words(block)[offset..offset + run.first_len].iter();
        Self { blocks, words, rest: run.rest.iter(), open: 0, open_len: 0 }
    }

    #[inline]
    fn word(&mut self, word: u64) {
        fault::step();
        if let Some(slot) = self.words.next() {
            return slot.store(word, Ordering::Relaxed);
        }
        if let Some((block, len)) = self.rest.next() {
            self.words = self.blocks.words(*block)[..*len].iter();
            self.word(word);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (whole, tail) = bytes.as_chunks::<8>();
        match self.open_len {
            0 => whole.iter().for_each(|chunk| self.word(u64::from_le_bytes(*chunk))),
            len => {
                for chunk in whole {
                    let word = u64::from_le_bytes(*chunk);
                    self.word(self.open | word << (8 * len));
                    self.open = word >> (64 - 8 * len);
                }
            }
        }
        for byte in tail {
            self.open |= u64::from(*byte) << (8 * self.open_len);
            self.open_len += 1;
            if self.open_len == 8 {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        if 0 < self.open_len {
            self.word(self.open);
        }
        (self.open, self.open_len) = (0, 0);
    }
}
