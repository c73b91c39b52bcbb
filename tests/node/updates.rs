//! Conditions on writes and updates in place: what is written only if it is as it was, counters,
//! patches, other ends, and parts of values.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::http::{Client, Response};
use crate::process::Node;

const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const OPERATIONS: (&str, &str) = ("content-type", "application/json-patch+json");
const JSON: (&str, &str) = ("content-type", "application/json");

fn etag(answer: &Response) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no etag: {answer:?}")).to_owned()
}

fn body(client: &mut Client, target: &str) -> String {
    client.request("GET", target, "").body
}

#[test]
fn a_write_is_done_only_if_its_condition_holds_and_changes_nothing_else() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let mut put = |condition: (&str, &str), value: &str| {
        client.request_with("PUT", "/v1/a/k", &[condition], value)
    };
    let refused = put(("if-match", "*"), "never");
    assert_eq!(refused.status, 412);
    assert_eq!(refused.message(), "the condition does not hold for what is there; nothing changed");
    let first = etag(&put(("if-none-match", "*"), "one"));
    assert_eq!(put(("if-none-match", "*"), "never").status, 412);
    assert_eq!(put(("if-match", &format!("W/{first}")), "never").status, 412);
    assert_eq!(put(("if-none-match", &format!("\"x\", W/{first}")), "never").status, 412);
    let second = put(("if-match", &format!("\"x\", {first}")), "two");
    assert_eq!(second.status, 204);
    let second = etag(&second);
    assert_eq!(put(("if-match", &first), "never").status, 412);
    assert_eq!(put(("if-none-match", &first), "three").status, 204);
    assert_eq!(put(("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"), "never").status, 412);
    assert_eq!(put(("if-unmodified-since", "Wed, 06 Nov 2999 08:49:37 GMT"), "four").status, 204);
    // A date that is none is no condition, and one of reads alone says nothing to a write.
    assert_eq!(put(("if-unmodified-since", "yesterday"), "five").status, 204);
    assert_eq!(put(("if-modified-since", "Wed, 06 Nov 2999 08:49:37 GMT"), "six").status, 204);

    let mut ask = |method: &str, target: &str, condition: (&str, &str)| {
        client.request_with(method, target, &[condition], "").status
    };
    assert_eq!(ask("DELETE", "/v1/a/k", ("if-match", &second)), 412);
    assert_eq!(ask("DELETE", "/v1/a/k", ("if-none-match", "*")), 412);
    assert_eq!(ask("POST", "/v1/a/k?op=take", ("if-match", &second)), 412);
    assert_eq!(ask("POST", "/v1/a/k?op=touch&ttl=1h", ("if-match", &second)), 412);
    assert_eq!(ask("POST", "/v1/a/k?op=append", ("if-none-match", "*")), 412);
    assert_eq!(ask("POST", "/v1/a/k?op=incr", ("if-none-match", "*")), 412);
    assert_eq!(ask("POST", "/v1/a/none?op=incr", ("if-match", "*")), 412);
    // What is absent is so whatever its condition is (RFC 9110, 13.2.1).
    assert_eq!(ask("DELETE", "/v1/a/none", ("if-match", "*")), 404);
    assert_eq!(ask("POST", "/v1/a/none?op=take", ("if-match", "*")), 404);
    assert_eq!(body(&mut client, "/v1/a/k"), "six");
    let patch = [MERGE, ("if-match", &*second)];
    assert_eq!(client.request_with("PATCH", "/v1/a/k", &patch, "{}").status, 412);
    let last = etag(&client.request("GET", "/v1/a/k", ""));
    let deleted = client.request_with("DELETE", "/v1/a/k", &[("if-match", &last)], "");
    assert_eq!(deleted.status, 204);
    let writes = client.request("GET", "/status", "").json()["requests"]["writes"].as_u64();
    assert_eq!(writes, Some(7));
}

#[test]
fn of_many_who_write_what_they_have_read_each_that_is_told_so_has_written() {
    let node = Node::start(&["--shards", "1"]);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = node.client();
                for _ in 0..25 {
                    let read = client.request("GET", "/v1/a/n", "");
                    let (condition, n) = match read.status {
                        404 => (("if-none-match", "*".to_owned()), 0),
                        _ => (("if-match", etag(&read)), read.body.parse::<u64>().unwrap()),
                    };
                    let headers = [(condition.0, &*condition.1)];
                    let next = (n + 1).to_string();
                    let answer = client.request_with("PUT", "/v1/a/n", &headers, &next);
                    match answer.status {
                        201 | 204 => _ = done.fetch_add(1, Ordering::Relaxed),
                        status => assert_eq!(status, 412, "{answer:?}"),
                    }
                }
            });
        }
    });
    let number = body(&mut node.client(), "/v1/a/n");
    assert_eq!(number, done.load(Ordering::Relaxed).to_string());
}

