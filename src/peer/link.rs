//! The link to one peer: commands gather into batches, questions and what moves go beside them.
//!
//! A command is written into bytes by who sends it, at once, and that is what waits. While a few
//! batches are under way, what is asked for goes with the next. So the more is asked, the larger the
//! batches, and one command costs a fraction of a message. What waits outlives the actor that sends
//! it and ends with the session.

mod pump;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::codec;
use super::frame;
use super::message::{Refusal, Request, Response};
use super::protocol::TRACES_SINCE;
use super::relay;
use super::session::Session;
use crate::command::{Command, Reply};
use crate::error::Error;
use crate::limits::{
    LINK_ASKS_MAX, LINK_COMMAND_BYTES, LINK_FETCHES_MAX, LINK_LATER_MAX, LINK_PUSH_BYTES_MAX,
    LINK_PUSH_PAUSE, LINK_PUSH_YIELD, LINK_PUSHES_MAX, LINK_QUEUE_BYTES_MAX,
    LINK_QUEUE_COMMANDS_MAX, PEER_BATCH_BYTES_MAX, PEER_BATCH_COMMANDS_MAX, PEER_CALL_TIMEOUT,
};
use crate::member::{Boot, NodeId};
use crate::metrics::PeerCounts;
use crate::record::Record;
use crate::supervision::{ChildSpec, Inbox, Kind, Orders, Post};
use crate::trace;

use pump::{PumpActor, PumpMsg};
use waiting::{Replies, Waiting};

/// The link to one peer. Clones are the same link.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
    /// For whom what goes over it is, if that is not who is at the other end.
    to: Option<NodeId>,
}

struct Inner {
    /// This run of this node, as each message says.
    me: Boot,
    session: Arc<Session>,
    counts: Arc<PeerCounts>,
    /// Commands that wait, as bytes.
    inbox: Inbox<Waiting>,
    /// Batches under way.
    batches: AtomicUsize,
    post: Post<PumpMsg>,
    asks: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    pushes: Arc<Semaphore>,
}

/// Why a peer gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is no session, or too much waits for it. Nothing happened.
    #[error("not sent")]
    NotSent,
    /// Time was up, or the session ended. What was asked may have happened.
    #[error("sent and not answered")]
    Unanswered,
}

/// What became of a command that went to a peer.
pub type Outcome = Result<Result<Reply, Refusal>, LinkError>;

impl Link {
    /// The link over `session`, and how its actor is started.
    pub(super) fn new(
        me: Boot,
        session: Arc<Session>,
        counts: Arc<PeerCounts>,
    ) -> (Self, ChildSpec) {
        let name = Self::child_name(&session.peer.id);
        let post = Post::default();
        let orders = Orders { first: Some(|| PumpMsg::Work), crash: || PumpMsg::Crash };
        let inner = Arc::new(Inner {
            me,
            session,
            counts,
            inbox: Inbox::new(LINK_QUEUE_COMMANDS_MAX, LINK_QUEUE_BYTES_MAX),
            batches: AtomicUsize::new(0),
            post: Post::clone(&post),
            asks: Arc::new(Semaphore::new(LINK_ASKS_MAX)),
            fetches: Arc::new(Semaphore::new(LINK_FETCHES_MAX)),
            pushes: Arc::new(Semaphore::new(LINK_PUSHES_MAX)),
        });
        let link = Self { inner: Arc::clone(&inner), to: None };
        let spec = ChildSpec::of_actor(name, Kind::Link, &post, &orders, move || {
            (PumpActor, Arc::clone(&inner))
        });
        (link, spec)
    }

    /// The name of the actor of the link to a peer.
    pub(super) fn child_name(peer: &NodeId) -> String {
        format!("link-{}", peer.name)
    }

    /// A way to a node that has a session with who is at the other end, and none with this node. What
    /// goes that way is not gathered into batches.
    #[must_use]
    pub fn detour(&self, to: NodeId) -> Self {
        Self { inner: Arc::clone(&self.inner), to: Some(to) }
    }

