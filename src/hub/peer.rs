//! Another node: what it wants, what waits for it, and how far it is with what it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::interest::{Known, News, Wants, Wish};
use super::topics::Topics;
use super::{Message, Space, Topic, lock};
use crate::limits::{
    HUB_HEARD_MAX, HUB_PEER_BYTES_MAX, HUB_PEER_PATIENCE, HUB_SPREAD_BYTES_MAX,
    PEER_BATCH_COMMANDS_MAX,
};
use crate::member::NodeId;
use crate::peer::Link;
use crate::peer::message::{Letter, Spread};
use crate::peer::protocol::PROTOCOL_OF_HUB;

/// Another node.
pub(super) struct Peer {
    id: NodeId,
    /// The way there, if there is one.
    link: ArcSwapOption<Link>,
    state: Mutex<State>,
    /// Told when there is room for what waits.
    room: Notify,
}

#[derive(Default)]
struct State {
    wants: Wants,
    /// Messages for it that were not sent yet, and how many bytes they have.
    letters: VecDeque<Arc<Message>>,
    bytes: usize,
    known: Known,
    /// The session over which it was told what it knows.
    session: Option<u64>,
    /// What it has not acknowledged.
    flying: Option<Flying>,
    /// Whether somebody waits for that.
    is_sending: bool,
    is_gone: bool,
}

struct Flying {
    spread: Spread,
    then: Known,
}

/// What became of a message for a node.
enum Posted {
    /// It waits to be sent, or is not wanted any more.
    Taken,
    /// There is no room for it now.
    Full,
    /// There is none, and nobody who makes some.
    Lost,
}

/// The last batch that came from each node, also from those that are gone: what they send again is not
/// told twice.
#[derive(Default)]
pub(super) struct Heard(BTreeMap<NodeId, u64>);

impl Peer {
    pub(super) fn new(id: NodeId) -> Self {
        let (link, state) = (ArcSwapOption::empty(), Mutex::default());
        Self { id, link, state, room: Notify::new() }
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.id
    }

    pub(super) fn set_link(&self, link: Option<Link>) {
        self.link.store(link.map(Arc::new));
    }

    /// Whether there is a way there, and the node knows what it is sent.
    pub(super) fn is_reachable(&self) -> bool {
        self.link.load().as_ref().is_some_and(|link| PROTOCOL_OF_HUB <= link.protocol())
    }

    /// Forgets all that waits for it: it is no member any more.
    pub(super) fn end(&self) {
        *lock(&self.state) = State { is_gone: true, ..State::default() };
        self.room.notify_waiters();
    }

    pub(super) fn wants(&self, topic: &Topic) -> bool {
        lock(&self.state).wants.wants(topic)
    }

    pub(super) fn wants_space(&self, space: Space) -> bool {
        lock(&self.state).wants.wants_space(space)
    }

    /// Whether it knows what was wanted here at that version.
    pub(super) fn knows(&self, version: u64) -> bool {
        let state = lock(&self.state);
        state.is_gone || state.known.has(version)
    }

