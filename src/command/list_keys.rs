//! `ListKeys`: some of the keys that the owner of a slot has.
//!
//! A walk over all keys of a cluster asks the owner of the first slot that it has not seen for all the
//! slots of that owner's shard, in the order of its table: one *pass*. What is seen is whole slots, at
//! the end of a pass in which none of them went anywhere; else the pass begins again. So what is there
//! from the beginning of a walk to its end is seen, whoever owns it by then, and some of it twice.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::{Namespace, Slot, octets};
use crate::partition::SlotSet;

/// Some of the keys that the owner of a slot has, of all slots that are in the same shard: a
/// [`Reply::Page`](super::Reply::Page).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListKeys {
    /// Whose owner is asked.
    pub slot: Slot,
    /// Of which namespace.
    pub namespace: Namespace,
    /// How they begin.
    #[serde(with = "octets")]
    pub prefix: Bytes,
    /// What was seen before.
    #[serde(with = "slots")]
    pub seen: SlotSet,
    /// The pass that goes on; 0 for a new one.
    pub pass: u64,
    /// Where in that.
    pub from: u32,
    /// How many keys, about.
    pub keys_max: u32,
    /// What is wanted of them.
    pub wants: Wants,
}

/// What is wanted of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wants {
    /// Themselves.
    Keys,
    /// How many they are.
    Count,
}

/// Some of the keys of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The keys, without their namespace.
    #[serde(with = "keys")]
    pub keys: Vec<Bytes>,
    /// How many there are, if only that was wanted.
    pub count: u64,
    /// The pass they are of; 0 if it has ended or has to begin again.
    pub pass: u64,
    /// Where it goes on.
    pub next: u32,
    /// What has been seen with it, at its end.
    #[serde(with = "slots")]
    pub seen: SlotSet,
}

impl Page {
    /// About how many bytes it carries.
    pub(super) fn bytes(&self) -> usize {
        self.keys.iter().map(Bytes::len).sum()
    }
}

impl Verb for ListKeys {
    const NUMBER: u16 = 14;
    const SINCE: u16 = 4;

    fn scope(&self) -> Scope<'_> {
        Scope::Whole(self.slot, Access::Read)
    }

    fn bytes(&self) -> usize {
        self.prefix.len() + self.seen.len() / 8
    }
}

/// A set of slots.
mod slots {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::partition::SlotSet;

    pub(super) fn serialize<S: Serializer>(slots: &SlotSet, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&slots.to_bytes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SlotSet, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        SlotSet::from_bytes(bytes).ok_or_else(|| D::Error::custom("not a set of slots"))
    }
}

/// Keys, each in one piece.
mod keys {
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::limits::LIST_KEYS_MAX;

    pub(super) fn serialize<S: Serializer>(keys: &[Bytes], to: S) -> Result<S::Ok, S::Error> {
        // Bytes are written in one piece each.
        to.collect_seq(keys)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Bytes>, D::Error> {
        let keys = Vec::<&[u8]>::deserialize(from)?;
        if LIST_KEYS_MAX < keys.len() {
            return Err(D::Error::invalid_length(keys.len(), &"a page of keys"));
        }
        Ok(keys.into_iter().map(Bytes::copy_from_slice).collect())
    }
}
