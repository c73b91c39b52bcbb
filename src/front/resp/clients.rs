//! Who is connected: what clients are told of themselves and of each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::codec::Protocol;
use super::commands::{ROWS, Row};

/// All clients of a door.
#[derive(Default)]
pub(super) struct Clients {
    next: AtomicU64,
    list: Mutex<BTreeMap<u64, Arc<Client>>>,
}

/// One client.
pub(super) struct Client {
    /// Its number, which no other of this door ever has.
    pub(super) id: u64,
    peer: SocketAddr,
    local: SocketAddr,
    opened: Instant,
    /// Milliseconds from its beginning to its last request.
    active_ms: AtomicU64,
    /// The place of its last command among all of them.
    command: AtomicUsize,
    words: Mutex<Words>,
}

/// What a client says of itself.
#[derive(Clone, Default)]
pub(super) struct Words {
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
    pub(super) protocol: Protocol,
}

/// A client for as long as it is connected.
pub(super) struct Listed<'a> {
    clients: &'a Clients,
    pub(super) client: Arc<Client>,
}

impl Clients {
    /// Puts a client on the list until what is returned is dropped.
    pub(super) fn add(&self, peer: SocketAddr, local: SocketAddr) -> Listed<'_> {
        let client = Arc::new(Client {
            id: self.next.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            local,
            opened: Instant::now(),
            active_ms: AtomicU64::new(0),
            command: AtomicUsize::new(usize::MAX),
            words: Mutex::default(),
        });
        self.list().insert(client.id, Arc::clone(&client));
        Listed { clients: self, client }
    }

    /// All of them, in the order in which they came.
    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        self.list().values().cloned().collect()
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.clients.list().remove(&self.client.id);
    }
}

impl Client {
    /// Notes what the client asked for.
    pub(super) fn asked(&self, row: &'static Row) {
        let place = ROWS.as_ptr_range().start;
        // Both are of one slice.
        let at = (std::ptr::from_ref(row).addr() - place.addr()) / size_of::<Row>();
        self.command.store(at, Ordering::Relaxed);
    }

    /// Notes that requests have come.
    pub(super) fn is_active(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.store(since, Ordering::Relaxed);
    }

    /// Where it has reached this node.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it says of itself.
    pub(super) fn words(&self) -> Words {
        self.lock().clone()
    }

    /// Has it say something else of itself.
    pub(super) fn change(&self, change: impl FnOnce(&mut Words)) {
        change(&mut self.lock());
    }

    /// A line that tells of it, as Redis has it; what there is nothing of here is left out.
    pub(super) fn line(&self) -> String {
        let Self { id, peer, local, opened, active_ms, command, .. } = self;
        let words = self.words();
        let age_ms = u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let idle_ms = age_ms.saturating_sub(active_ms.load(Ordering::Relaxed));
        let command = ROWS.get(command.load(Ordering::Relaxed)).map_or("NULL", |row| row.name);
        let Words { name, library, library_version, protocol } = words;
        let resp = protocol.number();
        format!(
            "id={id} addr={peer} laddr={local} name={name} age={} idle={} flags=N db=0 \
             multi=-1 cmd={command} user=default resp={resp} lib-name={library} \
             lib-ver={library_version}",
            age_ms / 1_000,
            idle_ms / 1_000,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
