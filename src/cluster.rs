//! Who is in the cluster, who has which slot, and the way of entries from one node to the next.
//!
//! Three actors, each the only one that steps its machine: `discovery` keeps the roster of members,
//! `keeper` the slots this node holds, and `mover` sends what this node holds and does not own. The
//! machines are pure and outlive the actors. What comes of them is published where requests find it:
//! the gate of the shards and the routes of the router.

mod agreement;
mod dials;
mod discovery;
mod doors;
mod figures;
mod forget;
mod ids;
mod inbox;
mod keeper;
mod message;
mod mover;
mod noted;
mod report;
mod sight;
mod task;
mod time;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::clock::{self, Millis};
use crate::command::Reply;
use crate::config::{ClusterConfig, Seed};
use crate::error::Error;
use crate::hub::Hub;
use crate::ids::{Ids, Reservations};
use crate::limits::{
    CLAIMS_WAITING_MAX, CLUSTER_NAME, HANDOFF_STALL, HANDOFF_STEP, HANDOFF_TIMEOUT, LEFT_TIMEOUT,
    PEER_FRAME_BYTES_MAX, PEER_REPLY_BYTES_MAX,
};
use crate::member::{Member, NameTaken, NodeId, NodeName, Roster, Standing};
use crate::partition::{Handoff, Slot};
use crate::peer::message::{Received, Refusal, Request, Response, Unread};
use crate::peer::{
    Admission, Answer, Answering, Chaos, Link, Transport, TransportConfig, TransportError,
};
use crate::registry::Registry;
use crate::router::Router;
use crate::shard::{Gate, Transfer};
use crate::supervision::{Post, Supervisor};

use agreement::Turns;
use dials::Dials;
use doors::Addresses;
use figures::Figures;
use inbox::{Bell, FromPeer, Inbox};
use message::{DiscoveryMsg, KeeperMsg, MoverMsg};
use sight::Sight;
use time::Followed;

pub use figures::ClusterFigures;
pub use forget::ForgetError;
pub use report::{ClusterReport, MemberReport, PeerReport};

/// The part of this node in a cluster. Clones are the same part.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

/// What a node has that nobody took before it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("left {entries} entries and {slots} slots behind that nobody took")]
pub struct LeftBehind {
    /// Entries.
    pub entries: u64,
    /// Slots that no other node has claimed.
    pub slots: usize,
}

/// What a node has once, and its cluster keeps in step with the others.
pub struct Common {
    /// The ids that are given here.
    pub ids: Arc<Ids>,
    /// What all nodes know alike.
    pub registry: Arc<Registry>,
    /// Who listens to what.
    pub hub: Hub,
}

#[cfg(test)]
impl Common {
    fn alone() -> Self {
        Self { ids: Arc::default(), registry: Arc::default(), hub: Hub::new(vec![]).0 }
    }
}

/// What the actors share, and what outlives them.
struct Shared {
    me: NodeId,
    /// Whether it may begin a cluster alone where nothing is seen of a place it looks at.
    may_be_alone: bool,
    /// How many members have to be alive once before this node is ready.
    members_min: usize,
    drain_timeout: Option<Duration>,
    /// From which time on what another node asks is slow.
    slow: Option<Duration>,
    /// When it began, by the steady clock.
    began: Duration,
    router: Router,
    gate: Arc<Gate>,
    ids: Arc<Ids>,
    registry: Arc<Registry>,
    turns: Turns,
    hub: Hub,
    addresses: Addresses,
    /// Set once, when the node is about to listen.
    transport: OnceLock<Transport>,
    membership: Membership,
    holdings: Holdings,
    figures: Figures,
    discovery: Post<DiscoveryMsg>,
    /// Discovery is woken by it to look at what peers told.
    discovery_bell: Bell,
    keeper: Post<KeeperMsg>,
    /// The keeper is woken by it to look at what discovery sees.
    keeper_bell: Bell,
    mover: Post<MoverMsg>,
}

