//! The supervised actor of the door: it runs the accept loop and ends when the loop does.

use std::io;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::{Phase, Shared};
use crate::limits::ACCEPT_PAUSE;

pub(super) enum DoorMsg {
    /// The accept loop is over.
    AcceptEnded,
    /// Panic, for demonstrations.
    Crash,
}

// Never sent to another process.
impl ractor::Message for DoorMsg {}

pub(super) struct DoorActor;

/// The accept loop; it ends with the actor that started it.
pub(super) struct AcceptLoop(JoinHandle<()>);

impl Drop for AcceptLoop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the actor when the accept loop ends, in whatever way.
struct TellOnDrop(ActorRef<DoorMsg>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        // If the actor is gone, the loop ends because of that and nobody has to be told.
        drop(self.0.cast(DoorMsg::AcceptEnded));
    }
}

impl Actor for DoorActor {
    type Msg = DoorMsg;
    type State = (Arc<Shared>, AcceptLoop);
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        me: ActorRef<DoorMsg>,
        door: Arc<Shared>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let listener = door.listener.open()?;
        let accepting = accept_loop(Arc::clone(&door), listener, TellOnDrop(me));
        Ok((door, AcceptLoop(tokio::spawn(accepting))))
    }

    async fn handle(
        &self,
        _me: ActorRef<DoorMsg>,
        message: DoorMsg,
        (door, _): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DoorMsg::AcceptEnded => accept_ended(door),
            DoorMsg::Crash => crash(),
        }
    }
}

fn accept_ended(door: &Shared) -> Result<(), ActorProcessingErr> {
    match door.phases.now() {
        Phase::Shut | Phase::Closed => Ok(()),
        Phase::Open | Phase::Leaving | Phase::Draining => Err("the accept loop ended".into()),
    }
}

fn crash() -> Result<(), ActorProcessingErr> {
    panic!("crashed on demand");
}

async fn accept_loop(door: Arc<Shared>, listener: Option<TcpListener>, _teller: TellOnDrop) {
    if let Some(listener) = listener {
        accept_all(&door, &listener).await;
    }
    // Its hold of the socket is gone with it.
    door.listener.shut(|stream| take(&door, stream));
}

/// Accepts connections until the door shuts.
async fn accept_all(door: &Shared, listener: &TcpListener) {
    let mut phase = door.phases.watch();
    while *phase.borrow_and_update() < Phase::Shut {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => take(door, stream),
                Err(reason) => pause(&reason).await,
            },
            // The sender is in `door`, so that this is never an error.
            _ = phase.changed() => {}
        }
    }
}

/// Serves a connection in a task of its own, or refuses it.
fn take(door: &Shared, stream: TcpStream) {
    if let Some(place) = door.places.take() {
        let serving = door.protocol.serve(stream, door.phases.clone());
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    } else if let Some(place) = door.places.take_refusal() {
        let refusing = door.protocol.refuse(stream, door.phases.clone());
        tokio::spawn(async move {
            refusing.await;
            drop(place);
        });
    }
}

/// Some failures are the connection's own; the others pass only with time.
async fn pause(reason: &io::Error) {
    let is_of_connection = matches!(
        reason.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if is_of_connection {
        debug!(%reason, "a connection was gone before it was accepted");
        return;
    }
    warn!(%reason, "cannot accept connections, trying again");
    sleep(ACCEPT_PAUSE).await;
}
