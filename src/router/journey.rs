//! The way of a command whose slot is not settled: its owner changed, is being found out, or has not
//! got everything of it yet, as it may not have ids either.
//!
//! The owner of a slot does its commands and nobody else. Until it may begin, commands wait with it.
//! Where it may have begun before all entries arrived, what it misses is asked for at those who had
//! the slot before. So a change of owners costs a command time, and never its answer.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::batch::{Group, is_worth_a_journey};
use super::routes::{Source, answer_of};
use super::{Hop, Router};
use crate::clock;
use crate::command::{Command, Reply, Scope};
use crate::entry::{Key, Millis, Version};
use crate::error::Error;
use crate::limits::{ROUTE_PAUSE_MAX, ROUTE_PAUSE_MIN, ROUTE_TIMEOUT};
use crate::member::NodeId;
use crate::partition::Slot;
use crate::peer::Link;
use crate::peer::message::{Refusal, Request, Response};
use crate::record::Record;
use crate::shard::Transfer;

/// What one attempt came to.
pub(super) enum Step {
    /// It is answered.
    Done(Result<Reply, Error>),
    /// It was not done. If nothing changes in time, this is why.
    Wait(Error),
    /// It was not done, as another node is said to have the slot.
    Redirect(NodeId, Error),
}

impl Router {
    /// Has one command done, wherever that is by then.
    pub(super) async fn travel(&self, slot: Slot, command: Command) -> Result<Reply, Error> {
        let place = self.inner.journeys.take(1, command.bytes()).ok_or(Error::Crowded)?;
        let answer = self.travel_until(slot, &command, clock::steady() + ROUTE_TIMEOUT).await;
        drop(place);
        answer
    }

    /// `end` is by the steady clock: who was stopped on the way has not gained any time.
    async fn travel_until(
        &self,
        slot: Slot,
        command: &Command,
        end: Duration,
    ) -> Result<Reply, Error> {
        let mut changes = self.inner.changes.subscribe();
        let mut redirect = None;
        let mut pause = ROUTE_PAUSE_MIN;
        loop {
            // What is published from here on is seen by the wait below.
            changes.mark_unchanged();
            let was_redirected = redirect.is_some();
            let error = match self.step(slot, command, redirect.take()).await {
                Step::Done(answer) => return answer,
                // Once: of two nodes that name each other, one is about to learn better.
                Step::Redirect(owner, _) if !was_redirected => {
                    redirect = Some(owner);
                    continue;
                }
                Step::Redirect(_, error) | Step::Wait(error) => error,
            };
            let left = end.saturating_sub(clock::steady());
            if left.is_zero() {
                return Err(error);
            }
            wait(&mut changes, left.min(pause)).await;
            pause = ROUTE_PAUSE_MAX.min(2 * pause);
        }
    }

    /// Has commands done, those of one slot one after the other, and returns their places and what
    /// became of them.
    pub(super) async fn travel_all(
        &self,
        Group { places, commands }: Group,
        hop: Hop,
    ) -> Vec<(usize, Result<Reply, Error>)> {
        let bytes = commands.iter().map(Command::bytes).sum();
        let Some(room) = self.inner.journeys.take(commands.len(), bytes) else {
            return places.into_iter().map(|at| (at, Err(Error::Crowded))).collect();
        };
        let mut by_slot: HashMap<Slot, Vec<(usize, Command)>> = HashMap::new();
        for (at, command) in places.into_iter().zip(commands) {
            // What is about no slot is on no journey.
            let slot = command.slot().unwrap_or(Slot(0));
            by_slot.entry(slot).or_default().push((at, command));
        }
        let end = clock::steady() + ROUTE_TIMEOUT;
        let journeys = by_slot.into_iter().map(async |(slot, commands)| match hop {
            Hop::First => self.travel_in_order(slot, commands, end).await,
            Hop::Last => self.try_in_order(slot, commands).await,
        });
        let answers = join_all(journeys).await.into_iter().flatten().collect();
        drop(room);
        answers
    }

    async fn travel_in_order(
        &self,
        slot: Slot,
        commands: Vec<(usize, Command)>,
        end: Duration,
    ) -> Vec<(usize, Result<Reply, Error>)> {
        let mut answers = Vec::with_capacity(commands.len());
        for (at, command) in commands {
            answers.push((at, self.travel_until(slot, &command, end).await));
        }
        answers
    }

