//! What the log says, and what requests are called in it.

use crate::process::{Node, smache};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn the_first_line_says_what_starts_and_every_line_of_which_node_it_is() {
    let node = Node::start(&["--node", "first@here"]);
    let first = node.wait_for_line("smache starts");
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(first.contains(&version) && first.contains("memory=\"256.0 MiB\""), "{first}");
    let ready = node.wait_for_line("node is ready");
    for line in [first, ready] {
        assert_eq!(line.split_whitespace().nth(1), Some("first@here"), "{line}");
    }
}

#[test]
fn lines_for_programs_are_objects_that_name_their_node() {
    let flags = ["serve", "--http", "127.0.0.1:0", "--node", "n@x", "--log-format", "json"];
    let node = Node::begin(&mut smache(&flags), ([127, 0, 0, 1], 0).into());
    let line = node.wait_for_line("smache starts");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["node"], &line["level"]), (&"n@x".into(), &"INFO".into()));
    let ready = node.wait_for_line("node is ready");
    assert_eq!(ready.matches("\"node\":").count(), 1, "{ready}");
}

#[test]
fn what_is_open_to_everybody_is_warned_of() {
    let flags = ["serve", "--http", "0.0.0.0:0", "--insecure", "--demo"];
    let node = Node::begin(&mut smache(&flags), ([127, 0, 0, 1], 0).into());
    node.wait_for_line("it has no token (--insecure)");
    node.wait_for_line("may crash actors");
    let quiet = Node::start(&["--demo"]);
    quiet.wait_for_line("node is ready");
    assert_eq!(quiet.lines("--demo"), Vec::<String>::new());
}

#[test]
fn every_request_is_a_line_at_debug_without_its_key() {
    let node = Node::start(&["--log", "debug"]);
    let mut client = node.client();
    let named = [("x-request-id", "order-7"), ("traceparent", PARENT)];
    let found = client.request_with("GET", "/v1/site/secret-key", &named, "");
    assert_eq!(found.header("x-request-id"), Some("order-7"));
    let line = node.wait_for_line("order-7");
    for part in [
        "DEBUG",
        "method=GET",
        "route=\"/v1/{namespace}/{key}\"",
        "code=404",
        "outcome=\"miss\"",
        "took_us=",
        "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let unnamed = client.request("POST", "/api", r#"{"key":"secret-key","data":{}}"#);
    let id = unnamed.header("x-request-id").unwrap().to_owned();
    assert!(node.wait_for_line(&id).contains("route=\"/api\""));
    assert_eq!(node.lines("secret-key"), Vec::<String>::new());
}

#[test]
fn a_request_that_takes_long_is_warned_of_and_with_its_key_only_if_that_is_allowed() {
    let node = Node::start(&["--slow", "0ms"]);
    let id = node.get("/api?key=secret-key").header("x-request-id").unwrap().to_owned();
    let line = node.wait_for_line(&id);
    assert!(line.contains("WARN") && line.contains("slow request"), "{line}");
    assert_eq!(node.lines("secret-key"), Vec::<String>::new());
    let node = Node::start(&["--slow", "0ms", "--log-keys"]);
    node.get("/api?key=open-key");
    assert!(node.wait_for_line("open-key").contains("target=\"/api?key=open-key\""));
}

#[test]
fn a_request_that_nobody_names_or_logs_has_no_id() {
    let node = Node::start(&["--slow", "1h"]);
    assert_eq!(node.get("/api?key=a").header("x-request-id"), None);
    let mut client = node.client();
    let found = client.request_with("GET", "/api?key=a", &[("x-request-id", "not one")], "");
    let id = found.header("x-request-id").unwrap();
    assert!(id != "not one" && !id.contains(' '), "{id}");
    let wrong = smache(&["serve", "--http", "127.0.0.1:0", "--slow", "soon"]).output().unwrap();
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        said.contains("slow = \"soon\"") && said.contains("allowed: a time like 1500ms"),
        "{said}"
    );
}

#[test]
fn a_full_memory_is_said_once() {
    let node = Node::start(&["--memory", "1MiB", "--shards", "2"]);
    let mut client = node.client();
    let value = "x".repeat(10_000);
    for n in 0..1_000 {
        client.request("PUT", &format!("/v1/a/{n}"), &value);
    }
    let line = node.wait_for_line("is full");
    assert!(line.contains("limit_bytes="), "{line}");
    for n in 1_000..2_000 {
        client.request("PUT", &format!("/v1/a/{n}"), &value);
    }
    assert_eq!(node.lines("is full").len(), 1);
}
