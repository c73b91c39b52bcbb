//! Finds other nodes, watches them, and publishes who is in the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tracing::{debug, info, warn};

use super::Shared;
use super::dials::{Ending, Look, Place};
use super::ids;
use super::inbox::{FromPeer, Told};
use super::message::{DiscoveryMsg, KeeperMsg};
use super::sight::{Sight, Unanswered, standing_for};
use super::task::Task;
use crate::clock;
use crate::ids::IdEvent;
use crate::limits::{ALONE_AFTER, FORM_AFTER, MEMBER_TICK, TOMBSTONE_TTL, WAITING_LOG_PAUSE};
use crate::member::{Member, NodeId, PeerState, RosterAction, RosterEvent, Standing, View};
use crate::peer::TransportEvent;
use crate::peer::message::{Request, Response};
use crate::supervision::{ChildSpec, Kind, Orders};

struct DiscoveryActor;

struct DiscoveryState {
    me: ActorRef<DiscoveryMsg>,
    shared: Arc<Shared>,
    /// What happened to sessions.
    events: Receiver<TransportEvent>,
    /// Pings without an answer yet, by peer.
    unanswered: Arc<Unanswered>,
    /// When it was last said that this node waits, and does not begin a cluster.
    said_waiting: Option<Duration>,
    _tasks: [Task; 3],
}

/// How discovery is started.
pub(super) fn child(shared: &Arc<Shared>) -> ChildSpec {
    let args = Arc::clone(shared);
    let orders = Orders { first: None, crash: || DiscoveryMsg::Crash };
    let make = move || (DiscoveryActor, Arc::clone(&args));
    ChildSpec::of_actor("discovery", Kind::Discovery, &shared.discovery, &orders, make)
}

impl Actor for DiscoveryActor {
    type Msg = DiscoveryMsg;
    type State = DiscoveryState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        me: ActorRef<DiscoveryMsg>,
        shared: Arc<Shared>,
    ) -> Result<DiscoveryState, ActorProcessingErr> {
        let ticks = Task::tick(me.clone(), MEMBER_TICK, DiscoveryMsg::Tick);
        let events = shared.transport().events();
        let tasks = [ticks, wake_for_sessions(&shared), ids::refill(&shared)];
        // What the last actor had under way is told to nobody.
        shared.dials().forget_attempts();
        let mut state = DiscoveryState {
            me,
            shared,
            events,
            unanswered: Arc::default(),
            said_waiting: None,
            _tasks: tasks,
        };
        state.reconcile();
        Ok(state)
    }

    async fn handle(
        &self,
        _me: ActorRef<DiscoveryMsg>,
        message: DiscoveryMsg,
        state: &mut DiscoveryState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DiscoveryMsg::Tick(_place) => state.tick(),
            DiscoveryMsg::Wake => state.take_in(),
            DiscoveryMsg::Left => state.step(RosterEvent::Left),
            DiscoveryMsg::Forget(name, reply) => {
                state.step(RosterEvent::Forget(name));
                // Who asked may have gone.
                let _ = reply.send(());
            }
            DiscoveryMsg::Tried(place, ending) => state.tried(&place, ending),
            DiscoveryMsg::Crash => crash(),
        }
        Ok(())
    }
}

fn crash() {
    panic!("crashed on demand");
}

/// Has discovery look whenever something happens to sessions.
fn wake_for_sessions(shared: &Arc<Shared>) -> Task {
    let (shared, mut events) = (Arc::clone(shared), shared.transport().events());
    Task::spawn(async move {
        while !matches!(events.recv().await, Err(RecvError::Closed)) {
            shared.wake_discovery();
        }
    })
}

impl DiscoveryState {
    fn tick(&mut self) {
        self.take_in();
        self.step(RosterEvent::Tick);
        self.look_for_detours();
        self.dial();
        self.form();
        self.count_members();
        self.shared.reserve();
        self.shared.compare_knowledge();
    }

    /// Has others go by way of whoever hears them, as it is now.
    fn look_for_detours(&mut self) {
        let detours = self.shared.roster().detours(self.shared.now());
        if self.shared.membership.sight.load().detours != detours {
            for (peer, via) in &detours {
                info!(%peer, %via, "reached by way of another node");
            }
            self.publish();
        }
    }

