//! Fields and targets as their standards have them: what is not honoured is refused.

use serde_json::json;

use crate::http::Client;
use crate::process::Node;

fn put(client: &mut Client, target: &str, control: &str) -> u16 {
    client.request_with("PUT", target, &[("cache-control", control)], "v").status
}

#[test]
fn reads_are_of_the_version_that_is_asked_for() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let etag = client.request("PUT", "/v1/a/k", "0123456789").header("etag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    let several = format!("\"x\" ,{etag}");
    let range = ("range", "bytes=2-4");
    let long_ago = ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
    let later = ("if-unmodified-since", "Fri, 31 Dec 9999 23:59:59 GMT");
    for (method, fields, status) in [
        ("GET", vec![("if-match", &*etag)], 200),
        ("GET", vec![("if-match", "*")], 200),
        ("GET", vec![("if-match", &*several)], 200),
        ("GET", vec![("if-match", &*etag), range], 206),
        ("GET", vec![("if-match", "\"nope\"")], 412),
        ("HEAD", vec![("if-match", "\"nope\"")], 412),
        ("GET", vec![("if-match", "\"nope\""), range], 412),
        ("GET", vec![("if-match", &*weak)], 412),
        ("GET", vec![("if-match", "nope")], 400),
        ("GET", vec![("if-match", "")], 400),
        ("GET", vec![("if-none-match", "\"")], 400),
        ("GET", vec![long_ago], 412),
        ("GET", vec![later], 200),
        ("GET", vec![later, ("if-match", "\"nope\"")], 412),
        ("GET", vec![range, ("if-range", &*weak)], 200),
        ("GET", vec![range, ("if-range", &*etag)], 206),
        ("GET", vec![range, range], 200),
    ] {
        let answer = client.request_with(method, "/v1/a/k", &fields, "");
        assert_eq!(answer.status, status, "{method} {fields:?}: {answer:?}");
    }
    // What is not there has no version to be another than (RFC 9110, 13.2.1).
    assert_eq!(client.request_with("GET", "/v1/a/l", &[("if-match", "*")], "").status, 404);
}

#[test]
fn conditions_that_are_not_looked_at_are_refused_and_nothing_is_done() {
    let node = Node::start(&["--demo"]);
    node.post("/api", r#"{"key":"a","data":{"n":1}}"#);
    let body = r#"{"key":"a","data":{"n":2}}"#;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for condition in [
        ("if-match", "\"nope\""),
        ("if-none-match", "*"),
        ("if-modified-since", date),
        ("if-unmodified-since", date),
        ("if-range", "\"nope\""),
    ] {
        for (method, target, body) in [
            ("GET", "/api?key=a", ""),
            ("DELETE", "/api?key=a", ""),
            ("POST", "/api", body),
            ("PUT", "/api", body),
            ("POST", "/api/cmd", "{}"),
            ("GET", "/status", ""),
            ("POST", "/supervision/shard-0/crash", ""),
        ] {
            let refused = node.client().request_with(method, target, &[condition], body);
            assert_eq!(refused.status, 501, "{method} {target} {condition:?}: {refused:?}");
            assert!(refused.message().contains(condition.0), "{refused:?}");
        }
    }
    for condition in ["if-match", "if-none-match", "if-unmodified-since"] {
        let several = "/v1/default?key=a";
        let refused = node.client().request_with("DELETE", several, &[(condition, "*")], "");
        assert_eq!(refused.status, 501, "{condition}: {refused:?}");
    }
    assert_eq!(node.get("/api?key=a").json()["data"], json!({"n": 1}));
}

