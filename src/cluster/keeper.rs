//! Keeps what this node holds: claims the slots it owns, gives away those it does not, and has the
//! gate and the routes say so.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::sleep;
use tracing::field::display;
use tracing::{debug, info, warn};

use super::Shared;
use super::message::{Claimant, KeeperMsg, MoverMsg};
use super::task::Task;
use crate::clock;
use crate::entry::{Millis, Version};
use crate::limits::{CLAIM_ANSWER_TIMEOUT, CLAIM_PAUSE, HANDOFF_TICK, LEASE};
use crate::member::{Member, NodeId, NodeName};
use crate::partition::{Handoff, HandoffAction, HandoffEvent, PartitionMap, SLOTS, Slot, SlotSet};
use crate::peer::message::{Claim, Claimed, Request, Response};
use crate::router::{Routes, Source};
use crate::shard::{Passage, Shard};
use crate::supervision::{ChildSpec, Kind, Orders};

struct KeeperActor;

struct KeeperState {
    shared: Arc<Shared>,
    me: ActorRef<KeeperMsg>,
    /// What the gate says of each slot, once it was told.
    passages: Vec<Option<Passage>>,
    /// The members, and by way of whom and over which session each is reached, that gate and routes were
    /// last made of. A session may end and another begin between two looks.
    seen: (u64, u64, Vec<(NodeId, NodeId, u64)>),
    /// Slots that were closed, and whose writes may still be under way; by number.
    closing: BTreeMap<u64, SlotSet>,
    closings: u64,
    /// Answers to claims that wait for that.
    waiting: Vec<Waiting>,
    _ticks: Task,
}

/// An answer to a claim.
struct Waiting {
    id: u64,
    /// What was claimed.
    slots: SlotSet,
    residue: SlotSet,
    claimant: Claimant,
}

/// How the keeper is started.
pub(super) fn child(shared: &Arc<Shared>) -> ChildSpec {
    let args = Arc::clone(shared);
    let orders = Orders { first: None, crash: || KeeperMsg::Crash };
    let make = move || (KeeperActor, Arc::clone(&args));
    ChildSpec::of_actor("keeper", Kind::Keeper, &shared.keeper, &orders, make)
}

/// Puts the claim of a peer to the keeper. It is refused if too many wait.
pub(super) async fn ask(
    shared: &Shared,
    from: NodeId,
    Claim { id, digest, slots }: Claim,
) -> Response {
    let Some(keeper) = shared.keeper.actor() else { return Response::ClaimRefused { id } };
    let Ok(place) = Arc::clone(&shared.holdings.claims).try_acquire_owned() else {
        return Response::ClaimRefused { id };
    };
    let event = HandoffEvent::Claim { from, id, digest, slots };
    let claim = |reply| KeeperMsg::Claim(event, Claimant::new(reply, place));
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
        // The last keeper may have ended anywhere between its machine and the gate: all is said anew.
        let mut state = KeeperState {
            passages: vec![None; usize::from(SLOTS)],
            seen: (0, 0, vec![]),
            closing: BTreeMap::new(),
            closings: 0,
            waiting: vec![],
            _ticks: Task::tick(me.clone(), HANDOFF_TICK, KeeperMsg::Tick),
            me,
            shared,
        };
        // What was closed before may not have been waited for.
        state.close(&SlotSet::all());
        state.view_changed();
        Ok(state)
    }

    async fn handle(
        &self,
        _me: ActorRef<KeeperMsg>,
        message: KeeperMsg,
        state: &mut KeeperState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KeeperMsg::Tick(_place) => state.tick(),
            KeeperMsg::View => state.view_changed(),
            KeeperMsg::Handoff(event) => state.step(event, None),
            KeeperMsg::Answered(event, clock) => state.answered(event, clock),
            KeeperMsg::Claim(event, claimant) => state.step(event, Some(claimant)),
            KeeperMsg::Cleared(pass, slots) => state.cleared(pass, slots),
            KeeperMsg::Closed(closing) => state.closed(closing),
            KeeperMsg::Crash => crash(),
        }
        Ok(())
    }
}

fn crash() {
    panic!("crashed on demand");
}

