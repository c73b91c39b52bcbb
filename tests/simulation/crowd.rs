//! Many rosters and handoffs at once, without faults of the network: how long it takes until all
//! agree, and in how many messages.
//!
//! What a driver does is done here as it should be: a heartbeat goes to every link, and a map is
//! computed when the view was quiet for a tick, or has not been for [`MAP_TICKS_MAX`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use smache::limits::{HANDOFF_TICK, MEMBER_TICK};
use smache::member::{
    Boot, Heartbeat, Member, NodeId, NodeName, Roster, RosterAction, RosterEvent, Standing, View,
};
use smache::partition::{Handoff, HandoffAction, HandoffEvent, PartitionMap, SLOTS, SlotSet};

use crate::random::Random;

/// What a message takes, in microseconds.
const DELAY_US: u64 = 500;

/// How often it is looked whether all agree.
const LOOK_US: u64 = 10_000;

/// Links a node begins per tick.
const DIALS_PER_TICK: usize = 64;

/// Ticks of the roster after which a map is computed though the view still changes.
const MAP_TICKS_MAX: u32 = 5;

/// Messages sent by all nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub beats: u64,
    pub views: u64,
    /// Records of members in all views.
    pub records: u64,
    pub claims: u64,
    pub refusals: u64,
    /// Maps computed.
    pub maps: u64,
}

/// How a change went.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Nodes that run after it.
    pub nodes: usize,
    /// From the change until all have the same view, which is right.
    pub agreed: Duration,
    /// From the change until every slot is held by its owner and nobody else.
    pub settled: Duration,
    pub sent: Sent,
}

/// Some hundred nodes.
pub struct Crowd {
    nodes: Vec<Option<Node>>,
    ids: Vec<NodeId>,
    links: Vec<Vec<bool>>,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<(usize, What)>>,
    free: Vec<usize>,
    maps: BTreeMap<u64, Weak<PartitionMap>>,
    now: u64,
    count: u64,
    sent: Sent,
}

struct Node {
    roster: Roster,
    handoff: Handoff,
    /// The view of the last tick, and since how many ticks it is not the one of the map.
    digest: u64,
    ticks: u32,
}

enum What {
    Tick,
    HandoffTick,
    /// To everybody who is linked.
    Beat(Heartbeat),
    View {
        from: usize,
        view: View,
    },
    ViewAnswer {
        from: usize,
        view: View,
    },
    Handoff(HandoffEvent),
    Refused {
        from: usize,
        id: u64,
    },
    Link(usize),
    Unlink(usize),
    DialRefused(usize),
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

impl Crowd {
    /// One cluster of one, which all others try to join.
    pub fn new(count: usize) -> Self {
        let mut random = Random::new(count as u64);
        let mut crowd = Self {
            nodes: Vec::new(),
            ids: Vec::new(),
            links: vec![vec![false; count]; count],
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            maps: BTreeMap::new(),
            now: 0,
            count: 0,
            sent: Sent::default(),
        };
        for place in 0..count {
            let name = NodeName::new(&format!("smache-{place}")).unwrap();
            let id = NodeId { name, boot: Boot(place as u64) };
            let own = Member {
                id: id.clone(),
                addr: format!("10.0.{}.{}:4040", place / 250, place % 250),
                http: String::new(),
                incarnation: 1_700_000_000_000 + place as u64,
                standing: Standing::Joining,
                weight: 1024,
            };
            let node = Node {
                roster: Roster::new(own),
                handoff: Handoff::new(id.clone()),
                digest: 0,
                ticks: 0,
            };
            crowd.ids.push(id);
            crowd.nodes.push(Some(node));
            crowd.push(random.between(0, micros(MEMBER_TICK)), place, What::Tick);
            crowd.push(random.between(0, micros(HANDOFF_TICK)), place, What::HandoffTick);
        }
        crowd.roster(0, RosterEvent::Form);
        for place in 1..count {
            // Every node knows one seed at first.
            crowd.push(random.between(0, 200_000), place, What::Link(0));
        }
        crowd
    }

    /// Takes away every tenth node at once.
    pub fn lose_a_tenth(&mut self) {
        for place in (5..self.ids.len()).step_by(10) {
            self.nodes[place] = None;
            for peer in 0..self.ids.len() {
                if self.links[place][peer] {
                    self.push(DELAY_US, peer, What::Unlink(place));
                    self.push(3 * DELAY_US, peer, What::DialRefused(place));
                }
            }
        }
    }

