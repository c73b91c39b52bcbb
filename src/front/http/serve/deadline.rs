//! Deadlines of one connection: who is silent for too long is closed.
//!
//! The stream and the service note what happens, an atomic store each, and the connection's own
//! timer looks at the notes only when something may be due. A request sets no timer and reads the
//! clock once, which is what makes deadlines free where nothing is wrong.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::fragment::Suspects;
use crate::limits::{HTTP_FIRST_BYTE_TIMEOUT, HTTP_HEADER_TIMEOUT, HTTP_IDLE_TIMEOUT};

/// What a connection waits for, and since when.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    wait: AtomicU8,
    /// When a request began to come in last, in milliseconds after `opened`.
    since_ms: AtomicU64,
    /// Whether an answer was made, or some of one taken, since a request began or the timer looked.
    has_sent: AtomicBool,
    /// Whether an answer was given before its request was read to the end.
    has_unread: AtomicBool,
    /// Targets with a fragment, if there are any.
    pub(super) suspects: Suspects,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Wait {
    /// The first byte after it was opened.
    FirstByte = 0,
    /// The rest of a request's header.
    Header = 1,
    /// Our answer, or the body: both have deadlines where they are made.
    Answer = 2,
    /// The next request, or the client taking the answer.
    Next = 3,
}

impl Wait {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::FirstByte => Some(HTTP_FIRST_BYTE_TIMEOUT),
            Self::Header => Some(HTTP_HEADER_TIMEOUT),
            Self::Answer => None,
            Self::Next => Some(HTTP_IDLE_TIMEOUT),
        }
    }
}

impl Activity {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            wait: AtomicU8::new(Wait::FirstByte as u8),
            since_ms: AtomicU64::new(0),
            has_sent: AtomicBool::new(false),
            has_unread: AtomicBool::new(false),
            suspects: Suspects::default(),
        }
    }

    /// The request is answered without being read to the end.
    pub(super) fn left_unread(&self) {
        self.has_unread.store(true, Ordering::Relaxed);
    }

    /// Whether the client may still be sending what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.has_unread.load(Ordering::Relaxed)
    }

    /// A request's header is complete.
    pub(super) fn request_began(&self) {
        self.wait.store(Wait::Answer as u8, Ordering::Relaxed);
    }

    /// The answer is made and on its way.
    pub(super) fn request_ended(&self) {
        self.has_sent.store(true, Ordering::Relaxed);
        self.wait.store(Wait::Next as u8, Ordering::Relaxed);
    }

    /// Bytes came in.
    fn received(&self, now: impl FnOnce() -> Instant) {
        if matches!(self.wait(), Wait::FirstByte | Wait::Next) {
            self.note(now());
            // Only what is taken from here on shows that an earlier answer is still being read.
            self.has_sent.store(false, Ordering::Relaxed);
            self.wait.store(Wait::Header as u8, Ordering::Relaxed);
        }
    }

    fn sent(&self) {
        self.has_sent.store(true, Ordering::Relaxed);
    }

    /// When this connection is to be looked at again; `None` if it is overdue at `now`.
    ///
    /// A connection that waits for its next request is overdue when it was silent from one look that
    /// could have ended it to the next: after once to twice the idle time.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let wait = self.wait();
        // What waits for our answer may wait for the next header a moment later.
        let Some(limit) = wait.limit() else { return Some(now + HTTP_HEADER_TIMEOUT) };
        let mut due =
            self.opened + Duration::from_millis(self.since_ms.load(Ordering::Relaxed)) + limit;
        // While an answer goes out slowly, the next request waits in hyper, its header read or not.
        let may_be_taking = matches!(wait, Wait::Next | Wait::Header);
        if due <= now && may_be_taking && self.has_sent.swap(false, Ordering::Relaxed) {
            self.note(now);
            due = now + limit;
        }
        // An idle connection may begin a header that is due before the idle time is over.
        (now < due).then(|| due.min(now + HTTP_HEADER_TIMEOUT))
    }

    fn wait(&self) -> Wait {
        match self.wait.load(Ordering::Relaxed) {
            0 => Wait::FirstByte,
            1 => Wait::Header,
            2 => Wait::Answer,
            _ => Wait::Next,
        }
    }

    fn note(&self, now: Instant) {
        let since_ms = now.duration_since(self.opened).as_millis();
        self.since_ms.store(u64::try_from(since_ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A stream that notes when bytes come and go.
pub(super) struct NotedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// Whether an answer of hyper's own was held back.
    has_held_back: bool,
}

/// The beginning of hyper's own answers to what is malformed, and what tells them from ours: they
/// have no body, and each refusal of ours has one.
const REFUSAL: &[u8] = b"HTTP/1.1 4";
const NO_BODY: &[u8] = b"\r\ncontent-length: 0\r\n";

impl NotedStream {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, has_held_back: false }
    }

    /// Whether the client is still owed the answer to what was malformed.
    pub(super) fn has_held_back(&self) -> bool {
        self.has_held_back
    }

    /// Takes an answer of hyper's own for written, so that one with a message can take its place.
    fn hold_back(&mut self, bytes: &[u8]) -> bool {
        let is_refusal = bytes.starts_with(REFUSAL)
            && bytes.windows(NO_BODY.len()).any(|window| window == NO_BODY);
        self.has_held_back |= is_refusal;
        is_refusal
    }

    pub(super) fn inner(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn note_sent(&self, sent: &Poll<io::Result<usize>>) {
        if matches!(sent, Poll::Ready(Ok(_))) {
            self.activity.sent();
        }
    }
}

impl AsyncRead for NotedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if filled < buffer.filled().len() {
            let in_head = self.activity.wait() == Wait::Header;
            self.activity.suspects.note(&buffer.filled()[filled..], in_head);
            self.activity.received(Instant::now);
        }
        read
    }
}

