//! The facade: what every door calls, and all it may call.
//!
//! It checks a command, has it done, and tells how the node is. Doors turn bytes into commands and
//! replies into bytes and name nothing behind this.

mod figures;
mod listing;
mod policies;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::cluster::Cluster;
use crate::command::{
    Command, Condition, CountKeys, DeleteMany, NextId, NodeReply, Nodes, Put, Reply, Stored,
};
use crate::entry::{Entry, Key, Version};
use crate::error::Error;
use crate::limits::{BATCH_COMMANDS_MAX, DELETE_KEYS_MAX, ID_ATTEMPTS_MAX, ID_SEARCH_TIMEOUT};
use crate::member::{Member, NodeId, NodeName};
use crate::partition::{SLOTS, Slot};
use crate::router::Router;
use crate::supervision::Supervisor;
use crate::trace;

pub use crate::cluster::ForgetError;
pub use crate::command::Figures as NamespaceFigures;
pub use crate::hub::{
    Delivery, Dropped, Hub, Message, NotJoined, NotPublished, Space, Subscriber, Tap, Topic, Watch,
};
pub use crate::peer::Chaos;
pub use crate::policy::{Policy, PolicyError};
pub use crate::supervision::{CrashError, Tree};
pub use crate::table::Found;
pub use figures::{ClusterFigures, Figures};
pub use listing::{Listed, Walk};
pub use policies::{Governance, Made, Measured, NotGoverned};
pub use status::{
    ClusterStatus, Explanation, MemberState, MemberStatus, MemoryStatus, NodeState, PeerStatus,
    RequestStatus, ShardStatus, Status,
};

/// Why connections are not disturbed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisturbError {
    /// There is no cluster here.
    #[error("this node is alone; allowed: on a node started with --cluster")]
    Alone,
    /// There is no other node of that name.
    #[error("no other node is called {peer:.100}; allowed: {others}")]
    Unknown {
        /// The name.
        peer: String,
        /// The names there are.
        others: String,
    },
}

/// Whose connections are disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbed<'a> {
    /// Those of a node that is or was there.
    Known(&'a str),
    /// Those of any node of that name, also of one that is still to come.
    Any(&'a str),
}

/// A node and the slots it owns, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotOwner {
    /// Which node.
    pub name: NodeName,
    /// Its slots.
    pub slots: Vec<Slot>,
}

impl SlotOwner {
    fn of(member: &Member) -> Self {
        Self { name: member.id.name.clone(), slots: vec![] }
    }
}

/// The cache of this node. Clones are the same cache.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    started: Instant,
    value_bytes_max: usize,
    router: Router,
    hub: Hub,
    supervisor: Supervisor,
    cluster: Option<Cluster>,
    governance: Governance,
    state: watch::Sender<NodeState>,
    /// Whether a client has asked this node to drain.
    drain_asked: watch::Sender<bool>,
}

