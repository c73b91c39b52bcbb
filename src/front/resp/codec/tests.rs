//! The decoder, whatever comes and in whatever pieces.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::decoder::{Decoder, Limits, Malformed};

const LIMITS: Limits = Limits {
    arguments_max: 100,
    bulk_bytes_max: 1_000,
    request_bytes_max: 10_000,
    is_stranger: false,
};

type Words = Vec<Vec<u8>>;

/// What comes out of pieces that come one after the other.
fn decode(pieces: &[&[u8]], limits: &Limits) -> (Vec<Words>, Option<Malformed>) {
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
    let mut requests = vec![];
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let decoded = decoder.decode(&mut input, limits, 3);
            let words = |request: super::Request<'_>| request.from(0).map(<[u8]>::to_vec).collect();
            requests.extend(decoded.requests().map(words));
            if decoded.broken.is_some() {
                return (requests, decoded.broken);
            }
            if decoded.requests().len() < 3 {
                break;
            }
        }
    }
    (requests, None)
}

fn encode(request: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for word in request {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn words(text: &str) -> Words {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn arrays_and_lines_are_requests_and_what_is_empty_is_none() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n\r\nping\r\n*0\r\n*-1\r\n  \n*1\r\n$4\r\nPING\r\n";
    let requests = vec![words("GET a"), words("ping"), words("PING")];
    assert_eq!(decode(&[bytes], &LIMITS), (requests, None));
}

#[test]
fn what_is_no_request_is_named_as_redis_names_it() {
    let long = "a".repeat(2_000);
    let many = "a ".repeat(200);
    for (text, malformed, message) in [
        ("*x\r\n", Malformed::Count, "invalid multibulk length"),
        ("*101\r\n", Malformed::Count, "invalid multibulk length"),
        ("*1\r\n$-1\r\n", Malformed::Length, "invalid bulk length"),
        ("*1\r\n$1001\r\n", Malformed::Length, "invalid bulk length"),
        ("*1\r\n:1\r\n", Malformed::NoBulk(b':'), "expected '$', got ':'"),
        ("*1\r\n$1\r\nabc", Malformed::NoEnd, "expected the end of a bulk string"),
        ("set a \"b\r\n", Malformed::Quotes, "unbalanced quotes in request"),
        (&format!("*{}", "1".repeat(40)), Malformed::CountLine, "too big mbulk count string"),
        (&format!("*1\r\n${long}"), Malformed::LengthLine, "too big bulk count string"),
        (&long, Malformed::Line, "too big inline request"),
        (&format!("{many}\n"), Malformed::Count, "invalid multibulk length"),
    ] {
        assert_eq!(decode(&[text.as_bytes()], &LIMITS), (vec![], Some(malformed)), "{text}");
        assert_eq!(malformed.to_string(), message);
    }
    let limits = Limits { arguments_max: 10, bulk_bytes_max: 100, is_stranger: true, ..LIMITS };
    let refused = |text: &str| decode(&[text.as_bytes()], &limits).1;
    assert_eq!(refused("*11\r\n"), Some(Malformed::StrangersCount));
    assert_eq!(refused("*1\r\n$101\r\n"), Some(Malformed::StrangersLength));
}

#[test]
fn arguments_together_have_a_limit_too() {
    let request = vec![vec![b'a'; 1_000]; 11];
    assert_eq!(decode(&[&encode(&request)], &LIMITS), (vec![], Some(Malformed::Request)));
    assert_eq!(decode(&[&encode(&request[..9])], &LIMITS).0.len(), 1);
}

#[test]
fn what_was_announced_takes_no_room() {
    let limits = Limits { bulk_bytes_max: 1 << 30, request_bytes_max: 1 << 30, ..LIMITS };
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::from("*2\r\n$1000000000\r\n"));
    assert_eq!(decoder.decode(&mut input, &limits, 10).requests().len(), 0);
    assert!(input.capacity() < 1_000 && 999_000_000 < decoder.wanted(input.len()));
}

fn request() -> impl Strategy<Value = Words> {
    vec(vec(any::<u8>(), 0..20), 1..6)
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_requests(
        requests in vec(request(), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces: Vec<_> = starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect();
        prop_assert_eq!(decode(&pieces, &LIMITS), (requests, None));
    }

    #[test]
    fn garbage_in_any_pieces_is_the_same_garbage(
        bytes in vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'),
            Just(b'"'), Just(b'\''), Just(b'\\'), Just(b' '), any::<u8>()], 0..300),
    ) {
        let whole = decode(&[&bytes], &LIMITS);
        let single: Vec<_> = bytes.chunks(1).collect();
        let pieces = decode(&single, &LIMITS);
        prop_assert_eq!(&pieces, &whole);
        for request in &whole.0 {
            prop_assert!(!request.is_empty() && request.len() <= LIMITS.arguments_max);
            prop_assert!(request.iter().map(Vec::len).sum::<usize>() <= bytes.len());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_the_same_requests_in_any_pieces(
        bytes in vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"*$123\r\n\"a "[..])], 0..400),
    ) {
        super::fuzz::check(&bytes);
    }
}
