//! Namespaces: what they were told, and what there is of each.

use std::sync::Arc;

use tracing::info;

use super::Cache;
use crate::census::Account;
use crate::clock;
use crate::cluster::Cluster;
use crate::command::{Figures, Measure, NodeReply, Nodes, Reply};
use crate::entry::{Namespace, Version};
use crate::error::Error;
use crate::limits::POLICIES_MAX;
use crate::member::NodeName;
use crate::notation;
use crate::policy::{Policies, Policy};
use crate::registry::Registry;

/// What all nodes know alike, and the policies that come of it.
#[derive(Clone)]
pub struct Governance {
    /// What all nodes know alike.
    pub registry: Arc<Registry>,
    /// The policies among that.
    pub policies: Arc<Policies>,
}

/// Why a namespace is not told something. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGoverned {
    /// Its quota is over what the nodes have.
    #[error("memory is {asked}; allowed: up to {most}, which is what all nodes have together")]
    Memory {
        /// What was asked for.
        asked: String,
        /// What there is.
        most: String,
    },
    /// There are too many.
    #[error("too many namespaces have a policy; allowed: {POLICIES_MAX}")]
    TooMany,
}

/// What becomes of a policy that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// There was none.
    New,
    /// There was another one.
    Replaced,
}

/// What there is of a namespace on all nodes that said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What there is, and how it was used.
    pub figures: Figures,
    /// Nodes that did not say so in time, or do not know of it.
    pub missing: Vec<NodeName>,
}

impl Cache {
    /// Says what a namespace goes by from now on. The nodes that can be reached have it then.
    ///
    /// # Errors
    ///
    /// [`NotGoverned`]; nothing changed.
    pub async fn set_policy(
        &self,
        namespace: &Namespace,
        policy: &Policy,
    ) -> Result<Made, NotGoverned> {
        let most = self.memory_of_all();
        if let Some(asked) = policy.memory.filter(|memory| most < *memory) {
            let (asked, most) = (notation::of_size(asked), notation::of_size(most));
            return Err(NotGoverned::Memory { asked, most });
        }
        let made = match self.policy(namespace) {
            Some(_) => Made::Replaced,
            None if POLICIES_MAX <= self.policies().len() => return Err(NotGoverned::TooMany),
            None => Made::New,
        };
        if !self.tell(&Policy::name(namespace), Some(policy)).await {
            return Err(NotGoverned::TooMany);
        }
        let shown = policy.shown().to_string();
        info!(%namespace, policy = shown, "a namespace has a policy");
        Ok(made)
    }

    /// Has a namespace go by no policy any more, and keep its entries; whether it had one.
    pub async fn remove_policy(&self, namespace: &Namespace) -> bool {
        if self.policy(namespace).is_none() {
            return false;
        }
        self.tell(&Policy::name(namespace), None).await;
        info!(%namespace, "a namespace has no policy any more");
        true
    }

    /// What a namespace goes by; `None` if it was told nothing.
    #[must_use]
    pub fn policy(&self, namespace: &Namespace) -> Option<Policy> {
        self.inner.governance.policies.now().get(namespace).copied()
    }

    /// What all namespaces go by that were told something, in the order of their names.
    #[must_use]
    pub fn policies(&self) -> Vec<(Namespace, Policy)> {
        let governed = self.inner.governance.policies.now();
        governed.all().map(|(namespace, policy)| (namespace.clone(), *policy)).collect()
    }

    /// What there is of a namespace on all nodes, and how it was used.
    ///
    /// # Errors
    ///
    /// [`Error`], if this node itself does not say so.
    pub async fn measure(&self, namespace: &Namespace) -> Result<Measured, Error> {
        let measure = Measure { namespace: namespace.clone(), nodes: Nodes::Every };
        let Reply::Many(replies) = self.run_one(measure.into()).await? else {
            return Err(Error::Down { shard: 0 });
        };
        let mut all = Measured { figures: Figures::default(), missing: vec![] };
        for NodeReply { node, reply } in replies {
            match reply {
                Ok(reply) => {
                    all.figures = all.figures.and(Figures::of(&reply).unwrap_or_default());
                }
                Err(_) => all.missing.push(node),
            }
        }
        Ok(all)
    }

    /// What there is on this node of each namespace that is counted apart, and of all others together
    /// under `*`, which no namespace is called.
    #[must_use]
    pub fn namespaces_here(&self) -> Vec<(String, Figures)> {
        let census = self.inner.governance.policies.census();
        let figures = |account, reads: crate::census::ReadCounts| {
            let shards = self.inner.router.shards().iter();
            let parts = shards.map(|shard| shard.account(account));
            let figures = Figures { hits: reads.hits, misses: reads.misses, ..Figures::default() };
            parts.fold(figures, |sum, part| Figures {
                entries: sum.entries + part.entries,
                bytes: sum.bytes + part.bytes,
                evictions: sum.evictions + part.evictions,
                ..sum
            })
        };
        let named = census.namespaces().into_iter().filter_map(|(namespace, account)| {
            Some((namespace.to_string(), figures(account, census.reads(&namespace)?)))
        });
        let others = figures(Account::OTHERS, census.other_reads());
        let others = (others != Figures::default()).then(|| ("*".to_owned(), others));
        named.chain(others).collect()
    }

    /// Tells all nodes what a name stands for; `false` if there is no room for it.
    async fn tell(&self, name: &str, policy: Option<&Policy>) -> bool {
        let now = Version::at(clock::cluster(clock::now()));
        let told = policy.map(Policy::to_told);
        if !self.inner.governance.registry.set(name, told, now) {
            return false;
        }
        if let Some(cluster) = &self.inner.cluster {
            Cluster::spread(cluster).await;
        }
        true
    }

    /// Bytes that all nodes may hold together, as far as this one knows: each says how many MiB.
    fn memory_of_all(&self) -> u64 {
        let members = self.inner.router.routes();
        let others = members.map.members().iter().filter(|member| member.id != self.inner.node);
        let others: u64 = others.map(|member| u64::from(member.weight) << 20).sum();
        let own = self.inner.router.shards().iter().map(|shard| shard.stats().table.limit_bytes);
        own.sum::<u64>() + others
    }
}