#[test]
fn nothing_lives_for_ever_by_mistake() {
    let node = Node::start(&[]);
    let mut client = node.client();
    for control in
        ["max-age", "max-age =30", "max-age=5m", "max-age=30ms", "max-age=\"30", "s-maxage=30"]
    {
        let refused =
            node.client().request_with("PUT", "/v1/a/k", &[("cache-control", control)], "v");
        assert_eq!(refused.status, 400, "{control}: {refused:?}");
        assert!(refused.message().contains("allowed:"), "{refused:?}");
    }
    assert_eq!(client.request("GET", "/v1/a/k", "").status, 404);
    let lifetime = |client: &mut Client, target: &str| {
        let found = client.request("GET", target, "");
        found.header("cache-control").unwrap().to_owned()
    };
    assert_eq!(put(&mut client, "/v1/a/quoted", "max-age=\"30\""), 201);
    assert_eq!(lifetime(&mut client, "/v1/a/quoted"), "max-age=30");
    assert_eq!(put(&mut client, "/v1/a/other", "x=\"a, max-age=5\", max-age=60"), 201);
    assert_eq!(lifetime(&mut client, "/v1/a/other"), "max-age=60");
    assert_eq!(put(&mut client, "/v1/a/none", "x=\"a, max-age=5\""), 201);
    assert_eq!(lifetime(&mut client, "/v1/a/none"), "no-cache");
}

#[test]
fn equivalent_targets_are_equal() {
    let node = Node::start(&[]);
    let mut client = node.client();
    assert_eq!(client.request("PUT", "/v1/%64efault/%6bey%2F%7e", "v").status, 201);
    for target in
        ["/v1/default/key/~", "/%761/default/key%2f~", "http://localhost/v1/%64efault/key/%7E"]
    {
        assert_eq!(client.request("GET", target, "").body, "v", "{target}");
    }
    assert_eq!(client.request("GET", "/%61pi?key=key/~", "").json()["data"], "v");
    assert_eq!(client.request("GET", "/%61%70%69?%6bey=%6bey/~", "").json()["data"], "v");
    assert_eq!(client.request("GET", "/live%7A", "").status, 200);
    // Other bytes are not the same as their escapes.
    assert_eq!(client.request("GET", "/v1/default/%256bey/~", "").status, 404);
}

#[test]
fn a_target_that_is_malformed_is_refused_and_nothing_is_written() {
    let node = Node::start(&[]);
    let mut client = node.client();
    assert_eq!(client.request("PUT", "/v1/default/hash", "v").status, 201);
    for (method, target) in [
        ("PUT", "/v1/default/hash#frag"),
        ("GET", "/v1/default/hash#"),
        ("GET", "/api?key=hash#frag"),
        ("DELETE", "http://localhost/v1/default/hash#frag"),
        ("PUT", "/v1/default/hash%"),
        ("PUT", "/v1/default/hash%2"),
        ("PUT", "/v1/default/hash%zz"),
        ("GET", "/api?key=%zz"),
        ("PUT", "/v1/./hash"),
        ("PUT", "/v1/../hash"),
        ("PUT", "/v1/%2e%2E/hash"),
    ] {
        let refused = node.client().request(method, target, "w");
        assert_eq!(refused.status, 400, "{method} {target}: {refused:?}");
        assert!(refused.message().contains("allowed:"), "{refused:?}");
    }
    assert_eq!(client.request("GET", "/v1/default/hash", "").body, "v");
    assert_eq!(client.request("GET", "/status", "").json()["requests"]["writes"], 1);
    // In a body the sign is a sign like any other, also before the same target.
    let styled = client.request("PUT", "/v1/default/hash", "#a { color: #fff }\r\n");
    assert_eq!(styled.status, 204);
    assert_eq!(client.request("GET", "/v1/default/hash", "").body, "#a { color: #fff }\r\n");
}

#[test]
fn a_fragment_is_refused_wherever_a_request_is_cut_and_others_around_it_are_answered() {
    let node = Node::start(&[]);
    let head = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let all = head("/api?key=a") + &head("/api?key=a#b") + &head("/api?key=a") + &head("/livez");
    for cut in (0..all.len()).step_by(5) {
        let mut client = node.client();
        let (first, rest) = all.split_at(cut);
        client.send(first.as_bytes()).unwrap();
        // What is whole in the first piece is answered before the second one is sent.
        let answered = first.matches("\r\n\r\n").count();
        let mut statuses: Vec<_> =
            (0..answered).map(|_| client.receive().unwrap().status).collect();
        client.send(rest.as_bytes()).unwrap();
        statuses.extend((answered..4).map(|_| client.receive().unwrap().status));
        assert_eq!(statuses, [200, 400, 200, 200], "{cut}");
    }
}
