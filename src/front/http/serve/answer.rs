//! Answers: JSON, and refusals that say what is wrong and what is allowed.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use warp::reply::Response;

use crate::cache::CrashError;
use crate::command::Reply;
use crate::error::Error;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// For what is no value of the cache: whoever is on the way may keep it for as long as it likes where
/// it is not told (RFC 9111, 4.2.2).
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Why a request is not done; nothing changed unless the message says otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// A header the status calls for.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The method is not one of `allowed`, which is a list as the `Allow` header has it.
    pub(crate) fn method(allowed: &'static str) -> Self {
        let message = format!("method not allowed; allowed: {allowed}");
        let header = Some((ALLOW, HeaderValue::from_static(allowed)));
        Self { status: StatusCode::METHOD_NOT_ALLOWED, message, header }
    }

    /// The refusal, and what `Allow` lists where its status calls for that.
    pub(crate) fn allowing(self, allowed: &'static str) -> Self {
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => self.with(ALLOW, HeaderValue::from_static(allowed)),
            _ => self,
        }
    }

    /// A field of the request that says what is not done here.
    pub(crate) fn not_yet(name: &HeaderName) -> Self {
        let message = format!("{name} is not in this version here; allowed: a request without it");
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        Self { status: StatusCode::UNAUTHORIZED, message: message.to_owned(), header }
    }

    /// The refusal with a header.
    pub(crate) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// A reply that does not belong to its command.
    pub(crate) fn unexpected(reply: &Reply) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("unexpected reply: {reply:?}"))
    }

    /// The table of the shard is too small for the entry.
    pub(crate) fn too_large_for_shard() -> Self {
        let message = "the entry is too large for its shard; allowed: up to half of its memory, and up to \
                       its part of the namespace's quota";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The node cannot now, and may in a second.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into(), header }
    }
}

/// The one translation of the cache's errors into HTTP.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Busy { .. }
            | Error::Timeout { .. }
            | Error::Down { .. }
            | Error::NotHere { .. }
            | Error::Unreachable { .. }
            | Error::Unanswered { .. }
            | Error::IdsTaken { .. }
            | Error::Later
            | Error::Crowded
            | Error::NoIds => Self::unavailable(message),
            Error::Unsupported { .. } => Self::new(StatusCode::NOT_IMPLEMENTED, message),
            Error::ValueTooLarge { .. } | Error::BatchTooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
            }
        }
    }
}

impl From<CrashError> for Refusal {
    fn from(error: CrashError) -> Self {
        let message = error.to_string();
        match error {
            CrashError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, message),
            CrashError::Stopping => Self::unavailable(message),
        }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            message: &'a str,
        }
        let mut response = json(refusal.status, &Body { message: &refusal.message });
        if let Some((name, value)) = refusal.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An answer of bytes that are JSON already, which nobody on the way keeps.
pub(crate) fn raw_json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let body: Bytes = body.into();
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// An answer of a value as JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => raw_json(status, body),
        // No type of ours has a map with keys that are not strings, the only way to get here.
        Err(reason) => {
            let body = format!("{{\"message\":\"cannot encode the answer: {reason}\"}}");
            raw_json(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }
}
