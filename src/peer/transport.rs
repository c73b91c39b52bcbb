//! Sessions with peers: how a connection becomes one, and how it ends.

mod meet;
mod refusals;
mod server;
mod sessions;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{ActorRef, SpawnErr};
use ractor_cluster::NodeServerMessage;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::chaos::{Chaos, Disturbances};
use super::gateway::{GatewayActor, GatewayMsg, TellOnDrop};
use super::hello::{HelloError, Local};
use super::session::Session;
use super::stream::PeerStream;
use super::{Admission, Answer, Link};
use crate::config::Secret;
use crate::limits::{
    ACCEPT_PAUSE, HELLO_CONNECTIONS_MAX, HELLO_TIMEOUT, PEER_EVENTS_MAX, SESSION_END_TIMEOUT,
    SESSION_READY_TIMEOUT,
};
use crate::member::{Boot, Member, NodeId, Standing};
use crate::metrics::PeerCounts;
use crate::supervision::{ChildSpec, Kind, Orders, Post, Supervisor};

use meet::Met;
use refusals::Refusals;
use sessions::Sessions;

/// How nodes are connected.
pub struct TransportConfig {
    /// Where peers are listened for.
    pub listen: SocketAddr,
    /// What this node says of itself. An empty `addr` stands for where it listens.
    pub me: Member,
    /// The name of the cluster: nodes of another one are refused.
    pub cluster: String,
    /// What a node has to know to be let in. Without one anybody is, who comes with none.
    pub cookie: Option<Secret>,
}

/// All connections to peers. Clones are the same.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

/// What dialing, accepting, the gateway and the events of `ractor_cluster` have in common.
pub(super) struct Shared {
    pub(super) answer: Arc<dyn Answer>,
    admission: Arc<dyn Admission>,
    local: Mutex<Arc<Local>>,
    id: NodeId,
    local_addr: SocketAddr,
    listener: TcpListener,
    /// Places of connections before their HELLO is over.
    vacancies: Arc<Semaphore>,
    sessions: Sessions,
    serials: AtomicU64,
    disturbances: Disturbances,
    refusals: Refusals,
    /// The actor of `ractor_cluster` that runs now.
    server: Mutex<Option<ActorRef<NodeServerMessage>>>,
    supervisor: Supervisor,
    events: broadcast::Sender<TransportEvent>,
    counts: Arc<PeerCounts>,
}

/// Why peers cannot be connected to at all.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The address is not to be had.
    #[error("cannot listen for peers on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// An actor did not start.
    #[error("an actor did not start: {0}")]
    Actor(#[from] SpawnErr),
}

/// A peer that was dialled and has a session now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialed {
    /// The peer.
    pub peer: Member,
    /// The incarnation this node has to exceed, as the peer's [`Admission`] said.
    pub floor: u64,
}

/// Why there is no session with who was dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there: the system refused the connection.
    #[error("cannot connect: {0}")]
    Refused(String),
    /// The place was not reached, and nothing is known of who is there.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Somebody listens there, and said no HELLO in time.
    #[error("nobody answered in time")]
    TimedOut,
    /// The HELLO did not end with a session. A session that was there already is one of these.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The HELLO went well, but no session came of it.
    #[error("no session came of the connection")]
    Session,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// There is one.
    Opened(Member),
    /// It is over, and so is its link.
    Closed {
        /// Who it was with.
        peer: NodeId,
        /// Why, for logs.
        reason: String,
    },
}

/// Which side of a session this node is, as `ractor_cluster` calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Dialer,
    Acceptor,
}

impl Transport {
    /// Listens, and starts what carries sessions under `supervisor`.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; children that were started by then go with the supervisor.
    pub async fn start(
        config: TransportConfig,
        admission: Arc<dyn Admission>,
        answer: Arc<dyn Answer>,
        supervisor: Supervisor,
    ) -> Result<Self, TransportError> {
        let addr = config.listen;
        let failed = |reason| TransportError::Listen { addr, reason };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let mut me = config.me;
        if me.addr.is_empty() {
            me.addr = local_addr.to_string();
        }
        let id = me.id.clone();
        let ractor_cookie = server::cookie(config.cookie.as_ref());
        let local = Local::new(me, config.cluster, config.cookie.as_ref());
        let shared = Arc::new(Shared {
            answer,
            admission,
            local: Mutex::new(Arc::new(local)),
            id,
            local_addr,
            listener,
            vacancies: Arc::new(Semaphore::new(HELLO_CONNECTIONS_MAX)),
            sessions: Sessions::default(),
            serials: AtomicU64::new(0),
            disturbances: Disturbances::default(),
            refusals: Refusals::default(),
            server: Mutex::new(None),
            supervisor: supervisor.clone(),
            events: broadcast::Sender::new(PEER_EVENTS_MAX),
            counts: Arc::default(),
        });
        supervisor.add(server::spec(&shared, ractor_cookie)).await?;
        supervisor.add(door_spec(&shared)).await?;
        Ok(Self { shared })
    }

