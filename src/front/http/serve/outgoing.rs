//! The body of an answer as hyper takes it: whole, or piece by piece as the client reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::poll_fn;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc;
use warp::reply::{Reply, Response as Answer};

use super::answer::NO_STORE;
use super::deadline::{Activity, Size};
use super::value::{Pieces, in_room};
use crate::door::room::Place;
use crate::limits::HTTP_ANSWER_BYTES_SMALL;

/// The body of an answer.
pub(super) enum AnswerBody<B> {
    /// As the routes made it, and the place it has if it has one of its own.
    Whole(B, Option<Place<'static>>),
    /// A value that is read from the table as it goes.
    Pieces(Giving),
    /// What is made as the client reads it.
    Flow(B, Flowing),
}

/// Marks an answer that is made as the client reads it.
#[derive(Clone, Copy)]
struct Flows;

/// An answer that is made as the client reads it, for as long as it is under way.
pub(super) struct Flowing(Arc<Activity>);

impl Drop for Flowing {
    fn drop(&mut self) {
        self.0.giving_ended();
    }
}

/// An answer of JSON that comes in pieces, until there is `None`. If there is no more before, it is cut.
pub(crate) fn flow(mut pieces: mpsc::Receiver<Option<Bytes>>) -> Answer {
    let mut has_ended = false;
    let stream = poll_fn(move |cx| {
        if has_ended {
            return Poll::Ready(None);
        }
        let piece = ready!(pieces.poll_recv(cx));
        has_ended = !matches!(piece, Some(Some(_)));
        Poll::Ready(match piece {
            Some(piece) => piece.map(Ok),
            None => Some(Err(Gone)),
        })
    });
    let mut response = warp::reply::stream(stream).into_response();
    response.extensions_mut().insert(Flows);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Pieces that are given one at a time: the next when the system has taken the one before.
pub(super) struct Giving {
    pieces: Pieces,
    activity: Arc<Activity>,
}

/// The value was overwritten, deleted or evicted before all of it was given, or who made the answer has
/// ended. Nothing else can be said once an answer has begun than that it does not end.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the answer is gone")]
pub(super) struct Gone;

/// An answer with the body it is given with, which from here on is on its way.
pub(super) fn outgoing<B: Body>(
    response: Response<B>,
    place: Option<Place<'static>>,
    activity: &Arc<Activity>,
) -> Response<AnswerBody<B>> {
    let (mut head, body) = response.into_parts();
    if head.extensions.remove::<Flows>().is_some() {
        activity.request_ended(Size::Small);
        activity.giving_began();
        let flowing = Flowing(Arc::clone(activity));
        return Response::from_parts(head, AnswerBody::Flow(body, flowing));
    }
    let body = match head.extensions.remove::<Pieces>() {
        None => {
            let is_large = (HTTP_ANSWER_BYTES_SMALL as u64) < body.size_hint().lower();
            activity.request_ended(if is_large { Size::Large } else { Size::Small });
            AnswerBody::Whole(body, place)
        }
        Some(pieces) => {
            activity.request_ended(Size::Small);
            activity.giving_began();
            AnswerBody::Pieces(Giving { pieces, activity: Arc::clone(activity) })
        }
    };
    Response::from_parts(head, body)
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body, place) => {
                let frame = Pin::new(body).poll_frame(cx).map_err(Into::into);
                frame.map_ok(|frame| match place.take() {
                    Some(place) => frame.map_data(|bytes| in_room(bytes, place)),
                    None => frame,
                })
            }
            Self::Pieces(giving) => giving.poll_next().map_err(Into::into),
            Self::Flow(body, flowing) => {
                let frame = Pin::new(body).poll_frame(cx).map_err(Into::into);
                if let Poll::Ready(Some(Ok(_))) = &frame {
                    flowing.0.gave();
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body, _) => body.is_end_stream(),
            Self::Pieces(giving) => giving.pieces.len() == 0,
            Self::Flow(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body, _) => body.size_hint(),
            Self::Pieces(giving) => SizeHint::with_exact(giving.pieces.len() as u64),
            Self::Flow(body, _) => body.size_hint(),
        }
    }
}

impl Giving {
    /// Where a piece is still under way, the stream wakes the connection once it is not.
    fn poll_next(&mut self) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        if self.pieces.len() == 0 {
            return Poll::Ready(None);
        }
        if !self.activity.may_give() {
            return Poll::Pending;
        }
        self.activity.gave();
        Poll::Ready(Some(self.pieces.next().map(Frame::data).ok_or(Gone)))
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        self.activity.giving_ended();
    }
}
