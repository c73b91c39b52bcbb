//! The nodes of a run as processes, and what is done to them.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};

use super::ground::Effect;
use super::history::Time;
use super::plan::Action;
use crate::http::Client;
use crate::member::free_addr;
use crate::process::{Node, smache};

/// Longer than a node is stopped.
const ERRAND_PATIENCE: Duration = Duration::from_secs(9);
/// What a drain may take when all is healed.
const END_PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(5);

/// All nodes of a run: those that are there from the beginning, and places for two more.
pub struct Stage {
    nodes: Vec<Place>,
    began: Instant,
    base: usize,
    effects: Vec<(Time, Effect)>,
    calm: Vec<Time>,
    /// What processes did that they should not have.
    findings: Vec<String>,
    errands: Vec<JoinHandle<()>>,
}

/// Where a node is, whether it runs or not.
struct Place {
    name: String,
    http: SocketAddr,
    addr: String,
    process: Option<Node>,
    up_since: Time,
    is_stopped: bool,
    /// It was told to end.
    is_told: bool,
    is_starved: bool,
    /// What its former processes wrote.
    log: Vec<String>,
}

/// The nodes that should be a cluster now, with the number of changes that made them so.
#[derive(Clone, PartialEq, Eq)]
pub struct Expected {
    pub nodes: Vec<(String, SocketAddr)>,
    changes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Done,
    NotYet,
}

