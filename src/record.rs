//! One image of an entry: log, handoff and disk carry the same bytes.
//!
//! | words | what |
//! |---|---|
//! | 1 | version |
//! | 1 | length of the key (16 bits) and of the value (27), media type (2), ends (1), has extras (1), tombstone (1), slot (14), 0 |
//! | 0 or 1 | deadline, if it ends: see below |
//! | 0 or 1 | lengths of namespace (8), media type (8) and tags (16), if any is set |
//! | rest | namespace, key, media type, tags, value, back to back; zeros up to the last word |
//!
//! Words are little-endian. The slot is in the head so that a scan, an eviction and the journal know
//! it without the key. There is one image of each entry and no other: what says the same in another
//! way is refused, so that images can be compared and summed up.
//!
//! The deadline is a time by the steady clock of this process, in milliseconds, and means nothing to any
//! other, a later one of this node included. So what leaves the process has **what is left** of it in
//! its place, and whoever takes it in adds its own time. Nothing else differs. It is sealed: the image
//! and eight bytes of the checksum of that. Who keeps sealed images, as a disk does, has to keep with
//! them when they were sealed, and how long ago that is.

mod head;
mod pack;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use head::DEADLINE_WORD;
pub(crate) use head::{HEAD_WORDS_MAX, Head};
pub(crate) use pack::write;

use crate::entry::{Entry, Key, MediaType, Millis, NameError, Namespace, Slot, Tags, Version};

/// Bytes of the checksum behind a sealed image.
const SEAL_BYTES: usize = 8;

/// What is known of a key, as one piece of bytes: an entry or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    bytes: Bytes,
}

/// What is to be put under a key.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// The bytes themselves.
    pub value: &'a [u8],
    /// What the bytes are.
    pub media: &'a MediaType,
    /// When it ends; `None` for never.
    pub expires_at: Option<Millis>,
    /// Under which names it can be found besides its key.
    pub tags: &'a Tags,
}

/// Why bytes are no record. Nothing was done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// They are not whole words, or not as many as their lengths say.
    #[error("record has another length than it says")]
    Length,
    /// The head, the media type or the padding is not as a record has it.
    #[error("record is not in the one form that an entry has")]
    Form,
    /// The version is of a time that no clock shows.
    #[error("record has a version that no clock gives")]
    Version,
    /// The key, the namespace or the tags are none.
    #[error("record is invalid: {0}")]
    Name(#[from] NameError),
    /// The slot is not that of the key.
    #[error("record names another slot than that of its key")]
    Slot,
    /// The checksum is not that of the bytes.
    #[error("record is damaged: its checksum differs")]
    Checksum,
    /// A value or a media type is over what a record can say.
    #[error("entry is too large for a record")]
    TooLarge,
}

impl<'a> NewEntry<'a> {
    /// Bytes of no particular type that never end.
    #[must_use]
    pub fn of(value: &'a [u8]) -> Self {
        Self { value, media: &MediaType::Bytes, expires_at: None, tags: Tags::none() }
    }
}

impl Record {
    /// The record of an entry of that version.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`] if the value or the media type is over what a record can say.
    pub fn new(key: &Key, new: &NewEntry<'_>, version: Version) -> Result<Self, RecordError> {
        let head = Head::new(key, new, version).ok_or(RecordError::TooLarge)?;
        Ok(Self::of_parts(&head, key, new))
    }

    /// The record that says, until `until`, that a write of that version deleted `key`.
    #[must_use]
    pub fn tombstone(key: &Key, version: Version, until: Millis) -> Self {
        let head = Head::tombstone(key, version, until);
        Self::of_parts(&head, key, &NewEntry::of(&[]))
    }

    fn of_parts(head: &Head, key: &Key, new: &NewEntry<'_>) -> Self {
        let mut bytes = Vec::with_capacity(head.words() * 8);
        write(head, key, new, |word| bytes.extend_from_slice(&word.to_le_bytes()));
        Self { bytes: bytes.into() }
    }

