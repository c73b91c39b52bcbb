//! Many operations in one call: `POST /v1/{namespace}`.

use serde_json::{Value, json};

use crate::http::Client;
use crate::process::Node;

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

fn run(client: &mut Client, operations: &Value) -> Vec<Value> {
    let answer = client.request("POST", "/v1/a", &operations.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json().as_array().unwrap().clone()
}

fn statuses(answers: &[Value]) -> Vec<u64> {
    answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect()
}

#[test]
fn each_operation_has_its_own_answer_in_its_own_place() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let mut client = node.client();
    let answers = run(
        &mut client,
        &json!([
            {"op": "put", "key": "doc", "value": {"n": 1, "l": ["x"]}, "ttl": "1h"},
            {"op": "put", "key": "doc", "value": 2, "if_none_match": "*"},
            {"op": "put", "key": "raw", "base64": "/w==", "ttl": 60},
            {"op": "get", "key": "doc"},
            {"op": "get", "key": "doc", "select": ["/l/0", "/none"]},
            {"op": "get", "key": "raw"},
            {"op": "get", "key": "none"},
            {"op": "incr", "key": "n", "by": 5, "initial": 10},
            {"op": "incr", "key": "n", "max": 15},
            {"op": "incr", "key": "doc"},
            {"op": "patch", "key": "doc", "merge": {"n": null}},
            {"op": "patch", "key": "doc", "patch": [{"op": "test", "path": "/n", "value": 1}]},
            {"op": "append", "key": "raw", "base64": "AA=="},
            {"op": "touch", "key": "n", "ttl": "1h"},
            {"op": "persist", "key": "none"},
            {"op": "take", "key": "raw"},
            {"op": "delete", "key": "n", "if_match": "\"0000000000000001\""},
            {"op": "delete", "key": "n"},
            {"op": "delete", "key_base64": "bg=="},
        ]),
    );
    let expected = [
        201, 412, 201, 200, 200, 200, 404, 200, 409, 409, 204, 409, 200, 204, 404, 200, 412, 204,
        404,
    ];
    assert_eq!(statuses(&answers), expected, "{answers:#?}");
    assert_eq!(answers[3]["value"], json!({"n": 1, "l": ["x"]}));
    assert_eq!(answers[3]["etag"], answers[0]["etag"]);
    assert!(answers[3]["ttl_ms"].as_u64().unwrap() > 3_590_000);
    assert_eq!(answers[4]["value"], json!(["x", null]));
    assert_eq!(answers[5]["base64"], "/w==");
    assert_eq!(answers[5]["type"], "application/octet-stream");
    assert_eq!(answers[6], json!({"status": 404, "message": "key is absent"}));
    assert_eq!((&answers[7]["value"], &answers[12]["length"]), (&json!(15), &json!(2)));
    assert_eq!(answers[15]["base64"], "/wA=");
    assert_eq!(client.request("GET", "/v1/a/doc", "").body, r#"{"l":["x"]}"#);
    assert_eq!(run(&mut client, &json!([])), Vec::<Value>::new());
}

#[test]
fn who_sends_all_of_a_batch_before_it_reads_is_answered() {
    let node = Node::start(&["--memory", "64MiB"]);
    let mut client = node.client();
    let large = json!([{"op": "put", "key": "large", "value": "y".repeat(4_000)}]);
    assert_eq!(statuses(&run(&mut client, &large)), [201]);
    // More than the system takes on the way, in both directions.
    let value = "x".repeat(1_100);
    let pair = |n: usize| {
        [
            json!({"op": "put", "key": n.to_string(), "value": value}),
            json!({"op": "get", "key": "large"}),
        ]
    };
    let operations: Vec<_> = (0..5_000).flat_map(pair).collect();
    let answers = streamed(&mut client, &json!(operations).to_string());
    let expected: Vec<_> = (0..5_000).flat_map(|_| [201, 200]).collect();
    assert_eq!(statuses(&answers), expected);
}

#[test]
fn a_bad_element_fails_alone_and_says_what_is_wrong() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let mut client = node.client();
    let wrong = [
        (json!({"op": "put", "key": "", "value": 1}), 400, "key is empty"),
        (json!({"op": "put", "value": 1}), 400, "key is missing"),
        (json!({"op": "put", "key": "k"}), 400, "value is missing; allowed: value or base64"),
        (json!({"op": "put", "key": "k", "base64": "?"}), 400, "base64 is wrong"),
        (json!({"op": "put", "key": "k", "value": 1, "ttl": "soon"}), 400, "ttl is soon"),
        (json!({"op": "put", "key": "k", "value": 1, "tll": "5s"}), 400, "unknown field `tll`"),
        (json!({"op": "get", "key": "k", "value": 1}), 400, "value says nothing to get"),
        (json!({"op": "grow", "key": "k"}), 400, "op is grow; allowed: get, put"),
        (json!({"op": "get", "key": "k", "select": ["a"]}), 400, "select is a; allowed"),
        (
            json!({"op": "put", "key": "k", "value": 1, "if_match": "x"}),
            400,
            "if-match is malformed",
        ),
        (json!({"op": "patch", "key": "k", "patch": {}}), 400, "the patch is invalid"),
        (json!({"op": "put", "key": "k", "value": "x".repeat(1_025)}), 413, "allowed: up to 1024"),
        (
            json!({"op": "put", "key": "k", "value": "x".repeat(300_000)}),
            413,
            "element is too long",
        ),
        (json!(7), 400, "element is wrong"),
    ];
    let mut operations = vec![];
    for (n, (element, ..)) in wrong.iter().enumerate() {
        operations.push(element.clone());
        operations.push(json!({"op": "put", "key": format!("good-{n}"), "value": n}));
    }
    let answers = run(&mut client, &json!(operations));
    for (pair, (element, status, message)) in answers.chunks(2).zip(&wrong) {
        let element = element.to_string();
        assert_eq!(pair[0]["status"], *status, "{element:.100}");
        let said = pair[0]["message"].as_str().unwrap();
        assert!(said.contains(message), "{element:.100}: {said}");
        assert_eq!(pair[1]["status"], 201, "{element:.100}");
    }
    for (headers, target, body, status, message) in [
        (vec![], "/v1/a", "{}", 400, "body is not a JSON array"),
        (vec![], "/v1/a", "", 400, "body is not a JSON array"),
        (vec![], "/v1/a?ttl=5", "[]", 400, "parameter ttl is unknown"),
        (vec![("content-encoding", "gzip")], "/v1/a", "[]", 415, "allowed: identity"),
        (vec![("if-match", "*")], "/v1/a", "[]", 501, "if-match is not in this version"),
    ] {
        let answer = node.client().request_with("POST", target, &headers, body);
        assert_eq!(
            (answer.status, answer.message().contains(message)),
            (status, true),
            "{answer:?}"
        );
    }
}

