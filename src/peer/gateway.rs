//! The gateway: the one actor of this node that peers can send messages to, and the accept loop.
//!
//! What is ready at once is answered by the actor itself; what waits for a shard, or is long to decode,
//! goes on in a task. Commands of one peer begin in the order in which they came all the same. Every
//! request is answered, if only with a refusal, as silence costs the peer its whole deadline.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use ractor::message::{BoxedDowncastErr, SerializedMessage};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::task::JoinHandle;

use super::Answering;
use super::codec;
use super::message::{Request, Response};
use super::relay;
use super::transport::Shared;
use crate::limits::{PEER_DECODE_BYTES_MAX, PEERS_MAX};
use crate::member::{Boot, NodeId};

/// The one variant that crosses the wire, by its name there.
const ASK: &str = "Ask";

pub(super) enum GatewayMsg {
    /// A request of a peer, as bytes, and where its response goes.
    Ask { frame: Vec<u8>, reply: RpcReplyPort<Vec<u8>> },
    /// A message of a peer that is not known here.
    Unknown(Option<RpcReplyPort<Vec<u8>>>),
    /// The accept loop is over.
    AcceptEnded,
    /// Panic, for demonstrations.
    Crash,
}

pub(super) struct GatewayActor;

pub(super) struct GatewayState {
    shared: Arc<Shared>,
    /// Whose turn it is among the messages with commands of each peer, whatever sessions they came over.
    turns: HashMap<Boot, Arc<Mutex<()>>>,
    accepting: JoinHandle<()>,
}

/// When a message may be begun. Those with commands begin in the order in which they came, also where
/// one is long to decode: whoever sent one over a session that has ended may go on over the next, and
/// what it sends there must not be done before.
enum Turn {
    /// Whenever it is.
    Any,
    /// Now, and who comes behind it waits until it has begun.
    Now(OwnedMutexGuard<()>),
    /// Behind another that has not begun.
    Behind(Behind),
}

type Behind = Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>;

/// A request as it came.
struct Asked {
    peer: NodeId,
    frame: Vec<u8>,
    port: Port,
}

/// A request that was begun, and its response if that was ready at once.
struct Begun {
    answering: Answering,
    answered: Option<Response>,
    port: Port,
}

/// Tells the actor when the accept loop ends, in whatever way.
pub(super) struct TellOnDrop(ActorRef<GatewayMsg>);

/// Where the response to one request goes; it is told if there comes none.
struct Port {
    reply: Option<RpcReplyPort<Vec<u8>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl ractor::Message for GatewayMsg {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        match self {
            Self::Ask { frame, reply } => Ok(SerializedMessage::Call {
                variant: ASK.to_owned(),
                args: frame,
                reply,
                metadata: None,
            }),
            Self::Unknown(_) | Self::AcceptEnded | Self::Crash => Err(BoxedDowncastErr),
        }
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Call { variant, args, reply, .. } if variant == ASK => {
                Ok(Self::Ask { frame: args, reply })
            }
            SerializedMessage::Call { reply, .. } => Ok(Self::Unknown(Some(reply))),
            SerializedMessage::Cast { .. } | SerializedMessage::CallReply(..) => {
                Ok(Self::Unknown(None))
            }
        }
    }
}

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        // If the actor is gone, the loop ends because of that and nobody has to be told.
        drop(self.0.cast(GatewayMsg::AcceptEnded));
    }
}

impl Drop for GatewayState {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if self.reply.is_some() {
            self.send(&Response::Lost);
        }
    }
}

impl Actor for GatewayActor {
    type Msg = GatewayMsg;
    type State = GatewayState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        me: ActorRef<GatewayMsg>,
        shared: Arc<Shared>,
    ) -> Result<GatewayState, ActorProcessingErr> {
        pg::join(shared.group(), vec![me.get_cell()]);
        let accepting = tokio::spawn(Arc::clone(&shared).accept_loop(TellOnDrop(me)));
        Ok(GatewayState { shared, turns: HashMap::new(), accepting })
    }

    async fn handle(
        &self,
        _me: ActorRef<GatewayMsg>,
        message: GatewayMsg,
        state: &mut GatewayState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            GatewayMsg::Ask { frame, reply } => state.ask(frame, reply).await,
            GatewayMsg::Unknown(reply) => refuse_unknown(reply),
            GatewayMsg::AcceptEnded => return Err("the accept loop ended".into()),
            GatewayMsg::Crash => crash(),
        }
        Ok(())
    }
}

