//! What a node has done so far, for `/metrics` alone.

use std::time::Duration;

use super::Cache;
use crate::clock;
use crate::cluster::Cluster;
use crate::peer::protocol::Protocols;

pub use crate::cluster::ClusterFigures;

/// What a node has done so far.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The protocols it speaks with other nodes.
    pub protocols: Protocols,
    /// When it started, since the Unix epoch.
    pub started: Duration,
    /// Entries evicted that were never asked for again after they were new.
    pub evicted_unused: u64,
    /// Entries evicted that were, and for which there was no room any more.
    pub evicted_used: u64,
    /// Entries taken over from other nodes.
    pub taken_over: u64,
    /// Entries given to other nodes, which have them now.
    pub moved: u64,
    /// What only a cluster has.
    pub cluster: Option<ClusterFigures>,
}

impl Cache {
    /// What this node has done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let stats: Vec<_> = self.inner.router.shards().iter().map(|shard| shard.stats()).collect();
        let evictions: u64 = stats.iter().map(|shard| shard.table.evictions).sum();
        let evicted_unused = stats.iter().map(|shard| shard.table.evictions_unused).sum();
        Figures {
            protocols: Protocols::OURS,
            started: Duration::from_millis(clock::now().0)
                .saturating_sub(self.inner.started.elapsed()),
            evicted_unused,
            // The two are not read at the same moment.
            evicted_used: evictions.saturating_sub(evicted_unused),
            taken_over: stats.iter().map(|shard| shard.taken_over).sum(),
            moved: stats.iter().map(|shard| shard.moved).sum(),
            cluster: self.inner.cluster.as_ref().map(Cluster::figures),
        }
    }
}
