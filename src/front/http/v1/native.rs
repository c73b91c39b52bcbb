//! The native API: any bytes under `/v1/{namespace}/{key…}`, with a media type and a time to live.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use warp::reply::Response;

use super::range::{Range, Ranged};
use crate::cache::Cache;
use crate::clock;
use crate::command::{Command, Condition, Delete, Put, Reply, Stored};
use crate::entry::{Entry, Key, MediaType, Millis, NameError, Namespace, Version};
use crate::front::http::serve::{Kept, Params, Parts, Refusal, find, raw_json, read};
use crate::limits::{MEDIA_TYPE_BYTES_MAX, TTL_MAX};

const NODE: HeaderName = HeaderName::from_static("smache-node");

/// Headers that change what a write means, and come with a later version: to pass over them would
/// do something else than was asked.
const NOT_YET: [HeaderName; 7] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
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

    /// `/v1/{namespace}/{key…}`.
    pub(super) async fn answer<S, B>(
        &self,
        namespace: &str,
        path: &str,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let params = Params::new(&parts.query);
        if path.is_empty() && parts.method == Method::DELETE {
            refuse_not_yet(headers)?;
            return self.delete_many(namespace, params).await;
        }
        let key = key_of(namespace, path)?;
        match parts.method {
            #[cfg(feature = "next-protocol")]
            Method::GET if params.single("peek")?.is_some() => {
                params.only(&["peek"])?;
                self.peek(key).await
            }
            Method::GET | Method::HEAD => {
                params.only(&[])?;
                let is_get = parts.method == Method::GET;
                // A part is of the answer to GET alone (RFC 9110, 14.2).
                let part = if is_get { headers.get(RANGE) } else { None };
                self.get(&key, headers, part).await
            }
            Method::PUT => {
                refuse_not_yet(headers)?;
                params.only(&["ttl"])?;
                let ttl = ttl_of(params, headers)?;
                let media = media_of(headers)?;
                let bytes_max = self.cache.value_bytes_max();
                let body = read(parts.body, parts.content_length, bytes_max).await?;
                self.put(key, media.kept(body.bytes.clone()), ttl).await
            }
            Method::DELETE => {
                refuse_not_yet(headers)?;
                params.only(&[])?;
                self.delete(key).await
            }
            _ => Err(Refusal::method("GET, HEAD, PUT, DELETE")),
        }
    }

    async fn get(
        &self,
        key: &Key,
        headers: &HeaderMap,
        part: Option<&HeaderValue>,
    ) -> Result<Response, Refusal> {
        let Some(found) = find(&self.cache, key).await? else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "key is absent"));
        };
        let etag = etag_of(found.entry.version);
        let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &etag));
        let (status, range, mut response) = if is_known {
            (StatusCode::NOT_MODIFIED, None, Response::new(Bytes::new().into()))
        } else {
            let length = found.len;
            // Parts of two versions must not be put together (RFC 9110, 13.1.5).
            let is_same = headers.get(IF_RANGE).is_none_or(|known| *known == etag);
            let range = part.filter(|_| is_same);
            match range.map_or(Ranged::Whole, |range| Range::read(range, length)) {
                Ranged::Whole => (StatusCode::OK, None, found.part(0..length)),
                Ranged::Part(Range { first, last }) => {
                    let range = format!("bytes {first}-{last}/{length}");
                    (StatusCode::PARTIAL_CONTENT, Some(range), found.part(first..last + 1))
                }
                Ranged::Outside => {
                    let message = format!("range is outside the value, which has {length} bytes");
                    let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, message);
                    return Err(refusal.with(CONTENT_RANGE, &format!("bytes */{length}")));
                }
            }
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        Self::describe(&found.entry, clock::now(), headers);
        headers.insert(NODE, self.owner_of(key));
        headers.insert(ETAG, etag);
        if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(CONTENT_RANGE, range);
        }
        Ok(response)
    }

    /// `GET /v1/{namespace}/{key…}?peek`: the value without what is made of it for a GET.
    #[cfg(feature = "next-protocol")]
    async fn peek(&self, key: Key) -> Result<Response, Refusal> {
        let node = self.owner_of(&key);
        let entry = match self.cache.run_one(crate::command::Peek { key }.into()).await? {
            Reply::Entry(Some(entry)) => entry,
            Reply::Entry(None) => {
                return Err(Refusal::new(StatusCode::NOT_FOUND, "key is absent"));
            }
            reply => return Err(Refusal::unexpected(&reply)),
        };
        let mut response = Response::new(entry.value.clone().into());
        Self::describe(&entry, clock::now(), response.headers_mut());
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
        let mut response = Response::new(Bytes::new().into());
        *response.status_mut() = status;
        response.headers_mut().insert(ETAG, etag_of(version));
        response.headers_mut().insert(NODE, node);
        Ok(response)
    }

    async fn delete(&self, key: Key) -> Result<Response, Refusal> {
        let node = self.owner_of(&key);
        match self.cache.run_one(Delete { key }.into()).await? {
            Reply::Flag(true) => {
                let mut response = Response::new(Bytes::new().into());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().insert(NODE, node);
                Ok(response)
            }
            Reply::Flag(false) => Err(Refusal::new(StatusCode::NOT_FOUND, "key is absent")),
            reply => Err(Refusal::unexpected(&reply)),
        }
    }

    /// `DELETE /v1/{namespace}?key=a&key=b`: several entries of any nodes, those of one slot at once.
    async fn delete_many(&self, namespace: &str, params: Params<'_>) -> Result<Response, Refusal> {
        params.only(&["key"])?;
        let named = params.all("key")?;
        if named.is_empty() {
            return Err(Refusal::bad_request("key is missing; allowed: ?key=K&key=L"));
        }
        let wrong = |reason: NameError| Refusal::bad_request(reason.to_string());
        let namespace = Namespace::new(namespace).map_err(wrong)?;
        let key = |name: &Cow<'_, str>| {
            Key::in_namespace(namespace.clone(), name.as_bytes().to_vec()).map_err(wrong)
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

    /// What is known of an entry, as headers.
    fn describe(entry: &Entry, now: Millis, headers: &mut HeaderMap) {
        let media = match &entry.media {
            MediaType::Bytes => HeaderValue::from_static("application/octet-stream"),
            MediaType::Json => HeaderValue::from_static("application/json"),
            MediaType::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
            // It was a header when it came.
            MediaType::Other(text) => HeaderValue::from_maybe_shared(text.clone())
                .unwrap_or(HeaderValue::from_static("application/octet-stream")),
        };
        headers.insert(CONTENT_TYPE, media);
        // By the clock that its version was given by.
        let age_ms = clock::cluster(now).left(entry.version.millis());
        headers.insert(AGE, HeaderValue::from(age_ms / 1_000));
        if let Some(end) = entry.expires_at {
            let left_s = end.left(now) / 1_000;
            if let Ok(value) = HeaderValue::try_from(format!("max-age={left_s}")) {
                headers.insert(CACHE_CONTROL, value);
            }
        }
    }
}