    /// Takes in what peers told, what happened to sessions, and whether this node goes.
    fn take_in(&mut self) {
        self.shared.discovery_bell.answer();
        // In this order: whoever told something was there by then, and who goes says so before its
        // session ends.
        let Told { peers, floor } = self.shared.membership.inbox.take();
        for (peer, _) in peers.iter().filter(|(_, told)| told.has_left) {
            self.gone(peer);
        }
        self.sessions();
        if let Some(floor) = floor {
            self.step(RosterEvent::Floor(floor));
        }
        for (from, told) in peers {
            self.told(from, told);
        }
        if self.shared.membership.is_leaving.load(Ordering::Relaxed) {
            // Said once, it stays so.
            self.step(RosterEvent::Leave);
        }
    }

    fn told(&mut self, from: NodeId, told: FromPeer) {
        let FromPeer { beat, view, disagrees, has_left: _ } = told;
        if let Some(view) = view {
            self.step(RosterEvent::ViewReceived { from: from.clone(), view });
        }
        if disagrees {
            self.step(RosterEvent::Disagreed(from.clone()));
        }
        // Whose session has ended meanwhile is not heard any more.
        let is_linked = self.shared.roster().links().any(|peer| *peer == from);
        if let Some(beat) = beat.filter(|_| is_linked) {
            self.step(RosterEvent::Heard { from, beat });
        }
    }

