//! What namespaces go by: quotas, times to live, what there is of each.

use serde_json::{Value, json};

use crate::http::Client;
use crate::process::Node;

const QUOTA: u64 = 2 << 20;
const KIB: usize = 1_024;

fn put_policy(client: &mut Client, namespace: &str, policy: &Value) -> Value {
    let answer = client.request("PUT", &format!("/v1/{namespace}"), &policy.to_string());
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()
}

fn stats(client: &mut Client, namespace: &str) -> Value {
    let answer = client.request("GET", &format!("/v1/{namespace}?stats"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Puts so many values of a KiB, from one number on.
fn fill(client: &mut Client, namespace: &str, from: usize, count: usize) {
    for chunk in (from..from + count).collect::<Vec<_>>().chunks(500) {
        let put = |n: &usize| json!({"op": "put", "key": n.to_string(), "value": "x".repeat(KIB)});
        let body = json!(chunk.iter().map(put).collect::<Vec<_>>()).to_string();
        let answer = client.request("POST", &format!("/v1/{namespace}"), &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn count(client: &mut Client, namespace: &str) -> u64 {
    client.request("GET", &format!("/v1/{namespace}?count"), "").json()["count"].as_u64().unwrap()
}

/// The greatest age that a cache may keep a value for.
fn max_age(client: &mut Client, target: &str) -> Option<u64> {
    let answer = client.request("GET", target, "");
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    answer.header("cache-control")?.strip_prefix("max-age=")?.parse().ok()
}

#[test]
fn a_namespace_holds_its_quota_and_the_entries_of_others_are_untouched() {
    let node = Node::start(&["--demo", "--memory", "32MiB"]);
    let mut client = node.client();
    put_policy(&mut client, "tight", &json!({"memory": "2MiB"}));
    fill(&mut client, "other", 0, 10_000);
    fill(&mut client, "default", 0, 2_000);
    fill(&mut client, "tight", 0, 12_000);
    let tight = stats(&mut client, "tight");
    let bytes = tight["bytes"].as_u64().unwrap();
    assert!((QUOTA * 95 / 100..=QUOTA).contains(&bytes), "{tight}");
    assert_eq!(tight["entries"].as_u64().unwrap(), count(&mut client, "tight"));
    assert_eq!(tight["entries"].as_u64().unwrap() + tight["evictions"].as_u64().unwrap(), 12_000);
    for (namespace, entries) in [("other", 10_000), ("default", 2_000)] {
        let of = stats(&mut client, namespace);
        assert_eq!((of["entries"].as_u64(), of["evictions"].as_u64()), (Some(entries), Some(0)));
        assert_eq!(count(&mut client, namespace), entries);
    }
    // What came last is there.
    for n in [11_998, 11_999] {
        assert_eq!(client.request("GET", &format!("/v1/tight/{n}"), "").status, 200);
    }
    let metrics = client.request("GET", "/metrics", "").body;
    for line in [
        format!("\nsmache_namespace_bytes{{namespace=\"tight\"}} {bytes}\n"),
        "\nsmache_namespace_entries{namespace=\"other\"} 10000\n".to_owned(),
        "\nsmache_namespace_evictions_total{namespace=\"default\"} 0\n".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[test]
fn a_quota_is_changed_live_and_its_end_keeps_what_is_there() {
    let node = Node::start(&["--demo", "--memory", "32MiB"]);
    let mut client = node.client();
    fill(&mut client, "a", 0, 8_000);
    let before = stats(&mut client, "a")["bytes"].as_u64().unwrap();
    put_policy(&mut client, "a", &json!({"memory": QUOTA}));
    let within = |client: &mut Client, most: u64| {
        let mut bytes = u64::MAX;
        while most < bytes {
            bytes = stats(client, "a")["bytes"].as_u64().unwrap();
        }
        assert!(most * 95 / 100 < bytes, "{bytes} of {most}");
    };
    assert!(2 * QUOTA < before);
    within(&mut client, QUOTA);
    put_policy(&mut client, "a", &json!({"memory": "1MiB"}));
    within(&mut client, QUOTA / 2);
    let kept = count(&mut client, "a");
    assert_eq!(client.request("DELETE", "/v1/a?policy", "").status, 204);
    assert_eq!(count(&mut client, "a"), kept);
    fill(&mut client, "a", 0, 8_000);
    assert_eq!(stats(&mut client, "a")["bytes"].as_u64().unwrap(), before);
    let large = client.request("PUT", "/v1/a", &json!({"memory": "33MiB"}).to_string());
    assert_eq!(large.status, 422);
    let message = "memory is 33MiB; allowed: up to 32MiB, which is what all nodes have together";
    assert_eq!(large.message(), message);
}

#[test]
fn entries_live_as_long_as_their_namespace_says_whichever_door_they_came_by() {
    let node = Node::start(&["--demo", "--resp", "127.0.0.1:0"]);
    let mut client = node.client();
    for namespace in ["t", "default"] {
        put_policy(&mut client, namespace, &json!({"default_ttl": "100s", "max_ttl": 300}));
    }
    let put = |client: &mut Client, method: &str, target: &str, body: &str| {
        let status = client.request(method, target, body).status;
        assert!(matches!(status, 200 | 201 | 204), "{method} {target}: {status}");
    };
    put(&mut client, "PUT", "/v1/t/plain", "x");
    put(&mut client, "PUT", "/v1/t/short?ttl=7s", "x");
    put(&mut client, "PUT", "/v1/t/long?ttl=1h", "x");
    put(&mut client, "POST", "/v1/t/number?op=incr", "");
    put(&mut client, "POST", "/v1/t/text?op=append", "x");
    let batch = r#"[{"op":"put","key":"batched","value":1},{"op":"put","key":"late","value":1,"ttl":"1d"}]"#;
    put(&mut client, "POST", "/v1/t", batch);
    put(&mut client, "POST", "/api", r#"{"key":"smache","data":{}}"#);
    let mut max_age = |target: &str| max_age(&mut client, &format!("/v1/{target}"));
    for (target, seconds) in [
        ("t/plain", 100),
        ("t/short", 7),
        ("t/long", 300),
        ("t/number", 100),
        ("t/text", 100),
        ("t/batched", 100),
        ("t/late", 300),
        ("default/smache", 100),
    ] {
        assert_eq!(max_age(target), Some(seconds), "{target}");
    }
    // What is changed in place keeps its end, but ends no later than allowed.
    put(&mut client, "POST", "/v1/t/short?op=append", "y");
    put(&mut client, "POST", "/v1/t/plain?op=persist", "");
    put(&mut client, "POST", "/v1/t/long?op=touch&ttl=2h", "");
    let mut age = |target: &str| self::max_age(&mut client, target);
    assert!(age("/v1/t/short").unwrap() <= 7);
    assert_eq!((age("/v1/t/plain"), age("/v1/t/long")), (Some(300), Some(300)));
    // From the next write on.
    put_policy(&mut client, "t", &json!({"max_ttl": "50s"}));
    put(&mut client, "PUT", "/v1/t/next", "x");
    put(&mut client, "POST", "/v1/t/number?op=incr", "");
    let mut age = |target: &str| self::max_age(&mut client, target);
    assert_eq!((age("/v1/t/next"), age("/v1/t/number")), (Some(50), Some(50)));
    assert_eq!(age("/v1/t/text"), Some(100));
    put(&mut client, "DELETE", "/v1/t?policy", "");
    put(&mut client, "PUT", "/v1/t/free", "x");
    assert_eq!(self::max_age(&mut client, "/v1/t/free"), None);
}

#[test]
fn what_is_asked_of_a_namespace_is_counted_in_it() {
    let node = Node::start(&["--demo"]);
    let mut client = node.client();
    client.request("PUT", "/v1/a/k", "x");
    for (target, times) in [("a/k", 3), ("a/none", 2), ("b/none", 4), ("default/none", 1)] {
        (0..times).for_each(|_| _ = client.request("GET", &format!("/v1/{target}"), ""));
    }
    let figures = |of: &Value| {
        ["entries", "hits", "misses", "evictions"].map(|name| of[name].as_u64().unwrap())
    };
    assert_eq!(figures(&stats(&mut client, "a")), [1, 3, 2, 0]);
    assert_eq!(figures(&stats(&mut client, "default")), [0, 0, 1, 0]);
    let status = client.request("GET", "/status", "").json();
    assert_eq!(status["requests"]["hits"], 3);
    assert_eq!(status["requests"]["misses"], 7);
    client.request("DELETE", "/v1/a/k", "");
    assert_eq!(figures(&stats(&mut client, "a")), [0, 3, 2, 0]);
    // No more namespaces are counted apart than there is room for.
    for n in 0..300 {
        client.request("PUT", &format!("/v1/n{n}/k"), "x");
    }
    let metrics = client.request("GET", "/metrics", "").body;
    assert!(
        metrics.lines().filter(|line| line.starts_with("smache_namespace_entries{")).count() < 150
    );
    assert!(metrics.contains("smache_namespace_entries{namespace=\"*\"} "), "{metrics}");
    // Unless somebody says something of one of them.
    put_policy(&mut client, "n299", &json!({}));
    client.request("PUT", "/v1/n299/other", "x");
    while figures(&stats(&mut client, "n299"))[0] != 2 {}
}

#[test]
fn policies_are_shown_listed_and_removed_and_what_is_wrong_is_named() {
    let node = Node::start(&["--demo"]);
    let mut client = node.client();
    assert_eq!(client.request("GET", "/v1", "").json(), json!({"namespaces": []}));
    let policy = json!({"memory": "16MiB", "default_ttl": "30s", "max_ttl": "1h"});
    let made = client.request("PUT", "/v1/a", &policy.to_string());
    assert_eq!((made.status, made.json()), (201, policy.clone()));
    assert_eq!(client.request("PUT", "/v1/a", &policy.to_string()).status, 200);
    assert_eq!(client.request("GET", "/v1/a?policy", "").json(), policy);
    let listed = json!({"namespaces": [{"namespace": "a", "policy": policy}]});
    assert_eq!(client.request("GET", "/v1", "").json(), listed);
    for (method, target, body, status, message) in [
        ("GET", "/v1/b?policy", "", 404, "the namespace b has no policy"),
        ("DELETE", "/v1/b?policy", "", 404, "the namespace b has no policy"),
        ("PUT", "/v1/a", "{", 400, "body is not a JSON object"),
        ("PUT", "/v1/a", "[]", 400, "body is not a JSON object"),
        (
            "PUT",
            "/v1/a",
            r#"{"ttl":1}"#,
            422,
            "ttl is unknown; allowed: memory, default_ttl, max_ttl",
        ),
        ("PUT", "/v1/a", r#"{"memory":"lots"}"#, 422, "memory is lots; allowed: 64KiB"),
        ("PUT", "/v1/a", r#"{"memory":0}"#, 422, "memory is 0; allowed: 64KiB"),
        ("PUT", "/v1/a", r#"{"default_ttl":"-1s"}"#, 422, "default_ttl is -1s; allowed: 1500ms"),
        ("PUT", "/v1/a", r#"{"max_ttl":{}}"#, 422, "max_ttl is {}; allowed: 1500ms"),
        (
            "PUT",
            "/v1/a",
            r#"{"default_ttl":"2s","max_ttl":"1s"}"#,
            422,
            "default_ttl is 2s; allowed: up to",
        ),
        ("PUT", "/v1/a?policy", "{}", 400, "parameter policy is unknown; allowed: none"),
        ("PUT", "/v1/a b", "{}", 400, "namespace is invalid"),
        ("GET", "/v1/a?policy&stats", "", 400, "parameter stats is unknown; allowed: policy"),
        ("DELETE", "/v1/a?policy&key=x", "", 400, "parameter key is unknown; allowed: policy"),
        ("POST", "/v1", "", 405, ""),
    ] {
        let answer = node.client().request(method, &target.replace(' ', "%20"), body);
        assert_eq!(answer.status, status, "{method} {target} {body}: {answer:?}");
        assert!(answer.message().starts_with(message), "{method} {target} {body}: {answer:?}");
    }
    let coded = [("content-encoding", "gzip")];
    assert_eq!(node.client().request_with("PUT", "/v1/a", &coded, "{}").status, 415);
    let large = json!({"memory": " ".repeat(10_000)}).to_string();
    assert_eq!(node.client().request("PUT", "/v1/a", &large).status, 413);
    assert_eq!(client.request("GET", "/v1/a?policy", "").json(), policy, "nothing changed");
    for n in 1..64 {
        assert_eq!(client.request("PUT", &format!("/v1/p{n}"), "{}").status, 201, "{n}");
    }
    let many = client.request("PUT", "/v1/many", "{}");
    assert_eq!(many.message(), "too many namespaces have a policy; allowed: 64");
    assert_eq!(client.request("DELETE", "/v1/p1?policy", "").status, 204);
    assert_eq!(client.request("PUT", "/v1/many", "{}").status, 201);

    let plain = Node::start(&[]);
    for (method, target) in [("PUT", "/v1/a"), ("DELETE", "/v1/a?policy")] {
        assert_eq!(plain.client().request(method, target, "{}").status, 403, "{method}");
    }
    assert_eq!(plain.get("/v1/a?policy").status, 404);
}
