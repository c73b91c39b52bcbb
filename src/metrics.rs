//! What is measured: the name of every metric, and the counts that no part of the cache keeps for itself.
//!
//! Names are as Prometheus's guide has them: base units, what is counted ends in `total`, which is
//! written behind the names of counters when they are shown.

mod exposition;
mod http;
mod hub;
mod latency;
mod peer;
mod process;
mod resp;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use exposition::{Family, Format, Labels};
pub use http::{Code, HttpCounts, Outcome, Route, Verb};
pub use hub::HubCounts;
pub use latency::{BOUNDS, Latency, Measured};
pub use peer::PeerCounts;
pub use process::Process;
pub use resp::RespCounts;

/// 1, with the version of this node and what it speaks with others.
pub const BUILD_INFO: &str = "smache_build_info";
/// Reads that found an entry.
pub const HITS: &str = "smache_hits";
/// Reads that found none.
pub const MISSES: &str = "smache_misses";
/// Writes that changed something.
pub const WRITES: &str = "smache_writes";
/// Entries dropped to keep the memory bound, by cause.
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
/// Entries of this node, by namespace.
pub const NAMESPACE_ENTRIES: &str = "smache_namespace_entries";
/// Bytes of those entries, by namespace.
pub const NAMESPACE_BYTES: &str = "smache_namespace_bytes";
/// Reads that found an entry, by namespace.
pub const NAMESPACE_HITS: &str = "smache_namespace_hits";
/// Reads that found none, by namespace.
pub const NAMESPACE_MISSES: &str = "smache_namespace_misses";
/// Entries dropped for want of room, by namespace.
pub const NAMESPACE_EVICTIONS: &str = "smache_namespace_evictions";
/// Seconds since the node started.
pub const UPTIME: &str = "smache_uptime_seconds";
/// 1 while the node takes requests, else 0.
pub const READY: &str = "smache_ready";
/// 1 while the node waits for a cluster or for members before it is ready, else 0.
pub const WAITING: &str = "smache_waiting";
/// Members of the cluster as this node sees it, by state.
pub const MEMBERS: &str = "smache_members";
/// Changes of the members that this node knows of.
pub const EPOCH: &str = "smache_cluster_epoch";
/// Slots this node owns.
pub const SLOTS_OWNED: &str = "smache_slots";
/// Slots of members that died: what was in them is lost.
pub const SLOTS_LOST: &str = "smache_slots_lost";
/// Members that died.
pub const MEMBERS_DIED: &str = "smache_members_died";
/// Nodes there is a session with.
pub const PEERS_CONNECTED: &str = "smache_peers_connected";
/// How long the last heartbeat and its answer took, by node.
pub const PEER_ROUND_TRIP: &str = "smache_peer_round_trip_seconds";
/// Commands sent to the nodes that own their keys.
pub const FORWARDS: &str = "smache_forwards";
/// Entries this node still has to send to their owners.
pub const MOVING: &str = "smache_entries_moving";
/// Entries this node has sent to their owners.
pub const MOVED: &str = "smache_entries_moved";
/// Entries this node has taken over from others.
pub const TAKEN_OVER: &str = "smache_entries_taken_over";
/// Entries that the last pass of the mover could not send.
pub const LEFT: &str = "smache_entries_left";
/// Members this node reaches by way of another one only.
pub const DETOURS: &str = "smache_members_by_detour";
/// Requests this node has passed on between two others.
pub const RELAYED: &str = "smache_requests_relayed";
/// How long requests took, by door, verb and outcome.
pub const REQUEST_DURATION: &str = "smache_request_duration_seconds";
/// Bytes that came in, by door.
pub const RECEIVED: &str = "smache_received_bytes";
/// Bytes that went out, by door.
pub const SENT: &str = "smache_sent_bytes";
/// HTTP responses, by route and code.
pub const HTTP_RESPONSES: &str = "smache_http_responses";
/// Connections open, by door.
pub const CONNECTIONS: &str = "smache_connections";
/// Connections accepted since the start, by door.
pub const CONNECTIONS_ACCEPTED: &str = "smache_connections_accepted";
/// Connections refused because too many were open, by door.
pub const CONNECTIONS_REFUSED: &str = "smache_connections_refused";
/// Connections closed because a deadline passed, by door.
pub const CONNECTIONS_TIMED_OUT: &str = "smache_connections_timed_out";

/// Commands of Redis clients.
pub const RESP_COMMANDS: &str = "smache_resp_commands";
/// Connections of Redis clients that were closed, by why.
pub const RESP_CLOSED: &str = "smache_resp_connections_closed";
/// Messages published on this node, or on others for it.
pub const HUB_PUBLISHED: &str = "smache_messages_published";
/// Messages told to subscribers of this node.
pub const HUB_DELIVERED: &str = "smache_messages_delivered";
/// Messages that a node where they were wanted did not take.
pub const HUB_LOST: &str = "smache_messages_lost";
/// Subscribers that were dropped as they fell behind.
pub const HUB_DROPPED: &str = "smache_subscribers_dropped";
/// Times at which changes of entries were not told.
pub const HUB_GAPS: &str = "smache_changes_gaps";

/// A number that only grows, counted by many threads.
///
/// Each thread counts on a cache line that it shares with few others: a line that two processors
/// write in turn costs a request more than the table it asks.
#[derive(Debug, Default)]
pub struct Counter(Striped<AtomicU64>);

/// One of something for every few threads.
#[derive(Debug, Default)]
struct Striped<T>([Stripe<T>; STRIPES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe<T>(T);

const STRIPES: usize = 8;

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, count: u64) {
        self.0.own().fetch_add(count, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.all().map(|stripe| stripe.load(Ordering::Relaxed)).sum()
    }
}

impl<T> Striped<T> {
    /// That of this thread.
    fn own(&self) -> &T {
        thread_local! {
            static STRIPE: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
            };
        }
        &self.0[STRIPE.with(|stripe| *stripe)].0
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &stripe.0)
    }
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
