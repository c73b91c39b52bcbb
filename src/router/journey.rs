//! The way of a command whose slot is not settled: its owner changed, is being found out, or has not
//! got everything of it yet.
//!
//! The owner of a slot does its commands and nobody else. Until it may begin, commands wait with it.
//! Where it may have begun before all entries arrived, what it misses is asked for at those who had
//! the slot before. So a change of owners costs a command time, and never its answer.

use std::collections::HashMap;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::routes::{Source, answer_of};
use super::{Group, Hop, Router, is_worth_a_journey};
use crate::clock;
use crate::command::{Command, Reply, Routed};
use crate::entry::{Key, Known, Millis, Version};
use crate::error::Error;
use crate::limits::{ROUTE_PAUSE_MAX, ROUTE_PAUSE_MIN, ROUTE_TIMEOUT};
use crate::member::NodeId;
use crate::partition::Slot;
use crate::peer::Link;
use crate::peer::message::{Refusal, Request, Response};

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
    pub(super) async fn travel(&self, routed: Routed, hop: Hop) -> Result<Reply, Error> {
        let end = Instant::now() + ROUTE_TIMEOUT;
        let mut changes = self.inner.changes.subscribe();
        let mut redirect = None;
        let mut pause = ROUTE_PAUSE_MIN;
        loop {
            // What is published from here on is seen by the wait below.
            changes.mark_unchanged();
            let was_redirected = redirect.is_some();
            let error = match self.step(&routed, hop, redirect.take()).await {
                Step::Done(answer) => return answer,
                // Once: of two nodes that name each other, one is about to learn better.
                Step::Redirect(owner, _) if !was_redirected => {
                    redirect = Some(owner);
                    continue;
                }
                Step::Redirect(_, error) | Step::Wait(error) => error,
            };
            if hop == Hop::Last || end <= Instant::now() {
                return Err(error);
            }
            wait(&mut changes, end.min(Instant::now() + pause)).await;
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
        let mut by_slot: HashMap<Slot, Vec<(usize, Routed)>> = HashMap::new();
        for (at, routed) in places.into_iter().zip(commands) {
            by_slot.entry(routed.slot).or_default().push((at, routed));
        }
        let journeys = by_slot.into_values().map(|commands| async move {
            let mut answers = Vec::with_capacity(commands.len());
            for (at, routed) in commands {
                answers.push((at, self.travel(routed, hop).await));
            }
            answers
        });
        join_all(journeys).await.into_iter().flatten().collect()
    }

    async fn step(&self, routed: &Routed, hop: Hop, redirect: Option<NodeId>) -> Step {
        let (slot, now) = (routed.slot, clock::now());
        let gate = &self.inner.gate;
        if gate.serves(slot, now) {
            return self.run_here(routed, now).await;
        }
        let not_here = Error::NotHere { slot: slot.0 };
        if hop == Hop::Last {
            // Whoever sent it waits: here it would hold up what came with it.
            return Step::Done(Err(not_here));
        }
        if gate.is_ours(slot) {
            return Step::Wait(not_here);
        }
        let routes = self.routes();
        let redirect = redirect.and_then(|owner| routes.link_to(&owner));
        match redirect.or_else(|| routes.link(slot)) {
            Some(link) => run_there(link, routed).await,
            None => Step::Wait(Error::Unreachable { owner: self.name_of(slot) }),
        }
    }

    /// Has a command done by its shard, after what is missing for it was fetched.
    async fn run_here(&self, routed: &Routed, now: Millis) -> Step {
        let shard = self.shard_of(routed.slot);
        if self.inner.gate.is_arriving(routed.slot)
            && let Err(error) = self.fetch_missing(routed).await
        {
            return Step::Wait(error);
        }
        if let Command::Get(key) = &routed.command {
            let found = shard.get(key, now);
            // Looked at once more: what is missed now may have gone on to another node.
            return match found.is_some() || self.inner.gate.serves(routed.slot, clock::now()) {
                true => Step::Done(Ok(Reply::Found(found))),
                false => Step::Wait(Error::NotHere { slot: routed.slot.0 }),
            };
        }
        match shard.write_one(routed.clone()).await {
            Err(error @ Error::NotHere { .. }) => Step::Wait(error),
            answer => Step::Done(answer),
        }
    }

    /// Takes over what the nodes that had the slot before know of the key.
    ///
    /// Not where something is known of it here: what arrives is never older than what those nodes
    /// still have, as they write no more. Unless it was left here from an earlier time.
    async fn fetch_missing(&self, routed: &Routed) -> Result<(), Error> {
        let (key, is_counter) = match &routed.command {
            Command::NextId(name) => (Key::of_counter(name), true),
            command => (command.key().clone(), false),
        };
        let is_sure = !is_counter && !self.inner.gate.is_doubtful(routed.slot);
        if is_sure && self.shard_of(routed.slot).known(&key).is_some() {
            return Ok(());
        }
        let routes = self.routes();
        let Some(sources) = routes.sources.get(&routed.slot) else {
            // All has arrived since, or who has it is about to be published.
            return match self.inner.gate.is_arriving(routed.slot) {
                true => Err(Error::NotHere { slot: routed.slot.0 }),
                false => Ok(()),
            };
        };
        for found in join_all(sources.iter().map(|source| source.fetch(&key))).await {
            let Some((source, known)) = found? else { continue };
            let version = known.version();
            let command = Command::Merge(key.clone(), known);
            let merge = Routed { slot: routed.slot, command };
            self.shard_of(routed.slot).write_one(merge).await?;
            forget(source, &key, version).await;
        }
        Ok(())
    }
}

impl Source {
    /// What this node knows of a key, with the way to it.
    async fn fetch(&self, key: &Key) -> Result<Option<(&Link, Known)>, Error> {
        let unreachable = || Error::Unreachable { owner: self.id.name.as_str().into() };
        let link = self.link.as_ref().ok_or_else(unreachable)?;
        match link.ask(Request::Fetch(vec![key.clone()])).await {
            Ok(Response::Fetched(mut known)) => {
                Ok(known.pop().flatten().map(|moved| (link, moved.known)))
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
pub(super) async fn run_there(link: &Link, routed: &Routed) -> Step {
    let outcome = link.run_one(routed).await;
    let moved_to = match &outcome {
        Ok(Err(Refusal::Moved { owner, .. })) => owner.clone(),
        _ => None,
    };
    match (answer_of(outcome, routed.slot, link), moved_to) {
        (Err(error), Some(owner)) => Step::Redirect(owner, error),
        // Nothing was to happen.
        (Err(Error::Unanswered { owner }), None) if routed.command.is_read() => {
            Step::Wait(Error::Unreachable { owner })
        }
        (Err(error), None) if is_worth_a_journey(&error, routed) => Step::Wait(error),
        (answer, _) => Step::Done(answer),
    }
}

/// Waits for a change, or a short while: what changed at another node is not published here.
async fn wait(changes: &mut watch::Receiver<u64>, end: Instant) {
    // Whether it changed or not, it is looked at again.
    let _ = timeout_at(end, changes.changed()).await;
}
