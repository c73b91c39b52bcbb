//! A door for any protocol: a listener, places, the phases in which it closes, and an accept loop
//! that is supervised.
//!
//! A protocol says how one connection is served and what one is told for which there is no place;
//! everything else is the same for all of them. The listener belongs to the node, so that a door
//! that is started again goes on with the same port, and open connections do not notice.

mod actor;
mod phase;
mod places;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::limits::DOOR_BACKLOG;
use crate::supervision::{ChildSpec, Kind, Orders, Post};

use actor::{DoorActor, DoorMsg};

pub use phase::{Phase, Phases};
pub use places::Places;

/// A door as its node holds it.
pub struct Door {
    shared: Arc<Shared>,
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
    listener: TcpListener,
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
        let listener = socket.listen(DOOR_BACKLOG)?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
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

    /// Answers what has begun and closes what is left after `grace`.
    pub async fn drain(&self, grace: Duration) {
        let Shared { name, places, phases, .. } = &*self.shared;
        self.close_idle();
        if timeout(grace, places.all_free()).await.is_err() {
            let open = places.open();
            warn!(door = name, open, "closing connections that did not end in time");
        }
        phases.enter(Phase::Closed);
        info!(door = name, "door closed");
    }
}
