//! Another node as seen from here: connections, who is on them, and what goes over them.
//!
//! [`Transport`] listens and dials. Each connection begins with a HELLO, in which both sides say who
//! they are and prove the cookie; then `ractor_cluster` carries messages over it, from one gateway
//! actor to the other. What a node asks a peer goes through the [`Link`] to it, which gathers
//! commands into batches; what a peer asks this node is answered by an [`Answer`]. Whom to dial and
//! when is decided elsewhere.

pub mod codec;
pub mod message;
pub mod protocol;

mod chaos;
mod frame;
mod hello;
mod delay;
mod stream;
mod session;
mod gateway;
mod link;
mod relay;
mod transport;

use std::pin::Pin;

use crate::clock::Millis;
use crate::member::{Member, NameTaken, NodeId};
use message::{Request, Response};

pub use chaos::Chaos;
pub use hello::{HelloError, Refused};
pub use link::{Link, LinkError, Outcome};
pub use protocol::PROTOCOL_OF_LEFT;
pub use transport::{
    DialError, Dialed, Transport, TransportConfig, TransportError, TransportEvent,
};

/// Decides who may have a session.
///
/// It is asked once the peer has proved the cookie and before the session is there, and must not wait.
pub trait Admission: Send + Sync + 'static {
    /// Admits the peer and returns the incarnation it has to exceed, so that what it says of itself is
    /// believed over what is remembered of its last run.
    ///
    /// # Errors
    ///
    /// [`NameTaken`], if another run has its name.
    fn admit(&self, peer: &Member) -> Result<u64, NameTaken>;

    /// Hears that `time` was the cluster's for a peer that was admitted, when the steady time here was
    /// `heard`.
    fn met(&self, _peer: &Member, _time: Millis, _heard: Millis) {}
}

/// Does what peers ask.
pub trait Answer: Send + Sync + 'static {
    /// Answers a request of a peer that has a session.
    ///
    /// The future is polled once on the spot: what is ready then goes back without a task of its own.
    /// A batch of commands comes as one request.
    fn answer(&self, from: NodeId, request: Request) -> Answering;
}

/// An answer that is under way.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
