//! The only reader of the clock, and a deadline for many: everything else is told what time it is.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A point in time: milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// The time `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// The wall-clock time, in milliseconds since the Unix epoch; 0 if the clock is set before it.
#[must_use]
pub fn now() -> Millis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A coarse deadline for many who wait at once and are nearly always served in time.
///
/// A timer for each of them would be set and taken back under a lock that all threads share, which
/// costs as much as the write it guards. Here one task wakes whoever still waits, once a period, and
/// rests while nobody does.
pub struct Pulse {
    signals: Arc<Signals>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Signals {
    /// To the task: somebody waits for the next beat.
    wanted: Notify,
    /// From the task to all who wait.
    beat: Notify,
}

impl Pulse {
    /// A pulse that beats once a `period` while it is waited for. Needs a tokio runtime.
    #[must_use]
    pub fn start(period: Duration) -> Self {
        let signals = Arc::new(Signals::default());
        let heart = Arc::clone(&signals);
        let task = tokio::spawn(async move {
            loop {
                heart.wanted.notified().await;
                tokio::time::sleep(period).await;
                heart.beat.notify_waiters();
            }
        });
        Self { signals, task }
    }

    /// Waits for `future`, and gives it up at the beat after `beats` more: between `beats` and
    /// `beats + 1` periods from now, `None` then.
    pub async fn limit<F: Future>(&self, beats: u32, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        for _ in 0..=beats {
            // Kept by the task if it is about to beat: there is one more beat after that.
            self.signals.wanted.notify_one();
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = self.signals.beat.notified() => {}
            }
        }
        None
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_given_up_in_time() {
        let pulse = Pulse::start(PERIOD);
        tokio::time::sleep(PERIOD / 2).await;
        let began = Instant::now();
        assert_eq!(pulse.limit(2, pending::<()>()).await, None);
        assert!((2 * PERIOD..=3 * PERIOD).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_later_is_served_after_a_rest() {
        let pulse = Pulse::start(PERIOD);
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(pulse.limit(1, pending::<()>()).await, None);
            assert!((PERIOD..=2 * PERIOD).contains(&began.elapsed()), "{:?}", began.elapsed());
            tokio::time::sleep(10 * PERIOD).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_time_is_not() {
        let pulse = Pulse::start(PERIOD);
        assert_eq!(pulse.limit(0, ready(7)).await, Some(7));
        let slow = tokio::time::sleep(PERIOD * 3 / 2);
        assert_eq!(pulse.limit(2, slow).await, Some(()));
    }
}
