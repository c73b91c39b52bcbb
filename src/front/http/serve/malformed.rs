//! What a client is told whose request is not HTTP, or more of it than is allowed.
//!
//! hyper says only that something is wrong, and its own answer has no body. What it has not read of the
//! request is looked at again, so that the same request gets the same answer in whatever pieces it
//! came.

use std::time::{Duration, UNIX_EPOCH};

use hyper::StatusCode;

use crate::clock;
use crate::limits::{HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_TARGET_BYTES_MAX};

/// What HTTP/2 begins with where nothing was agreed on before.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Why a request cannot be read, given what hyper says and what it has not taken of it.
pub(super) fn refusal_of(reason: &hyper::Error, unread: &[u8]) -> (StatusCode, String) {
    let text = reason.to_string();
    if reason.is_incomplete_message() {
        let message = "request is malformed: it ends before its header does".to_owned();
        return (StatusCode::BAD_REQUEST, message);
    }
    if text.contains("invalid transfer-encoding") {
        return (StatusCode::NOT_IMPLEMENTED, UNKNOWN_CODING.to_owned());
    }
    if text.contains("URI too long") {
        return target_too_long();
    }
    if reason.is_parse_too_large() {
        return too_large(unread);
    }
    if names_other_version(unread) {
        let message = "version of HTTP is not spoken here; allowed: HTTP/1.1, HTTP/1.0".to_owned();
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, message);
    }
    (StatusCode::BAD_REQUEST, format!("request is malformed: {text}; allowed: HTTP/1.1"))
}

/// What is said to a coding of the body that is not undone here.
pub(super) const UNKNOWN_CODING: &str =
    "transfer-encoding is not in this version; allowed: chunked, or none";

/// A whole answer that ends the connection, for where hyper makes none.
pub(super) fn last_answer(status: StatusCode, message: &str, headers: &str) -> Vec<u8> {
    let body = serde_json::json!({ "message": message }).to_string();
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(clock::now().0));
    let len = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         {headers}connection: close\r\ncontent-length: {len}\r\ndate: {date}\r\n\r\n{body}"
    );
    answer.into_bytes()
}

fn target_too_long() -> (StatusCode, String) {
    let message = format!("target is too long; allowed: up to {HTTP_TARGET_BYTES_MAX} bytes");
    (StatusCode::URI_TOO_LONG, message)
}

/// What of a request is too large of which hyper has taken nothing, or the header alone.
fn too_large(unread: &[u8]) -> (StatusCode, String) {
    if target_of(unread).is_some_and(|target| HTTP_TARGET_BYTES_MAX < target.len()) {
        return target_too_long();
    }
    let mut fields = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let parsed = httparse::Request::new(&mut fields).parse(unread);
    let has_too_many = parsed == Err(httparse::Error::TooManyHeaders);
    if has_too_many || (parsed.is_ok() && HTTP_HEADER_BYTES_MAX <= unread.len()) {
        let message = format!(
            "header is too large; allowed: up to {HTTP_HEADER_BYTES_MAX} bytes and \
             {HTTP_HEADERS_MAX} fields"
        );
        return (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
    }
    // The header was taken, and what is too large is a number in it.
    let message = "request is malformed: content-length is out of range; allowed: the number of \
                   bytes of the body";
    (StatusCode::BAD_REQUEST, message.to_owned())
}

/// The target of the request that begins here, as far as it is there.
fn target_of(request: &[u8]) -> Option<&[u8]> {
    let line = request.trim_ascii_start().split(|byte| *byte == b'\n').next()?;
    line.split(|byte| *byte == b' ').nth(1)
}

/// Whether the request that begins here is of another version of HTTP.
fn names_other_version(request: &[u8]) -> bool {
    let request = request.trim_ascii_start();
    if request.starts_with(PREFACE) {
        return true;
    }
    let line = request.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let version = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor]) => {
            let is_number = major.is_ascii_digit() && minor.is_ascii_digit();
            is_number && !matches!((major, minor), (b'1', b'0' | b'1'))
        }
        Some([major]) => major.is_ascii_digit(),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_spoken_is_told_from_what_is_no_version() {
        for other in
            ["GET / HTTP/1.2\r\n", "\r\nGET / HTTP/9.9\n", "GET / HTTP/2", "PRI * HTTP/2.0\r\n"]
        {
            assert!(names_other_version(other.as_bytes()), "{other}");
        }
        for not in [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.0\n",
            "GET / HTTP/x.y\r\n",
            "GET /\r\n",
            "",
            "\x01",
        ] {
            assert!(!names_other_version(not.as_bytes()), "{not}");
        }
    }

    #[test]
    fn what_is_too_large_is_told_by_what_is_there_and_not_by_how_it_came() {
        let status = |request: String| too_large(request.as_bytes()).0.as_u16();
        let long = "k".repeat(HTTP_TARGET_BYTES_MAX + 1);
        assert_eq!(status(format!("GET {long}")), 414);
        assert_eq!(status(format!("GET {long} HTTP/1.1\r\nhost: a\r\n\r\n")), 414);
        let field = "v".repeat(HTTP_HEADER_BYTES_MAX);
        assert_eq!(status(format!("GET / HTTP/1.1\r\na: {field}")), 431);
        let fields = "a: b\r\n".repeat(HTTP_HEADERS_MAX + 1);
        assert_eq!(status(format!("GET / HTTP/1.1\r\n{fields}\r\n")), 431);
        assert_eq!(status(String::new()), 400);
        assert_eq!(status("the body".to_owned()), 400);
    }

    #[test]
    fn the_last_answer_has_a_date_and_ends_the_connection() {
        let answer = last_answer(StatusCode::BAD_REQUEST, "a \"word\"", "retry-after: 1\r\n");
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains("\r\nconnection: close\r\n") && head.ends_with(" GMT"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        assert_eq!(body, r#"{"message":"a \"word\""}"#);
    }
}
