//! What is asked of `/v1`: values of any bytes, conditions, counters, patches, lists and batches.

use std::io::Read;
use std::path::Path;

use hyper::header::{CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;

use super::entries::{absent, object_of, read_input};
use super::exchange::{Answer, Node};
use super::output::{Format, print, print_bytes, remark, visible};
use super::{BatchArgs, ClientError, DelArgs, Exit, GetArgs, IncrArgs, LsArgs, PatchArgs, PutArgs};
use crate::limits::{CLIENT_BATCH_BYTES, CLIENT_BATCH_OPERATIONS, VALUE_BYTES_CEILING};

const NDJSON: &str = "application/x-ndjson";

/// `get`, with its fields or of any bytes.
pub(super) async fn get(node: &Node, args: &GetArgs) -> Result<Exit, ClientError> {
    let path = path_of(&args.namespace, &key_of(&args.key, args.hex)?);
    let answer = node.ask_with(Method::GET, &path, &[], None).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(absent(&args.key));
    }
    let answer = node.success(answer)?;
    if args.include {
        print(&format!("HTTP/1.1 {}", answer.status))?;
        for (name, value) in &answer.headers {
            print(&format!("{name}: {}", visible(&String::from_utf8_lossy(value.as_bytes()))))?;
        }
        print("")?;
    }
    match (&args.file, args.hex) {
        (Some(path), _) => std::fs::write(path, &answer.body).map_err(file("--file", path))?,
        (None, true) => print(&to_hex(&answer.body))?,
        (None, false) => print_bytes(&answer.body)?,
    }
    Ok(Exit::Done)
}

