//! How long requests took, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest time of each bucket; one more is without a bound.
///
/// A hit takes some ten microseconds, and who waits for an owner is told so after some seconds.
pub const BOUNDS: [Duration; 16] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// Times that are counted, on one processor or a few.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

impl Latency {
    /// Counts one that took so long.
    pub fn count(&self, took: Duration) {
        // Nearly all are in the first.
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(took_ns, Ordering::Relaxed);
    }
}

impl Measured {
    /// Adds what was counted there.
    pub fn add(&mut self, latency: &Latency) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&latency.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.sum_ns += latency.sum_ns.load(Ordering::Relaxed);
    }

    /// How many took up to each bound and no longer, and at last all of them.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long they took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_it_fits() {
        let latency = Latency::default();
        let times = [0, 50_000, 50_001, 5_000_000_000, 5_000_000_001];
        times.into_iter().for_each(|nanos| latency.count(Duration::from_nanos(nanos)));
        let mut measured = Measured::default();
        measured.add(&latency);
        let counts: Vec<_> = measured.cumulative().collect();
        assert_eq!((counts[0], counts[1], counts[15], counts[16]), (2, 3, 4, 5));
        assert!(counts.is_sorted() && measured.count() == 5);
        assert_eq!(measured.sum(), Duration::from_nanos(10_000_100_002));
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
