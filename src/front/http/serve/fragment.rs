//! Fragments in targets, which hyper drops before anybody sees them.
//!
//! `PUT /a#b` would write `/a`; a target has no fragment (RFC 9112, 3.2), so that it is refused. What is
//! left of it is in the bytes that came: where there is a `#` among them, they are kept until the
//! request they belong to is there. Most connections never have one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hyper::{Request, Uri};
use memchr::{memchr, memrchr2};

use crate::limits::{HTTP_HEADER_BYTES_MAX, HTTP_TARGET_BYTES_MAX};

/// Longest method that has an answer other than 405, with its space, and then some.
const METHOD_BYTES_MAX: usize = 16;

/// Bytes that may be the head of a request with a fragment.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    is_any: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Whether they begin in a head whose target came before them, and was whole and without a `#`.
    begin_in_head: bool,
}

impl Suspects {
    /// Looks at bytes that came. `in_head` says that the head of a request was begun before them and is
    /// not at its end.
    pub(super) fn note(&self, bytes: &[u8], in_head: bool) {
        let is_any = self.is_any.load(Ordering::Relaxed);
        let is_suspect = || memchr(b'#', bytes).is_some() || ends_in_target(bytes);
        if !is_any && !is_suspect() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_any {
            kept.begin_in_head = in_head;
            self.is_any.store(true, Ordering::Relaxed);
        }
        kept.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(HTTP_HEADER_BYTES_MAX)..]);
        let over = kept.bytes.len().saturating_sub(HTTP_HEADER_BYTES_MAX);
        kept.bytes.drain(..over);
    }

    /// Whether the target of `request`, as it came, has a fragment.
    pub(super) fn has_fragment<B>(&self, request: &Request<B>) -> bool {
        if !self.is_any.load(Ordering::Relaxed) {
            return false;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match std::mem::take(&mut kept.begin_in_head) {
            true => Some(Found { has_fragment: false, end: 0 }),
            false => find(&kept.bytes, request),
        };
        // Behind its head the next request may be, which has come already.
        let end = found.as_ref().and_then(|found| {
            let rest = kept.bytes[found.end..].windows(4);
            rest.zip(found.end + 4..).find(|(end, _)| end == b"\r\n\r\n").map(|(_, end)| end)
        });
        let end = end.unwrap_or(kept.bytes.len());
        kept.bytes.drain(..end);
        if memchr(b'#', &kept.bytes).is_none() && !ends_in_target(&kept.bytes) {
            *kept = Kept::default();
            self.is_any.store(false, Ordering::Relaxed);
        }
        found.is_some_and(|found| found.has_fragment)
    }
}

/// Whether the last bytes may be the beginning of a request: empty lines before one, a method, whole or
/// not, or one with a target, of which the rest is to come, and the `#` with it.
fn ends_in_target(bytes: &[u8]) -> bool {
    let last = &bytes[bytes.len().saturating_sub(HTTP_TARGET_BYTES_MAX + METHOD_BYTES_MAX)..];
    let before = |at: usize| last[..at].last();
    let is_method = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_uppercase);
    let is_empty_lines = !last.is_empty() && last.iter().all(|byte| b"\r\n".contains(byte));
    is_empty_lines
        || is_method(last.last())
        || memrchr2(b' ', b'\n', last).is_some_and(|at| last[at] == b' ' && is_method(before(at)))
}

struct Found {
    has_fragment: bool,
    end: usize,
}

