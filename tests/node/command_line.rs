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
    for words in [&["config", "--example"][..], &["config", "--json"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = smache(words).stdout(writer).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
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

#[test]
fn any_bytes_counters_patches_and_lists_are_there_from_the_command_line() {
    let node = Node::start(&[]);
    let ask = |words: &[&str]| smache(words).env("SMACHE_URL", node.url()).output().unwrap();
    let done = |words: &[&str]| {
        let output = ask(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout).to_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("value").display().to_string();
    std::fs::write(&file, b"\xff\x00text").unwrap();

    assert!(
        done(&["put", "raw", "--file", &file, "--type", "text/x"]).starts_with("stored raw \"")
    );
    let shown = ask(&["get", "raw", "-i"]).stdout;
    assert!(shown.ends_with(b"\n\n\xff\x00text"), "{shown:?}");
    assert!(shown.windows(20).any(|part| part == b"content-type: text/x"), "{shown:?}");
    let copy = dir.path().join("copy").display().to_string();
    done(&["get", "raw", "--file", &copy]);
    assert_eq!(std::fs::read(&copy).unwrap(), b"\xff\x00text");
    done(&["put", "ff00", "c3", "--hex", "--namespace", "site"]);
    assert_eq!(done(&["get", "ff00", "--hex", "--namespace", "site"]), "c3\n");
    assert_eq!(ask(&["put", "0", "c3", "--hex"]).status.code(), Some(2));

    done(&["put", "doc", r#"{"n":1}"#, "--if-none-match", "*", "--ttl", "1h"]);
    let refused = ask(&["put", "doc", r#"{"n":2}"#, "--if-none-match", "*"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("the condition does not hold"), "{refused:?}");
    done(&["patch", "doc", r#"{"m":2}"#]);
    done(&["patch", "doc", r#"[{"op":"remove","path":"/n"}]"#]);
    assert_eq!(done(&["get", "doc"]), "{\"m\":2}\n");
    assert_eq!(ask(&["patch", "none", "{}"]).status.code(), Some(1));
    assert_eq!(done(&["incr", "n", "5", "--initial", "-10"]), "-5\n");
    assert_eq!(done(&["incr", "n", "-3", "--json"]), "{\"value\":-8}\n");
    assert_eq!(ask(&["incr", "n", "--max", "-8"]).status.code(), Some(3));

    let operations = dir.path().join("operations").display().to_string();
    let lines: String = (0..2_500)
        .map(|n| format!("{{\"op\":\"put\",\"key\":\"many/{n}\",\"value\":{n}}}\n"))
        .collect();
    std::fs::write(&operations, lines).unwrap();
    assert_eq!(done(&["batch", &operations]).lines().count(), 2_500);
    std::fs::write(&operations, r#"[{"op":"get","key":"many/7"}, {"op":"get","key":"none"}]"#)
        .unwrap();
    let some = ask(&["batch", &operations]);
    assert_eq!(some.status.code(), Some(1));
    assert!(text(&some.stdout).contains("\"value\":7"), "{some:?}");
    assert!(text(&some.stderr).contains("1 of 2 operations were not done"), "{some:?}");
    assert_eq!(done(&["ls", "--count"]), "2503\n");
    assert_eq!(done(&["ls", "many/"]).lines().count(), 2_500);
    assert_eq!(done(&["ls", "doc"]), "doc\n");
    assert_eq!(done(&["ls", "--namespace", "site"]), "base64:/wA=\n");
    assert_eq!(done(&["del", "--prefix", "many/"]), "deleted 2500 keys\n");
    assert_eq!(done(&["ls", "--count", "--json"]), "{\"count\":3}\n");
    assert_eq!(ask(&["del", "--prefix", "a", "b"]).status.code(), Some(2));
}

#[test]
fn namespaces_are_governed_from_a_shell() {
    let node = Node::start(&["--demo"]);
    let ask = |words: &[&str]| smache(words).env("SMACHE_URL", node.url()).output().unwrap();
    let done = |words: &[&str]| {
        let output = ask(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout).to_owned()
    };
    assert_eq!(done(&["ns", "list"]), "");
    let set = ["ns", "set", "site.a", "--memory", "16MiB", "--default-ttl", "1h"];
    assert!(done(&set).starts_with("site.a goes by {"));
    done(&["ns", "set", "other", "--max-ttl", "90"]);
    let listed = "NAMESPACE  MEMORY  DEFAULT-TTL  MAX-TTL\n\
                  other      -       -            90s\n\
                  site.a     16MiB   1h           -\n";
    assert_eq!(done(&["ns", "list"]), listed);
    done(&["put", "k", "{}", "--namespace", "site.a"]);
    done(&["get", "k", "--namespace", "site.a"]);
    let stats = done(&["ns", "stats", "site.a"]);
    assert!(stats.starts_with("entries    1\nbytes      "), "{stats}");
    assert!(stats.ends_with("hits       1\nmisses     0\nevictions  0\n"), "{stats}");
    assert!(done(&["ns", "stats", "site.a", "--json"]).contains("\"entries\":1"));
    let wrong = ask(&["ns", "set", "other", "--memory", "lots"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(text(&wrong.stderr).contains("memory is lots; allowed: 64KiB"), "{wrong:?}");
    done(&["ns", "del", "other"]);
    assert_eq!(ask(&["ns", "del", "other"]).status.code(), Some(3));
    assert_eq!(done(&["ns", "list"]).lines().count(), 2);
}

#[test]
fn shells_can_complete_what_is_typed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        assert!(text(&output.stdout).contains("if-none-match"), "{shell}");
    }
    assert_eq!(run(&["completions", "sh"]).status.code(), Some(2));
}
