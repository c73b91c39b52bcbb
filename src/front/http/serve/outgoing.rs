//! The body of an answer as hyper takes it: whole, or piece by piece as the client reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};

use super::deadline::{Activity, Size};
use super::room::Place;
use super::value::{Pieces, in_room};
use crate::limits::HTTP_ANSWER_BYTES_SMALL;

/// The body of an answer.
pub(super) enum AnswerBody<B> {
    /// As the routes made it, and the place it has if it has one of its own.
    Whole(B, Option<Place<'static>>),
    /// A value that is read from the table as it goes.
    Pieces(Giving),
}

/// Pieces that are given one at a time: the next when the system has taken the one before.
pub(super) struct Giving {
    pieces: Pieces,
    activity: Arc<Activity>,
}

/// The value was overwritten, deleted or evicted before all of it was given. Nothing else can be said
/// once an answer has begun than that it does not end.
#[derive(Debug, thiserror::Error)]
#[error("the value is gone before all of it was given")]
pub(super) struct Gone;

/// An answer with the body it is given with, which from here on is on its way.
pub(super) fn outgoing<B: Body>(
    response: Response<B>,
    place: Option<Place<'static>>,
    activity: &Arc<Activity>,
) -> Response<AnswerBody<B>> {
    let (mut head, body) = response.into_parts();
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body, _) => body.is_end_stream(),
            Self::Pieces(giving) => giving.pieces.len() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body, _) => body.size_hint(),
            Self::Pieces(giving) => SizeHint::with_exact(giving.pieces.len() as u64),
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
