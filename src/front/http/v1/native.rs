//! The native API: any bytes under `/v1/{namespace}/{key…}`, with a media type and a time to live.

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LOCATION, RANGE,
};
use hyper::{Method, StatusCode};
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use warp::reply::Response;

use super::conditions::{Conditions, Verdict, of_write};
use super::lifetime;
use super::media::{self, media_of};
use super::range::{Range, Ranged};
use super::select::Selection;
use super::update::written;
use crate::cache::Cache;
use crate::clock;
use crate::command::{Changed, Command, Condition, Delete, Gives, Put, Reply, Stored, Take};
use crate::entry::{Key, NameError, Namespace};
use crate::front::http::serve::{
    Kept, NO_STORE, Params, Parts, Refusal, Value, conditions, find, only, raw_json, read,
};

pub(super) const NODE: HeaderName = HeaderName::from_static("smache-node");

/// What is allowed of a key, and of a namespace.
const METHODS: &str = "GET, HEAD, PUT, PATCH, POST, DELETE";
const NAMESPACE_METHODS: &str = "GET, HEAD, PUT, POST, DELETE";

const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// Headers that change what a write means, and come with a later version: to pass over them would
/// do something else than was asked.
const NOT_YET: [HeaderName; 3] =
    [CONTENT_RANGE, HeaderName::from_static("cache-tag"), HeaderName::from_static("smache-lease")];

/// The API over one cache.
pub(super) struct Native {
    pub(super) cache: Cache,
    pub(super) node: HeaderValue,
    /// Whether clients may tell namespaces what to go by.
    pub(super) can_manage: bool,
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Namespace(Namespace),
    Key(Key),
}

impl Native {
    pub(super) fn new(cache: Cache, can_manage: bool) -> Self {
        // A node's name is visible ASCII, which every header may hold.
        let node = HeaderValue::from_str(cache.node().as_str());
        Self { node: node.unwrap_or(HeaderValue::from_static("")), cache, can_manage }
    }