    /// Whether it has all that was published for it.
    pub(super) fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.letters.is_empty() && state.flying.is_none()
    }

    /// Takes in what it says it wants.
    pub(super) fn hear(&self, spread: &Spread) {
        let mut state = lock(&self.state);
        if spread.is_first {
            state.wants = Wants::default();
        }
        spread.wishes.iter().filter_map(Wish::read).for_each(|wish| state.wants.apply(&wish));
    }

    /// Has a message wait to be sent; whether there was room for it in time.
    pub(super) async fn post(&self, message: &Arc<Message>) -> bool {
        let end = Instant::now() + HUB_PEER_PATIENCE;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Before the look: room that is made behind it is heard of.
            room.as_mut().enable();
            match self.try_post(message) {
                Posted::Taken => return true,
                Posted::Lost => return false,
                Posted::Full => {}
            }
            if timeout_at(end, room).await.is_err() {
                return false;
            }
        }
    }

    fn try_post(&self, message: &Arc<Message>) -> Posted {
        let bytes = message.bytes();
        let is_reachable = self.is_reachable();
        let mut state = lock(&self.state);
        if state.is_gone || !state.wants.wants(&message.topic) {
            return Posted::Taken;
        }
        if !state.letters.is_empty() && HUB_PEER_BYTES_MAX < state.bytes + bytes {
            return if is_reachable { Posted::Full } else { Posted::Lost };
        }
        state.bytes += bytes;
        state.letters.push_back(Arc::clone(message));
        Posted::Taken
    }

    /// What is to be sent to it now, and how; `None` if nothing is, or something is under way.
    ///
    /// What it has not acknowledged is sent again as it was.
    pub(super) fn next(
        &self,
        topics: &Topics,
        serial: impl FnOnce() -> u64,
    ) -> Option<(Arc<Link>, Spread)> {
        let link = self.link.load_full().filter(|link| PROTOCOL_OF_HUB <= link.protocol())?;
        let mut state = lock(&self.state);
        if state.is_sending || state.is_gone {
            return None;
        }
        if state.session != Some(link.session()) {
            // It may have lost what it knew.
            state.session = Some(link.session());
            state.known = Known::default();
            if let Some(flying) = &mut state.flying {
                flying.then = Known::default();
            }
        }
        if state.flying.is_none() {
            state.flying = state.gather(topics, serial);
        }
        let spread = state.flying.as_ref()?.spread.clone();
        state.is_sending = true;
        Some((link, spread))
    }

    /// Notes that it has what was sent last.
    pub(super) fn has_taken(&self) {
        let mut state = lock(&self.state);
        state.is_sending = false;
        if let Some(Flying { then, .. }) = state.flying.take() {
            state.known = then;
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// Notes that what was sent last may be sent again.
    pub(super) fn has_rested(&self) {
        lock(&self.state).is_sending = false;
    }
}

impl State {
    fn gather(&mut self, topics: &Topics, serial: impl FnOnce() -> u64) -> Option<Flying> {
        let news = topics.news(&self.known);
        if news.is_none() && self.letters.is_empty() {
            return None;
        }
        let (wishes, is_first, then) = match news {
            Some(News { wishes, is_first, then }) => (wishes, is_first, then),
            None => (vec![], false, self.known.clone()),
        };
        let mut spread = Spread {
            serial: serial(),
            is_first,
            wishes: wishes.iter().map(Into::into).collect(),
            letters: vec![],
        };
        let mut bytes = 0;
        while let Some(next) = self.letters.front() {
            bytes += next.bytes();
            let is_first = spread.letters.is_empty();
            let fits =
                bytes <= HUB_SPREAD_BYTES_MAX && spread.letters.len() < PEER_BATCH_COMMANDS_MAX;
            if !is_first && !fits {
                break;
            }
            self.bytes -= next.bytes();
            spread.letters.extend(self.letters.pop_front().map(|message| Letter::of(&message)));
        }
        Some(Flying { spread, then })
    }
}

impl Letter {
    fn of(message: &Message) -> Self {
        Self {
            space: message.topic.space.number(),
            topic: message.topic.name.clone(),
            body: message.body.clone(),
        }
    }
}

impl Message {
    fn bytes(&self) -> usize {
        self.topic.name.len() + self.body.len()
    }
}

impl Heard {
    /// Notes a batch; whether it had not come before.
    pub(super) fn is_new(&mut self, from: &NodeId, serial: u64) -> bool {
        if HUB_HEARD_MAX <= self.0.len() && !self.0.contains_key(from) {
            // One has to go, and nobody knows which of them are gone.
            self.0.pop_first();
        }
        let last = self.0.entry(from.clone()).or_default();
        let is_new = *last < serial;
        *last = serial.max(*last);
        is_new
    }
}
