//! Smache's API, and ExDaas's form of it: JSON objects under keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::{Method, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use warp::reply::Response;

use super::query::{CMD_PARAMS, Cmd, Query};
use crate::cache::Cache;
use crate::command::{Command, Condition, Delete, Put, Reply, Stored};
use crate::entry::{Entry, Key};
use crate::front::http::serve::{
    Kept, Params, Parts, Refusal, ValidJson, find, json_string, raw_json, read, write_json_string,
};
use crate::limits::{HTTP_ENVELOPE_BYTES_MAX, HTTP_QUERY_BODY_BYTES_MAX};

/// The API over one cache.
pub(super) struct Api {
    cache: Cache,
    /// The name of the node as a JSON string.
    node: String,
}

/// The name of an entry, in the form the client used: it is answered in the same form.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    /// `key`, always answered as a string.
    Key(Cow<'a, str>),
    /// `id`, answered as a number if it is one.
    Id(Cow<'a, str>),
}

/// What `/api` takes: with a key in the query, and with one in the body.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const WITH_KEY_IN_QUERY: &str = "GET, HEAD, DELETE";
const WITH_KEY_IN_BODY: &str = "POST, PUT";

/// What `/api/cmd` takes.
const CMD_METHODS: &str = "GET, HEAD, POST";

/// A body as it stands, before anything is made of it. A member that is passed over is one that is
/// misspelt, so that others are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    key: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
}

/// The same of `/api/cmd`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    key: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cmd: Option<Cmd<'a>>,
}

/// A member that is there, also if it is null.
fn even_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Api {
    pub(super) fn new(cache: Cache) -> Self {
        let node = json_string(cache.node().as_str());
        Self { cache, node }
    }

    /// `/api` by GET, which needs no body.
    pub(super) async fn get(&self, query: &str) -> Result<Response, Refusal> {
        let name = Name::from_query(query)?;
        let key = name.to_key()?;
        let found = match find(&self.cache, &key).await? {
            // What is not JSON yet is made so, for which all of it has to be here.
            Some(found) if !found.is_json() => Some(found.whole().await?),
            found => found,
        };
        let other = self.cache.other_owner(&key).map(|other| json_string(other.as_str()));
        let node = other.as_ref().unwrap_or(&self.node);
        let here = found.as_ref().map_or(0, |found| found.entry.value.len());
        let mut body = Vec::with_capacity(query.len() + here + node.len() + 32);
        name.write(&mut body);
        body.extend_from_slice(b",\"data\":");
        let after: &[&[u8]] = match name {
            Name::Key(_) => &[b",\"node\":", node.as_bytes(), b"}"],
            Name::Id(_) => &[b"}"],
        };
        match found {
            Some(found) => found.enclosed(body, after).ok_or_else(not_json),
            None => {
                body.extend_from_slice(b"null");
                after.iter().for_each(|part| body.extend_from_slice(part));
                Ok(raw_json(StatusCode::OK, body))
            }
        }
    }

    /// `/api` by any method.
    pub(super) async fn answer<S, B>(&self, parts: Parts<S>) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        match parts.method {
            Method::GET | Method::HEAD => self.get(&parts.query).await,
            Method::POST | Method::PUT => {
                Params::new(&parts.query).only(&[])?;
                let bytes_max = self.cache.value_bytes_max() + HTTP_ENVELOPE_BYTES_MAX;
                let body = read(parts.body, parts.content_length, bytes_max).await?;
                let answer = self.post(&body.bytes).await;
                answer.map_err(|refusal| refusal.allowing(WITH_KEY_IN_QUERY))
            }
            Method::DELETE => self.delete(&parts.query).await,
            _ => Err(Refusal::method(METHODS)),
        }
    }

    /// `/api/cmd`.
    pub(super) async fn answer_cmd<S, B>(&self, parts: Parts<S>) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&parts.method) {
            return Err(Refusal::method(CMD_METHODS));
        }
        let others = if parts.method == Method::POST { "GET, HEAD" } else { "POST" };
        self.ask(parts).await.map_err(|refusal| refusal.allowing(others))
    }

    async fn ask<S, B>(&self, parts: Parts<S>) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        let length = parts.content_length;
        let body = read(parts.body, length, HTTP_QUERY_BODY_BYTES_MAX).await?;
        let params = Params::new(&parts.query);
        let (name, query) = if body.bytes.is_empty() {
            params.only(&CMD_PARAMS)?;
            let name = Name::of_params(params.single("key")?, params.single("id")?)?;
            (name, Query::from_params(params)?)
        } else {
            params.only(&[])?;
            let asked: Asked<'_> = parse(&body.bytes, &["key", "id", "cmd"])?;
            let name = Name::of_members(asked.key, asked.id)?.ok_or_else(key_missing)?;
            let Some(cmd) = &asked.cmd else {
                return Err(Refusal::bad_request(
                    "cmd is missing; allowed: {\"query\":…,\"keys\":…}",
                ));
            };
            (name, Query::from_body(cmd)?)
        };
        let entry = self.cache.get(&name.to_key()?).await?;
        let stored = entry.as_ref().map(json_of).transpose()?;
        let answer = query.answer(stored.as_ref().map(ValidJson::as_str))?;
        Ok(raw_json(StatusCode::OK, answer))
    }

    async fn post(&self, body: &[u8]) -> Result<Response, Refusal> {
        let posted = Posted::parse(body)?;
        let name = posted.name()?;
        let data = posted.object()?;
        let Some(name) = name else {
            let unnamed = put_of(Key::from_static("unnamed"), &data);
            let (id, reply) = self.cache.put_next(unnamed).await?;
            stored(&reply)?;
            return Ok(raw_json(
                StatusCode::OK,
                format!("{{\"id\":{id},\"data\":{}}}", data.as_str()),
            ));
        };
        let reply = self.cache.run_one(Command::Put(put_of(name.to_key()?, &data))).await?;
        stored(&reply)?;
        let data = data.as_str();
        let mut body = Vec::with_capacity(data.len() + 64);
        match name {
            Name::Key(_) => body.push(b'{'),
            Name::Id(_) => {
                name.write(&mut body);
                body.push(b',');
            }
        }
        body.extend_from_slice(b"\"data\":");
        body.extend_from_slice(data.as_bytes());
        body.push(b'}');
        Ok(raw_json(StatusCode::OK, body))
    }

    async fn delete(&self, query: &str) -> Result<Response, Refusal> {
        let name = Name::from_query(query)?;
        let reply = self.cache.run_one(Delete { key: name.to_key()? }.into()).await?;
        let mut body = vec![];
        name.write(&mut body);
        let Reply::Flag(is_deleted) = reply else { return Err(Refusal::unexpected(&reply)) };
        body.extend_from_slice(format!(",\"deleted\":{is_deleted}}}").as_bytes());
        Ok(raw_json(StatusCode::OK, body))
    }
}

