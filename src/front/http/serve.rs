//! The server under the APIs: connections with their deadlines, who may ask, bodies, answers.
//!
//! It knows no API: what a path means it is given as [`Routes`].

mod account;
mod answer;
mod body;
mod connection;
mod deadline;
mod ending;
mod fields;
mod fragment;
mod guard;
mod incoming;
mod json;
mod linger;
mod malformed;
mod outgoing;
mod params;
mod routes;
mod stream;
mod traffic;
mod value;
mod target;

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::config::RequestLog;
use crate::door::{Phases, Protocol, Serving};
use crate::metrics::HttpCounts;

pub(super) use answer::{NO_STORE, Refusal, json, raw_json};
pub(super) use body::read;
pub(super) use fields::{
    Cursor, Directive, EntityTag, EntityTags, Malformed, conditions, directives, entity_tags, only,
};
pub use guard::Guard;
pub(super) use json::{Kept, ValidJson, json_string, write_json_string};
pub(super) use outgoing::flow;
pub(super) use params::Params;
pub(super) use routes::{Parts, Routes, parts, query, shown};
pub(super) use value::{Value, find};

/// HTTP over some APIs.
pub(super) struct Http {
    shared: Arc<Shared>,
}

/// What the connections share.
struct Shared {
    guard: Guard,
    counts: Arc<HttpCounts>,
    log: RequestLog,
    /// Makes the routes of one connection.
    routes: Box<dyn Fn() -> Routes + Send + Sync>,
}

impl Http {
    pub(super) fn new(
        guard: Guard,
        counts: Arc<HttpCounts>,
        log: RequestLog,
        routes: impl Fn() -> Routes + Send + Sync + 'static,
    ) -> Self {
        Self { shared: Arc::new(Shared { guard, counts, log, routes: Box::new(routes) }) }
    }
}

impl Protocol for Http {
    fn serve(&self, stream: TcpStream, phases: Phases) -> Serving {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { connection::serve(&shared, &phases, stream).await })
    }

    fn refuse(&self, stream: TcpStream, phases: Phases) -> Serving {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { connection::refuse(&shared, &phases, stream).await })
    }
}
