//! The native API: bytes under `/v1/{namespace}/{key…}`.

use serde_json::json;

use crate::process::{Node, smache};

const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const OPERATIONS: (&str, &str) = ("content-type", "application/json-patch+json");

#[test]
fn bytes_come_back_with_their_media_type_and_version() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let css = [("content-type", "text/css")];
    let created = client.request_with("PUT", "/v1/site/a/b%20c.css", &css, "a { color: red }");
    let etag = created.header("etag").unwrap().to_owned();
    assert_eq!((created.status, &*created.body), (201, ""));
    assert_eq!(created.header("location"), Some("/v1/site/a/b%20c.css"));
    let found = client.request("GET", "/v1/site/a/b%20c.css", "");
    assert_eq!((found.status, &*found.body), (200, "a { color: red }"));
    for (name, value) in [
        ("content-type", "text/css"),
        ("etag", &etag),
        ("age", "0"),
        ("smache-node", "smache@localhost"),
    ] {
        assert_eq!(found.header(name), Some(value), "{name}");
    }
    assert_eq!(found.header("cache-control"), Some("no-cache"));
    assert!(found.header("last-modified").unwrap().ends_with(" GMT"));
    let head = client.request("HEAD", "/v1/site/a/b%20c.css", "");
    assert_eq!((head.status, head.header("content-length")), (200, Some("16")));

    let replaced = client.request("PUT", "/v1/site/a/b%20c.css", "other");
    assert_eq!(replaced.status, 204);
    assert_ne!(replaced.header("etag"), Some(&*etag));
    let found = client.request("GET", "/v1/site/a/b%20c.css", "");
    assert_eq!(found.header("content-type"), Some("application/octet-stream"));

    assert_eq!(client.request("GET", "/v1/other/a/b%20c.css", "").status, 404);
    assert_eq!(client.request("DELETE", "/v1/site/a/b%20c.css", "").status, 204);
    assert_eq!(client.request("DELETE", "/v1/site/a/b%20c.css", "").status, 404);
    let absent = client.request("GET", "/v1/site/a/b%20c.css", "");
    assert_eq!((absent.status, &*absent.message()), (404, "key is absent"));
}

#[test]
fn a_value_known_by_its_version_is_not_sent_again_and_parts_can_be_asked_for() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let etag = client.request("PUT", "/v1/a/k", "0123456789").header("etag").unwrap().to_owned();
    for known in [&*etag, "*", &format!("\"x\", W/{etag}")] {
        let answer = client.request_with("GET", "/v1/a/k", &[("if-none-match", known)], "");
        assert_eq!((answer.status, answer.header("etag")), (304, Some(&*etag)), "{known}");
    }
    let other = [("if-none-match", "\"0000000000000000\"")];
    assert_eq!(client.request_with("GET", "/v1/a/k", &other, "").status, 200);
    let part = client.request_with("GET", "/v1/a/k", &[("range", "bytes=2-4")], "");
    assert_eq!((part.status, &*part.body), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let spliced = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
    assert_eq!(client.request_with("GET", "/v1/a/k", &spliced, "").status, 200);
    let same = [("range", "bytes=2-4"), ("if-range", &*etag)];
    assert_eq!(client.request_with("GET", "/v1/a/k", &same, "").status, 206);
    assert_eq!(client.request_with("HEAD", "/v1/a/k", &same, "").status, 200);
    let outside = client.request_with("GET", "/v1/a/k", &[("range", "bytes=10-")], "");
    assert_eq!((outside.status, outside.header("content-range")), (416, Some("bytes */10")));
}

