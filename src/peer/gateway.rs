//! The gateway: the one actor of this node that peers can send messages to, and the accept loop.
//!
//! What is ready at once is answered by the actor itself, so that requests of one peer begin in order;
//! what waits for a shard, or is long to decode, goes on in a task. Every request is answered, if only with a refusal, as
//! silence costs the peer its whole deadline.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use ractor::message::{BoxedDowncastErr, SerializedMessage};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::Answering;
use super::codec;
use super::message::Response;
use super::transport::Shared;
use crate::limits::PEER_DECODE_BYTES_MAX;
use crate::member::NodeId;

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
    accepting: JoinHandle<()>,
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
        Ok(GatewayState { shared, accepting })
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
    async fn ask(&self, frame: Vec<u8>, reply: RpcReplyPort<Vec<u8>>) {
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
        if PEER_DECODE_BYTES_MAX < frame.len() {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                if let Some(answering) = begin(&shared, peer, &frame, &mut port) {
                    drop(frame);
                    finish(answering, port).await;
                }
            });
            return;
        }
        let Some(mut answering) = begin(&self.shared, peer, &frame, &mut port) else { return };
        match poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await {
            Poll::Ready(response) => port.send(&response),
            Poll::Pending => drop(tokio::spawn(finish(answering, port))),
        }
    }
}

/// Decodes a request and begins to answer it; `None` if it was refused.
fn begin(shared: &Shared, peer: NodeId, frame: &[u8], port: &mut Port) -> Option<Answering> {
    match codec::decode_request(frame) {
        Ok((_, request)) => Some(shared.answer.answer(peer, request)),
        Err(reason) => {
            port.send(&Response::Refused(reason.to_string()));
            None
        }
    }
}

async fn finish(answering: Answering, mut port: Port) {
    let response = answering.await;
    port.send(&response);
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
