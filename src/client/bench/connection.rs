//! A keep-alive connection of a load run: batches of requests out, their answers in.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::answer::{Answer, Malformed, Parser};
use super::tally::Failure;
use crate::client::target::Target;
use crate::limits::{BENCH_READ_BYTES, BENCH_REQUEST_TIMEOUT, CLIENT_CONNECT_TIMEOUT};

/// A connection and what was read from it but not yet used.
pub(super) struct Connection {
    stream: TcpStream,
    parser: Parser,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    alarm: Pin<Box<Sleep>>,
}

/// What a batch hears of its answers.
pub(super) trait Answers {
    /// So many bytes came, and with them the answers in `unread`, to be taken until there is none.
    fn receive(&mut self, bytes: usize, unread: &mut Unread<'_>) -> Result<Received, Malformed>;
}

/// What came with one read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Received {
    /// More answers are due.
    Some,
    /// All answers are there.
    All,
    /// An answer said that the connection ends with it.
    Closing,
}

/// The answers in the bytes just read.
pub(super) struct Unread<'a> {
    parser: &'a mut Parser,
    bytes: &'a [u8],
    consumed: usize,
}

impl Unread<'_> {
    /// The next answer and the start of its body, or `None` if more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<(Answer, &[u8])>, Malformed> {
        let step = self.parser.advance(&self.bytes[self.consumed..])?;
        self.consumed += step.consumed;
        Ok(step.answer.map(|answer| (answer, self.parser.excerpt())))
    }
}

impl Connection {
    /// Opens a connection to `target`, trying each address of its name.
    pub(super) async fn open(target: &Target) -> Result<Self, Failure> {
        let opened = timeout(CLIENT_CONNECT_TIMEOUT, TcpStream::connect(target.address())).await;
        let stream = opened
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| Failure::of_connect(&error))?;
        // Only speed is lost if the system refuses.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            parser: Parser::new(),
            buffer: vec![0; BENCH_READ_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            alarm: Box::pin(sleep_until(Instant::now() + BENCH_REQUEST_TIMEOUT)),
        })
    }

    /// Sends `batch`, requests that were made at `start`, and hands what comes back to `answers`
    /// until that is all.
    ///
    /// Writes and reads at the same time: a node that does not read on before its answers are read
    /// would otherwise wait for this side as this side for it.
    ///
    /// # Errors
    ///
    /// [`Failure`], after which the connection is of no more use; requests that `answers` has not
    /// heard of are lost.
    pub(super) async fn exchange(
        &mut self,
        batch: &[u8],
        start: std::time::Instant,
        answers: &mut impl Answers,
    ) -> Result<Received, Failure> {
        let mut written = 0;
        let deadline = Instant::from_std(start) + BENCH_REQUEST_TIMEOUT;
        poll_fn(|context| {
            self.poll_write(context, batch, &mut written)?;
            while let Poll::Ready(bytes) = self.poll_read(context)? {
                match self.hand_over(bytes, answers)? {
                    Received::Some => self.poll_write(context, batch, &mut written)?,
                    Received::All if written < batch.len() => {
                        return Poll::Ready(Err(Malformed::Surplus.into()));
                    }
                    received => return Poll::Ready(Ok(received)),
                }
            }
            self.poll_alarm(context, deadline).map(|()| Err(Failure::Timeout))
        })
        .await
    }

    fn hand_over(
        &mut self,
        bytes: usize,
        answers: &mut impl Answers,
    ) -> Result<Received, Malformed> {
        self.end += bytes;
        let unread = &self.buffer[self.start..self.end];
        let mut next = Unread { parser: &mut self.parser, bytes: unread, consumed: 0 };
        let received = answers.receive(bytes, &mut next)?;
        self.start += next.consumed;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        match received {
            Received::All if self.start < self.end => Err(Malformed::Surplus),
            received => Ok(received),
        }
    }

    /// Writes on, as far as the connection takes it.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        batch: &[u8],
        written: &mut usize,
    ) -> Result<(), Failure> {
        while *written < batch.len() {
            match Pin::new(&mut self.stream).poll_write(context, &batch[*written..]) {
                Poll::Ready(Ok(bytes)) => *written += bytes,
                Poll::Ready(Err(error)) => return Err(Failure::Reset(error.to_string())),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Reads into the buffer; ready with the number of bytes, never 0.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<Poll<usize>, Failure> {
        if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(Malformed::TooLong.into());
            }
            self.buffer.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut free = ReadBuf::new(&mut self.buffer[self.end..]);
        match Pin::new(&mut self.stream).poll_read(context, &mut free) {
            Poll::Ready(Ok(())) if free.filled().is_empty() => Err(Failure::Closed),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(free.filled().len())),
            Poll::Ready(Err(error)) => Err(Failure::Reset(error.to_string())),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Ready once `deadline` is over.
    ///
    /// The alarm is set again only when it goes off, so that requests answered in time never touch
    /// the wheel of timers.
    fn poll_alarm(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        while self.alarm.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::client::settings::ClientArgs;

    /// Counts answers up to one.
    struct One;

    impl Answers for One {
        fn receive(&mut self, _: usize, unread: &mut Unread<'_>) -> Result<Received, Malformed> {
            Ok(match unread.next()? {
                Some(_) => Received::All,
                None => Received::Some,
            })
        }
    }

    async fn connected() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let args = ClientArgs { url: Some(url), ..ClientArgs::default() };
        let target = args.settings().unwrap().target;
        let connection = Connection::open(&target).await.unwrap();
        (connection, listener.accept().unwrap().0)
    }

    async fn answered_with(bytes: &[u8]) -> Result<Received, Failure> {
        let (mut connection, mut node) = connected().await;
        io::Write::write_all(&mut node, bytes).unwrap();
        connection.exchange(b"request", std::time::Instant::now(), &mut One).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stays_silent_is_a_timeout() {
        let (mut connection, _node) = connected().await;
        let start = Instant::now();
        let answered = connection.exchange(b"request", start.into_std(), &mut One).await;
        assert!(matches!(answered, Err(Failure::Timeout)));
        assert!(BENCH_REQUEST_TIMEOUT <= start.elapsed());
    }

    #[tokio::test]
    async fn bytes_that_nobody_asked_for_are_not_taken_as_an_answer() {
        const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert!(matches!(answered_with(OK.as_bytes()).await, Ok(Received::All)));
        let twice = answered_with([OK, OK].concat().as_bytes()).await;
        assert!(matches!(twice, Err(Failure::Malformed(Malformed::Surplus))));
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_refused() {
        let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        head.resize(BENCH_READ_BYTES + 1, b'x');
        let answered = answered_with(&head).await;
        assert!(matches!(answered, Err(Failure::Malformed(Malformed::TooLong))));
    }

    #[tokio::test]
    async fn a_large_batch_and_large_answers_do_not_wait_for_each_other() {
        let (mut connection, node) = connected().await;
        node.set_nonblocking(true).unwrap();
        let node = TcpStream::from_std(node).unwrap();
        let batch = vec![b'x'; 16 * 1024 * 1024];
        let echo = tokio::spawn(async move {
            let (mut from, mut to) = node.into_split();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 16 * 1024 * 1024);
            tokio::io::AsyncWriteExt::write_all(&mut to, head.as_bytes()).await.unwrap();
            // Sends back what it gets and reads no further than it can send.
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let answered = connection.exchange(&batch, std::time::Instant::now(), &mut One).await;
        assert!(matches!(answered, Ok(Received::All)));
        drop(connection);
        echo.await.unwrap();
    }
}
