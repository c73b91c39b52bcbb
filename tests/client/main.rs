//! The client commands, run as programs against a node that speaks the contract and keeps count.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "nobody uses a test")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

mod fake_node;
mod load;

use fake_node::{Behavior, FakeNode};

/// A command against `node`, with an environment of its own.
fn smache(url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smache"));
    for variable in ["SMACHE_TOKEN", "SMACHE_TOKEN_FILE"] {
        command.env_remove(variable);
    }
    command.env("SMACHE_URL", url).args(words).stdin(Stdio::null());
    command
}

/// Runs a command and returns its exit code, standard output and standard error.
fn run(node: &FakeNode, words: &[&str]) -> (i32, String, String) {
    read(&smache(&node.url(), words).output().unwrap())
}

fn read(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn done(out: &str) -> (i32, String, String) {
    (0, out.to_owned(), String::new())
}

#[test]
fn a_value_comes_back_as_it_was_put() {
    let node = FakeNode::start(Behavior::Correct);
    let value = r#"{"n":1.10,"big":123456789012345678901}"#;
    assert_eq!(run(&node, &["put", "k", value]), done("stored k\n"));
    assert_eq!(run(&node, &["get", "k"]), done(&format!("{value}\n")));
    let whole = format!("{{\"key\":\"k\",\"data\":{value},\"node\":\"fake\"}}\n");
    assert_eq!(run(&node, &["get", "k", "--json"]), done(&whole));
    assert_eq!(run(&node, &["del", "k"]), done("deleted k\n"));
}

#[test]
fn a_value_with_a_time_to_live_is_put_to_the_native_api() {
    let node = FakeNode::start(Behavior::Correct);
    assert_eq!(run(&node, &["put", "k", r#"{"a":1}"#, "--ttl", "30s"]), done("stored k\n"));
    assert_eq!(run(&node, &["get", "k?ttl=30s"]), done("{\"a\":1}\n"));
}

#[test]
fn an_absent_key_is_exit_code_1() {
    let node = FakeNode::start(Behavior::Correct);
    let absent = (1, String::new(), "smache: k is absent\n".to_owned());
    assert_eq!(run(&node, &["get", "k"]), absent);
    assert_eq!(run(&node, &["del", "k"]), absent);
    let (code, out, _) = run(&node, &["get", "k", "--json"]);
    assert_eq!((code, out.as_str()), (1, "{\"key\":\"k\",\"data\":null,\"node\":\"fake\"}\n"));
    let (code, out, _) = run(&node, &["del", "k", "--json"]);
    assert_eq!((code, out.as_str()), (1, "{\"key\":\"k\",\"deleted\":false}\n"));
}

#[test]
fn any_text_can_be_a_key() {
    let node = FakeNode::start(Behavior::Correct);
    for key in ["a b", "a&key=c", "100%", "a+b", "größe/🦀", "#x?y", "\"quoted\"", "line\nend"]
    {
        let value = format!("{{\"length\":{}}}", key.len());
        assert_eq!(run(&node, &["put", key, &value]).0, 0);
        assert_eq!(run(&node, &["get", key]), done(&format!("{value}\n")));
    }
}

#[test]
fn a_value_is_read_from_standard_input() {
    let node = FakeNode::start(Behavior::Correct);
    let put = |text: &str| {
        let mut command = smache(&node.url(), &["put", "k", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        read(&child.wait_with_output().unwrap())
    };
    assert_eq!(put("{\"a\":1}\n"), done("stored k\n"));
    assert_eq!(run(&node, &["get", "k"]), done("{\"a\":1}\n"));
    let (code, _, err) = put("[1]");
    assert_eq!(code, 2);
    assert!(
        err.starts_with("smache: standard input is JSON, but not an object; allowed:"),
        "{err}"
    );
}

#[test]
fn a_value_that_is_no_object_is_refused_without_asking_the_node() {
    let node = FakeNode::start(Behavior::Correct);
    let (code, out, err) = run(&node, &["put", "k", "12"]);
    assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1));
    assert!(err.contains("VALUE is JSON, but not an object; allowed: a JSON object"), "{err}");
    assert_eq!(node.requests(), 0);
}

#[test]
fn a_wrong_url_is_one_line_and_exit_code_2() {
    for url in ["https://localhost", "http://localhost/prefix", "localhost:4000"] {
        let (code, out, err) = read(&smache(url, &["get", "k"]).output().unwrap());
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1));
        assert!(err.contains(&format!("SMACHE_URL is {url:?}; allowed: http://HOST")), "{err}");
    }
}

#[test]
fn a_node_that_is_not_there_is_one_line_and_exit_code_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let value = "{}";
    for words in [&["get", "k"][..], &["put", "k", value], &["status"], &["tree"], &["bench"]] {
        let (code, out, err) = read(&smache(&url, words).output().unwrap());
        assert_eq!((code, out.as_str()), (3, ""));
        assert_eq!(err, format!("smache: {url}: not reached: connection refused\n"));
    }
}

#[test]
fn the_nodes_own_message_is_shown() {
    let node = FakeNode::start(Behavior::Answers(503, "{\"message\":\"owner \\u001b a is away\"}"));
    let (code, out, err) = run(&node, &["get", "k"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert_eq!(err, format!("smache: {}: answered 503: owner \\u{{1b}} a is away\n", node.url()));
    let node = FakeNode::start(Behavior::Answers(200, "<html>"));
    let (code, _, err) = run(&node, &["get", "k"]);
    assert_eq!((code, err.lines().count()), (3, 1));
    assert!(err.contains("answered with something unexpected"), "{err}");
}

#[test]
fn a_token_is_presented_and_never_shown() {
    let node = FakeNode::start(Behavior::Token("s3cret"));
    let (code, _, err) = run(&node, &["get", "k"]);
    assert_eq!(code, 3);
    assert!(err.ends_with("answered 401: token missing\n"), "{err}");
    let with = |token: &str, words: &[&str]| {
        read(&smache(&node.url(), words).env("SMACHE_TOKEN", token).output().unwrap())
    };
    assert_eq!(with("s3cret", &["put", "k", "{}"]), done("stored k\n"));
    let (code, _, err) = with("wr0ng", &["get", "k"]);
    assert_eq!((code, err.contains("wr0ng")), (3, false));
    let words = ["bench", "--clients", "2", "--requests", "20", "--keys", "5"];
    let (code, out, err) = with("s3cret", &words);
    assert_eq!((code, out.contains("s3cret"), err.as_str()), (0, false, ""));
}

#[test]
fn answers_in_chunks_are_read() {
    let node = FakeNode::start(Behavior::Chunked);
    assert_eq!(run(&node, &["put", "k", r#"{"a":1}"#]).0, 0);
    assert_eq!(run(&node, &["get", "k"]), done("{\"a\":1}\n"));
}

#[test]
fn status_and_tree_are_drawn_or_passed_on() {
    let node = FakeNode::start(Behavior::Correct);
    let (code, out, err) = run(&node, &["status"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("fake  ready  version 0.1.0  up 1s 234ms  boot b\n"), "{out}");
    assert!(out.contains("memory    0 B of entries in 256.0 MiB (0.0 %)"), "{out}");
    let (_, out, _) = run(&node, &["status", "--json"]);
    assert_eq!(out, format!("{}\n", fake_node::STATUS));
    let (code, out, _) = run(&node, &["tree"]);
    assert_eq!(code, 0);
    assert!(out.contains("\n└─ shard-0  worker"), "{out}");
    let (_, out, _) = run(&node, &["tree", "--json"]);
    assert_eq!(out, format!("{}\n", fake_node::TREE));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let node = FakeNode::start(Behavior::Correct);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = smache(&node.url(), &["status"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_url_with_an_ipv6_address_works() {
    // Not every machine has the address.
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let url = format!("http://{}", listener.local_addr().unwrap());
    let node = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let body = r#"{"key":"k","data":{},"node":"a"}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut start = [0; 4];
        stream.read_exact(&mut start).unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    assert_eq!(read(&smache(&url, &["get", "k"]).output().unwrap()), done("{}\n"));
    node.join().unwrap();
}