    /// `/v1`, `/v1/{namespace}` and `/v1/{namespace}/{key…}`, of which `path` is what is behind `/v1/`.
    pub(super) async fn answer<S, B>(
        &self,
        path: &str,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf + Send,
    {
        if path.is_empty() {
            return self.answer_all(&parts.method, Params::new(&parts.query));
        }
        match target(path)? {
            Target::Key(key) => self.answer_key(key, path, headers, parts).await,
            Target::Namespace(namespace) => self.answer_namespace(&namespace, headers, parts).await,
        }
    }

    async fn answer_key<S, B>(
        &self,
        key: Key,
        path: &str,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let params = Params::new(&parts.query);
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if !is_read {
            refuse_not_yet(headers)?;
        }
        match parts.method {
            #[cfg(feature = "next-protocol")]
            Method::GET if params.single("peek")?.is_some() => {
                params.only(&["peek"])?;
                self.peek(key).await
            }
            Method::GET | Method::HEAD
                if params.single("select").is_ok_and(|one| one.is_none()) =>
            {
                params.only(&["select"])?;
                // A part is of the answer to GET alone, and of two it is not known which is meant
                // (RFC 9110, 14.2).
                let part = match parts.method {
                    Method::GET => only(headers, &RANGE).unwrap_or_default(),
                    _ => None,
                };
                self.get(&key, headers, part).await
            }
            Method::GET | Method::HEAD => {
                params.only(&["select"])?;
                self.select(&key, headers, &Selection::read(params)?).await
            }
            Method::PUT => self.put(key, path, headers, parts).await,
            Method::PATCH => Box::pin(self.patch(key, headers, parts)).await,
            Method::POST => Box::pin(self.operate(key, headers, parts)).await,
            Method::DELETE => {
                params.only(&[])?;
                self.delete(key, of_write(headers)?).await
            }
            _ => Err(Refusal::method(METHODS)),
        }
    }

    async fn answer_namespace<S, B>(
        &self,
        namespace: &Namespace,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf + Send,
    {
        match conditions(headers).next() {
            Some(name) => return Err(Refusal::not_yet(name)),
            None => refuse_not_yet(headers)?,
        }
        match parts.method {
            Method::GET | Method::HEAD => {
                Box::pin(self.tell(namespace, Params::new(&parts.query))).await
            }
            Method::PUT => Box::pin(self.set_policy(namespace, headers, parts)).await,
            Method::POST => Box::pin(self.batch(namespace, headers, parts)).await,
            Method::DELETE => {
                let params = Params::new(&parts.query);
                match params.single("policy")? {
                    Some(_) => self.remove_policy(namespace, params).await,
                    None => self.delete_many(namespace, params).await,
                }
            }
            _ => Err(Refusal::method(NAMESPACE_METHODS)),
        }
    }

    async fn get(
        &self,
        key: &Key,
        headers: &HeaderMap,
        part: Option<&HeaderValue>,
    ) -> Result<Response, Refusal> {
        let conditions = Conditions::read(headers)?;
        let Some(found) = find(&self.cache, key).await? else { return Err(absent()) };
        let (now, entry) = (clock::now(), &found.entry);
        media::acceptable(&entry.media, headers)?;
        let etag = lifetime::etag_of(entry.version);
        let verdict = conditions.judge(&etag, lifetime::modified(entry.version))?;
        let mut response = match verdict {
            Verdict::NotModified => answer(StatusCode::NOT_MODIFIED, Bytes::new()),
            Verdict::Send => {
                let part = part.filter(|_| conditions.allow_part_of(&etag));
                let mut response = part_of(&found, part)?;
                let headers = response.headers_mut();
                media::tell(&entry.media, headers);
                headers.insert(ACCEPT_RANGES, BYTES);
                headers.extend(lifetime::last_modified(entry.version, now));
                response
            }
        };
        let headers = response.headers_mut();
        lifetime::tell(entry, now, headers);
        headers.insert(ETAG, etag);
        headers.insert(NODE, self.owner_of(key));
        Ok(response)
    }

    /// `GET /v1/{namespace}/{key…}?select=…`.
    async fn select(
        &self,
        key: &Key,
        headers: &HeaderMap,
        selection: &Selection,
    ) -> Result<Response, Refusal> {
        let conditions = Conditions::read(headers)?;
        let Some(found) = find(&self.cache, key).await? else { return Err(absent()) };
        let found = found.whole().await?;
        let (now, entry) = (clock::now(), &found.entry);
        let etag = lifetime::etag_of(entry.version);
        let verdict = conditions.judge(&etag, lifetime::modified(entry.version))?;
        let mut response = match verdict {
            Verdict::NotModified => answer(StatusCode::NOT_MODIFIED, Bytes::new()),
            Verdict::Send => raw_json(StatusCode::OK, selection.of(entry)?),
        };
        let headers = response.headers_mut();
        lifetime::tell(entry, now, headers);
        headers.insert(ETAG, etag);
        headers.insert(NODE, self.owner_of(key));
        Ok(response)
    }

    /// `GET /v1/{namespace}/{key…}?peek`: the value without what is made of it for a GET.
    #[cfg(feature = "next-protocol")]
    async fn peek(&self, key: Key) -> Result<Response, Refusal> {
        let node = self.owner_of(&key);
        let entry = match self.cache.run_one(crate::command::Peek { key }.into()).await? {
            Reply::Entry(Some(entry)) => entry,
            Reply::Entry(None) => return Err(absent()),
            reply => return Err(Refusal::unexpected(&reply)),
        };
        let mut response = answer(StatusCode::OK, entry.value.clone());
        media::tell(&entry.media, response.headers_mut());
        lifetime::tell(&entry, clock::now(), response.headers_mut());
        response.headers_mut().insert(NODE, node);
        Ok(response)
    }

    async fn put<S, B>(
        &self,
        key: Key,
        path: &str,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let [ttl] = Params::new(&parts.query).pick(["ttl"])?;
        let expires_at = lifetime::end_of(ttl.as_deref(), headers)?;
        let (condition, called) = (of_write(headers)?, media_of(headers)?);
        let bytes_max = self.cache.value_bytes_max();
        let body = read(parts.body, parts.content_length, bytes_max).await?;
        let Kept { value, media } = called.kept(body.bytes.clone());
        let node = self.owner_of(&key);
        let put = Put { key, value, media, expires_at, condition };
        match self.cache.run_one(Command::Put(put)).await? {
            Reply::Stored(Stored::Created(version)) => {
                let mut response = written(StatusCode::CREATED, version, node);
                response.headers_mut().extend(location_of(path));
                Ok(response)
            }
            Reply::Stored(Stored::Replaced(version) | Stored::Unchanged(version)) => {
                Ok(written(StatusCode::NO_CONTENT, version, node))
            }
            Reply::Stored(Stored::Refused) => Err(refused()),
            Reply::Stored(Stored::TooLarge) => Err(Refusal::too_large_for_shard()),
            reply => Err(Refusal::unexpected(&reply)),
        }
    }

    async fn delete(&self, key: Key, condition: Condition) -> Result<Response, Refusal> {
        let node = self.owner_of(&key);
        let command = match condition {
            Condition::Always => Delete { key }.into(),
            condition => Command::from(Take { key, condition, gives: Gives::Nothing }),
        };
        match self.cache.run_one(command).await? {
            Reply::Flag(true) => Ok(done(StatusCode::NO_CONTENT, node)),
            Reply::Flag(false) => Err(absent()),
            Reply::Changed(Changed::Refused) => Err(refused()),
            reply => Err(Refusal::unexpected(&reply)),
        }
    }

    /// `DELETE /v1/{namespace}?key=a&key=b`: several entries of any nodes, those of one slot at once.
    async fn delete_many(
        &self,
        namespace: &Namespace,
        params: Params<'_>,
    ) -> Result<Response, Refusal> {
        params.only(&["key", "policy"])?;
        let named = params.all("key")?;
        if named.is_empty() {
            return Err(Refusal::bad_request("key is missing; allowed: ?key=K&key=L, or ?policy"));
        }
        let key = |name: &Cow<'_, str>| {
            Key::in_namespace(namespace.clone(), name.as_bytes().to_vec()).map_err(wrong_name)
        };
        let keys = named.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let deleted = self.cache.delete_many(keys).await?;
        Ok(raw_json(StatusCode::OK, format!("{{\"deleted\":{deleted}}}")))
    }

    /// The node that owns a key.
    pub(super) fn owner_of(&self, key: &Key) -> HeaderValue {
        let other = self.cache.other_owner(key);
        let other = other.and_then(|other| HeaderValue::from_str(other.as_str()).ok());
        other.unwrap_or_else(|| self.node.clone())
    }
}

/// What a path names: the namespace that it is or that is before its first slash, and the key that is
/// the rest, percent-decoded, slashes included. `serve` has taken back what needs no escape.
fn target(path: &str) -> Result<Target, Refusal> {
    let Some((namespace, key)) = path.split_once('/') else {
        return Namespace::new(path).map(Target::Namespace).map_err(wrong_name);
    };
    let namespace = Namespace::new(namespace).map_err(wrong_name)?;
    let key: Vec<u8> = percent_decode_str(key).collect();
    Key::in_namespace(namespace, key).map(Target::Key).map_err(wrong_name)
}

/// Where a value is that was created: at the target it was put to.
fn location_of(path: &str) -> Option<(HeaderName, HeaderValue)> {
    let path = utf8_percent_encode(path, CONTROLS);
    HeaderValue::try_from(format!("/v1/{path}")).ok().map(|path| (LOCATION, path))
}

pub(super) fn wrong_name(reason: NameError) -> Refusal {
    Refusal::bad_request(reason.to_string())
}

pub(super) fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "key is absent")
}

