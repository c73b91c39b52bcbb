//! How the node is, as plain data for `/status`, `/explain` and `/metrics`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Cache;
use crate::clock;
use crate::cluster::{ClusterReport, MemberReport, PeerReport};
use crate::entry::Key;
use crate::member::PeerState;
use crate::partition::SLOTS;
use crate::supervision::Kind;

/// What a node does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It is not complete yet.
    Starting,
    /// It serves.
    Ready,
    /// It answers what it has begun and takes no more.
    Draining,
}

/// The answer to "how is this node?".
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract, under the same names")]
pub struct Status {
    pub node: String,
    pub boot_id: String,
    pub version: &'static str,
    pub state: NodeState,
    pub uptime_ms: u64,
    pub shards: Vec<ShardStatus>,
    pub memory: MemoryStatus,
    pub requests: RequestStatus,
    pub cluster: ClusterStatus,
}

/// One shard. `queue` is the writes that wait, `bytes` what its entries and their index take.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract, under the same names")]
pub struct ShardStatus {
    pub id: usize,
    pub entries: u64,
    pub bytes: u64,
    pub queue: usize,
    pub restarts: u64,
}

/// The memory of all shards together: what it may be and what was taken of it; of that, what the
/// records of entries fill, and what is left of records that were replaced, deleted or dropped.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract, under the same names")]
pub struct MemoryStatus {
    pub limit_bytes: u64,
    pub used_bytes: u64,
    pub live_bytes: u64,
    pub dead_bytes: u64,
    pub meaning: MemoryMeaning,
}

/// What the numbers of [`MemoryStatus`] mean, for who reads them.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those that are explained")]
pub struct MemoryMeaning {
    pub limit_bytes: &'static str,
    pub used_bytes: &'static str,
    pub live_bytes: &'static str,
    pub dead_bytes: &'static str,
}

const MEMORY_MEANING: MemoryMeaning = MemoryMeaning {
    limit_bytes: "--memory: used_bytes never exceeds it",
    used_bytes: "taken from the system for entries and their index; kept to be written again, so that it \
                 does not fall when entries end",
    live_bytes: "of that, what entries fill that can be read; eviction begins as it nears the limit",
    dead_bytes: "of that, what is left of entries that were replaced, deleted, evicted or have ended; \
                 written over before anything is evicted",
};

/// What was asked of all shards together, since the node started. `oversize` is the entries that came
/// from other nodes and were dropped, as they are too large for this one.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract, under the same names")]
pub struct RequestStatus {
    pub hits: u64,
    pub misses: u64,
    pub writes: u64,
    pub evictions: u64,
    pub expirations: u64,
    pub oversize: u64,
}

/// The cluster as this node sees it. A node alone is a cluster of one. `moving` is the entries this
/// node still has to send, `peers` where it looks for others, `waits_for` what it waits for before
/// it is ready, a cluster that may be somewhere or more members, and `relayed` the requests it has passed on between
/// two others that do not hear each other.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract, under the same names")]
pub struct ClusterStatus {
    pub epoch: u64,
    pub moving: u64,
    pub members: Vec<MemberStatus>,
    pub peers: Vec<PeerStatus>,
    pub waits_for: Option<String>,
    pub relayed: u64,
}

/// One member. `addr` is where other nodes reach it and `http` where clients do, null where it does
/// not listen for them; `heard_ms` how long ago it was heard, null for never; `version` that of its
/// software, null while there is no session with it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract, under the same names")]
pub struct MemberStatus {
    pub node: String,
    pub boot_id: String,
    pub addr: Option<String>,
    pub http: Option<String>,
    pub version: Option<String>,
    pub state: MemberState,
    /// By way of which node it is reached; null if there is a session with it, or no way.
    pub via: Option<String>,
    pub slots: u16,
    /// Keys it has; null if it did not say so in time.
    pub keys: Option<u64>,
    pub heard_ms: Option<u64>,
}

/// One place where others are looked for, and why nobody is there: `reason` is what the last attempt
/// of `failures` in a row said.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PeerStatus {
    pub addr: String,
    pub node: Option<String>,
    pub connected: bool,
    pub failures: u32,
    pub reason: Option<String>,
}

/// What a member is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It is known, and was not heard yet.
    Joining,
    /// It serves its slots.
    Alive,
    /// It missed some heartbeats.
    Suspect,
    /// It was declared dead, and may be back.
    Dead,
    /// It hands its slots over and goes.
    Leaving,
    /// It has handed over what it could, and said good-bye.
    Left,
}

impl From<PeerState> for MemberState {
    fn from(state: PeerState) -> Self {
        match state {
            PeerState::Joining => Self::Joining,
            PeerState::Alive => Self::Alive,
            PeerState::Suspect => Self::Suspect,
            PeerState::Dead => Self::Dead,
            PeerState::Leaving => Self::Leaving,
            PeerState::Left => Self::Left,
        }
    }
}

fn peer(PeerReport { place, found, is_connected, failures, reason }: PeerReport) -> PeerStatus {
    let node = found.map(|found| found.name.to_string());
    PeerStatus { addr: place, node, connected: is_connected, failures, reason }
}

