//! Clients that write their own keys and read all, through any node, and note what they are told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::history::{MILLI, Op, Outcome, Time, What};
use super::outcome::{Heard, outcome_of, value_of};
use crate::http::{Client, Response};
use crate::random::Random;

/// Half of the clients wait as long as any answer takes, the others go on elsewhere.
const PATIENCE: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(9)];
/// How long a client asks others than a node that did not answer.
const AVOIDED: Duration = Duration::from_millis(500);
/// Pause between two operations of a client: nodes and clients share the processors.
const PACE_US: (u64, u64) = (2_000, 7_000);

/// What all clients of a round have in common.
pub struct Scene {
    pub keys: Vec<String>,
    pub addrs: Vec<SocketAddr>,
    pub began: Instant,
    pub is_over: AtomicBool,
    /// The next number that no value has yet.
    pub next: AtomicU64,
}

/// One client.
pub struct Worker<'a> {
    scene: &'a Scene,
    /// The keys it alone writes.
    own: Range<usize>,
    patience: Duration,
    random: Random,
    connections: HashMap<usize, Client>,
    avoided: HashMap<usize, Instant>,
    ops: Vec<(usize, Op)>,
}

impl Scene {
    fn now(&self) -> Time {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(Time::MAX)
    }
}

impl<'a> Worker<'a> {
    /// The client of that number, of so many.
    pub fn new(scene: &'a Scene, id: usize, of: usize, seed: u64) -> Self {
        let share = scene.keys.len() / of;
        Self {
            scene,
            own: id * share..(id + 1) * share,
            patience: PATIENCE[id % 2],
            random: Random::new(seed.wrapping_mul(31).wrapping_add(id as u64)),
            connections: HashMap::new(),
            avoided: HashMap::new(),
            ops: vec![],
        }
    }

    /// Works until the round is over, and returns all it did, with the key of each.
    pub fn work(mut self) -> Vec<(usize, Op)> {
        while !self.scene.is_over.load(Ordering::Relaxed) {
            let (key, what) = self.choose();
            let asked = self.choose_node();
            self.run(key, what, asked);
            let pause = self.random.between(PACE_US.0, PACE_US.1);
            std::thread::sleep(Duration::from_micros(pause));
        }
        self.ops
    }

    /// Reads every key through each of these nodes, one after the other.
    pub fn read_all(mut self, nodes: Range<usize>) -> Vec<(usize, Op)> {
        self.patience = PATIENCE[1];
        for key in 0..self.scene.keys.len() {
            nodes.clone().for_each(|node| self.run(key, What::Read, node));
        }
        self.ops
    }

    fn choose(&mut self) -> (usize, What) {
        let any = self.random.below(self.scene.keys.len());
        // Some keys are written all the time, and some so seldom that what is to end does.
        let often = 1 + self.random.below(self.own.len());
        let own = self.own.start + self.random.below(often);
        let n = || self.scene.next.fetch_add(1, Ordering::Relaxed);
        match self.random.below(100) {
            0..18 => (own, What::Put { n: n(), ttl: None }),
            18..28 => {
                let ttl = self.random.between(300, 3_000) * MILLI;
                (own, What::Put { n: n(), ttl: Some(ttl) })
            }
            28..36 => (own, What::Delete),
            36..42 => (own, What::NewId { n: n() }),
            _ => (any, What::Read),
        }
    }

    /// A node that was not just found to be silent, if there is one.
    fn choose_node(&mut self) -> usize {
        let count = self.scene.addrs.len();
        let first = self.random.below(count);
        let mut nodes = (first..first + count).map(|node| node % count);
        let is_good =
            |node: &usize| self.avoided.get(node).is_none_or(|since| AVOIDED < since.elapsed());
        nodes.find(is_good).unwrap_or(first)
    }

    fn run(&mut self, key: usize, what: What, asked: usize) {
        let name = &self.scene.keys[key];
        let path = format!("/v1/default/{name}");
        let (method, target, body) = match what {
            What::Read => ("GET", path, String::new()),
            What::Put { n, ttl: None } => ("PUT", path, value_of(name, n)),
            What::Put { n, ttl: Some(ttl) } => {
                ("PUT", format!("{path}?ttl={}ms", ttl / MILLI), value_of(name, n))
            }
            What::Delete => ("DELETE", path, String::new()),
            What::NewId { n } => ("POST", "/api".to_owned(), format!(r#"{{"data":{{"n":{n}}}}}"#)),
        };
        let begin = self.scene.now();
        let heard = self.ask(asked, method, &target, &body);
        let end = self.scene.now();
        let (outcome, note) = outcome_of(what, name, &heard);
        let is_nobody = matches!(heard, Heard::Nobody(_));
        if is_nobody || outcome == Outcome::Unknown {
            self.avoided.insert(asked, Instant::now());
        }
        // Places of nodes that are not there are not worth a line.
        if !is_nobody {
            let holder = match &heard {
                Heard::Answer(answer) => holder_of(answer),
                _ => None,
            };
            self.ops.push((key, Op { what, begin, end, asked, outcome, holder, note }));
        }
    }

    fn ask(&mut self, node: usize, method: &str, target: &str, body: &str) -> Heard {
        let open = self.connections.remove(&node);
        let open = open.filter(|client| client.has_ended().is_ok_and(|has_ended| !has_ended));
        let addr = self.scene.addrs[node];
        let client = open.map_or_else(|| Client::try_connect_within(addr, self.patience), Ok);
        let mut client = match client {
            Ok(client) => client,
            Err(reason) => return Heard::Nobody(reason.to_string()),
        };
        match client.try_request(method, target, &[], body) {
            Ok(answer) => {
                if answer.header("connection") != Some("close") {
                    self.connections.insert(node, client);
                }
                Heard::Answer(answer)
            }
            Err(reason) => Heard::Broken(reason.to_string()),
        }
    }
}

/// The node that has the key, by its place: the number in its name.
fn holder_of(answer: &Response) -> Option<usize> {
    answer.header("smache-node")?.strip_prefix('n')?.parse().ok()
}
