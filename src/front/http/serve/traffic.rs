//! What passes over a connection: how many bytes, and when the last of them came in.
//!
//! All of it is noted by the one task of the connection, so that a store is enough.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::HttpCounts;

/// What has passed.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// When bytes came in last, in nanoseconds since the connection was opened.
    came_ns: AtomicU64,
    /// Bytes that nobody was told of yet.
    received: AtomicU64,
    /// As above.
    sent: AtomicU64,
}

impl Traffic {
    /// So many bytes came in, so long after the connection was opened.
    pub(super) fn received(&self, bytes: usize, at: Duration) {
        self.came_ns.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        add(&self.received, bytes);
    }

    /// So many bytes went out.
    pub(super) fn sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    /// How long ago bytes came in last, if that is now so long after the connection was opened: how long
    /// a request takes whose last bytes they were.
    pub(super) fn since_last(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_nanos(self.came_ns.load(Ordering::Relaxed)))
    }

    /// Tells how many bytes have passed since the last time. A connection does it once in a while: two
    /// more counters for each request would cost as much as all others.
    pub(super) fn tell(&self, counts: &HttpCounts) {
        counts.received_bytes.add(self.received.swap(0, Ordering::Relaxed));
        counts.sent_bytes.add(self.sent.swap(0, Ordering::Relaxed));
    }
}

fn add(to: &AtomicU64, bytes: usize) {
    to.store(to.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_from_its_last_bytes_on() {
        let traffic = Traffic::default();
        let at = Duration::from_secs;
        traffic.received(10, at(3));
        traffic.received(10, at(5));
        traffic.sent(7);
        assert_eq!(traffic.since_last(at(6)), at(1));
        assert_eq!(traffic.since_last(at(4)), Duration::ZERO);
    }

    #[test]
    fn bytes_are_told_once() {
        let (traffic, counts) = (Traffic::default(), HttpCounts::default());
        traffic.received(10, Duration::ZERO);
        traffic.sent(3);
        traffic.sent(4);
        traffic.tell(&counts);
        traffic.tell(&counts);
        assert_eq!((counts.received_bytes.total(), counts.sent_bytes.total()), (10, 7));
    }
}
