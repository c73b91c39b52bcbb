//! How the words of the cache look on the wire, and the checks of those that come in.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Refusal;
use super::form::{Form, MillisForm, Octets, OctetsForm, OptionOf, SharedTextForm, VersionForm};
use crate::command::{Command, Condition, Put, Reply, Routed, Stored};
use crate::entry::{Entry, Key, Known, MediaType, Millis, NameError, Namespace, Tags, Version};
use crate::error::Error;
use crate::limits::MEDIA_TYPE_BYTES_MAX;
use crate::member::{Boot, NodeId, NodeName, Standing};
use crate::partition::{SLOTS, Slot};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Command")]
enum CommandWire {
    Get(#[serde(with = "KeyForm")] Key),
    Put(#[serde(with = "PutWire")] Put),
    Delete(#[serde(with = "KeyForm")] Key),
    NextId(#[serde(with = "KeyForm")] Key),
    Merge(#[serde(with = "KeyForm")] Key, #[serde(with = "KnownWire")] Known),
    Forget(#[serde(with = "KeyForm")] Key, #[serde(with = "VersionForm")] Version),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Put")]
struct PutWire {
    #[serde(with = "KeyForm")]
    key: Key,
    #[serde(with = "OctetsForm")]
    value: Bytes,
    #[serde(with = "MediaTypeWire")]
    media: MediaType,
    #[serde(with = "OptionOf::<MillisForm>")]
    expires_at: Option<Millis>,
    #[serde(with = "ConditionWire")]
    condition: Condition,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Condition")]
enum ConditionWire {
    Always,
    Absent,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Reply")]
enum ReplyWire {
    Found(#[serde(with = "OptionOf::<EntryForm>")] Option<Entry>),
    Stored(#[serde(with = "StoredWire")] Stored),
    Deleted(bool),
    Id(u64),
    Merged(bool),
    Forgotten(bool),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Stored")]
enum StoredWire {
    Created(#[serde(with = "VersionForm")] Version),
    Replaced(#[serde(with = "VersionForm")] Version),
    Unchanged(#[serde(with = "VersionForm")] Version),
    Refused,
    TooLarge,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Entry")]
struct EntryWire {
    #[serde(with = "OctetsForm")]
    value: Bytes,
    #[serde(with = "MediaTypeWire")]
    media: MediaType,
    #[serde(with = "VersionForm")]
    version: Version,
    #[serde(with = "OptionOf::<MillisForm>")]
    expires_at: Option<Millis>,
    #[serde(with = "TagsForm")]
    tags: Tags,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Known")]
pub(super) enum KnownWire {
    Entry(#[serde(with = "EntryWire")] Entry),
    Deleted(#[serde(with = "VersionForm")] Version, #[serde(with = "MillisForm")] Millis),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MediaType")]
enum MediaTypeWire {
    Bytes,
    Json,
    Text,
    Other(#[serde(with = "MediaNameForm")] Bytes),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Error")]
pub(super) enum ErrorWire {
    Busy {
        shard: usize,
    },
    Timeout {
        shard: usize,
    },
    Down {
        shard: usize,
    },
    NotHere {
        slot: u16,
    },
    Unreachable {
        #[serde(with = "SharedTextForm")]
        owner: Arc<str>,
    },
    Unanswered {
        #[serde(with = "SharedTextForm")]
        owner: Arc<str>,
    },
    ValueTooLarge {
        bytes: usize,
        bytes_max: usize,
    },
    BatchTooLarge {
        commands: usize,
        commands_max: usize,
    },
    IdsTaken {
        attempts: usize,
    },
}

/// A command and its slot.
pub(super) struct RoutedForm;

impl Form for RoutedForm {
    type Value = Routed;

    fn serialize<S: Serializer>(routed: &Routed, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a>(u16, #[serde(with = "CommandWire")] &'a Command);
        Fields(routed.slot.0, &routed.command).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Routed, D::Error> {
        #[derive(Deserialize)]
        struct Fields(u16, #[serde(with = "CommandWire")] Command);
        let Fields(slot, command) = Fields::deserialize(deserializer)?;
        if SLOTS <= slot {
            return Err(D::Error::custom("there is no such slot"));
        }
        Ok(Routed { slot: Slot(slot), command })
    }
}

/// What became of a command.
pub(super) struct OutcomeForm;

impl Form for OutcomeForm {
    type Value = Result<Reply, Refusal>;

    fn serialize<S: Serializer>(
        outcome: &Result<Reply, Refusal>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        enum Outcome<'a> {
            Done(#[serde(with = "ReplyWire")] &'a Reply),
            Refused(&'a Refusal),
        }
        match outcome {
            Ok(reply) => Outcome::Done(reply),
            Err(refusal) => Outcome::Refused(refusal),
        }
        .serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Result<Reply, Refusal>, D::Error> {
        #[derive(Deserialize)]
        enum Outcome {
            Done(#[serde(with = "ReplyWire")] Reply),
            Refused(Refusal),
        }
        Ok(match Outcome::deserialize(deserializer)? {
            Outcome::Done(reply) => Ok(reply),
            Outcome::Refused(refusal) => Err(refusal),
        })
    }
}

/// An entry, where there may be none.
pub(super) struct EntryForm;

impl Form for EntryForm {
    type Value = Entry;

    fn serialize<S: Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
        EntryWire::serialize(entry, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        EntryWire::deserialize(deserializer)
    }
}

/// A key: its namespace, empty for the usual one, and its bytes.
pub(super) struct KeyForm;

impl Form for KeyForm {
    type Value = Key;

    fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
        (Octets(key.namespace().as_bytes()), Octets(key.as_bytes())).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let name = <(&[u8], &[u8])>::deserialize(deserializer)?;
        key_of(name).map_err(D::Error::custom)
    }
}

/// A key, and the version under which it was taken over.
pub(super) struct TakenForm;

impl Form for TakenForm {
    type Value = (Key, Version);

    fn serialize<S: Serializer>(
        (key, version): &(Key, Version),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let name = (Octets(key.namespace().as_bytes()), Octets(key.as_bytes()));
        (name, version.0).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Value, D::Error> {
        let (name, version) = <((&[u8], &[u8]), u64)>::deserialize(deserializer)?;
        Ok((key_of(name).map_err(D::Error::custom)?, Version(version)))
    }
}

/// A key of another node, checked as if a client had sent it.
fn key_of((namespace, bytes): (&[u8], &[u8])) -> Result<Key, NameError> {
    let namespace = Namespace::from_peer(Bytes::copy_from_slice(namespace))?;
    Key::in_namespace(namespace, Bytes::copy_from_slice(bytes))
}

/// The name of an unusual media type.
pub(super) struct MediaNameForm;

impl Form for MediaNameForm {
    type Value = Bytes;

    fn serialize<S: Serializer>(name: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        Octets(name).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let name = <&[u8]>::deserialize(deserializer)?;
        if name.is_empty() || MEDIA_TYPE_BYTES_MAX < name.len() {
            return Err(D::Error::invalid_length(name.len(), &"a media type"));
        }
        Ok(Bytes::copy_from_slice(name))
    }
}

/// Tags, packed as a table holds them.
pub(super) struct TagsForm;

impl Form for TagsForm {
    type Value = Tags;

    fn serialize<S: Serializer>(tags: &Tags, serializer: S) -> Result<S::Ok, S::Error> {
        Octets(tags.as_bytes()).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
        let packed = <&[u8]>::deserialize(deserializer)?;
        if packed.is_empty() {
            return Ok(Tags::none().clone());
        }
        let tags = Tags::from_stored(Bytes::copy_from_slice(packed));
        let checked = Tags::new(tags.iter()).map_err(D::Error::custom)?;
        if checked != tags {
            return Err(D::Error::custom("tags are cut off"));
        }
        Ok(tags)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Standing")]
pub(super) enum StandingWire {
    Joining,
    Alive,
    Leaving,
    Gone,
}

/// The name of a node.
pub(super) struct NodeNameForm;

impl Form for NodeNameForm {
    type Value = NodeName;

    fn serialize<S: Serializer>(name: &NodeName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeName, D::Error> {
        NodeName::new(<&str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The run of a node.
pub(super) struct BootForm;

impl Form for BootForm {
    type Value = Boot;

    fn serialize<S: Serializer>(boot: &Boot, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(boot.0)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Boot, D::Error> {
        u64::deserialize(deserializer).map(Boot)
    }
}

/// The name and the run of a node.
pub(super) struct NodeIdForm;

impl Form for NodeIdForm {
    type Value = NodeId;

    fn serialize<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
        (id.name.as_str(), id.boot.0).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        let (name, boot) = <(&str, u64)>::deserialize(deserializer)?;
        let name = NodeName::new(name).map_err(D::Error::custom)?;
        Ok(NodeId { name, boot: Boot(boot) })
    }
}
