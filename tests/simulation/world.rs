//! One run: nodes, network, clients and faults on one queue of events.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use smache::member::{Member, NodeId, Standing};
use smache::partition::SlotSet;

use crate::bugs::Bug;
use crate::faults::{self, FAULTS_UNTIL_US, Fault};
use crate::history::History;
use crate::message::{KEYS, Message, Op, Verb, slot_of};
use crate::network::{NODES, Network};
use crate::node::{Effect, Maps, Node, TICK_US, index_of};
use crate::random::Random;

/// Clients stop a little after the last fault, and begin again when all is settled.
const CLIENTS_UNTIL_US: u64 = FAULTS_UNTIL_US + 1_000_000;

/// Longest time from the last fault until all is settled.
const SETTLE_US: u64 = 25_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub trace: u64,
    pub events: u64,
    pub requests: u64,
    pub answered: u64,
    pub fetches: u64,
    pub is_strict: bool,
}

pub struct World {
    random: Random,
    network: Network,
    nodes: [Option<Node>; NODES],
    /// Until when a node is stopped.
    hung_us: [u64; NODES],
    /// Nodes that were taken for dead while they hung, and until when they did.
    excused: BTreeSet<(u64, u64)>,
    /// Whether clients go to a node: it has joined or formed a cluster.
    is_joined: [bool; NODES],
    skew_ms: [i64; NODES],
    age_ms: u64,
    has_weights: bool,
    /// What all nodes do wrong.
    bug: Option<Bug>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events: Vec<Option<What>>,
    free: Vec<usize>,
    now: u64,
    count: u64,
    boots: u64,
    ops: u64,
    maps: Maps,
    history: History,
    trace: u64,
}

/// The place of an event's content, so that the queue stays small.
type Event = usize;

