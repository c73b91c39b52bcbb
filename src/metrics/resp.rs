//! What the RESP door counts.

use super::Counter;

/// What the RESP door counts.
#[derive(Debug, Default)]
pub struct RespCounts {
    /// Requests, of commands known or not.
    pub commands: Counter,
    /// Connections closed because of bytes that are no request.
    pub malformed: Counter,
    /// Connections closed because a web page has sent a request.
    pub foreign: Counter,
    /// Connections closed because their client read nothing.
    pub stalled: Counter,
}