    /// What this node says of itself.
    #[must_use]
    pub fn me(&self) -> Member {
        self.shared.local().me.clone()
    }

    /// Changes what this node says of itself in every HELLO from now on.
    pub fn set_me(&self, incarnation: u64, standing: Standing) {
        let mut local = self.shared.local.lock().unwrap_or_else(PoisonError::into_inner);
        let me = Member { incarnation, standing, ..local.me.clone() };
        *local = Arc::new(local.with(me));
    }

    /// Where peers are listened for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// Makes a session with who listens at `addr`.
    ///
    /// # Errors
    ///
    /// [`DialError`]; there is no session that was not there before.
    pub async fn dial(&self, addr: SocketAddr) -> Result<Dialed, DialError> {
        let shared = &self.shared;
        let stream = match timeout(HELLO_TIMEOUT, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(reason)) if reason.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(DialError::Refused(reason.to_string()));
            }
            Ok(Err(reason)) => return Err(DialError::Unreachable(reason.to_string())),
            Err(_) => return Err(DialError::Unreachable("nobody answered in time".to_owned())),
        };
        let mut claims = None;
        let met = match timeout(HELLO_TIMEOUT, shared.dial_hello(stream, &mut claims)).await {
            Ok(Ok(met)) => met,
            Ok(Err(error)) => {
                shared.refusals.log(addr.ip(), claims.as_ref(), &error);
                return Err(error.into());
            }
            Err(_) => return Err(DialError::TimedOut),
        };
        let dialed = Dialed { peer: met.peer.member.clone(), floor: met.floor };
        if shared.open(met, Side::Dialer).await {
            return Ok(dialed);
        }
        Err(DialError::Session)
    }

    /// What happens to sessions from now on. Who lags behind asks [`Self::peers`].
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<TransportEvent> {
        self.shared.events.subscribe()
    }

    /// The peers that have a session.
    #[must_use]
    pub fn peers(&self) -> Vec<Member> {
        self.shared.sessions.peers()
    }

    /// The link to a peer that has a session.
    #[must_use]
    pub fn link(&self, peer: &NodeId) -> Option<Link> {
        self.shared.link(peer)
    }

    /// What is counted of all links together.
    #[must_use]
    pub fn counts(&self) -> Arc<PeerCounts> {
        Arc::clone(&self.shared.counts)
    }

    /// Ends the session with a peer, if there is one: what is under way fails at once.
    pub fn close(&self, peer: &NodeId, reason: &str) {
        if let Some(session) = self.shared.sessions.get(peer.boot) {
            session.kill(reason);
        }
    }

    /// How long nothing has come from a peer; `None` without a session.
    #[must_use]
    pub fn silent_for(&self, peer: &NodeId) -> Option<Duration> {
        self.shared.sessions.get(peer.boot).map(|session| session.silent_for())
    }

    /// The names of the nodes that were met or are disturbed, as far as they are remembered.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shared.disturbances.names()
    }

    /// Disturbs all connections to the node of that name, those to come as well, until it heals.
    pub fn chaos(&self, peer: &str, chaos: Chaos) {
        self.shared.disturbances.of(peer).set(chaos);
        self.shared.sessions.of_name(peer).iter().for_each(|session| session.wake());
    }
}

/// The gateway with its accept loop, as a child.
fn door_spec(shared: &Arc<Shared>) -> ChildSpec {
    let args = Arc::clone(shared);
    let orders = Orders { first: None, crash: || GatewayMsg::Crash };
    let make = move || (GatewayActor, Arc::clone(&args));
    // Peers find it by its group, and nobody here speaks to it.
    ChildSpec::of_actor("door-peer", Kind::Door, &Post::default(), &orders, make)
}

impl Shared {
    /// The group that the gateway of this node is found by.
    pub(super) fn group(&self) -> String {
        self.id.to_string()
    }

    /// Who runs as `boot`, and what it may have under way here; `None` without a session.
    pub(super) fn who(&self, boot: Boot) -> Option<(NodeId, Arc<Semaphore>)> {
        let session = self.sessions.get(boot)?;
        Some((session.peer.id.clone(), Arc::clone(&session.requests)))
    }