impl Cache {
    /// A cache over `router`, on the node `node`, which is part of `cluster` if there is one and goes by
    /// `governance`.
    #[must_use]
    pub fn new(
        node: NodeId,
        value_bytes_max: usize,
        router: Router,
        hub: Hub,
        supervisor: Supervisor,
        cluster: Option<Cluster>,
        governance: Governance,
    ) -> Self {
        let state = watch::Sender::new(NodeState::Starting);
        let started = Instant::now();
        let inner = Inner {
            node,
            started,
            value_bytes_max,
            router,
            hub,
            supervisor,
            cluster,
            governance,
            state,
            drain_asked: watch::Sender::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The entry under a key, `None` if it is absent.
    ///
    /// # Errors
    ///
    /// [`Error`], if whoever has the key does not answer.
    #[inline]
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let found = self.inner.router.get(key, clock::now()).await;
        note_miss(&found);
        found
    }

    /// The same, with a value of this node left where it is if it has more than `bytes_max`: what is
    /// copied out takes memory for as long as the client takes to read it.
    ///
    /// # Errors
    ///
    /// As [`Cache::get`].
    #[inline]
    pub async fn find(&self, key: &Key, bytes_max: usize) -> Result<Option<Found>, Error> {
        let found = self.inner.router.find(key, clock::now(), bytes_max).await;
        note_miss(&found);
        found
    }

    /// The same at once, from this node alone; `None` if that says nothing, as another node has the key
    /// or may have it.
    #[inline]
    #[must_use]
    pub fn find_here(&self, key: &Key, bytes_max: usize) -> Option<Option<Found>> {
        self.inner.router.find_here(key, clock::now(), bytes_max)
    }

    /// Up to `len` bytes of a value that was found, from `from` on; `None` if it is not here any more.
    #[must_use]
    pub fn part(&self, key: &Key, version: Version, from: usize, len: usize) -> Option<Bytes> {
        self.inner.router.part(key, version, from, len)
    }

    /// The node that owns a key; `None` if it is this one.
    #[must_use]
    pub fn other_owner(&self, key: &Key) -> Option<NodeName> {
        self.inner.router.other_owner(key.slot())
    }

    /// Has one command done.
    ///
    /// # Errors
    ///
    /// [`Error`], which says whether a write may have happened.
    pub async fn run_one(&self, command: Command) -> Result<Reply, Error> {
        self.check(&command)?;
        self.inner.router.run_one(command, clock::now()).await
    }

    /// Has commands done, those of one shard in order, and returns what became of each, in order.
    ///
    /// # Errors
    ///
    /// [`Error::BatchTooLarge`] for all of them; any other for a command on its own.
    pub async fn run(&self, commands: Vec<Command>) -> Result<Vec<Result<Reply, Error>>, Error> {
        if BATCH_COMMANDS_MAX < commands.len() {
            let commands_max = BATCH_COMMANDS_MAX;
            return Err(Error::BatchTooLarge { commands: commands.len(), commands_max });
        }
        if commands.iter().all(|command| self.check(command).is_ok()) {
            return Ok(self.inner.router.run(commands, clock::now()).await);
        }
        let checks: Vec<_> = commands.iter().map(|command| self.check(command)).collect();
        let allowed = commands.into_iter().zip(&checks).filter(|(_, check)| check.is_ok());
        let allowed = allowed.map(|(command, _)| command).collect();
        let mut replies = self.inner.router.run(allowed, clock::now()).await.into_iter();
        let answer = |check: Result<(), Error>| {
            check.and_then(|()| replies.next().unwrap_or(Err(Error::Down { shard: 0 })))
        };
        Ok(checks.into_iter().map(answer).collect())
    }

    /// Stores a value under the next id, from 1, and returns the id with what became of the put. No id
    /// is given twice while one node of the cluster lives.
    ///
    /// Ids whose decimal string is a key already are passed over, so that no entry is overwritten.
    ///
    /// # Errors
    ///
    /// As [`Cache::run_one`], and [`Error::IdsTaken`] if too many ids in a row are keys.
    pub async fn put_next(&self, put: Put) -> Result<(u64, Reply), Error> {
        let began = Instant::now();
        for attempts in 1..=ID_ATTEMPTS_MAX {
            let Reply::Number(id) = self.run_one(NextId.into()).await? else {
                continue;
            };
            let Ok(key) = Key::new(id.to_string()) else { continue };
            let put = Put { key, condition: Condition::Absent, ..put.clone() };
            match self.run_one(Command::Put(put)).await? {
                Reply::Stored(Stored::Refused) => {}
                reply => return Ok((id, reply)),
            }
            if ID_SEARCH_TIMEOUT < began.elapsed() {
                return Err(Error::IdsTaken { attempts });
            }
        }
        Err(Error::IdsTaken { attempts: ID_ATTEMPTS_MAX })
    }

    /// Deletes several entries, those of one slot at once or not at all, and returns how many there
    /// were.
    ///
    /// # Errors
    ///
    /// [`Error`] of the first slot whose entries were not deleted; those of other slots may be. It can
    /// be asked for again.
    pub async fn delete_many(&self, keys: Vec<Key>) -> Result<u64, Error> {
        let mut by_slot: BTreeMap<Slot, Vec<Key>> = BTreeMap::new();
        for key in keys {
            by_slot.entry(key.slot()).or_default().push(key);
        }
        let parts = by_slot.values().flat_map(|keys| keys.chunks(DELETE_KEYS_MAX));
        // Each part is of one slot, not empty and not too long.
        let commands = parts.filter_map(|keys| DeleteMany::new(keys.to_vec()).ok());
        let replies = self.run(commands.map(Command::from).collect()).await?;
        replies.into_iter().try_fold(0, |deleted, reply| match reply? {
            Reply::Number(more) => Ok(deleted + more),
            _ => Ok(deleted),
        })
    }

    /// How many keys each node has, in all or of one slot; `None` for a node that does not say so in
    /// time.
    pub async fn count_keys(&self, slot: Option<Slot>) -> Vec<(NodeName, Option<u64>)> {
        let count = CountKeys { slot, nodes: Nodes::Every };
        let counted = self.run_one(count.into()).await;
        let Ok(Reply::Many(replies)) = counted else { return vec![] };
        let number = |NodeReply { node, reply }| match reply {
            Ok(Reply::Number(keys)) => (node, Some(keys)),
            Ok(_) | Err(_) => (node, None),
        };
        replies.into_iter().map(number).collect()
    }

    /// Where messages are published, and listened to.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// Where clients of Redis's protocol reach other nodes, as far as these say so.
    pub async fn resp_addrs(&self) -> BTreeMap<NodeName, String> {
        match &self.inner.cluster {
            Some(cluster) => cluster.resp_addrs().await,
            None => BTreeMap::new(),
        }
    }

    /// The name of this node.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.inner.node.name
    }

