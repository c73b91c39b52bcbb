//! One node: what is started in which order, what ends it, and how it stops.

mod ending;
mod signals;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use ractor::SpawnErr;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use crate::cache::{Cache, Governance, NodeState};
use crate::clock;
use crate::cluster::{Cluster, Common, LeftBehind};
use crate::config::Config;
use crate::door::{Door, Listener};
use crate::front::http::{self, Guard};
use crate::front::resp;
use crate::hub::Hub;
use crate::ids::Ids;
use crate::limits::{DRAIN_TIMEOUT, HUB_FLUSH_TIMEOUT, LAME_DUCK};
use crate::member::{Boot, Member, NodeId, Standing, View};
use crate::peer::TransportError;
use crate::policy::Policies;
use crate::registry::Registry;
use crate::router::{Router, Routes};
use crate::shard::{Gate, Shard};
use crate::supervision::Supervisor;
use crate::table::{Limit, Table, TableConfig};

use ending::{Cause, Ending};
use signals::Word;

pub use signals::Signals;

/// A node that runs.
pub struct Node {
    cache: Cache,
    supervisor: Supervisor,
    doors: Vec<Door>,
    cluster: Option<Cluster>,
}

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The address of a door is not to be had.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// The system gave no random numbers, without which the hash could be predicted.
    #[error("the system gave no random numbers: {0}")]
    Random(getrandom::Error),
    /// A supervised actor did not start.
    #[error("an actor did not start: {0}")]
    Actor(#[from] SpawnErr),
    /// Other nodes cannot be reached at all.
    #[error(transparent)]
    Cluster(#[from] TransportError),
    /// The system does not let signals be handled.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// Restarting did not help any more.
    #[error("{0}")]
    Failed(String),
    /// The node went with what nobody took.
    #[error(transparent)]
    LeftBehind(#[from] LeftBehind),
    /// A second signal ended its drain.
    #[error("a second {signal} ended the drain; {}", .left.as_ref().map_or_else(
        || "requests under way were not answered".to_owned(),
        LeftBehind::to_string,
    ))]
    CutShort {
        /// The signal.
        signal: &'static str,
        /// What others had not taken by then, if anything.
        left: Option<LeftBehind>,
    },
}

/// Where the doors of a node listen, before anything of it starts.
struct Listeners {
    http: Option<Listener>,
    resp: Option<Listener>,
}

impl Node {
    /// Starts a node: the listener, the root supervisor, the shards, and then the doors, so that the
    /// first request meets a node that is complete. It may not be in a cluster yet.
    ///
    /// # Errors
    ///
    /// [`NodeError`]; what was started by then is stopped again.
    pub async fn start(config: &Config) -> Result<Self, NodeError> {
        let listeners = Listeners {
            http: config.http.map(listen).transpose()?,
            resp: config.resp.map(listen).transpose()?,
        };
        let supervisor = Supervisor::start().await?;
        let started = Self::start_children(config, listeners, supervisor.clone()).await;
        if started.is_err() {
            supervisor.stop().await;
        }
        started
    }

    /// The supervision tree, in start order. `supervision.md` says the same.
    async fn start_children(
        config: &Config,
        Listeners { http, resp }: Listeners,
        supervisor: Supervisor,
    ) -> Result<Self, NodeError> {
        let gate = Arc::new(Gate::default());
        let ids = Arc::new(match config.cluster {
            Some(_) => Ids::default(),
            None => Ids::alone(),
        });
        let policies = Arc::new(Policies::default());
        let mut shards = Vec::with_capacity(config.shards.get());
        let mut readers = Vec::with_capacity(config.shards.get());
        for id in 0..config.shards.get() {
            let memory_bytes = config.memory_bytes / config.shards;
            let seed = getrandom::u64().map_err(NodeError::Random)?;
            let table = TableConfig { memory_bytes, seed, limit: Limit::Memory };
            let census = Arc::clone(policies.census());
            let table = Table::counted_one_of(config.shards, &table, census);
            readers.push(table.reader());
            let (gate, ids, policies) =
                (Arc::clone(&gate), Arc::clone(&ids), Arc::clone(&policies));
            let (shard, spec) = Shard::governed(id, table, gate, ids, policies);
            supervisor.add(spec).await?;
            shards.push(shard);
        }
        let (hub, specs) = Hub::new(readers);
        for spec in specs {
            supervisor.add(spec).await?;
        }
        let http_addr = http.as_ref().map(Listener::addr);
        let me = member(config, http_addr)?;
        let routes = Routes::alone(&View::new(1, [me.clone()]));
        let router = Router::new(me.id.clone(), shards, Arc::clone(&gate), routes);
        let governance = govern(policies, &router);
        let mut cluster = None;
        if let Some(config) = &config.cluster {
            let (me, router) = (me.clone(), router.clone());
            let common =
                Common { ids, registry: Arc::clone(&governance.registry), hub: hub.clone() };
            cluster = Some(Cluster::start(config, me, router, gate, common, &supervisor).await?);
        }
        let (bytes_max, root) = (config.value_bytes_max, supervisor.clone());
        let cache = Cache::new(me.id, bytes_max, router, hub, root, cluster.clone(), governance);
        let (mut resp_door, mut resp_figures) = (None, None);
        if let Some(listener) = resp {
            let (door, spec, figures) =
                resp::door(listener, cache.clone(), config.token.clone(), config.has_demo);
            resp_door = Some((door, spec));
            resp_figures = Some(figures);
        }
        let http = http.map(|listener| {
            let guard =
                Guard::new(listener.addr(), config.token.clone(), config.allowed_hosts.clone());
            let (log, has_demo) = (config.request_log, config.has_demo);
            http::door(listener, cache.clone(), guard, log, has_demo, resp_figures)
        });
        let mut doors = vec![];
        for (door, spec) in [http, resp_door].into_iter().flatten() {
            supervisor.add(spec).await?;
            doors.push(door);
        }
        let node = Self { cache, supervisor, doors, cluster };
        node.tell_resp_addr();
        Ok(node)
    }