    /// The link to a peer that has a session.
    pub(super) fn link(&self, peer: &NodeId) -> Option<Link> {
        self.sessions.link(peer.boot)
    }

    pub(super) fn count_relayed(&self) {
        self.counts.relayed.count();
    }

    fn counts(&self) -> Arc<PeerCounts> {
        Arc::clone(&self.counts)
    }

    fn local(&self) -> Arc<Local> {
        Arc::clone(&self.local.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes connections until the gateway that runs it ends.
    pub(super) async fn accept_loop(self: Arc<Self>, _teller: TellOnDrop) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => self.take(stream, from),
                Err(reason) => {
                    warn!(%reason, "cannot accept peers, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Says hello in a task of its own; over the limit a connection is just closed.
    fn take(self: &Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.vacancies).try_acquire_owned() else {
            return debug!(%from, "too many connections say hello");
        };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let mut claims = None;
            let met = timeout(HELLO_TIMEOUT, shared.accept_hello(stream, &mut claims)).await;
            drop(permit);
            match met.unwrap_or(Err(HelloError::Broken)) {
                Ok(met) => drop(shared.open(met, Side::Acceptor).await),
                Err(error) => shared.refusals.log(from.ip(), claims.as_ref(), &error),
            }
        });
    }

    /// Makes a session of a connection whose HELLO went well, and returns whether it is there. Its slot
    /// is held by then and free again if not.
    async fn open(self: &Arc<Self>, met: Met, side: Side) -> bool {
        let Met { stream, peer, slot, replaced, floor: _ } = met;
        for session in replaced {
            session.kill("replaced by a newer connection");
            // Its name has to be free in the tree and in `ractor_cluster`.
            drop(timeout(SESSION_END_TIMEOUT, session.ended()).await);
        }
        let disturbance = self.disturbances.of(peer.member.id.name.as_str());
        let label = format!("{}/{}", peer.member.id, slot.serial());
        let (stream, control) = PeerStream::new(stream, label, disturbance, self.counts());
        let session = Arc::new(Session::new(slot.serial(), peer, control));
        let Some(ready) = self.sessions.begin(&slot, Arc::clone(&session)) else { return false };
        if !self.hand_over(stream, side) {
            self.end(session.serial).await;
            return false;
        }
        let is_ready = tokio::select! {
            is_ready = timeout(SESSION_READY_TIMEOUT, ready) => matches!(is_ready, Ok(Ok(()))),
            () = session.ended() => false,
        };
        session.find_gateway();
        if is_ready && self.start_link(&session).await {
            let (protocol, version) = (session.protocol(), session.peer_version());
            debug!(peer = %session.peer.id, addr = session.peer.addr, protocol, version, "connected");
            return true;
        }
        session.kill("no session came of the connection");
        drop(timeout(SESSION_END_TIMEOUT, session.ended()).await);
        self.end(session.serial).await;
        false
    }

    fn hand_over(&self, stream: PeerStream, side: Side) -> bool {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(server) = server else { return false };
        let stream = Box::new(stream);
        let is_server = side == Side::Acceptor;
        server.cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server }).is_ok()
    }

    /// Starts the link over a session, unless that has ended.
    async fn start_link(&self, session: &Arc<Session>) -> bool {
        let (link, spec) = Link::new(self.id.boot, Arc::clone(session), self.counts());
        if let Err(reason) = self.supervisor.add(spec).await {
            let peer = &session.peer.id;
            match self.local().me.standing {
                Standing::Gone => debug!(%peer, %reason, "the link did not start"),
                _ => warn!(%peer, %reason, "the link did not start"),
            }
            return false;
        }
        let opened = TransportEvent::Opened(session.peer.clone());
        if self.sessions.set_link(session.serial, link, || drop(self.events.send(opened))) {
            return true;
        }
        self.supervisor.remove(&Link::child_name(&session.peer.id)).await;
        false
    }

    /// Ends what is left of a session: those who wait are told, its link stops, its slot is free.
    async fn end(&self, serial: u64) {
        let Some((session, link)) = self.sessions.end(serial) else { return };
        let reason = session.kill_reason();
        if let Some(link) = link {
            link.end();
            self.supervisor.remove(&Link::child_name(&session.peer.id)).await;
            debug!(peer = %session.peer.id, reason, "disconnected");
            let peer = session.peer.id.clone();
            // Nobody may be listening.
            let _ = self.events.send(TransportEvent::Closed { peer, reason });
        }
        self.sessions.forget(serial);
        session.end();
    }

    fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }
}
