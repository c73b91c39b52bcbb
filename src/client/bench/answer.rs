//! Answers of a load run, read out of a stream of bytes with as little work as possible.
//!
//! A pure state machine: bytes in, answers out, however the bytes are cut.

use std::mem::MaybeUninit;

use crate::limits::BENCH_EXCERPT_BYTES;

/// Most headers of an answer.
const HEADERS_MAX: usize = 64;

/// An answer that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// Whether the node closes the connection after it.
    pub(super) closes: bool,
}

/// Why bytes are no answer; nothing can be read from the connection any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// The head is not HTTP/1.
    #[error("an answer that is not HTTP/1")]
    Head,
    /// The end of the body cannot be known.
    #[error("an answer without a valid length")]
    Length,
    /// A chunk is not as the standard says.
    #[error("a chunked answer with a broken chunk")]
    Chunk,
    /// A head or a line of it fills the read buffer.
    #[error("an answer with a head over 16 KiB")]
    TooLong,
    /// Bytes that belong to no request.
    #[error("more answers than requests")]
    Surplus,
}

/// What [`Parser::advance`] got out of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes at the start of the input that are done with.
    pub(super) consumed: usize,
    /// The answer that ended there. `None` means that more bytes are needed.
    pub(super) answer: Option<Answer>,
}

/// Where in an answer the next byte is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Head,
    Body { left: u64 },
    ChunkSize,
    Chunk { left: u64 },
    ChunkEnd,
    Trailer,
}

/// Reads the answers of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Parser {
    place: Place,
    answer: Answer,
    excerpt: Vec<u8>,
}

impl Parser {
    /// A parser at the start of a connection.
    pub(super) fn new() -> Self {
        let answer = Answer { status: 0, closes: false };
        Self { place: Place::Head, answer, excerpt: Vec::new() }
    }

    /// The start of the body of the answer just read.
    pub(super) fn excerpt(&self) -> &[u8] {
        &self.excerpt
    }

    /// Reads `input` up to the end of an answer, or as far as it goes.
    ///
    /// # Errors
    ///
    /// [`Malformed`], after which the parser is of no more use.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let mut consumed = 0;
        while let Some(step) = self.take(&input[consumed..])? {
            consumed += step;
            if matches!(self.place, Place::Body { left: 0 }) {
                self.place = Place::Head;
                return Ok(Step { consumed, answer: Some(self.answer) });
            }
        }
        Ok(Step { consumed, answer: None })
    }

    /// Takes one element off `input` and returns its length, or `None` if it is not complete.
    fn take(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        match self.place {
            Place::Head => self.take_head(input),
            Place::Body { left } => {
                let taken = self.take_bytes(input, left);
                self.place = Place::Body { left: left - taken.unwrap_or(0) as u64 };
                Ok(taken)
            }
            Place::ChunkSize => match httparse::parse_chunk_size(input) {
                Ok(httparse::Status::Complete((length, 0))) => {
                    self.place = Place::Trailer;
                    Ok(Some(length))
                }
                Ok(httparse::Status::Complete((length, left))) => {
                    self.place = Place::Chunk { left };
                    Ok(Some(length))
                }
                Ok(httparse::Status::Partial) => Ok(None),
                Err(_) => Err(Malformed::Chunk),
            },
            Place::Chunk { left } => {
                let taken = self.take_bytes(input, left);
                self.place = match left - taken.unwrap_or(0) as u64 {
                    0 => Place::ChunkEnd,
                    left => Place::Chunk { left },
                };
                Ok(taken)
            }
            Place::ChunkEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.place = Place::ChunkSize;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err(Malformed::Chunk),
            },
            Place::Trailer => {
                let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
                    return Ok(None);
                };
                if input[..end].is_empty() || input[..end] == *b"\r" {
                    self.place = Place::Body { left: 0 };
                }
                Ok(Some(end + 1))
            }
        }
    }

    fn take_head(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        if input.is_empty() {
            return Ok(None);
        }
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let length = match httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut head,
            input,
            &mut headers,
        ) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed::Head),
        };
        let status = head.code.ok_or(Malformed::Head)?;
        let framing = Framing::of(head.headers, head.version)?;
        // An interim answer is not the answer.
        if (100..200).contains(&status) {
            return Ok(Some(length));
        }
        self.excerpt.clear();
        self.answer = Answer { status, closes: framing.closes };
        self.place = match (framing.is_chunked, framing.length) {
            _ if status == 204 || status == 304 => Place::Body { left: 0 },
            (true, _) => Place::ChunkSize,
            (false, Some(left)) => Place::Body { left },
            (false, None) => return Err(Malformed::Length),
        };
        Ok(Some(length))
    }

    /// Takes up to `left` bytes of a body, of which the first of all are kept.
    fn take_bytes(&mut self, input: &[u8], left: u64) -> Option<usize> {
        if input.is_empty() {
            return None;
        }
        // What does not fit into a `usize` is more than the input has.
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let kept = taken.min(BENCH_EXCERPT_BYTES - self.excerpt.len());
        self.excerpt.extend_from_slice(&input[..kept]);
        Some(taken)
    }
}

