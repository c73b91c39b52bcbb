//! Tasks that end with their actor.

use std::time::Duration;

use ractor::ActorRef;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// A task that ends when this is dropped, at the latest.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Tells an actor once a `period` that time has passed.
    pub(super) fn tick<Msg: ractor::Message>(
        me: ActorRef<Msg>,
        period: Duration,
        tick: fn() -> Msg,
    ) -> Self {
        Self::spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while me.cast(tick()).is_ok() {
                ticks.tick().await;
            }
        })
    }

    /// Whether it is over.
    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
