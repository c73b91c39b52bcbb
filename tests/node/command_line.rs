//! The program as a user meets it: flags, exit codes, and the client commands against a real node.

use std::net::TcpListener;
use std::process::Output;

use crate::process::{Node, smache};

fn run(words: &[&str]) -> Output {
    smache(words).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_wrong_setting_ends_the_start_with_one_line_and_code_2() {
    for (words, named) in [
        (["serve", "--shards", "0"], "shards = \"0\""),
        (["serve", "--http", "0.0.0.0:0"], "--insecure"),
        (["serve", "--token-file", "/nonexistent"], "token-file"),
        (["config", "--memory", "x"], "memory = \"x\""),
    ] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let line = text(&output.stderr);
        assert!(line.contains(named) && line.contains("allowed:"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    assert_eq!(run(&["serve", "--nonsense"]).status.code(), Some(2));
}

#[test]
fn help_says_how_a_node_ends_and_with_which_code() {
    let help = run(&["serve", "--help"]);
    let help = text(&help.stdout);
    for said in ["SIGHUP", "Exit codes: 0 all was handed over", "3 something was not handed"] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(help).contains(said), "{help}");
    }
}

#[test]
fn an_address_in_use_is_a_clear_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--http", &addr]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {addr}")));
}

#[test]
fn config_prints_each_value_and_where_it_came_from() {
    let mut command = smache(&["config", "--shards", "2"]);
    let output = command.env("PORT", "4321").env("SMACHE_TOKEN", "hush").output().unwrap();
    let lines = text(&output.stdout);
    assert!(output.status.success());
    for (name, value, source) in [
        ("http", "127.0.0.1:4321", "(PORT)"),
        ("shards", "2", "(--shards)"),
        ("memory", "256MiB", "(default)"),
        ("token-file", "(secret)", "(SMACHE_TOKEN)"),
    ] {
        let line = lines.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains(value) && line.contains(source), "{line}");
    }
    assert!(!lines.contains("hush"));
    let json = run(&["config", "--json"]);
    let settings: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(settings[0]["name"], "http");
}

#[test]
fn config_minds_no_reader_that_has_seen_enough_and_warns_of_what_is_hardly_meant() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = smache(&["config", "--memory", "900GiB", "--shards", "1024"]);
    command.env("SMACHE_MEMROY", "1GiB").env("SMACHE_PORT", "tcp://10.0.0.1:4000").stdout(writer);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let warnings = text(&output.stderr);
    assert!(warnings.contains("SMACHE_MEMROY") && !warnings.contains("SMACHE_PORT"), "{warnings}");
    assert!(warnings.contains("900.0 GiB") && warnings.contains("allowed: less"), "{warnings}");
}

#[test]
fn the_client_commands_speak_to_a_real_node() {
    let mut command = smache(&["serve", "--http", "127.0.0.1:0"]);
    let node = Node::start_command(command.env("SMACHE_TOKEN", "hush"));
    let ask = |words: &[&str]| {
        let mut command = smache(words);
        command.env("SMACHE_URL", node.url()).env("SMACHE_TOKEN", "hush").output().unwrap()
    };
    assert_eq!(ask(&["get", "a key"]).status.code(), Some(1));
    assert!(ask(&["put", "a key", r#"{"n": 1.10}"#]).status.success());
    let got = ask(&["get", "a key"]);
    assert_eq!(text(&got.stdout).trim(), r#"{"n": 1.10}"#);
    assert!(ask(&["del", "a key"]).status.success());
    assert_eq!(ask(&["del", "a key"]).status.code(), Some(1));
    assert!(text(&ask(&["status"]).stdout).contains("smache@localhost"));
    assert!(text(&ask(&["tree"]).stdout).contains("door-http"));
    let load = ["bench", "--clients", "8", "--requests", "2000", "--keys", "100", "--json"];
    let load = ask(&load);
    assert!(load.status.success(), "{load:?}");
    let report: serde_json::Value = serde_json::from_slice(&load.stdout).unwrap();
    assert!(report.to_string().contains("2000"), "{report}");
}

#[test]
fn a_node_without_a_door_runs_until_it_is_told_to_stop() {
    let mut command = smache(&["serve", "--http", "off"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("node is ready") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut log, &mut line).unwrap(), 0);
    }
    assert!(line.contains("http=\"off\""), "{line}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