/// Who is there: what discovery steps and publishes, and what it is told.
struct Membership {
    roster: Mutex<Roster>,
    dials: Mutex<Dials>,
    reservations: Mutex<Reservations>,
    sight: ArcSwap<Sight>,
    /// What peers told.
    inbox: Inbox,
    /// Whose time this node goes by.
    followed: Followed,
    /// Whether there ever was a session with another node.
    has_met: AtomicBool,
    /// Whether this node has begun a cluster.
    has_formed: AtomicBool,
    /// Whether this node is in a cluster, its own or another.
    has_joined: watch::Sender<bool>,
    /// Whether as many members were alive at once as there have to be.
    is_complete: watch::Sender<bool>,
    /// Whether this node hands over what it has, to go.
    is_leaving: AtomicBool,
    /// What this node waits for before it is ready.
    waits_for: ArcSwapOption<String>,
    /// Where the run is that has replaced this one.
    superseded: watch::Sender<Option<String>>,
}

/// What is here: what the keeper steps, and how far the mover is.
struct Holdings {
    handoff: Mutex<Handoff>,
    /// Places of claims that wait for the keeper.
    claims: Arc<Semaphore>,
    /// Entries that are here and belong elsewhere, as far as they were counted.
    moving: AtomicU64,
    /// Entries that others took since this node began to leave, by their names.
    handed_over: Mutex<BTreeMap<NodeName, u64>>,
    /// Passes of the mover, ever.
    passes: AtomicU64,
    /// Whether nothing is served any more, as this node goes.
    has_closed: AtomicBool,
    /// Told whenever this node holds less of what is not its own.
    progress: Notify,
}

impl Cluster {
    /// Listens for other nodes and starts to look for them. What is reserved for this node to give
    /// comes into `ids`, and what all are to know alike into `registry`.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; what was started by then ends with the supervisor.
    pub async fn start(
        config: &ClusterConfig,
        me: Member,
        router: Router,
        gate: Arc<Gate>,
        common: Common,
        supervisor: &Supervisor,
    ) -> Result<Self, TransportError> {
        let cluster = Self::new(me.clone(), config, router, gate, common);
        let config = TransportConfig {
            listen: config.listen,
            me: Member { standing: Standing::Joining, ..me.clone() },
            cluster: CLUSTER_NAME.to_owned(),
            cookie: config.cookie.clone(),
        };
        let (admission, answer) = (Arc::new(cluster.clone()), Arc::new(cluster.clone()));
        let transport = Transport::start(config, admission, answer, supervisor.clone()).await?;
        // Where it listens is known only now.
        *cluster.shared.roster() = Roster::new(Member { addr: transport.me().addr, ..me });
        // It was just made, so that nobody else has set it.
        let _ = cluster.shared.transport.set(transport);
        for spec in [
            keeper::child(&cluster.shared),
            mover::child(&cluster.shared),
            discovery::child(&cluster.shared),
        ] {
            supervisor.add(spec).await?;
        }
        Ok(cluster)
    }