#[test]
fn counters_count_within_their_bounds_and_change_nothing_beyond() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let mut incr = |words: &str| client.request("POST", &format!("/v1/a/n?op=incr{words}"), "");
    let first = incr("&initial=10&by=5&ttl=1h");
    assert_eq!((first.status, &*first.body), (200, "{\"value\":15}"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert_eq!(incr("").json(), json!({ "value": 16 }));
    let last = incr("&by=-20&initial=99");
    assert_eq!(last.json(), json!({ "value": -4 }));
    for (words, message) in [
        ("&by=5&max=0", "the sum would be 1, which is beyond min or max; nothing changed"),
        ("&by=-1&min=-4", "the sum would be -5, which is beyond min or max; nothing changed"),
        ("&by=-9223372036854775807", "the sum is beyond 64 bits; nothing changed"),
    ] {
        let refused = incr(words);
        assert_eq!((refused.status, &*refused.message()), (409, message), "{words}");
    }
    let found = client.request("GET", "/v1/a/n", "");
    assert_eq!((&*found.body, etag(&found)), ("-4", etag(&last)));
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(found.header("cache-control"), Some("max-age=3600"), "it keeps its end");

    for (value, is_number) in [
        ("9223372036854775806", true),
        ("9223372036854775808", false),
        ("1.5", false),
        ("+1", false),
        ("01", false),
        (" 1", false),
        ("-0", false),
        ("", false),
        ("x", false),
    ] {
        client.request_with("PUT", "/v1/a/m", &[("content-type", "text/plain")], value);
        let answer = client.request("POST", "/v1/a/m?op=incr", "");
        match is_number {
            true => assert_eq!(answer.body, "{\"value\":9223372036854775807}"),
            false => assert!(answer.message().contains("is not an integer"), "{value}: {answer:?}"),
        }
        assert_eq!(answer.status, if is_number { 200 } else { 409 }, "{value}");
        let found = client.request("GET", "/v1/a/m", "");
        assert_eq!(found.header("content-type"), Some("text/plain"), "it stays what it is");
        assert_eq!(found.body == value, !is_number, "{value}");
    }
    client.request("PUT", "/v1/a/m", "9223372036854775807");
    assert_eq!(client.request("POST", "/v1/a/m?op=incr", "").status, 409);
    let beyond = client.request("POST", "/v1/a/new?op=incr&by=5&max=4", "");
    assert_eq!((beyond.status, client.request("GET", "/v1/a/new", "").status), (409, 404));
}

#[test]
fn values_are_appended_to_touched_and_taken() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let mut client = node.client();
    let text = [("content-type", "text/plain")];
    let created = client.request_with("POST", "/v1/a/log?op=append&ttl=1h", &text, "one");
    assert_eq!((created.status, &*created.body), (200, "{\"length\":3}"));
    let longer = client.request("POST", "/v1/a/log?op=append", " two");
    assert_eq!(longer.json(), json!({ "length": 7 }));
    let found = client.request("GET", "/v1/a/log", "");
    assert_eq!((&*found.body, etag(&found)), ("one two", etag(&longer)));
    assert_eq!(found.header("content-type"), Some("text/plain"));
    assert_eq!(found.header("cache-control"), Some("max-age=3600"));
    let large = client.request("POST", "/v1/a/log?op=append", &"x".repeat(1_018));
    assert_eq!(large.status, 413, "{large:?}");
    assert!(large.message().contains("allowed: up to 1024 bytes"), "{large:?}");
    assert_eq!(body(&mut client, "/v1/a/log"), "one two");

    let touched = client.request("POST", "/v1/a/log?op=touch&ttl=2h", "");
    assert_eq!((touched.status, &*touched.body), (204, ""));
    let found = client.request("GET", "/v1/a/log", "");
    assert_eq!(
        (found.header("cache-control"), etag(&found)),
        (Some("max-age=7200"), etag(&touched))
    );
    assert_eq!(client.request("POST", "/v1/a/log?op=persist", "").status, 204);
    let found = client.request("GET", "/v1/a/log", "");
    assert_eq!((found.header("cache-control"), &*found.body), (Some("no-cache"), "one two"));
    let short = client.request("POST", "/v1/a/log?op=touch&ttl=1ms", "");
    assert_eq!(short.status, 204);
    while client.request("GET", "/v1/a/log", "").status != 404 {}
    for op in ["touch&ttl=1h", "persist", "take"] {
        let absent = client.request("POST", &format!("/v1/a/log?op={op}"), "");
        assert_eq!((absent.status, &*absent.message()), (404, "key is absent"), "{op}");
    }

    let put = client.request_with("PUT", "/v1/a/job", &text, "work");
    let taken = client.request("POST", "/v1/a/job?op=take", "");
    assert_eq!((taken.status, &*taken.body, etag(&taken)), (200, "work", etag(&put)));
    assert_eq!(taken.header("content-type"), Some("text/plain"));
    assert_eq!(taken.header("cache-control"), Some("no-store"));
    assert_eq!(client.request("POST", "/v1/a/job?op=take", "").status, 404);
}

