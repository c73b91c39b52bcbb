//! Which node and which shard have a key. It knows where things are and never decides it.
//!
//! What it knows is published by `cluster`: the gate, which says what this node does with each slot,
//! and the [`Routes`] to everybody else. A key that is here costs one look at the gate; everything
//! that is not settled yet (a slot on its way, an owner that changed) is the business of `journey`.

mod journey;
mod routes;

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::command::{Command, Reply, Routed, Scope};
use crate::entry::{Entry, Key, Known, Millis};
use crate::error::Error;
use crate::member::NodeName;
use crate::partition::Slot;
use crate::shard::{Gate, Shard};

pub use routes::{Routes, Source};

use journey::{Step, run_there};

/// The way to every key. Clones are the same router.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<Shard>,
    gate: Arc<Gate>,
    routes: ArcSwap<Routes>,
    /// Counts what was published, for those who wait for something else to be.
    changes: watch::Sender<u64>,
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
    /// A router over `shards`, of which there must be one at least, and which `gate` lets write.
    #[must_use]
    pub fn new(shards: Vec<Shard>, gate: Arc<Gate>, routes: Routes) -> Self {
        assert!(!shards.is_empty(), "a node has one shard at least");
        let routes = ArcSwap::from_pointee(routes);
        Self { inner: Arc::new(Inner { shards, gate, routes, changes: watch::Sender::new(0) }) }
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
        let slot = key.slot();
        if let Some(found) = self.read(slot, key, now) {
            return Ok(found);
        }
        match Box::pin(self.ask(Routed { slot, command: Command::Get(key.clone()) })).await? {
            Reply::Found(found) => Ok(found),
            _ => Err(Error::Unanswered { owner: self.name_of(slot) }),
        }
    }

    /// Has one command done.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`]; [`Error::Unreachable`] (nothing changed) or [`Error::Unanswered`] (it may
    /// have happened) if another node has the key and was not reached in time.
    pub async fn run_one(&self, command: Command, now: Millis) -> Result<Reply, Error> {
        let routed = Routed::new(command);
        if let Scope::Read(key) = routed.command.scope()
            && let Some(found) = self.read(routed.slot, key, now)
        {
            return Ok(Reply::Found(found));
        }
        if routed.command.is_read() || !self.is_settled(routed.slot, now) {
            return Box::pin(self.ask(routed)).await;
        }
        let again = self.inner.gate.has_peers().then(|| routed.clone());
        match (self.shard_of(routed.slot).write_one(routed).await, again) {
            (Err(Error::NotHere { .. }), Some(again)) => {
                Box::pin(self.travel(again, Hop::First)).await
            }
            (answer, _) => answer,
        }
    }

    /// Has a command done that cannot be done here and now: by its owner, who nearly always does it at
    /// once, or else on a journey.
    async fn ask(&self, routed: Routed) -> Result<Reply, Error> {
        let owner = match self.inner.gate.is_ours(routed.slot) {
            true => None,
            false => self.inner.routes.load().link(routed.slot).cloned(),
        };
        if let Some(owner) = owner
            && let Step::Done(answer) = run_there(&owner, &routed).await
        {
            return answer;
        }
        self.travel(routed, Hop::First).await
    }

    /// Has commands done, those on keys of one slot in order, and returns what became of each, in
    /// order.
    ///
    /// A read goes straight to the table, unless the same batch writes to its shard before it: then
    /// it goes with the writes, so that it sees them.
    ///
    /// # Errors
    ///
    /// As [`Self::run_one`], for each command on its own.
    pub async fn run(&self, commands: Vec<Command>, now: Millis) -> Vec<Result<Reply, Error>> {
        let commands = commands.into_iter().map(Routed::new).collect();
        self.run_routed(commands, Hop::First, now).await
    }

    /// As [`Self::run`], for commands whose slots are known.
    ///
    /// # Errors
    ///
    /// As [`Self::run`], and [`Error::NotHere`] (nothing changed) for a last hop that ends at the
    /// wrong node.
    pub async fn run_routed(
        &self,
        commands: Vec<Routed>,
        hop: Hop,
        now: Millis,
    ) -> Vec<Result<Reply, Error>> {
        let mut batch = Batch::new(self, commands.len());
        for routed in commands {
            self.sort(routed, &mut batch, hop, now);
        }
        if batch.is_done() {
            return batch.replies;
        }
        self.finish(batch, hop).await
    }

    /// Puts a command of a batch where it is done: at once, at a shard, at a peer, or on a journey.
    fn sort(&self, routed: Routed, batch: &mut Batch, hop: Hop, now: Millis) {
        let at = batch.replies.len();
        // Until whoever does it has answered.
        batch.replies.push(Err(Error::NotHere { slot: routed.slot.0 }));
        let group = &mut batch.shards[self.shard_index_of(routed.slot)];
        if routed.command.is_read()
            && group.places.is_empty()
            && let Some(found) = self.read(routed.slot, routed.key(), now)
        {
            batch.replies[at] = Ok(Reply::Found(found));
            return;
        }
        if self.is_settled(routed.slot, now) {
            return group.add(at, routed);
        }
        let is_ours = self.inner.gate.is_ours(routed.slot);
        let peer = (!is_ours && hop == Hop::First).then(|| batch.routes.index(routed.slot));
        match peer.flatten() {
            Some(peer) => batch.peer(peer).add(at, routed),
            None => batch.journeys.add(at, routed),
        }
    }

    /// Has all groups of a batch done, and sends on a journey what did not find its owner.
    async fn finish(&self, mut batch: Batch, hop: Hop) -> Vec<Result<Reply, Error>> {
        let shards = std::mem::take(&mut batch.shards).into_iter().enumerate();
        let shards = shards.filter(|(_, group)| !group.places.is_empty());
        let keeps = hop == Hop::First && self.inner.gate.has_peers();
        let shards = shards.map(|(at, group)| {
            let shard = &self.inner.shards[at];
            group.run(keeps, |commands| shard.write(commands))
        });
        let routes = Arc::clone(&batch.routes);
        let peers = std::mem::take(&mut batch.peers).into_iter().map(|(peer, group)| {
            let routes = &routes;
            group.run(true, async move |commands| routes.run(peer, commands).await)
        });
        let (shards, peers) = tokio::join!(join_all(shards), join_all(peers));
        for (group, answers) in shards.into_iter().chain(peers) {
            batch.settle(group, answers);
        }
        let journeys = std::mem::take(&mut batch.journeys);
        for (at, answer) in self.travel_all(journeys, hop).await {
            batch.replies[at] = answer;
        }
        batch.replies
    }

    /// Has the writers of this node do commands, whoever owns their slots, and returns what became of
    /// each, in order.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`], for each command on its own.
    pub async fn write_here(&self, commands: Vec<Routed>) -> Vec<Result<Reply, Error>> {
        let mut batch = Batch::new(self, commands.len());
        for (at, routed) in commands.into_iter().enumerate() {
            batch.replies.push(Err(Error::NotHere { slot: routed.slot.0 }));
            batch.shards[self.shard_index_of(routed.slot)].add(at, routed);
        }
        self.finish(batch, Hop::Last).await
    }

    /// What is known under a key here, whoever owns it.
    #[must_use]
    pub fn known_here(&self, key: &Key) -> Option<Known> {
        self.shard_of(key.slot()).known(key)
    }

    /// Whether commands for `slot` are done here and nothing of it is elsewhere.
    #[inline]
    fn is_settled(&self, slot: Slot, now: Millis) -> bool {
        self.inner.gate.serves(slot, now) && !self.inner.gate.is_arriving(slot)
    }

    /// What is under a key of `slot`, straight from the table; `None` if that says nothing, as the
    /// slot is another's or is not all here.
    #[inline]
    fn read(&self, slot: Slot, key: &Key, now: Millis) -> Option<Option<Entry>> {
        let gate = &self.inner.gate;
        if !gate.serves(slot, now) {
            return None;
        }
        let found = self.shard_of(slot).get(key, now);
        // What is missed may have gone to another node since the first look at the gate.
        let is_sure = match found {
            Some(_) => !gate.is_doubtful(slot),
            None => self.is_settled(slot, now),
        };
        is_sure.then_some(found)
    }

    /// The name of who has a slot, for messages.
    fn name_of(&self, slot: Slot) -> Arc<str> {
        let name = self.inner.routes.load().owner_name(slot);
        name.map_or_else(|| "nobody".into(), |name| name.as_str().into())
    }
}

