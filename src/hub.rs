//! Publish and subscribe across the cluster, free of protocols: topics, patterns of topics, and messages.
//!
//! A node knows what its own members listen to, and has told every other node: so a message goes to the
//! nodes where somebody wants it and to no others, and a topic without members costs them nothing. Each
//! node sends what it has for another in order, one batch at a time, and the batch again until it is
//! acknowledged; who has had it before passes over it. So what a publisher says comes to each subscriber
//! once and in order, for as long as both nodes see each other.
//!
//! Nothing here waits for a subscriber. What it has not taken yet is bounded, for itself and for all
//! together, and who falls behind is dropped and told why.

mod actor;
mod feed;
mod interest;
mod mailbox;
mod peer;
mod subscriber;
mod topics;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::limits::{
    HUB_BYTES_MAX, HUB_DELIVERIES_MAX, HUB_KNOWN_TIMEOUT, HUB_MESSAGE_BYTES_MAX,
    HUB_TOPIC_BYTES_MAX,
};
use crate::member::NodeId;
use crate::metrics::HubCounts;
use crate::peer::Link;
use crate::peer::message::{Letter, Response, Spread};
use crate::supervision::{ChildSpec, Place, Places, Post};
use crate::table::TableReader;

use actor::{Bell, HubMsg};
use mailbox::Fate;
use peer::{Heard, Peer};
use topics::{Sink, Topics};

pub use mailbox::{Delivery, Dropped};
pub use subscriber::{NotJoined, Subscriber, Tap, Watch};

/// What messages are about. Different spaces have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// What clients publish.
    Channels,
    /// What happens to entries: how, with the key as the message.
    Changes,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Where its name means something.
    pub space: Space,
    /// What it is called.
    pub name: Bytes,
}

/// What somebody said of a topic.
#[derive(Debug)]
pub struct Message {
    /// The topic.
    pub topic: Topic,
    /// What was said.
    pub body: Bytes,
    /// Its place among all messages that somebody has not taken yet.
    _place: Place,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// It is larger than messages may be.
    #[error("a message may have up to {HUB_MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
    /// The name of its topic is.
    #[error("the name of a topic may have up to {HUB_TOPIC_BYTES_MAX} bytes")]
    TopicTooLong,
    /// There is no room, as messages wait for other nodes.
    #[error("too many messages wait; try again")]
    Full,
}

/// The hub of a node. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    /// What members of this node listen to.
    topics: RwLock<Topics>,
    /// The other nodes.
    peers: ArcSwap<Vec<Arc<Peer>>>,
    /// What was heard of nodes, also of those that are gone.
    heard: Mutex<Heard>,
    /// The number that was given last: to a member of this node, or a batch for another.
    serial: AtomicU64,
    /// Room for all messages and deliveries that wait.
    places: Places,
    /// Told when a node has acknowledged something, or is gone.
    progress: Notify,
    /// Whether anybody here or elsewhere listens to changes of entries.
    has_changes: watch::Sender<bool>,
    post: Post<HubMsg>,
    bell: Bell,
    counts: HubCounts,
}

impl Space {
    const ALL: [Self; 2] = [Self::Channels, Self::Changes];

    /// Its number on the wire, which no other ever has.
    fn number(self) -> u8 {
        match self {
            Self::Channels => 1,
            Self::Changes => 2,
        }
    }

    /// The space of that number; `None` for one of a later version.
    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.number() == number)
    }
}

impl Topic {
    /// A channel of clients.
    #[must_use]
    pub fn channel(name: Bytes) -> Self {
        Self { space: Space::Channels, name }
    }

    /// All changes of entries, as a pattern.
    #[must_use]
    pub fn changes() -> Self {
        Self { space: Space::Changes, name: Bytes::from_static(b"*") }
    }
}

impl Hub {
    /// A hub of a node whose entries are in the tables of `readers`, and how its actors are started: what
    /// sends to other nodes, and what tells of changes.
    #[must_use]
    pub fn new(readers: Vec<TableReader>) -> (Self, [ChildSpec; 2]) {
        let hub = Self {
            inner: Arc::new(Inner {
                topics: RwLock::default(),
                peers: ArcSwap::default(),
                heard: Mutex::default(),
                serial: AtomicU64::new(0),
                places: Places::new(HUB_DELIVERIES_MAX, HUB_BYTES_MAX),
                progress: Notify::new(),
                has_changes: watch::Sender::new(false),
                post: Post::default(),
                bell: Bell::default(),
                counts: HubCounts::default(),
            }),
        };
        let specs = [actor::child(&hub), feed::child(&hub, readers)];
        (hub, specs)
    }

