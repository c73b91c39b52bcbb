//! Log lines about connections that came to nothing: each once in a while, however many there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::limits::{HELLO_LOG_PAUSE, HELLO_LOGS_MAX};
use crate::peer::hello::{HelloError, Refused};

/// Who refused, and what is the same for all connections that fail alike.
type Kind = (&'static str, &'static str);

/// When what was logged last.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<(IpAddr, Kind), Instant>>);

impl Refusals {
    /// Logs why there is no session with who is at `addr`, unless that was done a moment ago.
    pub(super) fn log(&self, addr: IpAddr, error: &HelloError) {
        let is_usual = matches!(
            error,
            HelloError::Here(Refused::AlreadyConnected | Refused::Itself)
                | HelloError::There(Refused::AlreadyConnected | Refused::Itself)
                // As a probe of the port ends it, and a node that has just left.
                | HelloError::Broken
        );
        if !is_usual && self.is_due(addr, kind(error), Instant::now()) {
            warn!(%addr, %error, "no session with a peer");
        } else {
            debug!(%addr, %error, "no session with a peer");
        }
    }

    fn is_due(&self, addr: IpAddr, kind: Kind, now: Instant) -> bool {
        // Nothing that can panic is done under the lock.
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if HELLO_LOGS_MAX <= logged.len() {
            logged.retain(|_, at| now - *at < HELLO_LOG_PAUSE);
        }
        let is_known = logged.get(&(addr, kind)).is_some_and(|at| now - *at < HELLO_LOG_PAUSE);
        if is_known || HELLO_LOGS_MAX <= logged.len() {
            return false;
        }
        logged.insert((addr, kind), now);
        true
    }
}

/// What is the same for all connections of one address that fail alike.
fn kind(error: &HelloError) -> Kind {
    match error {
        HelloError::Here(refused) => ("here", kind_of(refused)),
        HelloError::There(refused) => ("there", kind_of(refused)),
        HelloError::Garbled(_) => ("here", "garbled"),
        HelloError::Broken => ("here", "broken"),
    }
}

fn kind_of(refused: &Refused) -> &'static str {
    match refused {
        Refused::Cookie => "cookie",
        Refused::Cluster(_) => "cluster",
        Refused::Protocol(_) => "protocol",
        Refused::Itself => "itself",
        Refused::AlreadyConnected => "connected",
        Refused::Full => "full",
        Refused::NameTaken(_) => "name",
    }
}
