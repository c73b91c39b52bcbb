//! The link to one peer: commands gather into batches, questions and what moves go beside them.
//!
//! While a few batches are under way, those who ask add to the next. So the more is asked, the larger
//! the batches, and one command costs a fraction of a message. What waits outlives the actor that
//! sends it and ends with the session.

mod pump;
mod queue;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;
use ractor::{Actor, ActorRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::codec;
use super::message::{Moved, Refusal, Request, Response};
use super::session::Session;
use crate::command::{Command, Reply, Routed};
use crate::limits::{
    LINK_ASKS_MAX, LINK_COMMAND_BYTES, LINK_FETCHES_MAX, LINK_LATER_MAX, LINK_PUSH_BYTES_MAX,
    LINK_PUSH_PAUSE, LINK_PUSH_YIELD, LINK_PUSHES_MAX, LINK_QUEUE_BYTES_MAX, PEER_BATCH_BYTES_MAX,
    PEER_BATCH_COMMANDS_MAX, PEER_CALL_TIMEOUT,
};
use crate::member::{Boot, NodeId};
use crate::supervision::{ChildSpec, Kind, Running};

use pump::{PumpActor, PumpMsg};
use queue::{Commands, Queue, Waiting};

/// The link to one peer. Clones are the same link.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    /// This run of this node, as each message says.
    me: Boot,
    session: Arc<Session>,
    queue: Queue,
    /// Bytes that may still be added to the queue.
    room: Arc<Semaphore>,
    /// Batches under way.
    batches: AtomicUsize,
    /// The actor that sends now.
    actor: ArcSwapOption<ActorRef<PumpMsg>>,
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
    pub(super) fn new(me: Boot, session: Arc<Session>) -> (Self, ChildSpec) {
        let name = Self::child_name(&session.peer.id);
        let inner = Arc::new(Inner {
            me,
            session,
            queue: Queue::default(),
            room: Arc::new(Semaphore::new(LINK_QUEUE_BYTES_MAX)),
            batches: AtomicUsize::new(0),
            actor: ArcSwapOption::empty(),
            asks: Arc::new(Semaphore::new(LINK_ASKS_MAX)),
            fetches: Arc::new(Semaphore::new(LINK_FETCHES_MAX)),
            pushes: Arc::new(Semaphore::new(LINK_PUSHES_MAX)),
        });
        let link = Self { inner: Arc::clone(&inner) };
        let spec = ChildSpec::new(name, Kind::Link, move |supervisor| {
            let inner = Arc::clone(&inner);
            async move {
                let args = Arc::clone(&inner);
                let started = PumpActor::spawn_linked(None, PumpActor, args, supervisor).await?;
                inner.actor.store(Some(Arc::new(started.0.clone())));
                // Whoever still told the last actor had added before this.
                inner.ring();
                Ok(Running::new(started, || PumpMsg::Crash))
            }
        });
        (link, spec)
    }

    /// The name of the actor of the link to a peer.
    pub(super) fn child_name(peer: &NodeId) -> String {
        format!("link-{}", peer.name)
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &NodeId {
        &self.inner.session.peer.id
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
    /// More than fit into one message go one message after the other.
    pub async fn run(&self, commands: Vec<Routed>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let mut bytes = 0;
            let mut batch = vec![];
            while let Some(next) = commands.next_if(|next| {
                let more = bytes_of(next);
                let fits = batch.is_empty()
                    || batch.len() < PEER_BATCH_COMMANDS_MAX
                        && bytes + more <= PEER_BATCH_BYTES_MAX;
                bytes += more;
                fits
            }) {
                batch.push(next);
            }
            outcomes.extend(self.run_batch(batch).await);
        }
        outcomes
    }

    async fn run_batch(&self, commands: Vec<Routed>) -> Vec<Outcome> {
        let reads: Vec<_> = commands.iter().map(again).collect();
        let bytes = commands.iter().map(bytes_of).sum();
        let len = commands.len();
        let (reply, replies) = oneshot::channel();
        if !self.inner.add(bytes, Commands::Many(commands, reply)) {
            return vec![Err(LinkError::NotSent); len];
        }
        let lost = || vec![Err(LinkError::Unanswered); len];
        let mut outcomes = replies.await.unwrap_or_else(|_| lost());
        for (outcome, read) in outcomes.iter_mut().zip(reads) {
            if let (Ok(Err(Refusal::Later)), Some(read)) = (&outcome, read) {
                *outcome = self.run_one(&read).await;
            }
        }
        outcomes
    }

    /// Has the peer do one command.
    ///
    /// # Errors
    ///
    /// [`LinkError`], which says whether it may have happened.
    pub async fn run_one(&self, routed: &Routed) -> Outcome {
        for _ in 0..LINK_LATER_MAX {
            let outcome = self.run_once(routed.clone()).await;
            // Said of reads only.
            if !matches!(outcome, Ok(Err(Refusal::Later))) {
                return outcome;
            }
        }
        Err(LinkError::NotSent)
    }

    async fn run_once(&self, routed: Routed) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        if !self.inner.add(bytes_of(&routed), Commands::One(routed, reply)) {
            return Err(LinkError::NotSent);
        }
        // Without a word only if what was sent is lost with a crash.
        outcome.await.unwrap_or(Err(LinkError::Unanswered))
    }

    /// Asks the peer, past the commands that wait.
    ///
    /// # Errors
    ///
    /// [`LinkError`]: not sent if too much is asked at a time.
    pub async fn ask(&self, request: Request) -> Result<Response, LinkError> {
        let asks = match request {
            Request::Fetch(_) | Request::Took(_) | Request::Run(_) | Request::Push(_) => {
                &self.inner.fetches
            }
            Request::Ping(_) | Request::View(_) | Request::Claim { .. } | Request::Left => {
                &self.inner.asks
            }
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
    pub async fn push(&self, entries: Vec<Moved>) -> Result<Response, LinkError> {
        let mut all = Vec::with_capacity(entries.len());
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut bytes = 0;
            let mut chunk = vec![];
            while let Some(next) = entries.next_if(|next| {
                bytes += codec::moved_bytes(next);
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

    async fn push_chunk(&self, chunk: Vec<Moved>) -> Result<Response, LinkError> {
        let pushes = Arc::clone(&self.inner.pushes);
        // The semaphore is never closed.
        let permit = timeout(PEER_CALL_TIMEOUT, pushes.acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(LinkError::NotSent) };
        let began = Instant::now();
        while !self.inner.queue.is_empty() && began.elapsed() < LINK_PUSH_YIELD {
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
        let inner = &self.inner;
        let frame = codec::encode_request(inner.me, &request).map_err(|_| LinkError::NotSent)?;
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
        codec::decode_response(&bytes).map_err(|_| LinkError::Unanswered)
    }

    /// Ends the session.
    pub fn close(&self, reason: &str) {
        self.inner.session.kill(reason);
    }

    /// Lets nothing in any more, and tells who waits.
    pub(super) fn end(&self) {
        self.inner.queue.close().into_iter().for_each(Waiting::fail);
    }
}

impl Inner {
    /// Adds commands to the queue; `false` if there is no room, or no session.
    fn add(&self, bytes: usize, commands: Commands) -> bool {
        let places = bytes + commands.len() * LINK_COMMAND_BYTES;
        // One that is larger than everything goes if nothing else is there.
        let places = places.min(LINK_QUEUE_BYTES_MAX) as u32;
        let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(places) else {
            return false;
        };
        let since = Instant::now();
        let is_first = self.queue.add(Waiting { commands, bytes, since, permit });
        if is_first == Some(true) {
            self.ring();
        }
        is_first.is_some()
    }

    /// Tells the actor that there is work. One that has ended needs not be told: the next looks.
    fn ring(&self) {
        if let Some(actor) = &*self.actor.load() {
            drop(actor.cast(PumpMsg::Work));
        }
    }
}

fn bytes_of(routed: &Routed) -> usize {
    codec::command_bytes(&routed.command)
}

/// The same once more, if it is a read: others are never put off.
fn again(routed: &Routed) -> Option<Routed> {
    matches!(routed.command, Command::Get(_)).then(|| routed.clone())
}
