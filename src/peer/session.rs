//! One session with a peer: its stream, and the gateway at the other end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ractor::{ActorCell, ActorId, ActorRef, MessagingErr, pg};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::gateway::GatewayMsg;
use super::hello::Introduced;
use super::stream::StreamControl;
use crate::limits::{GATEWAY_ATTEMPTS_MAX, GATEWAY_PAUSE, LINK_STUCK_TIMEOUT, PEER_REQUESTS_MAX};
use crate::member::Member;

/// A session. It ends once and is not used again.
pub(super) struct Session {
    /// Tells this session from all others of this run.
    pub(super) serial: u64,
    pub(super) peer: Member,
    /// What is spoken over it.
    protocol: u16,
    /// The version of the peer's software.
    version: String,
    /// Requests of the peer that may be under way here.
    pub(super) requests: Arc<Semaphore>,
    control: Arc<StreamControl>,
    gateway: ArcSwapOption<Gateway>,
    reason: OnceLock<String>,
    has_ended: watch::Sender<bool>,
}

/// The gateway of a peer. To stop a remote actor would end its session: so there is no way to.
struct Gateway(ActorRef<GatewayMsg>);

impl Session {
    pub(super) fn new(serial: u64, peer: Introduced, control: Arc<StreamControl>) -> Self {
        let Introduced { member, protocol, version, time: _ } = peer;
        Self {
            serial,
            peer: member,
            protocol,
            version,
            requests: Arc::new(Semaphore::new(PEER_REQUESTS_MAX)),
            control,
            gateway: ArcSwapOption::empty(),
            reason: OnceLock::new(),
            has_ended: watch::Sender::new(false),
        }
    }

    /// The protocol that both sides speak: nothing of a newer one may be sent.
    pub(super) fn protocol(&self) -> u16 {
        self.protocol
    }

    /// The version of the peer's software, for people.
    pub(super) fn peer_version(&self) -> &str {
        &self.version
    }

    /// Sends a request and returns where its response will be; `None` if there is nobody to send it
    /// to. The response never comes if the session ends.
    ///
    /// A gateway that was started again is known a moment later, and waited for.
    pub(super) async fn call(&self, mut frame: Vec<u8>) -> Option<oneshot::Receiver<Vec<u8>>> {
        for _ in 0..GATEWAY_ATTEMPTS_MAX {
            if self.has_ended() {
                return None;
            }
            if let Some(gateway) = &*self.gateway.load() {
                let (reply, response) = oneshot::channel();
                let ask = GatewayMsg::Ask { frame, reply: reply.into() };
                match gateway.0.send_message(ask) {
                    Ok(()) => return Some(response),
                    Err(MessagingErr::SendErr(GatewayMsg::Ask { frame: back, .. })) => frame = back,
                    Err(_) => return None,
                }
            }
            if !self.find_gateway() {
                sleep(GATEWAY_PAUSE).await;
            }
        }
        None
    }

    /// Waits for a response that nobody wants any more, and ends the session if it never comes.
    pub(super) async fn wait_out(&self, response: oneshot::Receiver<Vec<u8>>) {
        if timeout(LINK_STUCK_TIMEOUT, response).await.is_err() {
            self.kill("the peer left a message unanswered");
        }
    }

    /// Looks for the gateway of the peer, and returns whether it is another than before.
    pub(super) fn find_gateway(&self) -> bool {
        let members = pg::get_members(&self.peer.id.to_string());
        // An older session of the same peer may not be gone entirely.
        let newest = members.into_iter().filter_map(|cell| remote_id(&cell).map(|id| (id, cell)));
        let Some((_, cell)) = newest.max_by_key(|(id, _)| *id) else { return false };
        let known = self.gateway.load();
        if known.as_ref().is_some_and(|known| known.0.get_id() == cell.get_id()) {
            return false;
        }
        self.gateway.store(Some(Arc::new(Gateway(cell.into()))));
        true
    }

    /// Ends the session for the first reason given.
    pub(super) fn kill(&self, reason: &str) {
        // A reason that came before stands.
        let _ = self.reason.set(reason.to_owned());
        self.control.kill();
    }

    /// Kills what is left of the session and returns why it ended.
    pub(super) fn kill_reason(&self) -> String {
        self.kill("the connection ended");
        self.reason.get().cloned().unwrap_or_default()
    }

    /// Whether somebody wants it to end.
    pub(super) fn was_killed(&self) -> bool {
        self.reason.get().is_some()
    }

    /// Notes that nothing is left of the session.
    pub(super) fn end(&self) {
        self.has_ended.send_replace(true);
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.has_ended.borrow()
    }

    /// Waits for the end of the session.
    pub(super) async fn ended(&self) {
        let mut has_ended = self.has_ended.subscribe();
        // The sender is here, so that this is never an error.
        drop(has_ended.wait_for(|has_ended| *has_ended).await);
    }

    pub(super) fn silent_for(&self) -> Duration {
        self.control.silent_for()
    }

    pub(super) fn age(&self) -> Duration {
        self.control.age()
    }

    /// Has the stream look again at what is done to it.
    pub(super) fn wake(&self) {
        self.control.wake();
    }
}

/// What orders the actors of other nodes by when they became known.
fn remote_id(cell: &ActorCell) -> Option<(u64, u64)> {
    match cell.get_id() {
        ActorId::Remote { node_id, pid } => Some((node_id, pid)),
        ActorId::Local(_) => None,
    }
}
