//! A node in a process of its own, which ends with the test.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub const NAME: &str = "PEER_TEST_NAME";
pub const BOOT: &str = "PEER_TEST_BOOT";
pub const COOKIE: &str = "PEER_TEST_COOKIE";

/// Longer than anything a node does by itself; only a broken one is waited for that long.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Process {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
    pub addr: SocketAddr,
}

impl Process {
    /// A node of that name with the usual cookie.
    pub fn start(name: &str, boot: u64) -> Self {
        Self::start_with(name, boot, &[(COOKIE, "secret")])
    }

    pub fn start_with(name: &str, boot: u64, vars: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node::second_process", "--nocapture", "--test-threads=1"])
            .env(NAME, name)
            // To print where a panic was asked for takes longer than what is measured.
            .env("RUST_BACKTRACE", "0")
            .env(BOOT, boot.to_string())
            .envs(vars.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The harness writes lines of its own, one of them in front of the first answer.
                if let Some((_, answer)) = line.split_once("> ") {
                    drop(sender.send(answer.to_owned()));
                }
            }
        });
        let addr = output.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, input, output, addr }
    }

    /// Tells the node something and returns what it says.
    pub fn tell(&mut self, line: &str) -> String {
        self.begin(line);
        self.hear()
    }

    pub fn begin(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub fn hear(&mut self) -> String {
        self.output.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until the node says something that `is_it`, and returns it.
    pub fn until(&mut self, line: &str, is_it: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let said = self.tell(line);
            if is_it(&said) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{line}: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; a process that is told to stand still does so when this returns.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let began = Instant::now();
        while signal == Signal::STOP && !self.stands_still() {
            assert!(began.elapsed() < PATIENCE, "it does not stand still");
        }
    }

    fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Two nodes, the first of which has dialled the second.
pub fn pair() -> (Process, Process) {
    let mut first = Process::start("first@test", 1);
    let mut second = Process::start("second@test", 2);
    let said = first.tell(&format!("dial {}", second.addr));
    assert_eq!(said, "dialed second@test 41");
    second.until("peers", |said| !said.is_empty());
    (first, second)
}
