//! Bodies, read as far as allowed and no longer than allowed.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use tokio::time::timeout;

use super::answer::Refusal;
use crate::door::room::{Place, Room};
use crate::limits::{
    HTTP_BODY_BYTES_SMALL, HTTP_BODY_BYTES_TOTAL_MAX, HTTP_BODY_ROOM_TIMEOUT,
    HTTP_BODY_STALL_TIMEOUT, HTTP_BODY_TIMEOUT,
};

/// Bytes that large bodies may take together, all connections and doors of the process.
static ROOM: Room = Room::new(HTTP_BODY_BYTES_TOTAL_MAX);

/// A body that was read, and its place among all that are in memory.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _place: Place<'static>,
}

/// Reads a body of at most `bytes_max`.
///
/// A body that says it is longer is not read at all, and one that does not say is read up to there.
/// A large one takes room as it comes. Where there is none it waits for a while, and one that has some
/// and of which nothing comes gives way.
pub(crate) async fn read<S, B>(
    body: S,
    content_length: Option<u64>,
    bytes_max: usize,
) -> Result<Body, Refusal>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let (bytes, place) = read_into(&ROOM, body, content_length, bytes_max).await?;
    Ok(Body { bytes, _place: place })
}

async fn read_into<'a, S, B>(
    room: &'a Room,
    body: S,
    content_length: Option<u64>,
    bytes_max: usize,
) -> Result<(Bytes, Place<'a>), Refusal>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let bytes_said = content_length.map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if bytes_max < bytes_said {
        return Err(too_long(bytes_max));
    }
    match timeout(HTTP_BODY_TIMEOUT, collect(room, body, bytes_said, bytes_max)).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("body not received within {} s", HTTP_BODY_TIMEOUT.as_secs());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

async fn collect<'a, S, B>(
    room: &'a Room,
    body: S,
    bytes_said: usize,
    bytes_max: usize,
) -> Result<(Bytes, Place<'a>), Refusal>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let (mut collected, mut place) = (BytesMut::new(), Place::default());
    loop {
        let has_room = HTTP_BODY_BYTES_SMALL < collected.len();
        let chunk = match has_room {
            // Boxed, so that a small body does not carry what only a large one needs.
            true => Box::pin(next_in_room(room, &mut body)).await?,
            false => body.next().await,
        };
        let Some(chunk) = chunk else { return Ok((collected.freeze(), place)) };
        let mut chunk =
            chunk.map_err(|reason| Refusal::bad_request(format!("body is broken: {reason}")))?;
        let bytes = chunk.remaining();
        let len = collected.len() + bytes;
        if bytes_max < len {
            return Err(too_long(bytes_max));
        }
        if HTTP_BODY_BYTES_SMALL < len {
            let more = if has_room { bytes } else { len };
            if !Box::pin(room.grow(&mut place, more, HTTP_BODY_ROOM_TIMEOUT)).await {
                return Err(crowded());
            }
        }
        // Most bodies come in one piece, which is taken as it is.
        if collected.is_empty() && bytes == bytes_said {
            return Ok((chunk.copy_to_bytes(bytes), place));
        }
        // A body that is large only by its own word has memory as a small one.
        let said = if HTTP_BODY_BYTES_SMALL < len { bytes_said } else { HTTP_BODY_BYTES_SMALL };
        collected.reserve(said.min(bytes_said).max(len) - collected.len());
        collected.extend_from_slice(&chunk.copy_to_bytes(bytes));
    }
}

/// The next piece of a body that has taken room, which it gives back where nothing comes and others
/// wait.
async fn next_in_room<S: Stream + Unpin>(
    room: &Room,
    body: &mut S,
) -> Result<Option<S::Item>, Refusal> {
    if let Ok(chunk) = timeout(HTTP_BODY_STALL_TIMEOUT, body.next()).await {
        return Ok(chunk);
    }
    tokio::select! {
        biased;
        chunk = body.next() => Ok(chunk),
        () = room.wanted() => Err(stalled(HTTP_BODY_STALL_TIMEOUT)),
    }
}

