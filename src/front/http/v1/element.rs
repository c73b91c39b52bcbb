//! One element of a batch: what it asks for, and what it is answered.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::conditions::of_write;
use super::lifetime;
use super::native::{absent, refused, wrong_name};
use super::select::Selection;
use super::update::outcome;
use crate::clock;
use crate::command::{
    Append, Changed, Command, Condition, Delete, EndIs, Find, Gives, Increment, Patch, PatchForm,
    Put, Reply, Stored, Take, Touch,
};
use crate::entry::{Entry, Key, MediaType, Millis, Namespace, Version};
use crate::front::http::serve::{Kept, Refusal, ValidJson, write_json_string};
use crate::limits::{HTTP_ANSWER_BYTES_SMALL, MEDIA_TYPE_BYTES_MAX};

/// What an element asks for.
pub(super) struct Asked {
    pub(super) command: Command,
    what: What,
}

/// What an answer is made of.
enum What {
    Get(Option<Selection>),
    Put,
    Delete,
    Count,
    Append,
    Update,
    Take,
}

/// An element as it stands in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    op: Cow<'a, str>,
    key: Option<Cow<'a, str>>,
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    base64: Option<Cow<'a, str>>,
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ttl: Option<&'a RawValue>,
    by: Option<i64>,
    initial: Option<i64>,
    min: Option<i64>,
    max: Option<i64>,
    #[serde(borrow, default)]
    merge: Option<&'a RawValue>,
    #[serde(borrow, default)]
    patch: Option<&'a RawValue>,
    select: Option<Vec<String>>,
    if_match: Option<Cow<'a, str>>,
    if_none_match: Option<Cow<'a, str>>,
}

/// Every operation and the members it has besides `op`, `key` and `key_base64`.
const OPERATIONS: [(&str, &[&str]); 9] = [
    ("get", &["select"]),
    ("put", &["value", "base64", "type", "ttl", "if_match", "if_none_match"]),
    ("delete", &["if_match", "if_none_match"]),
    ("incr", &["by", "initial", "min", "max", "ttl", "if_match", "if_none_match"]),
    ("append", &["value", "base64", "type", "ttl", "if_match", "if_none_match"]),
    ("touch", &["ttl", "if_match", "if_none_match"]),
    ("persist", &["if_match", "if_none_match"]),
    ("take", &["if_match", "if_none_match"]),
    ("patch", &["merge", "patch", "if_match", "if_none_match"]),
];

impl Asked {
    /// Reads an element that is about keys of `namespace`, in which a value may have `bytes_max`.
    ///
    /// # Errors
    ///
    /// 400 or 413, which are the answer to this element.
    pub(super) fn read(
        text: &[u8],
        namespace: &Namespace,
        bytes_max: usize,
    ) -> Result<Self, Refusal> {
        let form: Form<'_> = serde_json::from_slice(text).map_err(|reason| {
            Refusal::bad_request(format!(
                "element is wrong: {reason}; allowed: {{\"op\":…,\"key\":…}}"
            ))
        })?;
        form.check_members()?;
        let key = form.key(namespace)?;
        let (command, what) = form.command(key, bytes_max as u64)?;
        Ok(Self { command, what })
    }

    /// Whether what it gives may be large: so many small values it may take.
    pub(super) fn weight(&self, bytes_max: usize) -> usize {
        match self.what {
            What::Get(_) => 1,
            What::Take => bytes_max.div_ceil(HTTP_ANSWER_BYTES_SMALL).max(1),
            What::Put | What::Delete | What::Count | What::Append | What::Update => 0,
        }
    }

    /// Adds the answer to what became of it.
    ///
    /// # Errors
    ///
    /// What is answered instead; nothing was added.
    pub(super) fn answer(
        &self,
        reply: Reply,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match (&self.what, reply) {
            (What::Get(selection), Reply::Entry(Some(entry))) => {
                give(&entry, selection.as_ref(), out)
            }
            (What::Take, Reply::Entry(Some(entry))) => give(&entry, None, out),
            (What::Get(_) | What::Take, Reply::Entry(None)) => Err(absent()),
            (What::Put, Reply::Stored(stored)) => put(stored, out),
            (What::Delete, Reply::Flag(true)) => {
                close(begin(StatusCode::NO_CONTENT, None, out));
                Ok(())
            }
            (What::Delete, Reply::Flag(false)) => Err(absent()),
            (_, Reply::Changed(Changed::Refused)) => Err(refused()),
            (What::Count, reply) => number("value", outcome(reply, bytes_max)?, out),
            (What::Append, reply) => number("length", outcome(reply, bytes_max)?, out),
            (What::Update, reply) => {
                let (version, _) = outcome(reply, bytes_max)?;
                close(begin(StatusCode::NO_CONTENT, Some(version), out));
                Ok(())
            }
            (_, reply) => Err(Refusal::unexpected(&reply)),
        }
    }
}

