//! A node in a process of its own, which ends with the test.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::{Client, Response};

/// Longer than anything a node does by itself; only a broken one is waited for that long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of the log that are shown of a node whose test failed.
const LINES_SHOWN: usize = 60;

pub struct Node {
    child: Child,
    addr: SocketAddr,
    log: Arc<Log>,
}

/// Every line a node has written, also after the node has ended.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    /// Lines up to here were waited for.
    read: usize,
    is_over: bool,
}

/// A command of the program under test, with an environment of its own. `SMACHE_PROGRAM` names
/// another build of it, such as the one that is to be released.
pub fn smache(words: &[&str]) -> Command {
    let program = std::env::var_os("SMACHE_PROGRAM");
    command_of(&program.unwrap_or_else(|| env!("CARGO_BIN_EXE_smache").into()), words)
}

/// As [`smache`], of another build.
pub fn command_of(program: &OsStr, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        if name.starts_with("SMACHE_") || ["PORT", "SHARD_LIMIT", "UPLINK_NODE"].contains(&&*name) {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// The build that speaks one protocol more, which `SMACHE_NEXT_PROGRAM` names; `None`, and a word on
/// why a test is skipped, if there is none.
pub fn next_program() -> Option<OsString> {
    let reason = match std::env::var_os("SMACHE_NEXT_PROGRAM") {
        Some(_) if cfg!(feature = "next-protocol") => "the program under test is that build itself",
        Some(program) => return Some(program),
        None => {
            "SMACHE_NEXT_PROGRAM names no build with next-protocol, as scripts/test.sh makes one"
        }
    };
    // Not `eprintln`, which is kept from everybody where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: a test of rolling upgrades: {reason}");
    None
}

impl Log {
    fn add(&self, line: String) {
        self.change(|state| state.lines.push(line));
    }

    fn change(&self, change: impl FnOnce(&mut LogState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// The next line with `text`, if it comes in time.
    fn next(&self, text: &str, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut state = self.state.lock().unwrap();
        loop {
            let unread = &state.lines[state.read..];
            if let Some(at) = unread.iter().position(|line| line.contains(text)) {
                let at = state.read + at;
                state.read = at + 1;
                return Some(state.lines[at].clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.is_over || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Node {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_command(smache(&["serve", "--http", "127.0.0.1:0"]).args(flags))
    }

    pub fn start_command(command: &mut Command) -> Self {
        let mut node = Self::begin(command, SocketAddr::from(([127, 0, 0, 1], 0)));
        let line = node.wait_for_line("node is ready");
        let addr = line.split("http=\"").nth(1).unwrap().split('"').next().unwrap();
        node.addr = addr.parse().unwrap();
        // What was written before is still to be waited for.
        node.log.change(|state| state.read = 0);
        node
    }

    /// A node that was told to listen for HTTP at `addr`, and need not be ready.
    pub fn begin(command: &mut Command, addr: SocketAddr) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Log>::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| written.add(line));
            written.change(|state| state.is_over = true);
        });
        Self { child, addr, log }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
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
        self.next_line(text, PATIENCE).unwrap_or_else(|| panic!("no line: {text}"))
    }

    /// As [`Self::wait_for_line`]; `None` if it does not come in time.
    pub fn next_line(&self, text: &str, within: Duration) -> Option<String> {
        self.log.next(text, within)
    }

    /// All lines so far that contain `text`.
    pub fn lines(&self, text: &str) -> Vec<String> {
        let state = self.log.state.lock().unwrap();
        state.lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// How the process has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until the process has ended, and returns how and how long that took.
    pub fn wait(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.has_ended() {
                return (status, began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the node did not end");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; what matters is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let state = self.log.state.lock().unwrap_or_else(PoisonError::into_inner);
            let first = state.lines.len().saturating_sub(LINES_SHOWN);
            let lines = state.lines[first..].join("\n    ");
            eprintln!("log of the node at {}, {first} lines before:\n    {lines}", self.addr);
        }
    }
}
