//! Requests out of bytes, as they come.
//!
//! Nothing is allocated for what was only announced: a request stays in the buffer it came in until all
//! of it is there, and only where its arguments are is noted. What goes on from here are parts of that
//! buffer.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::inline;
use super::number::integer;
use crate::limits::{RESP_INLINE_BYTES_MAX, RESP_NUMBER_BYTES_MAX};

/// What requests may be like.
#[derive(Clone, Copy, Debug)]
pub(in crate::front::resp) struct Limits {
    /// Arguments, with the name of the command.
    pub(in crate::front::resp) arguments_max: usize,
    /// Bytes of an argument.
    pub(in crate::front::resp) bulk_bytes_max: usize,
    /// Bytes of a request.
    pub(in crate::front::resp) request_bytes_max: usize,
    /// Whether the client has not said yet who it is, which only changes what it is told.
    pub(in crate::front::resp) is_stranger: bool,
}

/// Why bytes are no request. What follows them is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::front::resp) enum Malformed {
    /// A count that is none, or of too many.
    #[error("invalid multibulk length")]
    Count,
    /// The same from a client that has not said who it is.
    #[error("unauthenticated multibulk length")]
    StrangersCount,
    /// A line that ought to be a count and does not end.
    #[error("too big mbulk count string")]
    CountLine,
    /// A length that is none, or of too much.
    #[error("invalid bulk length")]
    Length,
    /// The same from a client that has not said who it is.
    #[error("unauthenticated bulk length")]
    StrangersLength,
    /// A line that ought to be a length and does not end.
    #[error("too big bulk count string")]
    LengthLine,
    /// Something else where an argument was to come.
    #[error("expected '$', got '{}'", char::from(*.0).escape_default())]
    NoBulk(u8),
    /// An argument that is longer than it said.
    #[error("expected the end of a bulk string")]
    NoEnd,
    /// The arguments together have too many bytes.
    #[error("too big request")]
    Request,
    /// A line that does not end.
    #[error("too big inline request")]
    Line,
    /// A quote on a line that is not closed.
    #[error("unbalanced quotes in request")]
    Quotes,
}

/// Where an argument is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

/// What is known of the bytes that have come and are not a request yet.
#[derive(Debug, Default)]
pub(in crate::front::resp) struct Decoder {
    /// Bytes that were looked at.
    at: usize,
    /// Where the request begins that is being read.
    begin: usize,
    /// Arguments it still wants; 0 between requests.
    left: usize,
    /// Bytes of the argument that comes, if that is known.
    len: Option<usize>,
    /// From where on the end of a line is looked for.
    searched: usize,
    spans: Vec<Span>,
}

/// Requests that have come.
#[derive(Debug)]
pub(in crate::front::resp) struct Decoded {
    bytes: Bytes,
    spans: Vec<Span>,
    /// Where each ends in `spans`.
    ends: Vec<usize>,
    /// What came behind them, if that can be no request.
    pub(in crate::front::resp) broken: Option<Malformed>,
}

/// One request: the name of a command and its arguments.
#[derive(Clone, Copy, Debug)]
pub(in crate::front::resp) struct Request<'a> {
    bytes: &'a Bytes,
    spans: &'a [Span],
}

