//! Tasks that end with their actor.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// A task that ends when this is dropped, at the latest.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Tells an actor once a `period` that time has passed, but not before it is done with the last
    /// time: the one place for that rides inside the message. A mailbox has no bound of its own.
    pub(super) fn tick<Msg: ractor::Message>(
        me: ActorRef<Msg>,
        period: Duration,
        tick: fn(OwnedSemaphorePermit) -> Msg,
    ) -> Self {
        Self::spawn(async move {
            let places = Arc::new(Semaphore::new(1));
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while let Ok(place) = Arc::clone(&places).acquire_owned().await
                && me.cast(tick(place)).is_ok()
            {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ractor::{Actor, ActorProcessingErr};
    use tokio::time::sleep;

    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);

    /// Counts what it is told, and needs a hundred periods for the first.
    struct Slow;

    struct Told(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

    impl ractor::Message for Told {}

    impl Actor for Slow {
        type Msg = Told;
        type State = Arc<AtomicU64>;
        type Arguments = Arc<AtomicU64>;

        async fn pre_start(
            &self,
            _me: ActorRef<Told>,
            count: Arc<AtomicU64>,
        ) -> Result<Arc<AtomicU64>, ActorProcessingErr> {
            Ok(count)
        }

        async fn handle(
            &self,
            _me: ActorRef<Told>,
            _told: Told,
            count: &mut Arc<AtomicU64>,
        ) -> Result<(), ActorProcessingErr> {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                sleep(100 * PERIOD).await;
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_do_not_gather_before_an_actor_that_is_slow() {
        let count = Arc::default();
        let (actor, running) = Actor::spawn(None, Slow, Arc::clone(&count)).await.unwrap();
        let ticks = Task::tick(actor.clone(), PERIOD, Told);
        sleep(110 * PERIOD).await;
        // The first, and those of the time since it is done.
        let told = count.load(Ordering::Relaxed);
        assert!((5..15).contains(&told), "{told}");
        drop(ticks);
        actor.stop(None);
        running.await.unwrap();
    }
}
