//! Many rosters at once: how long views take to agree, and in how many messages.
//!
//! `SMACHE_NODES=1000` gives the size; heartbeats of one node are delivered to all in one step, as a
//! network without faults would.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use smache::limits::MEMBER_TICK;
use smache::member::{
    Boot, Heartbeat, Member, NodeId, NodeName, Roster, RosterAction, RosterEvent, Standing, View,
};

use crate::number;
use crate::random::Random;

const NODES: u64 = 120;

/// What a message takes, in microseconds.
const DELAY_US: u64 = 500;

/// Links a node begins per tick.
const DIALS_PER_TICK: usize = 64;

struct Crowd {
    rosters: Vec<Option<Roster>>,
    ids: Vec<NodeId>,
    places: BTreeMap<NodeName, usize>,
    links: Vec<Vec<bool>>,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: BTreeMap<u64, What>,
    now: u64,
    count: u64,
    beats: u64,
    views: u64,
}

enum What {
    Tick,
    Beat(Heartbeat),
    View { from: usize, view: View, is_answer: bool },
    Link(usize),
    Unlink(usize),
    Refused(usize),
}

impl Crowd {
    fn new(count: usize) -> Self {
        let mut random = Random::new(count as u64);
        let mut crowd = Self {
            rosters: Vec::new(),
            ids: Vec::new(),
            places: BTreeMap::new(),
            links: vec![vec![false; count]; count],
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            now: 0,
            count: 0,
            beats: 0,
            views: 0,
        };
        for place in 0..count {
            let name = NodeName::new(&format!("smache-{place}")).unwrap();
            let id = NodeId { name: name.clone(), boot: Boot(place as u64) };
            let own = Member {
                id: id.clone(),
                addr: format!("10.0.{}.{}:4040", place / 250, place % 250),
                http: String::new(),
                incarnation: 1_700_000_000_000 + place as u64,
                standing: Standing::Joining,
                weight: 1024,
            };
            crowd.ids.push(id);
            crowd.places.insert(name, place);
            crowd.rosters.push(Some(Roster::new(own)));
            let at = random.between(0, 100_000);
            crowd.push(at, place, What::Tick);
        }
        crowd.step(0, RosterEvent::Form);
        for place in 1..count {
            // Every node knows one seed at first.
            crowd.push(random.between(0, 200_000), place, What::Link(0));
        }
        crowd
    }

    fn push(&mut self, delay: u64, to: usize, what: What) {
        self.count += 1;
        self.events.insert(self.count, what);
        self.queue.push(Reverse((self.now + delay, self.count, to)));
    }

    fn step(&mut self, place: usize, event: RosterEvent) {
        let now = Duration::from_micros(self.now);
        let Some(roster) = &mut self.rosters[place] else { return };
        for action in roster.step(now, event) {
            let Some(roster) = &self.rosters[place] else { return };
            match action {
                RosterAction::Beat => {
                    let beat = roster.heartbeat(now);
                    self.push(DELAY_US, place, What::Beat(beat));
                }
                RosterAction::SendView { to } => {
                    let view = roster.view().clone();
                    let to = self.places[&to.name];
                    self.push(DELAY_US, to, What::View { from: place, view, is_answer: false });
                }
                _ => {}
            }
        }
    }

    /// Lets time pass until everyone who runs agrees with everyone, at most `limit`, and returns how
    /// long that took.
    fn agree(&mut self, limit: Duration) -> Duration {
        let began = self.now;
        let mut look = self.now + 50_000;
        while let Some(Reverse((at, event, place))) = self.queue.pop() {
            self.now = at;
            if look <= at {
                let passed = Duration::from_micros(at - began);
                if self.is_agreed() {
                    return passed;
                }
                assert!(passed < limit, "no agreement in {limit:?}");
                look = at + 50_000;
            }
            let what = self.events.remove(&event).unwrap();
            self.happen(place, what);
        }
        unreachable!("ticks never end")
    }

    fn is_agreed(&self) -> bool {
        let mut running = self.rosters.iter().flatten();
        let count = self.rosters.iter().flatten().count();
        let digest = running.next().map(Roster::digest);
        let is_whole = |roster: &Roster| roster.view().living().count() == count;
        running.all(|roster| Some(roster.digest()) == digest && is_whole(roster))
    }