/// A lock that outlives the panic of another thread, whose reason is what should be seen.
pub fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    /// Starts so many nodes.
    pub fn start(base: usize) -> Self {
        let place = |n| Place {
            name: format!("n{n}"),
            http: free_addr().parse().unwrap(),
            addr: free_addr(),
            process: None,
            up_since: 0,
            is_stopped: false,
            is_told: false,
            is_starved: false,
            log: vec![],
        };
        let mut stage = Self {
            nodes: (0..base + 2).map(place).collect(),
            began: Instant::now(),
            base,
            effects: vec![],
            calm: vec![],
            findings: vec![],
            errands: vec![],
        };
        (0..base).for_each(|node| stage.spawn(node));
        stage
    }

    /// Begins a round, in which nothing has happened yet.
    pub fn begin_round(&mut self) -> Instant {
        self.began = Instant::now();
        self.calm = vec![0];
        self.findings.clear();
        self.effects = (0..self.base).map(|node| (0, Effect::Up(node))).collect();
        self.nodes.iter_mut().for_each(|place| place.up_since = 0);
        self.began
    }

    pub fn now(&self) -> Time {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(Time::MAX)
    }

    /// Where clients reach each node.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|place| place.http).collect()
    }

    pub fn effects(&self) -> &[(Time, Effect)] {
        &self.effects
    }

    pub fn calm(&self) -> &[Time] {
        &self.calm
    }

    pub fn note_calm(&mut self, at: Time) {
        self.calm.push(at);
    }

    pub fn take_findings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.findings)
    }

    /// All that a node and those before it in its place have written.
    pub fn logs(&self) -> Vec<(String, String)> {
        let log = |place: &Place| {
            let now = place.process.as_ref().map_or(vec![], |node| node.lines(""));
            (place.name.clone(), [&*place.log, &*now].concat().join("\n"))
        };
        self.nodes.iter().map(log).collect()
    }

    /// Who should be a cluster; `None` while a node stands still or is about to end.
    pub fn expected(&self) -> Option<Expected> {
        let running = || self.nodes.iter().filter(|place| place.process.is_some());
        if running().any(|place| place.is_stopped || place.is_told) {
            return None;
        }
        let nodes = running().map(|place| (place.name.clone(), place.http)).collect();
        Some(Expected { nodes, changes: self.effects.len() })
    }

    /// Does what is asked for, unless its time has not come. What makes no sense is done already.
    pub fn act(&mut self, action: &Action) -> Progress {
        match action {
            Action::Start(node) => return self.start_node(*node),
            Action::Drain(node) => return self.drain(*node),
            Action::Kill(node) => self.kill(*node),
            Action::Stop(node) => self.stop(*node),
            Action::Resume(node) => self.resume(*node),
            Action::Disturb(at, peer, how) => self.disturb(*at, *peer, how),
            Action::Panic(node, child) => self.post(*node, format!("/supervision/{child}/crash")),
            Action::Starve(node) => self.limit(*node, Some(0)),
            Action::Feed(node) => self.limit(*node, None),
        }
        Progress::Done
    }

    fn add(&mut self, effect: Effect) {
        self.effects.push((self.now(), effect));
    }

    fn spawn(&mut self, node: usize) {
        let join: Vec<_> = self.nodes[..self.base].iter().map(|place| &*place.addr).collect();
        let place = &self.nodes[node];
        let mut command = smache(&["serve", "--demo", "--node", &place.name]);
        command.args(["--http", &place.http.to_string(), "--cluster", &place.addr]);
        command.args(["--join", &join.join(",")]).env("SMACHE_MEMORY", "64MiB");
        let process = Node::begin(&mut command, place.http);
        let now = self.now();
        let place = &mut self.nodes[node];
        (place.process, place.up_since) = (Some(process), now);
        (place.is_stopped, place.is_told, place.is_starved) = (false, false, false);
        self.add(Effect::Up(node));
    }

    fn start_node(&mut self, node: usize) -> Progress {
        match &self.nodes[node] {
            Place { process: None, .. } => {
                self.spawn(node);
                Progress::Done
            }
            Place { is_told: true, .. } => Progress::NotYet,
            _ => Progress::Done,
        }
    }

    fn drain(&mut self, node: usize) -> Progress {
        let last_calm = self.calm.last().copied().unwrap_or(0);
        let mut others = self.nodes.iter().enumerate().filter(|(at, _)| *at != node);
        let takes_over = |place: &Place| {
            let is_up = place.process.is_some() && !place.is_told && !place.is_stopped;
            is_up && place.up_since <= last_calm
        };
        match &self.nodes[node] {
            Place { process: None, .. } | Place { is_told: true, .. } => Progress::Done,
            _ if !others.any(|(_, place)| takes_over(place)) => Progress::NotYet,
            Place { process: Some(process), .. } => {
                process.signal(Signal::TERM);
                self.nodes[node].is_told = true;
                Progress::Done
            }
        }
    }

    fn kill(&mut self, node: usize) {
        let Some(mut process) = self.nodes[node].process.take() else { return };
        process.signal(Signal::KILL);
        process.wait();
        self.nodes[node].log.extend(process.lines(""));
        // Only now is it certain that it did nothing more.
        self.add(Effect::Crashed(node));
    }

    fn stop(&mut self, node: usize) {
        if self.nodes[node].process.is_some() && !self.nodes[node].is_stopped {
            self.add(Effect::Stopped(node));
            self.signal(node, Signal::STOP);
            self.nodes[node].is_stopped = true;
        }
    }

    fn resume(&mut self, node: usize) {
        if self.nodes[node].process.is_some() && self.nodes[node].is_stopped {
            self.signal(node, Signal::CONT);
            self.add(Effect::Resumed(node));
            self.nodes[node].is_stopped = false;
        }
    }

    fn signal(&self, node: usize, signal: Signal) {
        if let Some(process) = &self.nodes[node].process {
            process.signal(signal);
        }
    }

    fn disturb(&mut self, at: usize, peer: usize, how: &str) {
        if self.nodes[at].process.is_none() {
            return;
        }
        match how {
            "heal" => self.add(Effect::Healed(at, peer)),
            cut if cut.starts_with("cut") => self.add(Effect::Cut(at, peer)),
            _ => {}
        }
        let peer = &self.nodes[peer].name;
        self.post(at, format!("/cluster/chaos?peer={peer}&do={how}&ahead"));
    }

    /// Asks a node for something without waiting for it: it may stand still.
    fn post(&mut self, node: usize, target: String) {
        if self.nodes[node].process.is_none() {
            return;
        }
        let addr = self.nodes[node].http;
        self.errands.push(std::thread::spawn(move || {
            // It may end meanwhile, or have no such actor or peer.
            let client = Client::try_connect_within(addr, ERRAND_PATIENCE);
            drop(client.and_then(|mut client| client.try_request("POST", &target, &[], "")));
        }));
    }

    /// Lets a node open so many files and connections more; as many as this process if `None`.
    fn limit(&mut self, node: usize, more: Option<u64>) {
        let Some(process) = &self.nodes[node].process else { return };
        let open = fs::read_dir(format!("/proc/{}/fd", process.pid().as_raw_nonzero()));
        let whole = getrlimit(Resource::Nofile);
        let current = match (more, open) {
            (Some(more), Ok(open)) => Some(open.count() as u64 + more),
            _ => whole.maximum,
        };
        let limit = Rlimit { current, maximum: whole.maximum };
        if let Err(reason) = prlimit(Some(process.pid()), Resource::Nofile, limit) {
            eprintln!("SKIPPED: descriptors of a node cannot be limited: {reason}");
        }
        self.nodes[node].is_starved = more.is_some();
    }

    /// Takes note of processes that have ended.
    pub fn look(&mut self) {
        for node in 0..self.nodes.len() {
            let place = &mut self.nodes[node];
            let Some(status) = place.process.as_mut().and_then(Node::has_ended) else { continue };
            let process = place.process.take();
            place.log.extend(process.map_or(vec![], |process| process.lines("")));
            let (name, is_told) = (place.name.clone(), place.is_told);
            let at = self.now() / 1_000;
            match (is_told, status.success()) {
                (true, true) => {}
                (true, false) => {
                    self.findings.push(format!("{name} was told to end: {status} at {at} ms"));
                }
                (false, _) => {
                    self.findings.push(format!("{name} ended by itself: {status} at {at} ms"));
                }
            }
            self.add(Effect::Ended(node));
        }
    }
}

