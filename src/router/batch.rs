//! Many commands at once: sorted by who does them, done beside each other, and for each slot in order.
//!
//! In order means: what is behind a command that was not done is not done before it, whatever is cut,
//! refused, put off or sent again. So all commands on one slot have one way, which is looked up for
//! the whole batch at a time in which the gate did not change; whoever does them stops with a slot at
//! the first command it does not do; and what is left of a slot goes on a journey in order.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Hop, Router, Routes};
use crate::command::{Command, Reply};
use crate::entry::Millis;
use crate::error::Error;
use crate::limits::GATE_LOOKS_MAX;
use crate::partition::Slot;

/// Which way a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Its slot is here, and all of it.
    Shard,
    /// A member has it, by its place in the routes.
    Peer(usize),
    /// It has to be found out.
    Journey,
    /// It is about no slot.
    Wide,
}

/// A batch, its commands sorted by who does them.
struct Batch {
    replies: Vec<Result<Reply, Error>>,
    /// By shard.
    shards: Vec<Group>,
    /// By member, where it is another; few.
    peers: Vec<(usize, Group)>,
    journeys: Group,
    wide: Group,
    /// Slots of which a read was put off: what is behind it is put off too.
    later: Vec<Slot>,
    /// Bytes of what was read at once.
    bytes: usize,
    reply_bytes_max: usize,
}

/// Commands of a batch and their places in it.
#[derive(Default)]
pub(super) struct Group {
    pub(super) places: Vec<usize>,
    pub(super) commands: Vec<Command>,
}

impl Router {
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
        self.run_batch(commands, Hop::First, usize::MAX, now).await
    }

    /// As [`Self::run`], for commands that another node sent. Reads are put off once what goes back has
    /// `reply_bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::run`], and [`Error::NotHere`] for a command whose slot is another's or
    /// [`Error::Later`] for one that was put off (nothing changed).
    pub async fn run_last(
        &self,
        commands: Vec<Command>,
        reply_bytes_max: usize,
        now: Millis,
    ) -> Vec<Result<Reply, Error>> {
        self.run_batch(commands, Hop::Last, reply_bytes_max, now).await
    }

    async fn run_batch(
        &self,
        commands: Vec<Command>,
        hop: Hop,
        reply_bytes_max: usize,
        now: Millis,
    ) -> Vec<Result<Reply, Error>> {
        let routes = self.routes();
        let ways = self.ways(&commands, &routes, hop, now);
        let mut batch = Batch::new(self.inner.shards.len(), commands.len(), reply_bytes_max);
        for (command, way) in commands.into_iter().zip(ways) {
            self.sort(command, way, &mut batch, now);
        }
        if batch.is_done() {
            return batch.replies;
        }
        self.finish(batch, &routes, hop, now).await
    }

    /// The way of each command. All of one slot have the same, as the gate did not change meanwhile;
    /// if it never stands still, all go on a journey.
    fn ways(&self, commands: &[Command], routes: &Routes, hop: Hop, now: Millis) -> Vec<Way> {
        for _ in 0..GATE_LOOKS_MAX {
            let looked = self.inner.gate.look(now, |look| {
                let way = |command: &Command| {
                    let Some(slot) = command.slot() else { return Way::Wide };
                    if look.is_settled(slot) {
                        return Way::Shard;
                    }
                    let is_elsewhere = hop == Hop::First && !look.is_ours(slot);
                    let peer = is_elsewhere.then(|| routes.index(slot)).flatten();
                    peer.map_or(Way::Journey, Way::Peer)
                };
                commands.iter().map(way).collect()
            });
            if let Some(ways) = looked {
                return ways;
            }
        }
        let way = |command: &Command| command.slot().map_or(Way::Wide, |_| Way::Journey);
        commands.iter().map(way).collect()
    }

    /// Puts a command of a batch where it is done; what can be read at once is.
    fn sort(&self, command: Command, way: Way, batch: &mut Batch, now: Millis) {
        let at = batch.replies.len();
        let slot = command.slot().unwrap_or(Slot(0));
        // Until whoever does it has answered.
        batch.replies.push(Err(Error::NotHere { slot: slot.0 }));
        match way {
            Way::Wide => batch.wide.add(at, command),
            Way::Journey => batch.journeys.add(at, command),
            Way::Peer(peer) => batch.peer(peer).add(at, command),
            Way::Shard => {
                let shard = self.shard_index_of(slot);
                if batch.is_put_off(slot, &command, shard) {
                    batch.replies[at] = Err(Error::Later);
                    return;
                }
                if command.is_read()
                    && batch.shards[shard].places.is_empty()
                    && let Some(reply) = self.read(slot, &command, now)
                {
                    batch.bytes += reply.bytes();
                    batch.replies[at] = Ok(reply);
                    return;
                }
                batch.shards[shard].add(at, command);
            }
        }
    }

    /// Has all groups of a batch done, and sends on a journey what did not find its owner.
    async fn finish(
        &self,
        mut batch: Batch,
        routes: &Arc<Routes>,
        hop: Hop,
        now: Millis,
    ) -> Vec<Result<Reply, Error>> {
        let shards = std::mem::take(&mut batch.shards).into_iter().enumerate();
        let shards: Vec<_> = shards.filter(|(_, group)| !group.places.is_empty()).collect();
        let reply_bytes_max = batch.reply_bytes_left() / shards.len().max(1);
        let shards = shards.into_iter().map(|(at, group)| {
            let shard = &self.inner.shards[at];
            let keeps = hop == Hop::First && group.commands.iter().any(|one| self.may_wait(one));
            group.run(keeps, move |commands| shard.write(commands, reply_bytes_max))
        });
        let peers = std::mem::take(&mut batch.peers).into_iter().map(|(peer, group)| {
            group.run(true, async move |commands| routes.run(peer, commands).await)
        });
        let wide = std::mem::take(&mut batch.wide);
        let wide = wide
            .commands
            .iter()
            .zip(wide.places)
            .map(async |(command, at)| (at, self.run_wide(command, hop, now).await));
        let (shards, peers, wide) = tokio::join!(join_all(shards), join_all(peers), join_all(wide));
        for (at, answer) in wide {
            batch.replies[at] = answer;
        }
        for (group, answers) in shards.into_iter().chain(peers) {
            batch.settle(group, answers);
        }
        let journeys = std::mem::take(&mut batch.journeys);
        for (at, answer) in self.travel_all(journeys, hop).await {
            batch.replies[at] = answer;
        }
        batch.replies
    }
}