    /// Whom it leads to.
    #[must_use]
    pub fn peer(&self) -> &NodeId {
        self.to.as_ref().unwrap_or_else(|| self.via())
    }

    /// Who is at the other end.
    #[must_use]
    pub fn via(&self) -> &NodeId {
        &self.inner.session.peer.id
    }

    /// The number of the session it is over: another one with the same node has another.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.inner.session.serial
    }

    /// The protocol that the peer and this node speak: nothing of a newer one may be sent.
    #[must_use]
    pub fn protocol(&self) -> u16 {
        self.inner.session.protocol()
    }

    /// The version of the peer's software, for people.
    #[must_use]
    pub fn peer_version(&self) -> &str {
        self.inner.session.peer_version()
    }

    /// Has the peer do commands, in order, and returns what became of each, in order.
    ///
    /// More than fit into one message go one message after the other; what is behind a message of which
    /// something was not done is not sent, as it would be done before that.
    pub async fn run(&self, commands: &[Command]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut left = commands;
        while !left.is_empty() {
            let (part, rest) = left.split_at(part_len(left));
            let done = self.run_part(part).await;
            left = rest;
            let is_whole = done.iter().all(is_done);
            outcomes.extend(done);
            if !is_whole {
                outcomes.extend(left.iter().map(|_| Err(LinkError::NotSent)));
                break;
            }
        }
        outcomes
    }

    /// Has one message of commands done. What was put off goes again, in order.
    async fn run_part(&self, part: &[Command]) -> Vec<Outcome> {
        let mut outcomes = self.exchange(part.iter()).await;
        for _ in 0..LINK_LATER_MAX {
            let is_later = |at: &usize| matches!(outcomes[*at], Ok(Err(Refusal::Later)));
            let later: Vec<_> = (0..part.len()).filter(is_later).collect();
            if later.is_empty() {
                break;
            }
            let again = self.exchange(later.iter().map(|at| &part[*at])).await;
            for (at, outcome) in later.into_iter().zip(again) {
                outcomes[at] = outcome;
            }
        }
        outcomes
    }

    /// Sends commands as one, and waits for what becomes of them.
    async fn exchange<'a>(
        &self,
        commands: impl ExactSizeIterator<Item = &'a Command> + Clone,
    ) -> Vec<Outcome> {
        let len = commands.len();
        let Some(bytes) = self.encode(commands.clone()) else {
            // One of them may not be sent: the others go without it.
            return self.exchange_singly(commands).await;
        };
        self.passed_on(len);
        if self.to.is_some() {
            return self.detour_run(bytes, len).await;
        }
        let (reply, replies) = oneshot::channel();
        if !self.inner.add(bytes, len, Replies::Many(len, reply)) {
            return vec![Err(LinkError::NotSent); len];
        }
        // Without a word only if what was sent is lost with a crash.
        replies.await.unwrap_or_else(|_| vec![Err(LinkError::Unanswered); len])
    }

    async fn exchange_singly<'a>(
        &self,
        commands: impl ExactSizeIterator<Item = &'a Command>,
    ) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(match outcomes.iter().all(is_done) {
                true => self.run_one(command).await,
                false => Err(LinkError::NotSent),
            });
        }
        outcomes
    }

    /// Has the peer do one command.
    ///
    /// # Errors
    ///
    /// [`LinkError`], which says whether it may have happened.
    pub async fn run_one(&self, command: &Command) -> Outcome {
        if self.protocol() < command.since() {
            let (node, version) = (self.peer().name.as_str().into(), self.peer_version().into());
            return Ok(Err(Refusal::Failed(Error::Unsupported { node, version })));
        }
        for _ in 0..LINK_LATER_MAX {
            let outcome = self.run_once(command).await;
            // Said of one that was gathered with others.
            if !matches!(outcome, Ok(Err(Refusal::Later))) {
                return outcome;
            }
        }
        Err(LinkError::NotSent)
    }

    async fn run_once(&self, command: &Command) -> Outcome {
        let Some(bytes) = self.encode(std::iter::once(command)) else {
            return Err(LinkError::NotSent);
        };
        self.passed_on(1);
        if self.to.is_some() {
            let outcome = self.detour_run(bytes, 1).await.pop();
            return outcome.unwrap_or(Err(LinkError::Unanswered));
        }
        let (reply, outcome) = oneshot::channel();
        if !self.inner.add(bytes, 1, Replies::One(reply)) {
            return Err(LinkError::NotSent);
        }
        // As above.
        outcome.await.unwrap_or(Err(LinkError::Unanswered))
    }

    /// Notes that so many commands go to the peer.
    fn passed_on(&self, commands: usize) {
        self.inner.counts.forwards.add(commands as u64);
        trace::passed_on(&self.peer().name);
    }

    /// Sends a message of commands by way of another node.
    async fn detour_run(&self, bytes: Vec<u8>, len: usize) -> Vec<Outcome> {
        let Ok(permit) = Arc::clone(&self.inner.fetches).try_acquire_owned() else {
            return vec![Err(LinkError::NotSent); len];
        };
        match self.send_bytes(bytes, permit).await {
            Ok(Response::Ran(done)) if done.len() == len => done.into_iter().map(Ok).collect(),
            // Nothing of it was begun there.
            Ok(Response::Refused(_)) | Err(LinkError::NotSent) => {
                vec![Err(LinkError::NotSent); len]
            }
            Ok(_) | Err(LinkError::Unanswered) => vec![Err(LinkError::Unanswered); len],
        }
    }

    /// The message that holds these commands; `None` if the peer does not know one of them, or one
    /// has no form.
    fn encode<'a>(&self, commands: impl Iterator<Item = &'a Command> + Clone) -> Option<Vec<u8>> {
        let room = commands.clone().map(codec::command_bytes).sum();
        let mut bytes = codec::begin_run(self.inner.me, room);
        // Who is at the far end of a detour may be older than who is at its near end.
        if self.to.is_none() && TRACES_SINCE <= self.protocol() {
            let trace = trace::current();
            if !trace.is_empty() {
                frame::add_trace(&mut bytes, commands.clone().count(), &trace).ok()?;
            }
        }
        for command in commands {
            if self.protocol() < command.since() {
                return None;
            }
            frame::add_command(&mut bytes, command).ok()?;
        }
        Some(bytes)
    }

    /// Asks the peer, past the commands that wait.
    ///
    /// # Errors
    ///
    /// [`LinkError`]: not sent if too much is asked at a time.
    pub async fn ask(&self, request: Request) -> Result<Response, LinkError> {
        let asks = match request {
            Request::Fetch(_)
            | Request::Took(_)
            | Request::Run(..)
            | Request::Push(_)
            | Request::Relay(_)
            | Request::Spread(_)
            | Request::Doors
            | Request::Relayed(_) => &self.inner.fetches,
            Request::Ping(_)
            | Request::View(_)
            | Request::Claim(_)
            | Request::Left
            | Request::Agree(_)
            | Request::Reserve(_) => &self.inner.asks,
        };
        let permit = Arc::clone(asks).try_acquire_owned().map_err(|_| LinkError::NotSent)?;
        self.send(request, permit).await
    }

    /// Sends what moves to the peer, after the commands that wait. It is cut into messages; the answer
    /// to all of them is one [`Response::Pushed`], in order.
    ///
    /// # Errors
    ///
    /// [`LinkError`] of the first message that was not answered; those before it were.
    pub async fn push(&self, entries: Vec<Record>) -> Result<Response, LinkError> {
        let mut all = Vec::with_capacity(entries.len());
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut bytes = 0;
            let mut chunk = vec![];
            while let Some(next) = entries.next_if(|next| {
                bytes += codec::record_bytes(next);
                let fits = chunk.len() < PEER_BATCH_COMMANDS_MAX && bytes <= LINK_PUSH_BYTES_MAX;
                chunk.is_empty() || fits
            }) {
                chunk.push(next);
            }
            let len = chunk.len();
            match self.push_chunk(chunk).await? {
                Response::Pushed(outcomes) if outcomes.len() == len => all.extend(outcomes),
                other => return Ok(other),
            }
        }
        Ok(Response::Pushed(all))
    }

    async fn push_chunk(&self, chunk: Vec<Record>) -> Result<Response, LinkError> {
        let pushes = Arc::clone(&self.inner.pushes);
        // The semaphore is never closed.
        let permit = timeout(PEER_CALL_TIMEOUT, pushes.acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(LinkError::NotSent) };
        let began = Instant::now();
        while !self.inner.inbox.is_empty() && began.elapsed() < LINK_PUSH_YIELD {
            sleep(LINK_PUSH_PAUSE).await;
        }
        self.send(Request::Push(chunk), permit).await
    }

    /// Sends one request. Its permit is held until the peer has answered or the session has ended, even
    /// if who asked gives up before.
    async fn send(
        &self,
        request: Request,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response, LinkError> {
        let frame = self.encode_request(&request)?;
        self.send_bytes(frame, permit).await
    }

    fn encode_request(&self, request: &Request) -> Result<Vec<u8>, LinkError> {
        codec::encode_request(self.inner.me, request).map_err(|_| LinkError::NotSent)
    }

    async fn send_bytes(
        &self,
        frame: Vec<u8>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response, LinkError> {
        let inner = &self.inner;
        let frame = match &self.to {
            Some(to) => self.encode_request(&relay::wrap(to, frame))?,
            None => frame,
        };
        let session = Arc::clone(&inner.session);
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let Some(mut response) = session.call(frame).await else {
                return drop(answer.send(Err(LinkError::NotSent)));
            };
            match timeout(PEER_CALL_TIMEOUT, &mut response).await {
                Ok(bytes) => drop(answer.send(bytes.map_err(|_| LinkError::Unanswered))),
                Err(_) => {
                    drop(answer.send(Err(LinkError::Unanswered)));
                    session.wait_out(response).await;
                }
            }
            drop(permit);
        });
        let bytes = answered.await.unwrap_or(Err(LinkError::Unanswered))?;
        let response = codec::decode_response(&bytes).map_err(|_| LinkError::Unanswered)?;
        match self.to {
            Some(_) => relay::unwrap(response),
            None => Ok(response),
        }
    }

    /// Lets nothing in any more, and tells who waits.
    pub(super) fn end(&self) {
        self.inner.inbox.close().into_iter().for_each(Waiting::fail);
    }
}