/// `put`, with a condition or of any bytes.
pub(super) async fn put(node: &Node, args: &PutArgs) -> Result<Exit, ClientError> {
    let mut path = path_of(&args.namespace, &key_of(&args.key, args.hex)?);
    if let Some(ttl) = &args.ttl {
        path += &format!("?ttl={}", encoded(ttl.as_bytes()));
    }
    let (value, media) = value_of(args)?;
    let mut fields = vec![(CONTENT_TYPE, media)];
    let conditions = [(IF_MATCH, &args.if_match), (IF_NONE_MATCH, &args.if_none_match)];
    fields.extend(conditions.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    let answer = node.success(node.ask_with(Method::PUT, &path, &fields, Some(value)).await?)?;
    let etag = answer.header("etag");
    match args.client.format() {
        Format::Json => print(&serde_json::json!({ "etag": etag }).to_string())?,
        Format::Text => print(&format!("stored {} {etag}", visible(&args.key)))?,
    }
    Ok(Exit::Done)
}

/// The value that is to be put, and what it is.
fn value_of(args: &PutArgs) -> Result<(Vec<u8>, String), ClientError> {
    let missing = || ClientError::Setting {
        setting: "VALUE",
        value: "missing".to_owned(),
        allowed: "a value, - for standard input, or --file FILE".to_owned(),
    };
    let value = match (&args.file, args.value.as_deref()) {
        (Some(path), _) => read_file(path)?,
        (None, Some("-")) => read_input(std::io::stdin())?,
        (None, Some(hex)) if args.hex => from_hex("VALUE", hex)?,
        (None, Some(value)) => value.as_bytes().to_vec(),
        (None, None) => return Err(missing()),
    };
    match (&args.r#type, &args.file, args.hex) {
        (Some(media), ..) => Ok((value, media.clone())),
        (None, Some(_), _) | (None, _, true) => Ok((value, "application/octet-stream".to_owned())),
        (None, None, false) => {
            let data = object_of("VALUE", &value)?.as_bytes().to_vec();
            Ok((data, "application/json".to_owned()))
        }
    }
}

/// `del --prefix`: everything that begins so.
pub(super) async fn del_prefix(
    node: &Node,
    args: &DelArgs,
    prefix: &str,
) -> Result<Exit, ClientError> {
    let path = namespace_path(&args.namespace);
    let (mut deleted, mut cursor) = (0_u64, None);
    loop {
        let page = page(node, &args.namespace, prefix, "1000", cursor.as_deref()).await?;
        let delete = |name: &str| {
            let keys = page[name].as_array().into_iter().flatten().cloned();
            let member = if name == "keys" { "key" } else { "key_base64" };
            keys.map(move |key| serde_json::json!({"op": "delete", member: key}))
                .collect::<Vec<_>>()
        };
        let operations = [delete("keys"), delete("base64")].concat();
        let body = serde_json::json!(operations).to_string().into_bytes();
        let answers: Vec<Value> = node.read(&node.ask(Method::POST, &path, Some(body)).await?)?;
        for answer in &answers {
            match answer["status"].as_u64() {
                Some(204) => deleted += 1,
                Some(404) => {}
                _ => return Err(node.unexpected(&answer["message"])),
            }
        }
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    match args.client.format() {
        Format::Json => print(&serde_json::json!({ "deleted": deleted }).to_string())?,
        Format::Text => print(&format!("deleted {deleted} keys"))?,
    }
    Ok(Exit::Done)
}

/// `incr`.
pub(super) async fn incr(node: &Node, args: &IncrArgs) -> Result<Exit, ClientError> {
    let mut path = path_of(&args.namespace, args.key.as_bytes());
    path += &format!("?op=incr&by={}", args.by);
    for (name, number) in [("initial", args.initial), ("min", args.min), ("max", args.max)] {
        if let Some(number) = number {
            path += &format!("&{name}={number}");
        }
    }
    if let Some(ttl) = &args.ttl {
        path += &format!("&ttl={}", encoded(ttl.as_bytes()));
    }
    let body = node.ask(Method::POST, &path, None).await?;
    let answer: Value = node.read(&body)?;
    match args.client.format() {
        Format::Json => print(&answer.to_string())?,
        Format::Text => print(&answer["value"].to_string())?,
    }
    Ok(Exit::Done)
}

/// `patch`.
pub(super) async fn patch(node: &Node, args: &PatchArgs) -> Result<Exit, ClientError> {
    let path = path_of(&args.namespace, args.key.as_bytes());
    let patch = match args.patch.as_str() {
        "-" => read_input(std::io::stdin())?,
        text => text.as_bytes().to_vec(),
    };
    // A list of operations is a list, and a merge patch that is one would replace all there is.
    let is_list = patch.trim_ascii_start().starts_with(b"[");
    let media = match is_list && !args.merge {
        true => "application/json-patch+json",
        false => "application/merge-patch+json",
    };
    let mut fields = vec![(CONTENT_TYPE, media.to_owned())];
    fields.extend(args.if_match.iter().map(|etag| (IF_MATCH, etag.clone())));
    let answer = node.ask_with(Method::PATCH, &path, &fields, Some(patch)).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(absent(&args.key));
    }
    let answer = node.success(answer)?;
    let etag = answer.header("etag");
    match args.client.format() {
        Format::Json => print(&serde_json::json!({ "etag": etag }).to_string())?,
        Format::Text => print(&format!("patched {} {etag}", visible(&args.key)))?,
    }
    Ok(Exit::Done)
}

/// `ls`: a key a line, or how many there are.
pub(super) async fn ls(node: &Node, args: &LsArgs) -> Result<Exit, ClientError> {
    let prefix = args.prefix.as_deref().unwrap_or_default();
    if args.count {
        let path = format!(
            "{}?count&prefix={}",
            namespace_path(&args.namespace),
            encoded(prefix.as_bytes())
        );
        let counted: Value = node.read(&node.ask(Method::GET, &path, None).await?)?;
        print(&match args.client.format() {
            Format::Json => counted.to_string(),
            Format::Text => counted["count"].to_string(),
        })?;
        return Ok(Exit::Done);
    }
    let mut cursor = None;
    loop {
        let page = page(node, &args.namespace, prefix, "1000", cursor.as_deref()).await?;
        match args.client.format() {
            Format::Json => print(&page.to_string())?,
            Format::Text => {
                for key in page["keys"].as_array().into_iter().flatten() {
                    print(&visible(key.as_str().unwrap_or_default()))?;
                }
                for key in page["base64"].as_array().into_iter().flatten() {
                    print(&format!("base64:{}", key.as_str().unwrap_or_default()))?;
                }
            }
        }
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(Exit::Done);
        }
    }
}

async fn page(
    node: &Node,
    namespace: &str,
    prefix: &str,
    limit: &str,
    cursor: Option<&str>,
) -> Result<Value, ClientError> {
    let mut path = namespace_path(namespace);
    path += &format!("?limit={limit}&prefix={}", encoded(prefix.as_bytes()));
    if let Some(cursor) = cursor {
        path += &format!("&cursor={}", encoded(cursor.as_bytes()));
    }
    node.read(&node.ask(Method::GET, &path, None).await?)
}

