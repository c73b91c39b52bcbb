//! What caches on the way are told.

use crate::http::{Client, Response};
use crate::process::{Node, smache};

fn put(client: &mut Client, target: &str) {
    assert_eq!(client.request("PUT", target, "0123456789").status, 201);
}

fn seconds(answer: &Response, name: &str) -> u64 {
    let field = answer.header(name).unwrap();
    field.strip_prefix("max-age=").unwrap_or(field).parse().unwrap()
}

#[test]
fn a_lifetime_less_the_age_is_what_is_left() {
    let node = Node::start(&[]);
    let mut client = node.client();
    put(&mut client, "/v1/a/k?ttl=30s");
    loop {
        let found = client.request("GET", "/v1/a/k", "");
        assert_eq!(seconds(&found, "cache-control"), 30);
        if seconds(&found, "age") == 2 {
            break;
        }
    }
    let left = node.get("/explain?key=k&namespace=a").json()["ttl_ms"].as_u64().unwrap();
    assert!((26_000..=28_000).contains(&left), "{left}");
    let etag = client.request("GET", "/v1/a/k", "").header("etag").unwrap().to_owned();
    let known = client.request_with("GET", "/v1/a/k", &[("if-none-match", &etag)], "");
    assert_eq!((known.status, seconds(&known, "cache-control")), (304, 30));
    assert!(2 <= seconds(&known, "age"));
}

#[test]
fn what_is_known_is_answered_with_what_a_cache_needs_and_no_more() {
    let node = Node::start(&[]);
    let mut client = node.client();
    put(&mut client, "/v1/a/k");
    let found = client.request("GET", "/v1/a/k", "");
    let (etag, modified) = (found.header("etag").unwrap(), found.header("last-modified").unwrap());
    for known in [("if-none-match", etag), ("if-modified-since", modified)] {
        for method in ["GET", "HEAD"] {
            let answer = client.request_with(method, "/v1/a/k", &[known], "");
            assert_eq!(answer.status, 304, "{method} {known:?}");
            assert_eq!(answer.header("etag"), Some(etag));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            assert!(answer.header("date").is_some());
            for name in ["content-type", "content-length", "last-modified", "content-range"] {
                assert_eq!(answer.header(name), None, "{name}");
            }
        }
    }
    assert_eq!(client.request("PUT", "/v1/a/empty", "").status, 201);
    let empty = client.request("HEAD", "/v1/a/empty", "");
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
    let part = client.request_with("GET", "/v1/a/k", &[("range", "bytes=0-1")], "");
    for (name, value) in [("etag", etag), ("last-modified", modified), ("accept-ranges", "bytes")] {
        assert_eq!((part.status, part.header(name)), (206, Some(value)));
    }
}

#[test]
fn what_is_no_value_is_kept_by_nobody() {
    let mut command = smache(&["serve", "--http", "127.0.0.1:0"]);
    let node = Node::start_command(command.env("SMACHE_TOKEN", "hush"));
    let token = ("authorization", "Bearer hush");
    let mut asked = vec![("GET", "/status", "", 401, vec![])];
    for path in [
        "/",
        "/healthcheck",
        "/livez",
        "/readyz",
        "/status",
        "/supervision",
        "/metrics",
        "/api?key=a",
    ] {
        asked.push(("GET", path, "", 200, vec![token]));
        asked.push(("HEAD", path, "", 200, vec![token]));
    }
    let etag = ("if-match", "\"0\"");
    asked.extend([
        ("GET", "/explain?key=a", "", 200, vec![token]),
        ("POST", "/api", r#"{"key":"a","data":{}}"#, 200, vec![token]),
        ("POST", "/api", r#"{"data":{}}"#, 200, vec![token]),
        ("GET", "/api?key=a", "", 200, vec![token]),
        ("GET", "/api/cmd?key=a&cmd[query]=ONLY&cmd[keys][]=a", "", 200, vec![token]),
        ("DELETE", "/api?key=a", "", 200, vec![token]),
        ("DELETE", "/v1/a?key=k", "", 200, vec![token]),
        ("PUT", "/v1/a/k", "v", 201, vec![token]),
        ("PUT", "/v1/a/k", "w", 204, vec![token]),
        ("GET", "/v1/a/k", "", 412, vec![token, etag]),
        ("GET", "/v1/a/k", "", 416, vec![token, ("range", "bytes=9-")]),
        ("DELETE", "/v1/a/k", "", 204, vec![token]),
        ("GET", "/v1/a/k", "", 404, vec![token]),
        ("GET", "/nowhere", "", 404, vec![token]),
        ("GET", "/api", "", 405, vec![token]),
        ("GET", "/api?kye=a", "", 400, vec![token]),
        ("GET", "/api?key=a", "", 501, vec![token, etag]),
        ("POST", "/supervision/shard-0/crash", "", 403, vec![token]),
    ]);
    for (method, target, body, status, headers) in asked {
        let answer = node.client().request_with(method, target, &headers, body);
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {target}");
    }
}