impl Inner {
    /// Adds commands to those that wait; `false` if there is no room, or no session.
    fn add(&self, bytes: Vec<u8>, commands: usize, replies: Replies) -> bool {
        let size = bytes.len() + commands * LINK_COMMAND_BYTES;
        let since = Instant::now();
        let wait = |place| Waiting { bytes, commands, replies, since, place };
        match self.inbox.add(commands, size, wait) {
            Ok(is_first) => {
                if is_first {
                    self.post.tell(PumpMsg::Work);
                }
                true
            }
            Err(_) => false,
        }
    }
}

/// How many of the first commands go in one message.
fn part_len(commands: &[Command]) -> usize {
    let mut bytes = 0;
    let fits = |command: &&Command| {
        let is_first = bytes == 0;
        bytes += codec::command_bytes(command);
        is_first || bytes <= PEER_BATCH_BYTES_MAX
    };
    commands.iter().take(PEER_BATCH_COMMANDS_MAX).take_while(fits).count()
}

/// Whether a command was done, for good or ill: what is behind it may go on.
fn is_done(outcome: &Outcome) -> bool {
    match outcome {
        Ok(Err(Refusal::Failed(error))) => *error != Error::NoIds,
        Ok(Ok(_)) => true,
        Ok(Err(Refusal::Moved { .. } | Refusal::Later | Refusal::Unread)) | Err(_) => false,
    }
}
