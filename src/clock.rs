//! The only reader of the clocks, and a deadline for many: everything else is told what time it is.
//!
//! There are three times. What ends, is leased or is waited for goes by the **steady** one, which
//! nobody can set: [`now`] and [`steady`]. What is written is stamped with the **cluster's** time, which
//! is the steady one and a correction that nodes agree on when they meet: [`cluster`]. The **wall clock**
//! is read once, so that both look like a date.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A point in time: milliseconds since the Unix epoch, by the clock that gave it.
///
/// It has no form on the wire: another process has another clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The time `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `now` to this; 0 once it is past.
    #[must_use]
    pub fn left(self, now: Self) -> u64 {
        self.0.saturating_sub(now.0)
    }

    /// The time that is `left` milliseconds from this: what [`Self::left`] was made of.
    #[must_use]
    pub fn in_millis(self, left: u64) -> Self {
        Self(self.0.saturating_add(left))
    }

    /// Milliseconds from `earlier` to this; negative if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        let difference = i128::from(self.0) - i128::from(earlier.0);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

/// What the steady clock is ahead of the time since the machine started, in milliseconds.
static EPOCH_MS: OnceLock<i64> = OnceLock::new();

/// The correction of this process.
static CLUSTER: Correction = Correction::new();

/// The steady time: what the wall clock showed when this process began, and from then on evenly.
///
/// It never steps, and runs on while the process is stopped or the machine sleeps. That of another
/// process may be ahead or behind by any amount, so that it means nothing there.
#[inline]
#[must_use]
pub fn now() -> Millis {
    let epoch_ms = *EPOCH_MS.get_or_init(|| epoch_ms(0));
    Millis(boot_ms().saturating_add_signed(epoch_ms))
}

/// The same from another start, and finer.
#[must_use]
pub fn steady() -> Duration {
    // The kernel's time since the machine started is no less than zero.
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Begins the steady time as if the wall clock were wrong by so much: for demonstrations, and before
/// anything has asked for it.
pub fn begin_wrong_by(millis: i64) {
    // Begun already, it does not step.
    let _ = EPOCH_MS.set(epoch_ms(millis));
}

/// The cluster's time when the steady time is `now`: what writes are stamped with.
///
/// It may step where nodes meet, and decides only which of two writes is the newer one.
#[inline]
#[must_use]
pub fn cluster(now: Millis) -> Millis {
    CLUSTER.apply(now)
}

/// How far the cluster's time is ahead of the steady one, in milliseconds; negative if it is behind.
#[must_use]
pub fn lead_ms() -> i64 {
    CLUSTER.0.load(Ordering::Relaxed)
}

/// Says that the cluster's time was `time` when the steady one was `now`.
pub fn set_cluster(time: Millis, now: Millis) {
    CLUSTER.set(time, now);
}

/// What is added to the steady time to have the cluster's, in milliseconds.
struct Correction(AtomicI64);

impl Correction {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    #[inline]
    fn apply(&self, now: Millis) -> Millis {
        Millis(now.0.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }

    fn set(&self, time: Millis, now: Millis) {
        self.0.store(time.since(now), Ordering::Relaxed);
    }
}

#[inline]
fn boot_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    // As in `steady`; a part of a second is less than one.
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

fn epoch_ms(wrong_by_ms: i64) -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX));
    wall.since(Millis(boot_ms())).saturating_add(wrong_by_ms)
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

    #[test]
    fn the_steady_time_begins_at_the_wall_clock_and_only_grows() {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let wall = Millis(u64::try_from(wall.as_millis()).unwrap());
        let (first, began) = (now(), steady());
        assert!(first.since(wall).abs() < 5_000, "{first:?} {wall:?}");
        let times: Vec<_> = (0..1_000).map(|_| now()).collect();
        assert!(first <= times[0] && times.is_sorted());
        assert!(began <= steady());
        begin_wrong_by(3_600_000);
        assert!(now().since(first) < 60_000);
    }

    #[test]
    fn a_correction_is_of_the_cluster_time_alone() {
        let correction = Correction::new();
        assert_eq!(correction.apply(Millis(7)), Millis(7));
        correction.set(Millis(5_000), Millis(9_000));
        assert_eq!(correction.apply(Millis(9_500)), Millis(5_500));
        assert_eq!(correction.apply(Millis(1)), Millis(0));
        correction.set(Millis(20_000), Millis(9_000));
        assert_eq!(correction.apply(Millis(9_500)), Millis(20_500));
        assert_eq!(correction.apply(Millis(u64::MAX)), Millis(u64::MAX));
    }

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