/// The first target in `bytes` that is the one of `request`, with a fragment or without.
fn find<B>(bytes: &[u8], request: &Request<B>) -> Option<Found> {
    let method = request.method().as_str().as_bytes();
    let begins = |at: &usize| {
        bytes[*at..].starts_with(method) && bytes.get(at + method.len()) == Some(&b' ')
    };
    (0..bytes.len()).filter(begins).find_map(|at| {
        let first = at + method.len() + 1;
        let target = bytes[first..].split(u8::is_ascii_whitespace).next()?;
        let end = target.iter().position(|byte| *byte == b'#');
        let uri = Uri::try_from(&target[..end.unwrap_or(target.len())]).ok()?;
        (uri == *request.uri())
            .then_some(Found { has_fragment: end.is_some(), end: first + target.len() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(suspects: &Suspects, method: &str, target: &str) -> bool {
        suspects.has_fragment(&Request::builder().method(method).uri(target).body(()).unwrap())
    }

    #[test]
    fn a_fragment_is_found_in_its_own_request_and_in_no_other() {
        let suspects = Suspects::default();
        suspects.note(
            b"GET /a HTTP/1.1\r\n\r\nGET /a#b HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n",
            false,
        );
        assert!(!asked(&suspects, "GET", "/a"));
        assert!(asked(&suspects, "GET", "/a"));
        assert!(!asked(&suspects, "GET", "/a"));
        assert!(!suspects.is_any.load(Ordering::Relaxed));
    }

    #[test]
    fn a_fragment_is_found_however_it_comes() {
        for target in ["/a?key=1#b", "/#", "/a##", "http://localhost#b", "http://localhost/a?b#c"] {
            let head = format!("GET {target} HTTP/1.1\r\n\r\n");
            let clean = target.split('#').next().unwrap();
            for cut in 0..head.len() {
                let suspects = Suspects::default();
                suspects.note(&head.as_bytes()[..cut], false);
                suspects.note(&head.as_bytes()[cut..], false);
                assert!(asked(&suspects, "GET", clean), "{target} {cut}");
            }
        }
    }

    #[test]
    fn a_fragment_is_found_wherever_it_is_cut_off_from_its_target() {
        let body = b"PUT /v1/a/k HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".as_slice();
        for before in [b"".as_slice(), b"GET / HTTP/1.1\r\n\r\n", body] {
            let all = [before, b"GET /a#b HTTP/1.1\r\n\r\n"].concat();
            for cut in before.len()..all.len() {
                let suspects = Suspects::default();
                suspects.note(&all[..cut], false);
                suspects.note(&all[cut..], false);
                assert!(asked(&suspects, "GET", "/a"), "{cut}");
            }
        }
    }

    #[test]
    fn a_head_that_was_begun_before_is_not_taken_for_the_next_one() {
        let suspects = Suspects::default();
        suspects.note(b"GET /a HTTP/1.1\r\nhost:", false);
        suspects.note(b" localhost\r\n\r\nGET /a#b HTTP/1.1\r\n\r\n", true);
        assert!(!asked(&suspects, "GET", "/a"));
        assert!(asked(&suspects, "GET", "/a"));
        // Empty lines before a request are no head.
        suspects.note(b"\r\n", false);
        suspects.note(b"GET /a#b HTTP/1.1\r\n\r\n", true);
        assert!(asked(&suspects, "GET", "/a"));
    }

    #[test]
    fn what_most_clients_send_is_not_kept() {
        let suspects = Suspects::default();
        suspects.note(b"GET /api?key=a HTTP/1.1\r\nhost: localhost\r\n\r\n", false);
        suspects.note(b"POST /api HTTP/1.1\r\n\r\n{\"key\":\"A B\",\"data\":{\"N\": 1}}", false);
        suspects.note(b"text with \"WORDS\" and an end", false);
        assert!(!suspects.is_any.load(Ordering::Relaxed));
    }

    #[test]
    fn a_body_with_the_sign_is_no_target() {
        let suspects = Suspects::default();
        suspects.note(b"PUT /a HTTP/1.1\r\ncontent-length: 20\r\n\r\na { color: #fff }\r\n", false);
        assert!(!asked(&suspects, "PUT", "/a"));
        suspects.note(b"color: #fff", false);
        suspects.note(b"GET /a HTTP/1.1\r\nx: #\r\n\r\n", false);
        assert!(!asked(&suspects, "GET", "/a"));
        assert!(!asked(&suspects, "GET", "/a"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let suspects = Suspects::default();
        for _ in 0..3 {
            suspects.note(&vec![b'#'; HTTP_HEADER_BYTES_MAX + 7], false);
        }
        suspects.note(b"GET /a#b HTTP/1.1\r\n", false);
        assert_eq!(suspects.kept.lock().unwrap().bytes.len(), HTTP_HEADER_BYTES_MAX);
        assert!(asked(&suspects, "GET", "/a"));
    }
}
