//! Which node and which shard have a key. It knows where things are and never decides it.
//!
//! What it knows is published by `cluster`: the gate, which says what this node does with each slot,
//! and the [`Routes`] to everybody else. A key that is here costs one look at the gate; everything
//! that is not settled yet (a slot on its way, an owner that changed) is the business of `journey`,
//! many commands at once of `batch`, and what every node has to do of `everywhere`.

mod batch;
mod everywhere;
mod journey;
mod routes;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::command::{Access, Command, Get, Reply, Scope};
use crate::entry::{Entry, Key, Millis, Version};
use crate::error::Error;
use crate::limits::{JOURNEY_BYTES_MAX, JOURNEYS_MAX};
use crate::member::{NodeId, NodeName};
use crate::partition::Slot;
use crate::record::Record;
use crate::shard::{Gate, Shard, Transfer};
use crate::supervision::Places;
use crate::table::Found;

pub use routes::{Routes, Source};

use journey::{Step, run_there};

/// The way to every key. Clones are the same router.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    me: NodeId,
    shards: Vec<Shard>,
    gate: Arc<Gate>,
    routes: ArcSwap<Routes>,
    /// Counts what was published, for those who wait for something else to be.
    changes: watch::Sender<u64>,
    /// Places of commands that wait for an owner.
    journeys: Places,
}

/// Whether a command may go on to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// A client sent it.
    First,
    /// A node sent it, so it goes no further: nodes that disagree would send it in circles.
    Last,
}

impl Router {
    /// A router of the node `me` over `shards`, of which there must be one at least, and which `gate`
    /// lets write.
    #[must_use]
    pub fn new(me: NodeId, shards: Vec<Shard>, gate: Arc<Gate>, routes: Routes) -> Self {
        assert!(!shards.is_empty(), "a node has one shard at least");
        let routes = ArcSwap::from_pointee(routes);
        let journeys = Places::new(JOURNEYS_MAX, JOURNEY_BYTES_MAX);
        let changes = watch::Sender::new(0);
        Self { inner: Arc::new(Inner { me, shards, gate, routes, changes, journeys }) }
    }

    /// The shard of a slot: all keys of a slot are in one shard.
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> &Shard {
        &self.inner.shards[self.shard_index_of(slot)]
    }

    /// Which shard has a slot, from 0.
    #[must_use]
    pub fn shard_index_of(&self, slot: Slot) -> usize {
        usize::from(slot.0) % self.inner.shards.len()
    }