/// `batch`: operations of a file, a line each or in a JSON array, and their answers, a line each.
pub(super) async fn batch(node: &Node, args: &BatchArgs) -> Result<Exit, ClientError> {
    let text = match args.file.as_str() {
        "-" => read_input(std::io::stdin())?,
        path => read_file(Path::new(path))?,
    };
    let operations = operations_of(&text)?;
    let bar =
        ProgressBar::with_draw_target(Some(operations.len() as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} operations, {eta} left") {
        bar.set_style(style);
    }
    let path = namespace_path(&args.namespace);
    let fields = [(CONTENT_TYPE, NDJSON.to_owned())];
    let mut failed = 0;
    let mut left = &operations[..];
    while !left.is_empty() {
        let (part, rest) = left.split_at(part_len(left));
        let body = part.join("\n").into_bytes();
        let answer = node.ask_with(Method::POST, &path, &fields, Some(body)).await?;
        let answer = node.success(answer)?;
        for line in answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let status = node.read::<Value>(line)?["status"].as_u64().unwrap_or(500);
            failed += u64::from(400 <= status);
            bar.suspend(|| print(&String::from_utf8_lossy(line)))?;
        }
        bar.inc(part.len() as u64);
        left = rest;
    }
    bar.finish_and_clear();
    if 0 < failed {
        remark(&format!("{failed} of {} operations were not done", operations.len()));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// How many operations go in one request.
fn part_len(operations: &[String]) -> usize {
    let mut bytes = 0;
    let fits = |operation: &&String| {
        bytes += operation.len();
        bytes <= CLIENT_BATCH_BYTES
    };
    operations.iter().take(CLIENT_BATCH_OPERATIONS).take_while(fits).count().max(1)
}

/// The operations of a text, each on one line.
fn operations_of(text: &[u8]) -> Result<Vec<String>, ClientError> {
    let wrong = |reason: String| ClientError::Setting {
        setting: "FILE",
        value: reason,
        allowed: "a JSON array of operations, or one a line".to_owned(),
    };
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    if !text.trim_start().starts_with('[') {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Ok(lines.map(str::to_owned).collect());
    }
    let operations: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| wrong(format!("not JSON ({error})")))?;
    // Line ends in JSON are between its parts alone.
    Ok(operations.into_iter().map(|operation| operation.get().replace(['\r', '\n'], " ")).collect())
}

fn key_of(key: &str, is_hex: bool) -> Result<Vec<u8>, ClientError> {
    if is_hex { from_hex("KEY", key) } else { Ok(key.as_bytes().to_vec()) }
}

fn path_of(namespace: &str, key: &[u8]) -> String {
    format!("{}/{}", namespace_path(namespace), encoded(key))
}

fn namespace_path(namespace: &str) -> String {
    format!("/v1/{}", encoded(namespace.as_bytes()))
}

fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

fn read_file(path: &Path) -> Result<Vec<u8>, ClientError> {
    if path == Path::new("-") {
        return read_input(std::io::stdin());
    }
    let opened = std::fs::File::open(path).map_err(file("FILE", path))?;
    let mut bytes = Vec::new();
    let mut bounded = opened.take(8 * VALUE_BYTES_CEILING as u64);
    bounded.read_to_end(&mut bytes).map_err(file("FILE", path))?;
    Ok(bytes)
}

fn file(setting: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ClientError {
    let path = path.display().to_string();
    move |source| ClientError::File { setting, path, source }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(setting: &'static str, text: &str) -> Result<Vec<u8>, ClientError> {
    let wrong = || ClientError::Setting {
        setting,
        value: format!("{text:.40?}"),
        allowed: "two hexadecimal digits for each byte".to_owned(),
    };
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).map_err(|_| wrong())?;
        u8::from_str_radix(text, 16).map_err(|_| wrong())
    };
    digits.chunks(2).map(byte).collect()
}

impl Answer {
    /// A field as text; empty if it is not there.
    fn header(&self, name: &'static str) -> String {
        let value = self.headers.get(HeaderName::from_static(name));
        value.map_or(String::new(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_bytes_and_back() {
        assert_eq!(from_hex("KEY", "00fFa1").unwrap(), [0, 255, 161]);
        assert_eq!(to_hex(&[0, 255, 161]), "00ffa1");
        for wrong in ["0", "0g", "+1", "é"] {
            assert_eq!(from_hex("KEY", wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn operations_are_lines_or_the_elements_of_an_array() {
        let lines = |text: &str| operations_of(text.as_bytes()).unwrap();
        assert_eq!(lines("{\"a\":1}\n\n {\"b\":2}\r\n"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(lines(" [ {\"a\":\n1} , 2 ]"), ["{\"a\": 1}", "2"]);
        assert_eq!(operations_of(b"[1,").unwrap_err().exit_code(), 2);
        let large = vec!["x".repeat(CLIENT_BATCH_BYTES); 3];
        assert_eq!((part_len(&large), part_len(&["x".to_owned()])), (1, 1));
        assert_eq!(part_len(&vec![String::new(); 20_000]), CLIENT_BATCH_OPERATIONS);
    }

    #[test]
    fn keys_of_any_bytes_are_in_the_path() {
        assert_eq!(path_of("site", b"a/b c\xff"), "/v1/site/a%2Fb%20c%FF");
    }
}
