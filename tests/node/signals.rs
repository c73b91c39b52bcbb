//! What a node does on each signal, and when whoever watches it is gone.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use smache::limits::SECOND_SIGNAL_AFTER;

use crate::drain::begin_endless_request;
use crate::http::Client;
use crate::process::{Node, smache};

#[test]
fn a_second_signal_ends_the_drain_once_a_second_has_passed() {
    let mut node = Node::start(&[]);
    let _endless = begin_endless_request(&node);
    node.signal(Signal::TERM);
    node.wait_for_line("draining");
    let reported = Instant::now();
    for signal in [Signal::TERM, Signal::INT, Signal::TERM, Signal::QUIT] {
        node.signal(signal);
        std::thread::sleep(SECOND_SIGNAL_AFTER / 8);
    }
    assert_eq!(node.has_ended(), None);
    assert_eq!(node.lines("draining already").len(), 1);
    std::thread::sleep((SECOND_SIGNAL_AFTER + SECOND_SIGNAL_AFTER / 4) - reported.elapsed());
    node.signal(Signal::TERM);
    let (status, took) = node.wait();
    assert_eq!(status.code(), Some(1));
    assert!(took < Duration::from_secs(1), "{took:?}");
    let line = node.wait_for_line("second signal, ending at once");
    assert!(line.contains("SIGTERM"), "{line}");
}

#[test]
fn signals_that_do_not_mean_an_end_do_not_end_a_node() {
    let mut node = Node::start(&[]);
    assert_eq!(node.post("/api", r#"{"key":"a","data":{}}"#).status, 200);
    node.signal(Signal::USR1);
    let line = node.wait_for_line("status");
    assert!(line.contains("entries=1") && line.contains("Ready"), "{line}");
    node.signal(Signal::USR2);
    node.wait_for_line("nothing is done for this signal");
    node.signal(Signal::PIPE);
    node.signal(Signal::HUP);
    node.wait_for_line("settings reloaded: nothing has changed");
    assert_eq!(node.has_ended(), None);
    node.signal(Signal::QUIT);
    let line = node.wait_for_line("draining");
    assert!(line.contains("SIGQUIT"), "{line}");
    assert!(node.wait().0.success());
    let line = node.wait_for_line("node stopped");
    assert!(line.contains("not_handed_over=1") && line.contains("no other node"), "{line}");
}

#[test]
fn sighup_has_a_node_read_its_settings_again() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"log = \"info\"\nshards = 2\n").unwrap();
    let node = Node::start(&["--config", file.path().to_str().unwrap(), "--demo"]);
    let write = |text: &str| std::fs::write(file.path(), text).unwrap();
    write("log = \"warn\"\nshards = 3\n");
    node.signal(Signal::HUP);
    let line = node.wait_for_line("settings reloaded; some wait for the next start");
    assert!(line.contains("warn") && line.contains("shards"), "{line}");
    node.signal(Signal::USR1);
    write("log = \"loud\"\n");
    node.signal(Signal::HUP);
    let line = node.wait_for_line("settings are not reloaded");
    assert!(line.contains("loud") && line.contains("allowed:"), "{line}");
    assert!(node.lines("status").is_empty(), "it was logged at info");
    write("log = \"info\"\nshards = 2\n");
    node.signal(Signal::HUP);
    node.wait_for_line("settings reloaded");
    node.signal(Signal::USR1);
    node.wait_for_line("status");
    assert_eq!(node.get("/readyz").status, 200);
}

/// Both ends of a new terminal.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, vec![]).unwrap();
    let theirs = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    (ours.into(), theirs)
}

fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if began.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            None => {
                child.kill().unwrap();
                panic!("it did not end");
            }
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

#[test]
fn a_node_whose_terminal_is_closed_drains() {
    let (ours, theirs) = terminal();
    let mut command = smache(&["serve", "--http", "127.0.0.1:0"]);
    command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap());
    let mut child = command.stderr(theirs).spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(ours).lines();
    assert!(lines.any(|line| line.unwrap().contains("node is ready")));
    // Nobody reads what it says from now on, and it must not mind.
    drop(lines);
    // As the shell of the terminal does, and the kernel too.
    kill_process(pid(&child), Signal::HUP).unwrap();
    kill_process(pid(&child), Signal::HUP).unwrap();
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_node_whose_log_nobody_reads_any_more_goes_on() {
    let mut command = smache(&["serve", "--http", "127.0.0.1:0", "--demo"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("node is ready") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0);
    }
    drop(log);
    let addr = line.split("http=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut client = Client::connect(addr.parse().unwrap());
    for shard in ["shard-0", "shard-1"] {
        let path = format!("/supervision/{shard}/crash");
        assert_eq!(client.request("POST", &path, "").status, 202);
        assert_eq!(client.request("POST", "/api", r#"{"key":"a","data":{}}"#).status, 200);
    }
    let status = client.request("GET", "/supervision", "").json();
    let restarts = status["children"].as_array().unwrap().iter();
    let restarts: u64 = restarts.map(|child| child["restarts"].as_u64().unwrap()).sum();
    assert_eq!(restarts, 2, "{status}");
    kill_process(pid(&child), Signal::TERM).unwrap();
    assert_eq!(wait(&mut child).code(), Some(0));
}
