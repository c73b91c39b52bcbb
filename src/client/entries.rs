//! `get`, `put` and `del`: one entry of the cache.

use std::io::Read;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::value::RawValue;

use super::output::{Format, print, remark, visible};
use super::{ClientError, Exit, PutArgs, exchange::Node};
use crate::limits::VALUE_BYTES_CEILING;

/// What VALUE may be.
const VALUE_ALLOWED: &str = "a JSON object, such as {\"color\":\"blue\"}, of up to the node's --max-value (1 MiB unless it \
     was told otherwise, 64 MiB at most)";

/// Prints the value of `key`.
pub(super) async fn get(node: &Node, key: &str, format: Format) -> Result<Exit, ClientError> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        // Kept as the text the node sent, so that numbers keep their digits.
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let body = node.ask(Method::GET, &path_of(key), None).await?;
    let answer: Answer<'_> =
        serde_json::from_slice(&body).map_err(|error| node.unexpected(&error))?;
    let data = answer.data.get();
    let is_absent = data == "null";
    match format {
        Format::Json => print(text_of(node, &body)?)?,
        Format::Text if is_absent => {}
        Format::Text => print(data)?,
    }
    exit(key, is_absent)
}

/// Stores `value`, or what standard input holds if `value` is `-`.
pub(super) async fn put(node: &Node, args: &PutArgs, value: &str) -> Result<Exit, ClientError> {
    let PutArgs { key, ttl, client, .. } = args;
    let (setting, value) = match value {
        "-" => ("standard input", read_input(std::io::stdin())?),
        value => ("VALUE", value.as_bytes().to_vec()),
    };
    let data = object_of(setting, &value)?;
    let answer = match ttl {
        None => node.ask(Method::POST, "/api", Some(put_body(key, data))).await?,
        Some(ttl) => {
            let (key, ttl) = (encoded(key), encoded(ttl));
            let path = format!("/v1/default/{key}?ttl={ttl}");
            node.ask(Method::PUT, &path, Some(data.as_bytes().to_vec())).await?;
            Bytes::from(format!("{{\"data\":{data}}}"))
        }
    };
    match client.format() {
        Format::Json => print(text_of(node, &answer)?)?,
        Format::Text => print(&format!("stored {}", visible(key)))?,
    }
    Ok(Exit::Done)
}

/// Removes `key`.
pub(super) async fn del(
    node: &Node,
    namespace: &str,
    key: &str,
    format: Format,
) -> Result<Exit, ClientError> {
    if namespace != super::NAMESPACE {
        return del_of(node, namespace, key, format).await;
    }
    #[derive(serde::Deserialize)]
    struct Answer {
        deleted: bool,
    }
    let body = node.ask(Method::DELETE, &path_of(key), None).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|error| node.unexpected(&error))?;
    match format {
        Format::Json => print(text_of(node, &body)?)?,
        Format::Text if answer.deleted => print(&format!("deleted {}", visible(key)))?,
        Format::Text => {}
    }
    exit(key, !answer.deleted)
}

/// Removes `key` of another namespace than the usual one.
async fn del_of(
    node: &Node,
    namespace: &str,
    key: &str,
    format: Format,
) -> Result<Exit, ClientError> {
    let path = format!("/v1/{}/{}", encoded(namespace), encoded(key));
    let answer = node.ask_with(Method::DELETE, &path, &[], None).await?;
    let is_absent = answer.status == StatusCode::NOT_FOUND;
    if !is_absent {
        node.success(answer)?;
    }
    match format {
        Format::Json => {
            let (key, deleted) = (serde_json::Value::from(key), !is_absent);
            print(&format!("{{\"key\":{key},\"deleted\":{deleted}}}"))?;
        }
        Format::Text if is_absent => {}
        Format::Text => print(&format!("deleted {}", visible(key)))?,
    }
    exit(key, is_absent)
}

fn exit(key: &str, is_absent: bool) -> Result<Exit, ClientError> {
    Ok(if is_absent { absent(key) } else { Exit::Done })
}

/// Says that a key is absent.
pub(super) fn absent(key: &str) -> Exit {
    remark(&format!("{} is absent", visible(key)));
    Exit::Absent
}

fn path_of(key: &str) -> String {
    format!("/api?key={}", encoded(key))
}

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

fn text_of<'a>(node: &Node, body: &'a [u8]) -> Result<&'a str, ClientError> {
    std::str::from_utf8(body).map(str::trim_end).map_err(|error| node.unexpected(&error))
}

/// Reads all of `input`, up to a byte more than a value may have.
pub(super) fn read_input(input: impl Read) -> Result<Vec<u8>, ClientError> {
    let mut value = Vec::new();
    let mut bounded = input.take(VALUE_BYTES_CEILING as u64 + 1);
    bounded.read_to_end(&mut value).map_err(ClientError::Input)?;
    Ok(value)
}

/// The JSON object in `value`, which came from `setting`, as it was written.
pub(super) fn object_of<'a>(
    setting: &'static str,
    value: &'a [u8],
) -> Result<&'a str, ClientError> {
    let wrong =
        |value: String| ClientError::Setting { setting, value, allowed: VALUE_ALLOWED.to_owned() };
    if VALUE_BYTES_CEILING < value.len() {
        return Err(wrong("too long".to_owned()));
    }
    let data: &RawValue =
        serde_json::from_slice(value).map_err(|error| wrong(format!("not JSON ({error})")))?;
    if !data.get().starts_with('{') {
        return Err(wrong("JSON, but not an object".to_owned()));
    }
    Ok(data.get())
}

fn put_body(key: &str, data: &str) -> Vec<u8> {
    let key = serde_json::Value::from(key);
    format!("{{\"key\":{key},\"data\":{data}}}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_sent_as_it_was_written() {
        let value = br#" {"n": 1.10, "big": 123456789012345678901} "#;
        let body = put_body("k\"\n", object_of("VALUE", value).unwrap());
        let expected = r#"{"key":"k\"\n","data":{"n": 1.10, "big": 123456789012345678901}}"#;
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn a_value_that_is_no_object_is_refused_before_it_is_sent() {
        for value in ["", "{", "[1]", "null", "1", "\"text\"", "{} {}", "{'a':1}"] {
            let error = object_of("VALUE", value.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("VALUE is "), "{error}");
            assert!(error.to_string().contains("allowed: a JSON object"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn input_is_read_no_further_than_a_value_may_be_long() {
        let value = read_input(std::io::repeat(b' ')).unwrap();
        assert_eq!(value.len(), VALUE_BYTES_CEILING + 1);
        let error = object_of("standard input", &value).unwrap_err();
        assert!(error.to_string().starts_with("standard input is too long; allowed: "));
    }

    #[test]
    fn keys_are_percent_encoded() {
        assert_eq!(path_of("a/b c&d=é+%"), "/api?key=a%2Fb%20c%26d%3D%C3%A9%2B%25");
    }
}
