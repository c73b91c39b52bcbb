//! Updates in place: `PATCH`, and `POST ?op=` for counters, appending, the end of a value, and taking
//! it. The shard's writer does each as one thing.

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue};
use warp::reply::Response;

use super::conditions::of_write;
use super::lifetime::{self, etag_of};
use super::media::{self, essence, media_of, only_plain};
use super::native::{NODE, Native, absent, done, refused};
use crate::clock;
use crate::command::{
    Append, Changed, Command, EndIs, Gives, Increment, Patch, PatchForm, Reply, Take, Touch,
};
use crate::entry::{Entry, Key, Version};
use crate::front::http::serve::{NO_STORE, Params, Parts, Refusal, raw_json, read};

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const PATCHES: &str = "application/merge-patch+json, application/json-patch+json";

const OPERATIONS: &str = "incr, append, touch, persist, take";

/// What a counter is told.
#[derive(Debug, Default)]
pub(super) struct Count<'a> {
    pub(super) by: Option<Cow<'a, str>>,
    pub(super) initial: Option<Cow<'a, str>>,
    pub(super) min: Option<Cow<'a, str>>,
    pub(super) max: Option<Cow<'a, str>>,
}

impl Native {
    /// `PATCH /v1/{namespace}/{key…}`.
    pub(super) async fn patch<S, B>(
        &self,
        key: Key,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        Params::new(&parts.query).only(&[])?;
        let condition = of_write(headers)?;
        let form = form_of(headers)?;
        only_plain(headers)?;
        let bytes_max = self.cache.value_bytes_max();
        let body = read(parts.body, parts.content_length, bytes_max).await?;
        // What is no patch is wrong with the request and not with the value that is there.
        form.read(&body.bytes).map_err(|reason| Refusal::bad_request(reason.to_string()))?;
        let (patch, bytes_max) = (body.bytes.clone(), bytes_max as u64);
        let patch = Patch { key, patch, form, bytes_max, condition };
        let (version, _, node) = self.update(patch.into()).await?;
        Ok(written(StatusCode::NO_CONTENT, version, node))
    }

    /// `POST /v1/{namespace}/{key…}?op=…`.
    pub(super) async fn operate<S, B>(
        &self,
        key: Key,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let query = parts.query.clone();
        let params = Params::new(&query);
        let condition = of_write(headers)?;
        let Some(op) = params.single("op")? else {
            return Err(Refusal::bad_request(format!("op is missing; allowed: {OPERATIONS}")));
        };
        if op == "append" {
            return self.append(key, headers, parts).await;
        }
        let command = match op.as_ref() {
            "incr" => {
                let [_, by, initial, min, max, ttl] =
                    params.pick(["op", "by", "initial", "min", "max", "ttl"])?;
                let expires_at = lifetime::end_of(ttl.as_deref(), headers)?;
                let count = Count { by, initial, min, max };
                Increment { expires_at, condition, ..count.increment(key)? }.into()
            }
            "touch" => {
                let [_, ttl] = params.pick(["op", "ttl"])?;
                let expires_at = lifetime::end_of(ttl.as_deref(), headers)?;
                if expires_at.is_none() {
                    return Err(Refusal::bad_request("ttl is missing; allowed: ?op=touch&ttl=30s"));
                }
                let (only, gives) = (EndIs::Any, Gives::Nothing);
                Touch { key, expires_at, only, condition, gives }.into()
            }
            "persist" => {
                params.only(&["op"])?;
                let (only, gives) = (EndIs::Any, Gives::Nothing);
                Touch { key, expires_at: None, only, condition, gives }.into()
            }
            "take" => {
                params.only(&["op"])?;
                Command::from(Take { key, condition, gives: Gives::Entry })
            }
            other => {
                let message = format!("op is {other:.40}; allowed: {OPERATIONS}");
                return Err(Refusal::bad_request(message));
            }
        };
        // Nothing is passed over, and none of these has anything to say but in its parameters.
        read(parts.body, parts.content_length, 0).await?;
        match command {
            Command::Take(take) => self.take(take).await,
            Command::Increment(increment) => {
                let (version, number, node) = self.update(increment.into()).await?;
                Ok(numbered("value", number, version, node))
            }
            command => {
                let (version, _, node) = self.update(command).await?;
                Ok(written(StatusCode::NO_CONTENT, version, node))
            }
        }
    }

    async fn append<S, B>(
        &self,
        key: Key,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let [_, ttl] = Params::new(&parts.query).pick(["op", "ttl"])?;
        let expires_at = lifetime::end_of(ttl.as_deref(), headers)?;
        let (condition, called) = (of_write(headers)?, media_of(headers)?);
        only_plain(headers)?;
        let bytes_max = self.cache.value_bytes_max();
        let body = read(parts.body, parts.content_length, bytes_max).await?;
        // Valid JSON with more behind it may be none.
        let (value, media) = (body.bytes.clone(), called.named());
        let bytes_max = bytes_max as u64;
        let append = Append { key, value, at: None, media, expires_at, bytes_max, condition };
        let (version, number, node) = self.update(append.into()).await?;
        Ok(numbered("length", number, version, node))
    }