impl Span {
    pub(super) fn new(start: usize, len: usize) -> Self {
        // What a request may have in bytes fits.
        Self { start: start as u32, len: len as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

impl Decoder {
    /// Takes the requests that are complete out of `input`, up to `requests_max`.
    pub(in crate::front::resp) fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        requests_max: usize,
    ) -> Decoded {
        let (mut ends, mut broken) = (vec![], None);
        while ends.len() < requests_max {
            match self.request(input, limits) {
                Ok(true) => ends.push(self.spans.len()),
                Ok(false) => break,
                Err(malformed) => {
                    broken = Some(malformed);
                    break;
                }
            }
        }
        let taken = self.begin;
        let rest = self.spans.split_off(ends.last().copied().unwrap_or_default());
        let spans = std::mem::replace(&mut self.spans, rest);
        self.spans.iter_mut().for_each(|span| span.start -= taken as u32);
        self.at -= taken;
        self.searched = self.searched.saturating_sub(taken);
        self.begin = 0;
        Decoded { bytes: input.split_to(taken).freeze(), spans, ends, broken }
    }

    /// Reads on; whether a request is complete.
    fn request(&mut self, input: &mut [u8], limits: &Limits) -> Result<bool, Malformed> {
        while self.left == 0 {
            self.begin = self.at;
            let is_line = match input.get(self.at) {
                None => return Ok(false),
                Some(byte) => *byte != b'*',
            };
            let arguments = self.spans.len();
            let is_read = match is_line {
                true => self.line(input, limits)?,
                false => self.count(input, limits)?,
            };
            if !is_read {
                return Ok(false);
            }
            if is_line && arguments < self.spans.len() {
                self.begin = self.at;
                return Ok(true);
            }
        }
        while 0 < self.left {
            if !self.argument(input, limits)? {
                return Ok(false);
            }
            self.left -= 1;
        }
        self.begin = self.at;
        Ok(true)
    }

    /// Reads a request that is a line, which may be empty.
    fn line(&mut self, input: &mut [u8], limits: &Limits) -> Result<bool, Malformed> {
        let bytes_max = RESP_INLINE_BYTES_MAX.min(limits.bulk_bytes_max);
        let from = self.at.max(self.searched);
        let end = memchr::memchr(b'\n', &input[from..]).map(|end| from + end);
        self.searched = end.unwrap_or(input.len());
        if bytes_max < self.searched - self.at {
            return Err(Malformed::Line);
        }
        let Some(end) = end else { return Ok(false) };
        let arguments = self.spans.len();
        inline::split(&mut input[self.at..end], self.at, &mut self.spans)?;
        if limits.arguments_max < self.spans.len() - arguments {
            return Err(limits.count());
        }
        self.at = end + 1;
        Ok(true)
    }

    /// Reads how many arguments come.
    fn count(&mut self, input: &[u8], limits: &Limits) -> Result<bool, Malformed> {
        let Some(count) = self.number(input, Malformed::CountLine)? else { return Ok(false) };
        let count = count.ok_or(Malformed::Count)?;
        // Fewer than none is none, as in Redis.
        self.left = usize::try_from(count).unwrap_or(0);
        if limits.arguments_max < self.left { Err(limits.count()) } else { Ok(true) }
    }

    fn argument(&mut self, input: &[u8], limits: &Limits) -> Result<bool, Malformed> {
        let len = match self.len {
            Some(len) => len,
            None => match input.get(self.at) {
                None => return Ok(false),
                Some(b'$') => {
                    let number = self.number(input, Malformed::LengthLine)?;
                    let Some(number) = number else { return Ok(false) };
                    let len = number.and_then(|len| usize::try_from(len).ok());
                    let len = len.ok_or(Malformed::Length)?;
                    limits.check(len, self.at - self.begin)?;
                    self.len = Some(len);
                    len
                }
                Some(other) => return Err(Malformed::NoBulk(*other)),
            },
        };
        let end = self.at + len;
        if input.len() < end + 2 {
            return Ok(false);
        }
        if &input[end..end + 2] != b"\r\n" {
            return Err(Malformed::NoEnd);
        }
        self.spans.push(Span::new(self.at, len));
        self.len = None;
        self.at = end + 2;
        Ok(true)
    }

    /// Reads the number behind a sign; `None` if its line is not complete, `Some(None)` if it is none.
    fn number(
        &mut self,
        input: &[u8],
        endless: Malformed,
    ) -> Result<Option<Option<i64>>, Malformed> {
        let line = &input[self.at + 1..];
        let line = &line[..line.len().min(RESP_NUMBER_BYTES_MAX)];
        let Some(end) = memchr::memchr(b'\n', line) else {
            return if line.len() < RESP_NUMBER_BYTES_MAX { Ok(None) } else { Err(endless) };
        };
        self.at += 1 + end + 1;
        let digits = line[..end].strip_suffix(b"\r");
        Ok(Some(digits.and_then(integer)))
    }

    /// Bytes that have to come before a request is complete, as far as that is known.
    pub(in crate::front::resp) fn wanted(&self, buffered: usize) -> usize {
        self.len.map_or(0, |len| (self.at + len + 2).saturating_sub(buffered))
    }
}

impl Limits {
    fn count(&self) -> Malformed {
        if self.is_stranger { Malformed::StrangersCount } else { Malformed::Count }
    }

    /// Whether an argument of `len` bytes may come behind so many of its request.
    fn check(&self, len: usize, before: usize) -> Result<(), Malformed> {
        if self.bulk_bytes_max < len {
            return Err(match self.is_stranger {
                true => Malformed::StrangersLength,
                false => Malformed::Length,
            });
        }
        if self.request_bytes_max < before + len { Err(Malformed::Request) } else { Ok(()) }
    }
}

impl Decoded {
    /// The requests, in order.
    pub(in crate::front::resp) fn requests(&self) -> impl ExactSizeIterator<Item = Request<'_>> {
        (0..self.ends.len()).map(|at| {
            let start = if at == 0 { 0 } else { self.ends[at - 1] };
            Request { bytes: &self.bytes, spans: &self.spans[start..self.ends[at]] }
        })
    }
}

impl<'a> Request<'a> {
    /// How many arguments there are, with the name of the command: one at least.
    pub(in crate::front::resp) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The name of the command, as it came.
    pub(in crate::front::resp) fn name(&self) -> &'a [u8] {
        self.arg(0)
    }

    /// An argument; 0 is the name of the command.
    ///
    /// # Panics
    ///
    /// If there are not so many: arities are checked before.
    pub(in crate::front::resp) fn arg(&self, at: usize) -> &'a [u8] {
        &self.bytes[self.spans[at].range()]
    }

    /// The same, if there is one.
    pub(in crate::front::resp) fn get(&self, at: usize) -> Option<&'a [u8]> {
        self.spans.get(at).map(|span| &self.bytes[span.range()])
    }

    /// An argument, to be kept.
    ///
    /// # Panics
    ///
    /// As [`Self::arg`].
    pub(in crate::front::resp) fn kept(&self, at: usize) -> Bytes {
        self.bytes.slice(self.spans[at].range())
    }

    /// Bytes of all arguments.
    pub(in crate::front::resp) fn bytes(&self) -> usize {
        self.spans.iter().map(|span| span.range().len()).sum()
    }

    /// The request by itself, to be kept for long: a copy of its bytes and of no others.
    pub(in crate::front::resp) fn detached(&self) -> Decoded {
        let mut bytes = BytesMut::with_capacity(self.bytes());
        let spans = self.from(0).map(|arg| {
            let span = Span::new(bytes.len(), arg.len());
            bytes.extend_from_slice(arg);
            span
        });
        let spans: Vec<_> = spans.collect();
        Decoded { ends: vec![spans.len()], spans, bytes: bytes.freeze(), broken: None }
    }

    /// The arguments from `from` on.
    pub(in crate::front::resp) fn from(
        &self,
        from: usize,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (bytes, spans) = (self.bytes, self.spans.get(from..).unwrap_or_default());
        spans.iter().map(move |span| &bytes[span.range()])
    }
}