impl<'a> Posted<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        parse(body, &["key", "id", "data"])
    }

    /// Whom the body is about; `None` if the next id is asked for: there is no key, no id or a null
    /// one, and there is data.
    fn name(&self) -> Result<Option<Name<'a>>, Refusal> {
        match Name::of_members(self.key, self.id)? {
            None if self.data.is_none() => Err(key_missing()),
            name => Ok(name),
        }
    }

    fn object(&self) -> Result<ValidJson<'a>, Refusal> {
        match self.data.map(ValidJson::of_raw) {
            Some(data) if data.is_object() => Ok(data),
            Some(_) => Err(Refusal::bad_request("data is not an object; allowed: a JSON object")),
            None => Err(Refusal::bad_request("data is missing; allowed: a JSON object")),
        }
    }
}

impl<'a> Name<'a> {
    fn from_query(query: &'a str) -> Result<Self, Refusal> {
        let [key, id] = Params::new(query).pick(["key", "id"])?;
        Self::of_params(key, id)
    }

    fn of_params(key: Option<Cow<'a, str>>, id: Option<Cow<'a, str>>) -> Result<Self, Refusal> {
        match (key, id) {
            (Some(_), Some(_)) => Err(key_and_id()),
            (Some(key), None) => Self::Key(key).not_nil(),
            (None, Some(id)) => Self::Id(id).not_nil(),
            (None, None) => Err(key_missing()),
        }
    }

    /// The name in the members of a body; `None` if there is no key, and no id or a null one.
    fn of_members(
        key: Option<&'a RawValue>,
        id: Option<&'a RawValue>,
    ) -> Result<Option<Self>, Refusal> {
        match (key, id) {
            (Some(_), Some(_)) => Err(key_and_id()),
            (Some(key), None) => Self::Key(name_of(key)?).not_nil().map(Some),
            (None, Some(id)) if id.get() != "null" => Self::Id(name_of(id)?).not_nil().map(Some),
            (None, _) => Ok(None),
        }
    }