    async fn take(&self, take: Take) -> Result<Response, Refusal> {
        let node = self.owner_of(&take.key);
        match self.cache.run_one(take.into()).await? {
            Reply::Entry(Some(entry)) => Ok(taken(&entry, node)),
            Reply::Entry(None) => Err(absent()),
            Reply::Changed(Changed::Refused) => Err(refused()),
            reply => Err(Refusal::unexpected(&reply)),
        }
    }

    /// Has an update done, and returns the version there is now, what came out, and who did it.
    async fn update(&self, command: Command) -> Result<(Version, i64, HeaderValue), Refusal> {
        let node = command.keys().first().map_or(self.node.clone(), |key| self.owner_of(key));
        let reply = self.cache.run_one(command).await?;
        let (version, number) = outcome(reply, self.cache.value_bytes_max())?;
        Ok((version, number, node))
    }
}

impl Count<'_> {
    /// A change of the number under a key.
    ///
    /// # Errors
    ///
    /// 400 for what is no number of 64 bits, and for bounds that leave none.
    pub(super) fn increment(&self, key: Key) -> Result<Increment, Refusal> {
        let Self { by, initial, min, max } = self;
        let min = number("min", min.as_deref(), i64::MIN)?;
        let max = number("max", max.as_deref(), i64::MAX)?;
        if max < min {
            return Err(Refusal::bad_request(format!("min is {min}; allowed: up to max, {max}")));
        }
        Ok(Increment {
            key,
            by: number("by", by.as_deref(), 1)?,
            initial: number("initial", initial.as_deref(), 0)?,
            min,
            max,
            expires_at: None,
            condition: Default::default(),
        })
    }
}

fn number(name: &str, text: Option<&str>, default: i64) -> Result<i64, Refusal> {
    text.map_or(Ok(default), str::parse).map_err(|_| {
        let (text, min, max) = (text.unwrap_or_default(), i64::MIN, i64::MAX);
        Refusal::bad_request(format!("{name} is {text:.40}; allowed: an integer, {min} to {max}"))
    })
}

/// The version there is now and what came out of an update.
///
/// # Errors
///
/// 404, 409, 412 or 413 if nothing changed.
pub(super) fn outcome(reply: Reply, bytes_max: usize) -> Result<(Version, i64), Refusal> {
    match reply {
        Reply::Changed(Changed::Done { version, number }) => Ok((version, number)),
        Reply::Changed(Changed::Absent) => Err(absent()),
        Reply::Changed(Changed::Refused) => Err(refused()),
        Reply::Changed(Changed::Unfit(unfit)) => {
            Err(Refusal::new(StatusCode::CONFLICT, format!("{unfit}; nothing changed")))
        }
        Reply::Changed(Changed::TooLarge) => {
            let message = format!(
                "the value would be too large; allowed: up to {bytes_max} bytes, and half of its \
                 shard; nothing changed"
            );
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message))
        }
        reply => Err(Refusal::unexpected(&reply)),
    }
}

/// How the body of a `PATCH` is to be read.
fn form_of(headers: &HeaderMap) -> Result<PatchForm, Refusal> {
    match essence(headers, &CONTENT_TYPE)?.as_deref() {
        Some(MERGE_PATCH) => Ok(PatchForm::Merge),
        Some(JSON_PATCH) => Ok(PatchForm::Operations),
        other => {
            let other = other.unwrap_or("missing");
            let message = format!("content-type is {other:.60}; allowed: {PATCHES}");
            let patches = HeaderValue::from_static(PATCHES);
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
                .with(ACCEPT_PATCH, patches))
        }
    }
}

/// A write was done, by `node`, and made `version`.
pub(super) fn written(status: StatusCode, version: Version, node: HeaderValue) -> Response {
    let mut response = done(status, node);
    response.headers_mut().insert(ETAG, etag_of(version));
    response
}

/// The same with a number that came out.
fn numbered(name: &str, number: i64, version: Version, node: HeaderValue) -> Response {
    let mut response = raw_json(StatusCode::OK, format!("{{\"{name}\":{number}}}"));
    response.headers_mut().insert(ETAG, etag_of(version));
    response.headers_mut().insert(NODE, node);
    response
}

/// What was there, as a `GET` before would have answered, but for nobody to keep.
fn taken(entry: &Entry, node: HeaderValue) -> Response {
    let now = clock::now();
    let mut response = Response::new(Bytes::clone(&entry.value).into());
    let headers = response.headers_mut();
    media::tell(&entry.media, headers);
    headers.insert(ETAG, etag_of(entry.version));
    headers.extend(lifetime::last_modified(entry.version, now));
    headers.insert(hyper::header::CACHE_CONTROL, NO_STORE);
    headers.insert(NODE, node);
    response
}