/// A batch, its commands sorted by who does them.
struct Batch {
    replies: Vec<Result<Reply, Error>>,
    /// By shard.
    shards: Vec<Group>,
    /// By member, where it is another; few.
    peers: Vec<(usize, Group)>,
    journeys: Group,
    /// By which the peers are found.
    routes: Arc<Routes>,
}

/// Commands of a batch and their places in it.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    commands: Vec<Routed>,
}

impl Batch {
    fn new(router: &Router, commands: usize) -> Self {
        Self {
            replies: Vec::with_capacity(commands),
            shards: router.inner.shards.iter().map(|_| Group::default()).collect(),
            peers: vec![],
            journeys: Group::default(),
            routes: router.routes(),
        }
    }

    /// Whether every command was answered at once.
    fn is_done(&self) -> bool {
        let is_empty = |group: &Group| group.places.is_empty();
        self.shards.iter().all(is_empty) && self.peers.is_empty() && is_empty(&self.journeys)
    }

    fn peer(&mut self, peer: usize) -> &mut Group {
        let at = self.peers.iter().position(|(other, _)| *other == peer);
        let at = at.unwrap_or_else(|| {
            self.peers.push((peer, Group::default()));
            self.peers.len() - 1
        });
        &mut self.peers[at].1
    }

    /// Takes the answers to a group; what did not find its owner goes on a journey.
    fn settle(&mut self, group: Group, answers: Vec<Result<Reply, Error>>) {
        let mut kept = group.commands.into_iter();
        for (at, answer) in group.places.into_iter().zip(answers) {
            match (answer, kept.next()) {
                (Err(error), Some(routed)) if is_worth_a_journey(&error, &routed) => {
                    self.journeys.add(at, routed);
                }
                (answer, _) => self.replies[at] = answer,
            }
        }
    }
}

/// Whether a command that was sent may be sent elsewhere: it changed nothing, and may find its owner.
fn is_worth_a_journey(error: &Error, routed: &Routed) -> bool {
    match error {
        Error::NotHere { .. } | Error::Unreachable { .. } => true,
        Error::Unanswered { .. } => routed.command.is_read(),
        _ => false,
    }
}

impl Group {
    fn add(&mut self, at: usize, routed: Routed) {
        self.places.push(at);
        self.commands.push(routed);
    }

    /// Has it done by `run`; what it sends is kept for another try only if it may need one.
    async fn run(
        self,
        keeps: bool,
        run: impl AsyncFnOnce(Vec<Routed>) -> Vec<Result<Reply, Error>>,
    ) -> (Self, Vec<Result<Reply, Error>>) {
        let Self { places, commands } = self;
        let kept = if keeps { commands.clone() } else { vec![] };
        (Self { places, commands: kept }, run(commands).await)
    }
}
