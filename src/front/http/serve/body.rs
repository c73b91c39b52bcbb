//! Bodies, read as far as allowed and no longer than allowed.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::answer::Refusal;
use crate::limits::{HTTP_BODY_BYTES_SMALL, HTTP_BODY_BYTES_TOTAL_MAX, HTTP_BODY_TIMEOUT};

/// Bytes that large bodies may take together, all connections and doors of the process.
static ROOM: Semaphore = Semaphore::const_new(HTTP_BODY_BYTES_TOTAL_MAX);

/// A body that was read, and its place among all that are in memory.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _place: Option<SemaphorePermit<'static>>,
}

/// Reads a body of at most `bytes_max`.
///
/// A body that says it is longer is not read at all, and one that does not say is read up to there.
/// A large one waits until there is room for it, within the time a body has.
pub(crate) async fn read<S, B>(
    body: S,
    content_length: Option<u64>,
    bytes_max: usize,
) -> Result<Body, Refusal>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let bytes_said = content_length.map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if bytes_max < bytes_said {
        return Err(too_long(bytes_max));
    }
    let reading = async {
        let bytes_most = if content_length.is_some() { bytes_said } else { bytes_max };
        let place = take_place(bytes_most).await;
        collect(body, bytes_said, bytes_max).await.map(|bytes| Body { bytes, _place: place })
    };
    match timeout(HTTP_BODY_TIMEOUT, reading).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("body not received within {} s", HTTP_BODY_TIMEOUT.as_secs());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

/// A place for so many bytes; `None` for a body that is too small to need one.
async fn take_place(bytes: usize) -> Option<SemaphorePermit<'static>> {
    if bytes <= HTTP_BODY_BYTES_SMALL {
        return None;
    }
    // The largest body has all the room to itself. The semaphore is never closed.
    let permits = u32::try_from(bytes.min(HTTP_BODY_BYTES_TOTAL_MAX)).unwrap_or(u32::MAX);
    ROOM.acquire_many(permits).await.ok()
}

async fn collect<S, B>(body: S, bytes_said: usize, bytes_max: usize) -> Result<Bytes, Refusal>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let mut collected = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk =
            chunk.map_err(|reason| Refusal::bad_request(format!("body is broken: {reason}")))?;
        let bytes = chunk.remaining();
        if bytes_max < collected.len() + bytes {
            return Err(too_long(bytes_max));
        }
        // Most bodies come in one piece, which is taken as it is.
        if collected.is_empty() && bytes == bytes_said {
            return Ok(chunk.copy_to_bytes(bytes));
        }
        if collected.is_empty() {
            collected.reserve(bytes_said.max(bytes));
        }
        collected.extend_from_slice(&chunk.copy_to_bytes(bytes));
    }
    Ok(collected.freeze())
}

fn too_long(bytes_max: usize) -> Refusal {
    let message = format!("body is too long; allowed: up to {bytes_max} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(chunks: &[&'static str]) -> impl Stream<Item = Result<Bytes, warp::Error>> + Send {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
        stream::iter(chunks)
    }

    #[tokio::test]
    async fn a_body_up_to_its_limit_is_read_whole() {
        assert_eq!(read(body(&["abc"]), Some(3), 3).await.unwrap().bytes, "abc");
        assert_eq!(read(body(&["ab", "c"]), Some(3), 3).await.unwrap().bytes, "abc");
        assert_eq!(read(body(&["ab", "c"]), None, 3).await.unwrap().bytes, "abc");
        assert_eq!(read(body(&[]), None, 3).await.unwrap().bytes, "");
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused_before_it_is_read() {
        let never = stream::pending::<Result<Bytes, warp::Error>>();
        let refusal = read(never, Some(4), 3).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(refusal.message, "body is too long; allowed: up to 3 bytes");
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"ab")));
        assert_eq!(read(endless, None, 3).await.unwrap_err(), refusal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = stream::pending::<Result<Bytes, warp::Error>>();
        let refusal = read(never, Some(3), 3).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::REQUEST_TIMEOUT);
    }
}