#[test]
fn a_value_ends_with_its_time_to_live_and_its_memory_comes_back() {
    let node = Node::start(&["--shards", "1"]);
    let mut client = node.client();
    let hour = client.request("PUT", "/v1/default/long?ttl=1h", "x");
    assert_eq!(hour.status, 201);
    let control = [("cache-control", "public, Max-Age=7200")];
    assert_eq!(client.request_with("PUT", "/v1/default/control", &control, "x").status, 201);
    for (key, lifetime) in [("long", "max-age=3600"), ("control", "max-age=7200")] {
        let found = client.request("GET", &format!("/v1/default/{key}"), "");
        assert_eq!(found.header("cache-control"), Some(lifetime), "{key}");
    }
    for n in 0..100 {
        let target = format!("/v1/default/short-{n}?ttl=300ms");
        assert_eq!(client.request("PUT", &target, "x").status, 201);
    }
    // Absent at once, and then counted as expired by the shard's own background work.
    while client.request("GET", "/v1/default/short-99", "").status != 404 {}
    let explained = client.request("GET", "/explain?key=short-99", "").json();
    assert_eq!(explained["present"], false);
    while node.get("/status").json()["requests"]["expirations"] != json!(100) {}
    assert_eq!(node.get("/status").json()["shards"][0]["entries"], 2);
}