    /// What a table holds: checked before it was written.
    pub(crate) fn from_log(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into() }
    }

    /// Checks everything of an image that came from elsewhere.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if it is not exactly what [`Self::new`] or [`Self::tombstone`] makes of some
    /// entry. The slot is worked out from the key, never believed.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, RecordError> {
        let record = Self { bytes };
        let is_whole = record.bytes.len().is_multiple_of(8);
        let head = record.read_head().filter(|_| is_whole).ok_or(RecordError::Length)?;
        if head.words() * 8 != record.bytes.len() {
            return Err(RecordError::Length);
        }
        if !head.is_sound() || !record.is_written_as(&head) {
            return Err(RecordError::Form);
        }
        if !head.version.is_possible() {
            return Err(RecordError::Version);
        }
        record.check_names(&head)?;
        Ok(record)
    }

    /// Whether the head is written as it is here and the last word is filled up with zeros.
    fn is_written_as(&self, head: &Head) -> bool {
        let mut words = self.words();
        let mut is_same = true;
        head.write(|word| is_same &= words.next() == Some(word));
        let padding = self.bytes.get(head.value_at() + head.value_len()..).unwrap_or_default();
        is_same && padding.iter().all(|byte| *byte == 0)
    }

    fn check_names(&self, head: &Head) -> Result<(), RecordError> {
        let name = self.part(head.namespace_at(), head.namespace_len());
        let namespace = Namespace::from_peer(name.clone())?;
        if namespace.as_bytes() != name {
            // `default` by its name is the same as no name, which is how it is written.
            return Err(RecordError::Form);
        }
        let key = Key::in_namespace(namespace, self.part(head.key_at(), head.key_len()))?;
        if key.slot() != head.slot() {
            return Err(RecordError::Slot);
        }
        Tags::check(&self.part(head.tags_at(), head.tags_len()))?;
        Ok(())
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Key {
        let head = self.head();
        let namespace = self.part(head.namespace_at(), head.namespace_len());
        Key::from_stored(namespace, self.part(head.key_at(), head.key_len()), head.slot())
    }

    /// The slot of the key.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.head().slot()
    }

    /// The version of the write that made it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head().version
    }

    /// When it ends, or is forgotten if it is a tombstone; `None` for never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Millis> {
        self.head().expires_at
    }

    /// Whether it says that the key was deleted.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.head().is_tombstone
    }

    /// The entry, whether or not it has ended; `None` if it is a tombstone.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        let head = self.head();
        (!head.is_tombstone).then(|| Entry {
            value: self.part(head.value_at(), head.value_len()),
            media: head.media(|from, len| self.part(from, len)),
            version: head.version,
            expires_at: head.expires_at,
            tags: Tags::from_stored(self.part(head.tags_at(), head.tags_len())),
        })
    }

    /// The image.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends the image and its checksum to `out`, as it leaves the process at `now`: with what is left
    /// of its deadline.
    pub fn seal(&self, now: Millis, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        set_deadline(&mut out[begin..], |deadline| deadline.left(now));
        let seal = xxh3_64(&out[begin..]);
        out.extend_from_slice(&seal.to_le_bytes());
    }

    /// Opens at `now` what [`Self::seal`] made.
    ///
    /// # Errors
    ///
    /// [`RecordError::Length`] if there is no room for a checksum, [`RecordError::Checksum`] if it
    /// differs, and otherwise as [`Self::from_bytes`].
    pub fn unseal(sealed: &[u8], now: Millis) -> Result<Self, RecordError> {
        let (image, seal) = sealed.split_last_chunk::<SEAL_BYTES>().ok_or(RecordError::Length)?;
        if *seal != xxh3_64(image).to_le_bytes() {
            return Err(RecordError::Checksum);
        }
        let mut image = image.to_vec();
        set_deadline(&mut image, |Millis(left)| now.in_millis(left).0);
        Self::from_bytes(image.into())
    }

    /// The image word by word.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
    }

    /// The head; every record has one.
    pub(crate) fn head(&self) -> Head {
        self.read_head().unwrap_or_default()
    }

    fn read_head(&self) -> Option<Head> {
        read_head(&self.bytes)
    }

    /// Some bytes of the image, which share its memory.
    fn part(&self, from: usize, len: usize) -> Bytes {
        if len == 0 { Bytes::new() } else { self.bytes.slice(from..from + len) }
    }
}

fn read_head(image: &[u8]) -> Option<Head> {
    let (words, _) = image.as_chunks::<8>();
    Head::read(|at| words.get(at).map(|word| u64::from_le_bytes(*word)))
}

