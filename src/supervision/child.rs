//! How one child is started, as often as needed.

use std::future::Future;
use std::pin::Pin;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorCell, ActorRef, ActorStatus, SpawnErr};
use tokio::time::timeout;
use tracing::warn;

use super::post::Post;
use super::tree::Kind;
use crate::limits::{CHILD_START_TIMEOUT, CHILD_STOP_TIMEOUT, SHARD_START_TIMEOUT};

/// How to start one child, as often as needed.
pub struct ChildSpec {
    pub(super) name: String,
    pub(super) kind: Kind,
    start: StartFn,
}

type StartFn = Box<dyn Fn(ActorCell) -> StartFuture + Send + Sync>;
type StartFuture = Pin<Box<dyn Future<Output = Result<Running, SpawnErr>> + Send>>;

/// What every actor of a child is told by its supervisor.
pub struct Orders<Msg> {
    /// Told to each one that was started, once it is at its post: what gathered while there was
    /// none is done.
    pub first: Option<fn() -> Msg>,
    /// Makes it panic, for demonstrations.
    pub crash: fn() -> Msg,
}

/// A child that was started.
pub struct Running {
    pub(super) cell: ActorCell,
    task: JoinHandle<()>,
    pub(super) crash: Box<dyn Fn() + Send + Sync>,
    settle: Option<Box<dyn FnOnce() + Send>>,
}

/// A child that has ended and may not be over yet.
pub(super) struct Ended {
    pub(super) running: Running,
    /// The task that drops what it left.
    pub(super) left: Option<JoinHandle<()>>,
}

/// Why a child does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    /// It said so, or its start panicked.
    #[error("{0}")]
    Failed(SpawnErr),
    /// It hangs.
    #[error("did not start in time")]
    TooLate,
}

impl ChildSpec {
    /// A child that is an actor of ours: each time `make` makes one with what it is started with,
    /// it is put at its `post`, and told its orders. Nobody else starts actors.
    ///
    /// The post is closed when this is dropped: with its supervisor, or once the child is removed.
    pub fn of_actor<A, Make>(
        name: impl Into<String>,
        kind: Kind,
        post: &Post<A::Msg>,
        orders: &Orders<A::Msg>,
        make: Make,
    ) -> Self
    where
        A: Actor,
        Make: Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    {
        let Orders { first, crash } = *orders;
        let post = Closing(post.clone());
        Self::new(name, kind, move |supervisor| {
            let (actor, args) = make();
            let post = post.0.clone();
            async move {
                let started = A::spawn_linked(None, actor, args, supervisor).await?;
                let actor = started.0.clone();
                let mut running = Running::new(started, crash);
                // Not before its supervisor has it: one that is too late must not come to the post
                // of the next one.
                running.settle = Some(Box::new(move || {
                    post.set(actor.clone());
                    if let Some(first) = first {
                        // Behind the line above: whoever still told the last actor had added before
                        // this. One that has ended by now is reported as any other that ends.
                        drop(actor.cast(first()));
                    }
                }));
                Ok(running)
            }
        })
    }

    /// A child that `start` starts, linked to the supervisor it is given.
    pub fn new<F, Started>(name: impl Into<String>, kind: Kind, start: F) -> Self
    where
        F: Fn(ActorCell) -> Started + Send + Sync + 'static,
        Started: Future<Output = Result<Running, SpawnErr>> + Send + 'static,
    {
        let start: StartFn = Box::new(move |supervisor| Box::pin(start(supervisor)));
        Self { name: name.into(), kind, start }
    }

    /// Starts the child, in time or not at all.
    pub(super) fn begin(
        &self,
        supervisor: ActorCell,
    ) -> impl Future<Output = Result<Running, NotStarted>> + Send + use<> {
        let limit = match self.kind {
            Kind::Shard => SHARD_START_TIMEOUT,
            _ => CHILD_START_TIMEOUT,
        };
        let start = (self.start)(supervisor);
        async move {
            // In a task of its own, as it may also hang without ever waiting.
            let mut starting = tokio::spawn(start);
            match timeout(limit, &mut starting).await {
                Ok(Ok(started)) => started.map_err(NotStarted::Failed),
                Ok(Err(panic)) => Err(NotStarted::Failed(SpawnErr::StartupFailed(panic.into()))),
                Err(_) => {
                    starting.abort();
                    tokio::spawn(async move {
                        if let Ok(Ok(late)) = starting.await {
                            late.kill();
                        }
                    });
                    Err(NotStarted::TooLate)
                }
            }
        }
    }
}

impl Running {
    /// What `spawn_linked` returned of an actor that has no message to crash it: it is killed.
    pub fn killed<Msg: ractor::Message>((actor, task): (ActorRef<Msg>, JoinHandle<()>)) -> Self {
        let cell = actor.get_cell();
        Self { cell, task, crash: Box::new(move || actor.kill()), settle: None }
    }

    /// What `spawn_linked` returned, and the message that makes this actor panic.
    pub fn new<Msg: ractor::Message>(
        (actor, task): (ActorRef<Msg>, JoinHandle<()>),
        crash: fn() -> Msg,
    ) -> Self {
        let cell = actor.get_cell();
        // A child that is gone already needs no crash.
        let crash = Box::new(move || drop(actor.cast(crash())));
        Self { cell, task, crash, settle: None }
    }

    /// Lets others know of it.
    pub(super) fn settle(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle();
        }
    }

    /// Whether it has ended by now. Known before the supervisor is told.
    pub(super) fn has_ended(&self) -> bool {
        ActorStatus::Stopping <= self.cell.get_status()
    }

    /// Ends one that nobody wants, without waiting for it.
    pub(super) fn kill(self) {
        self.cell.kill();
    }

    /// Stops it, or kills it if it does not stop in time.
    pub(super) async fn stop(self, name: &str) {
        if self.cell.stop_and_wait(None, Some(CHILD_STOP_TIMEOUT)).await.is_err() {
            warn!(child = name, "child did not stop in time and is killed");
            self.task.abort();
        }
    }
}

impl Ended {
    /// Waits until it is over: only then what it held, its table's writer, is free. One that takes
    /// too long is not waited for.
    pub(super) async fn over(self, name: &str) {
        let Self { running: Running { mut task, .. }, left } = self;
        let over = async {
            let _ = (&mut task).await;
            if let Some(left) = left {
                let _ = left.await;
            }
        };
        if timeout(CHILD_STOP_TIMEOUT, over).await.is_err() {
            warn!(child = name, "child hangs in its end and is not waited for any longer");
            task.abort();
        }
    }
}

impl NotStarted {
    /// The same in the words of the actor system.
    pub(super) fn into_spawn_err(self) -> SpawnErr {
        match self {
            Self::Failed(error) => error,
            Self::TooLate => SpawnErr::StartupFailed(self.into()),
        }
    }
}

/// Closes a post when there will be no further actor.
struct Closing<Msg: ractor::Message>(Post<Msg>);

impl<Msg: ractor::Message> Drop for Closing<Msg> {
    fn drop(&mut self) {
        self.0.close();
    }
}
