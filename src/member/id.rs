//! What a node is called, and which of its runs is meant.

use std::fmt;
use std::sync::Arc;

use crate::limits::NODE_NAME_BYTES_MAX;

/// The name of a node, unique in its cluster: 1 to [`NODE_NAME_BYTES_MAX`] visible ASCII characters
/// without quote, backslash and comma.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// One run of a node: random, so that a node that was started again is not taken for its old self.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u64);

/// One run of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// What it is called.
    pub name: NodeName,
    /// Which run of it.
    pub boot: Boot,
}

/// Text that cannot be the name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "allowed: 1 to {NODE_NAME_BYTES_MAX} visible ASCII characters without quote, backslash and \
     comma, like smache@localhost"
)]
pub struct NodeNameError;

impl NodeName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`NodeNameError`], which says what is allowed.
    pub fn new(name: &str) -> Result<Self, NodeNameError> {
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte);
        match (1..=NODE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
            true => Ok(Self(name.into())),
            false => Err(NodeNameError),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.boot)
    }
}