impl KeeperState {
    fn tick(&mut self) {
        if self.shared.keeper_bell.answer() {
            self.view_changed();
        }
        let gate = Arc::clone(&self.shared.gate);
        let now = clock::now();
        let is_over = gate.lease_end() < now;
        if is_over {
            // It was stopped for so long that it may have been replaced, and has to find out first.
            self.step(HandoffEvent::Woke, None);
        }
        self.step(HandoffEvent::Tick, None);
        if !self.shared.holdings.has_closed.load(Ordering::Relaxed) {
            gate.lease_until(match gate.has_peers() {
                true => now.after(LEASE),
                false => Millis(u64::MAX),
            });
        }
        if is_over {
            self.shared.router.wake();
        }
    }

    /// Takes in what discovery sees; views that came in between are passed over.
    fn view_changed(&mut self) {
        self.shared.keeper_bell.answer();
        let sight = self.shared.membership.sight.load_full();
        let way = |member: &Member| {
            let link = self.shared.way(&member.id)?;
            Some((member.id.clone(), link.via().clone(), link.session()))
        };
        let seen =
            (sight.beat.digest, sight.view.epoch(), sight.view.living().filter_map(way).collect());
        if self.seen == seen {
            return;
        }
        self.seen = seen;
        let before = self.shared.handoff().map().cloned();
        let map = match before {
            Some(map) => map.renewed(&sight.view),
            None => PartitionMap::new(&sight.view),
        };
        self.step(HandoffEvent::ViewChanged(Arc::new(map)), None);
    }

    fn answered(&mut self, event: HandoffEvent, version: Version) {
        // Before the slots are opened: what is written then is newer than all that was before.
        let time = clock::cluster(clock::now());
        self.shared.router.shards().iter().for_each(|shard| shard.observe(version, time));
        self.step(event, None);
    }

    /// Notes what a pass of the mover has found, unless the next has begun: what came in addition
    /// meanwhile is known to that one only.
    fn cleared(&mut self, pass: u64, slots: SlotSet) {
        if pass == self.shared.holdings.passes.load(Ordering::Acquire) {
            self.step(HandoffEvent::ResidueCleared(slots), None);
        }
    }

    /// Steps the machine, has gate and routes follow it, and does what it wants done.
    fn step(&mut self, event: HandoffEvent, claimant: Option<Claimant>) {
        let claimed = match &event {
            HandoffEvent::Claim { slots, .. } => slots.clone(),
            _ => SlotSet::new(),
        };
        // Links may be others even where the members are the same.
        let is_view = matches!(event, HandoffEvent::ViewChanged(_));
        let is_quiet = |action: &HandoffAction| match action {
            HandoffAction::Claim { .. }
            | HandoffAction::Refuse { .. }
            | HandoffAction::Answer { .. } => true,
            HandoffAction::Close(_) | HandoffAction::Open(_) | HandoffAction::SourcesChanged => {
                false
            }
        };
        let shared = Arc::clone(&self.shared);
        // In one go: no pass over what is to be moved may begin before the gate is closed.
        let mut handoff = shared.handoff();
        let actions = handoff.step(shared.now(), event);
        if is_view || !actions.iter().all(is_quiet) {
            self.follow(&handoff);
        }
        drop(handoff);
        self.act(actions, &claimed, claimant);
        if !self.shared.handoff().residue().is_empty() {
            self.shared.mover.tell(MoverMsg::Work);
        }
        if self.shared.has_handed_over() {
            self.shared.holdings.progress.notify_one();
        }
    }

