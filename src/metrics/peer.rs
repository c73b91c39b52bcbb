//! What the links to other nodes count.

use super::Counter;

/// What the links to other nodes count, all together.
#[derive(Debug, Default)]
pub struct PeerCounts {
    /// Commands that were sent.
    pub forwards: Counter,
    /// Requests that were passed on between two other nodes.
    pub relayed: Counter,
    /// Bytes that came in.
    pub received_bytes: Counter,
    /// Bytes that went out.
    pub sent_bytes: Counter,
}
