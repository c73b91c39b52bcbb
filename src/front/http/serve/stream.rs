//! The socket under hyper: it notes when bytes come and go, keeps hyper's own refusals back, and says
//! when no more requests come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::deadline::Activity;
use super::ending::Ending;
use crate::limits::HTTP_WRITE_COPY_BYTES;

/// A stream that notes what passes.
pub(super) struct NotedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl NotedStream {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn note_sent(&self, sent: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = sent {
            self.activity.sent(*bytes);
        }
    }
}

impl AsyncRead for NotedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (filled, has_room) = (buffer.filled().len(), 0 < buffer.remaining());
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(())) if filled < buffer.filled().len() => {
                self.activity.note_fragments(&buffer.filled()[filled..]);
                self.activity.received(buffer.filled().len() - filled, Instant::now());
            }
            Poll::Ready(Ok(())) if has_room => self.activity.end(Ending::heard),
            Poll::Ready(_) => {}
            // To hyper this is a client that ends what it sends: it answers what has come and is done.
            Poll::Pending
                if self.activity.ending().takes_no_more()
                    && self.activity.is_between_requests() =>
            {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for NotedStream {
    /// Where no answer of ours is owed, what hyper writes is its own refusal, without a word on what is
    /// wrong. It is taken for written, and one with a message takes its place.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.activity.owes_answer() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_sent(&sent);
        sent
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.activity.owes_answer() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let stream = Pin::new(&mut self.stream);
        let sent = match in_one(slices, &mut [0; HTTP_WRITE_COPY_BYTES]) {
            Some(bytes) => stream.poll_write(cx, bytes),
            None => stream.poll_write_vectored(cx, slices),
        };
        self.note_sent(&sent);
        sent
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes the stream when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.flushed() {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Leaves the stream open: hyper shuts it down also where something has yet to be said, and
    /// whoever has the connection closes it in any case.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The bytes of some slices in one, if there is room for them.
fn in_one<'a>(slices: &[io::IoSlice<'_>], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut len = 0;
    for slice in slices {
        room.get_mut(len..len + slice.len())?.copy_from_slice(slice);
        len += slice.len();
    }
    Some(&room[..len])
}