#[test]
fn json_is_patched_in_place_all_of_it_or_nothing() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let mut client = node.client();
    let value = r#"{"big":12345678901234567890123,"list":[1],"price":1.10}"#;
    client.request_with("PUT", "/v1/a/doc?ttl=1h", &[JSON], value);
    let mut patch =
        |form: (&str, &str), text: &str| client.request_with("PATCH", "/v1/a/doc", &[form], text);
    let merged = patch(MERGE, r#"{"price":null,"name":"x"}"#);
    assert_eq!((merged.status, &*merged.body), (204, ""));
    let text =
        r#"[{"op":"test","path":"/name","value":"x"},{"op":"add","path":"/list/-","value":2}]"#;
    let charset = ("content-type", "Application/JSON-patch+json; charset=utf-8");
    let patched = patch(charset, text);
    assert_eq!(patched.status, 204, "{patched:?}");
    for (form, text, message) in [
        (
            OPERATIONS,
            r#"[{"op":"remove","path":"/list"},{"op":"remove","path":"/no"}]"#,
            "operation 1",
        ),
        (OPERATIONS, r#"[{"op":"test","path":"/name","value":"y"}]"#, "operation 0 at \"/name\""),
    ] {
        let refused = patch(form, text);
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.message().contains(message), "{refused:?}");
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(140), "}".repeat(140));
    assert_eq!(patch(MERGE, &deep).status, 400);
    let large = patch(MERGE, &json!({"more": "x".repeat(980)}).to_string());
    assert_eq!(large.status, 413, "{large:?}");
    let found = client.request("GET", "/v1/a/doc", "");
    let expected = r#"{"big":12345678901234567890123,"list":[1,2],"name":"x"}"#;
    assert_eq!((&*found.body, etag(&found)), (expected, etag(&patched)));
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(found.header("cache-control"), Some("max-age=3600"));

    client.request("PUT", "/v1/a/text", "no json");
    let refused = client.request_with("PATCH", "/v1/a/text", &[MERGE], "{}");
    assert_eq!(refused.status, 409, "{refused:?}");
    let unknown = client.request_with("PATCH", "/v1/a/doc", &[JSON], "{}");
    let patches = "application/merge-patch+json, application/json-patch+json";
    assert_eq!((unknown.status, unknown.header("accept-patch")), (415, Some(patches)));
}

#[test]
fn parts_of_json_are_selected_in_the_order_asked() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let value = r#"{"a":{"b":[1.50,{"c":"x"}]},"d/e":null}"#;
    let etag = etag(&client.request_with("PUT", "/v1/a/doc", &[JSON], value));
    let target = "/v1/a/doc?select=/a/b/1/c&select=/d~1e&select=/none&select=/a/b/0";
    let found = client.request("GET", target, "");
    assert_eq!((found.status, &*found.body), (200, r#"["x",null,null,1.50]"#));
    assert_eq!(found.header("etag"), Some(&*etag));
    let known = client.request_with("GET", target, &[("if-none-match", &etag)], "");
    assert_eq!(known.status, 304);
    assert_eq!(client.request("GET", "/v1/a/doc?select=", "").body, format!("[{value}]"));
    assert_eq!(client.request("GET", "/v1/a/none?select=/a", "").status, 404);
    client.request("PUT", "/v1/a/text", "no json");
    assert_eq!(client.request("GET", "/v1/a/text?select=/a", "").status, 406);
}

#[test]
fn the_coding_of_a_value_is_kept_and_only_told_to_who_takes_it() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let coded = [JSON, ("content-encoding", "gzip")];
    assert_eq!(client.request_with("PUT", "/v1/default/k", &coded, "[not really]").status, 201);
    let plain = client.request("GET", "/v1/default/k", "");
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("vary", "accept-encoding"),
    ] {
        assert_eq!(plain.header(name), Some(value), "{name}");
    }
    let mut get = |accepted: &str| {
        client.request_with("GET", "/v1/default/k", &[("accept-encoding", accepted)], "").status
    };
    assert_eq!((get("gzip, br"), get("br"), get("gzip;q=0"), get("*")), (200, 406, 406, 200));
    // What it is once it is not coded nobody knows here.
    assert_eq!(client.request("GET", "/api?key=k", "").status, 406);
    assert_eq!(client.request_with("PATCH", "/v1/default/k", &[MERGE], "{}").status, 409);
    assert_eq!(client.request("GET", "/v1/default/k?select=/0", "").status, 406);
}
