//! What sends to other nodes: woken when there is something, it has one batch under way to each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::sleep;

use super::Hub;
use super::peer::Peer;
use crate::limits::HUB_RETRY_PAUSE;
use crate::peer::message::{Request, Response};
use crate::supervision::{ChildSpec, Kind, Orders};

pub(super) enum HubMsg {
    /// There may be something to be sent.
    Work,
    /// Panic, for demonstrations.
    Crash,
}

// Never sent to another process.
impl ractor::Message for HubMsg {}

/// Keeps the actor from being woken again before it has looked.
#[derive(Default)]
pub(super) struct Bell(AtomicBool);

struct HubActor;

/// How the actor is started.
pub(super) fn child(hub: &Hub) -> ChildSpec {
    let orders = Orders { first: Some(|| HubMsg::Work), crash: || HubMsg::Crash };
    let held = hub.clone();
    let make = move || (HubActor, held.clone());
    ChildSpec::of_actor("hub", Kind::Hub, &hub.inner.post, &orders, make)
}

impl Actor for HubActor {
    type Msg = HubMsg;
    type State = Hub;
    type Arguments = Hub;

    async fn pre_start(&self, _me: ActorRef<HubMsg>, hub: Hub) -> Result<Hub, ActorProcessingErr> {
        Ok(hub)
    }

    async fn handle(
        &self,
        _me: ActorRef<HubMsg>,
        message: HubMsg,
        hub: &mut Hub,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HubMsg::Work => hub.work(),
            HubMsg::Crash => crash(),
        }
        Ok(())
    }
}

fn crash() {
    panic!("crashed on demand");
}

impl Hub {
    /// Sends to every node what waits for it, unless something is under way there.
    fn work(&self) {
        self.inner.bell.answer();
        for peer in self.inner.peers.load().iter() {
            self.send_to(peer);
        }
    }

    fn send_to(&self, peer: &Arc<Peer>) {
        let next = peer.next(&self.topics(), || self.next_serial());
        let Some((link, spread)) = next else { return };
        let (hub, peer) = (self.clone(), Arc::clone(peer));
        // It outlives an actor that ends meanwhile: the next one sees that something is under way.
        tokio::spawn(async move {
            match link.ask(Request::Spread(spread)).await {
                Ok(Response::Ok) => peer.has_taken(),
                // It is not a member there yet, is busy, or cannot be reached: it gets the same again.
                Ok(_) | Err(_) => {
                    sleep(HUB_RETRY_PAUSE).await;
                    peer.has_rested();
                }
            }
            hub.inner.progress.notify_waiters();
            hub.ring();
        });
    }
}

impl Bell {
    /// Rings, and returns whether the actor has to be woken: it was not since it looked last.
    pub(super) fn ring(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Says that the actor looks from now on: whoever rings after this wakes it again.
    fn answer(&self) {
        self.0.store(false, Ordering::Release);
    }
}