    fn new(
        me: Member,
        config: &ClusterConfig,
        router: Router,
        gate: Arc<Gate>,
        Common { ids, registry, hub }: Common,
    ) -> Self {
        let seeds = config.join.clone();
        let shared = Shared {
            me: me.id.clone(),
            may_be_alone: config.may_be_alone,
            members_min: config.members_min,
            drain_timeout: config.drain_timeout,
            slow: config.slow,
            began: clock::steady(),
            router,
            gate,
            ids,
            registry,
            turns: Turns::default(),
            hub,
            addresses: Addresses::default(),
            transport: OnceLock::new(),
            holdings: Holdings::new(me.id.clone()),
            membership: Membership::new(me, seeds),
            figures: Figures::default(),
            discovery: Post::default(),
            discovery_bell: Bell::default(),
            keeper: Post::default(),
            keeper_bell: Bell::default(),
            mover: Post::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether there are other nodes that may take over what this one holds.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.shared.has_taker()
    }

    /// Hands everything this node holds to the others. It answers requests all the while, and after
    /// that by asking them.
    ///
    /// Ends when nothing is left or nobody is left to take it; or else when the time for it is over, or,
    /// if none was given, nothing was taken for [`HANDOFF_STALL`]. Times in which this node stands still do
    /// not count.
    ///
    /// # Errors
    ///
    /// [`LeftBehind`]: what is here then is lost.
    pub async fn hand_over(&self) -> Result<(), LeftBehind> {
        let began = Instant::now();
        let was_done = self.shared.handoff().is_done();
        self.shared.membership.is_leaving.store(true, Ordering::Relaxed);
        self.shared.wake_discovery();
        let (stall, end) = match self.shared.drain_timeout {
            Some(time) => (time, time),
            None => (HANDOFF_STALL, HANDOFF_TIMEOUT),
        };
        // In steps: a time in which this node stood still was nobody's to take anything, and is one.
        let (mut spent, mut idle) = (Duration::ZERO, Duration::ZERO);
        while !self.shared.has_handed_over() && spent < end && idle < stall {
            let began = Instant::now();
            let progress = self.shared.holdings.progress.notified();
            idle = match timeout(HANDOFF_STEP, progress).await {
                Ok(()) => Duration::ZERO,
                Err(_) => idle + HANDOFF_STEP,
            };
            spent += began.elapsed().min(HANDOFF_STEP);
        }
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(left) = self.left_behind() else {
            if self.shared.has_taker() && !was_done {
                info!(took_ms, "handed everything over");
            }
            return Ok(());
        };
        warn!(entries = left.entries, slots = left.slots, took_ms, "leaving with what nobody took");
        Err(left)
    }

    /// Hands over what has come since everything was handed over, or since there was nobody to take it:
    /// nodes that were taken for dead may have come back, and sent what they had. Nothing is served from
    /// then on.
    ///
    /// # Errors
    ///
    /// As [`Self::hand_over`].
    pub async fn hand_over_the_rest(&self) -> Result<(), LeftBehind> {
        self.hand_over().await?;
        self.shared.holdings.has_closed.store(true, Ordering::Relaxed);
        self.shared.gate.lease_until(Millis(0));
        for shard in self.shared.router.shards() {
            // What does not answer takes nothing in either.
            drop(shard.barrier().await);
        }
        self.hand_over().await
    }

    /// Entries that others have taken since this node began to leave, by their names.
    #[must_use]
    pub fn handed_over(&self) -> BTreeMap<NodeName, u64> {
        self.shared.handed_over().clone()
    }

    /// What others should have and have not taken yet; `None` if there is nothing, or nobody to take it.
    #[must_use]
    pub fn left_behind(&self) -> Option<LeftBehind> {
        (!self.shared.has_handed_over()).then(|| self.shared.left_behind())
    }

    /// What this node waits for before it is ready: a cluster, with where it may be and what came of
    /// looking there, or members; `None` if it waits for nothing.
    #[must_use]
    pub fn waits_for(&self) -> Option<Arc<String>> {
        self.shared.membership.waits_for.load_full()
    }

    /// Requests this node has passed on between two others that do not hear each other.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.shared.transport().counts().relayed.total()
    }

    /// Tells the others that this node goes. Nothing can be asked of them from then on.
    pub async fn leave(&self) {
        self.shared.discovery.tell(DiscoveryMsg::Left);
        let others = self.shared.transport().peers();
        let farewells = others.iter().filter_map(|peer| self.shared.transport().link(&peer.id));
        let farewells = farewells.map(async |link| link.ask(Request::Left).await);
        // Who does not hear of it finds out; who does ends the session, often before it answers.
        drop(timeout(LEFT_TIMEOUT, futures_util::future::join_all(farewells)).await);
        info!(others = others.len(), "left the cluster");
    }

    /// Waits until this node has found a cluster or, as there is none, has begun one, and until as many
    /// members were alive there as there have to be.
    pub async fn joined(&self) {
        let Membership { has_joined, is_complete, .. } = &self.shared.membership;
        for is_so in [has_joined, is_complete] {
            // The sender is held by `self`.
            drop(is_so.subscribe().wait_for(|is_so| *is_so).await);
        }
    }

