//! Who is connected: one slot for each peer, taken before a session is made.
//!
//! Two nodes that dial each other at once have to end with one session. A dialer takes the slot when it
//! knows whom it met, and before it proves the cookie: if it is taken, the connection ends there. An
//! acceptor takes it with the proof, also from a dial of its own that is under way, unless its own is
//! the one that counts: that of the node whose name sorts first. So where one side accepts, the
//! other's dial is refused, and a connection is never refused for one that comes to nothing by the
//! same rule.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::{PEERS_MAX, SESSION_REPLACE_AGE};
use crate::member::{Boot, Member, NodeId};
use crate::peer::hello::Refused;
use crate::peer::link::Link;
use crate::peer::session::Session;

/// All slots.
#[derive(Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Boot, Slot>>>);

/// A slot that was taken, free again if this is dropped before a session began in it.
pub(super) struct Taken {
    slots: Arc<Mutex<HashMap<Boot, Slot>>>,
    boot: Boot,
    serial: u64,
}

struct Slot {
    serial: u64,
    state: State,
}

enum State {
    /// A dial of this node is about to prove the cookie.
    Dialing,
    /// A connection was accepted.
    Accepted,
    /// There is a session, or nearly.
    Session {
        session: Arc<Session>,
        link: Option<Link>,
        ready: Option<oneshot::Sender<()>>,
        is_ending: bool,
    },
}

impl Sessions {
    /// Takes the slot of a peer that was dialled.
    pub(super) fn begin_dial(&self, peer: &NodeId, serial: u64) -> Result<Taken, Refused> {
        let mut slots = self.lock();
        if PEERS_MAX <= slots.len() {
            return Err(Refused::Full);
        }
        match slots.entry(peer.boot) {
            Entry::Occupied(_) => Err(Refused::AlreadyConnected),
            Entry::Vacant(vacant) => {
                vacant.insert(Slot { serial, state: State::Dialing });
                Ok(self.taken(peer.boot, serial))
            }
        }
    }

    /// Takes the slot of a peer that has dialled `me` and proved the cookie. A session that is old has
    /// ended at the peer, or it would not have dialled.
    pub(super) fn begin_accept(
        &self,
        me: &NodeId,
        peer: &NodeId,
        serial: u64,
    ) -> Result<Taken, Refused> {
        let mut slots = self.lock();
        let is_taken = match slots.get(&peer.boot).map(|slot| &slot.state) {
            None if PEERS_MAX <= slots.len() => return Err(Refused::Full),
            None => false,
            Some(State::Dialing) => me < peer,
            Some(State::Accepted) => true,
            Some(State::Session { session, .. }) => {
                if SESSION_REPLACE_AGE <= session.age() {
                    session.kill("the peer has connected again");
                }
                true
            }
        };
        if is_taken {
            return Err(Refused::AlreadyConnected);
        }
        slots.insert(peer.boot, Slot { serial, state: State::Accepted });
        Ok(self.taken(peer.boot, serial))
    }

    fn taken(&self, boot: Boot, serial: u64) -> Taken {
        Taken { slots: Arc::clone(&self.0), boot, serial }
    }

    /// Puts a session into its slot, and returns what tells when `ractor_cluster` has made it ready;
    /// `None` if the slot was taken by somebody else.
    pub(super) fn begin(
        &self,
        taken: &Taken,
        session: Arc<Session>,
    ) -> Option<oneshot::Receiver<()>> {
        let mut slots = self.lock();
        let slot = slots.get_mut(&taken.boot).filter(|slot| slot.serial == taken.serial)?;
        let (ready, is_ready) = oneshot::channel();
        slot.state = State::Session { session, link: None, ready: Some(ready), is_ending: false };
        Some(is_ready)
    }

    /// Notes that `ractor_cluster` has made a session ready.
    pub(super) fn set_ready(&self, serial: u64) {
        let mut slots = self.lock();
        let slot = slots.values_mut().find(|slot| slot.serial == serial);
        if let Some(Slot { state: State::Session { ready, .. }, .. }) = slot
            && let Some(ready) = ready.take()
        {
            // Whoever waited may have given up.
            let _ = ready.send(());
        }
    }

    /// Publishes the link over a session and tells so, unless the session has ended.
    pub(super) fn set_link(&self, serial: u64, new: Link, tell: impl FnOnce()) -> bool {
        let mut slots = self.lock();
        let slot = slots.values_mut().find(|slot| slot.serial == serial);
        match slot.map(|slot| &mut slot.state) {
            Some(State::Session { link, is_ending: false, .. }) => {
                *link = Some(new);
                tell();
                true
            }
            Some(_) | None => false,
        }
    }

    /// Begins the end of a session; `None` if that was done before.
    pub(super) fn end(&self, serial: u64) -> Option<(Arc<Session>, Option<Link>)> {
        let mut slots = self.lock();
        let slot = slots.values_mut().find(|slot| slot.serial == serial)?;
        match &mut slot.state {
            State::Session { session, link, is_ending, .. } if !*is_ending => {
                *is_ending = true;
                Some((Arc::clone(session), link.take()))
            }
            State::Session { .. } | State::Dialing | State::Accepted => None,
        }
    }

    /// Frees the slot of a session that has ended.
    pub(super) fn forget(&self, serial: u64) {
        self.lock().retain(|_, slot| slot.serial != serial);
    }

    pub(super) fn get(&self, boot: Boot) -> Option<Arc<Session>> {
        match self.lock().get(&boot).map(|slot| &slot.state) {
            Some(State::Session { session, .. }) => Some(Arc::clone(session)),
            Some(State::Dialing | State::Accepted) | None => None,
        }
    }

    /// The session with a peer that is about to end.
    pub(super) fn ending(&self, boot: Boot) -> Option<Arc<Session>> {
        match self.lock().get(&boot).map(|slot| &slot.state) {
            Some(State::Session { session, is_ending, .. }) => {
                (*is_ending || session.was_killed()).then(|| Arc::clone(session))
            }
            Some(State::Dialing | State::Accepted) | None => None,
        }
    }

    pub(super) fn link(&self, boot: Boot) -> Option<Link> {
        match self.lock().get(&boot).map(|slot| &slot.state) {
            Some(State::Session { link, .. }) => link.clone(),
            Some(State::Dialing | State::Accepted) | None => None,
        }
    }

    /// Those that have a link.
    pub(super) fn peers(&self) -> Vec<Member> {
        let slots = self.lock();
        let peers = slots.values().filter_map(|slot| match &slot.state {
            State::Session { session, link: Some(_), .. } => Some(session.peer.clone()),
            State::Session { .. } | State::Dialing | State::Accepted => None,
        });
        peers.collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        let slots = self.lock();
        let all = slots.values().filter_map(|slot| match &slot.state {
            State::Session { session, .. } => Some(Arc::clone(session)),
            State::Dialing | State::Accepted => None,
        });
        all.collect()
    }

    /// The sessions with the node of that name: of several runs, for a moment.
    pub(super) fn of_name(&self, name: &str) -> Vec<Arc<Session>> {
        let mut all = self.all();
        all.retain(|session| session.peer.id.name.as_str() == name);
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Boot, Slot>> {
        // Nothing that can panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(slot) = slots.entry(self.boot)
            && slot.get().serial == self.serial
            && !matches!(slot.get().state, State::Session { .. })
        {
            slot.remove();
        }
    }
}
