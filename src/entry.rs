//! What the cache holds: keys, values, versions and the time they end.
//!
//! Everything here is plain data. Time comes in as an argument, so that whatever is decided from it
//! can be repeated.

mod form;
mod slot;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use crate::clock::Millis;
pub use slot::{SLOTS, Slot};

pub(crate) use form::{left, octets};
use slot::slot_of;

use crate::limits::{
    CLOCK_SKEW_MAX, KEY_BYTES_MAX, NAMESPACE_BYTES_MAX, TAG_BYTES_MAX, TAGS_BYTES_MAX,
    VERSION_MILLIS_MAX,
};

/// The name of an entry: 1 to [`KEY_BYTES_MAX`] bytes, in a namespace.
///
/// Two keys are the same only if namespace and bytes are the same. A key knows its [`Slot`], so that
/// it is worked out once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    namespace: Namespace,
    bytes: Bytes,
    slot: Slot,
}

/// The name of a key space: 1 to [`NAMESPACE_BYTES_MAX`] of `A-Z a-z 0-9 . _ -`.
///
/// `default` is the one used by every door whose protocol names none; it is kept as the empty
/// string, so that the usual case costs no bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Bytes);

/// Why bytes cannot be a key or a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The key has no bytes.
    #[error("key is empty; allowed: 1 to {KEY_BYTES_MAX} bytes")]
    KeyEmpty,
    /// The key is over its limit.
    #[error("key has {0} bytes; allowed: 1 to {KEY_BYTES_MAX}")]
    KeyTooLong(usize),
    /// The namespace is empty, too long or holds another character.
    #[error(
        "namespace is invalid; allowed: 1 to {NAMESPACE_BYTES_MAX} of A-Z a-z 0-9 . _ -, not . and .."
    )]
    Namespace,
    /// A tag is empty or too long, or all together are.
    #[error("tags are invalid; allowed: each 1 to {TAG_BYTES_MAX} bytes, {TAGS_BYTES_MAX} in all")]
    Tags,
}

/// Names under which an entry can be found together with others, besides its key.
///
/// Each one is a byte of length and its bytes, as a table holds them; none costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Bytes);

/// The order of writes: a hybrid logical clock of 48 bits of milliseconds and 16 of counter.
///
/// Kulkarni and others, "Logical Physical Clocks" (OPODIS 2014), over the cluster's time. Versions of
/// one key only grow, and so do those of one shard, but for writes over what a wrong clock has
/// stamped: a version more than [`CLOCK_SKEW_MAX`] ahead is followed by writes to its own key alone.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version(pub u64);

/// What the bytes of a value are, as HTTP's `Content-Type` names it.
///
/// The usual types are one byte in a table; any other is carried as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MediaType {
    /// `application/octet-stream`, also for values whose type was never given.
    #[default]
    Bytes,
    /// `application/json`.
    Json,
    /// `text/plain; charset=utf-8`.
    Text,
    /// Any other, at most [`MEDIA_TYPE_BYTES_MAX`](crate::limits::MEDIA_TYPE_BYTES_MAX) bytes. Of bytes
    /// that are coded (`Content-Encoding`) it is the name of what they are once they are not, a zero,
    /// and how they are: so nothing that knows no codings takes them for what they are not.
    Other(Bytes),
}

/// A value and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The bytes themselves.
    #[serde(with = "octets")]
    pub value: Bytes,
    /// What the bytes are.
    pub media: MediaType,
    /// When it was written, in the order of its shard.
    pub version: Version,
    /// When it ends; `None` for never.
    #[serde(with = "left")]
    pub expires_at: Option<Millis>,
    /// Under which names it can be found besides its key.
    pub tags: Tags,
}

impl Key {
    /// A key in the default namespace.
    ///
    /// # Errors
    ///
    /// [`NameError`] if `bytes` is empty or over [`KEY_BYTES_MAX`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, NameError> {
        Self::in_namespace(Namespace::default(), bytes)
    }

    /// A key in `namespace`.
    ///
    /// # Errors
    ///
    /// [`NameError`] if `bytes` is empty or over [`KEY_BYTES_MAX`].
    pub fn in_namespace(namespace: Namespace, bytes: impl Into<Bytes>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => Err(NameError::KeyEmpty),
            1..=KEY_BYTES_MAX => {
                let slot = slot_of(&bytes);
                Ok(Self { namespace, bytes, slot })
            }
            len => Err(NameError::KeyTooLong(len)),
        }
    }

    /// A key of ours in the default namespace.
    ///
    /// # Panics
    ///
    /// If `name` is empty or over [`KEY_BYTES_MAX`].
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(!name.is_empty() && name.len() <= KEY_BYTES_MAX);
        let slot = slot_of(name.as_bytes());
        let bytes = Bytes::from_static(name.as_bytes());
        Self { namespace: Namespace(Bytes::new()), bytes, slot }
    }

    /// Bytes of the key with its namespace.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(&self) -> usize {
        self.namespace.0.len() + self.bytes.len()
    }

    /// A key that was checked, and whose slot was worked out, before it was stored.
    pub(crate) fn from_stored(namespace: Bytes, bytes: Bytes, slot: Slot) -> Self {
        Self { namespace: Namespace(namespace), bytes, slot }
    }

    /// The bytes of the key, without its namespace.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part of the key space this key is in, whatever its namespace.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The key space this key is in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