enum What {
    Deliver { from: NodeId, to: NodeId, message: Message },
    Dialed { from: NodeId, to: usize, member: Member },
    Tick(usize, u64),
    Client,
    Fault(Fault),
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed);
        let network = faults::network(&mut random);
        let plan = faults::plan(&mut random);
        let skew = if random.is_chance(500) { 5_000 } else { 0 };
        let skew_ms = std::array::from_fn(|_| random.between(0, 2 * skew) as i64 - skew as i64);
        let age_ms = if random.is_chance(500) { 100_000 } else { 0 };
        let has_weights = random.is_chance(200);
        let mut world = Self {
            random,
            network,
            nodes: Default::default(),
            hung_us: [0; NODES],
            excused: BTreeSet::new(),
            is_joined: [false; NODES],
            skew_ms,
            age_ms,
            has_weights,
            bug,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            now: 0,
            count: 0,
            boots: 0,
            ops: 0,
            maps: Maps::new(),
            history: History::new(),
            trace: seed,
        };
        plan.into_iter().for_each(|(at, fault)| world.push(at, What::Fault(fault)));
        world.start(0);
        world.with(0, Node::form);
        world.push(1_000, What::Client);
        world
    }

    /// Runs until all is settled and returns what there was to see.
    ///
    /// # Panics
    ///
    /// If a promise was broken.
    pub fn run(mut self) -> Outcome {
        let mut look = FAULTS_UNTIL_US + 3_000_000;
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            self.now = at;
            if look <= at {
                match self.unsettled() {
                    None => break,
                    Some(why) => assert!(at < FAULTS_UNTIL_US + SETTLE_US, "never settled: {why}"),
                }
                look += 100_000;
            }
            let what = self.events[event].take().unwrap();
            self.free.push(event);
            self.happen(what);
        }
        self.check_entries();
        Outcome {
            trace: self.trace,
            events: self.count,
            requests: self.history.requests,
            answered: self.history.answered,
            fetches: self.nodes.iter().flatten().map(|node| node.fetches).sum(),
            is_strict: self.history.is_strict,
        }
    }

    fn push(&mut self, at: u64, what: What) {
        let event = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[event] = Some(what);
        self.count += 1;
        self.queue.push(Reverse((at, self.count, event)));
    }

    fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what ^ self.now).wrapping_mul(0x0000_0100_0000_01B3);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Client => self.client(),
            What::Fault(fault) => self.fault(fault),
            What::Tick(index, boot) => {
                if self.hung_us[index] > self.now {
                    return self.push(self.hung_us[index], What::Tick(index, boot));
                }
                if self.is_boot(index, boot) {
                    self.with(index, |node, now, maps| node.tick(now, maps));
                    self.push(self.now + TICK_US, What::Tick(index, boot));
                }
            }
            What::Dialed { from, to, member } => {
                if self.hung_us[to] > self.now {
                    return self.push(self.hung_us[to], What::Dialed { from, to, member });
                }
                let place = index_of(&from);
                match &self.nodes[to] {
                    Some(_) if self.network.is_deaf(self.now, place, to) => {
                        self.send(&from, &from, to, &Message::Failed(to));
                    }
                    Some(_) => {
                        let hello = Message::Hello(member);
                        self.with(to, |node, now, maps| node.receive(now, &from, hello, maps));
                    }
                    None => self.send(&from, &from, to, &Message::Refused(to)),
                }
            }
            What::Deliver { from, to, message } => {
                let index = index_of(&to);
                if self.hung_us[index] > self.now {
                    return self.push(self.hung_us[index], What::Deliver { from, to, message });
                }
                self.note(message.tag() + index as u64);
                if self.is_boot(index, to.boot.0) {
                    self.with(index, |node, now, maps| node.receive(now, &from, message, maps));
                } else if !matches!(message, Message::Bye) {
                    self.send(&to, &from, index, &Message::Bye);
                }
            }
        }
    }

    fn is_boot(&self, index: usize, boot: u64) -> bool {
        self.nodes[index].as_ref().is_some_and(|node| node.id.boot.0 == boot)
    }

    /// Lets a node do something, and does what it wants.
    fn with(&mut self, index: usize, act: impl FnOnce(&mut Node, u64, &mut Maps)) {
        let Some(node) = &mut self.nodes[index] else { return };
        act(node, self.now, &mut self.maps);
        let id = node.id.clone();
        for effect in std::mem::take(&mut node.effects) {
            match effect {
                Effect::Send { to, message } => self.send(&id, &to, index, &message),
                Effect::Dial { to, member } => {
                    for delay in self.network.delays(&mut self.random, index, to, false) {
                        let (from, member) = (id.clone(), member.clone());
                        self.push(self.now + delay, What::Dialed { from, to, member });
                    }
                }
                Effect::Done { op, record } => self.history.end(self.now, &op, record),
                Effect::Opened(slots) => self.check_holders(index, &slots),
                Effect::Died(id) => {
                    let dead = self.nodes[index_of(&id)].as_ref();
                    if dead.is_some_and(|node| node.id == id && !node.has_left()) {
                        self.taken_for_dead(&id);
                    }
                }
                Effect::Formed => {
                    // Nodes that have met each other may begin one together.
                    let is_met = |place: usize| {
                        let links = self.nodes[index].iter().flat_map(|node| &node.links);
                        links.into_iter().any(|link| index_of(link) == place)
                    };
                    let strangers = (0..NODES).filter(|at| self.is_joined[*at] && !is_met(*at));
                    assert_eq!(strangers.count(), 0, "a second cluster beside the first: {id}");
                }
                Effect::Stopped => self.crash(index),
            }
        }
        self.join(index);
    }

    /// What a node that hangs has is lost to the others until it is back. One that runs has been split
    /// away, and nothing is compared any more.
    fn taken_for_dead(&mut self, id: &NodeId) {
        let index = index_of(id);
        if self.hung_us[index] + 500_000 < self.now {
            self.history.is_strict = false;
            return;
        }
        if self.excused.insert((id.boot.0, self.hung_us[index]))
            && let Some(node) = &self.nodes[index]
        {
            node.table.keys().for_each(|key| self.history.lose(*key));
        }
    }

    fn send(&mut self, from: &NodeId, to: &NodeId, place: usize, message: &Message) {
        let target = index_of(to);
        let can_repeat = message.can_repeat();
        for delay in self.network.delays(&mut self.random, place, target, can_repeat) {
            let (from, to, message) = (from.clone(), to.clone(), message.clone());
            self.push(self.now + delay, What::Deliver { from, to, message });
        }
    }

    fn join(&mut self, index: usize) {
        let Some(node) = self.nodes[index].as_ref().filter(|_| !self.is_joined[index]) else {
            return;
        };
        self.is_joined[index] = node.roster.own().standing != Standing::Joining;
    }

    fn client(&mut self) {
        if CLIENTS_UNTIL_US < self.now {
            return;
        }
        let pause = self.random.between(1_000, 20_000);
        self.push(self.now + pause, What::Client);
        let index = self.random.below(NODES);
        let key = self.random.below(KEYS);
        let verb = match self.random.below(10) {
            0..6 => Verb::Get,
            6..8 => Verb::Put,
            8 => Verb::PutBrief(self.random.between(100_000, 4_000_000)),
            _ => Verb::Delete,
        };
        if self.nodes[index].is_none() || !self.is_joined[index] || self.now < self.hung_us[index] {
            return;
        }
        self.ops += 1;
        let op = Op { id: self.ops, verb, key, origin: None, until_us: self.now + 5_000_000 };
        self.history.begin(self.now, &op);
        self.with(index, |node, now, _| node.run(now, op, None));
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Start(index) if self.nodes[index].is_none() => self.start(index),
            Fault::Crash(index) if 1 < self.nodes.iter().flatten().count() => self.crash(index),
            Fault::Leave(index) if 1 < self.nodes.iter().flatten().count() => {
                self.with(index, |node, now, maps| node.leave(now, maps));
            }
            Fault::Forget(index) if self.nodes[index].is_none() => {
                // One node is told, and it tells the others.
                let at = (0..NODES).find(|at| self.nodes[*at].is_some()).unwrap_or_default();
                self.with(at, |node, now, maps| node.forget(now, index, maps));
            }
            Fault::Hang(index, time) => self.hung_us[index] = self.now + time,
            Fault::Divide(side) => self.network.divide(side),
            Fault::HangAll(time) => self.hung_us = [self.now + time; NODES],
            Fault::CutOneWay(from, to) => self.network.cut[from][to] = true,
            Fault::CutPair(one, other) => self.network.cut_pair(one, other),
            Fault::Deaf(index, time) => self.network.deaf_until_us[index] = self.now + time,
            Fault::Heal => self.network.heal(),
            Fault::Start(_) | Fault::Crash(_) | Fault::Leave(_) | Fault::Forget(_) => {}
        }
    }

    fn start(&mut self, index: usize) {
        self.boots += 1;
        let boot = self.boots;
        let age_ms = if self.now < 2_000_000 { self.age_ms } else { 0 };
        let weight = if self.has_weights { [1024, 1024, 512][index % 3] } else { 1024 };
        let skew = self.skew_ms[index];
        self.nodes[index] = Some(Node::new(index, boot, weight, self.now, skew, age_ms, self.bug));
        self.hung_us[index] = 0;
        self.is_joined[index] = false;
        self.with(index, Node::start);
        let phase = self.random.between(1, TICK_US);
        self.push(self.now + phase, What::Tick(index, boot));
    }

    fn crash(&mut self, index: usize) {
        let Some(node) = self.nodes[index].take() else { return };
        self.is_joined[index] = false;
        node.table.keys().for_each(|key| self.history.lose(*key));
        // The system closes its connections.
        for peer in node.links {
            self.send(&node.id, &peer, index, &Message::Bye);
        }
    }

    /// While no living node was taken for dead, two that know each other never hold one slot.
    fn check_holders(&self, index: usize, opened: &SlotSet) {
        let Some(node) = self.nodes[index].as_ref().filter(|_| self.history.is_strict) else {
            return;
        };
        let knows = |node: &Node, other: &Node| {
            let known = node.roster.view().get(&other.id.name);
            known.is_some_and(|member| member.id == other.id && member.is_living())
        };
        for other in self.nodes.iter().flatten().filter(|other| other.id != node.id) {
            let both = opened.and(other.handoff.held());
            let is_one_cluster = knows(node, other) && knows(other, node);
            assert!(both.is_empty() || !is_one_cluster, "{both:?}: {} {}", node.id, other.id);
        }
    }

    /// What is not as it should be some time after the last fault.
    fn unsettled(&self) -> Option<String> {
        let nodes: Vec<&Node> = self.nodes.iter().flatten().collect();
        if !self.network.is_whole() || self.hung_us.iter().any(|until| self.now < *until) {
            return Some("faults".to_owned());
        }
        let first = nodes.first()?;
        let mut held = SlotSet::new();
        let mut count = 0;
        for node in &nodes {
            if node.roster.digest() != first.roster.digest()
                || node.roster.view().epoch() != first.roster.view().epoch()
            {
                return Some(format!("views of {} and {}", first.id, node.id));
            }
            if node.is_leaving || !node.handoff.claiming().is_empty() {
                return Some(format!("{} claims {:?}", node.id, node.handoff.claiming()));
            }
            if !node.handoff.residue().is_empty() || !node.handoff.arriving().is_empty() {
                return Some(format!("{} has or expects left-overs", node.id));
            }
            held.add(node.handoff.held());
            count += node.handoff.held().len();
        }
        let is_right = held == SlotSet::all() && count == held.len();
        (!is_right).then(|| format!("{count} slots held, {} of them different", held.len()))
    }

    /// When all is settled, each entry is at the owner of its slot and nowhere else.
    fn check_entries(&self) {
        for node in self.nodes.iter().flatten() {
            for key in node.table.keys() {
                assert!(node.handoff.is_held(slot_of(*key)), "key {key} is left at {}", node.id);
            }
        }
        for key in 0..KEYS {
            let mut tables = self.nodes.iter().flatten().map(|node| node.table.get(&key));
            let version = tables.find_map(|record| record).map_or(0, |record| record.version);
            let due = self.history.due(self.now, key);
            assert!(due <= version, "key {key}: {version:x} is left, {due:x} was acknowledged");
        }
    }
}