    fn sessions(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.session(event),
                Err(TryRecvError::Lagged(_)) => self.reconcile(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Begins a cluster, if this node looked for one and there is none: nobody listens where it looks, or
    /// only nodes that look for one as well. Whoever may be there and was not met may have a cluster
    /// with all slots, and this node waits for it; only for one of whom nothing at all is seen it need not
    /// where it may be alone (`--allow-alone`).
    fn form(&mut self) {
        let shared = &self.shared;
        if shared.roster().own().standing != Standing::Joining {
            return;
        }
        let peers = shared.transport().peers();
        let age = shared.now();
        let is_joining = |peer: &Member| {
            let roster = shared.roster();
            roster.view().get(&peer.id.name).is_some_and(|m| m.standing == Standing::Joining)
        };
        let missing = shared.dials().missing(&peers);
        let is_clear = match &missing {
            None => peers.is_empty() || FORM_AFTER <= age,
            Some(missing) => missing.is_silent && shared.may_be_alone && ALONE_AFTER <= age,
        };
        match missing {
            _ if is_clear && peers.iter().all(is_joining) => {
                shared.membership.has_formed.store(true, Ordering::Relaxed);
                self.step(RosterEvent::Form);
            }
            Some(missing) => {
                let what = format!("there may be a cluster at {missing}");
                shared.membership.set_waits_for(Some(what.clone()));
                if missing.is_tried {
                    self.say_waiting(&what);
                }
            }
            None => shared.membership.set_waits_for(None),
        }
    }

    /// Looks whether as many members are alive as there have to be, until once there are. From then on the
    /// node stays ready: to take more nodes out of service as some are lost would make it worse.
    fn count_members(&mut self) {
        let shared = Arc::clone(&self.shared);
        let membership = &shared.membership;
        if *membership.is_complete.borrow() || !*membership.has_joined.borrow() {
            return;
        }
        let is_alive = |(_, state, _): &(&Member, PeerState, _)| *state == PeerState::Alive;
        let alive = shared.roster().states(shared.now()).filter(is_alive).count();
        let members_min = shared.members_min;
        if members_min <= alive {
            membership.set_waits_for(None);
            membership.is_complete.send_replace(true);
            return;
        }
        let what = format!("{members_min} members (--members-min), of which {alive} are alive");
        membership.set_waits_for(Some(what.clone()));
        self.say_waiting(&what);
    }

    /// Says once in a while that this node waits.
    fn say_waiting(&mut self, what: &str) {
        let now = self.shared.now();
        if self.said_waiting.is_none_or(|at| at + WAITING_LOG_PAUSE <= now) {
            self.said_waiting = Some(now);
            warn!("waiting: {what}");
        }
    }

    /// Takes in which sessions there are, as some of what happened to them was not seen.
    fn reconcile(&mut self) {
        let peers = self.shared.transport().peers();
        let known: Vec<_> = self.shared.roster().links().cloned().collect();
        for peer in known.iter().filter(|known| peers.iter().all(|peer| peer.id != **known)) {
            self.closed(peer.clone(), "it ended unseen");
        }
        for peer in peers.iter().filter(|peer| !known.contains(&peer.id)) {
            self.opened(peer);
        }
    }

    fn session(&mut self, event: TransportEvent) {
        match event {
            TransportEvent::Opened(peer) => self.opened(&peer),
            TransportEvent::Closed { peer, reason } => self.closed(peer, &reason),
        }
    }

    fn opened(&mut self, peer: &Member) {
        self.shared.membership.has_met.store(true, Ordering::Relaxed);
        info!(peer = %peer.id, addr = peer.addr, "connected to peer");
        // It was told to be at least that, and may not have said so yet.
        let floor = self.shared.roster().admit(&peer.id.name, peer.id.boot, self.shared.now());
        let incarnation = peer.incarnation.max(floor.unwrap_or_default());
        let member = Member { incarnation, ..peer.clone() };
        self.step(RosterEvent::Met(member));
        self.step(RosterEvent::Linked(peer.id.clone()));
        self.publish();
        let link = self.shared.transport().link(&peer.id);
        link.into_iter().for_each(|link| self.shared.agree_with_new(link));
    }

    fn closed(&mut self, peer: NodeId, reason: &str) {
        let is_known = {
            let roster = self.shared.roster();
            roster.own().is_living() && roster.view().living().any(|member| member.id == peer)
        };
        match is_known {
            true => warn!(%peer, reason, "connection to peer ended"),
            false => debug!(%peer, reason, "connection to a peer that is gone ended"),
        }
        // Who has left, or is dead, is not there: the next run of its name dials.
        if is_known {
            let addr = self.shared.roster().view().get(&peer.name).map(|its| its.addr.clone());
            self.shared.dials().hurry(self.shared.now(), &addr.unwrap_or_default(), &peer);
        }
        self.step(RosterEvent::Unlinked(peer));
        self.publish();
        self.dial();
    }

    /// A peer that said it goes is gone at once.
    fn gone(&mut self, peer: &NodeId) {
        let member = self.shared.roster().view().get(&peer.name).cloned();
        let Some(member) = member.filter(|member| member.id == *peer) else { return };
        // It may be taken for dead already.
        self.shared.step_ids(IdEvent::Left(peer));
        let view = View::new(0, [Member { standing: Standing::Left, ..member }]);
        self.step(RosterEvent::ViewReceived { from: peer.clone(), view });
    }

    fn step(&mut self, event: RosterEvent) {
        let now = self.shared.now();
        let actions = self.shared.roster().step(now, event);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: RosterAction) {
        let shared = &self.shared;
        match action {
            RosterAction::Beat => self.beat(),
            RosterAction::SendView { to } => self.exchange(&to),
            RosterAction::Changed => self.publish(),
            RosterAction::Joined(peer) => info!(%peer, "member joined"),
            RosterAction::Suspected(peer) => {
                warn!(%peer, "member is suspect: nothing heard of it");
            }
            RosterAction::Recovered(peer) => {
                info!(%peer, "member was heard again");
            }
            RosterAction::Died(peer) => {
                match self.was_leaving(&peer) {
                    // Its good-bye may have been lost.
                    true => info!(%peer, "member is gone, and was leaving"),
                    false => self.died(&peer),
                }
                shared.gate.lost_until(clock::now().after(TOMBSTONE_TTL));
                shared.transport().close(&peer, "member is gone");
            }
            // What is deleted here has to win over what it may bring.
            RosterAction::Missed(_) => shared.gate.lost_until(clock::now().after(TOMBSTONE_TTL)),
            RosterAction::Left(peer) => {
                info!(%peer, "member has left");
                shared.step_ids(IdEvent::Left(&peer));
                shared.transport().close(&peer, "member has left");
            }
            RosterAction::Forgotten(peer) => {
                info!(%peer, "member is forgotten");
                // Whoever says so answers for it that it gives no ids any more.
                shared.step_ids(IdEvent::Left(&peer));
            }
            RosterAction::Deaf(peer) => {
                warn!(%peer, "nothing is heard of a member that others hear: going by way of them");
                shared.transport().close(&peer, "nothing is heard over it");
            }
            RosterAction::Superseded { by } => {
                shared.membership.superseded.send_replace(Some(by.to_string()));
            }
            RosterAction::Woke { after } => {
                // The keeper finds its lease over, and doubts everything.
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                warn!(after_ms, "this node did not run for a while");
            }
        }
    }

    /// A member is gone without a word, and what only it had is lost.
    fn died(&self, peer: &NodeId) {
        let map = &self.shared.router.routes().map;
        let place = map.members().iter().position(|member| member.id == *peer);
        let slots = place.and_then(|place| map.shares().get(place).copied()).unwrap_or_default();
        self.shared.figures.died(slots);
        warn!(%peer, slots, "member is dead: nothing is heard of it, and its slots begin empty");
    }

    /// Whether a member was about to leave when it was seen last.
    fn was_leaving(&self, peer: &NodeId) -> bool {
        let sight = self.shared.membership.sight.load();
        let seen = sight.view.get(&peer.name).filter(|member| member.id == *peer);
        seen.is_some_and(|member| member.standing == Standing::Leaving)
    }

    /// Tells everybody what is seen from here, and where it can be found.
    fn publish(&self) {
        let shared = &self.shared;
        let (sight, own) = {
            let roster = shared.roster();
            (Sight::of(&roster, shared.now()), roster.own().clone())
        };
        shared.membership.has_joined.send_if_modified(|has_joined| {
            !std::mem::replace(has_joined, own.standing != Standing::Joining)
        });
        // Nobody who begins to speak with this node has said yet which protocol it speaks.
        shared.transport().set_me(own.incarnation, standing_for(0, own.standing));
        // Once there was another node, it may come back with what was deleted meanwhile.
        shared.gate.set_peers(shared.membership.has_met.load(Ordering::Relaxed));
        shared.step_ids(IdEvent::View(&sight.view));
        shared.membership.sight.store(Arc::new(sight));
        if shared.keeper_bell.ring() {
            shared.keeper.tell(KeeperMsg::View);
        }
    }

    /// Pings every peer. One that leaves pings unanswered gets no more: it is silent already.
    fn beat(&self) {
        let shared = &self.shared;
        let beat = shared.roster().heartbeat(shared.now());
        let sight = shared.membership.sight.load();
        let (view, detours) = (sight.view.clone(), sight.detours.clone());
        shared.membership.sight.store(Arc::new(Sight { view, beat: beat.clone(), detours }));
        let peers = shared.transport().peers();
        shared.figures.keep(|name| peers.iter().any(|peer| peer.id.name == *name));
        for peer in peers {
            let Some(link) = shared.transport().link(&peer.id) else { continue };
            let Some(ticket) = self.unanswered.begin(&peer.id) else { continue };
            let (shared, ping) = (Arc::clone(shared), shared.ping_of(&beat));
            tokio::spawn(async move {
                let began = clock::steady();
                if let Ok(Response::Pong(pong)) = link.ask(Request::Ping(ping)).await {
                    let took = clock::steady().saturating_sub(began);
                    shared.figures.answered(&link.peer().name, took);
                    shared.heard(link.peer(), pong);
                }
                drop(ticket);
            });
        }
    }

    /// Exchanges views with a peer.
    fn exchange(&self, peer: &NodeId) {
        let Some(link) = self.shared.transport().link(peer) else { return };
        let shared = Arc::clone(&self.shared);
        let mine = shared.record_of(peer);
        tokio::spawn(async move {
            if let Ok(Response::View(theirs)) = link.ask(Request::View(mine)).await {
                shared.viewed(link.peer(), theirs);
            }
        });
    }

    /// Tries whatever is due. A node that has left meets nobody any more.
    fn dial(&self) {
        let shared = &self.shared;
        if !shared.roster().own().is_living() {
            return;
        }
        let peers = shared.transport().peers().into_iter();
        let linked: BTreeMap<_, _> = peers.map(|peer| (peer.addr, peer.id)).collect();
        let mut wanted: Vec<_> =
            shared.roster().wanted().map(|member| member.addr.clone()).collect();
        wanted.extend(shared.reservations().silent().map(str::to_owned));
        let due = shared.dials().due(shared.now(), wanted, &linked);
        for place in due {
            let (shared, me) = (Arc::clone(shared), self.me.clone());
            tokio::spawn(async move {
                let ending = shared.attempt(&place).await;
                // Not by its post: the first attempts may end before it is there. The actor after this one
                // takes what was under way for over.
                drop(me.cast(DiscoveryMsg::Tried(place, ending)));
            });
        }
    }

    fn tried(&mut self, place: &Place, ending: Ending) {
        let shared = Arc::clone(&self.shared);
        if let (Ending::NobodyListens(_), Place::Addr(addr)) = (&ending, place) {
            shared.step_ids(IdEvent::DialRefused(addr));
            if let Some(peer) = shared.wanted_at(addr) {
                self.step(RosterEvent::DialRefused(peer));
            }
        }
        let outcome = ending.to_string();
        // Without entropy all nodes have the same jitter, which is no error.
        let jitter = getrandom::u32().unwrap_or_default();
        match shared.dials().ended(shared.now(), place, ending, jitter) {
            true => info!(%place, outcome, "dialled"),
            false => debug!(%place, outcome, "dialled"),
        }
        let looked = shared.dials().first_look();
        if let Some(Look { places, nobody }) = looked.filter(|look| !look.nobody.is_empty()) {
            let at = nobody.join(", ");
            info!(
                places,
                nobody = nobody.len(),
                at,
                "looked for other nodes: nobody listens yet at some places"
            );
        }
        self.form();
    }
}