    fn text(&self) -> &str {
        let (Self::Key(name) | Self::Id(name)) = self;
        name
    }

    /// Refuses what Smache has always refused as a key.
    fn not_nil(self) -> Result<Self, Refusal> {
        match self.text() {
            "" | "null" => Err(key_missing()),
            _ => Ok(self),
        }
    }

    fn to_key(&self) -> Result<Key, Refusal> {
        Key::new(Bytes::copy_from_slice(self.text().as_bytes()))
            .map_err(|reason| Refusal::bad_request(reason.to_string()))
    }

    /// Begins an object with the name as its first member.
    fn write(&self, body: &mut Vec<u8>) {
        match self {
            Self::Key(name) => {
                body.extend_from_slice(b"{\"key\":");
                write_json_string(body, name);
            }
            Self::Id(name) => {
                body.extend_from_slice(b"{\"id\":");
                match integer_of(name).is_some_and(|digits| digits == name) {
                    true => body.extend_from_slice(name.as_bytes()),
                    false => write_json_string(body, name),
                }
            }
        }
    }
}

/// A body whose members are of `members`.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], members: &[&str]) -> Result<T, Refusal> {
    // serde takes a list for a struct as well; the API does not.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::bad_request("body is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|reason| match unknown_in(body, members) {
        Some(name) => Refusal::bad_request(format!(
            "member {name:.40} is unknown; allowed: {}",
            members.join(", ")
        )),
        None => Refusal::bad_request(format!("body is not valid JSON: {reason}")),
    })
}

/// The first member of an object by name that is not among `members`; `None` if it is no object either.
fn unknown_in(body: &[u8], members: &[&str]) -> Option<String> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).ok()?;
    object.into_keys().find(|name| !members.contains(&name.as_str()))
}

/// The key in a JSON value: a string, or an integer as its decimal string.
fn name_of(raw: &RawValue) -> Result<Cow<'_, str>, Refusal> {
    let text = raw.get();
    match text.as_bytes() {
        b"null" => Err(key_missing()),
        [b'"', ..] => serde_json::from_str(text)
            .map(Cow::Owned)
            .map_err(|reason| Refusal::bad_request(format!("key is not valid text: {reason}"))),
        _ => integer_of(text).map(Cow::Borrowed).ok_or_else(|| {
            Refusal::bad_request(format!("key is {text:.100}; allowed: a string or an integer"))
        }),
    }
}

/// The decimal string of a JSON integer; `None` for a number with a fraction or an exponent, and for
/// whatever else is no integer.
fn integer_of(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = match digits.as_bytes() {
        [] => false,
        [b'0'] => true,
        [b'0', ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if !is_integer {
        return None;
    }
    Some(if text == "-0" { "0" } else { text })
}

/// Whether the value of a put without a condition is there now.
fn stored(reply: &Reply) -> Result<(), Refusal> {
    match reply {
        Reply::Stored(Stored::Created(_) | Stored::Replaced(_) | Stored::Unchanged(_)) => Ok(()),
        Reply::Stored(Stored::TooLarge) => Err(Refusal::too_large_for_shard()),
        reply => Err(Refusal::unexpected(reply)),
    }
}

fn put_of(key: Key, data: &ValidJson<'_>) -> Put {
    let Kept { value, media } = data.to_kept();
    Put { key, value, media, expires_at: None, condition: Condition::Always }
}

/// # Errors
///
/// 406 for bytes that are neither JSON nor text.
fn json_of(entry: &Entry) -> Result<ValidJson<'_>, Refusal> {
    ValidJson::of_entry(entry).ok_or_else(not_json)
}

fn not_json() -> Refusal {
    Refusal::new(
        StatusCode::NOT_ACCEPTABLE,
        "the value is neither JSON nor text; allowed: reading it at /v1/default/KEY",
    )
}

/// The answer of Smache to a key that is no key, under the status it always had. That calls for the
/// methods there are instead, which are those that have their key elsewhere.
fn key_missing() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "key cannot be nil/null/empty")
        .allowing(WITH_KEY_IN_BODY)
}

