//! The native API: any bytes under `/v1/{namespace}/{key…}`, with a media type and a time to live.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_RANGE, LOCATION, RANGE,
};
use hyper::{Method, StatusCode};
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use warp::reply::Response;

use super::conditions::{Conditions, Verdict};
use super::lifetime;
use super::range::{Range, Ranged};
use crate::cache::Cache;
use crate::clock;
use crate::command::{Command, Condition, Delete, Put, Reply, Stored};
use crate::entry::{Key, MediaType, NameError, Namespace};
use crate::front::http::serve::{
    Kept, NO_STORE, Params, Parts, Refusal, Value, conditions, find, only, raw_json, read,
};
use crate::limits::MEDIA_TYPE_BYTES_MAX;

const NODE: HeaderName = HeaderName::from_static("smache-node");

const METHODS: &str = "GET, HEAD, PUT, DELETE";

const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// Headers that change what a write means, and come with a later version: to pass over them would
/// do something else than was asked. So do conditions.
const NOT_YET: [HeaderName; 4] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("smache-lease"),
];

/// The API over one cache.
pub(super) struct Native {
    cache: Cache,
    node: HeaderValue,
}

/// What a client says a value is.
enum Called {
    Json,
    Other(MediaType),
}

impl Native {
    pub(super) fn new(cache: Cache) -> Self {
        // A node's name is visible ASCII, which every header may hold.
        let node = HeaderValue::from_str(cache.node().as_str());
        Self { node: node.unwrap_or(HeaderValue::from_static("")), cache }
    }

    /// `/v1/{namespace}/{key…}`, of which `path` is what is behind `/v1/`.
    pub(super) async fn answer<S, B>(
        &self,
        path: &str,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        if path.is_empty() {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "nothing is at /v1 alone"));
        }
        let params = Params::new(&parts.query);
        let (namespace, name) = names(path)?;
        if name.is_empty() && parts.method == Method::DELETE {
            refuse_not_yet(headers)?;
            return self.delete_many(&namespace, params).await;
        }
        let key = Key::in_namespace(namespace, name).map_err(wrong_name)?;
        match parts.method {
            #[cfg(feature = "next-protocol")]
            Method::GET if params.single("peek")?.is_some() => {
                params.only(&["peek"])?;
                self.peek(key).await
            }
            Method::GET | Method::HEAD => {
                params.only(&[])?;
                // A part is of the answer to GET alone, and of two it is not known which is meant
                // (RFC 9110, 14.2).
                let part = match parts.method {
                    Method::GET => only(headers, &RANGE).unwrap_or_default(),
                    _ => None,
                };
                self.get(&key, &Conditions::read(headers)?, part).await
            }
            Method::PUT => {
                refuse_not_yet(headers)?;
                let ttl = lifetime::asked(params, headers)?;
                let media = media_of(headers)?;
                let bytes_max = self.cache.value_bytes_max();
                let body = read(parts.body, parts.content_length, bytes_max).await?;
                let mut response = self.put(key, media.kept(body.bytes.clone()), ttl).await?;
                if response.status() == StatusCode::CREATED {
                    response.headers_mut().extend(location_of(path));
                }
                Ok(response)
            }
            Method::DELETE => {
                refuse_not_yet(headers)?;
                params.only(&[])?;
                self.delete(key).await
            }
            _ => Err(Refusal::method(METHODS)),
        }
    }

    async fn get(
        &self,
        key: &Key,
        conditions: &Conditions<'_>,
        part: Option<&HeaderValue>,
    ) -> Result<Response, Refusal> {
        let Some(found) = find(&self.cache, key).await? else { return Err(absent()) };
        let (now, entry) = (clock::now(), &found.entry);
        let etag = lifetime::etag_of(entry.version);
        let verdict = conditions.judge(&etag, lifetime::modified(entry.version))?;
        let mut response = match verdict {
            Verdict::NotModified => answer(StatusCode::NOT_MODIFIED, Bytes::new()),
            Verdict::Send => {
                let part = part.filter(|_| conditions.allow_part_of(&etag));
                let mut response = part_of(&found, part)?;
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, media_type(&entry.media));
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
        response.headers_mut().insert(CONTENT_TYPE, media_type(&entry.media));
        lifetime::tell(&entry, clock::now(), response.headers_mut());
        response.headers_mut().insert(NODE, node);
        Ok(response)
    }

    async fn put(
        &self,
        key: Key,
        Kept { value, media }: Kept,
        ttl: Option<Duration>,
    ) -> Result<Response, Refusal> {
        let expires_at = ttl.map(|ttl| clock::now().after(ttl));
        let put = Put { key, value, media, expires_at, condition: Condition::Always };
        let node = self.owner_of(&put.key);
        let (status, version) = match self.cache.run_one(Command::Put(put)).await? {
            Reply::Stored(Stored::Created(version)) => (StatusCode::CREATED, version),
            Reply::Stored(Stored::Replaced(version) | Stored::Unchanged(version)) => {
                (StatusCode::NO_CONTENT, version)
            }
            Reply::Stored(Stored::TooLarge) => return Err(Refusal::too_large_for_shard()),
            // Nothing else is a reply to a put without a condition.
            reply => return Err(Refusal::unexpected(&reply)),
        };
        let mut response = done(status, node);
        response.headers_mut().insert(ETAG, lifetime::etag_of(version));
        Ok(response)
    }

    async fn delete(&self, key: Key) -> Result<Response, Refusal> {
        let node = self.owner_of(&key);
        match self.cache.run_one(Delete { key }.into()).await? {
            Reply::Flag(true) => Ok(done(StatusCode::NO_CONTENT, node)),
            Reply::Flag(false) => Err(absent()),
            reply => Err(Refusal::unexpected(&reply)),
        }
    }

    /// `DELETE /v1/{namespace}?key=a&key=b`: several entries of any nodes, those of one slot at once.
    async fn delete_many(
        &self,
        namespace: &Namespace,
        params: Params<'_>,
    ) -> Result<Response, Refusal> {
        params.only(&["key"])?;
        let named = params.all("key")?;
        if named.is_empty() {
            return Err(Refusal::bad_request("key is missing; allowed: ?key=K&key=L"));
        }
        let key = |name: &Cow<'_, str>| {
            Key::in_namespace(namespace.clone(), name.as_bytes().to_vec()).map_err(wrong_name)
        };
        let keys = named.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let deleted = self.cache.delete_many(keys).await?;
        Ok(raw_json(StatusCode::OK, format!("{{\"deleted\":{deleted}}}")))
    }

    /// The node that owns a key.
    fn owner_of(&self, key: &Key) -> HeaderValue {
        let other = self.cache.other_owner(key);
        let other = other.and_then(|other| HeaderValue::from_str(other.as_str()).ok());
        other.unwrap_or_else(|| self.node.clone())
    }
}