impl Batch {
    fn new(shards: usize, commands: usize, reply_bytes_max: usize) -> Self {
        let mut groups = vec![];
        groups.resize_with(shards, Group::default);
        Self {
            replies: Vec::with_capacity(commands),
            shards: groups,
            peers: vec![],
            journeys: Group::default(),
            wide: Group::default(),
            later: vec![],
            bytes: 0,
            reply_bytes_max,
        }
    }

    /// Whether every command was answered at once.
    fn is_done(&self) -> bool {
        let is_empty = |group: &Group| group.places.is_empty();
        self.shards.iter().all(is_empty)
            && self.peers.is_empty()
            && is_empty(&self.journeys)
            && is_empty(&self.wide)
    }

    /// Whether a command has to wait for a later batch: it would be read over the bytes that go back at
    /// a time, or is behind one of its slot that has to. What goes with the writes of its shard is put
    /// off there.
    fn is_put_off(&mut self, slot: Slot, command: &Command, shard: usize) -> bool {
        if self.later.contains(&slot) {
            return true;
        }
        let is_over = self.reply_bytes_max <= self.bytes && self.shards[shard].places.is_empty();
        if is_over && command.is_read() {
            self.later.push(slot);
            return true;
        }
        false
    }

    fn reply_bytes_left(&self) -> usize {
        self.reply_bytes_max.saturating_sub(self.bytes)
    }

    fn peer(&mut self, peer: usize) -> &mut Group {
        let at = self.peers.iter().position(|(other, _)| *other == peer);
        let at = at.unwrap_or_else(|| {
            self.peers.push((peer, Group::default()));
            self.peers.len() - 1
        });
        &mut self.peers[at].1
    }

    /// Takes the answers to a group; what did not find its owner goes on a journey. A read that nobody
    /// answered is asked again, unless the same group wrote to its slot, which it might see then.
    fn settle(&mut self, group: Group, answers: Vec<Result<Reply, Error>>) {
        let unsure = unsure_slots(&group, &answers);
        let mut kept = group.commands.into_iter();
        for (at, answer) in group.places.into_iter().zip(answers) {
            match (answer, kept.next()) {
                (Err(error), Some(command)) if is_worth_a_journey(&error, &command) => {
                    let is_unsure = command.slot().is_some_and(|slot| unsure.contains(&slot));
                    match is_unsure {
                        true => self.replies[at] = Err(error),
                        false => self.journeys.add(at, command),
                    }
                }
                (answer, _) => self.replies[at] = answer,
            }
        }
    }
}

/// The slots of which a write of the group may have happened without an answer.
fn unsure_slots(group: &Group, answers: &[Result<Reply, Error>]) -> Vec<Slot> {
    let is_unsure = |(command, answer): &(&Command, &Result<Reply, Error>)| {
        !command.is_read() && answer.as_ref().is_err_and(Error::may_have_happened)
    };
    let unsure = group.commands.iter().zip(answers).filter(is_unsure);
    unsure.filter_map(|(command, _)| command.slot()).collect()
}

/// Whether a command that was sent may be sent elsewhere: it changed nothing, and may find its owner.
pub(super) fn is_worth_a_journey(error: &Error, command: &Command) -> bool {
    match error {
        Error::NotHere { .. } | Error::Unreachable { .. } | Error::NoIds => true,
        Error::Unanswered { .. } => command.is_read(),
        _ => false,
    }
}

impl Group {
    pub(super) fn add(&mut self, at: usize, command: Command) {
        self.places.push(at);
        self.commands.push(command);
    }

    /// Has it done by `run`; what it sends is kept for another try only if it may need one.
    async fn run(
        self,
        keeps: bool,
        run: impl AsyncFnOnce(Vec<Command>) -> Vec<Result<Reply, Error>>,
    ) -> (Self, Vec<Result<Reply, Error>>) {
        let Self { places, commands } = self;
        let kept = if keeps { commands.clone() } else { vec![] };
        (Self { places, commands: kept }, run(commands).await)
    }
}
