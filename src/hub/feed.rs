//! Tells the hub what happens to the entries of this node, for as long as anybody anywhere listens.
//!
//! While nobody does, no table has a listener, and a write costs nothing for this.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::warn;

use super::{Hub, NotPublished, Space, Topic};
use crate::clock;
use crate::entry::Namespace;
use crate::limits::FULL_LOG_PAUSE;
use crate::quiet::Quiet;
use crate::supervision::{ChildSpec, Kind, Orders, Post};
use crate::table::{Cause, Event, TableReader};

enum FeedMsg {
    /// It tells nothing any more.
    Ended,
    /// Panic, for demonstrations.
    Crash,
}

// Never sent to another process.
impl ractor::Message for FeedMsg {}

struct FeedActor;

/// Tells for as long as this is there.
struct Telling(JoinHandle<()>);

/// Tells the actor when nothing is told any more, in whatever way that has ended.
struct TellOnDrop(ActorRef<FeedMsg>);

/// How the actor is started.
pub(super) fn child(hub: &Hub, readers: Vec<TableReader>) -> ChildSpec {
    let orders = Orders { first: None, crash: || FeedMsg::Crash };
    let hub = hub.clone();
    let make = move || (FeedActor, (hub.clone(), readers.clone()));
    ChildSpec::of_actor("feed", Kind::Feed, &Post::default(), &orders, make)
}

impl Actor for FeedActor {
    type Msg = FeedMsg;
    type State = Telling;
    type Arguments = (Hub, Vec<TableReader>);

    async fn pre_start(
        &self,
        me: ActorRef<FeedMsg>,
        (hub, readers): (Hub, Vec<TableReader>),
    ) -> Result<Telling, ActorProcessingErr> {
        let told = TellOnDrop(me);
        Ok(Telling(tokio::spawn(async move {
            hub.tell_changes(&readers).await;
            drop(told);
        })))
    }

    async fn handle(
        &self,
        _me: ActorRef<FeedMsg>,
        message: FeedMsg,
        _state: &mut Telling,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FeedMsg::Ended => Err("changes are not told any more".into()),
            FeedMsg::Crash => crash(),
        }
    }
}

fn crash() -> ! {
    panic!("crashed on demand");
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        // If the actor is gone, that is why.
        drop(self.0.cast(FeedMsg::Ended));
    }
}

impl Hub {
    /// Tells changes whenever somebody listens, for ever.
    async fn tell_changes(&self, readers: &[TableReader]) {
        let mut wanted = self.inner.has_changes.subscribe();
        // The sender is in the hub.
        while wanted.wait_for(|is_wanted| *is_wanted).await.is_ok() {
            tokio::select! {
                _ = wanted.wait_for(|is_wanted| !*is_wanted) => {}
                () = self.tell_all(readers) => {}
            }
        }
    }

    async fn tell_all(&self, readers: &[TableReader]) {
        let bell = Arc::new(Notify::new());
        let mut listeners: Vec<_> =
            readers.iter().map(|reader| reader.listen_with(Arc::clone(&bell))).collect();
        loop {
            for listener in &mut listeners {
                let heard = listener.take();
                for event in &heard.events {
                    self.tell_change(event).await;
                }
                if heard.has_gap {
                    self.note_gap();
                }
            }
            bell.notified().await;
        }
    }

    async fn tell_change(&self, event: &Event) {
        // What was no entry before is not the end of one.
        let name: &'static [u8] = match (event.cause, event.had_entry) {
            (Cause::Put, _) => b"put",
            (Cause::Delete, true) => b"delete",
            (Cause::Expire, true) => b"expire",
            (Cause::Evict, true) => b"evict",
            (Cause::Delete | Cause::Expire | Cause::Evict, false)
            | (Cause::TakenOver | Cause::Forgotten, _) => return,
        };
        if *event.key.namespace() != Namespace::default() {
            return;
        }
        let topic = Topic { space: Space::Changes, name: name.into() };
        match self.publish(&topic, event.key.as_bytes()).await {
            Ok(_) => {}
            Err(NotPublished::Full) => self.note_gap(),
            // A key is shorter than a message may be.
            Err(NotPublished::TooLarge | NotPublished::TopicTooLong) => {}
        }
    }

    fn note_gap(&self) {
        static SAID: Quiet<()> = Quiet::new(FULL_LOG_PAUSE, 1);
        self.inner.counts.gaps.count();
        if SAID.may_say((), clock::steady()).is_some() {
            warn!("entries change faster than it can be told: some changes are not");
        }
    }
}