    fn act(
        &mut self,
        actions: Vec<HandoffAction>,
        claimed: &SlotSet,
        mut claimant: Option<Claimant>,
    ) {
        let claimer = actions.iter().find_map(|action| match action {
            HandoffAction::Answer { to, .. } => Some(to.name.clone()),
            _ => None,
        });
        for action in actions {
            match action {
                HandoffAction::Claim { to, id, digest, slots } => {
                    self.claim(&to, id, digest, slots);
                }
                HandoffAction::Refuse { to, id } => {
                    if let Some(claimant) = claimant.take() {
                        // Whoever asked may have given up, and asks again.
                        let _ = claimant.reply.send(Response::ClaimRefused { id });
                    }
                    self.shared.told(&to, |told| told.disagrees = true);
                }
                HandoffAction::Close(slots) => {
                    let to = claimer.as_ref().map(display);
                    info!(slots = slots.len(), to, "gave slots away");
                    self.close(&slots);
                }
                HandoffAction::Answer { to: _, id, residue } => {
                    if let Some(claimant) = claimant.take() {
                        let slots = claimed.clone();
                        self.waiting.push(Waiting { id, slots, residue, claimant });
                    }
                }
                HandoffAction::Open(slots) => {
                    let from = self.sources_of(&slots);
                    info!(slots = slots.len(), from, "took slots over");
                }
                HandoffAction::SourcesChanged => {}
            }
        }
        self.answer();
    }

    /// Waits, beside everything else, until no write to slots that were closed is under way.
    fn close(&mut self, slots: &SlotSet) {
        self.closings += 1;
        let closing = self.closings;
        self.closing.insert(closing, slots.clone());
        let (shared, me) = (Arc::clone(&self.shared), self.me.clone());
        tokio::spawn(async move {
            while let Err(reason) = shared.router.barrier().await {
                warn!(%reason, "a shard has not let go of its slots yet");
                sleep(CLAIM_PAUSE).await;
            }
            // An actor that has ended needs not be told: the next one waits for all slots.
            drop(me.cast(KeeperMsg::Closed(closing)));
        });
    }

    fn closed(&mut self, closing: u64) {
        self.closing.remove(&closing);
        self.answer();
    }

