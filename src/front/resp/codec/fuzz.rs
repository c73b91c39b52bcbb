//! What must hold of any bytes: they are the same requests in whatever pieces they come, and bytes that are
//! none are named and not read on.

use bytes::BytesMut;

use super::decoder::{Decoder, Limits, Malformed};

/// Decodes all but the first byte in pieces, whose length that says, and in one.
///
/// # Panics
///
/// If what comes out of both differs.
pub(in crate::front::resp) fn check(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    for is_stranger in [false, true] {
        let limits = Limits {
            arguments_max: 64,
            bulk_bytes_max: 4_096,
            request_bytes_max: 16_384,
            is_stranger,
        };
        let in_pieces = decode(bytes.chunks(usize::from(*piece).max(1)), &limits);
        let in_one = decode([bytes].into_iter(), &limits);
        assert_eq!(in_pieces, in_one);
    }
}

type Requests = Vec<Vec<Vec<u8>>>;

fn decode<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Requests, Option<Malformed>) {
    const REQUESTS_MAX: usize = 3;
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
    let mut requests = vec![];
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let decoded = decoder.decode(&mut input, limits, REQUESTS_MAX);
            let words = |request: super::Request<'_>| {
                assert!(request.len() <= limits.arguments_max);
                assert_eq!(request.bytes(), request.from(0).map(<[u8]>::len).sum::<usize>());
                request.from(0).map(<[u8]>::to_vec).collect()
            };
            requests.extend(decoded.requests().map(words));
            if decoded.broken.is_some() {
                return (requests, decoded.broken);
            }
            if decoded.requests().len() < REQUESTS_MAX {
                break;
            }
        }
    }
    (requests, None)
}