#[test]
fn one_cache_is_seen_through_both_apis() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let json = [("content-type", "application/json")];
    client.request_with("PUT", "/v1/default/list", &json, "[1, 2.50]");
    client.request("PUT", "/v1/default/text", "plain \"text\"");
    client.request_with("PUT", "/v1/default/broken", &json, "{\"a\":");
    client.request("POST", "/api", r#"{"key":"object","data":{"n":1.10}}"#);
    let data = |client: &mut crate::http::Client, key: &str| {
        client.request("GET", &format!("/api?key={key}"), "").json()["data"].clone()
    };
    assert_eq!(data(&mut client, "list").to_string(), "[1,2.50]");
    assert_eq!(data(&mut client, "text"), json!("plain \"text\""));
    let with_charset = [("content-type", "application/json; charset=utf-8")];
    client.request_with("PUT", "/v1/default/charset", &with_charset, r#"{"n":1}"#);
    assert_eq!(data(&mut client, "charset"), json!({"n": 1}));
    assert_eq!(data(&mut client, "broken"), json!("{\"a\":"));
    let object = client.request("GET", "/v1/default/object", "");
    assert_eq!(
        (&*object.body, object.header("content-type")),
        (r#"{"n":1.10}"#, Some("application/json"))
    );
    let broken = client.request("GET", "/v1/default/broken", "");
    assert_eq!(broken.header("content-type"), Some("application/json"));
    client.send(b"PUT /v1/default/bytes HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n\xff\xfe").unwrap();
    assert_eq!(client.receive().unwrap().status, 201);
    let bytes = client.request("GET", "/api?key=bytes", "");
    assert_eq!((bytes.status, bytes.message().contains("/v1/default/")), (406, true));
}

#[test]
fn wrong_requests_are_told_what_is_wrong_and_change_nothing() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let mut client = node.client();
    let long_type = "x".repeat(256);
    let large = "x".repeat(1_025);
    for (method, target, header, body, status, message) in [
        ("PUT", "/v1/no%20good/k", ("x", "y"), "v", 400, "namespace is invalid"),
        ("PUT", "/v1/a/", ("x", "y"), "v", 400, "key is empty"),
        ("PUT", "/v1/a/k?ttl=soon", ("x", "y"), "v", 400, "ttl is soon; allowed: 1500ms"),
        ("PUT", "/v1/a/k?ttl=0", ("x", "y"), "v", 400, "ttl is 0"),
        ("PUT", "/v1/a/k", ("cache-control", "max-age=x"), "v", 400, "max-age is x"),
        ("PUT", "/v1/a/k?tll=5s", ("x", "y"), "v", 400, "parameter tll is unknown; allowed: ttl"),
        ("PUT", "/v1/a/k", ("content-type", &*long_type), "v", 400, "content-type is wrong"),
        ("PUT", "/v1/a/k", ("if-match", "x"), "v", 400, "header if-match is malformed"),
        ("PUT", "/v1/a/k", ("if-schedule-tag-match", "x"), "v", 501, "is not in this version"),
        ("PUT", "/v1/a/k", ("content-encoding", "gzip;q=1"), "v", 400, "content-encoding is wrong"),
        ("PUT", "/v1/a/k", ("cache-tag", "a"), "v", 501, "cache-tag is not in this version"),
        ("DELETE", "/v1/a?key=k", ("if-match", "*"), "", 501, "if-match is not in this version"),
        ("GET", "/v1/a/k?lease=10s", ("x", "y"), "", 400, "parameter lease is unknown"),
        ("POST", "/v1/a/k", ("x", "y"), "", 400, "op is missing; allowed: incr, append"),
        ("POST", "/v1/a/k?op=grow", ("x", "y"), "", 400, "op is grow; allowed: incr, append"),
        ("POST", "/v1/a/k?op=incr&to=1", ("x", "y"), "", 400, "parameter to is unknown; allowed"),
        ("POST", "/v1/a/k?op=incr&by=1.5", ("x", "y"), "", 400, "by is 1.5; allowed: an integer"),
        (
            "POST",
            "/v1/a/k?op=incr&min=2&max=1",
            ("x", "y"),
            "",
            400,
            "min is 2; allowed: up to max",
        ),
        ("POST", "/v1/a/k?op=incr", ("x", "y"), "1", 413, "allowed: up to 0 bytes"),
        ("POST", "/v1/a/k?op=touch", ("x", "y"), "", 400, "ttl is missing; allowed: ?op=touch"),
        ("POST", "/v1/a/k?op=append", ("content-encoding", "br"), "v", 415, "allowed: identity"),
        ("PATCH", "/v1/a/k", ("x", "y"), "{}", 415, "content-type is missing; allowed: applicati"),
        (
            "PATCH",
            "/v1/a/k",
            ("content-type", "application/json"),
            "{}",
            415,
            "content-type is app",
        ),
        ("PATCH", "/v1/a/k", MERGE, "{", 400, "the patch is invalid"),
        ("PATCH", "/v1/a/k", OPERATIONS, "{}", 400, "the patch is invalid"),
        ("PATCH", "/v1/a/k", MERGE, "{}", 404, "key is absent"),
        ("GET", "/v1/a/k?select=a", ("x", "y"), "", 400, "select is a; allowed: a JSON pointer"),
        ("OPTIONS", "/v1/a/k", ("x", "y"), "", 405, "allowed: GET, HEAD, PUT, PATCH, POST, DELETE"),
        ("PUT", "/v1/a/k", ("x", "y"), &*large, 413, "allowed: up to 1024 bytes"),
        ("GET", "/v1/a/", ("x", "y"), "", 400, "key is empty"),
        ("DELETE", "/v1/", ("x", "y"), "", 405, "allowed: GET, HEAD"),
        ("GET", "/v1//k", ("x", "y"), "", 400, "namespace is invalid"),
    ] {
        // A body that is refused unread ends its connection.
        let mut client = node.client();
        let answer = client.request_with(method, target, &[header], body);
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        assert!(answer.message().contains(message), "{method} {target}: {answer:?}");
    }
    assert_eq!(client.request("GET", "/status", "").json()["requests"]["writes"], 0);
}

#[test]
fn a_value_put_with_a_time_to_live_from_the_command_line_ends() {
    let node = Node::start(&[]);
    let ask = |words: &[&str]| smache(words).env("SMACHE_URL", node.url()).output().unwrap();
    assert!(ask(&["put", "k", "{}", "--ttl", "1h"]).status.success());
    let left = node.get("/explain?key=k").json()["ttl_ms"].as_u64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&left), "{left}");
    assert!(ask(&["get", "k"]).status.success());
    let wrong = ask(&["put", "k", "{}", "--ttl", "soon"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("ttl is soon; allowed:"));
}

#[test]
fn several_keys_are_deleted_with_one_request() {
    let node = Node::start(&[]);
    let mut client = node.client();
    for n in 0..20 {
        assert_eq!(client.request("PUT", &format!("/v1/site/k{n}"), "x").status, 201);
    }
    let keys: String = (0..30).map(|n| format!("&key=k{n}")).collect();
    let deleted = client.request("DELETE", &format!("/v1/site?{}", &keys[1..]), "");
    assert_eq!((deleted.status, deleted.json()), (200, json!({ "deleted": 20 })));
    assert_eq!(client.request("GET", "/v1/site/k7", "").status, 404);
    for (target, message) in [
        ("/v1/site", "key is missing; allowed: ?key=K&key=L, or ?policy"),
        ("/v1/site?kye=a", "parameter kye is unknown; allowed: key, policy"),
    ] {
        let refused = client.request("DELETE", target, "");
        assert_eq!((refused.status, &*refused.message()), (400, message));
    }
}
