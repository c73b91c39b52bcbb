//! `CountKeys`: how many keys there are.

use serde::{Deserialize, Serialize};

use super::{Access, Scope, Verb};
use crate::entry::Slot;

/// How many keys there are, in all or of one slot: a [`Reply::Number`](super::Reply::Number) of each
/// node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountKeys {
    /// Of which slot; `None` for all.
    pub slot: Option<Slot>,
    /// Whose.
    pub nodes: Nodes,
}

/// Whose keys are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nodes {
    /// Those every node has.
    Every,
    /// Those the node has that is asked.
    Here,
}

impl Verb for CountKeys {
    const NUMBER: u16 = 5;
    const SINCE: u16 = 3;

    fn scope(&self) -> Scope<'_> {
        match self.nodes {
            Nodes::Every => Scope::EveryNode(Access::Read),
            Nodes::Here => Scope::Here(Access::Read),
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
