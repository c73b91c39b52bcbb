//! A stage of a load run: what all clients do at the same time, and when it is over.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// What clients do in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Open the connection.
    Connect,
    /// Write each key once.
    Fill,
    /// What is measured.
    Measure,
}

/// Requests of a stage that only time ends; half of what the counter holds, as it runs over a bit.
pub(super) const REQUESTS_ENDLESS: u64 = u64::MAX / 2;

/// A stage and its end. Clients take requests from it until nothing is left.
#[derive(Debug)]
pub(super) struct Stage {
    /// What is done.
    pub(super) work: Work,
    requests: u64,
    per_claim: u64,
    deadline: Option<Instant>,
    claimed: AtomicU64,
    is_stopped: AtomicBool,
    is_aborted: watch::Sender<bool>,
}

impl Stage {
    /// A stage of `requests`, claimed `per_claim` at a time, until `deadline` at the latest.
    pub(super) fn new(
        work: Work,
        requests: u64,
        per_claim: usize,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            work,
            requests,
            per_claim: per_claim as u64,
            deadline,
            claimed: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            is_aborted: watch::Sender::new(false),
        }
    }

    /// Takes the numbers of the requests a client is to send next; none if the stage is over.
    pub(super) fn claim(&self, now: Instant) -> Range<u64> {
        let is_late = self.deadline.is_some_and(|deadline| deadline <= now);
        if is_late || self.is_stopped.load(Ordering::Relaxed) {
            return 0..0;
        }
        // Each client claims at most once past the end, so that the sum stays far from its own.
        let first = self.claimed.fetch_add(self.per_claim, Ordering::Relaxed);
        first.min(self.requests)..(first + self.per_claim).min(self.requests)
    }

    /// Requests that were claimed so far.
    pub(super) fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::Relaxed).min(self.requests)
    }

    /// Lets clients finish what is under way and claim no more.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Ends the stage whatever is under way.
    pub(super) fn abort(&self) {
        self.stop();
        self.is_aborted.send_replace(true);
    }

    /// Waits for [`Self::abort`].
    pub(super) async fn aborted(&self) {
        // Fails only if the sender is gone, and that is in `self`.
        let _ = self.is_aborted.subscribe().wait_for(|is_aborted| *is_aborted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_claimed_exactly_once() {
        let stage = Stage::new(Work::Measure, 10, 4, None);
        let now = Instant::now();
        let claims: Vec<_> = (0..5).map(|_| stage.claim(now)).collect();
        assert_eq!(claims, [0..4, 4..8, 8..10, 10..10, 10..10]);
        assert_eq!(stage.claimed(), 10);
    }

    #[test]
    fn nothing_is_claimed_after_the_deadline_or_a_stop() {
        let now = Instant::now();
        let stage = Stage::new(Work::Measure, 10, 1, Some(now));
        assert!(stage.claim(now).is_empty());
        let stage = Stage::new(Work::Measure, 10, 1, None);
        stage.stop();
        assert!(stage.claim(now).is_empty());
        assert_eq!(stage.claimed(), 0);
    }
}
