//! `smache bench`, run as a program.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use crate::fake_node::{Behavior, FakeNode};
use crate::{read, run, smache};

/// Runs `bench --json` and returns its exit code, report and standard error.
fn bench(node: &FakeNode, words: &[&str]) -> (i32, Value, String) {
    let words = [&["bench", "--json", "--seed", "1"], words].concat();
    let (code, out, err) = run(node, &words);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}\n{err}")), err)
}

#[test]
fn a_load_run_sends_exactly_what_was_asked_for() {
    for (clients, pipeline, threads) in [(1, 1, 1), (7, 1, 2), (3, 16, 2), (20, 1_000, 1)] {
        let node = FakeNode::start(Behavior::Correct);
        let [clients, pipeline, threads] = [clients, pipeline, threads].map(|n: u32| n.to_string());
        let words = ["--clients", &clients, "--pipeline", &pipeline, "--threads", &threads];
        let words = [&words[..], &["--requests", "1003", "--keys", "101"]].concat();
        let (code, report, err) = bench(&node, &words);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(node.requests(), 1_003 + 101);
        assert_eq!(node.keys(), 101);
        let figure = |name: &str| report[name].as_u64().unwrap();
        assert_eq!(figure("requests"), 1_003);
        assert_eq!(figure("answered"), 1_003);
        assert_eq!(figure("hits") + figure("writes"), 1_003);
        assert_eq!((figure("misses"), figure("failed"), figure("unanswered")), (0, 0, 0));
        assert_eq!(report["statuses"], serde_json::json!({"200": 1_003}));
        assert_eq!(report["cut_short"], false);
        assert!(report["latency_us"]["p50"].as_f64() <= report["latency_us"]["p99_9"].as_f64());
        assert!(report["latency_us"]["p99_9"].as_f64() <= report["latency_us"]["max"].as_f64());
    }
}

#[test]
fn hits_misses_and_writes_are_told_apart() {
    let node = FakeNode::start(Behavior::Correct);
    let figures = |words: &[&str]| {
        let words = [&["--requests", "200", "--keys", "5", "--no-fill"], words].concat();
        let (code, report, _) = bench(&node, &words);
        assert_eq!(code, 0);
        ["hits", "misses", "writes"].map(|name| report[name].as_u64().unwrap())
    };
    assert_eq!(figures(&["--read-share", "1"]), [0, 200, 0]);
    assert_eq!(figures(&["--read-share", "0"]), [0, 0, 200]);
    assert_eq!(figures(&["--read-share", "1", "--distribution", "zipf"]), [200, 0, 0]);
    assert_eq!(figures(&["--health"]), [0, 0, 0]);
    assert_eq!(node.requests(), 800);
}

#[test]
fn the_same_seed_asks_for_the_same_keys() {
    let asked = || {
        let node = FakeNode::start(Behavior::Correct);
        let words = ["--clients", "1", "--requests", "100", "--read-share", "0"];
        assert_eq!(bench(&node, &words).0, 0);
        node.writes()
    };
    let first: BTreeMap<String, u64> = asked();
    assert!(!first.is_empty());
    assert_eq!(first, asked());
}

#[test]
fn a_connection_that_is_closed_costs_the_requests_it_lost() {
    // Each connection answers three requests, and closes unannounced with the fourth.
    let node = FakeNode::start(Behavior::ClosesAfter(3));
    let words = ["--clients", "1", "--requests", "40", "--no-fill", "--read-share", "1"];
    let (code, report, err) = bench(&node, &words);
    assert_eq!((code, err.lines().count()), (3, 1));
    assert!(err.contains("10 of 40 requests failed, the first with: connection"), "{err}");
    assert_eq!(report["answered"], 30);
    assert_eq!(report["failed"], 10);
    let lost = ["closed", "reset"].map(|kind| report["errors"][kind].as_u64().unwrap());
    assert_eq!(lost.iter().sum::<u64>(), 10);
    assert_eq!(report["reconnects"], 9);
    let (_, report, _) = bench(&node, &[&words[..], &["--pipeline", "10"]].concat());
    assert_eq!((&report["answered"], &report["failed"]), (&12.into(), &28.into()));
}

#[test]
fn a_bad_status_is_an_error_with_the_nodes_message() {
    let node = FakeNode::start(Behavior::Answers(429, "{\"message\":\"too fast\"}"));
    let words = ["--clients", "2", "--requests", "10", "--no-fill"];
    let (code, report, err) = bench(&node, &words);
    assert_eq!(code, 3);
    assert!(
        err.contains("10 of 10 requests failed, the first with: status 429: too fast"),
        "{err}"
    );
    assert_eq!(report["statuses"], serde_json::json!({"429": 10}));
    assert_eq!(report["errors"]["bad_status"], 10);
    assert_eq!(report["latency_us"], Value::Null);
    let (code, out, err) = run(&node, &["bench", "--keys", "10"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("10 of 10 writes before the run failed"), "{err}");
}

#[test]
fn a_run_for_a_time_ends_after_it() {
    let node = FakeNode::start(Behavior::Correct);
    let words = ["--clients", "4", "--duration", "100ms", "--keys", "10"];
    let (code, report, err) = bench(&node, &words);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(100.0 <= report["elapsed_ms"].as_f64().unwrap());
    assert_eq!(report["answered"].as_u64().unwrap() + 10, node.requests());
    assert_eq!(report["cut_short"], false);
}

#[test]
fn wrong_figures_are_one_line_and_exit_code_2() {
    let node = FakeNode::start(Behavior::Correct);
    let (code, _, err) = run(&node, &["bench", "--clients", "10001"]);
    assert_eq!((code, err.as_str()), (2, "smache: --clients is 10001; allowed: 1 to 10000\n"));
    assert_eq!(node.requests(), 0);
}

#[test]
fn a_node_that_goes_away_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let node = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        stream.read_exact(&mut [0; 10]).unwrap();
    });
    let words = ["bench", "--json", "--clients", "1", "--requests", "1000", "--no-fill"];
    let (code, out, err) = read(&smache(&url, &words).output().unwrap());
    node.join().unwrap();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.lines().count()), (3, 1));
    assert_eq!((&report["cut_short"], &report["answered"]), (&true.into(), &0.into()));
    // One request lost with the connection, and one with each attempt to open it again.
    assert_eq!((&report["failed"], &report["errors"]["refused"]), (&10.into(), &9.into()));
}

#[test]
fn an_interrupt_ends_the_run_with_what_was_measured() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let words = ["bench", "--json", "--clients", "1", "--health"];
    let mut command = smache(&url, &words);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    // With the second request, the first is answered; it will wait for its answer in vain.
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", &url[7..]);
    stream.read_exact(&mut vec![0; 2 * request.len()]).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (code, out, err) = read(&child.wait_with_output().unwrap());
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str()), (0, ""));
    let figures = ["answered", "unanswered", "failed"].map(|name| report[name].as_u64().unwrap());
    assert_eq!((figures, &report["cut_short"]), ([1, 1, 0], &true.into()));
}

#[test]
fn answers_in_chunks_are_counted_like_others() {
    let node = FakeNode::start(Behavior::Chunked);
    let words = ["--clients", "3", "--requests", "300", "--keys", "10", "--pipeline", "7"];
    let (code, report, _) = bench(&node, &words);
    assert_eq!((code, &report["answered"], &report["failed"]), (0, &300.into(), &0.into()));
    assert_eq!(report["misses"], 0);
}
