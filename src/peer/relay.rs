//! Requests that go by way of a third node: one that hears both where they do not hear each other.
//!
//! Most cuts leave somebody whom both sides hear (Alfatafta and others, "Toward a Generic Fault
//! Tolerance Technique for Partial Network Partitioning", OSDI 2020). The node in the middle passes
//! bytes on without reading them, over a session of its own and no further, so that nothing goes in
//! circles. It knows who asks, and says so to who answers.

use bytes::Bytes;

use super::Answering;
use super::codec;
use super::link::LinkError;
use super::message::{Parcel, Request, Response};
use super::transport::Shared;
use crate::member::{Boot, NodeId};

/// Passes a request on to the node it is for, and its response back.
pub(super) fn forward(shared: &Shared, from: NodeId, parcel: Parcel) -> Answering {
    let Parcel { node: to, frame } = parcel;
    let link = shared.link(&to);
    shared.count_relayed();
    Box::pin(async move {
        let Some(link) = link else { return Response::Refused(format!("no session with {to}")) };
        match link.ask(Request::Relayed(Parcel { node: from, frame })).await {
            Ok(response) => response,
            Err(LinkError::NotSent) => Response::Refused(format!("{to} was not sent it")),
            Err(LinkError::Unanswered) => Response::Lost,
        }
    })
}

/// Answers a request that came by way of another node.
pub(super) fn answer(shared: &Shared, parcel: Parcel) -> Answering {
    let Parcel { node: origin, frame } = parcel;
    let request = match codec::decode_request(&frame) {
        Ok((boot, request)) if boot == origin.boot && is_relayed(&request) => request,
        Ok(_) => return refuse("this goes by no other node".to_owned()),
        Err(reason) => return refuse(reason.to_string()),
    };
    let answering = shared.answer.answer(origin, request);
    Box::pin(async move {
        let response = answering.await;
        match codec::encode_response(&response) {
            Ok(bytes) => Response::Relayed(bytes.into()),
            Err(_) => Response::Lost,
        }
    })
}

/// Who sent commands that came by way of another node: they have their turn among those that came from
/// there over a session of its own. `None` for anything else.
pub(super) fn origin_of_run(frame: &[u8]) -> Option<Boot> {
    let (_, request) = codec::decode_request(frame).ok()?;
    let Request::Relayed(Parcel { node, frame }) = request else { return None };
    let (_, number) = codec::head_of(&frame)?;
    (number == codec::RUN).then_some(node.boot)
}

/// Whether a request may come by way of another node. A sign of life may not: it is one of the node it
/// comes from.
fn is_relayed(request: &Request) -> bool {
    match request {
        Request::Run(..)
        | Request::Fetch(_)
        | Request::Took(_)
        | Request::Push(_)
        | Request::Claim(_)
        | Request::Spread(_)
        | Request::Doors
        | Request::Reserve(_) => true,
        Request::Ping(_)
        | Request::View(_)
        | Request::Agree(_)
        | Request::Left
        | Request::Relay(_)
        | Request::Relayed(_) => false,
    }
}

fn refuse(reason: String) -> Answering {
    Box::pin(async move { Response::Refused(reason) })
}

/// The parcel that holds a request for `to`.
pub(super) fn wrap(to: &NodeId, frame: Vec<u8>) -> Request {
    Request::Relay(Parcel { node: to.clone(), frame: Bytes::from(frame) })
}

/// The response of the node a request was for.
///
/// # Errors
///
/// [`LinkError`]: not sent where the node in the middle did not pass it on.
pub(super) fn unwrap(response: Response) -> Result<Response, LinkError> {
    match response {
        Response::Relayed(bytes) => {
            codec::decode_response(&bytes).map_err(|_| LinkError::Unanswered)
        }
        Response::Refused(_) => Err(LinkError::NotSent),
        _ => Err(LinkError::Unanswered),
    }
}