impl GatewayState {
    async fn ask(&mut self, frame: Vec<u8>, reply: RpcReplyPort<Vec<u8>>) {
        let mut port = Port { reply: Some(reply), permit: None };
        let Some((boot, number)) = codec::head_of(&frame) else {
            return port.send(&Response::Refused("the message is too short".to_owned()));
        };
        let Some((peer, requests)) = self.shared.who(boot) else {
            return port.send(&Response::Refused("there is no session".to_owned()));
        };
        // A sign of life is answered at once, however much of the peer is under way here.
        if number != codec::PING {
            let Ok(permit) = requests.try_acquire_owned() else {
                return port.send(&Response::Refused("busy".to_owned()));
            };
            port.permit = Some(permit);
        }
        let turn = match number {
            codec::RUN => self.turn_of(boot).await,
            codec::RELAYED => match relay::origin_of_run(&frame) {
                Some(origin) => self.turn_of(origin).await,
                None => Turn::Any,
            },
            _ => Turn::Any,
        };
        let asked = Asked { peer, frame, port };
        if PEER_DECODE_BYTES_MAX < asked.frame.len() || matches!(turn, Turn::Behind(_)) {
            drop(tokio::spawn(asked.answer(Arc::clone(&self.shared), turn)));
            return;
        }
        let Some(mut begun) = asked.begin(&self.shared).await else { return };
        match begun.answered.take() {
            Some(response) => begun.port.send(&response),
            None => drop(tokio::spawn(begun.finish())),
        }
    }

    /// The turn of a message with commands among those of one peer.
    async fn turn_of(&mut self, boot: Boot) -> Turn {
        if PEERS_MAX <= self.turns.len() && !self.turns.contains_key(&boot) {
            self.turns.retain(|_, turns| 1 < Arc::strong_count(turns));
        }
        let turns = self.turns.entry(boot).or_default();
        if let Ok(turn) = Arc::clone(turns).try_lock_owned() {
            return Turn::Now(turn);
        }
        let mut turn: Behind = Box::pin(Arc::clone(turns).lock_owned());
        // It stands in line from here on.
        match poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await {
            Poll::Ready(turn) => Turn::Now(turn),
            Poll::Pending => Turn::Behind(turn),
        }
    }
}

impl Asked {
    /// Answers it when it is its turn.
    async fn answer(self, shared: Arc<Shared>, turn: Turn) {
        let turn = match turn {
            Turn::Any => None,
            Turn::Now(turn) => Some(turn),
            Turn::Behind(turn) => Some(turn.await),
        };
        let begun = self.begin(&shared).await;
        drop(turn);
        if let Some(begun) = begun {
            begun.finish().await;
        }
    }

    /// Decodes it and begins to answer it; `None` if it was refused.
    async fn begin(self, shared: &Shared) -> Option<Begun> {
        let Self { peer, frame, mut port } = self;
        let request = decode(&frame, &mut port)?;
        drop(frame);
        let mut answering = match request {
            Request::Relay(parcel) => relay::forward(shared, peer, parcel),
            Request::Relayed(parcel) => relay::answer(shared, parcel),
            request => shared.answer.answer(peer, request),
        };
        let answered = match poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await {
            Poll::Ready(response) => Some(response),
            Poll::Pending => None,
        };
        Some(Begun { answering, answered, port })
    }
}

impl Begun {
    async fn finish(self) {
        let Self { answering, answered, mut port } = self;
        let response = match answered {
            Some(response) => response,
            None => answering.await,
        };
        port.send(&response);
    }
}

/// Decodes a request; `None` if it was refused.
fn decode(frame: &[u8], port: &mut Port) -> Option<Request> {
    match codec::decode_request(frame) {
        Ok((_, request)) => Some(request),
        Err(reason) => {
            port.send(&Response::Refused(reason.to_string()));
            None
        }
    }
}

impl Port {
    fn send(&mut self, response: &Response) {
        let bytes =
            codec::encode_response(response).or_else(|_| codec::encode_response(&Response::Lost));
        self.permit = None;
        if let (Some(reply), Ok(bytes)) = (self.reply.take(), bytes) {
            // The peer may have given up.
            let _ = reply.send(bytes);
        }
    }
}

fn refuse_unknown(reply: Option<RpcReplyPort<Vec<u8>>>) {
    // A cast has nobody to be told.
    if reply.is_some() {
        let mut port = Port { reply, permit: None };
        port.send(&Response::Refused("this node does not know that message".to_owned()));
    }
}

fn crash() {
    panic!("crashed on demand");
}
