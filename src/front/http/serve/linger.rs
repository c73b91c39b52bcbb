//! Closing a connection on which the client may still be sending.
//!
//! Closing it at once would reset it, and a client whose connection is reset does not see what of the
//! answer it has not read. So our side is ended first, and what comes is thrown away until the client
//! has ended its own, or has been silent for longer than a slow one takes to read.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::ending::patience;
use crate::door::Phase;
use crate::limits::{HTTP_LINGER_BYTES_MAX, HTTP_LINGER_TIMEOUT};

/// What is thrown away at a time, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Closes `stream` once the client has, or has sent nothing for `pause`, or for less if the door
/// drains meanwhile.
pub(super) async fn linger(
    mut stream: TcpStream,
    phase: &mut watch::Receiver<Phase>,
    mut pause: Duration,
) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let (mut discarded, mut left) = (vec![0; PIECE_BYTES], HTTP_LINGER_BYTES_MAX);
    let over = Instant::now() + HTTP_LINGER_TIMEOUT;
    loop {
        let silent = over.min(Instant::now() + pause);
        tokio::select! {
            read = timeout_at(silent, stream.read(&mut discarded)) => match read {
                Ok(Ok(read)) if 0 < read && read < left => left -= read,
                // The client has closed, is gone, is silent, or sends without end.
                Ok(_) | Err(_) => return,
            },
            // The sender is with the door, so that this is never an error.
            _ = phase.changed() => match patience(*phase.borrow_and_update()) {
                Some(shorter) => pause = pause.min(shorter),
                None => return,
            },
        }
    }
}
