//! Where an actor is reached that may be started again at any time.

use ractor::ActorRef;
use tokio::sync::watch;

/// The way to whichever actor is running.
pub(super) struct Post<Msg: ractor::Message>(watch::Sender<Option<ActorRef<Msg>>>);

impl<Msg: ractor::Message> Default for Post<Msg> {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl<Msg: ractor::Message> Post<Msg> {
    /// Says which actor it is from now on.
    pub(super) fn set(&self, actor: ActorRef<Msg>) {
        self.0.send_replace(Some(actor));
    }

    /// Tells the actor, if there is one. What is told to one that ends is lost: whatever is told here
    /// is asked for again, or found out anew by the next actor.
    pub(super) fn tell(&self, message: Msg) {
        if let Some(actor) = &*self.0.borrow() {
            drop(actor.cast(message));
        }
    }

    /// The actor, if there is one.
    pub(super) fn actor(&self) -> Option<ActorRef<Msg>> {
        self.0.borrow().clone()
    }
}