    /// Lets `time` pass.
    pub fn settle(&mut self, time: Duration) {
        let until = self.now + micros(time);
        while self.queue.peek().is_some_and(|next| next.0.0 < until) {
            self.next();
        }
        self.now = until;
    }

    /// Lets time pass until all is as it should be.
    ///
    /// # Panics
    ///
    /// If that takes longer than `limit`.
    pub fn agree(&mut self, limit: Duration) -> Course {
        self.sent = Sent::default();
        let began = self.now;
        let mut agreed = None;
        loop {
            self.settle(Duration::from_micros(LOOK_US));
            let passed = Duration::from_micros(self.now - began);
            if self.has_one_view() {
                let agreed = *agreed.get_or_insert(passed);
                if self.has_all_slots() {
                    let nodes = self.nodes.iter().flatten().count();
                    return Course { nodes, agreed, settled: passed, sent: self.sent };
                }
            }
            assert!(passed < limit, "no agreement in {limit:?}");
        }
    }

    fn has_one_view(&self) -> bool {
        let mut nodes = self.nodes.iter().flatten();
        let count = self.nodes.iter().flatten().count();
        let Some(first) = nodes.next() else { return true };
        let (digest, epoch) = (first.roster.digest(), first.roster.view().epoch());
        let alive = first.roster.view().living().filter(|m| m.standing == Standing::Alive);
        first.roster.view().living().count() == count
            && alive.count() == count
            && nodes.all(|n| n.roster.digest() == digest && n.roster.view().epoch() == epoch)
    }

    fn has_all_slots(&self) -> bool {
        let mut held = SlotSet::new();
        let mut count = 0;
        for node in self.nodes.iter().flatten() {
            held.add(node.handoff.held());
            count += node.handoff.held().len();
        }
        count == usize::from(SLOTS) && held == SlotSet::all()
    }

    fn push(&mut self, delay: u64, to: usize, what: What) {
        self.count += 1;
        let event = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[event] = Some((to, what));
        self.queue.push(Reverse((self.now + delay, self.count, event)));
    }

    fn next(&mut self) {
        let Some(Reverse((at, _, event))) = self.queue.pop() else { return };
        self.now = at;
        self.free.push(event);
        if let Some((place, what)) = self.events[event].take()
            && self.nodes[place].is_some()
        {
            self.happen(place, what);
        }
    }

    fn happen(&mut self, place: usize, what: What) {
        match what {
            What::Tick => self.tick(place),
            What::HandoffTick => {
                self.sweep(place);
                self.handoff(place, HandoffEvent::Tick);
                self.push(micros(HANDOFF_TICK), place, What::HandoffTick);
            }
            What::Beat(beat) => {
                for to in 0..self.ids.len() {
                    if self.links[place][to] {
                        self.sent.beats += 1;
                        let (from, beat) = (self.ids[place].clone(), beat.clone());
                        self.roster(to, RosterEvent::Heard { from, beat });
                    }
                }
            }
            What::View { from, view } => {
                self.view(place, from, view);
                self.send_view(place, from, |from, view| What::ViewAnswer { from, view });
            }
            What::ViewAnswer { from, view } => self.view(place, from, view),
            What::Handoff(event) => self.handoff(place, event),
            What::Refused { from, id } => {
                let from = self.ids[from].clone();
                self.handoff(place, HandoffEvent::Refused { from: from.clone(), id });
                self.roster(place, RosterEvent::Disagreed(from));
            }
            What::Link(peer) => self.link(place, peer),
            What::Unlink(peer) => {
                self.links[place][peer] = false;
                self.roster(place, RosterEvent::Unlinked(self.ids[peer].clone()));
            }
            What::DialRefused(peer) => {
                self.roster(place, RosterEvent::DialRefused(self.ids[peer].clone()));
            }
        }
    }

    fn tick(&mut self, place: usize) {
        self.roster(place, RosterEvent::Tick);
        self.publish(place);
        self.dial(place);
        self.push(micros(MEMBER_TICK), place, What::Tick);
    }

    fn roster(&mut self, place: usize, event: RosterEvent) {
        let now = Duration::from_micros(self.now);
        let Some(node) = &mut self.nodes[place] else { return };
        for action in node.roster.step(now, event) {
            match action {
                RosterAction::Beat => {
                    let beat = self.nodes[place].as_ref().map(|node| node.roster.heartbeat(now));
                    beat.into_iter().for_each(|beat| self.push(DELAY_US, place, What::Beat(beat)));
                }
                RosterAction::SendView { to } => {
                    let to = to.boot.0 as usize;
                    self.send_view(place, to, |from, view| What::View { from, view });
                }
                RosterAction::Died(id) => {
                    let peer = id.boot.0 as usize;
                    assert!(self.nodes[peer].is_none(), "{id} lives");
                }
                _ => {}
            }
        }
    }

