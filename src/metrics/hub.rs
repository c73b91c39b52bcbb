//! What publishing counts.

use super::Counter;

/// What publishing counts.
#[derive(Debug, Default)]
pub struct HubCounts {
    /// Messages that were published here, or came from other nodes.
    pub published: Counter,
    /// Messages that were put into the mailboxes of subscribers.
    pub delivered: Counter,
    /// Subscribers that were dropped as they fell behind.
    pub dropped: Counter,
    /// Messages that did not reach a node where they were wanted.
    pub lost: Counter,
    /// Times at which changes of entries were not told.
    pub gaps: Counter,
}