/// Adds the answer to an element that was not done.
pub(super) fn refuse(refusal: &Refusal, out: &mut Vec<u8>) {
    let out = begin(refusal.status, None, out);
    out.extend_from_slice(b",\"message\":");
    write_json_string(out, &refusal.message);
    close(out);
}

fn put(stored: Stored, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (status, version) = match stored {
        Stored::Created(version) => (StatusCode::CREATED, version),
        Stored::Replaced(version) | Stored::Unchanged(version) => (StatusCode::NO_CONTENT, version),
        Stored::Refused => return Err(refused()),
        Stored::TooLarge => return Err(Refusal::too_large_for_shard()),
    };
    close(begin(status, Some(version), out));
    Ok(())
}

fn number(name: &str, (version, number): (Version, i64), out: &mut Vec<u8>) -> Result<(), Refusal> {
    let out = begin(StatusCode::OK, Some(version), out);
    out.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
    close(out);
    Ok(())
}

/// Adds a value: JSON as it stands, anything else as base64 with its type.
fn give(entry: &Entry, selection: Option<&Selection>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let selected = selection.map(|selection| selection.of(entry)).transpose()?;
    let out = begin(StatusCode::OK, Some(entry.version), out);
    match (selected, ValidJson::called_json(entry)) {
        (Some(parts), _) => {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(&parts);
        }
        (None, Some(json)) => {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(json.as_str().as_bytes());
        }
        (None, None) => {
            out.extend_from_slice(b",\"base64\":\"");
            out.extend_from_slice(BASE64.encode(&entry.value).as_bytes());
            out.extend_from_slice(b"\",\"type\":");
            write_json_string(out, &String::from_utf8_lossy(entry.media.name()));
            if let Some(coding) = entry.media.coding() {
                out.extend_from_slice(b",\"encoding\":");
                write_json_string(out, &String::from_utf8_lossy(coding));
            }
        }
    }
    if let Some(end) = entry.expires_at {
        let ttl_ms = end.left(clock::now());
        out.extend_from_slice(format!(",\"ttl_ms\":{ttl_ms}").as_bytes());
    }
    close(out);
    Ok(())
}

fn begin(status: StatusCode, version: Option<Version>, out: &mut Vec<u8>) -> &mut Vec<u8> {
    out.extend_from_slice(format!("{{\"status\":{}", status.as_u16()).as_bytes());
    if let Some(version) = version {
        out.extend_from_slice(format!(",\"etag\":\"\\\"{version}\\\"\"").as_bytes());
    }
    out
}

fn close(out: &mut Vec<u8>) {
    out.push(b'}');
}

