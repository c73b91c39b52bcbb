//! What one subscriber has not taken yet: bounded, and dropped as a whole where it is not taken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Message, lock};
use crate::limits::{HUB_QUEUE_BYTES_MAX, HUB_QUEUE_MAX};
use crate::supervision::Place;

/// A message for one subscriber.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The pattern that it came by; `None` if by the name of its topic.
    pub pattern: Option<Bytes>,
    /// Its place among all that nobody has taken yet.
    _place: Place,
}

/// Why a subscriber gets nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// More waits for it than may.
    #[error("it takes its messages slower than they come")]
    Slow,
    /// More waits for all together than may, and it is the farthest behind.
    #[error("it is the farthest behind of all that take their messages slower than they come")]
    Crowded,
}

/// What became of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is as it was.
    Stands,
    /// It was dropped just now.
    Dropped,
}

/// What waits for one subscriber.
#[derive(Default)]
pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    /// Told when something waits, or nothing will any more.
    more: Notify,
    /// Told when it is dropped.
    end: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    dropped: Option<Dropped>,
}

impl Delivery {
    pub(super) fn new(message: &Arc<Message>, pattern: Option<&Bytes>, place: Place) -> Self {
        Self { message: Arc::clone(message), pattern: pattern.cloned(), _place: place }
    }

    /// About how many bytes it takes to be sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pattern = self.pattern.as_ref().map_or(0, Bytes::len);
        pattern + self.message.topic.name.len() + self.message.body.len()
    }
}

impl Mailbox {
    /// Adds a message, or drops everything if that is too much.
    pub(super) fn put(&self, delivery: Delivery) -> Fate {
        let mut queue = lock(&self.queue);
        if queue.dropped.is_some() {
            return Fate::Stands;
        }
        let bytes = queue.bytes + delivery.bytes();
        if HUB_QUEUE_MAX <= queue.waiting.len() || HUB_QUEUE_BYTES_MAX < bytes {
            drop(queue);
            return self.drop_for(Dropped::Slow);
        }
        queue.bytes = bytes;
        queue.waiting.push_back(delivery);
        drop(queue);
        self.more.notify_one();
        Fate::Stands
    }

    /// Drops everything, and lets nothing in any more.
    pub(super) fn drop_for(&self, reason: Dropped) -> Fate {
        let mut queue = lock(&self.queue);
        if queue.dropped.is_some() {
            return Fate::Stands;
        }
        *queue = Queue { dropped: Some(reason), ..Queue::default() };
        drop(queue);
        self.more.notify_one();
        self.end.notify_one();
        Fate::Dropped
    }

    /// How far behind its subscriber is, in messages.
    pub(super) fn len(&self) -> usize {
        lock(&self.queue).waiting.len()
    }

    /// Takes what waits, up to so many bytes, and one message at least.
    pub(super) fn take(&self, bytes_max: usize) -> Vec<Delivery> {
        let mut queue = lock(&self.queue);
        let mut bytes = 0;
        let count = queue.waiting.iter().take_while(|delivery| {
            let is_first = bytes == 0;
            bytes += delivery.bytes().max(1);
            is_first || bytes <= bytes_max
        });
        let count = count.count();
        let taken: Vec<_> = queue.waiting.drain(..count).collect();
        queue.bytes -= taken.iter().map(Delivery::bytes).sum::<usize>();
        taken
    }

    pub(super) fn dropped(&self) -> Option<Dropped> {
        lock(&self.queue).dropped
    }

    /// Waits until something waits, or it is dropped. For one at a time.
    pub(super) async fn heard(&self) {
        loop {
            {
                let queue = lock(&self.queue);
                if !queue.waiting.is_empty() || queue.dropped.is_some() {
                    return;
                }
            }
            // Whoever adds something leaves word for who is not waiting yet.
            self.more.notified().await;
        }
    }

    /// Waits until it is dropped. For one at a time.
    pub(super) async fn ended(&self) {
        while self.dropped().is_none() {
            self.end.notified().await;
        }
    }
}