    /// Tries commands of another node once, up to the first that is not done: whoever sent them waits,
    /// as here they would hold up what came with them.
    async fn try_in_order(
        &self,
        slot: Slot,
        commands: Vec<(usize, Command)>,
    ) -> Vec<(usize, Result<Reply, Error>)> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut stopped = None;
        for (at, command) in commands {
            let answer = match &stopped {
                Some(error) => Err(Error::clone(error)),
                None => self.try_here(slot, &command).await,
            };
            if let Err(error) = &answer
                && is_worth_a_journey(error, &command)
            {
                stopped = Some(error.clone());
            }
            answers.push((at, answer));
        }
        answers
    }

    async fn try_here(&self, slot: Slot, command: &Command) -> Result<Reply, Error> {
        let now = clock::now();
        if !self.inner.gate.serves(slot, now) {
            return Err(Error::NotHere { slot: slot.0 });
        }
        match self.run_arriving(slot, command, now).await {
            Step::Done(answer) => answer,
            Step::Wait(error) | Step::Redirect(_, error) => Err(error),
        }
    }

    async fn step(&self, slot: Slot, command: &Command, redirect: Option<NodeId>) -> Step {
        let now = clock::now();
        let gate = &self.inner.gate;
        if gate.serves(slot, now) {
            return self.run_arriving(slot, command, now).await;
        }
        if gate.is_ours(slot) {
            return Step::Wait(Error::NotHere { slot: slot.0 });
        }
        let routes = self.routes();
        let redirect = redirect.and_then(|owner| routes.link_to(&owner));
        match redirect.or_else(|| routes.link(slot)) {
            Some(link) => run_there(link, slot, command).await,
            None => Step::Wait(Error::Unreachable { owner: self.name_of(slot) }),
        }
    }

    /// Has a command done by its shard, after what is missing for it was fetched.
    async fn run_arriving(&self, slot: Slot, command: &Command, now: Millis) -> Step {
        let shard = self.shard_of(slot);
        if self.inner.gate.is_arriving(slot) {
            if let Scope::Whole(..) = command.scope() {
                return Step::Wait(Error::NotHere { slot: slot.0 });
            }
            for key in command.keys() {
                if let Err(error) = self.fetch_missing(key).await {
                    return Step::Wait(error);
                }
            }
        }
        if let Some(reply) = shard.read(command, now) {
            let is_found = reply.is_found();
            // Looked at once more: what is missed now may have gone on to another node.
            return match is_found || self.inner.gate.serves(slot, clock::now()) {
                true => Step::Done(Ok(reply)),
                false => Step::Wait(Error::NotHere { slot: slot.0 }),
            };
        }
        match shard.write_one(command.clone()).await {
            Err(error @ (Error::NotHere { .. } | Error::NoIds)) => Step::Wait(error),
            answer => Step::Done(answer),
        }
    }

    /// Takes over what the nodes that had the slot before know of the key.
    ///
    /// Not where something is known of it here: what arrives is never older than what those nodes
    /// still have, as they write no more. Unless it was left here from an earlier time.
    async fn fetch_missing(&self, key: &Key) -> Result<(), Error> {
        let slot = key.slot();
        let is_sure = !self.inner.gate.is_doubtful(slot);
        if is_sure && self.shard_of(slot).knows(key, clock::now()) {
            return Ok(());
        }
        let routes = self.routes();
        let Some(sources) = routes.sources.get(&slot) else {
            // All has arrived since, or who has it is about to be published.
            return match self.inner.gate.is_arriving(slot) {
                true => Err(Error::NotHere { slot: slot.0 }),
                false => Ok(()),
            };
        };
        for found in join_all(sources.iter().map(|source| source.fetch(key))).await {
            let Some((source, record)) = found? else { continue };
            let version = record.version();
            let taken = vec![Transfer::TakeOver(record)];
            self.shard_of(slot).transfer(taken).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            forget(source, key, version).await;
        }
        Ok(())
    }
}

impl Source {
    /// What this node knows of a key, with the way to it.
    async fn fetch(&self, key: &Key) -> Result<Option<(&Link, Record)>, Error> {
        let unreachable = || Error::Unreachable { owner: self.id.name.as_str().into() };
        let link = self.link.as_ref().ok_or_else(unreachable)?;
        match link.ask(Request::Fetch(vec![key.clone()])).await {
            Ok(Response::Fetched(mut records)) => {
                Ok(records.pop().flatten().map(|record| (link, record)))
            }
            // Whatever else it says, it did not say that it knows nothing.
            Ok(_) | Err(_) => Err(unreachable()),
        }
    }
}

/// Has a source forget what was taken over: it would be asked again for what is overwritten here, once
/// the new value has ended. If it does not hear of it, it sends it, and is told that it is old.
async fn forget(source: &Link, key: &Key, version: Version) {
    if source.ask(Request::Took(vec![(key.clone(), version)])).await.is_err() {
        debug!(peer = %source.peer(), "a source was not told what was taken over");
    }
}

/// Has a command done by the node that is thought to own its slot.
pub(super) async fn run_there(link: &Link, slot: Slot, command: &Command) -> Step {
    let outcome = link.run_one(command).await;
    let moved_to = match &outcome {
        Ok(Err(Refusal::Moved { owner })) => owner.clone(),
        _ => None,
    };
    match (answer_of(outcome, slot, link), moved_to) {
        (Err(error), Some(owner)) => Step::Redirect(owner, error),
        // Nothing was to happen.
        (Err(Error::Unanswered { owner }), None) if command.is_read() => {
            Step::Wait(Error::Unreachable { owner })
        }
        (Err(error), None) if is_worth_a_journey(&error, command) => Step::Wait(error),
        (answer, _) => Step::Done(answer),
    }
}

/// Waits for a change, or a short while: what changed at another node is not published here.
async fn wait(changes: &mut watch::Receiver<u64>, pause: Duration) {
    // Whether it changed or not, it is looked at again.
    let _ = timeout(pause, changes.changed()).await;
}
