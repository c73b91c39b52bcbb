//! How lists and the simplest values look on the wire.
//!
//! Byte strings are borrowed from the frame while they are read, so that a length that lies costs
//! nothing. Lists are bounded by their elements, as an element may be larger in memory than in a
//! frame.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entry::Version;
use crate::limits::{
    MEMBERS_MAX, PEER_BATCH_COMMANDS_MAX, PEER_BITMAP_BYTES_MAX, PEER_TEXT_BYTES_MAX,
    REGISTRY_NAMES_MAX, REGISTRY_REMOVED_MAX,
};
use crate::partition::SlotSet;
use crate::registry::Item;

/// Elements a list begins with room for; it grows as they come.
const LIST_ROOM: usize = 64;

/// Reads a list of at most `MAX` elements.
fn bounded<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "up to {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let len = elements.size_hint().unwrap_or(0);
            if MAX < len {
                return Err(A::Error::invalid_length(len, &self));
            }
            let mut list = Vec::with_capacity(len.min(LIST_ROOM));
            while let Some(element) = elements.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(List::<T, MAX>(PhantomData))
}

/// What fits into one batch.
pub(in crate::peer) struct BatchOf<T>(pub(in crate::peer) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for BatchOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bounded::<D, T, PEER_BATCH_COMMANDS_MAX>(deserializer).map(Self)
    }
}

/// Reads what fits into one batch.
pub(super) fn batch<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    bounded::<D, T, PEER_BATCH_COMMANDS_MAX>(deserializer)
}

/// Reads members of one cluster.
pub(super) fn members<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    bounded::<D, T, MEMBERS_MAX>(deserializer)
}

/// How a value is written and read: what `with` names.
pub(in crate::peer) trait Form {
    type Value;

    fn serialize<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error>;

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Value, D::Error>;
}

/// Bytes that are written in one piece.
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// What is known alike: names, versions and values.
pub(super) struct ItemsForm;

impl Form for ItemsForm {
    type Value = Vec<Item>;

    fn serialize<S: Serializer>(items: &Vec<Item>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(|Item { name, version, value }| {
            (name.as_str(), version.0, value.as_deref().map(Octets))
        }))
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
        const MAX: usize = REGISTRY_NAMES_MAX + REGISTRY_REMOVED_MAX;
        let items = bounded::<D, (&str, u64, Option<&[u8]>), MAX>(deserializer)?;
        let item = |(name, version, value): (&str, u64, Option<&[u8]>)| {
            let value = value.map(Bytes::copy_from_slice);
            let item = Item { name: name.to_owned(), version: Version(version), value };
            item.is_sound().then_some(item)
        };
        let sound: Option<Vec<_>> = items.into_iter().map(item).collect();
        sound.ok_or_else(|| D::Error::custom("not what nodes know alike"))
    }
}

/// A short text.
pub(super) struct TextForm;

impl Form for TextForm {
    type Value = String;

    fn serialize<S: Serializer>(text: &String, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        if PEER_TEXT_BYTES_MAX < text.len() {
            return Err(D::Error::invalid_length(text.len(), &"a short text"));
        }
        Ok(text.to_owned())
    }
}

/// Bits, eight to a byte.
pub(super) struct BitmapForm;

impl Form for BitmapForm {
    type Value = Vec<u8>;

    fn serialize<S: Serializer>(bits: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        Octets(bits).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let bits = <&[u8]>::deserialize(deserializer)?;
        if PEER_BITMAP_BYTES_MAX < bits.len() {
            return Err(D::Error::invalid_length(bits.len(), &"a bit for each slot"));
        }
        Ok(bits.to_vec())
    }
}

/// Slots, as runs or as a bitmap, whichever is shorter.
pub(super) struct SlotsForm;

impl Form for SlotsForm {
    type Value = SlotSet;

    fn serialize<S: Serializer>(slots: &SlotSet, serializer: S) -> Result<S::Ok, S::Error> {
        Octets(&slots.to_bytes()).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SlotSet, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        SlotSet::from_bytes(bytes).ok_or_else(|| D::Error::custom("not a set of slots"))
    }
}