    fn view(&mut self, place: usize, from: usize, view: View) {
        let from = self.ids[from].clone();
        self.roster(place, RosterEvent::ViewReceived { from, view });
    }

    fn send_view(&mut self, place: usize, to: usize, what: fn(usize, View) -> What) {
        let Some(node) = &mut self.nodes[place] else { return };
        let view = node.roster.view_for(&self.ids[to]);
        self.sent.views += 1;
        self.sent.records += view.members().count() as u64;
        self.push(DELAY_US, to, what(place, view));
    }

    /// Has the handoff follow the view.
    fn publish(&mut self, place: usize) {
        let Some(node) = &mut self.nodes[place] else { return };
        let before = std::mem::replace(&mut node.digest, node.roster.digest());
        if node.handoff.map().is_some_and(|map| map.digest() == node.digest) {
            node.ticks = 0;
            return;
        }
        node.ticks += 1;
        if before != node.digest && node.ticks < MAP_TICKS_MAX {
            return;
        }
        let known = self.maps.get(&node.digest).and_then(Weak::upgrade);
        let map = known.unwrap_or_else(|| {
            let view = node.roster.view();
            self.sent.maps += 1;
            Arc::new(match node.handoff.map() {
                Some(map) => map.renewed(view),
                None => PartitionMap::new(view),
            })
        });
        self.maps.insert(node.digest, Arc::downgrade(&map));
        self.handoff(place, HandoffEvent::ViewChanged(map));
    }

    fn handoff(&mut self, place: usize, event: HandoffEvent) {
        let now = Duration::from_micros(self.now);
        let Some(node) = &mut self.nodes[place] else { return };
        for action in node.handoff.step(now, event) {
            let from = self.ids[place].clone();
            match action {
                HandoffAction::Claim { to, id, digest, slots } => {
                    let to = to.boot.0 as usize;
                    self.sent.claims += 1;
                    let claim = HandoffEvent::Claim { from, id, digest, slots };
                    // Without a link it is not sent.
                    if self.links[place][to] {
                        self.push(DELAY_US, to, What::Handoff(claim));
                    }
                }
                HandoffAction::Answer { to, id, residue } => {
                    let answer = HandoffEvent::Answered { from, id, residue };
                    self.push(DELAY_US, to.boot.0 as usize, What::Handoff(answer));
                }
                HandoffAction::Refuse { to, id } => {
                    self.sent.refusals += 1;
                    let refused = What::Refused { from: place, id };
                    self.push(DELAY_US, to.boot.0 as usize, refused);
                    self.roster(place, RosterEvent::Disagreed(to));
                }
                HandoffAction::Close(_)
                | HandoffAction::Open(_)
                | HandoffAction::SourcesChanged => {}
            }
        }
    }

    /// Tables are empty: a pass finds nothing.
    fn sweep(&mut self, place: usize) {
        let Some(node) = &mut self.nodes[place] else { return };
        let pass = node.handoff.begin_pass();
        if !pass.is_empty() {
            self.handoff(place, HandoffEvent::ResidueCleared(pass));
        }
    }

    fn dial(&mut self, place: usize) {
        let Some(node) = &self.nodes[place] else { return };
        let living = node.roster.wanted().filter(|member| member.is_living());
        let wanted = living.map(|member| member.id.boot.0 as usize);
        // The smaller one dials, so that there is one link.
        let wanted: Vec<usize> = wanted.filter(|peer| place < *peer).take(DIALS_PER_TICK).collect();
        for peer in wanted {
            self.push(3 * DELAY_US, place, What::Link(peer));
        }
    }

    fn link(&mut self, place: usize, peer: usize) {
        if self.links[place][peer] {
            return;
        }
        if self.nodes[peer].is_none() {
            return self.push(DELAY_US, place, What::DialRefused(peer));
        }
        for (one, other) in [(place, peer), (peer, place)] {
            self.links[one][other] = true;
            let met = self.nodes[other].as_ref().map(|node| node.roster.own().clone());
            met.into_iter().for_each(|member| self.roster(one, RosterEvent::Met(member)));
            self.roster(one, RosterEvent::Linked(self.ids[other].clone()));
        }
    }
}
