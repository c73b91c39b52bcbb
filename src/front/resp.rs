//! The RESP door: any Redis client, over the second or the third form of its protocol.
//!
//! A connection reads what has come, has all of it done as one batch, and sends all replies with one
//! call. What is under way of it is bounded: a client that does not read is not read from either.

mod asked;
mod clients;
mod codec;
mod commands;
mod connection;
mod cursors;
mod failure;
mod keyspace;
mod listening;
mod run;
mod session;
mod transaction;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::cache::Cache;
use crate::config::Secret;
use crate::door::room::Room;
use crate::door::{Door, Figures, Listener, Phases, Places, Protocol, Serving};
use crate::limits::{
    RESP_CONNECTIONS_MAX, RESP_INPUT_BYTES_TOTAL_MAX, RESP_QUEUED_BYTES_TOTAL_MAX,
    RESP_QUEUED_TOTAL_MAX, RESP_REFUSALS_MAX, RESP_VALUE_BYTES_TOTAL_MAX,
};
use crate::metrics::RespCounts;
use crate::supervision::{ChildSpec, Places as PlacesOf};

use clients::Clients;
use cursors::Cursors;
use keyspace::Keyspace;

/// The door on `listener`, and how its actor is started. Clients must present `token`, if there is one.
/// With `has_demo` the node may be ended through it. What is counted of it comes as well.
#[must_use]
pub fn door(
    listener: Listener,
    cache: Cache,
    token: Option<Secret>,
    has_demo: bool,
) -> (Door, ChildSpec, Figures<RespCounts>) {
    let places = Arc::new(Places::new(RESP_CONNECTIONS_MAX, RESP_REFUSALS_MAX));
    let counts = Arc::new(RespCounts::default());
    let figures = Figures { counts: Arc::clone(&counts), places: Arc::clone(&places) };
    let shared = Arc::new(Shared {
        keyspace: Keyspace::new(cache.hub().clone()),
        cache,
        token,
        has_demo,
        addr: listener.addr(),
        places: Arc::clone(&places),
        clients: Clients::default(),
        cursors: Cursors::default(),
        counts,
        queued: PlacesOf::new(RESP_QUEUED_TOTAL_MAX, RESP_QUEUED_BYTES_TOTAL_MAX),
        input: Room::new(RESP_INPUT_BYTES_TOTAL_MAX),
        values: Room::new(RESP_VALUE_BYTES_TOTAL_MAX),
    });
    let (door, spec) = Door::new("resp", listener, places, Resp(shared));
    (door, spec, figures)
}

/// Checks what must hold of any bytes a client may send, for `fuzz/resp.rs`.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    codec::fuzz::check(bytes);
}

/// What all connections of the door share.
struct Shared {
    cache: Cache,
    token: Option<Secret>,
    has_demo: bool,
    addr: SocketAddr,
    places: Arc<Places>,
    clients: Clients,
    cursors: Cursors,
    counts: Arc<RespCounts>,
    keyspace: Keyspace,
    /// Places of what clients have queued to be done together.
    queued: PlacesOf,
    /// For large requests that come in.
    input: Room,
    /// For large values that go out.
    values: Room,
}

struct Resp(Arc<Shared>);

impl Protocol for Resp {
    fn serve(&self, stream: TcpStream, phases: Phases) -> Serving {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { connection::serve(&shared, &phases, stream).await })
    }

    fn refuse(&self, stream: TcpStream, phases: Phases) -> Serving {
        Box::pin(async move { connection::refuse(&phases, stream).await })
    }
}
