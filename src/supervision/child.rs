//! How one child is started, as often as needed.

use std::future::Future;
use std::pin::Pin;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};

use super::post::Post;
use super::tree::Kind;

/// How to start one child, as often as needed.
pub struct ChildSpec {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) start: StartFn,
}

pub(super) type StartFn = Box<dyn Fn(ActorCell) -> StartFuture + Send + Sync>;
type StartFuture = Pin<Box<dyn Future<Output = Result<Running, SpawnErr>> + Send>>;

/// What every actor of a child is told by its supervisor.
pub struct Orders<Msg> {
    /// Told to each one that was started, once it is at its post: what gathered while there was none
    /// is done.
    pub first: Option<fn() -> Msg>,
    /// Makes it panic, for demonstrations.
    pub crash: fn() -> Msg,
}

/// A child that was started.
pub struct Running {
    pub(super) cell: ActorCell,
    pub(super) task: JoinHandle<()>,
    pub(super) crash: Box<dyn Fn() + Send + Sync>,
}

impl ChildSpec {
    /// A child that is an actor of ours: each time `make` makes one with what it is started with, it is
    /// put at its `post`, and told its orders. Nobody else starts actors.
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
                post.set(started.0.clone());
                if let Some(first) = first {
                    // Behind the line above: whoever still told the last actor had added before this.
                    // One that has ended by now is reported as any other that ends.
                    drop(started.0.cast(first()));
                }
                Ok(Running::new(started, crash))
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
}

impl Running {
    /// What `spawn_linked` returned of an actor that has no message to crash it: it is killed.
    pub fn killed<Msg: ractor::Message>((actor, task): (ActorRef<Msg>, JoinHandle<()>)) -> Self {
        let cell = actor.get_cell();
        Self { cell, task, crash: Box::new(move || actor.kill()) }
    }

    /// What `spawn_linked` returned, and the message that makes this actor panic.
    pub fn new<Msg: ractor::Message>(
        (actor, task): (ActorRef<Msg>, JoinHandle<()>),
        crash: fn() -> Msg,
    ) -> Self {
        let cell = actor.get_cell();
        // A child that is gone already needs no crash.
        let crash = Box::new(move || drop(actor.cast(crash())));
        Self { cell, task, crash }
    }
}

/// Closes a post when there will be no further actor.
struct Closing<Msg: ractor::Message>(Post<Msg>);

impl<Msg: ractor::Message> Drop for Closing<Msg> {
    fn drop(&mut self) {
        self.0.close();
    }
}
