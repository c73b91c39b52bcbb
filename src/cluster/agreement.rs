//! Has nodes tell each other what all of them are to know alike.
//!
//! What is new is told to every node there is a session with. Two nodes that meet tell each other all
//! that they know; and each compares what it knows with one other now and then, so that what did not
//! arrive comes by way of somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::debug;

use super::{Cluster, Shared};
use crate::limits::{REGISTRY_COMPARE_TICKS, REGISTRY_SPREAD_TIMEOUT};
use crate::peer::Link;
use crate::peer::message::{Agreement, Request, Response};
use crate::peer::protocol::PROTOCOL_OF_AGREEMENT;
use crate::registry::Known;

/// How often two nodes tell each other all they know, one after the other, until they know the same: once
/// is enough unless something is said meanwhile.
const ROUNDS_MAX: usize = 3;

/// Whose turn it is to be compared with.
#[derive(Default)]
pub(super) struct Turns(AtomicU64);

impl Cluster {
    /// Tells the others what is new, and waits until those have it that answer in time. The rest have it
    /// as soon as they do.
    pub async fn spread(&self) {
        let links = self.shared.links();
        let told = links.iter().map(|link| self.shared.agree_with(link, Told::All));
        if timeout(REGISTRY_SPREAD_TIMEOUT, join_all(told)).await.is_err() {
            debug!("not all nodes have what is new yet");
        }
    }
}

/// What a node begins with that tells another what it knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// All of it.
    All,
    /// Whether it is the same.
    Digest,
}

impl Shared {
    /// Answers a node that tells what it knows.
    pub(super) fn agree(&self, theirs: Agreement) -> Response {
        let Agreement { digest, items } = theirs;
        self.registry.merge(items);
        Response::Agreed(self.known_to(|ours| ours != digest))
    }

    /// Tells a node that was met all that is known.
    pub(super) fn agree_with_new(self: &Arc<Self>, link: Link) {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.agree_with(&link, Told::All).await });
    }

    /// Compares what is known with what one other knows, now and then: called with every tick.
    pub(super) fn compare_knowledge(self: &Arc<Self>) {
        let tick = self.turns.0.fetch_add(1, Ordering::Relaxed);
        if !tick.is_multiple_of(REGISTRY_COMPARE_TICKS) {
            return;
        }
        let links = self.links();
        let turn = tick / REGISTRY_COMPARE_TICKS;
        let Some(at) = turn.checked_rem(links.len() as u64) else { return };
        let (shared, link) = (Arc::clone(self), links[at as usize].clone());
        tokio::spawn(async move { shared.agree_with(&link, Told::Digest).await });
    }

    async fn agree_with(&self, link: &Link, told: Told) {
        let mut mine = self.known_to(|_| told == Told::All);
        for _ in 0..ROUNDS_MAX {
            let theirs = match link.ask(Request::Agree(mine)).await {
                Ok(Response::Agreed(theirs)) => theirs,
                Ok(_) | Err(_) => return debug!(peer = %link.peer(), "did not say what it knows"),
            };
            self.registry.merge(theirs.items);
            mine = self.known_to(|ours| ours != theirs.digest);
            if mine.digest == theirs.digest {
                return;
            }
        }
    }

    /// What is known, with all of it for whom the fingerprint says too little.
    fn known_to(&self, wants_all: impl FnOnce(u64) -> bool) -> Agreement {
        self.registry.look(|known: &Known| {
            let digest = known.digest();
            let items = if wants_all(digest) { known.items() } else { vec![] };
            Agreement { digest, items }
        })
    }

    /// The sessions with nodes that know of this.
    fn links(&self) -> Vec<Link> {
        let peers = self.transport().peers();
        let links = peers.iter().filter_map(|peer| self.transport().link(&peer.id));
        links.filter(|link| PROTOCOL_OF_AGREEMENT <= link.protocol()).collect()
    }
}