/// A write whose condition did not hold.
pub(super) fn refused() -> Refusal {
    let message = "the condition does not hold for what is there; nothing changed";
    Refusal::new(StatusCode::PRECONDITION_FAILED, message)
}

fn refuse_not_yet(headers: &HeaderMap) -> Result<(), Refusal> {
    match NOT_YET.iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(Refusal::not_yet(name)),
        None => Ok(()),
    }
}

/// All of a value, or the part that is asked for.
fn part_of(found: &Value, part: Option<&HeaderValue>) -> Result<Response, Refusal> {
    let length = found.len;
    match part.map_or(Ranged::Whole, |range| Range::read(range, length)) {
        Ranged::Whole => {
            let mut response = found.part(0..length);
            // hyper would leave out the length of nothing in an answer to HEAD.
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            Ok(response)
        }
        Ranged::Part(Range { first, last }) => {
            let mut response = found.part(first..last + 1);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = HeaderValue::try_from(format!("bytes {first}-{last}/{length}"));
            response.headers_mut().extend(range.ok().map(|range| (CONTENT_RANGE, range)));
            Ok(response)
        }
        Ranged::Outside => {
            let message = format!("range is outside the value, which has {length} bytes");
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, message);
            let length = HeaderValue::try_from(format!("bytes */{length}"));
            Err(match length {
                Ok(length) => refusal.with(CONTENT_RANGE, length),
                Err(_) => refusal,
            })
        }
    }
}

fn answer(status: StatusCode, value: Bytes) -> Response {
    let mut response = Response::new(value.into());
    *response.status_mut() = status;
    response
}

/// A write was done, by `node`.
pub(super) fn done(status: StatusCode, node: HeaderValue) -> Response {
    let mut response = answer(status, Bytes::new());
    response.headers_mut().insert(NODE, node);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_a_namespace_or_also_a_key_that_is_decoded_to_the_byte() {
        let key = |path| target(path).map_err(|refusal| refusal.status);
        let named = |namespace: &str, key: &[u8]| {
            let namespace = Namespace::new(namespace).unwrap();
            Ok(Target::Key(Key::in_namespace(namespace, key.to_vec()).unwrap()))
        };
        assert_eq!(key("site/a/b%2Fc%20d+e%ff"), named("site", b"a/b/c d+e\xff"));
        assert_eq!(key("default/a//b/"), named("default", b"a//b/"));
        assert_eq!(key("default"), Ok(Target::Namespace(Namespace::default())));
        for path in ["/a", "no%20spaces/a", "./a", "../a", "a%2Fb/c", "*/a", "a/", "no%20"] {
            assert_eq!(key(path), Err(StatusCode::BAD_REQUEST), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_header_and_no_path_makes_the_parsers_panic(text in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            for name in [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT_ENCODING, IF_MATCH] {
                headers.insert(name, HeaderValue::from_str(&text).unwrap());
            }
            let coded = crate::entry::MediaType::Text.coded(b"gzip");
            let _ = media::acceptable(&coded, &headers);
            let _ = (media_of(&headers).is_ok(), of_write(&headers), target(&text));
        }
    }
}