/// The key a path names: the rest of it after the namespace, percent-decoded, slashes included.
fn key_of(namespace: &str, path: &str) -> Result<Key, Refusal> {
    let wrong = |reason: NameError| Refusal::bad_request(reason.to_string());
    let namespace = Namespace::new(namespace).map_err(wrong)?;
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    Key::in_namespace(namespace, bytes).map_err(wrong)
}

fn refuse_not_yet(headers: &HeaderMap) -> Result<(), Refusal> {
    match NOT_YET.iter().find(|name| headers.contains_key(*name)) {
        Some(name) => {
            let message = format!("{name} is not in this version; allowed: a write without it");
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message))
        }
        None => Ok(()),
    }
}

/// How long a value is to live: what `ttl` says, else `Cache-Control: max-age`, else for ever.
fn ttl_of(params: Params<'_>, headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let text = match params.single("ttl")? {
        Some(ttl) => ttl.into_owned(),
        None => match headers.get_all(CACHE_CONTROL).iter().find_map(max_age_of) {
            Some(seconds) => seconds.to_owned(),
            None => return Ok(None),
        },
    };
    let ttl = duration_of(&text).filter(|ttl| (Duration::from_millis(1)..=TTL_MAX).contains(ttl));
    ttl.map(Some).ok_or_else(|| {
        Refusal::bad_request(format!(
            "ttl is {text:.40}; allowed: 1500ms, 30s, 5m, 2h, 1d or seconds, from 1ms to {}d",
            TTL_MAX.as_secs() / 86_400
        ))
    })
}

fn max_age_of(value: &HeaderValue) -> Option<&str> {
    let directives = value.to_str().ok()?.split(',');
    let mut named = directives.filter_map(|directive| directive.trim().split_once('='));
    named.find_map(|(name, value)| name.eq_ignore_ascii_case("max-age").then_some(value))
}

/// A number with one of the units of the contract; without one it is seconds.
fn duration_of(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// The media type a client gives, which its value may not be of.
fn media_of(headers: &HeaderMap) -> Result<Called, Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Called::Other(MediaType::Bytes)) };
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

fn etag_of(version: Version) -> HeaderValue {
    // Hexadecimal digits in quotes are always a header.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a list of entity tags names this one, or any (RFC 9110, 13.1.2: weak comparison).
fn names(list: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(list), Ok(etag)) = (list.to_str(), etag.to_str()) else { return false };
    list.split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_the_units_of_the_contract() {
        for (text, ms) in [
            ("1500ms", 1_500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("7", 7_000),
        ] {
            assert_eq!(duration_of(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "1w", "1 s", "99999999999999999999"] {
            assert_eq!(duration_of(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_decoded_to_the_byte() {
        let key = |path| key_of("default", path).map(|key| key.as_bytes().to_vec());
        assert_eq!(key("a/b%2Fc%20d+e%ff").unwrap(), b"a/b/c d+e\xff");
        assert_eq!(key("").unwrap_err().status, 400);
        assert_eq!(key_of("no spaces", "a").unwrap_err().status, 400);
    }

    proptest! {
        #[test]
        fn no_header_and_no_query_makes_the_parsers_panic(text in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_str(&text).unwrap());
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(&text).unwrap());
            let _ = (ttl_of(Params::new(&text), &headers), media_of(&headers), key_of(&text, &text));
            let _ = names(&headers[CONTENT_TYPE], &etag_of(Version(7)));
        }
    }
}