/// Puts something else in the place of the deadline of an image, if it has one.
fn set_deadline(image: &mut [u8], change: impl FnOnce(Millis) -> u64) {
    let deadline = read_head(image).and_then(|head| head.expires_at);
    let word = image.as_chunks_mut::<8>().0.get_mut(DEADLINE_WORD);
    if let (Some(deadline), Some(word)) = (deadline, word) {
        *word = change(deadline).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::VERSION_MILLIS_MAX;

    fn media() -> impl Strategy<Value = MediaType> {
        let other = prop::collection::vec(any::<u8>(), 1..=255);
        prop_oneof![
            Just(MediaType::Bytes),
            Just(MediaType::Json),
            Just(MediaType::Text),
            other.prop_map(|text| MediaType::Other(text.into())),
        ]
    }

    fn key() -> impl Strategy<Value = Key> {
        let namespace = prop_oneof![
            Just(Namespace::default()),
            "[a-z]{1,64}".prop_map(|name| Namespace::new(&name).unwrap()),
        ];
        let bytes = prop::collection::vec(any::<u8>(), 1..80);
        (namespace, bytes).prop_map(|(name, bytes)| Key::in_namespace(name, bytes).unwrap())
    }

    fn version() -> impl Strategy<Value = u64> {
        0..=Version::at(Millis(VERSION_MILLIS_MAX)).0
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let bytes = |len| prop::collection::vec(any::<u8>(), len);
        let tags = prop::collection::vec(bytes(1..40), 0..4);
        let ends = prop::option::of(any::<u64>().prop_map(Millis));
        (bytes(0..100), media(), version(), ends, tags).prop_map(
            |(value, media, version, expires_at, tags)| Entry {
                value: value.into(),
                media,
                version: Version(version),
                expires_at,
                tags: Tags::new(tags.iter().map(Vec::as_slice)).unwrap(),
            },
        )
    }

    fn record_of(key: &Key, entry: &Entry) -> Record {
        let Entry { value, media, version, expires_at, tags } = entry;
        let new = NewEntry { value, media, expires_at: *expires_at, tags };
        Record::new(key, &new, *version).unwrap()
    }

    /// What a record says, written once more.
    fn again(record: &Record) -> Record {
        let tombstone =
            || Record::tombstone(&record.key(), record.version(), record.expires_at().unwrap());
        let entry = |entry| record_of(&record.key(), &entry);
        record.entry().map_or_else(tombstone, entry)
    }

    fn seal(record: &Record) -> Vec<u8> {
        let mut sealed = Vec::new();
        record.seal(Millis(0), &mut sealed);
        sealed
    }

    fn unseal(sealed: &[u8]) -> Result<Record, RecordError> {
        Record::unseal(sealed, Millis(0))
    }

    fn plain(key: &str) -> Vec<u8> {
        let key = Key::new(key.to_owned()).unwrap();
        let record = Record::new(&key, &NewEntry::of(b"value"), Version(1)).unwrap();
        record.as_bytes().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn an_entry_comes_back_from_its_image(key in key(), entry in entry()) {
            let record = record_of(&key, &entry);
            let unsealed = unseal(&seal(&record));
            prop_assert_eq!(unsealed.as_ref(), Ok(&record));
            prop_assert_eq!(record.key(), key.clone());
            prop_assert_eq!(record.slot(), key.slot());
            prop_assert_eq!((record.version(), record.expires_at()), (entry.version, entry.expires_at));
            prop_assert_eq!(record.entry(), Some(entry));
        }

        #[test]
        fn a_tombstone_comes_back_from_its_image(key in key(), version in version(), until: u64) {
            let record = Record::tombstone(&key, Version(version), Millis(until));
            prop_assert_eq!(unseal(&seal(&record)), Ok(record.clone()));
            prop_assert!(record.is_tombstone() && record.entry().is_none());
            prop_assert_eq!((record.key(), record.version()), (key, Version(version)));
            prop_assert_eq!(record.expires_at(), Some(Millis(until)));
        }

        #[test]
        fn what_is_left_goes_over_the_wire_however_far_clocks_are_apart(
            key in key(),
            entry in entry(),
            there: u32,
            here: u32,
            left in 0..u64::from(u32::MAX),
        ) {
            let (there, here) = (Millis(there.into()), Millis(here.into()));
            let entry = Entry { expires_at: Some(there.in_millis(left)), ..entry };
            let record = record_of(&key, &entry);
            let mut sealed = vec![7; 3];
            record.seal(there, &mut sealed);
            let again = Record::unseal(&sealed[3..], here).unwrap();
            let moved = Entry { expires_at: Some(here.in_millis(left)), ..entry };
            prop_assert_eq!(again.entry(), Some(moved));
            prop_assert_eq!(record.expires_at().map(|at| at.left(there)), Some(left));
        }

        #[test]
        fn any_flipped_bit_of_a_sealed_record_is_refused(key in key(), entry in entry()) {
            let sealed = seal(&record_of(&key, &entry));
            for bit in 0..sealed.len() * 8 {
                let mut damaged = sealed.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(unseal(&damaged).is_err(), "bit {}", bit);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_are_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unseal(&bytes);
            if let Ok(record) = Record::from_bytes(bytes.into()) {
                prop_assert_eq!(again(&record), record);
            }
        }

        #[test]
        fn a_changed_image_is_refused_or_is_the_one_image_of_what_it_says(
            key in key(),
            entry in entry(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = record_of(&key, &entry).as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(record) = Record::from_bytes(bytes.into()) {
                prop_assert_eq!(again(&record), record);
            }
        }
    }

    #[test]
    fn what_has_ended_before_it_goes_has_ended_when_it_comes() {
        let key = Key::from_static("a");
        let grave = Record::tombstone(&key, Version(1), Millis(50));
        let mut sealed = vec![];
        grave.seal(Millis(90), &mut sealed);
        let again = Record::unseal(&sealed, Millis(20)).unwrap();
        assert_eq!((again.is_tombstone(), again.expires_at()), (true, Some(Millis(20))));
    }

    #[test]
    fn a_version_that_no_clock_gives_is_refused() {
        let record = |version| {
            let record = Record::new(&Key::from_static("a"), &NewEntry::of(b"value"), version);
            Record::from_bytes(record.unwrap().bytes)
        };
        let last = Version::at(Millis(VERSION_MILLIS_MAX));
        assert!(record(last).is_ok());
        assert_eq!(record(last.after()), Err(RecordError::Version));
        assert_eq!(record(Version(u64::MAX)), Err(RecordError::Version));
    }

    #[test]
    fn a_slot_is_never_believed() {
        let mut bytes = plain("foo");
        bytes[14] ^= 1;
        assert_eq!(Record::from_bytes(bytes.into()), Err(RecordError::Slot));
    }

    #[test]
    fn what_is_longer_or_shorter_than_it_says_is_refused() {
        for len in 0..plain("foo").len() {
            let part = Bytes::from(plain("foo")[..len].to_vec());
            assert_eq!(Record::from_bytes(part), Err(RecordError::Length), "{len} bytes");
        }
        let mut longer = plain("foo");
        longer.extend_from_slice(&[0; 8]);
        assert_eq!(Record::from_bytes(longer.into()), Err(RecordError::Length));
    }

    #[test]
    fn padding_and_bits_without_a_meaning_are_zero() {
        // Three bytes of key and five of value leave no padding; four of key leave seven.
        let mut padding = plain("four");
        *padding.last_mut().unwrap() = 1;
        assert_eq!(Record::from_bytes(padding.into()), Err(RecordError::Form));
        let mut bit = plain("key");
        bit[15] |= 0x80;
        assert_eq!(Record::from_bytes(bit.into()), Err(RecordError::Form));
    }

    #[test]
    fn the_default_namespace_has_no_name_in_a_record() {
        let namespace = Namespace::new("defaulu").unwrap();
        let key = Key::in_namespace(namespace, "a").unwrap();
        let record = Record::new(&key, &NewEntry::of(b"value"), Version(1)).unwrap();
        let mut bytes = record.as_bytes().to_vec();
        assert!(Record::from_bytes(bytes.clone().into()).is_ok());
        let at = bytes.iter().position(|byte| *byte == b'u').unwrap();
        bytes[at + 2] = b't';
        bytes[at..at + 3].copy_from_slice(b"ult");
        assert_eq!(Record::from_bytes(bytes.into()), Err(RecordError::Form));
    }

    #[test]
    fn a_media_type_over_its_length_makes_no_record() {
        let media = MediaType::Other(vec![b'a'; 256].into());
        let new = NewEntry { media: &media, ..NewEntry::of(b"") };
        let key = Key::from_static("a");
        assert_eq!(Record::new(&key, &new, Version(1)), Err(RecordError::TooLarge));
    }
}
