//! JSON that is known to be valid, so that it can be put into an answer as it is.
//!
//! Values are kept as text and not parsed when they are read. What makes that safe stands here:
//! nothing else in `front` makes an entry of [`MediaType::Json`], and nothing else believes one.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::entry::{Entry, MediaType};

/// The media type of JSON as most clients send it.
const NAME: &[u8] = b"application/json";

/// Text that is valid JSON: there is no way to it without a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidJson<'a>(Cow<'a, str>);

/// A value and its media type, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) value: Bytes,
    pub(crate) media: MediaType,
}

impl<'a> ValidJson<'a> {
    /// `None` for what is not valid.
    pub(crate) fn check(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let is_valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
        is_valid.then_some(Self(Cow::Borrowed(text)))
    }

    /// A part of JSON that was parsed and so was checked.
    pub(crate) fn of_raw(raw: &'a RawValue) -> Self {
        Self(Cow::Borrowed(raw.get()))
    }

    /// A value as JSON: as it is, or a text as a string; `None` for bytes that are neither.
    pub(crate) fn of_entry(entry: &'a Entry) -> Option<Self> {
        if entry.media.coding().is_some() {
            return None;
        }
        let text = std::str::from_utf8(&entry.value).ok()?;
        let as_it_is = match &entry.media {
            // It was checked before it was kept.
            MediaType::Json => Some(Self(Cow::Borrowed(text))),
            MediaType::Other(name) if is_json(name) => Self::check(&entry.value),
            MediaType::Other(_) | MediaType::Text | MediaType::Bytes => None,
        };
        Some(as_it_is.unwrap_or_else(|| Self(Cow::Owned(json_string(text)))))
    }

    /// A value that is called JSON and is that; `None` for any other.
    pub(crate) fn called_json(entry: &'a Entry) -> Option<Self> {
        match &entry.media {
            MediaType::Json => Self::of_entry(entry),
            MediaType::Other(name) if is_json(name) => Self::check(&entry.value),
            MediaType::Other(_) | MediaType::Text | MediaType::Bytes => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// The value as it is kept: a copy of its own size, as a slice would keep the whole body.
    pub(crate) fn to_kept(&self) -> Kept {
        Kept { value: Bytes::copy_from_slice(self.0.as_bytes()), media: MediaType::Json }
    }
}

impl Kept {
    /// A value that is called JSON. What is not keeps its name and nothing else.
    pub(crate) fn called_json(value: Bytes) -> Self {
        let media = match ValidJson::check(&value) {
            Some(_) => MediaType::Json,
            None => MediaType::Other(Bytes::from_static(NAME)),
        };
        Self { value, media }
    }
}

/// Whether a media type is JSON with parameters, as many clients send it (`; charset=utf-8`).
fn is_json(name: &[u8]) -> bool {
    let essence = name.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(NAME)
}

/// A text as a JSON string.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Adds a text as a JSON string.
pub(crate) fn write_json_string(body: &mut Vec<u8>, text: &str) {
    // Most names need no escape, and then what is written is the name itself.
    if text.bytes().all(|byte| b' ' <= byte && byte != b'"' && byte != b'\\') {
        body.push(b'"');
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
    } else {
        body.extend_from_slice(json_string(text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Tags, Version};

    fn entry(value: &'static [u8], media: MediaType) -> Entry {
        let (value, version, tags) = (Bytes::from_static(value), Version(1), Tags::default());
        Entry { value, media, version, expires_at: None, tags }
    }

    fn shown(value: &'static [u8], media: MediaType) -> Option<String> {
        ValidJson::of_entry(&entry(value, media)).map(|json| json.as_str().to_owned())
    }

    #[test]
    fn what_is_called_json_and_is_not_keeps_only_its_name() {
        let media = |value| Kept::called_json(Bytes::from_static(value)).media;
        let named = MediaType::Other(Bytes::from_static(NAME));
        assert_eq!(media(b"[1, 2.50]"), MediaType::Json);
        assert_eq!(media(b"{"), named);
        assert_eq!(media(b"\"\xff\""), named);
    }

    #[test]
    fn a_value_is_shown_as_it_is_or_as_a_string_and_never_as_broken_json() {
        let other = |name: &'static str| MediaType::Other(Bytes::from_static(name.as_bytes()));
        assert_eq!(shown(b"[1.50]", MediaType::Json).unwrap(), "[1.50]");
        assert_eq!(shown(b"[1]", other("Application/JSON; charset=utf-8")).unwrap(), "[1]");
        assert_eq!(shown(b"[1", other("application/json")).unwrap(), "\"[1\"");
        assert_eq!(shown(b"[1]", other("text/csv")).unwrap(), "\"[1]\"");
        assert_eq!(shown(b"a\"b", MediaType::Bytes).unwrap(), r#""a\"b""#);
        assert_eq!(shown(b"\xff", MediaType::Bytes), None);
    }
}