#[test]
fn lines_are_answered_with_lines_unless_an_array_is_asked_for() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let lines = "{\"op\":\"put\",\"key\":\"k\",\"value\":\"a\\nb\"}\r\n\nnonsense\n{\"op\":\"get\",\"key\":\"k\"}";
    let answer = client.request_with("POST", "/v1/a", &[NDJSON], lines);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let answers: Vec<Value> =
        answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(statuses(&answers), [201, 400, 200]);
    assert_eq!(answers[2]["value"], "a\nb");
    let as_array = [NDJSON, ("accept", "application/json")];
    let answer = client.request_with("POST", "/v1/a", &as_array, lines);
    assert_eq!(statuses(answer.json().as_array().unwrap()), [204, 400, 200]);
}

/// What came in chunks, put together.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut all = vec![];
    loop {
        let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return all;
        }
        all.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[end + 2 + len + 2..];
    }
}

/// The answers to a batch that are more than are answered at once. All of it is sent before any is read.
fn streamed(client: &mut Client, body: &str) -> Vec<Value> {
    let head = format!(
        "POST /v1/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(body.as_bytes()).unwrap();
    let all = client.receive_all().unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&all[..end]);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("chunked"), "{head}");
    serde_json::from_slice(&unchunked(&all[end..])).unwrap()
}

#[test]
fn ten_thousand_operations_are_done_and_answered_as_they_are_read() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let pad = "x".repeat(200);
    let puts: Vec<_> = (0..10_000)
        .map(|n| json!({"op": "put", "key": format!("k{n}"), "value": format!("{n}-{pad}")}))
        .collect();
    let answers = run(&mut client, &json!(puts));
    assert!(statuses(&answers).iter().all(|status| *status == 201));

    let gets: Vec<_> = (0..10_001).map(|n| json!({"op": "get", "key": format!("k{n}")})).collect();
    let answers = streamed(&mut client, &json!(gets).to_string());
    assert_eq!(answers.len(), 10_001);
    for (n, answer) in answers[..10_000].iter().enumerate() {
        assert_eq!(answer["value"], format!("{n}-{pad}"));
    }
    assert_eq!(answers[10_000]["status"], 413);
    assert!(answers[10_000]["message"].as_str().unwrap().contains("allowed: 10000 operations"));
}

#[test]
fn what_is_read_in_a_batch_is_what_was_written_before_it_also_if_it_is_large() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let large = "x".repeat(100_000);
    let answers = run(
        &mut client,
        &json!([
            {"op": "put", "key": "k", "value": large},
            {"op": "get", "key": "k"},
            {"op": "put", "key": "k", "value": "small"},
            {"op": "get", "key": "k"},
            {"op": "delete", "key": "k"},
            {"op": "get", "key": "k"},
        ]),
    );
    assert_eq!(statuses(&answers), [201, 200, 204, 200, 204, 404]);
    assert_eq!((&answers[1]["value"], &answers[3]["value"]), (&json!(large), &json!("small")));
}
