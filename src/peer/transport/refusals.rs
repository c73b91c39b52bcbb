//! Log lines about connections that came to nothing: each once in a while, however many there are.

use std::net::IpAddr;

use tracing::field::display;
use tracing::{debug, warn};

use crate::clock;
use crate::limits::{HELLO_LOG_PAUSE, HELLO_LOGS_MAX};
use crate::member::NodeName;
use crate::peer::hello::{HelloError, Refused};
use crate::quiet::Quiet;

/// Who refused, and what is the same for all connections that fail alike.
type Kind = (&'static str, &'static str);

/// What was logged of late. Who somebody claims to be does not count: it may claim to be anybody.
pub(super) struct Refusals(Quiet<(IpAddr, Kind)>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Quiet::new(HELLO_LOG_PAUSE, HELLO_LOGS_MAX))
    }
}

impl Refusals {
    /// Logs why there is no session with who is at `addr` and claims to be `peer`, unless that was done a
    /// moment ago.
    pub(super) fn log(&self, addr: IpAddr, peer: Option<&NodeName>, error: &HelloError) {
        let peer = peer.map(display);
        let is_usual = matches!(
            error,
            HelloError::Here(Refused::AlreadyConnected | Refused::Itself)
                | HelloError::There(Refused::AlreadyConnected | Refused::Itself)
                // As a probe of the port ends it, and a node that has just left.
                | HelloError::Broken
        );
        let is_due = || self.0.may_say((addr, kind(error)), clock::steady());
        match (!is_usual).then(is_due).flatten() {
            Some(kept_back) => {
                warn!(%addr, peer, %error, kept_back, "no session with a peer");
            }
            None => debug!(%addr, peer, %error, "no session with a peer"),
        }
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
