//! A node in a process of its own, which ends with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::{Client, Response};

/// Longer than anything a node does by itself; only a broken one is waited for that long.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Node {
    child: Child,
    addr: SocketAddr,
    log: Receiver<String>,
}

/// A command of the program under test, with an environment of its own.
pub fn smache(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smache"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SMACHE_") || ["PORT", "SHARD_LIMIT", "UPLINK_NODE"].contains(&&*name) {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

impl Node {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_command(smache(&["serve", "--http", "127.0.0.1:0"]).args(flags))
    }

    pub fn start_command(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            // Nobody listens any more when the test is over.
            stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let mut node = Self { child, addr: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        let line = node.wait_for_line("node is ready");
        let addr = line.split("http=\"").nth(1).unwrap().split('"').next().unwrap();
        node.addr = addr.parse().unwrap();
        node
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A connection of its own to this node.
    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    pub fn get(&self, target: &str) -> Response {
        self.client().request("GET", target, "")
    }

    pub fn post(&self, target: &str, body: &str) -> Response {
        self.client().request("POST", target, body)
    }

    /// The next line of the log that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no line: {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the process has ended, and returns how and how long that took.
    pub fn wait(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            std::thread::yield_now();
        }
        panic!("the node did not end");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; what matters is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
