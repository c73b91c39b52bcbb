//! What the bytes of a value are, and how they are coded: as a client says it, and as it is told.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
};

use crate::entry::MediaType;
use crate::front::http::serve::{Kept, Refusal, directives, only};
use crate::limits::{CODING_BYTES_MAX, MEDIA_TYPE_BYTES_MAX};

const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a client says a value is.
pub(super) enum Called {
    Json,
    Other(MediaType),
}

impl Called {
    /// A value that is called this. What is called JSON is looked at, unless it is coded.
    pub(super) fn kept(self, value: Bytes) -> Kept {
        match self {
            Self::Json => Kept::called_json(value),
            Self::Other(media) => Kept { value, media },
        }
    }

    /// The type of a value that need not be what it is called.
    pub(super) fn named(self) -> MediaType {
        match self {
            Self::Json => MediaType::Other(Bytes::from_static(b"application/json")),
            Self::Other(media) => media,
        }
    }
}

/// The media type and the coding a client gives, which its value may not be of.
///
/// # Errors
///
/// 400 for a field that is malformed or too long.
pub(super) fn media_of(headers: &HeaderMap) -> Result<Called, Refusal> {
    let called = type_of(headers)?;
    let Some(coding) = coding_of(headers)? else { return Ok(called) };
    let name = match &called {
        Called::Json => &MediaType::Json,
        Called::Other(media) => media,
    };
    let coded = name.coded(coding.as_bytes());
    match &coded {
        MediaType::Other(text) if text.len() <= MEDIA_TYPE_BYTES_MAX => Ok(Called::Other(coded)),
        _ => Err(wrong_type()),
    }
}

fn type_of(headers: &HeaderMap) -> Result<Called, Refusal> {
    let Some(value) = only(headers, &CONTENT_TYPE)? else {
        return Ok(Called::Other(MediaType::Bytes));
    };
    if value.is_empty() || MEDIA_TYPE_BYTES_MAX < value.len() || value.to_str().is_err() {
        return Err(wrong_type());
    }
    Ok(match value.as_bytes() {
        b"application/octet-stream" => Called::Other(MediaType::Bytes),
        b"application/json" => Called::Json,
        b"text/plain; charset=utf-8" => Called::Other(MediaType::Text),
        other => Called::Other(MediaType::Other(Bytes::copy_from_slice(other))),
    })
}

fn wrong_type() -> Refusal {
    Refusal::bad_request(format!(
        "the header content-type is wrong; allowed: 1 to {MEDIA_TYPE_BYTES_MAX} ASCII characters"
    ))
}

/// The codings a client names, in one form; `None` for plain bytes.
fn coding_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(None);
    }
    let wrong = || {
        Refusal::bad_request(format!(
            "the header content-encoding is wrong; allowed: names of codings, as gzip, in \
             {CODING_BYTES_MAX} bytes"
        ))
    };
    let codings = directives(headers, &CONTENT_ENCODING).map_err(|_| wrong())?;
    if codings.iter().any(|coding| coding.value.is_some()) {
        return Err(wrong());
    }
    // It says that nothing was done (RFC 9110, 8.4.1).
    let codings = codings.iter().filter(|coding| !coding.is("identity"));
    let names: Vec<_> = codings.map(|coding| String::from_utf8_lossy(coding.name)).collect();
    let coding = names.join(", ").to_ascii_lowercase();
    match coding.len() {
        0 => Ok(None),
        1..=CODING_BYTES_MAX => Ok(Some(coding)),
        _ => Err(wrong()),
    }
}

/// Refuses a body that is coded where it is looked into.
///
/// # Errors
///
/// 415 (RFC 9110, 15.5.16).
pub(super) fn only_plain(headers: &HeaderMap) -> Result<(), Refusal> {
    match coding_of(headers)? {
        None => Ok(()),
        Some(coding) => {
            let message = format!("the body is coded as {coding}; allowed: identity");
            let identity = HeaderValue::from_static("identity");
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
                .with(ACCEPT_ENCODING, identity))
        }
    }
}