    /// Answers the claims of whose slots nothing is under way.
    fn answer(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|waiting| !waiting.claimant.reply.is_closed());
        for Waiting { id, slots, residue, claimant } in waiting {
            if self.closing.values().any(|closing| !closing.and(&slots).is_empty()) {
                self.waiting.push(Waiting { id, slots, residue, claimant });
                continue;
            }
            let shards = self.shared.router.shards().iter();
            let clock = shards.map(Shard::version).max().unwrap_or_default().0;
            // As above.
            let _ = claimant.reply.send(Response::Claimed(Claimed { id, residue, clock }));
        }
    }

    fn claim(&self, to: &NodeId, id: u64, digest: u64, slots: SlotSet) {
        let Some(link) = self.shared.way(to) else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let from = link.peer().clone();
            match link.ask(Request::Claim(Claim { id, digest, slots })).await {
                Ok(Response::Claimed(Claimed { id, residue, clock })) => {
                    let event = HandoffEvent::Answered { from, id, residue };
                    shared.keeper.tell(KeeperMsg::Answered(event, Version(clock)));
                }
                Ok(Response::ClaimRefused { id }) => {
                    let event = HandoffEvent::Refused { from: from.clone(), id };
                    shared.keeper.tell(KeeperMsg::Handoff(event));
                    shared.told(&from, |told| told.disagrees = true);
                }
                // The machine makes it again.
                Ok(_) | Err(_) => debug!(%from, "a claim was not answered"),
            }
        });
    }

    /// Has the routes and the gate say what the machine says.
    fn follow(&mut self, handoff: &Handoff) {
        let Some(map) = handoff.map().cloned() else { return };
        let arriving = handoff.arriving();
        let sources = self.sources(handoff, &arriving);
        let link = |member: &Member| self.shared.way(&member.id);
        let links: Vec<_> = map.members().iter().map(link).collect();
        let others = map.members().iter().map(|member| member.id.clone()).zip(links.clone());
        self.shared.hub.see(others.filter(|(id, _)| *id != self.shared.me));
        // Before the gate: who finds a slot open must find its sources.
        self.shared.router.publish(Routes { map, links, sources });
        let mut changed = vec![];
        for slot in (0..SLOTS).map(Slot) {
            let passage = &mut self.passages[usize::from(slot.0)];
            let serves = handoff.is_held(slot);
            let next = Passage {
                serves,
                is_ours: serves || handoff.is_claiming(slot),
                is_arriving: arriving.contains(slot),
                is_doubtful: handoff.doubtful().contains(slot),
            };
            if *passage != Some(next) {
                *passage = Some(next);
                changed.push((slot, next));
            }
        }
        self.shared.gate.set_all(changed);
        self.shared.router.wake();
    }

    /// Who had slots that were opened and may still have some of them, with how many each.
    fn sources_of(&self, slots: &SlotSet) -> String {
        let routes = self.shared.router.routes();
        let mut counts: BTreeMap<&NodeName, usize> = BTreeMap::new();
        let sources = slots.iter().filter_map(|slot| routes.sources.get(&slot));
        for source in sources.flat_map(|sources| sources.iter()) {
            *counts.entry(&source.id.name).or_default() += 1;
        }
        let shown: Vec<_> = counts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
        if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") }
    }

    /// Who may still have some of each slot that is arriving; one list for all slots with the same.
    fn sources(&self, handoff: &Handoff, arriving: &SlotSet) -> HashMap<Slot, Arc<[Source]>> {
        let mut lists: HashMap<Vec<&NodeId>, Arc<[Source]>> = HashMap::new();
        let mut sources = HashMap::new();
        for slot in arriving.iter() {
            let ids = handoff.sources(slot);
            let source = |id: &&NodeId| Source { id: (*id).clone(), link: self.shared.way(id) };
            let list = lists.entry(ids.clone()).or_insert_with(|| ids.iter().map(source).collect());
            sources.insert(slot, Arc::clone(list));
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::{Cluster, Common};
    use crate::config::ClusterConfig;
    use crate::limits::{CLAIMS_WAITING_MAX, TABLE_BYTES_MIN};
    use crate::member::{Boot, NodeName, Standing, View};
    use crate::router::Router;
    use crate::shard::Gate;
    use crate::table::{Table, TableConfig};

    /// A keeper that does not get to anything.
    struct Busy;

    impl Actor for Busy {
        type Msg = KeeperMsg;
        type State = ();
        type Arguments = ();

        async fn pre_start(
            &self,
            _me: ActorRef<KeeperMsg>,
            (): (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _me: ActorRef<KeeperMsg>,
            _message: KeeperMsg,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            std::future::pending().await
        }
    }

    fn node(name: &str, boot: u64) -> NodeId {
        NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) }
    }

    fn cluster() -> Cluster {
        let me = Member {
            id: node("a", 1),
            addr: String::new(),
            http: String::new(),
            incarnation: 1,
            standing: Standing::Alive,
            weight: 1,
        };
        let gate = Arc::new(Gate::default());
        let routes = Routes::alone(&View::new(1, [me.clone()]));
        let table = Table::new(&TableConfig::new(TABLE_BYTES_MIN));
        let (shard, _) = Shard::new(0, table, Arc::clone(&gate), Arc::default());
        let router = Router::new(me.id.clone(), vec![shard], Arc::clone(&gate), routes);
        Cluster::new(me, &ClusterConfig::alone(), router, gate, Common::alone())
    }

    #[tokio::test(start_paused = true)]
    async fn claims_over_the_limit_are_refused_at_once() {
        let shared = cluster().shared;
        let (keeper, busy) = Actor::spawn(None, Busy, ()).await.unwrap();
        shared.keeper.set(keeper.clone());
        let claim = |id| {
            let shared = Arc::clone(&shared);
            async move {
                let claim = Claim { id, digest: 0, slots: SlotSet::new() };
                ask(&shared, node("b", 2), claim).await
            }
        };
        let waiting: Vec<_> =
            (0..CLAIMS_WAITING_MAX as u64).map(|id| tokio::spawn(claim(id))).collect();
        while 0 < shared.holdings.claims.available_permits() {
            tokio::task::yield_now().await;
        }
        let began = tokio::time::Instant::now();
        assert_eq!(claim(9_999).await, Response::ClaimRefused { id: 9_999 });
        assert_eq!(began.elapsed(), Duration::ZERO);
        // Who has given up is still in the mailbox, and so is its place.
        for (id, claim) in (0..).zip(waiting) {
            assert_eq!(claim.await.unwrap(), Response::ClaimRefused { id });
        }
        assert_eq!(shared.holdings.claims.available_permits(), 0);
        keeper.kill();
        drop(busy.await);
        assert_eq!(shared.holdings.claims.available_permits(), CLAIMS_WAITING_MAX);
    }
}
