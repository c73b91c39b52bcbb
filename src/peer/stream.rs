//! The byte stream of one connection, as `ractor_cluster` is given it.
//!
//! Tearing a session down must free a writer that waits for the peer, and whoever watches peers asks
//! when the last byte came: so the socket is shared with a [`StreamControl`]. Encryption will stand
//! here as well, as nothing above knows what the bytes go through.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::chaos::Disturbance;
use super::delay::DelayLine;
use crate::limits::{PEER_KEEPALIVE, PEER_READ_BYTES, PEER_WRITE_TIMEOUT};
use crate::metrics::PeerCounts;

/// A connection that is handed to `ractor_cluster`.
pub(super) struct PeerStream {
    control: Arc<StreamControl>,
    label: String,
}

/// What can be seen and done from outside while a stream is in use.
pub(super) struct StreamControl {
    tcp: TcpStream,
    is_killed: AtomicBool,
    opened: Instant,
    /// When the last byte came, in milliseconds after `opened`.
    last_byte: AtomicU64,
    disturbance: Arc<Disturbance>,
    counts: Arc<PeerCounts>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

struct ReadSide {
    control: Arc<StreamControl>,
    /// What came and is held back.
    held: DelayLine,
}

struct WriteSide {
    control: Arc<StreamControl>,
    /// While the peer takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Sets up a connection to a peer: small messages go at once, and one that is gone is noticed.
///
/// # Errors
///
/// What the system said; the connection is of no use then.
pub(super) fn set_up(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new().with_time(PEER_KEEPALIVE).with_interval(PEER_KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_WRITE_TIMEOUT))?;
    Ok(())
}

impl PeerStream {
    /// The stream over `tcp`, known to events as `label`, and what controls it.
    pub(super) fn new(
        tcp: TcpStream,
        label: String,
        disturbance: Arc<Disturbance>,
        counts: Arc<PeerCounts>,
    ) -> (Self, Arc<StreamControl>) {
        let control = Arc::new(StreamControl {
            tcp,
            is_killed: AtomicBool::new(false),
            opened: Instant::now(),
            last_byte: AtomicU64::new(0),
            disturbance,
            counts,
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        (Self { control: Arc::clone(&control), label }, control)
    }
}

impl ClusterBidiStream for PeerStream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let reader = ReadSide { control: Arc::clone(&self.control), held: DelayLine::default() };
        let writer = WriteSide { control: self.control, patience: None };
        (Box::new(BufReader::with_capacity(PEER_READ_BYTES, reader)), Box::new(writer))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

impl StreamControl {
    /// Ends the stream at once, in both directions.
    pub(super) fn kill(&self) {
        self.is_killed.store(true, Ordering::Release);
        // A socket that is not connected any more needs no end.
        drop(SockRef::from(&self.tcp).shutdown(Shutdown::Both));
        self.wake();
    }

    /// Has both sides look again at what is done to them.
    pub(super) fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }

    /// How long nothing has come.
    pub(super) fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_byte.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(last)
    }

    /// How old the stream is.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Acquire)
    }

    fn note_byte(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_byte.store(millis, Ordering::Relaxed);
    }
}

impl ReadSide {
    /// Sends on its long way what is there.
    fn poll_hold(&mut self, cx: &mut Context<'_>, delay: Duration) -> io::Result<()> {
        while self.held.has_room() {
            let Poll::Ready(ready) = self.control.tcp.poll_read_ready(cx) else { break };
            ready?;
            let mut bytes = vec![0; PEER_READ_BYTES];
            match self.control.tcp.try_read(&mut bytes) {
                Ok(read) => {
                    self.control.counts.received_bytes.add(read as u64);
                    bytes.truncate(read);
                    self.held.add(bytes, delay);
                }
                Err(reason) if reason.kind() == io::ErrorKind::WouldBlock => {}
                Err(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    fn poll_tcp(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.control.tcp.poll_read_ready(cx))?;
            match self.control.tcp.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    self.control.counts.received_bytes.add(read as u64);
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(reason) if reason.kind() == io::ErrorKind::WouldBlock => {}
                Err(reason) => return Poll::Ready(Err(reason)),
            }
        }
    }
}

impl AsyncRead for ReadSide {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.control.reader.register(cx.waker());
        if self.control.is_killed() {
            return Poll::Ready(Ok(()));
        }
        if self.control.disturbance.cuts_receiving() {
            return Poll::Pending;
        }
        let delay = self.control.disturbance.delay();
        if delay.is_zero() && self.held.is_empty() {
            std::task::ready!(self.poll_tcp(cx, buf))?;
        } else {
            self.poll_hold(cx, delay)?;
            std::task::ready!(self.held.poll_read(cx, delay, buf));
        }
        self.control.note_byte();
        Poll::Ready(Ok(()))
    }
}

impl WriteSide {
    fn poll_tcp(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.control.disturbance.cuts_sending() {
                return Poll::Pending;
            }
            std::task::ready!(self.control.tcp.poll_write_ready(cx))?;
            match self.control.tcp.try_write(bytes) {
                Err(reason) if reason.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for WriteSide {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.control.writer.register(cx.waker());
        if self.control.is_killed() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Poll::Ready(written) = self.poll_tcp(cx, bytes) {
            let sent = written.as_ref().copied().unwrap_or_default();
            self.control.counts.sent_bytes.add(sent as u64);
            self.patience = None;
            return Poll::Ready(written);
        }
        // A process that hangs keeps its side of the connection open: the kernel's own patience with
        // it has no end.
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(PEER_WRITE_TIMEOUT)));
        std::task::ready!(patience.as_mut().poll(cx));
        self.control.kill();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&self.control.tcp).shutdown(Shutdown::Write))
    }
}
