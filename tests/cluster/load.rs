//! Clients that write and read all the time through all nodes, and know what every answer must be.
//!
//! Each client owns its keys, so that it knows the last acknowledged value of each. It behaves like
//! a load balancer: it keeps connections open, goes to another node when one refuses a connection,
//! and repeats once a request that a node did not take because it had just closed the connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Client, Response};
use crate::member::{Member, PATIENCE, wait_until};

const KEYS_PER_CLIENT: usize = 150;
const FAILURES_SHOWN: usize = 20;

/// Whether keys may be lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// No node ends without handing over what it has.
    Never,
    /// A node is killed, and what it had is gone.
    Possible,
}

/// What the clients do.
#[derive(Clone, Copy)]
pub struct Plan {
    pub loss: Loss,
    pub clients: u64,
    /// Pause between two requests of a client: nodes and clients share the processors.
    pub pace: Duration,
    /// Keys `fill-0`, `fill-1` and so on that are there, with their number, and are only read.
    pub filled: usize,
}

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    targets: RwLock<Vec<SocketAddr>>,
    is_over: AtomicBool,
    plan: Plan,
    answered: AtomicU64,
    tally: Mutex<Tally>,
}

/// What the clients saw.
#[derive(Default)]
pub struct Tally {
    pub failed: u64,
    pub missing: u64,
    pub stale: u64,
    /// Requests repeated at another node, as the connection had been closed.
    pub repeated: u64,
    /// Connections that were refused.
    pub refused: u64,
    pub longest: Duration,
    /// How long each read took, in microseconds.
    pub reads: Vec<u32>,
    pub failures: Vec<String>,
}

struct Worker {
    shared: Arc<Shared>,
    connections: HashMap<SocketAddr, Client>,
    random: u64,
    next: u64,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    acknowledged: Option<u64>,
    /// Writes since then of which nobody said whether they were done.
    doubtful: Vec<Option<u64>>,
}

/// What one try came to.
enum Try {
    Answered(Response),
    /// Nothing was sent, or nothing was taken.
    Elsewhere,
    Broken(String),
}

impl Load {
    /// Starts clients of these nodes that leave room for others.
    pub fn start(members: &[&Member], loss: Loss) -> Self {
        Self::start_plan(members, Self::gentle(loss))
    }

    /// What [`Self::start`] has clients do.
    pub fn gentle(loss: Loss) -> Plan {
        Plan { loss, clients: 4, pace: Duration::from_micros(400), filled: 0 }
    }

    pub fn start_plan(members: &[&Member], plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            targets: RwLock::new(members.iter().map(|member| member.addr()).collect()),
            is_over: AtomicBool::new(false),
            plan,
            answered: AtomicU64::new(0),
            tally: Mutex::default(),
        });
        let clients = (0..plan.clients).map(|id| {
            let worker = Worker::new(Arc::clone(&shared), id);
            std::thread::spawn(|| worker.work())
        });
        let load = Self { clients: clients.collect(), shared };
        load.go_on();
        load
    }

    /// Has the clients use this node, too.
    pub fn add(&self, member: &Member) {
        self.shared.targets.write().unwrap().push(member.addr());
    }

    /// Has the clients use this node no more.
    pub fn remove(&self, addr: SocketAddr) {
        self.shared.targets.write().unwrap().retain(|target| *target != addr);
    }

    /// How long the reads took since this was asked last, in microseconds, and in order of that.
    pub fn take_reads(&self) -> Vec<u32> {
        let mut reads = std::mem::take(&mut self.shared.tally.lock().unwrap().reads);
        reads.sort_unstable();
        reads
    }

    /// Waits until so much was asked that every key was probably used.
    pub fn go_on(&self) {
        self.go_on_for(self.shared.plan.clients * KEYS_PER_CLIENT as u64);
    }

    /// Requests that were answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    pub fn go_on_for(&self, more: u64) {
        let enough = self.shared.answered.load(Ordering::Relaxed) + more;
        wait_until("requests are answered", PATIENCE, || {
            enough <= self.shared.answered.load(Ordering::Relaxed)
        });
    }

    /// Ends the clients after each has read all its keys once more, and returns what they saw.
    pub fn finish(mut self) -> Tally {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().unwrap();
        }
        std::mem::take(&mut self.shared.tally.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, missing, stale, repeated, refused, longest, .. } = self;
        write!(f, "{failed} failed, {missing} missing, {stale} stale, {repeated} repeated, ")?;
        write!(f, "{refused} refused, longest {longest:?}")?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n    {failure}"))
    }
}