impl AsyncWrite for NotedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.hold_back(bytes) {
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
        if let [only] = slices
            && self.hold_back(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_sent(&sent);
        sent
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Leaves the stream open: hyper shuts it down also where something has yet to be said, and
    /// whoever has the connection closes it in any case.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overdue_after(activity: &Activity, opened: Instant) -> Duration {
        let mut now = opened;
        while let Some(look) = activity.next_look(now) {
            now = look;
        }
        now - opened
    }

    #[test]
    fn a_silent_connection_is_overdue_after_the_first_byte_timeout() {
        let opened = Instant::now();
        assert_eq!(overdue_after(&Activity::new(opened), opened), HTTP_FIRST_BYTE_TIMEOUT);
    }

    #[test]
    fn a_header_that_trickles_is_overdue_however_often_bytes_come() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        for second in 1..5 {
            activity.received(|| opened + Duration::from_secs(second));
        }
        let begun = Duration::from_secs(1);
        assert_eq!(overdue_after(&activity, opened), begun + HTTP_HEADER_TIMEOUT);
    }

    #[test]
    fn a_connection_may_idle_between_requests_but_not_within_the_next_header() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.received(|| opened);
        activity.request_began();
        activity.request_ended();
        let idle = overdue_after(&activity, opened);
        assert!((HTTP_IDLE_TIMEOUT..=2 * HTTP_IDLE_TIMEOUT).contains(&idle), "{idle:?}");

        let later = opened + 3 * HTTP_IDLE_TIMEOUT;
        activity.received(|| later);
        assert_eq!(overdue_after(&activity, later), HTTP_HEADER_TIMEOUT);
    }

    #[test]
    fn a_client_that_takes_its_answer_slowly_is_not_overdue_while_it_takes_some() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.received(|| opened);
        activity.request_began();
        activity.request_ended();
        let mut now = opened;
        while now < opened + 10 * HTTP_IDLE_TIMEOUT {
            activity.sent();
            now = activity.next_look(now).unwrap();
        }
        assert!(overdue_after(&activity, now) <= 2 * HTTP_IDLE_TIMEOUT);
    }

    #[test]
    fn a_slow_reader_may_have_sent_its_next_request_already() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.received(|| opened);
        activity.request_began();
        activity.request_ended();
        activity.received(|| opened);
        let mut now = opened;
        while now < opened + 4 * HTTP_HEADER_TIMEOUT {
            activity.sent();
            now = activity.next_look(now).unwrap();
        }
        assert!(overdue_after(&activity, now) <= 2 * HTTP_HEADER_TIMEOUT);
    }

    #[test]
    fn a_connection_is_not_overdue_while_we_owe_the_answer() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.request_began();
        let later = opened + Duration::from_secs(3_600);
        assert!(activity.next_look(later).is_some_and(|look| later < look));
    }
}