    /// All shards, in order.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.inner.shards
    }

    /// Where everything is, as of now.
    #[must_use]
    pub fn routes(&self) -> Arc<Routes> {
        self.inner.routes.load_full()
    }

    /// The node that has a slot; `None` if it is this one.
    #[must_use]
    pub fn other_owner(&self, slot: Slot) -> Option<NodeName> {
        if !self.inner.gate.has_peers() || self.inner.gate.is_ours(slot) {
            return None;
        }
        self.inner.routes.load().owner_name(slot)
    }

    /// Says where everything is from now on.
    pub fn publish(&self, routes: Routes) {
        self.inner.routes.store(Arc::new(routes));
        self.wake();
    }

    /// Has those who wait for a change look again.
    pub fn wake(&self) {
        self.inner.changes.send_modify(|changes| *changes += 1);
    }

    /// The entry under a key.
    ///
    /// # Errors
    ///
    /// As [`Self::run_one`].
    #[inline]
    pub async fn get(&self, key: &Key, now: Millis) -> Result<Option<Entry>, Error> {
        Ok(self.find(key, now, usize::MAX).await?.map(|found| found.entry))
    }

    /// The same, with a value that is here left where it is if it has more than `bytes_max`.
    ///
    /// # Errors
    ///
    /// As [`Self::run_one`].
    #[inline]
    pub async fn find(
        &self,
        key: &Key,
        now: Millis,
        bytes_max: usize,
    ) -> Result<Option<Found>, Error> {
        if let Some(found) = self.find_here(key, now, bytes_max) {
            return Ok(found);
        }
        let slot = key.slot();
        match Box::pin(self.ask(slot, Get { key: key.clone() }.into())).await? {
            Reply::Entry(found) => Ok(found.map(|entry| {
                let value_bytes = entry.value.len();
                Found { entry, value_bytes }
            })),
            _ => Err(Error::Unanswered { owner: self.name_of(slot) }),
        }
    }

    /// The same, straight from the table; `None` if that says nothing, as the slot is another's or is not
    /// all here.
    #[inline]
    #[must_use]
    pub fn find_here(&self, key: &Key, now: Millis, bytes_max: usize) -> Option<Option<Found>> {
        let slot = key.slot();
        if !self.inner.gate.serves(slot, now) {
            return None;
        }
        let found = self.shard_of(slot).find(key, now, bytes_max);
        self.is_sure(slot, found.is_some(), now).then_some(found)
    }

    /// Some of a value of that version, if it is here still, whoever owns it by now.
    #[must_use]
    pub fn part(&self, key: &Key, version: Version, from: usize, len: usize) -> Option<Bytes> {
        self.shard_of(key.slot()).part(key, version, from, len)
    }

    /// Has one command done.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`]; [`Error::Unreachable`] (nothing changed) or [`Error::Unanswered`] (it may
    /// have happened) if another node has the key and was not reached in time; [`Error::Crowded`]
    /// (nothing changed) if too many commands wait for their owners.
    pub async fn run_one(&self, command: Command, now: Millis) -> Result<Reply, Error> {
        let (slot, access) = match command.scope() {
            Scope::Key(key, access) => (key.slot(), access),
            Scope::Slot([key, ..], access) => (key.slot(), access),
            Scope::Whole(slot, access) => (slot, access),
            Scope::Slot([], _) | Scope::EveryNode(_) | Scope::Here(_) => {
                return Box::pin(self.run_wide(&command, Hop::First, now)).await;
            }
        };
        if access == Access::Read
            && let Some(found) = self.read(slot, &command, now)
        {
            return Ok(found);
        }
        if access == Access::Read || !self.is_settled(slot, now) {
            return Box::pin(self.ask(slot, command)).await;
        }
        let again = self.may_wait(&command).then(|| command.clone());
        match (self.shard_of(slot).write_one(command).await, again) {
            (Err(Error::NotHere { .. } | Error::NoIds), Some(again)) => {
                Box::pin(self.travel(slot, again)).await
            }
            (answer, _) => answer,
        }
    }

    /// Has a command done that cannot be done here and now: by its owner, who nearly always does it at
    /// once, or else on a journey.
    async fn ask(&self, slot: Slot, command: Command) -> Result<Reply, Error> {
        let owner = match self.inner.gate.is_ours(slot) {
            true => None,
            false => self.inner.routes.load().link(slot).cloned(),
        };
        if let Some(owner) = owner
            && let Step::Done(answer) = run_there(&owner, slot, &command).await
        {
            return answer;
        }
        self.travel(slot, command).await
    }

    /// Waits until all that was sent to the writers of this node before is done.
    ///
    /// # Errors
    ///
    /// As [`Shard::barrier`]; it may not be done then.
    pub async fn barrier(&self) -> Result<(), Error> {
        join_all(self.inner.shards.iter().map(Shard::barrier)).await.into_iter().collect()
    }

    /// Has the writers of this node take over or forget what moves, whoever owns its slots; whether
    /// each changed something, in order.
    ///
    /// # Errors
    ///
    /// As [`Shard::transfer`], for each on its own.
    pub async fn transfer(&self, transfers: Vec<Transfer>) -> Vec<Result<bool, Error>> {
        let mut groups: Vec<(Vec<usize>, Vec<Transfer>)> = vec![];
        groups.resize_with(self.inner.shards.len(), Default::default);
        let len = transfers.len();
        for (at, transfer) in transfers.into_iter().enumerate() {
            let (places, group) = &mut groups[self.shard_index_of(transfer.slot())];
            places.push(at);
            group.push(transfer);
        }
        let groups = groups.into_iter().zip(&self.inner.shards);
        let groups = groups.filter(|((places, _), _)| !places.is_empty());
        let groups =
            groups.map(async |((places, group), shard)| (places, shard.transfer(group).await));
        // Each of them has a shard that answers for it.
        let mut answers = vec![Ok(false); len];
        for (places, group) in join_all(groups).await {
            for (at, answer) in places.into_iter().zip(group) {
                answers[at] = answer;
            }
        }
        answers
    }

    /// What is known under a key here, whoever owns it.
    #[must_use]
    pub fn record_here(&self, key: &Key) -> Option<Record> {
        self.shard_of(key.slot()).record(key)
    }

    /// Whether a command that goes to a shard of this node may not be done there yet, or not any more.
    fn may_wait(&self, command: &Command) -> bool {
        self.inner.gate.has_peers() || matches!(command, Command::NextId(_))
    }

    /// Whether commands for `slot` are done here and nothing of it is elsewhere.
    #[inline]
    fn is_settled(&self, slot: Slot, now: Millis) -> bool {
        self.inner.gate.is_settled(slot, now)
    }

    /// What comes of a command that is read, straight from the table; `None` if that says nothing, as
    /// the slot is another's or is not all here.
    #[inline]
    fn read(&self, slot: Slot, command: &Command, now: Millis) -> Option<Reply> {
        if !self.inner.gate.serves(slot, now) {
            return None;
        }
        let reply = self.shard_of(slot).read(command, now)?;
        let is_found = reply.is_found();
        self.is_sure(slot, is_found, now).then_some(reply)
    }

    /// Whether what was read of a slot stands. What is missed may have gone to another node since the
    /// first look at the gate.
    #[inline]
    fn is_sure(&self, slot: Slot, is_found: bool, now: Millis) -> bool {
        match is_found {
            true => !self.inner.gate.is_doubtful(slot),
            false => self.is_settled(slot, now),
        }
    }

    /// The name of who has a slot, for messages.
    fn name_of(&self, slot: Slot) -> Arc<str> {
        let name = self.inner.routes.load().owner_name(slot);
        name.map_or_else(|| "nobody".into(), |name| name.as_str().into())
    }
}