impl Tally {
    pub fn assert_clean(&self) {
        assert_eq!((self.failed, self.missing, self.stale), (0, 0, 0), "{self}");
    }

    fn fail(&mut self, failure: String) {
        if self.failures.len() < FAILURES_SHOWN {
            self.failures.push(failure);
        }
    }
}

impl Worker {
    fn new(shared: Arc<Shared>, id: u64) -> Self {
        let key = |n| Key { name: format!("load-{id}-{n}"), acknowledged: None, doubtful: vec![] };
        let keys = (0..KEYS_PER_CLIENT).map(key).collect();
        let random = 0x9E37_79B9_7F4A_7C15 ^ (id + 1).wrapping_mul(0xD134_2543_DE82_EF95);
        Self { shared, connections: HashMap::new(), random, next: 0, keys }
    }

    fn work(mut self) {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            let at = self.below(self.keys.len());
            match self.below(100) {
                0..45 => self.write(at),
                45..70 if 0 < self.shared.plan.filled => self.read_filled(),
                45..95 => self.read(at),
                _ => self.delete(at),
            }
            std::thread::sleep(self.shared.plan.pace);
        }
        (0..self.keys.len()).for_each(|at| self.read(at));
    }

    /// A number below `end` (xorshift).
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end as u64) as usize
    }

    fn write(&mut self, at: usize) {
        self.next += 1;
        let n = self.next;
        let body = json!({"key": self.keys[at].name, "data": {"n": n}}).to_string();
        match self.ask("POST", "/api", &body) {
            Some(answer) => {
                self.keys[at].acknowledge(Some(n));
                if answer.json()["data"]["n"].as_u64() != Some(n) {
                    self.tally(|tally| tally.failed += 1, format!("{body} came back {answer:?}"));
                }
            }
            None => self.keys[at].doubtful.push(Some(n)),
        }
    }

    fn delete(&mut self, at: usize) {
        let target = format!("/api?key={}", self.keys[at].name);
        match self.ask("DELETE", &target, "") {
            Some(answer) => {
                let key = &mut self.keys[at];
                let was_there = key.acknowledged;
                let is_sure = key.doubtful.is_empty() && self.shared.plan.loss == Loss::Never;
                key.acknowledge(None);
                if is_sure && answer.json()["deleted"].as_bool() != Some(was_there.is_some()) {
                    let failure = format!("{target} had {was_there:?}, delete says {answer:?}");
                    self.tally(|tally| tally.missing += 1, failure);
                }
            }
            None => self.keys[at].doubtful.push(None),
        }
    }

    fn read(&mut self, at: usize) {
        let target = format!("/api?key={}", self.keys[at].name);
        let began = Instant::now();
        let Some(answer) = self.ask("GET", &target, "") else { return };
        let found = answer.json()["data"]["n"].as_u64();
        let key = &self.keys[at];
        if found == key.acknowledged || key.doubtful.contains(&found) {
            return;
        }
        let failure = format!(
            "{target} has {:?} or {:?}, found {found:?} after {:?}: {}",
            key.acknowledged,
            key.doubtful,
            began.elapsed(),
            answer.body
        );
        match found {
            Some(_) => self.tally(|tally| tally.stale += 1, failure),
            None if self.shared.plan.loss == Loss::Never => {
                self.tally(|tally| tally.missing += 1, failure);
            }
            None => {}
        }
    }

    fn read_filled(&mut self) {
        let n = self.below(self.shared.plan.filled);
        let target = format!("/api?key=fill-{n}");
        let Some(answer) = self.ask("GET", &target, "") else { return };
        if answer.json()["data"]["n"].as_u64() != Some(n as u64) {
            self.tally(|tally| tally.missing += 1, format!("{target} is {}", answer.body));
        }
    }

    fn tally(&self, count: impl FnOnce(&mut Tally), failure: String) {
        let mut tally = self.shared.tally.lock().unwrap();
        count(&mut tally);
        tally.fail(failure);
    }

    /// The answer, if there is a good one.
    fn ask(&mut self, method: &str, target: &str, body: &str) -> Option<Response> {
        let began = Instant::now();
        let answer = self.ask_anybody(method, target, body);
        let took = began.elapsed();
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        let mut tally = self.shared.tally.lock().unwrap();
        tally.longest = tally.longest.max(took);
        if method == "GET" {
            tally.reads.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
        let why = match answer {
            Ok(answer) if answer.status == 200 => return Some(answer),
            Ok(answer) => format!("{} {}", answer.status, answer.body),
            Err(why) => why,
        };
        tally.failed += 1;
        tally.fail(format!("{method} {target} {body} after {took:?}: {why}"));
        None
    }

    fn ask_anybody(&mut self, method: &str, target: &str, body: &str) -> Result<Response, String> {
        let targets = self.shared.targets.read().unwrap().clone();
        let first = self.below(targets.len());
        let mut repeats = 0;
        for addr in targets.iter().cycle().skip(first).take(2 * targets.len()) {
            let is_new = !self.has_connection(*addr);
            match self.try_at(*addr, method, target, body) {
                Try::Answered(answer) => return Ok(answer),
                Try::Elsewhere => {
                    let mut tally = self.shared.tally.lock().unwrap();
                    *(if is_new { &mut tally.refused } else { &mut tally.repeated }) += 1;
                    drop(tally);
                    repeats += u32::from(!is_new);
                    if 1 < repeats {
                        return Err("closed without an answer, twice".to_owned());
                    }
                }
                Try::Broken(why) => return Err(format!("{addr}: {why}")),
            }
        }
        Err("no node takes a connection".to_owned())
    }

    /// Whether there is an open connection to a node.
    fn has_connection(&mut self, addr: SocketAddr) -> bool {
        let Some(client) = self.connections.get(&addr) else { return false };
        let is_open = client.has_ended().is_ok_and(|has_ended| !has_ended);
        if !is_open {
            self.connections.remove(&addr);
        }
        is_open
    }

    fn try_at(&mut self, addr: SocketAddr, method: &str, target: &str, body: &str) -> Try {
        let (mut client, is_new) = match self.connections.remove(&addr) {
            Some(client) => (client, false),
            None => match Client::try_connect(addr) {
                Ok(client) => (client, true),
                Err(_) => return Try::Elsewhere,
            },
        };
        match client.try_request(method, target, &[], body) {
            Ok(answer) => {
                if answer.header("connection") != Some("close") {
                    self.connections.insert(addr, client);
                }
                Try::Answered(answer)
            }
            Err(end) if client.has_received() || !is_orderly(&end, is_new) => {
                Try::Broken(format!("{end:?}"))
            }
            Err(_) => Try::Elsewhere,
        }
    }
}

/// Whether a request without an answer was certainly not begun: the node had closed the connection
/// before, or had never accepted it.
fn is_orderly(end: &io::Error, is_new: bool) -> bool {
    match end.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => true,
        io::ErrorKind::ConnectionReset => is_new,
        _ => false,
    }
}

impl Key {
    fn acknowledge(&mut self, value: Option<u64>) {
        self.acknowledged = value;
        self.doubtful.clear();
    }
}