    /// Has other nodes know where clients of Redis's protocol reach this one.
    fn tell_resp_addr(&self) {
        let (Some(cluster), Some(addr)) = (&self.cluster, self.addr_of("resp")) else { return };
        // One that listens everywhere is reached where other nodes reach it.
        cluster.set_resp_addr(&match addr.ip().is_unspecified() {
            true => format!("{}:{}", cluster.host(), addr.port()),
            false => addr.to_string(),
        });
    }

    /// The cache of this node.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Where the HTTP door listens; `None` if there is none.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.addr_of("http")
    }

    fn addr_of(&self, door: &str) -> Option<SocketAddr> {
        self.doors.iter().find(|other| other.name() == door).map(Door::addr)
    }

    /// Serves as soon as this node is in a cluster, or at once if it is to be in none. Never ends by
    /// itself.
    async fn serve(&self) -> Cause {
        if let Some(cluster) = &self.cluster {
            cluster.joined().await;
        }
        self.cache.set_state(NodeState::Ready);
        let addr_of = |door| self.addr_of(door).map_or("off".to_owned(), |addr| addr.to_string());
        let (http, resp) = (addr_of("http"), addr_of("resp"));
        let shards = self.cache.status().shards.len();
        info!(http, resp, shards, "node is ready");
        std::future::pending().await
    }

    /// Serves until a signal, a client or a failure ends it, then stops. A second signal ends the drain,
    /// if it comes a second after the first or later. `reload` is called for SIGHUP, unless that means
    /// that the node's terminal is gone.
    ///
    /// # Errors
    ///
    /// [`NodeError::Failed`] if the node ended by itself, [`NodeError::LeftBehind`] if it was told to go
    /// and could not hand everything over, [`NodeError::CutShort`] after a second signal.
    pub async fn run(self, mut signals: Signals, reload: impl FnMut()) -> Result<(), NodeError> {
        let cause = tokio::select! {
            cause = self.obey(&mut signals, reload) => cause,
            // A node may wait for a cluster for long, and is to be ended meanwhile.
            cause = self.serve() => cause,
            reason = self.supervisor.failed() => Cause::Failed(reason),
            by = superseded(self.cluster.as_ref()) => {
                Cause::Failed(format!("another run of this node has its name now, at {by}"))
            }
            () = self.cache.drain_asked() => Cause::Asked,
        };
        let began = Instant::now();
        let left = tokio::select! {
            left = self.drain(&cause) => left,
            signal = signals.insisted(began) => return Err(self.cut_short(signal, began)),
        };
        self.ending(left).report(&cause, began.elapsed());
        match cause {
            Cause::Failed(reason) => Err(NodeError::Failed(reason)),
            Cause::Signal(_) | Cause::TerminalClosed | Cause::Asked => Ok(left?),
        }
    }

    /// Stops the node, as a client may ask for it.
    ///
    /// # Errors
    ///
    /// [`LeftBehind`]; the node has stopped all the same.
    pub async fn stop(self) -> Result<(), LeftBehind> {
        self.drain(&Cause::Asked).await
    }

    /// Does what signals say until one of them ends the node.
    async fn obey(&self, signals: &mut Signals, mut reload: impl FnMut()) -> Cause {
        loop {
            match signals.next().await {
                Word::End(signal) => return Cause::Signal(signal),
                Word::Abandoned => return Cause::TerminalClosed,
                Word::Reload => reload(),
                Word::Report => self.report(),
                Word::Nothing(signal) => info!(signal, "nothing is done for this signal"),
            }
        }
    }

    /// Logs how the node is.
    fn report(&self) {
        let status = self.cache.status();
        let (requests, memory) = (&status.requests, &status.memory);
        info!(
            state = ?status.state,
            uptime_ms = status.uptime_ms,
            entries = self.entries(),
            used_bytes = memory.used_bytes,
            limit_bytes = memory.limit_bytes,
            hits = requests.hits,
            misses = requests.misses,
            writes = requests.writes,
            evictions = requests.evictions,
            members = status.cluster.members.len(),
            moving = status.cluster.moving,
            waits_for = status.cluster.waits_for,
            "status"
        );
    }

    /// Hands its entries to other nodes, if there are any, answers what has begun, and stops the doors
    /// and the shards.
    ///
    /// While entries are handed over every request is still answered: who asks here does so because
    /// it has not heard yet that this node goes.
    async fn drain(&self, cause: &Cause) -> Result<(), LeftBehind> {
        self.cache.set_state(NodeState::Draining);
        let others = self.cluster.as_ref().filter(|cluster| cluster.has_others());
        self.doors.iter().for_each(match others {
            Some(_) => Door::leave,
            None => Door::close_idle,
        });
        info!(%cause, "draining");
        let mut left = Ok(());
        if let Some(cluster) = &self.cluster {
            let told = async {
                if others.is_some() {
                    sleep(LAME_DUCK).await;
                }
            };
            (left, ()) = tokio::join!(cluster.hand_over(), told);
        }
        if others.is_some() {
            self.doors.iter().for_each(Door::shut);
        }
        join_all(self.doors.iter().map(|door| door.drain(DRAIN_TIMEOUT))).await;
        if let Some(cluster) = &self.cluster {
            if left.is_ok() {
                left = cluster.hand_over_the_rest().await;
            }
            self.cache.hub().flushed(HUB_FLUSH_TIMEOUT).await;
            cluster.leave().await;
        }
        self.supervisor.stop().await;
        left
    }

    /// What has become of the entries by now.
    fn ending(&self, left: Result<(), LeftBehind>) -> Ending {
        let handed_over = self.cluster.as_ref().map_or_else(BTreeMap::new, Cluster::handed_over);
        Ending { handed_over, left, kept: self.entries() }
    }

    /// Says what is lost by an end at once.
    fn cut_short(&self, signal: &'static str, began: Instant) -> NodeError {
        let left = self.cluster.as_ref().and_then(Cluster::left_behind);
        self.ending(left.map_or(Ok(()), Err)).report_cut_short(signal, began.elapsed());
        NodeError::CutShort { signal, left }
    }

    /// Entries that are here.
    fn entries(&self) -> u64 {
        self.cache.status().shards.iter().map(|shard| shard.entries).sum()
    }
}

