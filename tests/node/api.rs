//! Smache's API and ExDaas's form of it, as the contract has them.

use serde_json::json;

use crate::process::Node;

#[test]
fn what_is_posted_is_read_and_deleted() {
    let node = Node::start(&["--node", "foo@localhost"]);
    assert_eq!(node.get("/").body, "{}");
    assert_eq!(node.get("/healthcheck").body, "{}");
    let missing = json!({"key": "a", "data": null, "node": "foo@localhost"});
    assert_eq!(node.get("/api?key=a").json(), missing);
    let posted = node.post("/api", r#"{"key":"a","data":{"color":"blue","n":1.10}}"#);
    assert_eq!((posted.status, &*posted.body), (200, r#"{"data":{"color":"blue","n":1.10}}"#));
    let found = node.get("/api?key=a");
    assert_eq!(found.header("content-type"), Some("application/json"));
    let expected = r#"{"key":"a","data":{"color":"blue","n":1.10},"node":"foo@localhost"}"#;
    assert_eq!((found.status, &*found.body), (200, expected));
    let put = node.client().request("PUT", "/api", r#"{"key":"a","data":{}}"#);
    assert_eq!((put.status, &*put.body), (200, r#"{"data":{}}"#));
    let head = node.client().request("HEAD", "/api?key=a", "");
    assert_eq!((head.status, &*head.body), (200, ""));
    let deleted = node.client().request("DELETE", "/api?key=a", "");
    assert_eq!((deleted.status, &*deleted.body), (200, r#"{"key":"a","deleted":true}"#));
    let again = node.client().request("DELETE", "/api?key=a", "");
    assert_eq!(again.body, r#"{"key":"a","deleted":false}"#);
    assert_eq!(node.get("/api?key=a").json(), missing);
}

#[test]
fn an_integer_and_its_decimal_string_are_one_key_and_no_others_collide() {
    let node = Node::start(&[]);
    node.post("/api", r#"{"key":1,"data":{"is":"number"}}"#);
    assert_eq!(node.get("/api?key=1").json()["data"], json!({"is": "number"}));
    node.post("/api", r#"{"key":"1","data":{"is":"text"}}"#);
    node.post("/api", r#"{"key":"1abc","data":{"is":"other"}}"#);
    assert_eq!(node.get("/api?key=1").json()["data"], json!({"is": "text"}));
    assert_eq!(node.get("/api?id=1").json(), json!({"id": 1, "data": {"is": "text"}}));
    let unicode = r#"{"key":"schlüssel / 1+1","data":{"ok":true}}"#;
    assert_eq!(node.post("/api", unicode).status, 200);
    let found = node.get("/api?key=schl%C3%BCssel%20/%201%2B1");
    assert_eq!(found.json()["key"], "schlüssel / 1+1");
    assert_eq!(found.json()["data"], json!({"ok": true}));
}

#[test]
fn ids_are_given_from_one_and_never_overwrite() {
    let node = Node::start(&[]);
    node.post("/api", r#"{"id":2,"data":{"is":"mine"}}"#);
    let first = node.post("/api", r#"{"id":null,"data":{"n":1}}"#);
    assert_eq!(first.body, r#"{"id":1,"data":{"n":1}}"#);
    let second = node.post("/api", r#"{"data":{"n":2}}"#);
    assert_eq!(second.body, r#"{"id":3,"data":{"n":2}}"#);
    assert_eq!(node.get("/api?id=2").body, r#"{"id":2,"data":{"is":"mine"}}"#);
    assert_eq!(node.get("/api?id=3").body, r#"{"id":3,"data":{"n":2}}"#);
}

#[test]
fn ids_take_no_entry_and_go_on_when_all_of_theirs_are_gone() {
    let node = Node::start(&[]);
    for id in 1..=3 {
        let given = node.post("/api", r#"{"data":{}}"#).json();
        assert_eq!(given["id"], id);
    }
    let keys = || node.get("/status").json()["cluster"]["members"][0]["keys"].clone();
    assert_eq!(keys(), 3);
    for id in 1..=3 {
        node.client().request("DELETE", &format!("/api?id={id}"), "");
    }
    assert_eq!(keys(), 0);
    let shards = node.get("/status").json()["shards"].clone();
    let entries = shards.as_array().unwrap().iter().filter_map(|shard| shard["entries"].as_u64());
    assert_eq!(entries.sum::<u64>(), 0);
    assert_eq!(node.post("/api", r#"{"data":{}}"#).json()["id"], 4);
}

#[test]
fn queries_answer_parts_of_an_object() {
    let node = Node::start(&[]);
    node.post(
        "/api",
        r#"{"id":1,"data":{"color":"blue","colors":[{"n":1,"is_blue":true},{"n":2}]}}"#,
    );
    let only = r#"{"id":1,"cmd":{"query":"ONLY","keys":["color","wheels"]}}"#;
    assert_eq!(node.post("/api/cmd", only).body, r#"{"values":["blue",null]}"#);
    let by_get = node.client().request("GET", "/api/cmd", only);
    assert_eq!(by_get.body, r#"{"values":["blue",null]}"#);
    let params = "/api/cmd?id=1&cmd[query]=ONLY&cmd[keys][]=wheels&cmd[keys][]=color";
    assert_eq!(node.get(params).body, r#"{"values":[null,"blue"]}"#);
    let filter = r#"{"id":1,"cmd":{"query":"FILTER_BOOL","keys":{"key":"colors","by":"is_blue"}}}"#;
    assert_eq!(node.post("/api/cmd", filter).body, r#"[{"n":1,"is_blue":true}]"#);
    let wrong = node.post("/api/cmd", r#"{"id":1,"cmd":{"query":"DROP","keys":[]}}"#);
    assert_eq!((wrong.status, &*wrong.message()), (400, "DROP not supported"));
}

#[test]
fn wrong_requests_are_told_what_is_wrong_and_change_nothing() {
    let node = Node::start(&[]);
    let no_key = "key cannot be nil/null/empty";
    let long = format!(r#"{{"key":"{}","data":{{}}}}"#, "k".repeat(65_536));
    for (method, target, body, status, message) in [
        ("GET", "/api", "", 405, no_key),
        ("GET", "/api?key=", "", 405, no_key),
        ("GET", "/api?key=null", "", 405, no_key),
        ("DELETE", "/api", "", 405, no_key),
        ("POST", "/api", r#"{"key":null,"data":{}}"#, 405, no_key),
        ("POST", "/api", r#"{"key":"null","data":{}}"#, 405, no_key),
        ("POST", "/api", "{}", 405, no_key),
        ("POST", "/api", r#"{"key":"a"}"#, 400, "data is missing"),
        ("POST", "/api", r#"{"key":"a","data":[1]}"#, 400, "data is not an object"),
        ("POST", "/api", r#"{"key":"a","data":"x"}"#, 400, "data is not an object"),
        ("POST", "/api", r#"{"key":"a","data":null}"#, 400, "data is not an object"),
        ("POST", "/api", r#"{"key":1.5,"data":{}}"#, 400, "allowed: a string or an integer"),
        ("POST", "/api", r#"{"key":["a"],"data":{}}"#, 400, "allowed: a string or an integer"),
        ("POST", "/api", "key=a&data=b", 400, "not a JSON object"),
        ("POST", "/api", r#"{"key":"a","data":{"#, 400, "not valid JSON"),
        ("POST", "/api", "", 400, "not a JSON object"),
        ("POST", "/api", &long, 400, "key has 65536 bytes; allowed: 1 to 65535"),
        ("GET", "/api?key=%ff", "", 400, "not UTF-8"),
        ("GET", "/api?key=a&key=b", "", 400, "given twice"),
        ("GET", "/api?key=a&id=b", "", 400, "key and id are both given"),
        ("PATCH", "/api", "{}", 405, "method not allowed; allowed: GET, HEAD, POST, PUT, DELETE"),
        ("POST", "/status", "", 405, "allowed: GET, HEAD"),
        ("GET", "/nowhere", "", 404, "nothing is at /nowhere"),
        ("GET", "/explain", "", 400, "key is missing"),
        ("GET", "/explain?key=a&namespace=..", "", 400, "namespace is invalid"),
    ] {
        let response = node.client().request(method, target, body);
        assert_eq!(response.status, status, "{method} {target} {body:.80}: {response:?}");
        assert!(response.message().contains(message), "{method} {target}: {response:?}");
        let allowed = match (method, target) {
            (_, "/status") => "GET, HEAD",
            ("PATCH", _) => "GET, HEAD, POST, PUT, DELETE",
            // Where the key is missing, the methods that have theirs elsewhere.
            ("POST", _) => "GET, HEAD, DELETE",
            _ => "POST, PUT",
        };
        assert_eq!(response.header("allow"), (status == 405).then_some(allowed), "{target}");
    }
    let cmd = node.get("/api/cmd");
    assert_eq!((cmd.status, cmd.header("allow")), (405, Some("POST")));
    assert_eq!(node.get("/status").json()["requests"]["writes"], 0);
    assert_eq!(node.get("/api?key=a").json()["data"], json!(null));
}

#[test]
fn what_a_request_has_and_nobody_knows_is_refused_and_what_is_allowed_is_named() {
    let node = Node::start(&[]);
    let cmd = |rest: &str| format!(r#"{{"id":1,"cmd":{{"query":"ONLY","keys":["a"]{rest}"#);
    for (target, body, message) in [
        ("/api", r#"{"kye":"a","data":{}}"#, "member kye is unknown; allowed: key, id, data"),
        ("/api", r#"{"key":"a","data":{},"ttl":5}"#, "member ttl is unknown"),
        ("/api", r#"{"key":"a","data":{},"cmd":null}"#, "member cmd is unknown"),
        ("/api?ttl=5", r#"{"key":"a","data":{}}"#, "parameter ttl is unknown; allowed: none"),
        ("/api/cmd", &cmd("},\"data\":{}}"), "member data is unknown; allowed: key, id, cmd"),
        ("/api/cmd", &cmd(",\"by\":1}}"), "unknown field `by`, expected `query` or `keys`"),
        ("/api/cmd?id=2", &cmd("}}"), "parameter id is unknown; allowed: none"),
        ("/api/cmd?id=1&kyes=2", "", "parameter kyes is unknown; allowed: key, id, cmd[query]"),
    ] {
        let refused = node.post(target, body);
        assert_eq!(refused.status, 400, "{target} {body}: {refused:?}");
        assert!(refused.message().contains(message), "{target} {body}: {refused:?}");
    }
    for (method, target, allowed) in [
        ("GET", "/api?kye=a", "key, id"),
        ("GET", "/api?key=a&ttl=5", "key, id"),
        ("DELETE", "/api?key=a&force", "key, id"),
        ("GET", "/explain?key=a&ns=b", "key, namespace"),
        ("GET", "/?verbose", "none"),
        ("GET", "/healthcheck?a=b", "none"),
        ("GET", "/livez?a=b", "none"),
        ("GET", "/readyz?a=b", "none"),
        ("GET", "/status?pretty", "none"),
        ("GET", "/metrics?name=a", "none"),
        ("GET", "/supervision?a=b", "none"),
        ("GET", "/v1/a/k?fresh", "select"),
        ("DELETE", "/v1/a/k?soft", "none"),
    ] {
        let refused = node.client().request(method, target, "");
        let named = format!("is unknown; allowed: {allowed}");
        assert_eq!(refused.status, 400, "{target}: {refused:?}");
        assert!(refused.message().ends_with(&named), "{target}: {refused:?}");
    }
    assert_eq!(node.get("/status").json()["requests"]["writes"], 0);
}

#[test]
fn a_value_over_its_limit_is_refused_before_it_is_read() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let body =
        |bytes: usize| format!(r#"{{"key":"a","data":{{"x":"{}"}}}}"#, "x".repeat(bytes - 8));
    assert_eq!(node.post("/api", &body(1_024)).status, 200);
    let over = node.post("/api", &body(1_025));
    assert_eq!((over.status, over.message().contains("1025 bytes")), (413, true), "{over:?}");

    // The length alone is enough, and a body that does not end is left where it is over.
    let mut client = node.client();
    client
        .send(b"POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n")
        .unwrap();
    assert_eq!(client.receive().unwrap().status, 413);
    let mut client = node.client();
    client
        .send(b"POST /api HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // The node may close while we still send; what counts is the answer it gave before.
    while client.send(chunk.as_bytes()).is_ok() {
        if node.get("/metrics").body.contains(r#"http_answers_total{status="4xx"} 3"#) {
            break;
        }
    }
    assert_eq!(client.receive().unwrap().status, 413);
}

#[test]
fn the_memory_bound_holds_and_nothing_fails_for_it() {
    let node = Node::start(&["--memory", "4MiB", "--shards", "2"]);
    let mut client = node.client();
    let filler = "x".repeat(10_000);
    for key in 0..2_000 {
        let body = format!(r#"{{"key":{key},"data":{{"x":"{filler}"}}}}"#);
        assert_eq!(client.request("POST", "/api", &body).status, 200);
    }
    let status = node.get("/status").json();
    let (used, limit) = (&status["memory"]["used_bytes"], &status["memory"]["limit_bytes"]);
    assert_eq!(limit.as_u64(), Some(4 << 20));
    assert!(used.as_u64() <= limit.as_u64() && used.as_u64() > Some(2 << 20), "{status}");
    assert!(status["requests"]["evictions"].as_u64() > Some(1_000), "{status}");
    assert!(client.request("GET", "/api?key=1999", "").json()["data"].is_object());
}

#[test]
fn the_node_tells_how_it_is() {
    let node = Node::start(&["--shards", "3"]);
    node.post("/api", r#"{"key":"foo","data":{}}"#);
    let (status, tree) = (node.get("/status").json(), node.get("/supervision").json());
    assert_eq!(status["state"], "ready");
    assert_eq!(status["shards"].as_array().unwrap().len(), 3);
    assert_eq!(status["cluster"]["members"][0]["slots"], 16_384);
    assert_eq!((&tree["name"], &tree["kind"]), (&json!("root"), &json!("supervisor")));
    let explained = node.get("/explain?key=foo").json();
    assert_eq!((&explained["slot"], &explained["shard"]), (&json!(12_182), &json!(12_182 % 3)));
    assert_eq!(explained["present"], true);
    assert_eq!(node.get("/explain?key=bar").json()["present"], false);
    assert_eq!(node.client().request("PUT", "/v1/site/bar", "x").status, 201);
    assert_eq!(node.get("/explain?key=bar").json()["present"], false);
    assert_eq!(node.get("/explain?key=bar&namespace=site").json()["present"], true);
    let metrics = node.get("/metrics");
    assert!(metrics.body.contains("smache_writes_total 2"), "{}", metrics.body);
}