/// How a head says where its answer ends.
struct Framing {
    is_chunked: bool,
    length: Option<u64>,
    closes: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>], version: Option<u8>) -> Result<Self, Malformed> {
        // HTTP/1.0 keeps a connection only if it says so.
        let is_http_1_0 = version == Some(0);
        let mut framing = Self { is_chunked: false, length: None, closes: is_http_1_0 };
        for header in headers {
            // Names of the same length are few, so that this is cheaper than comparing them all.
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let text = std::str::from_utf8(header.value).map_err(|_| Malformed::Length)?;
                    framing.length = Some(text.parse().map_err(|_| Malformed::Length)?);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    match header.value.eq_ignore_ascii_case(b"chunked") {
                        true => framing.is_chunked = true,
                        false => return Err(Malformed::Length),
                    }
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    framing.closes = header.value.eq_ignore_ascii_case(b"close")
                        || is_http_1_0 && !header.value.eq_ignore_ascii_case(b"keep-alive");
                }
                _ => {}
            }
        }
        Ok(framing)
    }
}

/// Whether the body that starts with `excerpt` says `"data":null`, which is a miss.
///
/// Keys and values of a load run do not contain the word, so that it is the member where a colon
/// follows.
pub(super) fn is_miss(excerpt: &[u8]) -> bool {
    let mut rest = excerpt;
    while let Some(quote) = rest.iter().position(|byte| *byte == b'"') {
        rest = &rest[quote..];
        let after = rest.strip_prefix(b"\"data\"").unwrap_or_default().trim_ascii_start();
        // Without a colon it is a value, such as the name of a node.
        if let Some(value) = after.strip_prefix(b":") {
            return value.trim_ascii_start().starts_with(b"null");
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All answers in `bytes`, handed over in pieces of `piece`, with their excerpts.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Answer, String)>, Malformed> {
        let (mut parser, mut answers) = (Parser::new(), Vec::new());
        let (mut start, mut end) = (0, 0);
        while end < bytes.len() {
            end = bytes.len().min(end + piece);
            loop {
                let step = parser.advance(&bytes[start..end])?;
                start += step.consumed;
                let Some(answer) = step.answer else { break };
                let excerpt = String::from_utf8(parser.excerpt().to_vec()).unwrap();
                answers.push((answer, excerpt));
            }
        }
        Ok(answers)
    }

    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"data\":null}\
        HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 503 No\r\ntransfer-encoding: Chunked\r\n\r\n\
        3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nt: 1\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn answers_are_the_same_however_their_bytes_are_cut() {
        let answer =
            |status, closes, excerpt: &str| (Answer { status, closes }, excerpt.to_owned());
        let expected = vec![
            answer(200, false, "{\"data\":null}"),
            answer(503, false, "abc0123456789"),
            answer(204, false, ""),
            answer(200, true, ""),
        ];
        for piece in 1..=STREAM.len() {
            assert_eq!(read(STREAM, piece).unwrap(), expected, "pieces of {piece}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_read_twice_or_beyond_their_end(
            chosen in proptest::collection::vec((0..STREAM.len(), 1..40_usize), 0..12),
            cut in 1..100_usize,
        ) {
            // Pieces of a good stream, which get further into the parser than noise would.
            let piece = |(start, length): &(usize, usize)| {
                &STREAM[*start..STREAM.len().min(start + length)]
            };
            let bytes: Vec<u8> = chosen.iter().flat_map(piece).copied().collect();
            let whole = read(&bytes, bytes.len().max(1));
            proptest::prop_assert_eq!(read(&bytes, cut).ok(), whole.ok());
        }
    }

    #[test]
    fn only_the_start_of_a_long_body_is_kept() {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + 5_000, b'x');
        let answers = read(&bytes, 700).unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].1.len(), BENCH_EXCERPT_BYTES);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let error = |bytes: &str| read(bytes.as_bytes(), 1_000).unwrap_err();
        assert_eq!(error("hello there\r\n"), Malformed::Head);
        assert_eq!(error("HTTP/1.1 200 OK\r\n\r\n"), Malformed::Length);
        assert_eq!(error("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), Malformed::Length);
        assert_eq!(error("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"), Malformed::Length);
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(error(&format!("{chunked}x\r\n")), Malformed::Chunk);
        assert_eq!(error(&format!("{chunked}1\r\nab\r\n")), Malformed::Chunk);
    }

    #[test]
    fn an_http_1_0_answer_closes_unless_it_says_otherwise() {
        let closes = |head: &str| {
            let bytes = format!("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n{head}\r\n");
            read(bytes.as_bytes(), 1_000).unwrap()[0].0.closes
        };
        assert!(closes(""));
        assert!(!closes("Connection: Keep-Alive\r\n"));
    }

    #[test]
    fn a_miss_is_told_from_a_hit() {
        assert!(is_miss(br#"{"key":"bench-1","data":null,"node":"a"}"#));
        assert!(is_miss(br#"{ "node": "data", "data" : null }"#));
        assert!(!is_miss(br#"{"key":"bench-1","data":{"v":"null"},"node":"a"}"#));
        assert!(!is_miss(br#"{"key":"bench-1","da"#));
        assert!(!is_miss(b""));
    }
}