    /// Tells a message to everybody who listens, on all nodes, and returns to how many on this one. It is
    /// told here when this returns, and on its way to others in the order in which it was published.
    ///
    /// # Errors
    ///
    /// [`NotPublished`]; nobody was told.
    pub async fn publish(&self, topic: &Topic, body: &[u8]) -> Result<usize, NotPublished> {
        let wanted: Vec<_> =
            self.inner.peers.load().iter().filter(|peer| peer.wants(topic)).cloned().collect();
        let Some(message) = self.message(topic, body, !wanted.is_empty())? else { return Ok(0) };
        let told = self.tell(&message);
        for peer in wanted {
            if !peer.post(&message).await {
                self.inner.counts.lost.count();
            }
            self.ring();
        }
        Ok(told)
    }

    /// The same on this node alone.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub fn publish_here(&self, topic: &Topic, body: &[u8]) -> Result<usize, NotPublished> {
        let message = self.message(topic, body, false)?;
        Ok(message.map_or(0, |message| self.tell(&message)))
    }

    /// A message with its place; `None` if nobody wants it.
    fn message(
        &self,
        topic: &Topic,
        body: &[u8],
        is_wanted: bool,
    ) -> Result<Option<Arc<Message>>, NotPublished> {
        if HUB_MESSAGE_BYTES_MAX < body.len() {
            return Err(NotPublished::TooLarge);
        }
        if HUB_TOPIC_BYTES_MAX < topic.name.len() {
            return Err(NotPublished::TopicTooLong);
        }
        self.inner.counts.published.count();
        let topics = self.topics();
        if !is_wanted && !topics.is_wanted(topic) {
            return Ok(None);
        }
        let bytes = topic.name.len() + body.len();
        let place = self.place(&topics, 0, bytes).ok_or(NotPublished::Full)?;
        drop(topics);
        let Topic { space, name } = topic;
        let topic = Topic { space: *space, name: Bytes::copy_from_slice(name) };
        let body = Bytes::copy_from_slice(body);
        Ok(Some(Arc::new(Message { topic, body, _place: place })))
    }

    /// Tells members of this node, and returns how many.
    fn tell(&self, message: &Arc<Message>) -> usize {
        let (mut told, mut taps) = (0, vec![]);
        let topics = self.topics();
        topics.each(&message.topic, |member, pattern| match &member.sink {
            Sink::Mailbox(mailbox) => {
                told += 1;
                let fate = match self.place(&topics, 1, 0) {
                    Some(place) => mailbox.put(Delivery::new(message, pattern, place)),
                    None => mailbox.drop_for(Dropped::Crowded),
                };
                self.note(fate);
            }
            Sink::Tap(tap) => taps.push(Arc::clone(tap)),
        });
        drop(topics);
        self.inner.counts.delivered.add(told as u64);
        // They may publish in turn.
        taps.into_iter().for_each(|tap| tap(message));
        told
    }

    /// Room for what waits, which is taken from who is farthest behind where there is none.
    fn place(&self, topics: &Topics, items: usize, bytes: usize) -> Option<Place> {
        let places = &self.inner.places;
        places.take(items, bytes).or_else(|| {
            self.note(topics.drop_slowest());
            places.take(items, bytes)
        })
    }

    fn note(&self, fate: Fate) {
        if fate == Fate::Dropped {
            self.inner.counts.dropped.count();
        }
    }

    /// Somebody who listens to nothing yet.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::new(self.clone())
    }

    /// Calls `tap` for all changes of entries, on whatever node, until what is returned is dropped.
    #[must_use]
    pub fn tap_changes(&self, tap: Arc<dyn Fn(&Message) + Send + Sync>) -> Tap {
        Tap::new(self.clone(), Topic::changes(), tap)
    }

    /// The topics of a space that somebody on this node listens to.
    #[must_use]
    pub fn topics_of(&self, space: Space) -> Vec<Bytes> {
        self.topics().names(space)
    }

    /// How many on this node listen to a topic by its name.
    #[must_use]
    pub fn members(&self, topic: &Topic) -> usize {
        self.topics().members(topic)
    }

    /// How many patterns of a space somebody on this node listens to.
    #[must_use]
    pub fn patterns(&self, space: Space) -> usize {
        self.topics().patterns(space)
    }

    /// What was published, told and lost so far.
    #[must_use]
    pub fn counts(&self) -> &HubCounts {
        &self.inner.counts
    }

    /// Says which other nodes there are, and how they are reached.
    pub fn see(&self, nodes: impl IntoIterator<Item = (NodeId, Option<Link>)>) {
        let before = self.inner.peers.load_full();
        let peers = nodes.into_iter().map(|(id, link)| {
            let known = before.iter().find(|peer| *peer.id() == id).cloned();
            let peer = known.unwrap_or_else(|| Arc::new(Peer::new(id)));
            peer.set_link(link);
            peer
        });
        let peers: Vec<_> = peers.collect();
        let is_gone = |peer: &&Arc<Peer>| !peers.iter().any(|other| Arc::ptr_eq(peer, other));
        before.iter().filter(is_gone).for_each(|peer| peer.end());
        self.inner.peers.store(Arc::new(peers));
        self.look_for_changes();
        self.inner.progress.notify_waiters();
        self.ring();
    }

    /// Takes in what another node has for this one.
    #[must_use]
    pub fn receive(&self, from: &NodeId, spread: Spread) -> Response {
        let peers = self.inner.peers.load();
        let Some(peer) = peers.iter().find(|peer| peer.id() == from) else {
            return Response::Refused("this node does not know the sender yet".to_owned());
        };
        let is_new = {
            let mut heard = self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.is_new(from, spread.serial)
        };
        if !is_new {
            return Response::Ok;
        }
        peer.hear(&spread);
        self.look_for_changes();
        for Letter { space, topic, body } in spread.letters {
            // Of a space that this version does not know nobody here is a member.
            let Some(space) = Space::of_number(space) else { continue };
            // Where it has no room, somebody was dropped to make some, or nobody is behind.
            if self.publish_here(&Topic { space, name: topic }, &body).is_err() {
                self.inner.counts.lost.count();
            }
        }
        Response::Ok
    }

    /// Waits until all other nodes know what is listened to here as of now, and no longer than
    /// [`HUB_KNOWN_TIMEOUT`]: what is published from then on, on whatever node, comes here.
    pub async fn known(&self) {
        let version = self.topics().version();
        self.until(HUB_KNOWN_TIMEOUT, |peer| peer.knows(version)).await;
    }

    /// Waits until other nodes have all that was published here, and no longer than `patience`.
    pub async fn flushed(&self, patience: Duration) {
        self.until(patience, Peer::is_idle).await;
    }

    async fn until(&self, patience: Duration, holds: impl Fn(&Peer) -> bool) {
        let end = Instant::now() + patience;
        loop {
            let progress = self.inner.progress.notified();
            tokio::pin!(progress);
            // Before the look: what happens behind it is heard.
            progress.as_mut().enable();
            if self.inner.peers.load().iter().all(|peer| !peer.is_reachable() || holds(peer)) {
                return;
            }
            if timeout_at(end, progress).await.is_err() {
                return;
            }
        }
    }

    /// Has the actor look what there is to be sent.
    fn ring(&self) {
        if self.inner.bell.ring() {
            self.inner.post.tell(HubMsg::Work);
        }
    }

    /// Publishes whether anybody listens to changes of entries.
    fn look_for_changes(&self) {
        let is_wanted = self.topics().wants_space(Space::Changes)
            || self.inner.peers.load().iter().any(|peer| peer.wants_space(Space::Changes));
        self.inner
            .has_changes
            .send_if_modified(|before| std::mem::replace(before, is_wanted) != is_wanted);
    }

    fn next_serial(&self) -> u64 {
        self.inner.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn topics(&self) -> RwLockReadGuard<'_, Topics> {
        self.inner.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_topics(&self) -> RwLockWriteGuard<'_, Topics> {
        self.inner.topics.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock that no panic leaves in disorder: what is under it is put right before anything can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
