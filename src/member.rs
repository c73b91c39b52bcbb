//! Who is in the cluster, as pure data and decisions: no clock, socket, randomness or actor inside.

mod id;

pub use id::{Boot, NodeId, NodeName, NodeNameError};
