//! Keeps what this node holds: claims the slots it owns, gives away those it does not, and has the
//! gate and the routes say so.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::Shared;
use super::discovery::DiscoveryMsg;
use super::mover::MoverMsg;
use crate::clock;
use crate::entry::{Millis, Version};
use crate::error::Error;
use crate::limits::{CLAIM_ANSWER_TIMEOUT, HANDOFF_TICK, LEASE};
use crate::member::{Member, NodeId, RosterEvent, View};
use crate::partition::{Handoff, HandoffAction, HandoffEvent, PartitionMap, SLOTS, Slot, SlotSet};
use crate::peer::message::{Request, Response};
use crate::router::{Routes, Source};
use crate::shard::{Passage, Shard};
use crate::supervision::{ChildSpec, Kind, Running};

pub(super) enum KeeperMsg {
    /// Time has passed.
    Tick,
    /// The members, as discovery sees them now, and who of them can be reached.
    View(View),
    /// Something happened to the handoff.
    Handoff(HandoffEvent),
    /// A peer answered a claim, and this is the greatest version it knows.
    Answered(HandoffEvent, Version),
    /// A peer claims slots, and waits for what comes of it.
    Claim(HandoffEvent, RpcReplyPort<Response>),
    /// Panic, for demonstrations.
    Crash,
}

// Never sent to another process.
impl ractor::Message for KeeperMsg {}

struct KeeperActor;

struct KeeperState {
    shared: Arc<Shared>,
    /// What the gate says of each slot.
    passages: Vec<Passage>,
    ticks: JoinHandle<()>,
}

impl Drop for KeeperState {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

/// How the keeper is started.
pub(super) fn child(shared: &Arc<Shared>) -> ChildSpec {
    let shared = Arc::clone(shared);
    ChildSpec::new("keeper", Kind::Keeper, move |supervisor| {
        let shared = Arc::clone(&shared);
        async move {
            let args = Arc::clone(&shared);
            let started = KeeperActor::spawn_linked(None, KeeperActor, args, supervisor).await?;
            shared.keeper.set(started.0.clone());
            Ok(Running::new(started, || KeeperMsg::Crash))
        }
    })
}

/// Puts the claim of a peer to the keeper.
pub(super) async fn ask(
    shared: &Shared,
    from: NodeId,
    id: u64,
    digest: u64,
    slots: SlotSet,
) -> Response {
    let Some(keeper) = shared.keeper.actor() else { return Response::ClaimRefused { id } };
    let event = HandoffEvent::Claim { from, id, digest, slots };
    let claim = |reply| KeeperMsg::Claim(event, reply);
    match keeper.call(claim, Some(CLAIM_ANSWER_TIMEOUT)).await {
        Ok(CallResult::Success(response)) => response,
        // It asks again.
        Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Response::ClaimRefused { id },
    }
}

impl Actor for KeeperActor {
    type Msg = KeeperMsg;
    type State = KeeperState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        me: ActorRef<KeeperMsg>,
        shared: Arc<Shared>,
    ) -> Result<KeeperState, ActorProcessingErr> {
        let view = shared.roster().view().clone();
        // The last keeper may have ended anywhere between its machine and the gate: all is said anew.
        let mut state = KeeperState { shared, passages: vec![], ticks: tick(me) };
        state.view_changed(&view).await;
        Ok(state)
    }

    async fn handle(
        &self,
        _me: ActorRef<KeeperMsg>,
        message: KeeperMsg,
        state: &mut KeeperState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KeeperMsg::Tick => state.tick().await,
            KeeperMsg::View(view) => state.view_changed(&view).await,
            KeeperMsg::Handoff(event) => state.step(event, None).await,
            KeeperMsg::Answered(event, clock) => state.answered(event, clock).await,
            KeeperMsg::Claim(event, reply) => state.step(event, Some(reply)).await,
            KeeperMsg::Crash => crash(),
        }
        Ok(())
    }
}

fn crash() {
    panic!("crashed on demand");
}

fn tick(me: ActorRef<KeeperMsg>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(HANDOFF_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while me.cast(KeeperMsg::Tick).is_ok() {
            ticks.tick().await;
        }
    })
}

impl KeeperState {
    async fn tick(&mut self) {
        let gate = Arc::clone(&self.shared.gate);
        let now = clock::now();
        if gate.lease_end() < now {
            // It was stopped for so long that it may have been replaced, and has to find out first.
            self.step(HandoffEvent::Woke, None).await;
        }
        self.step(HandoffEvent::Tick, None).await;
        gate.lease_until(match gate.has_peers() {
            true => now.after(LEASE),
            false => Millis(u64::MAX),
        });
        self.shared.router.wake();
    }

    async fn view_changed(&mut self, view: &View) {
        let before = self.shared.handoff().map().cloned();
        let map = match before {
            Some(map) => map.renewed(view),
            None => PartitionMap::new(view),
        };
        let map = Arc::new(map);
        self.step(HandoffEvent::ViewChanged(map), None).await;
        self.follow(&SlotSet::new());
    }

    async fn answered(&mut self, event: HandoffEvent, clock: Version) {
        // Before the slots are opened: what is written then is newer than all that was before.
        self.shared.router.shards().iter().for_each(|shard| shard.observe(clock));
        self.step(event, None).await;
    }