/// This node as others see it.
fn member(config: &Config, http: Option<SocketAddr>) -> Result<Member, NodeError> {
    let boot = Boot(getrandom::u64().map_err(NodeError::Random)?);
    let advertise = config.cluster.as_ref().and_then(|cluster| cluster.advertise.clone());
    let mib = config.memory_bytes >> 20;
    Ok(Member {
        id: NodeId { name: config.node.clone(), boot },
        addr: advertise.unwrap_or_default(),
        http: http.map(|addr| addr.to_string()).unwrap_or_default(),
        incarnation: clock::now().0,
        standing: Standing::Alive,
        // The most a node may have in MiB fits.
        weight: u32::try_from(mib).unwrap_or(u32::MAX).max(1),
    })
}

/// Has policies follow what all nodes know alike, and the shards go by them as soon as they change.
fn govern(policies: Arc<Policies>, router: &Router) -> Governance {
    let registry = Arc::new(Registry::default());
    let (following, router) = (Arc::clone(&policies), router.clone());
    registry.follow(Box::new(move |known| {
        following.follow(known);
        router.shards().iter().for_each(Shard::govern);
    }));
    Governance { registry, policies }
}

async fn superseded(cluster: Option<&Cluster>) -> String {
    match cluster {
        Some(cluster) => cluster.superseded().await,
        None => std::future::pending().await,
    }
}

fn listen(addr: SocketAddr) -> Result<Listener, NodeError> {
    Listener::bind(addr).map_err(|reason| NodeError::Listen { addr, reason })
}

/// Raises the limit of open files as far as the system lets it be raised: each connection is one,
/// and many systems start processes with 1,024.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(reason) = setrlimit(Resource::Nofile, limit) {
        debug!(%reason, "the limit of open files stays as it is");
    }
}
