//! A door for any protocol: a listener, places, the phases in which it closes, and an accept loop
//! that is supervised.
//!
//! A protocol says how one connection is served and what one is told for which there is no place;
//! everything else is the same for all of them. The listener belongs to the node, so that a door
//! that is started again goes on with the same port, and open connections do not notice.

mod actor;
mod phase;
mod places;
pub mod room;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{self, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::limits::DOOR_BACKLOG;
use crate::supervision::{ChildSpec, Kind, Orders, Post};

use actor::{DoorActor, DoorMsg};

pub use phase::{Phase, Phases};
pub use places::Places;

/// A door as its node holds it.
pub struct Door {
    shared: Arc<Shared>,
}

/// What is counted of a door that has no place of its own where that is shown.
pub struct Figures<C> {
    /// What its protocol counts.
    pub counts: Arc<C>,
    /// Its connections.
    pub places: Arc<Places>,
}

/// What a protocol does with connections.
pub trait Protocol: Send + Sync + 'static {
    /// Serves a connection until the client, a deadline or the door ends it: it closes with the
    /// next answer while the door is leaving, without a request under way once it drains, and at
    /// once when the door is closed.
    fn serve(&self, stream: TcpStream, phases: Phases) -> Serving;

    /// Tells a client that there is no place for its connection, whatever it asks, and closes that
    /// once the client had time to read it.
    fn refuse(&self, stream: TcpStream, phases: Phases) -> Serving;
}

/// What is done with one connection.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An address that is listened on.
#[derive(Debug)]
pub struct Listener {
    /// Until the door shuts.
    listener: Mutex<Option<TcpListener>>,
    /// Told when it has shut.
    shut: Notify,
    addr: SocketAddr,
}

/// What the accept loop and the connections share.
struct Shared {
    name: &'static str,
    listener: Listener,
    places: Arc<Places>,
    phases: Phases,
    protocol: Box<dyn Protocol>,
}

impl<C> Clone for Figures<C> {
    fn clone(&self) -> Self {
        Self { counts: Arc::clone(&self.counts), places: Arc::clone(&self.places) }
    }
}

impl Listener {
    /// Listens on `addr`; port 0 takes a free one. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The system's, if it does not give the address.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(DOOR_BACKLOG)?.into_std()?;
        let addr = listener.local_addr()?;
        Ok(Self { listener: Mutex::new(Some(listener)), shut: Notify::new(), addr })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// One more hold of the socket, to accept from; `None` once it is shut.
    fn open(&self) -> io::Result<Option<net::TcpListener>> {
        let listener = self.listener().as_ref().map(TcpListener::try_clone).transpose()?;
        listener.map(net::TcpListener::from_std).transpose()
    }

    /// Shuts it, once nothing else holds the socket, and gives the connections that clients take for
    /// established by then to `take`: who is closed with the socket is reset, and what it asked for
    /// already is lost.
    fn shut(&self, mut take: impl FnMut(TcpStream)) {
        if let Some(listener) = self.listener().take() {
            // Until there is none, or the system gives none.
            while let Ok((stream, _)) = listener.accept() {
                let is_set = stream.set_nonblocking(true);
                match is_set.and_then(|()| TcpStream::from_std(stream)) {
                    Ok(stream) => take(stream),
                    Err(reason) => debug!(%reason, "a connection was gone before it was accepted"),
                }
            }
        }
        self.shut.notify_one();
    }

    fn listener(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// The door of a protocol, and how its actor is started.
    #[must_use]
    pub fn new(
        name: &'static str,
        listener: Listener,
        places: Arc<Places>,
        protocol: impl Protocol,
    ) -> (Self, ChildSpec) {
        let (phases, protocol) = (Phases::default(), Box::new(protocol));
        let shared = Arc::new(Shared { name, listener, places, phases, protocol });
        let args = Arc::clone(&shared);
        let orders = Orders { first: None, crash: || DoorMsg::Crash };
        let make = move || (DoorActor, Arc::clone(&args));
        let name = format!("door-{name}");
        // Nobody but its own accept loop speaks to it.
        let spec = ChildSpec::of_actor(name, Kind::Door, &Post::default(), &orders, make);
        (Self { shared }, spec)
    }

    /// What it speaks.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.shared.listener.addr
    }

    /// Has clients go elsewhere: each connection closes with its next answer, so that no request
    /// meets one that is being closed.
    pub fn leave(&self) {
        self.shared.phases.enter(Phase::Leaving);
    }

    /// Closes the connections without a request under way. A new one has one request answered.
    pub fn close_idle(&self) {
        self.shared.phases.enter(Phase::Draining);
    }

    /// Stops listening: whoever comes has somewhere else to go. Connections that clients take for
    /// established are taken, and in all there are what has begun is answered.
    pub fn shut(&self) {
        self.shared.phases.enter(Phase::Shut);
    }

    /// Answers what has begun, and whoever comes until all that is answered unless the door is
    /// [shut](Self::shut); closes what is left after `grace`.
    pub async fn drain(&self, grace: Duration) {
        let Shared { name, listener, places, phases, .. } = &*self.shared;
        let end = Instant::now() + grace;
        self.close_idle();
        if phases.now() < Phase::Shut {
            // Whether in time or not, it goes on with the next step.
            drop(timeout_at(end, places.all_free()).await);
            self.shut();
        }
        // If its loop does not get to it in time, what waits there is closed with the rest.
        drop(timeout_at(end, listener.shut.notified()).await);
        if timeout_at(end, places.all_free()).await.is_err() {
            let open = places.open();
            warn!(door = name, open, "closing connections that did not end in time");
        }
        phases.enter(Phase::Closed);
        info!(door = name, "door closed");
    }
}
