//! How keys and entries look on the wire and on disk, and the checks of those that come in.
//!
//! Whatever is read is checked as if a client had sent it. Byte strings are borrowed from what they
//! are read from, so that a length that lies costs nothing.

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Key, MediaType, Namespace, SLOTS, Slot, Tags};
use crate::limits::MEDIA_TYPE_BYTES_MAX;

/// Bytes that are written in one piece: `with = "octets"`.
pub(crate) mod octets {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        <&[u8]>::deserialize(from).map(Bytes::copy_from_slice)
    }
}

/// A deadline as what is left of it: `with = "left"`.
///
/// Who writes it takes its own time off and who reads it adds its own, so that clocks that differ move
/// no deadline. It is later by as long as it was under way.
pub(crate) mod left {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::clock::{self, Millis};

    pub(crate) fn serialize<S: Serializer>(
        deadline: &Option<Millis>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        deadline.map(|at| at.left(clock::now())).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Millis>, D::Error> {
        let left = Option::<u64>::deserialize(from)?;
        Ok(left.map(|left| clock::now().in_millis(left)))
    }
}

/// Bytes that are borrowed and written in one piece.
struct Octets<'a>(&'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Empty for the usual one.
impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <&[u8]>::deserialize(deserializer)?;
        Self::from_peer(Bytes::copy_from_slice(name)).map_err(D::Error::custom)
    }
}

/// Its namespace, empty for the usual one, and its bytes. The slot is worked out from them again.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Octets(self.namespace.as_bytes()), Octets(&self.bytes)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (namespace, bytes) = <(&[u8], &[u8])>::deserialize(deserializer)?;
        let namespace =
            Namespace::from_peer(Bytes::copy_from_slice(namespace)).map_err(D::Error::custom)?;
        Self::in_namespace(namespace, Bytes::copy_from_slice(bytes)).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
enum Media<'a> {
    Bytes,
    Json,
    Text,
    Other(&'a [u8]),
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let media = match self {
            Self::Bytes => Media::Bytes,
            Self::Json => Media::Json,
            Self::Text => Media::Text,
            Self::Other(name) => Media::Other(name),
        };
        media.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Media::deserialize(deserializer)? {
            Media::Bytes => Self::Bytes,
            Media::Json => Self::Json,
            Media::Text => Self::Text,
            Media::Other(name) if name.is_empty() || MEDIA_TYPE_BYTES_MAX < name.len() => {
                return Err(D::Error::invalid_length(name.len(), &"a media type"));
            }
            Media::Other(name) => Self::Other(Bytes::copy_from_slice(name)),
        })
    }
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let slot = u16::deserialize(deserializer)?;
        match slot < SLOTS {
            true => Ok(Self(slot)),
            false => Err(D::Error::custom("there is no such slot")),
        }
    }
}

/// Packed, as a table holds them.
impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = <&[u8]>::deserialize(deserializer)?;
        if packed.is_empty() {
            return Ok(Self::default());
        }
        let tags = Self::from_stored(Bytes::copy_from_slice(packed));
        let checked = Self::new(tags.iter()).map_err(D::Error::custom)?;
        if checked != tags {
            return Err(D::Error::custom("tags are cut off"));
        }
        Ok(tags)
    }
}