fn crowded() -> Refusal {
    Refusal::unavailable("too many bytes of bodies are under way; try again")
}

fn stalled(after: Duration) -> Refusal {
    let after_ms = after.as_millis();
    Refusal::unavailable(format!(
        "nothing came of the body for {after_ms} ms while others waited for its room; try again"
    ))
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

    /// A body of so many bytes, of which the last one does not come.
    fn stalled_body(bytes: usize) -> impl Stream<Item = Result<Bytes, warp::Error>> + Send {
        stream::iter([Ok(Bytes::from(vec![b'x'; bytes - 1]))]).chain(stream::pending())
    }

    const LARGE: usize = 4 * HTTP_BODY_BYTES_SMALL;

    fn whole_body() -> impl Stream<Item = Result<Bytes, warp::Error>> + Send {
        let piece = Bytes::from(vec![b'x'; LARGE / 4]);
        stream::iter((0..4).map(move |_| Ok(piece.clone())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_which_nothing_came_holds_no_room() {
        let room = Room::new(LARGE);
        let never = stream::pending::<Result<Bytes, warp::Error>>();
        let idle = read_into(&room, never, Some(LARGE as u64), LARGE);
        let other = read_into(&room, whole_body(), Some(LARGE as u64), LARGE);
        tokio::select! {
            biased;
            _ = idle => panic!("nothing came of it"),
            read = other => assert_eq!(read.unwrap().0.len(), LARGE),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_stall_with_all_the_room_give_way_to_one_that_does_not() {
        let room = Room::new(2 * LARGE);
        let stalled = || read_into(&room, stalled_body(LARGE), Some(LARGE as u64), LARGE);
        let began = tokio::time::Instant::now();
        let others = async {
            for _ in 0..10 {
                let read = read_into(&room, whole_body(), Some(LARGE as u64), LARGE).await;
                assert_eq!(read.unwrap().0.len(), LARGE);
            }
            began.elapsed()
        };
        let (a, b, took) = tokio::join!(stalled(), stalled(), others);
        // The first to want more than the last bytes grows beyond; the others need not wait at all.
        assert_eq!(took, Duration::ZERO);
        let (a, b) = (a.unwrap_err().status, b.unwrap_err().status);
        assert_eq!((a, b), (StatusCode::REQUEST_TIMEOUT, StatusCode::REQUEST_TIMEOUT));

        let began = tokio::time::Instant::now();
        let third = read_into(&room, stalled_body(2 * LARGE), Some(2 * LARGE as u64), 2 * LARGE);
        let fourth = read_into(&room, stalled_body(2 * LARGE), Some(2 * LARGE as u64), 2 * LARGE);
        let waits = read_into(&room, whole_body(), Some(LARGE as u64), LARGE);
        let (third, fourth, read) = tokio::join!(third, fourth, waits);
        assert_eq!(read.unwrap().0.len(), LARGE);
        let statuses = (third.unwrap_err().status, fourth.unwrap_err().status);
        assert!(statuses.0 == 503 || statuses.1 == 503, "{statuses:?}");
        assert!(began.elapsed() <= HTTP_BODY_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn many_bodies_at_once_are_all_read_though_there_is_room_for_few() {
        let room = Room::new(2 * LARGE);
        let bodies = (0..100).map(|_| {
            let slow = whole_body().then(|chunk| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                chunk
            });
            read_into(&room, Box::pin(slow), Some(LARGE as u64), LARGE)
        });
        // Each gives its room back as soon as it was read.
        let bodies = bodies.map(|body| async { body.await.map(|(bytes, _)| bytes.len()) });
        for read in futures_util::future::join_all(bodies).await {
            assert_eq!(read.unwrap(), LARGE);
        }
    }
}
