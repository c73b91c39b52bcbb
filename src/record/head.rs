//! The head of a record: what is known of it before its bytes.

use super::NewEntry;
use crate::entry::{Key, MediaType, Millis, Slot, Version};
use crate::limits::MEDIA_TYPE_BYTES_MAX;

/// Most words of a head.
pub(crate) const HEAD_WORDS_MAX: usize = 4;

/// Which word is the deadline, if there is one.
pub(super) const DEADLINE_WORD: usize = 2;

const KEY_BITS: u32 = 16;
const VALUE_BITS: u32 = 27;
const MEDIA_SHIFT: u32 = KEY_BITS + VALUE_BITS;
const ENDS: u64 = 1 << (MEDIA_SHIFT + 2);
const EXTRAS: u64 = 1 << (MEDIA_SHIFT + 3);
const TOMBSTONE: u64 = 1 << (MEDIA_SHIFT + 4);
const SLOT_SHIFT: u32 = MEDIA_SHIFT + 5;
const SLOT_BITS: u32 = 14;
const MEDIA_OTHER: u8 = 3;
const VALUE_LEN_MAX: usize = (1 << VALUE_BITS) - 1;

/// What is known of a record before its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) is_tombstone: bool,
    slot: u16,
    key_len: u16,
    value_len: u32,
    media: u8,
    namespace_len: u8,
    media_len: u8,
    tags_len: u16,
    /// Words of the head itself and of the whole record, worked out once: a write asks a dozen times.
    len: u8,
    words: u32,
}

/// The parts of the packed word that are a media type's.
fn pack_media(media: &MediaType) -> Option<(u8, u8)> {
    match media {
        MediaType::Bytes => Some((0, 0)),
        MediaType::Json => Some((1, 0)),
        MediaType::Text => Some((2, 0)),
        // A type of no name is one that was not given.
        MediaType::Other(text) => match text.len() {
            0 => Some((0, 0)),
            len @ 1..=MEDIA_TYPE_BYTES_MAX => Some((MEDIA_OTHER, len as u8)),
            _ => None,
        },
    }
}

impl Head {
    /// The head of a new record; `None` if a length is over what a head can say.
    pub(crate) fn new(key: &Key, new: &NewEntry<'_>, version: Version) -> Option<Self> {
        let (media, media_len) = pack_media(new.media)?;
        if VALUE_LEN_MAX < new.value.len() {
            return None;
        }
        let head = Self {
            value_len: new.value.len() as u32,
            media,
            media_len,
            tags_len: u16::try_from(new.tags.as_bytes().len()).ok()?,
            ..Self::of_name(key, version, new.expires_at)
        };
        Some(head.measured())
    }

    /// The head of a record that only says, until `until`, that its key was deleted.
    pub(crate) fn tombstone(key: &Key, version: Version, until: Millis) -> Self {
        Self { is_tombstone: true, ..Self::of_name(key, version, Some(until)) }.measured()
    }

    fn of_name(key: &Key, version: Version, expires_at: Option<Millis>) -> Self {
        Self {
            version,
            expires_at,
            slot: key.slot().0,
            key_len: key.as_bytes().len() as u16,
            namespace_len: key.namespace().as_bytes().len() as u8,
            ..Self::default()
        }
    }

    /// Reads a head out of the words that `word` gives; `None` if one is missing.
    #[inline]
    pub(crate) fn read(word: impl Fn(usize) -> Option<u64>) -> Option<Self> {
        let packed = word(1)?;
        let mut head = Self {
            version: Version(word(0)?),
            is_tombstone: packed & TOMBSTONE != 0,
            slot: (packed >> SLOT_SHIFT) as u16 & ((1 << SLOT_BITS) - 1),
            key_len: packed as u16,
            value_len: (packed >> KEY_BITS) as u32 & VALUE_LEN_MAX as u32,
            media: (packed >> MEDIA_SHIFT) as u8 & 3,
            ..Self::default()
        };
        let mut at = DEADLINE_WORD;
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
        Some(head.measured())
    }

    /// Gives the words of the head to `put`, in order.
    #[inline]
    pub(crate) fn write(&self, mut put: impl FnMut(u64)) {
        let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        put(self.version.0);
        put(u64::from(self.key_len)
            | u64::from(self.value_len) << KEY_BITS
            | u64::from(self.media) << MEDIA_SHIFT
            | flag(self.expires_at.is_some(), ENDS)
            | flag(self.has_extras(), EXTRAS)
            | flag(self.is_tombstone, TOMBSTONE)
            | u64::from(self.slot) << SLOT_SHIFT);
        if let Some(at) = self.expires_at {
            put(at.0);
        }
        if self.has_extras() {
            let (namespace, media) = (u64::from(self.namespace_len), u64::from(self.media_len));
            put(namespace | media << 8 | u64::from(self.tags_len) << 16);
        }
    }

    /// Whether a record may be like this: what it does not need is not there.
    pub(super) fn is_sound(&self) -> bool {
        let has_media = self.media == MEDIA_OTHER;
        let is_bare = self.value_len == 0 && self.media == 0 && self.tags_len == 0;
        let is_grave = is_bare && self.expires_at.is_some();
        has_media == (0 < self.media_len) && (is_grave || !self.is_tombstone)
    }

    fn has_extras(&self) -> bool {
        0 < self.namespace_len | self.media_len || 0 < self.tags_len
    }

    /// The same with its own words and those of the whole record.
    #[inline]
    fn measured(mut self) -> Self {
        self.len = 2 + u8::from(self.expires_at.is_some()) + u8::from(self.has_extras());
        self.words = (self.value_at() + self.value_len()).div_ceil(8) as u32;
        self
    }

    /// Words of the whole record.
    pub(crate) fn words(&self) -> usize {
        self.words as usize
    }

    /// The slot of the key.
    pub(crate) fn slot(&self) -> Slot {
        Slot(self.slot)
    }

    /// Bytes of the key without its namespace.
    pub(crate) fn key_len(&self) -> usize {
        self.key_len.into()
    }

    /// Bytes of the name of the namespace.
    pub(crate) fn namespace_len(&self) -> usize {
        self.namespace_len.into()
    }

    /// Bytes of the tags as they lie.
    pub(crate) fn tags_len(&self) -> usize {
        self.tags_len.into()
    }

    /// Bytes of the value.
    pub(crate) fn value_len(&self) -> usize {
        self.value_len as usize
    }

    /// The media type, whose text `text` gives from its beginning and length.
    #[inline]
    pub(crate) fn media(&self, text: impl FnOnce(usize, usize) -> bytes::Bytes) -> MediaType {
        match self.media {
            0 => MediaType::Bytes,
            1 => MediaType::Json,
            2 => MediaType::Text,
            _ => MediaType::Other(text(self.media_at(), self.media_len.into())),
        }
    }

    /// Where the namespace begins in the record, in bytes; the key, the text of the media type, the
    /// tags and the value follow.
    pub(crate) fn namespace_at(&self) -> usize {
        usize::from(self.len) * 8
    }

    /// Where the key begins.
    pub(crate) fn key_at(&self) -> usize {
        self.namespace_at() + self.namespace_len()
    }

    fn media_at(&self) -> usize {
        self.key_at() + self.key_len()
    }

    /// Where the tags begin.
    pub(crate) fn tags_at(&self) -> usize {
        self.media_at() + usize::from(self.media_len)
    }

    /// Where the value begins.
    pub(crate) fn value_at(&self) -> usize {
        self.tags_at() + self.tags_len()
    }

    /// Whether the record has ended at `now`.
    pub(crate) fn is_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
