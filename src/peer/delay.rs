//! A long way, for tests: what comes is held as long as it would have travelled, and no less of it is
//! under way for that.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::PEER_DELAYED_BYTES_MAX;

/// Bytes on their way, in order.
#[derive(Default)]
pub(super) struct DelayLine {
    pieces: VecDeque<Piece>,
    bytes: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What came at once. One without bytes is the end of the stream.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// How many of them were given out.
    given: usize,
}

impl DelayLine {
    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether more may be sent on its way.
    pub(super) fn has_room(&self) -> bool {
        let has_ended = self.pieces.back().is_some_and(|last| last.bytes.is_empty());
        self.bytes < PEER_DELAYED_BYTES_MAX && !has_ended
    }

    /// Sends bytes on their way; none for the end of the stream.
    pub(super) fn add(&mut self, bytes: Vec<u8>, delay: Duration) {
        self.bytes += bytes.len();
        self.pieces.push_back(Piece { due: Instant::now() + delay, bytes, given: 0 });
    }

    /// Gives out what has arrived, at once if there is no `delay` any more; nothing is the end of the
    /// stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        delay: Duration,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<()> {
        let Some(first) = self.pieces.front_mut() else { return Poll::Pending };
        if !delay.is_zero() && Instant::now() < first.due {
            let due = first.due;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            std::task::ready!(timer.as_mut().poll(cx));
        }
        let left = &first.bytes[first.given..];
        let len = left.len().min(buf.remaining());
        buf.put_slice(&left[..len]);
        first.given += len;
        self.bytes -= len;
        // The end of the stream stays where it is.
        if 0 < len && first.given == first.bytes.len() {
            self.pieces.pop_front();
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    async fn read(line: &mut DelayLine, delay: Duration) -> Vec<u8> {
        let mut bytes = [0; 4];
        let mut buf = ReadBuf::new(&mut bytes);
        poll_fn(|cx| line.poll_read(cx, delay, &mut buf)).await;
        buf.filled().to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_one_after_the_other_is_held_beside_each_other() {
        let mut line = DelayLine::default();
        let began = Instant::now();
        line.add(b"abcdef".to_vec(), DELAY);
        line.add(b"gh".to_vec(), DELAY);
        line.add(vec![], DELAY);
        assert!(!line.has_room());
        for expected in [&b"abcd"[..], b"ef", b"gh", b"", b""] {
            assert_eq!(read(&mut line, DELAY).await, expected);
        }
        assert_eq!(began.elapsed(), DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_comes_at_once_when_the_way_is_short_again() {
        let mut line = DelayLine::default();
        let began = Instant::now();
        line.add(b"ab".to_vec(), DELAY);
        assert_eq!(read(&mut line, Duration::ZERO).await, b"ab");
        assert!(line.is_empty() && began.elapsed().is_zero());
    }

    #[test]
    fn what_is_on_its_way_is_bounded() {
        let mut line = DelayLine::default();
        while line.has_room() {
            line.add(vec![0; 1024 * 1024], DELAY);
        }
        assert_eq!(line.bytes, PEER_DELAYED_BYTES_MAX);
    }
}