/// Where a key is and what is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The key asked for.
    pub key: String,
    /// Its slot, as Redis Cluster computes it.
    pub slot: u16,
    /// The node that owns the slot.
    pub owner: String,
    /// The shard on that node.
    pub shard: usize,
    /// Whether a `GET` would find it.
    pub present: bool,
    /// Why not, where it is not.
    pub reason: Option<&'static str>,
    /// The version of the entry.
    pub version: Option<String>,
    /// Bytes of the value.
    pub bytes: Option<usize>,
    /// Milliseconds until the entry ends; null for never.
    pub ttl_ms: Option<u64>,
    /// Keys each node has of the slot; null for one that did not say so in time.
    pub slot_keys: BTreeMap<String, Option<u64>>,
}

impl Cache {
    /// How this node is.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let tree = self.tree();
        let mut restarts = tree.children.iter().filter(|child| child.kind == Kind::Shard);
        let stats: Vec<_> = inner.router.shards().iter().map(|shard| shard.stats()).collect();
        let shards = stats.iter().map(|shard| ShardStatus {
            id: shard.id,
            entries: shard.table.entries,
            bytes: shard.table.used_bytes,
            queue: shard.queue,
            restarts: restarts.next().map_or(0, |child| child.restarts),
        });
        let reads = inner.governance.policies.census().all_reads();
        let uptime_ms = u64::try_from(inner.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Status {
            node: inner.node.name.to_string(),
            boot_id: inner.node.boot.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            state: self.state(),
            uptime_ms,
            shards: shards.collect(),
            memory: MemoryStatus {
                limit_bytes: stats.iter().map(|shard| shard.table.limit_bytes).sum(),
                used_bytes: stats.iter().map(|shard| shard.table.used_bytes).sum(),
                live_bytes: stats.iter().map(|shard| shard.table.live_bytes).sum(),
                dead_bytes: stats.iter().map(|shard| shard.table.dead_bytes).sum(),
                meaning: MEMORY_MEANING,
            },
            requests: RequestStatus {
                hits: reads.hits,
                misses: reads.misses,
                writes: stats.iter().map(|shard| shard.writes).sum(),
                evictions: stats.iter().map(|shard| shard.table.evictions).sum(),
                expirations: stats.iter().map(|shard| shard.table.expirations).sum(),
                oversize: stats.iter().map(|shard| shard.oversize).sum(),
            },
            cluster: self.cluster(),
        }
    }

    /// How this node is, with how many keys each node has: all of them are asked.
    pub async fn status_with_keys(&self) -> Status {
        let counts = self.count_keys(None).await;
        let mut status = self.status();
        for member in &mut status.cluster.members {
            let count = counts.iter().find(|(node, _)| node.as_str() == member.node);
            member.keys = count.and_then(|(_, keys)| *keys);
        }
        status
    }

    fn cluster(&self) -> ClusterStatus {
        let Some(cluster) = &self.inner.cluster else {
            return ClusterStatus {
                epoch: 1,
                moving: 0,
                members: vec![self.alone()],
                peers: vec![],
                waits_for: None,
                relayed: 0,
            };
        };
        let ClusterReport { epoch, moving, members, peers } = cluster.report();
        let member = |MemberReport { member, state, via, slots, heard_ms, version }| MemberStatus {
            node: member.id.name.to_string(),
            boot_id: member.id.boot.to_string(),
            addr: (!member.addr.is_empty()).then_some(member.addr),
            http: (!member.http.is_empty()).then_some(member.http),
            version,
            state: MemberState::from(state),
            via: via.map(|via| via.name.to_string()),
            slots,
            keys: None,
            heard_ms,
        };
        let members = members.into_iter().map(member).collect();
        let peers = peers.into_iter().map(peer).collect();
        let waits_for = cluster.waits_for().map(|place| place.to_string());
        ClusterStatus { epoch, moving, members, peers, waits_for, relayed: cluster.relayed() }
    }

    /// This node as the only member.
    fn alone(&self) -> MemberStatus {
        let state = match self.state() {
            NodeState::Starting | NodeState::Ready => MemberState::Alive,
            NodeState::Draining => MemberState::Leaving,
        };
        MemberStatus {
            node: self.inner.node.name.to_string(),
            boot_id: self.inner.node.boot.to_string(),
            addr: None,
            http: None,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            state,
            via: None,
            slots: SLOTS,
            keys: None,
            heard_ms: Some(0),
        }
    }

    /// Where `key` is, whether it is there, and why not.
    pub async fn explain(&self, key: &Key) -> Explanation {
        let counts = self.count_keys(Some(key.slot())).await;
        let now = clock::now();
        let router = &self.inner.router;
        let slot = key.slot();
        let other = router.other_owner(slot);
        let entry = router.shard_of(slot).peek(key, now);
        let left_ms = |end: crate::entry::Millis| end.left(now);
        let absent = match &other {
            Some(_) => "another node owns it; ask that one",
            None => "never written, or deleted, expired or evicted since",
        };
        Explanation {
            key: String::from_utf8_lossy(key.as_bytes()).into_owned(),
            slot: slot.0,
            owner: other.as_ref().unwrap_or(self.node()).to_string(),
            shard: router.shard_index_of(slot),
            present: entry.is_some(),
            reason: entry.is_none().then_some(absent),
            version: entry.as_ref().map(|entry| entry.version.to_string()),
            bytes: entry.as_ref().map(|entry| entry.value.len()),
            ttl_ms: entry.as_ref().and_then(|entry| entry.expires_at).map(left_ms),
            slot_keys: counts.into_iter().map(|(node, keys)| (node.to_string(), keys)).collect(),
        }
    }
}
