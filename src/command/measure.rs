//! `Measure`: what there is of a namespace, and how it was used.

use serde::{Deserialize, Serialize};

use super::{Access, Nodes, Reply, Scope, Verb};
use crate::entry::Namespace;

/// What there is of a namespace and how it was used: [`Figures`] as a [`Reply::Numbers`] of each node, none
/// of a node that does not count it apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Which.
    pub namespace: Namespace,
    /// Whose.
    pub nodes: Nodes,
}

/// What there is of a namespace, and how it was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries.
    pub entries: u64,
    /// Bytes of them as they are kept: keys, values, and what is known of both.
    pub bytes: u64,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries dropped for want of room.
    pub evictions: u64,
}

impl From<Figures> for Reply {
    fn from(Figures { entries, bytes, hits, misses, evictions }: Figures) -> Self {
        Self::Numbers(vec![entries, bytes, hits, misses, evictions])
    }
}

impl Figures {
    /// Reads what a node has said; `None` if it said nothing of the kind.
    #[must_use]
    pub fn of(reply: &Reply) -> Option<Self> {
        match reply {
            Reply::Numbers(numbers) => match numbers[..] {
                [entries, bytes, hits, misses, evictions, ..] => {
                    Some(Self { entries, bytes, hits, misses, evictions })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            evictions: self.evictions.saturating_add(other.evictions),
        }
    }
}

impl Verb for Measure {
    const NUMBER: u16 = 15;
    const SINCE: u16 = 6;

    fn scope(&self) -> Scope<'_> {
        match self.nodes {
            Nodes::Every => Scope::EveryNode(Access::Read),
            Nodes::Here => Scope::Here(Access::Read),
        }
    }

    fn bytes(&self) -> usize {
        self.namespace.as_bytes().len()
    }
}
