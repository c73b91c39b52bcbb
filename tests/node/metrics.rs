//! What `/metrics` says, and that each number is of what it is named after.

use crate::http::{Client, Response};
use crate::process::Node;

/// The sample of a name and its labels, as they stand there.
fn sample(metrics: &Response, name: &str) -> Option<f64> {
    let lines = metrics.body.lines();
    let values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.map(|value| value.parse().unwrap()).next()
}

fn metrics(node: &Node) -> Response {
    node.get("/metrics")
}

#[test]
fn the_format_is_prometheus_text_and_open_metrics_for_who_asks_for_it() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let mut ask = |accept: &[(&str, &str)]| client.request_with("GET", "/metrics", accept, "");
    let text = "text/plain; version=0.0.4; charset=utf-8";
    for accept in [&[][..], &[("accept", "text/plain")], &[("accept", "*/*")]] {
        let found = ask(accept);
        assert_eq!(found.header("content-type"), Some(text), "{accept:?}");
        assert!(found.body.contains("\n# TYPE smache_hits_total counter\n"), "{}", found.body);
        assert!(!found.body.contains("# EOF"));
    }
    let open = ask(&[("accept", "application/openmetrics-text; version=1.0.0")]);
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.body.contains("\n# TYPE smache_hits counter\n"), "{}", open.body);
    assert!(open.body.ends_with("\n# EOF\n"));
}

#[test]
fn every_request_is_timed_by_verb_and_outcome() {
    let node = Node::start(&[]);
    let mut client = node.client();
    client.request("POST", "/api", r#"{"key":"a","data":{}}"#);
    client.request("PUT", "/v1/default/b", "x");
    for target in ["/api?key=a", "/v1/default/b", "/api?key=absent", "/v1/default/absent"] {
        client.request("GET", target, "");
    }
    client.request("GET", "/api", "");
    client.request("DELETE", "/v1/default/b", "");
    client.request("PATCH", "/api", "");
    let found = metrics(&node);
    for (verb, outcome, count) in [
        ("get", "hit", 2.0),
        ("get", "miss", 2.0),
        ("get", "refused", 1.0),
        ("get", "failed", 0.0),
        ("put", "ok", 2.0),
        ("delete", "ok", 1.0),
        ("other", "refused", 1.0),
    ] {
        let labels = format!("{{door=\"http\",verb=\"{verb}\",outcome=\"{outcome}\"");
        let of = |suffix: &str, bound: &str| {
            let name = format!("smache_request_duration_seconds{suffix}{labels}{bound}}}");
            sample(&found, &name).unwrap_or_else(|| panic!("{name}: {}", found.body))
        };
        assert_eq!(of("_count", "").to_string(), count.to_string(), "{verb} {outcome}");
        assert_eq!(of("_bucket", ",le=\"+Inf\"").to_string(), count.to_string());
        assert_eq!(of("_bucket", ",le=\"5.0\"").to_string(), count.to_string());
        let sum = of("_sum", "");
        assert!((0.0..=5.0 * count).contains(&sum) && (0.0 < sum) == (0.0 < count), "{sum}");
    }
}

#[test]
fn failures_of_the_cache_are_told_from_a_node_that_starts_and_from_what_is_not_there_yet() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let tags = [("cache-tag", "a")];
    assert_eq!(client.request_with("PUT", "/v1/a/b", &tags, "x").status, 501);
    let mut malformed = Client::connect(node.addr());
    malformed.send(b"nonsense\r\n\r\n").unwrap();
    malformed.receive_all().unwrap();
    let found = metrics(&node);
    let responses = |route: &str, code: u16| {
        let name = format!("smache_http_responses_total{{route=\"{route}\",code=\"{code}\"}}");
        sample(&found, &name).map(|count| count as u64)
    };
    assert_eq!(responses("/v1/{namespace}/{key}", 501), Some(1));
    assert_eq!(responses("/v1/{namespace}/{key}", 503), Some(0));
    assert!(responses("other", 400).is_some_and(|count| 1 <= count));
    let unsupported = "{door=\"http\",verb=\"put\",outcome=\"unsupported\"}";
    let name = format!("smache_request_duration_seconds_count{unsupported}");
    assert_eq!(sample(&found, &name), Some(1.0));
}

#[test]
fn the_process_and_the_build_are_told() {
    let node = Node::start(&["--node", "n@x"]);
    let found = metrics(&node);
    let version = env!("CARGO_PKG_VERSION");
    let info = format!("smache_build_info{{node=\"n@x\",version=\"{version}\",protocols=\"");
    assert!(found.body.contains(&info), "{}", found.body);
    let started = sample(&found, "process_start_time_seconds").unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((0.0..60.0).contains(&(now - started)), "{started} {now}");
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(sample(&found, name).is_some_and(|value| 0.0 < value), "{name}");
    }
    let (open, max) = (sample(&found, "process_open_fds"), sample(&found, "process_max_fds"));
    assert!(open < max, "{open:?} {max:?}");
}

#[test]
fn bytes_are_counted_by_when_a_connection_has_ended() {
    let node = Node::start(&["--max-value", "1MiB"]);
    let mut client = node.client();
    let value = "x".repeat(100_000);
    client.request("PUT", "/v1/a/b", &value);
    client.request("GET", "/v1/a/b", "");
    drop(client);
    let (received, sent) =
        ("smache_received_bytes_total{door=\"http\"}", "smache_sent_bytes_total{door=\"http\"}");
    // The node notices the end of the connection in a moment of its own.
    let counted = (0..1_000).map(|_| metrics(&node)).find(|found| {
        [received, sent].iter().all(|name| sample(found, name).is_some_and(|bytes| 1e5 < bytes))
    });
    assert!(counted.is_some(), "{}", metrics(&node).body);
}

#[test]
fn evictions_are_told_by_cause() {
    let node = Node::start(&["--memory", "2MiB", "--shards", "1"]);
    let mut client = node.client();
    let value = "x".repeat(10_000);
    for n in 0..600 {
        client.request("PUT", &format!("/v1/a/{n}"), &value);
    }
    let found = metrics(&node);
    let of = |cause| sample(&found, &format!("smache_evictions_total{{cause=\"{cause}\"}}"));
    let evicted = of("unused").unwrap() + of("capacity").unwrap();
    let status = node.get("/status").json()["requests"]["evictions"].as_u64().unwrap();
    assert_eq!(evicted as u64, status);
    assert!(Some(0.0) < of("unused"), "{}", found.body);
}