/// The namespace and the key that a path names: what is before its first slash, and the rest,
/// percent-decoded, slashes included. `serve` has taken back what needs no escape.
fn names(path: &str) -> Result<(Namespace, Vec<u8>), Refusal> {
    let (namespace, key) = path.split_once('/').unwrap_or((path, ""));
    let namespace = Namespace::new(namespace).map_err(wrong_name)?;
    Ok((namespace, percent_decode_str(key).collect()))
}

/// Where a value is that was created: at the target it was put to.
fn location_of(path: &str) -> Option<(HeaderName, HeaderValue)> {
    let path = utf8_percent_encode(path, CONTROLS);
    HeaderValue::try_from(format!("/v1/{path}")).ok().map(|path| (LOCATION, path))
}

fn wrong_name(reason: NameError) -> Refusal {
    Refusal::bad_request(reason.to_string())
}

fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "key is absent")
}

fn refuse_not_yet(headers: &HeaderMap) -> Result<(), Refusal> {
    // Those two are of reads alone, whatever they stand in (RFC 9110, 13.1.3 and 13.1.5).
    let of_reads = [IF_MODIFIED_SINCE, IF_RANGE];
    let condition = conditions(headers).find(|name| !of_reads.contains(name));
    match NOT_YET.iter().find(|name| headers.contains_key(*name)).or(condition) {
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
fn done(status: StatusCode, node: HeaderValue) -> Response {
    let mut response = answer(status, Bytes::new());
    response.headers_mut().insert(NODE, node);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

fn media_type(media: &MediaType) -> HeaderValue {
    match media {
        MediaType::Bytes => HeaderValue::from_static("application/octet-stream"),
        MediaType::Json => HeaderValue::from_static("application/json"),
        MediaType::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
        // It was a header when it came.
        MediaType::Other(text) => HeaderValue::from_maybe_shared(text.clone())
            .unwrap_or(HeaderValue::from_static("application/octet-stream")),
    }
}

/// The media type a client gives, which its value may not be of.
fn media_of(headers: &HeaderMap) -> Result<Called, Refusal> {
    let Some(value) = only(headers, &CONTENT_TYPE)? else {
        return Ok(Called::Other(MediaType::Bytes));
    };
    if value.is_empty() || MEDIA_TYPE_BYTES_MAX < value.len() || value.to_str().is_err() {
        return Err(Refusal::bad_request(format!(
            "the header content-type is wrong; allowed: 1 to {MEDIA_TYPE_BYTES_MAX} ASCII characters"
        )));
    }
    Ok(match value.as_bytes() {
        b"application/octet-stream" => Called::Other(MediaType::Bytes),
        b"application/json" => Called::Json,
        b"text/plain; charset=utf-8" => Called::Other(MediaType::Text),
        other => Called::Other(MediaType::Other(Bytes::copy_from_slice(other))),
    })
}

impl Called {
    fn kept(self, value: Bytes) -> Kept {
        match self {
            Self::Json => Kept::called_json(value),
            Self::Other(media) => Kept { value, media },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_a_namespace_and_a_key_that_is_decoded_to_the_byte() {
        let key = |path| {
            names(path)
                .map(|(namespace, key)| (namespace.as_bytes().to_vec(), key))
                .map_err(|r| r.status)
        };
        let named = |namespace: &str, key: &[u8]| Ok((namespace.into(), key.to_vec()));
        assert_eq!(key("site/a/b%2Fc%20d+e%ff"), named("site", b"a/b/c d+e\xff"));
        assert_eq!(key("default/a//b/"), named("", b"a//b/"));
        assert_eq!(key("default"), named("", b""));
        for path in ["/a", "no%20spaces/a", "./a", "../a", "a%2Fb/c", "*/a"] {
            assert_eq!(key(path), Err(StatusCode::BAD_REQUEST), "{path}");
        }
    }

    #[test]
    fn conditions_of_reads_are_passed_over_in_writes_and_others_are_refused() {
        for (name, is_refused) in [
            ("if-match", true),
            ("if-none-match", true),
            ("if-unmodified-since", true),
            ("if-what-comes-next", true),
            ("content-range", true),
            ("if-modified-since", false),
            ("if-range", false),
            ("content-type", false),
        ] {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("*"))]);
            assert_eq!(refuse_not_yet(&headers).is_err(), is_refused, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_header_and_no_path_makes_the_parsers_panic(text in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(&text).unwrap());
            let _ = (media_of(&headers), names(&text));
        }
    }
}