    /// Steps the machine, has gate and routes follow it, and does what it wants done.
    async fn step(&mut self, event: HandoffEvent, reply: Option<RpcReplyPort<Response>>) {
        let (left, actions) = {
            let mut handoff = self.shared.handoff();
            let left = handoff.residue().clone();
            (left, handoff.step(self.shared.now(), event))
        };
        let is_quiet = |action: &HandoffAction| match action {
            HandoffAction::Claim { .. }
            | HandoffAction::Refuse { .. }
            | HandoffAction::Answer { .. } => true,
            HandoffAction::Close(_) | HandoffAction::Open(_) | HandoffAction::SourcesChanged => {
                false
            }
        };
        if !actions.iter().all(is_quiet) {
            self.follow(&left);
        }
        self.act(actions, reply).await;
        if !self.shared.handoff().residue().is_empty() {
            self.shared.mover.tell(MoverMsg::Work);
        }
        if self.shared.has_handed_over() {
            self.shared.progress.notify_one();
        }
    }

    async fn act(&mut self, actions: Vec<HandoffAction>, reply: Option<RpcReplyPort<Response>>) {
        let mut reply = reply;
        let mut answer = |response| {
            if let Some(reply) = reply.take() {
                // Whoever asked may have given up, and asks again.
                let _ = reply.send(response);
            }
        };
        for action in actions {
            match action {
                HandoffAction::Claim { to, id, digest, slots } => {
                    self.claim(&to, id, digest, slots);
                }
                HandoffAction::Refuse { to, id } => {
                    answer(Response::ClaimRefused { id });
                    let event = RosterEvent::Disagreed(to);
                    self.shared.discovery.tell(DiscoveryMsg::Roster(event));
                }
                HandoffAction::Close(slots) => {
                    if let Err(reason) = self.barrier().await {
                        // Without a word, so that the claim is made again.
                        warn!(%reason, "a shard did not let go of its slots in time");
                        return;
                    }
                    info!(slots = slots.len(), "gave slots away");
                }
                HandoffAction::Answer { to: _, id, residue } => {
                    let shards = self.shared.router.shards().iter();
                    let clock = shards.map(Shard::version).max().unwrap_or_default().0;
                    answer(Response::Claimed { id, residue, clock });
                }
                HandoffAction::Open(slots) => info!(slots = slots.len(), "took slots over"),
                HandoffAction::SourcesChanged => {}
            }
        }
    }

    /// Waits until no write to a slot that was closed before is under way.
    async fn barrier(&self) -> Result<(), Error> {
        let shards = self.shared.router.shards().iter();
        join_all(shards.map(Shard::barrier)).await.into_iter().collect()
    }

    fn claim(&self, to: &NodeId, id: u64, digest: u64, slots: SlotSet) {
        let Some(link) = self.shared.transport().link(to) else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let from = link.peer().clone();
            match link.ask(Request::Claim { id, digest, slots }).await {
                Ok(Response::Claimed { id, residue, clock }) => {
                    let event = HandoffEvent::Answered { from, id, residue };
                    shared.keeper.tell(KeeperMsg::Answered(event, Version(clock)));
                }
                Ok(Response::ClaimRefused { id }) => {
                    let event = HandoffEvent::Refused { from: from.clone(), id };
                    shared.keeper.tell(KeeperMsg::Handoff(event));
                    let event = RosterEvent::Disagreed(from);
                    shared.discovery.tell(DiscoveryMsg::Roster(event));
                }
                // The machine makes it again.
                Ok(_) | Err(_) => debug!(%from, "a claim was not answered"),
            }
        });
    }

    /// Has the routes and the gate say what the machine says. `left` is what there were left-overs of
    /// before.
    fn follow(&mut self, left: &SlotSet) {
        let handoff = self.shared.handoff();
        let Some(map) = handoff.map().cloned() else { return };
        let arriving = handoff.arriving();
        let sources = self.sources(&handoff, &arriving);
        let link = |member: &Member| self.shared.transport().link(&member.id);
        let links = map.members().iter().map(link).collect();
        // With one source and nothing left from earlier, what has arrived is the newest there is.
        let is_mixed = |slot: &Slot| {
            left.contains(*slot) || sources.get(slot).is_some_and(|sources| 1 < sources.len())
        };
        let mixed: SlotSet = arriving.iter().filter(is_mixed).collect();
        // Before the gate: who finds a slot open must find its sources.
        self.shared.router.publish(Routes { map, links, sources });
        self.passages.resize(usize::from(SLOTS), Passage::default());
        for slot in (0..SLOTS).map(Slot) {
            let passage = &mut self.passages[usize::from(slot.0)];
            let serves = handoff.is_held(slot);
            let is_arriving = arriving.contains(slot);
            *passage = Passage {
                serves,
                is_ours: serves || handoff.is_claiming(slot),
                is_arriving,
                is_doubtful: is_arriving && (passage.is_doubtful || mixed.contains(slot)),
            };
            self.shared.gate.set(slot, *passage);
        }
        self.shared.router.wake();
    }

    /// Who may still have some of each slot that is arriving; one list for all slots with the same.
    fn sources(&self, handoff: &Handoff, arriving: &SlotSet) -> HashMap<Slot, Arc<[Source]>> {
        let mut lists: HashMap<Vec<&NodeId>, Arc<[Source]>> = HashMap::new();
        let mut sources = HashMap::new();
        for slot in arriving.iter() {
            let ids = handoff.sources(slot);
            let source =
                |id: &&NodeId| Source { id: (*id).clone(), link: self.shared.transport().link(id) };
            let list = lists.entry(ids.clone()).or_insert_with(|| ids.iter().map(source).collect());
            sources.insert(slot, Arc::clone(list));
        }
        sources
    }
}
