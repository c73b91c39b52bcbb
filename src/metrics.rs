//! The name of every metric, and the counts that no part of the cache keeps for itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Reads that found an entry.
pub const HITS: &str = "smache_hits";
/// Reads that found none.
pub const MISSES: &str = "smache_misses";
/// Writes that changed something.
pub const WRITES: &str = "smache_writes";
/// Entries dropped to keep the memory bound.
pub const EVICTIONS: &str = "smache_evictions";
/// Entries removed because they had ended.
pub const EXPIRATIONS: &str = "smache_expirations";
/// Entries of other nodes dropped when they came, as they are too large for this one.
pub const OVERSIZE: &str = "smache_entries_oversize";
/// Entries held, by shard.
pub const ENTRIES: &str = "smache_entries";
/// Bytes counted against the memory bound, by shard.
pub const MEMORY_USED: &str = "smache_memory_used_bytes";
/// The memory bound.
pub const MEMORY_LIMIT: &str = "smache_memory_limit_bytes";
/// Writes admitted and not yet answered, by shard.
pub const QUEUE: &str = "smache_shard_queue";
/// Restarts, by supervised actor.
pub const RESTARTS: &str = "smache_restarts";
/// Seconds since the node started.
pub const UPTIME: &str = "smache_uptime_seconds";
/// 1 while the node takes requests, else 0.
pub const READY: &str = "smache_ready";
/// Members of the cluster as this node sees it, by state.
pub const MEMBERS: &str = "smache_members";
/// Changes of the members that this node knows of.
pub const EPOCH: &str = "smache_cluster_epoch";
/// Slots this node owns.
pub const SLOTS_OWNED: &str = "smache_slots";
/// Entries this node still has to send to their owners.
pub const MOVING: &str = "smache_entries_moving";
/// Members this node reaches by way of another one only.
pub const DETOURS: &str = "smache_members_by_detour";
/// Requests this node has passed on between two others.
pub const RELAYED: &str = "smache_requests_relayed";
/// HTTP answers, by class of status.
pub const HTTP_ANSWERS: &str = "smache_http_answers";
/// HTTP connections open.
pub const HTTP_CONNECTIONS: &str = "smache_http_connections";
/// HTTP connections accepted since the start.
pub const HTTP_ACCEPTED: &str = "smache_http_accepted";
/// HTTP connections refused because too many were open.
pub const HTTP_REFUSED: &str = "smache_http_refused";
/// HTTP connections closed because a deadline passed.
pub const HTTP_TIMED_OUT: &str = "smache_http_timed_out";

/// A number that only grows, counted by many threads.
///
/// Each thread counts on a cache line that it shares with few others: a line that two processors
/// write in turn costs a request more than the table it asks.
#[derive(Debug, Default)]
pub struct Counter([Stripe; STRIPES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(AtomicU64);

const STRIPES: usize = 8;

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        thread_local! {
            static STRIPE: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
            };
        }
        self.0[STRIPE.with(|stripe| *stripe)].0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).sum()
    }
}

/// What the HTTP door counts.
#[derive(Debug, Default)]
pub struct HttpCounts {
    /// Answers by class of status: 1xx to 5xx.
    pub answers: [Counter; 5],
    /// Connections closed because a deadline passed.
    pub timed_out: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_what_all_threads_count() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..1_000).for_each(|_| counter.count()));
            }
        });
        assert_eq!(counter.total(), 2 * STRIPES as u64 * 1_000);
    }
}