impl Namespace {
    /// Checks a namespace as a client names it.
    ///
    /// # Errors
    ///
    /// [`NameError::Namespace`] if it is empty, over [`NAMESPACE_BYTES_MAX`], holds a character
    /// other than `A-Z a-z 0-9 . _ -`, or is `.` or `..`, which a path cannot name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        match name {
            "." | ".." => Err(NameError::Namespace),
            name => Self::of_characters(name),
        }
    }

    fn of_characters(name: &str) -> Result<Self, NameError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || NAMESPACE_BYTES_MAX < name.len() || !name.bytes().all(is_allowed) {
            return Err(NameError::Namespace);
        }
        if name == "default" {
            return Ok(Self::default());
        }
        Ok(Self(Bytes::copy_from_slice(name.as_bytes())))
    }

    /// Checks a namespace as [`Self::as_bytes`] gives it, from another node.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], but that a peer may have what was allowed once; the empty name is `default`.
    pub fn from_peer(bytes: Bytes) -> Result<Self, NameError> {
        if bytes.is_empty() {
            return Ok(Self(bytes));
        }
        let name = std::str::from_utf8(&bytes).map_err(|_| NameError::Namespace)?;
        Self::of_characters(name)
    }

    /// The bytes of the name; empty for `default`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Namespace {
    /// As a client names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bytes() {
            [] => f.write_str("default"),
            name => f.write_str(&String::from_utf8_lossy(name)),
        }
    }
}

impl Tags {
    /// Checks and packs `tags`.
    ///
    /// # Errors
    ///
    /// [`NameError::Tags`] if one is empty or over [`TAG_BYTES_MAX`], or all together with their
    /// lengths are over [`TAGS_BYTES_MAX`].
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NameError> {
        let mut packed = Vec::new();
        for tag in tags {
            let len = u8::try_from(tag.len()).map_err(|_| NameError::Tags)?;
            if len == 0 || TAGS_BYTES_MAX < packed.len() + 1 + tag.len() {
                return Err(NameError::Tags);
            }
            packed.push(len);
            packed.extend_from_slice(tag);
        }
        Ok(Self(packed.into()))
    }

    /// Whether `packed` is what [`Self::as_bytes`] gives of some tags.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(crate) fn check(packed: &[u8]) -> Result<(), NameError> {
        if TAGS_BYTES_MAX < packed.len() {
            return Err(NameError::Tags);
        }
        let mut left = packed;
        while let Some((len, rest)) = left.split_first() {
            let len = usize::from(*len);
            left = rest.get(len..).filter(|_| 0 < len).ok_or(NameError::Tags)?;
        }
        Ok(())
    }

    /// No tags.
    #[must_use]
    pub fn none() -> &'static Self {
        static NONE: Tags = Tags(Bytes::new());
        &NONE
    }

    /// The tags one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut left: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (len, rest) = left.split_first()?;
            let (tag, rest) = rest.split_at_checked(usize::from(*len))?;
            left = rest;
            Some(tag)
        })
    }

    /// The tags as a table holds them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tags that were checked before they were stored.
    pub(crate) fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl MediaType {
    /// The name of a type whose bytes are plain, as `Content-Type` has it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Bytes => b"application/octet-stream",
            Self::Json => b"application/json",
            Self::Text => b"text/plain; charset=utf-8",
            Self::Other(text) => text.split(|byte| *byte == 0).next().unwrap_or_default(),
        }
    }

    /// How the bytes are coded, as `Content-Encoding` has it; `None` if they are not.
    #[must_use]
    pub fn coding(&self) -> Option<&[u8]> {
        match self {
            Self::Other(text) => {
                let at = text.iter().position(|byte| *byte == 0)?;
                Some(&text[at + 1..])
            }
            Self::Bytes | Self::Json | Self::Text => None,
        }
    }

    /// The type of bytes of this type that are coded.
    #[must_use]
    pub fn coded(&self, coding: &[u8]) -> Self {
        Self::Other([self.name(), b"\0", coding].concat().into())
    }
}

impl Version {
    const COUNTER_BITS: u32 = 16;

    /// The first version of a time.
    #[must_use]
    pub fn at(time: Millis) -> Self {
        Self(time.0.min(u64::MAX >> Self::COUNTER_BITS) << Self::COUNTER_BITS)
    }

    /// The version after `self` for a write at `time`: never smaller, whatever the clock does.
    #[must_use]
    pub fn next(self, time: Millis) -> Self {
        Self::at(time).max(self.after())
    }

