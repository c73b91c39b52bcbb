//! Where an actor is reached that may be started again at any time.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ractor::ActorRef;

/// The way to whichever actor runs now. Clones are the same post.
///
/// It is given to [`ChildSpec::of_actor`](super::ChildSpec::of_actor), which puts each actor here
/// that it starts, and closes the post when no further one will be started.
pub struct Post<Msg: ractor::Message>(Arc<ArcSwap<Holder<Msg>>>);

/// Who holds a post.
enum Holder<Msg: ractor::Message> {
    /// No actor was started yet.
    Nobody,
    /// The one that was started last. It may have ended by now.
    Actor(ActorRef<Msg>),
    /// There will be no further one.
    Closed,
}

impl<Msg: ractor::Message> Default for Post<Msg> {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Holder::Nobody)))
    }
}

impl<Msg: ractor::Message> Clone for Post<Msg> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Msg: ractor::Message> Post<Msg> {
    /// Tells the actor, if there is one. What is told to one that ends is lost: whatever is told
    /// here is asked for again, or found out anew by the next actor.
    pub fn tell(&self, message: Msg) {
        match &**self.0.load() {
            Holder::Actor(actor) => drop(actor.cast(message)),
            Holder::Nobody | Holder::Closed => {}
        }
    }

    /// The actor, if there is one. To be asked at once and not to be kept: it may end.
    #[must_use]
    pub fn actor(&self) -> Option<ActorRef<Msg>> {
        match &**self.0.load() {
            Holder::Actor(actor) => Some(actor.clone()),
            Holder::Nobody | Holder::Closed => None,
        }
    }

    /// Whether there will never be an actor any more, so that waiting for one is in vain.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(**self.0.load(), Holder::Closed)
    }

    /// Says which actor it is from now on.
    pub(crate) fn set(&self, actor: ActorRef<Msg>) {
        self.0.store(Arc::new(Holder::Actor(actor)));
    }

    /// Says that there will be no further actor.
    pub(super) fn close(&self) {
        self.0.store(Arc::new(Holder::Closed));
    }
}
