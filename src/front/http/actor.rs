//! The supervised actor of the door: it runs the accept loop and ends when the loop does.

use std::io;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::{Phase, Shared, connection};
use crate::limits::{ACCEPT_PAUSE, HTTP_LINGER_TIMEOUT};

/// What a connection is told that is not served, with 503.
const FULL: &str = "too many connections; try again";

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
        let accepting = accept_loop(Arc::clone(&door), TellOnDrop(me));
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
    match *door.phase.borrow() {
        Phase::Closed => Ok(()),
        Phase::Open | Phase::Leaving | Phase::Draining => Err("the accept loop ended".into()),
    }
}

fn crash() -> Result<(), ActorProcessingErr> {
    panic!("crashed on demand");
}

async fn accept_loop(door: Arc<Shared>, _teller: TellOnDrop) {
    let mut phase = door.phase.subscribe();
    while *phase.borrow_and_update() != Phase::Closed {
        tokio::select! {
            accepted = door.listener.accept() => match accepted {
                Ok((stream, _)) => take(&door, stream),
                Err(reason) => pause(&reason).await,
            },
            // The sender is in `door`, so that this is never an error.
            _ = phase.changed() => {}
        }
    }
}

/// Serves a connection in a task of its own, or refuses it.
fn take(door: &Arc<Shared>, stream: TcpStream) {
    door.counts.accepted.count();
    let Ok(permit) = Arc::clone(&door.vacancies).try_acquire_owned() else {
        door.counts.refused.count();
        return refuse(door, stream, FULL);
    };
    let door = Arc::clone(door);
    tokio::spawn(async move {
        connection::serve(&door, stream).await;
        drop(permit);
        door.ended.notify_one();
    });
}

/// Answers 503, whatever is asked, and closes once the client had time to read it.
fn refuse(door: &Arc<Shared>, stream: TcpStream, message: &str) {
    // Beyond so many at a time a connection is just closed: refusing must cost less than serving.
    let Ok(permit) = Arc::clone(&door.refusals).try_acquire_owned() else { return };
    door.counts.answers[4].count();
    let body = format!("{{\"message\":\"{message}\"}}");
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        // A new connection takes this much at once, or is gone.
        drop(stream.writable().await);
        drop(stream.try_write(answer.as_bytes()));
        connection::linger(stream, HTTP_LINGER_TIMEOUT).await;
        drop(permit);
    });
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