/// Undoes all that was done: in the end the nodes of the beginning run, and nobody else.
pub fn heal(stage: &Mutex<Stage>) {
    let all = lock(stage).nodes.len();
    let base = lock(stage).base;
    for node in 0..all {
        lock(stage).act(&Action::Resume(node));
        if lock(stage).nodes[node].is_starved {
            lock(stage).act(&Action::Feed(node));
        }
    }
    // What was asked of a node that stood still is done before it is healed.
    run_errands(stage);
    for (at, peer) in (0..all).flat_map(|at| (0..all).map(move |peer| (at, peer))) {
        if at != peer {
            lock(stage).disturb(at, peer, "heal");
        }
    }
    run_errands(stage);
    for node in 0..base {
        finish(stage, &Action::Start(node));
    }
    for node in base..all {
        finish(stage, &Action::Drain(node));
    }
    wait_for_ends(stage);
}

fn run_errands(stage: &Mutex<Stage>) {
    let errands = std::mem::take(&mut lock(stage).errands);
    errands.into_iter().for_each(|errand| drop(errand.join()));
}

/// Does something as soon as it can be done; if it cannot, that is noted, and whoever does not end
/// is killed.
fn finish(stage: &Mutex<Stage>, action: &Action) {
    let began = Instant::now();
    loop {
        let mut now = lock(stage);
        now.look();
        if now.act(action) == Progress::Done {
            return;
        }
        if END_PATIENCE < began.elapsed() {
            now.findings.push(format!("not within {END_PATIENCE:?}: {action}"));
            if let Action::Start(node) | Action::Drain(node) = action {
                now.kill(*node);
            }
        }
        drop(now);
        std::thread::sleep(GLANCE);
    }
}

/// Waits until all have ended that were told to.
fn wait_for_ends(stage: &Mutex<Stage>) {
    let began = Instant::now();
    loop {
        let mut now = lock(stage);
        now.look();
        let is_ending = |place: &Place| place.process.is_some() && place.is_told;
        let Some(node) = now.nodes.iter().position(is_ending) else { return };
        if END_PATIENCE < began.elapsed() {
            let name = now.nodes[node].name.clone();
            now.findings.push(format!("{name} was told to end and did not"));
            now.kill(node);
        }
        drop(now);
        std::thread::sleep(GLANCE);
    }
}
