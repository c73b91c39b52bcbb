//! The body of a request as it comes in, of which it is noted whether it was read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::deadline::Activity;

/// What a client sends after the header of a request.
pub(crate) struct RequestBody {
    incoming: Incoming,
    /// Who is to know that it was read to its end; `None` for a request without a body.
    unread: Option<Arc<Activity>>,
}

impl RequestBody {
    /// The body of the request that `activity` is noted of.
    pub(super) fn new(incoming: Incoming, activity: &Arc<Activity>) -> Self {
        let has_body = !incoming.is_end_stream();
        let unread = has_body.then(|| {
            activity.body_began();
            Arc::clone(activity)
        });
        Self { incoming, unread }
    }

    /// Whether its length is known only once it has ended.
    pub(super) fn is_chunked(&self) -> bool {
        self.unread.is_some() && self.incoming.size_hint().exact().is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        // Who knows the length may stop at the last byte.
        let is_over = match &frame {
            Some(Ok(_)) => self.incoming.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        if is_over && let Some(activity) = self.unread.take() {
            activity.body_ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
