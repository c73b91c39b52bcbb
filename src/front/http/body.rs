//! Bodies, read as far as allowed and no longer than allowed.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use tokio::time::timeout;

use super::answer::Refusal;
use crate::limits::HTTP_BODY_TIMEOUT;

/// Reads a body of at most `bytes_max`.
///
/// A body that says it is longer is not read at all, and one that does not say is read up to there.
pub(super) async fn read<S, B>(
    body: S,
    content_length: Option<u64>,
    bytes_max: usize,
) -> Result<Bytes, Refusal>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let bytes_said = content_length.map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if bytes_max < bytes_said {
        return Err(too_long(bytes_max));
    }
    match timeout(HTTP_BODY_TIMEOUT, collect(body, bytes_said, bytes_max)).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("body not received within {} s", HTTP_BODY_TIMEOUT.as_secs());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
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
        assert_eq!(read(body(&["abc"]), Some(3), 3).await.unwrap(), "abc");
        assert_eq!(read(body(&["ab", "c"]), Some(3), 3).await.unwrap(), "abc");
        assert_eq!(read(body(&["ab", "c"]), None, 3).await.unwrap(), "abc");
        assert_eq!(read(body(&[]), None, 3).await.unwrap(), "");
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
