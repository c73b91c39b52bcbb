//! How lists, options and the simplest values look on the wire.
//!
//! Byte strings are borrowed from the frame while they are read, so that a length that lies costs
//! nothing. Lists are bounded by their elements, as an element may be larger in memory than in a
//! frame.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entry::{Millis, Version};
use crate::limits::{
    MEMBERS_MAX, PEER_BATCH_COMMANDS_MAX, PEER_BITMAP_BYTES_MAX, PEER_TEXT_BYTES_MAX,
};
use crate::partition::SlotSet;

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

/// How a value is written and read: what `with` names, and what lists and options are made of.
pub(super) trait Form {
    type Value;

    fn serialize<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error>;

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Value, D::Error>;
}

/// A batch of values.
pub(super) struct ListOf<F>(PhantomData<F>);

/// A value or none.
pub(super) struct OptionOf<F>(PhantomData<F>);

/// A value on its way out.
struct Writing<'a, F: Form>(&'a F::Value);

/// A value on its way in.
struct Reading<F: Form>(F::Value);

impl<F: Form> Serialize for Writing<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        F::serialize(self.0, serializer)
    }
}

impl<'de, F: Form> Deserialize<'de> for Reading<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        F::deserialize(deserializer).map(Self)
    }
}

impl<F: Form> Form for ListOf<F> {
    type Value = Vec<F::Value>;

    fn serialize<S: Serializer>(list: &Vec<F::Value>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(Writing::<F>))
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<F::Value>, D::Error> {
        let list: Vec<Reading<F>> = batch(deserializer)?;
        Ok(list.into_iter().map(|reading| reading.0).collect())
    }
}

impl<F: Form> Form for OptionOf<F> {
    type Value = Option<F::Value>;

    fn serialize<S: Serializer>(
        option: &Option<F::Value>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        option.as_ref().map(Writing::<F>).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<F::Value>, D::Error> {
        Ok(Option::<Reading<F>>::deserialize(deserializer)?.map(|reading| reading.0))
    }
}

/// Bytes that are written in one piece.
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Bytes of any length.
pub(super) struct OctetsForm;

impl Form for OctetsForm {
    type Value = Bytes;

    fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        Octets(bytes).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Bytes::copy_from_slice)
    }
}

/// The number of a version.
pub(super) struct VersionForm;

impl Form for VersionForm {
    type Value = Version;

    fn serialize<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(version.0)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        u64::deserialize(deserializer).map(Version)
    }
}

/// A point in time.
pub(super) struct MillisForm;

impl Form for MillisForm {
    type Value = Millis;

    fn serialize<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.0)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        u64::deserialize(deserializer).map(Millis)
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

/// A short text that is shared.
pub(super) struct SharedTextForm;

impl Form for SharedTextForm {
    type Value = Arc<str>;

    fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        TextForm::deserialize(deserializer).map(Arc::from)
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