    /// The least version that is greater; the greatest there is has none.
    #[must_use]
    pub fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether later versions are to be greater than this one at `time`: not if it is so far ahead
    /// that the clock which gave it must be wrong.
    #[must_use]
    pub fn is_credible(self, time: Millis) -> bool {
        self <= Self::at(time.after(CLOCK_SKEW_MAX))
    }

    /// Whether it is of a time that a clock may show, right or wrong.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self <= Self::at(Millis(VERSION_MILLIS_MAX))
    }

    /// The part that is a time: the cluster's when it was given.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.0 >> Self::COUNTER_BITS)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Entry {
    /// Whether the entry has ended at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_between_one_and_the_most_bytes() {
        assert_eq!(Key::new(""), Err(NameError::KeyEmpty));
        assert!(Key::new(vec![7; KEY_BYTES_MAX]).is_ok());
        let over = Key::new(vec![7; KEY_BYTES_MAX + 1]);
        assert_eq!(over, Err(NameError::KeyTooLong(KEY_BYTES_MAX + 1)));
    }

    #[test]
    fn a_namespace_is_part_of_the_name() {
        let named = Namespace::new("sessions").map(|ns| Key::in_namespace(ns, "a"));
        assert_ne!(named, Ok(Key::new("a")));
        let default = Namespace::new("default").map(|ns| Key::in_namespace(ns, "a"));
        assert_eq!(default, Ok(Key::new("a")));
        for wrong in ["", "a/b", "a b", "é", &"x".repeat(NAMESPACE_BYTES_MAX + 1)] {
            assert_eq!(Namespace::new(wrong), Err(NameError::Namespace), "{wrong}");
        }
    }

    #[test]
    fn tags_come_back_as_they_were_given() {
        let tags = Tags::new([b"red".as_slice(), b"large"]);
        let back = tags.as_ref().map(|tags| tags.iter().collect::<Vec<_>>());
        assert_eq!(back, Ok(vec![b"red".as_slice(), b"large"]));
        assert_eq!(Tags::new([b"".as_slice()]), Err(NameError::Tags));
        assert_eq!(Tags::new([[7; TAG_BYTES_MAX + 1].as_slice()]), Err(NameError::Tags));
    }

    #[test]
    fn a_type_of_coded_bytes_is_another_type_and_says_both() {
        let coded = MediaType::Json.coded(b"gzip");
        assert_eq!((coded.name(), coded.coding()), (&b"application/json"[..], Some(&b"gzip"[..])));
        assert_ne!(coded, MediaType::Json);
        let other = MediaType::Other(Bytes::from_static(b"text/css"));
        assert_eq!((other.name(), other.coding()), (&b"text/css"[..], None));
    }

    #[test]
    fn versions_only_grow_even_when_the_clock_steps_back() {
        let first = Version::default().next(Millis(1_000));
        let second = first.next(Millis(1_000));
        let third = second.next(Millis(10));
        assert!(first < second && second < third);
        assert_eq!(third.millis(), Millis(1_000));
        assert_eq!(third.next(Millis(2_000)).millis(), Millis(2_000));
    }

    #[test]
    fn no_version_and_no_clock_overflows() {
        for version in [0, 1, u64::MAX - 1, u64::MAX].map(Version) {
            for time in [0, 1, VERSION_MILLIS_MAX, 1 << 48, u64::MAX].map(Millis) {
                let next = version.next(time);
                assert!(version < next || version == Version(u64::MAX), "{version} at {time:?}");
                assert!(time.0.min((1 << 48) - 1) <= next.millis().0, "{version} at {time:?}");
            }
        }
        assert!(!Version(u64::MAX).is_possible() && Version(1 << 60).is_possible());
    }

    #[test]
    fn a_version_is_followed_up_to_a_minute_ahead() {
        let time = Millis(1_000_000);
        let last = Version::at(time.after(CLOCK_SKEW_MAX));
        assert!(Version(0).is_credible(time) && last.is_credible(time));
        assert!(!last.after().is_credible(time));
    }

    #[test]
    fn what_is_left_of_a_deadline_is_what_is_written() {
        #[derive(Serialize, Deserialize)]
        struct Ends(#[serde(with = "left")] Option<Millis>);

        let now = crate::clock::now();
        let left = |ends: u64| {
            let text = serde_json::to_string(&Ends(Some(Millis(ends)))).unwrap();
            (text.parse::<u64>().unwrap(), serde_json::from_str::<Ends>(&text).unwrap().0.unwrap())
        };
        // However long this takes, it is not an hour.
        let (written, read) = left(now.0 + 7_200_000);
        assert!((3_600_000..=7_200_000).contains(&written), "{written}");
        assert!((0..3_600_000).contains(&read.since(now.in_millis(7_200_000))), "{read:?}");
        let (written, read) = left(now.0 - 1);
        assert!(written == 0 && now <= read, "{read:?}");
        assert_eq!(serde_json::to_string(&Ends(None)).unwrap(), "null");
    }
}