fn key_and_id() -> Refusal {
    Refusal::bad_request("key and id are both given; allowed: one of them")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(body: &str) -> Result<Option<Name<'_>>, u16> {
        let posted = Posted::parse(body.as_bytes()).map_err(|refusal| refusal.status.as_u16())?;
        posted.name().map_err(|refusal| refusal.status.as_u16())
    }

    fn key(name: &str) -> Result<Option<Name<'_>>, u16> {
        Ok(Some(Name::Key(name.into())))
    }

    fn shown(name: &Name<'_>) -> String {
        let mut body = vec![];
        name.write(&mut body);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn an_integer_and_its_decimal_string_are_one_key_and_no_others_are() {
        assert_eq!(name(r#"{"key":1}"#), key("1"));
        assert_eq!(name(r#"{"key":"1"}"#), key("1"));
        assert_eq!(name(r#"{"key":"1abc"}"#), key("1abc"));
        assert_eq!(name(r#"{"key":"01"}"#), key("01"));
        assert_eq!(name(r#"{"key":-0}"#), key("0"));
        assert_eq!(name(r#"{"key":-7}"#), key("-7"));
        let large = "123456789012345678901234567890";
        assert_eq!(name(&format!("{{\"key\":{large}}}")), key(large));
    }

    #[test]
    fn what_is_no_key_is_refused_with_405_and_what_is_no_name_with_400() {
        for body in [r#"{"key":null}"#, r#"{"key":""}"#, r#"{"key":"null"}"#, "{}", r#"{"id":""}"#]
        {
            assert_eq!(name(body), Err(405), "{body}");
        }
        for body in [
            "[1,{}]",
            "1",
            "",
            "{",
            r#"{"key":1.0}"#,
            r#"{"key":1e3}"#,
            r#"{"key":[]}"#,
            r#"{"key":true}"#,
            r#"{"key":{}}"#,
            r#"{"key":1,"key":2}"#,
            r#"{"key":1,"id":1}"#,
        ] {
            assert_eq!(name(body), Err(400), "{body}");
        }
    }

    #[test]
    fn without_key_and_id_data_gets_the_next_id() {
        assert_eq!(name(r#"{"data":{}}"#), Ok(None));
        assert_eq!(name(r#"{"id":null,"data":{}}"#), Ok(None));
        assert_eq!(name(r#"{"key":null,"data":{}}"#), Err(405));
        assert_eq!(name(r#"{"id":7,"data":{}}"#), Ok(Some(Name::Id("7".into()))));
    }

    #[test]
    fn ids_are_answered_as_numbers_where_they_are() {
        assert_eq!(shown(&Name::Id("7".into())), "{\"id\":7");
        assert_eq!(shown(&Name::Id("07".into())), "{\"id\":\"07\"");
        assert_eq!(shown(&Name::Id("-0".into())), "{\"id\":\"-0\"");
        assert_eq!(shown(&Name::Key("7".into())), "{\"key\":\"7\"");
        assert_eq!(shown(&Name::Key("a\"\n".into())), r#"{"key":"a\"\n""#);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(posted) = Posted::parse(&body) {
                let _ = (posted.name(), posted.object());
            }
        }

        #[test]
        fn bodies_that_are_nearly_right_never_panic(
            body in r#"\{"(key|id|data|cmd)":[\[\]{}":,0-9a-z\\u.eE+-]{0,20}(,"(key|id|data)":[\[\]{}":0-9a-z\\]{0,20})?\}"#
        ) {
            if let Ok(posted) = Posted::parse(body.as_bytes()) {
                let _ = (posted.name(), posted.object());
            }
        }

        #[test]
        fn every_text_but_the_null_ones_is_a_key_and_comes_back(text in ".+") {
            prop_assume!(text != "null");
            let body = format!("{{\"key\":{}}}", json_string(&text));
            prop_assert_eq!(name(&body), key(&text));
        }

        #[test]
        fn data_comes_back_to_the_digit(number in r"-?[1-9][0-9]{0,30}\.[0-9]{1,30}([eE][+-]?[0-9]{1,3})?") {
            let body = format!("{{\"key\":1,\"data\":{{\"n\":{number}}}}}");
            let posted = Posted::parse(body.as_bytes()).unwrap();
            let object = posted.object().unwrap();
            prop_assert_eq!(object.as_str(), format!("{{\"n\":{number}}}"));
        }
    }
}
