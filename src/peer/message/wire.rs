//! How nodes look on the wire, and the checks of those that come in.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::{Form, members};
use crate::member::{Boot, NodeId, NodeName, Standing};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Standing")]
pub(super) enum StandingWire {
    Joining,
    Alive,
    Leaving,
    Gone,
    Left,
    Forgotten,
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
pub(in crate::peer) struct NodeIdForm;

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

/// Several of those.
pub(super) struct NodeIdsForm;

impl Form for NodeIdsForm {
    type Value = Vec<NodeId>;

    fn serialize<S: Serializer>(ids: &Vec<NodeId>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(|id| (id.name.as_str(), id.boot.0)))
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeId>, D::Error> {
        let ids: Vec<NodeIdWire> = members(deserializer)?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }
}

#[derive(Deserialize)]
struct NodeIdWire(#[serde(with = "NodeIdForm")] NodeId);
