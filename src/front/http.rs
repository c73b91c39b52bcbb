//! The HTTP door: warp's filters, served by our own hyper loop.
//!
//! The loop is what warp's own server lacks: deadlines for everything a client can be slow at, a cap
//! on connections, and a drain that answers what has begun. The listener belongs to the node, so that
//! a door that is started again goes on with the same port, and open connections do not notice.

mod actor;
mod answer;
mod api;
mod body;
mod connection;
mod deadline;
mod guard;
mod metrics;
mod native;
mod operations;
mod params;
mod query;
mod range;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::cache::Cache;
use crate::limits::{HTTP_BACKLOG, HTTP_CONNECTIONS_MAX, HTTP_REFUSALS_MAX};
use crate::metrics::HttpCounts;
use crate::supervision::{ChildSpec, Kind, Orders, Post};

use actor::{DoorActor, DoorMsg};
use routes::Context;

pub use guard::Guard;

/// The HTTP door as its node holds it.
pub struct HttpDoor {
    shared: Arc<Shared>,
}

/// What the accept loop and the connections share.
struct Shared {
    listener: TcpListener,
    context: Context,
    guard: Guard,
    phase: watch::Sender<Phase>,
    /// One permit for each connection that may still be opened.
    vacancies: Arc<Semaphore>,
    /// One permit for each connection that may be told at a time that it is not served.
    refusals: Arc<Semaphore>,
    counts: Arc<HttpCounts>,
    /// Whether each answer closes its connection. Apart from the phase, as every request looks at it.
    is_leaving: AtomicBool,
    /// Told whenever a connection has ended.
    ended: Notify,
}

/// What the door does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It takes connections and requests.
    Open,
    /// It takes them still, and each answer says that the connection closes with it.
    Leaving,
    /// The same, and connections without a request under way are closed.
    Draining,
    /// It closes whatever is left.
    Closed,
}

impl HttpDoor {
    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The system's, if it does not give the address.
    pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(HTTP_BACKLOG as u32)
    }

    /// The door on `listener`, and how its actor is started. With `has_demo`, actors may be crashed
    /// through it.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        cache: Cache,
        guard: Guard,
        has_demo: bool,
    ) -> (Self, ChildSpec) {
        let vacancies = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
        let counts = Arc::new(HttpCounts::default());
        let context = Context {
            cache,
            has_demo,
            counts: Arc::clone(&counts),
            vacancies: Arc::clone(&vacancies),
        };
        let phase = watch::Sender::new(Phase::Open);
        let refusals = Arc::new(Semaphore::new(HTTP_REFUSALS_MAX));
        let shared = Arc::new(Shared {
            listener,
            context,
            guard,
            phase,
            vacancies,
            refusals,
            counts,
            is_leaving: AtomicBool::new(false),
            ended: Notify::new(),
        });

        let door = Arc::clone(&shared);
        let orders = Orders { first: None, crash: || DoorMsg::Crash };
        let make = move || (DoorActor, Arc::clone(&door));
        let spec = ChildSpec::of_actor("door-http", Kind::Door, &Post::default(), &orders, make);
        (Self { shared }, spec)
    }

    /// Has clients go elsewhere: each connection closes with its next answer, so that no request meets
    /// one that is being closed.
    pub fn leave(&self) {
        self.shared.is_leaving.store(true, Ordering::Relaxed);
        self.shared.phase.send_replace(Phase::Leaving);
    }

    /// Closes the connections without a request under way. A new one has one request answered.
    pub fn close_idle(&self) {
        self.shared.is_leaving.store(true, Ordering::Relaxed);
        self.shared.phase.send_replace(Phase::Draining);
    }

    /// Answers what has begun and closes what is left after `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.close_idle();
        let open = || HTTP_CONNECTIONS_MAX - self.shared.vacancies.available_permits();
        let all_ended = async {
            while 0 < open() {
                self.shared.ended.notified().await;
            }
        };
        if timeout(grace, all_ended).await.is_err() {
            warn!(open = open(), "closing connections that did not end in time");
        }
        self.shared.phase.send_replace(Phase::Closed);
        info!("http door closed");
    }
}