impl Form<'_> {
    /// Refuses members that say nothing to the operation.
    fn check_members(&self) -> Result<(), Refusal> {
        let Some((op, allowed)) = OPERATIONS.iter().find(|(op, _)| *op == self.op) else {
            let known = OPERATIONS.map(|(op, _)| op).join(", ");
            return Err(Refusal::bad_request(format!("op is {:.40}; allowed: {known}", self.op)));
        };
        let members = [
            ("value", self.value.is_some()),
            ("base64", self.base64.is_some()),
            ("type", self.r#type.is_some()),
            ("ttl", self.ttl.is_some()),
            ("by", self.by.is_some()),
            ("initial", self.initial.is_some()),
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("merge", self.merge.is_some()),
            ("patch", self.patch.is_some()),
            ("select", self.select.is_some()),
            ("if_match", self.if_match.is_some()),
            ("if_none_match", self.if_none_match.is_some()),
        ];
        match members.iter().find(|(name, is_there)| *is_there && !allowed.contains(name)) {
            Some((name, _)) => {
                let allowed = allowed.join(", ");
                let message = format!("{name} says nothing to {op}; allowed: key, {allowed}");
                Err(Refusal::bad_request(message))
            }
            None => Ok(()),
        }
    }

    fn key(&self, namespace: &Namespace) -> Result<Key, Refusal> {
        let bytes: Bytes = match (&self.key, &self.key_base64) {
            (Some(key), None) => Bytes::copy_from_slice(key.as_bytes()),
            (None, Some(key)) => bytes_of("key_base64", key)?,
            _ => return Err(Refusal::bad_request("key is missing; allowed: key or key_base64")),
        };
        Key::in_namespace(namespace.clone(), bytes).map_err(wrong_name)
    }

    fn command(&self, key: Key, bytes_max: u64) -> Result<(Command, What), Refusal> {
        let condition = self.condition()?;
        Ok(match self.op.as_ref() {
            "get" => {
                let selection = match &self.select {
                    Some(texts) => Some(Selection::of_texts(texts)?),
                    None => None,
                };
                let bytes_max = HTTP_ANSWER_BYTES_SMALL as u64;
                (Find { key, bytes_max }.into(), What::Get(selection))
            }
            "put" => {
                let Kept { value, media } = self.kept()?;
                let expires_at = self.end()?;
                (Put { key, value, media, expires_at, condition }.into(), What::Put)
            }
            "delete" if condition == Condition::Always => (Delete { key }.into(), What::Delete),
            "delete" => (Take { key, condition, gives: Gives::Nothing }.into(), What::Delete),
            "incr" => (self.increment(key, condition)?.into(), What::Count),
            "append" => {
                let Kept { value, media } = self.kept()?;
                let media = match media {
                    // Valid JSON with more behind it may be none.
                    MediaType::Json => MediaType::Other(Bytes::from_static(b"application/json")),
                    media => media,
                };
                let expires_at = self.end()?;
                let append =
                    Append { key, value, at: None, media, expires_at, bytes_max, condition };
                (append.into(), What::Append)
            }
            "touch" => {
                let missing = || Refusal::bad_request("ttl is missing; allowed: \"ttl\":\"30s\"");
                let expires_at = Some(self.end()?.ok_or_else(missing)?);
                let (only, gives) = (EndIs::Any, Gives::Nothing);
                (Touch { key, expires_at, only, condition, gives }.into(), What::Update)
            }
            "persist" => {
                let (only, gives) = (EndIs::Any, Gives::Nothing);
                (Touch { key, expires_at: None, only, condition, gives }.into(), What::Update)
            }
            "take" => (Take { key, condition, gives: Gives::Entry }.into(), What::Take),
            // The only one that is left of those that were looked for.
            _ => {
                let (patch, form) = self.patch()?;
                (Patch { key, patch, form, bytes_max, condition }.into(), What::Update)
            }
        })
    }

    fn increment(&self, key: Key, condition: Condition) -> Result<Increment, Refusal> {
        let (min, max) = (self.min.unwrap_or(i64::MIN), self.max.unwrap_or(i64::MAX));
        if max < min {
            return Err(Refusal::bad_request(format!("min is {min}; allowed: up to max, {max}")));
        }
        let (by, initial) = (self.by.unwrap_or(1), self.initial.unwrap_or(0));
        Ok(Increment { key, by, initial, min, max, expires_at: self.end()?, condition })
    }

    fn patch(&self) -> Result<(Bytes, PatchForm), Refusal> {
        let (text, form) = match (self.merge, self.patch) {
            (Some(merge), None) => (merge, PatchForm::Merge),
            (None, Some(patch)) => (patch, PatchForm::Operations),
            _ => return Err(Refusal::bad_request("patch is missing; allowed: merge or patch")),
        };
        let patch = Bytes::copy_from_slice(text.get().as_bytes());
        form.read(&patch).map_err(|reason| Refusal::bad_request(reason.to_string()))?;
        Ok((patch, form))
    }

    /// The value and what it is.
    fn kept(&self) -> Result<Kept, Refusal> {
        let media = match self.r#type.as_deref() {
            None => None,
            Some(name) if is_type(name) => {
                Some(MediaType::Other(Bytes::copy_from_slice(name.as_bytes())))
            }
            Some(_) => {
                return Err(Refusal::bad_request(format!(
                    "type is wrong; allowed: 1 to {MEDIA_TYPE_BYTES_MAX} ASCII characters"
                )));
            }
        };
        match (self.value, &self.base64) {
            (Some(json), None) => {
                let Kept { value, media: plain } = ValidJson::of_raw(json).to_kept();
                Ok(Kept { value, media: media.unwrap_or(plain) })
            }
            (None, Some(base64)) => {
                let value = bytes_of("base64", base64)?;
                Ok(Kept { value, media: media.unwrap_or(MediaType::Bytes) })
            }
            _ => Err(Refusal::bad_request("value is missing; allowed: value or base64")),
        }
    }

    fn end(&self) -> Result<Option<Millis>, Refusal> {
        let Some(ttl) = self.ttl else { return Ok(None) };
        let text: Cow<'_, str> = match serde_json::from_str::<String>(ttl.get()) {
            Ok(text) => text.into(),
            Err(_) => ttl.get().into(),
        };
        Ok(Some(clock::now().after(lifetime::of_text(&text)?)))
    }

    /// The condition that is written as in the fields of a request.
    fn condition(&self) -> Result<Condition, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, text) in [(IF_MATCH, &self.if_match), (IF_NONE_MATCH, &self.if_none_match)] {
            if let Some(text) = text {
                let value = HeaderValue::from_str(text).map_err(|_| {
                    Refusal::bad_request(format!("{name} is malformed; allowed: * or \"etag\", …"))
                })?;
                headers.insert(name, value);
            }
        }
        of_write(&headers)
    }
}

fn is_type(name: &str) -> bool {
    let is_visible = |byte: u8| (b' '..=b'~').contains(&byte);
    (1..=MEDIA_TYPE_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_visible)
}

fn bytes_of(name: &str, text: &str) -> Result<Bytes, Refusal> {
    let decoded = BASE64.decode(text).map_err(|reason| {
        Refusal::bad_request(format!("{name} is wrong: {reason}; allowed: base64 with padding"))
    })?;
    Ok(decoded.into())
}
