//! A client that listens to channels: what it has joined, and what came of that.

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::codec::Output;
use super::connection::Connection;
use super::keyspace;
use super::wire::Lost;
use crate::cache::{Delivery, NotJoined, Subscriber, Topic, Watch};
use crate::limits::{RESP_NEWS_BYTES, RESP_OUTPUT_BYTES_KEPT, RESP_WRITE_STALL_TIMEOUT};

/// What a client listens to.
pub(super) struct Listening {
    shared: Arc<Shared>,
    subscriber: Subscriber,
    /// How many of its channels and patterns may mean events of keys.
    of_keys: usize,
}

/// How a client names channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// One by its name.
    Channel,
    /// All that a pattern means.
    Pattern,
}

impl Named {
    /// What begins the words for it.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Channel => "",
            Self::Pattern => "p",
        }
    }

    fn may_mean_keys(self, name: &[u8]) -> bool {
        match self {
            Self::Channel => keyspace::is_channel(name),
            Self::Pattern => keyspace::is_meant_by(name),
        }
    }
}

impl Listening {
    /// A client that listens to nothing yet.
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let subscriber = shared.cache.hub().subscriber();
        Self { shared: Arc::clone(shared), subscriber, of_keys: 0 }
    }

    /// Listens to something more.
    ///
    /// # Errors
    ///
    /// [`NotJoined`].
    pub(super) fn join(&mut self, named: Named, name: &[u8]) -> Result<(), NotJoined> {
        // Not the buffer that the request came in: it is kept for long.
        let topic = Topic::channel(Bytes::copy_from_slice(name));
        let is_new = match named {
            Named::Channel => self.subscriber.join(topic),
            Named::Pattern => self.subscriber.join_pattern(topic),
        };
        if is_new? && named.may_mean_keys(name) {
            self.of_keys += 1;
            self.shared.keyspace.more_listen();
        }
        Ok(())
    }

    /// Does not listen to something any more.
    pub(super) fn leave(&mut self, named: Named, name: &[u8]) {
        let topic = Topic::channel(Bytes::copy_from_slice(name));
        let did = match named {
            Named::Channel => self.subscriber.leave(&topic),
            Named::Pattern => self.subscriber.leave_pattern(&topic),
        };
        if did && named.may_mean_keys(name) {
            self.of_keys -= 1;
            self.shared.keyspace.fewer_listen(1);
        }
    }

    /// What it listens to of one kind.
    pub(super) fn names(&self, named: Named) -> Vec<Bytes> {
        let topics = match named {
            Named::Channel => self.subscriber.topics(),
            Named::Pattern => self.subscriber.patterns(),
        };
        topics.into_iter().map(|topic| topic.name).collect()
    }

    /// How much it listens to.
    pub(super) fn len(&self) -> usize {
        self.subscriber.len()
    }

    /// Waits until something has come for it, or it gets nothing any more.
    pub(super) async fn heard(&self) {
        self.subscriber.heard().await;
    }

    /// Writes all that has come for it.
    pub(super) fn write_all(&self, out: &mut Output) {
        self.subscriber.take(usize::MAX).iter().for_each(|delivery| write(delivery, out));
    }

    /// Writes some of it; whether there was any.
    fn write_some(&self, out: &mut Output) -> bool {
        let deliveries = self.subscriber.take(RESP_NEWS_BYTES);
        deliveries.iter().for_each(|delivery| write(delivery, out));
        !deliveries.is_empty()
    }

    fn watch(&self) -> Watch {
        self.subscriber.watch()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.keyspace.fewer_listen(self.of_keys);
    }
}

fn write(Delivery { message, pattern, .. }: &Delivery, out: &mut Output) {
    match pattern {
        None => {
            out.push(3);
            out.bulk("message");
        }
        Some(pattern) => {
            out.push(4);
            out.bulk("pmessage");
            out.bulk(pattern);
        }
    }
    out.bulk(&message.topic.name);
    out.bulk(&message.body);
}

impl Connection {
    /// Sends all that has come for a client that listens.
    ///
    /// # Errors
    ///
    /// [`Lost`], also if it takes less than comes: what waited for it is gone then.
    pub(super) async fn deliver(&mut self) -> Result<(), Lost> {
        let Self { wire, session, out } = self;
        let Some(listening) = &session.listening else { return Ok(()) };
        let watch = listening.watch();
        loop {
            let is_more = listening.write_some(out);
            if !out.bytes().is_empty() {
                tokio::select! {
                    sent = wire.send(out.bytes(), RESP_WRITE_STALL_TIMEOUT) => sent?,
                    () = watch.dropped() => {}
                }
                out.clear(RESP_OUTPUT_BYTES_KEPT);
            }
            if let Some(reason) = listening.subscriber.dropped() {
                return Err(Lost::Behind(reason));
            }
            if !is_more {
                return Ok(());
            }
        }
    }
}
