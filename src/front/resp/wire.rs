//! The socket of one client: reading, writing and closing, with the patience each has.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::cache::Dropped;
use crate::limits::{RESP_KEEPALIVE, RESP_LINGER_BYTES_MAX, RESP_LINGER_TIMEOUT, RESP_READ_BYTES};

/// Why nothing more is said to a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The connection is broken.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// It takes nothing of what it is sent.
    #[error("the client reads nothing of its replies")]
    Stalled,
    /// It listens, and is told nothing any more.
    #[error("{0}")]
    Behind(Dropped),
    /// There was no room for what it sends.
    #[error("too many large requests come in at a time")]
    Crowded,
}

/// The socket of one client.
pub(super) struct Wire(TcpStream);

impl Wire {
    /// Takes a connection that was accepted.
    pub(super) fn new(stream: TcpStream) -> Self {
        // A stream that takes no options is about to fail anyway.
        drop(stream.set_nodelay(true));
        let keepalive = socket2::TcpKeepalive::new().with_time(RESP_KEEPALIVE);
        drop(socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive));
        Self(stream)
    }

    /// Waits until something has come, or the end of it.
    pub(super) async fn heard(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Reads what has come, as far as it fits into the room that `input` has; 0 is the end of it, and
    /// `None` that nothing has come.
    pub(super) fn read(&self, input: &mut BytesMut) -> io::Result<Option<usize>> {
        match self.0.try_read_buf(input) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(reason) if reason.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    /// Sends bytes, as long as some of them are taken within each `patience`.
    ///
    /// # Errors
    ///
    /// [`Lost`], if some were not sent.
    pub(super) async fn send(&self, mut bytes: &[u8], patience: Duration) -> Result<(), Lost> {
        while !bytes.is_empty() {
            match self.0.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(reason) if reason.kind() == io::ErrorKind::WouldBlock => {
                    timeout(patience, self.0.writable()).await.map_err(|_| Lost::Stalled)??;
                }
                Err(reason) => return Err(reason.into()),
            }
        }
        Ok(())
    }

    /// Sends the last word, and closes once the client has closed its side or had time to read.
    ///
    /// A socket that is closed with bytes unread resets the connection, which takes from the client what
    /// it has not read either.
    pub(super) async fn close_after(mut self, last: &[u8]) {
        if self.send(last, RESP_LINGER_TIMEOUT).await.is_err() {
            return;
        }
        if tokio::io::AsyncWriteExt::shutdown(&mut self.0).await.is_err() {
            return;
        }
        let end = Instant::now() + RESP_LINGER_TIMEOUT;
        let mut left = RESP_LINGER_BYTES_MAX;
        let mut waste = BytesMut::with_capacity(RESP_READ_BYTES);
        while let Ok(Ok(())) = timeout_at(end, self.0.readable()).await {
            waste.clear();
            match self.read(&mut waste) {
                Ok(None) => {}
                Ok(Some(bytes)) if 0 < bytes && bytes <= left => left -= bytes,
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}
