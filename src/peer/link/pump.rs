//! The actor that sends what waits for the link, batch by batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::waiting::{Batch, Waiter, Waiting, distribute};
use super::{Inner, LinkError};
use crate::limits::{LINK_BATCHES_IN_FLIGHT, LINK_TICK, PEER_CALL_TIMEOUT};
use crate::peer::codec;
use crate::peer::message::Response;

pub(super) struct PumpActor;

pub(super) enum PumpMsg {
    /// Something waits, or there is room for one more batch under way.
    Work,
    /// Look for what has waited for too long.
    Tick,
    /// Panic, for demonstrations.
    Crash,
}

// Never sent to another process.
impl ractor::Message for PumpMsg {}

pub(super) struct PumpState {
    link: Arc<Inner>,
    /// Whether a tick is on its way.
    is_ticking: bool,
}

impl Actor for PumpActor {
    type Msg = PumpMsg;
    type State = PumpState;
    type Arguments = Arc<Inner>;

    async fn pre_start(
        &self,
        _me: ActorRef<PumpMsg>,
        link: Arc<Inner>,
    ) -> Result<PumpState, ActorProcessingErr> {
        Ok(PumpState { link, is_ticking: false })
    }

    async fn handle(
        &self,
        me: ActorRef<PumpMsg>,
        message: PumpMsg,
        state: &mut PumpState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PumpMsg::Work => {
                // Behind whoever is ready to ask: what they ask for goes together.
                yield_now().await;
                state.link.pump();
                state.schedule_tick(&me);
            }
            PumpMsg::Tick => state.tick(&me),
            PumpMsg::Crash => crash(),
        }
        Ok(())
    }
}

impl PumpState {
    fn tick(&mut self, me: &ActorRef<PumpMsg>) {
        self.is_ticking = false;
        let now = Instant::now();
        let late = self.link.inbox.take_while(|waiting| waiting.is_late(now));
        late.into_iter().for_each(Waiting::fail);
        if !self.link.inbox.is_empty() {
            self.schedule_tick(me);
        }
    }

    fn schedule_tick(&mut self, me: &ActorRef<PumpMsg>) {
        if !self.is_ticking {
            self.is_ticking = true;
            // The timer ends with the actor; nobody has to wait for it.
            drop(me.send_after(LINK_TICK, || PumpMsg::Tick));
        }
    }
}

/// The place of one batch under way.
struct Place(Arc<Inner>);

impl Place {
    /// Takes one, if there is one.
    fn take(link: &Arc<Inner>) -> Option<Self> {
        let next = |batches| (batches < LINK_BATCHES_IN_FLIGHT).then_some(batches + 1);
        let is_taken = link.batches.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok();
        is_taken.then(|| Self(Arc::clone(link)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    /// Sends batches while there is something to send and room for one more under way.
    fn pump(self: &Arc<Self>) {
        while !self.inbox.is_empty() {
            let Some(place) = Place::take(self) else { return };
            // Somebody else may have been faster.
            let Some(batch) = Batch::take(&self.inbox) else { continue };
            let deadline = batch.since + PEER_CALL_TIMEOUT;
            tokio::spawn(exchange(place, batch.frame, batch.waiters, deadline));
        }
    }
}

/// Has one batch done. Its place is taken until the peer has answered, even if those who waited were
/// told otherwise by then: so a peer that hangs is sent no more than a few.
async fn exchange(place: Place, frame: Vec<u8>, waiters: Vec<Waiter>, deadline: Instant) {
    let link = Arc::clone(&place.0);
    let Some(mut response) = link.session.call(frame).await else {
        return distribute(waiters, std::iter::empty(), LinkError::NotSent);
    };
    match timeout_at(deadline, &mut response).await {
        Ok(Ok(bytes)) => hand_out(&bytes, waiters),
        Ok(Err(_)) => distribute(waiters, std::iter::empty(), LinkError::Unanswered),
        Err(_) => {
            distribute(waiters, std::iter::empty(), LinkError::Unanswered);
            link.session.wait_out(response).await;
        }
    }
    drop(place);
    // Behind those who have their replies now: what they ask for next goes together.
    yield_now().await;
    link.pump();
}

/// Gives everybody the reply to what they asked.
fn hand_out(bytes: &[u8], waiters: Vec<Waiter>) {
    match codec::decode_response(bytes) {
        Ok(Response::Ran(outcomes)) => {
            distribute(waiters, outcomes.into_iter().map(Ok), LinkError::Unanswered);
        }
        // Refused before anything of it was done.
        Ok(Response::Refused(_)) => distribute(waiters, std::iter::empty(), LinkError::NotSent),
        Ok(_) | Err(_) => distribute(waiters, std::iter::empty(), LinkError::Unanswered),
    }
}

fn crash() {
    panic!("crashed on demand");
}