/// Refuses to send a value that is coded as the client says it does not take it.
///
/// # Errors
///
/// 406 (RFC 9110, 12.5.3).
pub(super) fn acceptable(media: &MediaType, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(coding) = media.coding() else { return Ok(()) };
    let coding = String::from_utf8_lossy(coding);
    let is_taken = !headers.contains_key(ACCEPT_ENCODING)
        || coding.split(", ").all(|coding| takes(headers, coding));
    if is_taken {
        return Ok(());
    }
    let message = format!("the value is coded as {coding}; allowed: that in accept-encoding");
    Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, message).with(VARY, ACCEPT_ENCODING.into()))
}

/// Whether a coding is among those a client takes: by its name or, if that is not there, by `*`.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let elements: Vec<_> = lines.flat_map(|line| line.split(',')).map(weighed).collect();
    let named = |name: &str| elements.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    named(coding).or_else(|| named("*")).is_some_and(|(_, is_taken)| *is_taken)
}

/// The name of an element, and whether it has any weight.
fn weighed(element: &str) -> (&str, bool) {
    let (name, weight) = element.split_once(';').unwrap_or((element, ""));
    let weight = weight.split_once('=').map_or("1", |(_, weight)| weight).trim();
    (name.trim(), weight.parse::<f32>().is_ok_and(|weight| 0.0 < weight))
}

/// Says what the bytes of an answer are.
pub(super) fn tell(media: &MediaType, headers: &mut HeaderMap) {
    let field = |text: &[u8]| HeaderValue::from_bytes(text).ok();
    // It was a field when it came.
    headers.insert(CONTENT_TYPE, field(media.name()).unwrap_or(BYTES));
    if let Some(coding) = media.coding().and_then(field) {
        headers.insert(CONTENT_ENCODING, coding);
        headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    }
}

/// The media type of a field without its parameters, in lower case.
pub(super) fn essence(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let value = only(headers, name)?.map(|value| String::from_utf8_lossy(value.as_bytes()));
    Ok(value.map(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn codings_are_kept_in_one_form_with_the_type() {
        let media = |coding| {
            let fields = headers(&[(CONTENT_TYPE, "text/css"), (CONTENT_ENCODING, coding)]);
            media_of(&fields).map(Called::named).map_err(|refusal| refusal.status.as_u16())
        };
        let css = MediaType::Other(Bytes::from_static(b"text/css"));
        assert_eq!(media("GZip"), Ok(css.coded(b"gzip")));
        assert_eq!(media("gzip ,br"), Ok(css.coded(b"gzip, br")));
        assert_eq!(media("identity"), Ok(css));
        for wrong in ["gzip;q=1", "gzip=1", "g z", &"x".repeat(65)] {
            let value = HeaderValue::try_from(wrong).unwrap();
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, value)]);
            let refusal = media_of(&headers).map(Called::named).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn a_coding_is_refused_to_those_alone_who_say_that_they_do_not_take_it() {
        let gzip = MediaType::Text.coded(b"gzip");
        let is_taken = |field| acceptable(&gzip, &headers(&[(ACCEPT_ENCODING, field)])).is_ok();
        assert!(acceptable(&gzip, &HeaderMap::new()).is_ok());
        for field in ["gzip", "br, GZIP;q=0.5", "*", "identity, *;q=0.1", "gzip; q=1.0"] {
            assert!(is_taken(field), "{field}");
        }
        for field in ["", "identity", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "gzip;q=x"] {
            assert!(!is_taken(field), "{field}");
            assert!(acceptable(&MediaType::Text, &headers(&[(ACCEPT_ENCODING, field)])).is_ok());
        }
        let both = MediaType::Text.coded(b"gzip, br");
        assert!(acceptable(&both, &headers(&[(ACCEPT_ENCODING, "gzip")])).is_err());
    }
}