    /// Waits until another run of this node has its name, and returns where that is.
    pub async fn superseded(&self) -> String {
        let mut superseded = self.shared.membership.superseded.subscribe();
        match superseded.wait_for(Option::is_some).await.map(|by| by.clone()) {
            Ok(Some(by)) => by,
            // The sender is held by `self`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Disturbs the connections to a node, to see what becomes of it.
    pub fn chaos(&self, peer: &str, chaos: Chaos) {
        self.shared.transport().chaos(peer, chaos);
    }

    async fn respond(&self, from: NodeId, request: Request) -> Response {
        let shared = &self.shared;
        match request {
            Request::Ping(ping) => shared.ping(&from, ping),
            Request::View(view) => shared.view(&from, view),
            Request::Run(commands, _) if !shared.knows(&from) => {
                // Who does not know the cluster yet must not answer for it.
                let moved = || Refusal::Moved { owner: None };
                Response::Ran(commands.iter().map(|_| Err(moved())).collect())
            }
            Request::Run(commands, traces) => {
                Response::Ran(shared.run_noted(&from, commands, &traces).await)
            }
            Request::Fetch(keys) => {
                Response::Fetched(keys.iter().map(|key| shared.router.record_here(key)).collect())
            }
            Request::Took(taken) => {
                // It was said before what the same node said of the slot later.
                let forget = |(key, version)| Transfer::Forget { key, version, openings: None };
                let outcomes = shared.router.transfer(taken.into_iter().map(forget).collect());
                // What is held here again is not forgotten, and that is right.
                drop(outcomes.await);
                Response::Ok
            }
            Request::Push(entries) => mover::receive(&shared.router, entries).await,
            Request::Claim(claim) => keeper::ask(shared, from, claim).await,
            // The transport takes them apart.
            Request::Relay(_) | Request::Relayed(_) => {
                Response::Refused("nothing to be passed on".to_owned())
            }
            Request::Agree(theirs) => shared.agree(theirs),
            Request::Spread(spread) => shared.hub.receive(&from, spread),
            Request::Doors => Response::Doors(shared.addresses.own()),
            Request::Reserve(wanted) => shared.reserve_for(&from, wanted),
            Request::Left => {
                shared.told(&from, |told| told.has_left = true);
                Response::Ok
            }
        }
    }
}

impl Membership {
    fn new(me: Member, seeds: Vec<Seed>) -> Self {
        let reservations = Mutex::new(Reservations::new(me.id.clone()));
        let roster = Roster::new(me);
        Self {
            sight: ArcSwap::from_pointee(Sight::of(&roster, Duration::ZERO)),
            roster: Mutex::new(roster),
            dials: Mutex::new(Dials::new(seeds)),
            reservations,
            inbox: Inbox::default(),
            followed: Followed::default(),
            has_met: AtomicBool::new(false),
            has_formed: AtomicBool::new(false),
            has_joined: watch::Sender::new(false),
            is_complete: watch::Sender::new(false),
            is_leaving: AtomicBool::new(false),
            waits_for: ArcSwapOption::empty(),
            superseded: watch::Sender::new(None),
        }
    }
}

impl Membership {
    fn set_waits_for(&self, what: Option<String>) {
        // Asked with every tick, and mostly nothing to say.
        if what.is_some() || self.waits_for.load().is_some() {
            self.waits_for.store(what.map(Arc::new));
        }
    }
}

impl Holdings {
    fn new(me: NodeId) -> Self {
        Self {
            handoff: Mutex::new(Handoff::new(me)),
            claims: Arc::new(Semaphore::new(CLAIMS_WAITING_MAX)),
            moving: AtomicU64::new(0),
            handed_over: Mutex::default(),
            passes: AtomicU64::new(0),
            has_closed: AtomicBool::new(false),
            progress: Notify::new(),
        }
    }
}

impl Answer for Cluster {
    fn answer(&self, from: NodeId, request: Request) -> Answering {
        let cluster = self.clone();
        Box::pin(async move { cluster.respond(from, request).await })
    }
}

impl Admission for Cluster {
    fn admit(&self, peer: &Member) -> Result<u64, NameTaken> {
        let roster = self.shared.roster();
        roster.admit(&peer.id.name, peer.id.boot, self.shared.now())
    }

    fn met(&self, peer: &Member, time: Millis, heard: Millis) {
        self.shared.meet_time(peer, time, heard);
    }
}

impl Shared {
    /// Has commands of another node done. What is beyond what fits into an answer is put off.
    async fn run(&self, commands: Vec<Received>) -> Vec<Result<Reply, Refusal>> {
        let mut known = Vec::with_capacity(commands.len());
        let unread: Vec<_> = commands
            .into_iter()
            .map(|received| received.map(|command| known.push(command)).err())
            .collect();
        let done = self.router.run_last(known, PEER_REPLY_BYTES_MAX, clock::now()).await;
        let mut done = done.into_iter();
        let mut bytes = 0;
        let outcome = |unread: Option<Unread>| match unread {
            Some(_) => Err(self.unread()),
            None => match done.next() {
                Some(reply) => self.fit(reply, &mut bytes),
                None => Err(Refusal::Later),
            },
        };
        unread.into_iter().map(outcome).collect()
    }

    /// Has discovery look at what a peer tells.
    fn told(&self, from: &NodeId, fold: impl FnOnce(&mut FromPeer)) {
        self.membership.inbox.put(from, fold, |peer| self.transport().link(peer).is_some());
        self.wake_discovery();
    }

    fn wake_discovery(&self) {
        if self.discovery_bell.ring() {
            self.discovery.tell(DiscoveryMsg::Wake);
        }
    }

    /// The way to a member: over the session with it, or by way of a node that hears it.
    fn way(&self, to: &NodeId) -> Option<Link> {
        let transport = self.transport();
        transport.link(to).or_else(|| {
            let sight = self.membership.sight.load();
            let via = sight.detours.get(to)?;
            transport.link(via).map(|link| link.detour(to.clone()))
        })
    }

    /// Whether a node is a member by the map this node goes by.
    fn knows(&self, id: &NodeId) -> bool {
        let map = &self.router.routes().map;
        map.member(&id.name).is_some_and(|member| member.id == *id)
    }

    /// What goes back of a reply. Single ones are of any size, and several of them may be more than a
    /// message holds: what came too late for it is refused.
    fn fit(&self, reply: Result<Reply, Error>, bytes: &mut usize) -> Result<Reply, Refusal> {
        let more = reply.as_ref().map_or(0, Reply::bytes);
        if 0 < *bytes && PEER_FRAME_BYTES_MAX < *bytes + more + PEER_REPLY_BYTES_MAX {
            return Err(Refusal::Failed(Error::Later));
        }
        *bytes += more;
        reply.map_err(|error| self.refusal(error))
    }

    /// Why a command was not done here, for who sent it.
    fn refusal(&self, error: Error) -> Refusal {
        match error {
            Error::NotHere { slot } => {
                let map = &self.router.routes().map;
                let owner = map.owner(Slot(slot)).filter(|owner| **owner != self.me).cloned();
                Refusal::Moved { owner }
            }
            Error::Later => Refusal::Later,
            error => Refusal::Failed(error),
        }
    }

    /// Why a command that this version cannot read was not done.
    fn unread(&self) -> Refusal {
        let (node, version) = (self.me.name.as_str().into(), env!("CARGO_PKG_VERSION").into());
        Refusal::Failed(Error::Unsupported { node, version })
    }

    /// What of this node's own nobody has taken.
    fn left_behind(&self) -> LeftBehind {
        let slots = {
            let handoff = self.handoff();
            let mut slots = handoff.held().clone();
            slots.add(handoff.residue());
            slots
        };
        let entries = slots.iter().map(|slot| self.router.shard_of(slot).records(slot)).sum();
        LeftBehind { entries, slots: slots.len() }
    }

    /// The time since this node started, also that in which it was stopped or the machine slept: what
    /// it has not heard meanwhile is as old as it is to others.
    fn now(&self) -> Duration {
        clock::steady().saturating_sub(self.began)
    }

    /// # Panics
    ///
    /// Before [`Cluster::start`] has set it: nothing runs by then.
    fn transport(&self) -> &Transport {
        self.transport.get().unwrap_or_else(|| unreachable!("nothing runs before it is set"))
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.membership.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handoff(&self) -> MutexGuard<'_, Handoff> {
        self.holdings.handoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handed_over(&self) -> MutexGuard<'_, BTreeMap<NodeName, u64>> {
        self.holdings.handed_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dials(&self) -> MutexGuard<'_, Dials> {
        self.membership.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::{Command, Condition, Get, Put, Stored};
    use crate::entry::{Key, MediaType};
    use crate::limits::TABLE_BYTES_MIN;
    use crate::member::{Boot, NodeName, View};
    use crate::peer::codec;
    use crate::router::Routes;
    use crate::shard::Shard;
    use crate::table::{Table, TableConfig};

    /// A number that no verb has.
    const UNKNOWN: u16 = 60_000;

    fn member(name: &str, boot: u64) -> Member {
        Member {
            id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) },
            addr: String::new(),
            http: String::new(),
            incarnation: 1,
            standing: Standing::Alive,
            weight: 1,
        }
    }

    /// The node `a`, which has every slot, and knows `b`.
    async fn start(a: Member, b: Member) -> (Cluster, Supervisor) {
        let gate = Arc::new(Gate::default());
        let routes = Routes::alone(&View::new(1, [a.clone(), b]));
        let table = Table::new(&TableConfig::new(TABLE_BYTES_MIN));
        let (shard, spec) = Shard::new(0, table, Arc::clone(&gate), Arc::default());
        let supervisor = Supervisor::start().await.unwrap();
        supervisor.add(spec).await.unwrap();
        let router = Router::new(a.id.clone(), vec![shard], Arc::clone(&gate), routes);
        (Cluster::new(a, &ClusterConfig::alone(), router, gate, Common::alone()), supervisor)
    }

    fn put(key: &'static str) -> Command {
        Command::Put(Put {
            key: Key::from_static(key),
            value: Bytes::from_static(b"1"),
            media: MediaType::Bytes,
            expires_at: None,
            condition: Condition::Always,
        })
    }

    /// A message of `commands`, of which the one at `place` has a number that no verb has.
    fn message_of(commands: &[Command], place: usize) -> Vec<u8> {
        let message = |commands: &[Command]| {
            let request = Request::Run(commands.iter().cloned().map(Ok).collect(), vec![]);
            codec::encode_request(Boot(2), &request).unwrap()
        };
        let mut bytes = message(commands);
        let at = message(&commands[..place]).len();
        bytes[at..at + 2].copy_from_slice(&UNKNOWN.to_le_bytes());
        bytes
    }

    #[tokio::test]
    async fn a_verb_that_is_not_known_is_refused_alone_with_the_name_and_version_of_this_node() {
        let (cluster, _supervisor) = start(member("a", 1), member("b", 2)).await;
        let get = Command::from(Get { key: Key::from_static("x") });
        let commands = [put("x"), put("z"), get, put("y")];
        let bytes = message_of(&commands, 1);
        let (_, request) = codec::decode_request(&bytes).unwrap();
        let response = cluster.answer(member("b", 2).id, request).await;
        let response = codec::decode_response(&codec::encode_response(&response).unwrap());
        let Ok(Response::Ran(outcomes)) = response else { panic!("{response:?}") };
        let created = |outcome| matches!(outcome, &Ok(Reply::Stored(Stored::Created(_))));
        assert!(created(&outcomes[0]) && created(&outcomes[3]), "{outcomes:?}");
        assert!(matches!(&outcomes[2], Ok(Reply::Entry(Some(found))) if found.value == "1"));
        let Err(Refusal::Failed(error)) = &outcomes[1] else { panic!("{outcomes:?}") };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(*error, Error::Unsupported { node: "a".into(), version: version.into() });
        assert!(error.to_string().contains(&format!("a runs smache {version}")), "{error}");
        assert_eq!(cluster.shared.router.record_here(&Key::from_static("z")), None);
    }
}