    fn happen(&mut self, place: usize, what: What) {
        match what {
            What::Tick if self.rosters[place].is_some() => {
                self.step(place, RosterEvent::Tick);
                self.dial(place);
                self.push(MEMBER_TICK.as_micros() as u64, place, What::Tick);
            }
            What::Tick => {}
            What::Beat(beat) => {
                let from = self.ids[place].clone();
                for to in 0..self.ids.len() {
                    if self.links[place][to] && self.rosters[to].is_some() {
                        self.beats += 1;
                        let (from, beat) = (from.clone(), beat.clone());
                        self.step(to, RosterEvent::Heard { from, beat });
                    }
                }
            }
            What::View { from, view, is_answer } => {
                self.views += 1;
                self.step(place, RosterEvent::ViewReceived { from: self.ids[from].clone(), view });
                if let Some(roster) = self.rosters[place].as_ref().filter(|_| !is_answer) {
                    let view = roster.view().clone();
                    self.push(DELAY_US, from, What::View { from: place, view, is_answer: true });
                }
            }
            What::Link(peer) => self.link(place, peer),
            What::Unlink(peer) => {
                self.links[place][peer] = false;
                self.step(place, RosterEvent::Unlinked(self.ids[peer].clone()));
            }
            What::Refused(peer) => {
                self.step(place, RosterEvent::DialRefused(self.ids[peer].clone()));
            }
        }
    }

    fn dial(&mut self, place: usize) {
        let Some(roster) = &self.rosters[place] else { return };
        let wanted = roster.wanted().map(|member| self.places[&member.id.name]);
        // The smaller one dials, so that there is one link.
        let wanted: Vec<usize> = wanted.filter(|peer| place < *peer).take(DIALS_PER_TICK).collect();
        for peer in wanted {
            self.push(3 * DELAY_US, place, What::Link(peer));
        }
    }

    fn link(&mut self, place: usize, peer: usize) {
        if self.links[place][peer] || self.rosters[place].is_none() {
            return;
        }
        if self.rosters[peer].is_none() {
            return self.push(DELAY_US, place, What::Refused(peer));
        }
        for (one, other) in [(place, peer), (peer, place)] {
            self.links[one][other] = true;
            let met = self.rosters[other].as_ref().map(|roster| roster.own().clone());
            met.into_iter().for_each(|member| self.step(one, RosterEvent::Met(member)));
            self.step(one, RosterEvent::Linked(self.ids[other].clone()));
        }
    }

    fn crash(&mut self, place: usize) {
        self.rosters[place] = None;
        for peer in 0..self.ids.len() {
            if self.links[place][peer] {
                self.push(DELAY_US, peer, What::Unlink(place));
                self.push(3 * DELAY_US, peer, What::Refused(place));
            }
        }
    }
}

#[test]
fn many_join_at_once_and_a_tenth_is_lost_at_once() {
    let count = number("SMACHE_NODES").unwrap_or(NODES) as usize;
    let mut crowd = Crowd::new(count);
    let joined = crowd.agree(Duration::from_secs(30));
    println!("{count} joined in {joined:?}: {} heartbeats, {} views", crowd.beats, crowd.views);
    crowd
        .rosters
        .iter()
        .flatten()
        .for_each(|roster| assert_eq!(roster.view().living().count(), count));

    crowd.settle(Duration::from_secs(2));
    (crowd.beats, crowd.views) = (0, 0);
    (1..=count / 10).for_each(|n| crowd.crash(n * 10 - 5));
    let lost = crowd.agree(Duration::from_secs(10));
    println!("{} lost in {lost:?}: {} heartbeats, {} views", count / 10, crowd.beats, crowd.views);
}

impl Crowd {
    /// Lets `time` pass.
    fn settle(&mut self, time: Duration) {
        let until = self.now + time.as_micros() as u64;
        while self.queue.peek().is_some_and(|next| next.0.0 < until) {
            let Some(Reverse((at, event, place))) = self.queue.pop() else { return };
            self.now = at;
            let what = self.events.remove(&event).unwrap();
            self.happen(place, what);
        }
    }
}