    /// Whether this node is one that others may join.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.inner.cluster.is_some()
    }

    /// The node that owns a slot.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> NodeName {
        self.inner.router.other_owner(slot).unwrap_or_else(|| self.node().clone())
    }

    /// Who owns which slots, in the order of names. A slot that nobody owns is missing.
    #[must_use]
    pub fn slot_owners(&self) -> Vec<SlotOwner> {
        let map = &self.inner.router.routes().map;
        let mut owners: Vec<_> = map.members().iter().map(SlotOwner::of).collect();
        for slot in (0..SLOTS).map(Slot) {
            if let Some(owner) = map.owner_index(slot) {
                owners[usize::from(owner)].slots.push(slot);
            }
        }
        owners
    }

    /// Disturbs the connections to a node, for demonstrations and tests.
    ///
    /// # Errors
    ///
    /// [`DisturbError`] on a node without `--cluster`, and for a node that was never met.
    pub fn disturb(&self, whose: Disturbed<'_>, chaos: Chaos) -> Result<(), DisturbError> {
        let cluster = self.inner.cluster.as_ref().ok_or(DisturbError::Alone)?;
        let peer = match whose {
            Disturbed::Any(peer) => peer,
            Disturbed::Known(peer) => {
                let others = cluster.others();
                if !others.contains(peer) {
                    let others = match others.is_empty() {
                        true => "none yet".to_owned(),
                        false => Vec::from_iter(others).join(", "),
                    };
                    return Err(DisturbError::Unknown { peer: peer.to_owned(), others });
                }
                peer
            }
        };
        cluster.chaos(peer, chaos);
        Ok(())
    }

    /// Has everybody forget a member that is dead or has left.
    ///
    /// # Errors
    ///
    /// [`ForgetError`].
    pub async fn forget(&self, name: &str) -> Result<(), ForgetError> {
        match &self.inner.cluster {
            Some(cluster) => cluster.forget(name).await,
            None => Err(ForgetError::Alone),
        }
    }

    /// What this node waits for before it is ready; `None` if it waits for nothing.
    #[must_use]
    pub fn waits_for(&self) -> Option<Arc<String>> {
        self.inner.cluster.as_ref().and_then(Cluster::waits_for)
    }

    /// The largest value that is stored, in bytes.
    #[must_use]
    pub fn value_bytes_max(&self) -> usize {
        self.inner.value_bytes_max
    }

    /// The supervision tree as it is.
    #[must_use]
    pub fn tree(&self) -> Arc<Tree> {
        self.inner.supervisor.tree()
    }

    /// Makes a supervised actor panic, for demonstrations.
    ///
    /// # Errors
    ///
    /// [`CrashError`]; nothing was crashed.
    pub async fn crash(&self, child: &str) -> Result<(), CrashError> {
        self.inner.supervisor.crash(child).await
    }

    /// What this node is about to do with requests.
    #[must_use]
    pub fn state(&self) -> NodeState {
        *self.inner.state.borrow()
    }

    /// Publishes what this node is about to do with requests.
    pub fn set_state(&self, state: NodeState) {
        self.inner.state.send_replace(state);
    }

    /// Has this node hand over what it has, and end.
    pub fn ask_to_drain(&self) {
        self.inner.drain_asked.send_replace(true);
    }

    /// Waits until that was asked for.
    pub async fn drain_asked(&self) {
        let mut asked = self.inner.drain_asked.subscribe();
        // The sender is held by `self`.
        drop(asked.wait_for(|is_asked| *is_asked).await);
    }

    fn check(&self, command: &Command) -> Result<(), Error> {
        match command {
            Command::Put(put) => self.check_value(&put.value),
            Command::Swap(swap) => self.check_value(&swap.value),
            Command::Together(together) => {
                together.commands().iter().try_for_each(|command| self.check(command))
            }
            _ => Ok(()),
        }
    }

    fn check_value(&self, value: &[u8]) -> Result<(), Error> {
        let (bytes, bytes_max) = (value.len(), self.inner.value_bytes_max);
        match bytes <= bytes_max {
            true => Ok(()),
            false => Err(Error::ValueTooLarge { bytes, bytes_max }),
        }
    }
}

#[inline]
fn note_miss<T>(found: &Result<Option<T>, Error>) {
    if matches!(found, Ok(None)) {
        trace::missed();
    }
}
