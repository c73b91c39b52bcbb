//! Who listens: somebody with a mailbox, or a tap that looks at messages in passing.

use std::collections::HashSet;
use std::sync::Arc;

use super::interest::{By, Wanted};
use super::mailbox::{Delivery, Dropped, Mailbox};
use super::topics::{Member, Sink, TapFn};
use super::{Hub, Topic};
use crate::limits::{HUB_TOPIC_BYTES_MAX, HUB_TOPICS_BYTES_MAX};

/// Somebody who listens to topics. It leaves all of them when this is dropped.
pub struct Subscriber {
    hub: Hub,
    id: u64,
    mailbox: Arc<Mailbox>,
    wanted: HashSet<Wanted>,
}

/// Looks at messages for as long as this is there.
pub struct Tap {
    hub: Hub,
    id: u64,
    wanted: Wanted,
}

/// What tells that a subscriber is dropped, for who sends to it.
#[derive(Clone)]
pub struct Watch(Arc<Mailbox>);

/// Why nobody listens to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJoined {
    /// Its name is longer than names may be.
    #[error("the name of a topic may have up to {HUB_TOPIC_BYTES_MAX} bytes")]
    TopicTooLong,
    /// There are too many.
    #[error("the names of all topics of a node may have up to {HUB_TOPICS_BYTES_MAX} bytes")]
    TooManyTopics,
}

impl Subscriber {
    pub(super) fn new(hub: Hub) -> Self {
        let id = hub.next_serial();
        Self { hub, id, mailbox: Arc::default(), wanted: HashSet::new() }
    }

    /// Listens to a topic; whether it did not before. Other nodes may not know it yet: see
    /// [`Hub::known`].
    ///
    /// # Errors
    ///
    /// [`NotJoined`].
    pub fn join(&mut self, topic: Topic) -> Result<bool, NotJoined> {
        self.listen(Wanted { by: By::Name, topic })
    }

    /// Listens to all topics that a pattern means, as [`Self::join`].
    ///
    /// # Errors
    ///
    /// [`NotJoined`].
    pub fn join_pattern(&mut self, pattern: Topic) -> Result<bool, NotJoined> {
        self.listen(Wanted { by: By::Pattern, topic: pattern })
    }

    /// Does not listen to a topic any more; whether it did. Messages of it may still wait to be taken.
    pub fn leave(&mut self, topic: &Topic) -> bool {
        self.unlisten(&Wanted { by: By::Name, topic: topic.clone() })
    }

    /// Does not listen to a pattern any more, as [`Self::leave`].
    pub fn leave_pattern(&mut self, pattern: &Topic) -> bool {
        self.unlisten(&Wanted { by: By::Pattern, topic: pattern.clone() })
    }

    /// The topics it listens to by their names.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        self.wanted_by(By::Name)
    }

    /// The patterns it listens to.
    #[must_use]
    pub fn patterns(&self) -> Vec<Topic> {
        self.wanted_by(By::Pattern)
    }

    /// How many topics and patterns it listens to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether it listens to nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Takes what came, up to so many bytes, and one message at least if there is one.
    #[must_use]
    pub fn take(&self, bytes_max: usize) -> Vec<Delivery> {
        self.mailbox.take(bytes_max)
    }

    /// Waits until something has come, or it is dropped.
    pub async fn heard(&self) {
        self.mailbox.heard().await;
    }

    /// Why it gets nothing any more; `None` as long as it does.
    #[must_use]
    pub fn dropped(&self) -> Option<Dropped> {
        self.mailbox.dropped()
    }

    /// What tells that it is dropped.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.mailbox))
    }

    fn listen(&mut self, wanted: Wanted) -> Result<bool, NotJoined> {
        if HUB_TOPIC_BYTES_MAX < wanted.topic.name.len() {
            return Err(NotJoined::TopicTooLong);
        }
        if self.wanted.contains(&wanted) {
            return Ok(false);
        }
        let member = Member { id: self.id, sink: Sink::Mailbox(Arc::clone(&self.mailbox)) };
        self.hub.join(&wanted, member)?;
        self.wanted.insert(wanted);
        Ok(true)
    }

    fn unlisten(&mut self, wanted: &Wanted) -> bool {
        let did = self.wanted.remove(wanted);
        if did {
            self.hub.leave(wanted, self.id);
        }
        did
    }

    fn wanted_by(&self, by: By) -> Vec<Topic> {
        let wanted = self.wanted.iter().filter(|wanted| wanted.by == by);
        wanted.map(|wanted| wanted.topic.clone()).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for wanted in std::mem::take(&mut self.wanted) {
            self.hub.leave(&wanted, self.id);
        }
    }
}

impl Watch {
    /// Waits until the subscriber is dropped. For one at a time.
    pub async fn dropped(&self) {
        self.0.ended().await;
    }
}

impl Tap {
    pub(super) fn new(hub: Hub, pattern: Topic, tap: Arc<TapFn>) -> Self {
        let id = hub.next_serial();
        let wanted = Wanted { by: By::Pattern, topic: pattern };
        // The only way for it to fail is a name that is too long.
        let _ = hub.join(&wanted, Member { id, sink: Sink::Tap(tap) });
        Self { hub, id, wanted }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.hub.leave(&self.wanted, self.id);
    }
}

impl Hub {
    fn join(&self, wanted: &Wanted, member: Member) -> Result<(), NotJoined> {
        let joined = self.change_topics().join(wanted, member);
        joined.map_err(|_| NotJoined::TooManyTopics)?;
        self.look_for_changes();
        self.ring();
        Ok(())
    }

    fn leave(&self, wanted: &Wanted, id: u64) {
        self.change_topics().leave(wanted, id);
        self.look_for_changes();
        self.ring();
    }
}
