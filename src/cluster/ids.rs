//! Has ids reserved with the other nodes, and answers those who reserve some.
//!
//! The machine that decides it is stepped by whoever has news for it: discovery, which knows the
//! members, an answer that came, and a task that is woken when ids are taken.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::time::timeout;
use tracing::debug;

use super::Shared;
use super::task::Task;
use crate::ids::{Answer, Ask, IdAction, IdEvent, IdRange, Reservations};
use crate::limits::IDS_ANSWER_TIMEOUT;
use crate::member::NodeId;
use crate::peer::message::{Request, Reserve, Reserved, Response};

/// Has ids reserved as soon as they are wanted. Discovery looks with every tick as well.
pub(super) fn refill(shared: &Arc<Shared>) -> Task {
    let shared = Arc::clone(shared);
    Task::spawn(async move {
        loop {
            shared.ids.wanted().await;
            shared.reserve();
        }
    })
}

impl Shared {
    pub(super) fn reservations(&self) -> MutexGuard<'_, Reservations> {
        self.membership.reservations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has ids reserved if some are needed.
    pub(super) fn reserve(self: &Arc<Self>) {
        let has_formed = self.membership.has_formed.load(Ordering::Relaxed);
        let is_first = has_formed && self.dials().are_all_ruled_out();
        self.step_ids(IdEvent::Tick { need: self.ids.need(), is_first });
    }

    /// Steps the machine and does what it wants done.
    pub(super) fn step_ids(self: &Arc<Self>, event: IdEvent<'_>) {
        let actions = self.reservations().step(self.now(), event);
        for action in actions {
            match action {
                IdAction::Add(range) => {
                    debug!(from = range.next, to = range.end, "reserved ids");
                    self.ids.add(range);
                    self.router.wake();
                }
                IdAction::Ask { to, round, ask } => self.ask_for_ids(to, round, ask),
            }
        }
    }

    fn ask_for_ids(self: &Arc<Self>, to: NodeId, round: u64, ask: Ask) {
        let (shared, link) = (Arc::clone(self), self.way(&to));
        tokio::spawn(async move {
            let Ask { range: IdRange { next, end }, electors } = ask;
            let request = Request::Reserve(Reserve { from: next, to: end, electors });
            let answered = match &link {
                Some(link) => timeout(IDS_ANSWER_TIMEOUT, link.ask(request)).await.ok(),
                None => None,
            };
            shared.step_ids(match answered {
                Some(Ok(Response::Reserved(reserved))) => {
                    IdEvent::Answered { from: to, round, answer: answer_of(reserved) }
                }
                Some(Ok(_) | Err(_)) | None => IdEvent::Unanswered { from: to, round },
            });
        });
    }

    /// Answers a node that wants to give ids.
    pub(super) fn reserve_for(&self, from: &NodeId, wanted: Reserve) -> Response {
        let Reserve { from: next, to: end, electors } = wanted;
        // What ends before it begins is nothing.
        let range = IdRange { next, end: end.max(next) };
        match self.reservations().asked(from, Ask { range, electors }) {
            Some(answer) => {
                let Answer { is_granted, is_informed, ceiling, electors } = answer;
                Response::Reserved(Reserved { is_granted, is_informed, ceiling, electors })
            }
            None => Response::Refused("there were too many nodes to know them all".to_owned()),
        }
    }
}

fn answer_of(reserved: Reserved) -> Answer {
    let Reserved { is_granted, is_informed, ceiling, electors } = reserved;
    Answer { is_granted, is_informed, ceiling, electors }
}
