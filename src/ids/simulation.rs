//! Nodes that give ids while messages are lost, late and doubled, the network is split, and runs hang,
//! crash, leave and come back: no id is ever given twice while one of them lives.
//!
//! Membership is a caricature of the roster's, worse than it: every node decides on its own who is dead,
//! and views spread slowly. Whoever is asked gives ids, owner or not.

use std::collections::HashSet;
use std::time::Duration;

use super::{Answer, Ask, IdAction, IdEvent, Ids, Reservations};
use crate::limits::{DEAD_AFTER, DEAD_AFTER_REFUSED, IDS_FAR};
use crate::member::{Boot, Member, NodeId, NodeName, Standing, View};

const NAMES: usize = 4;
const STEP: Duration = Duration::from_millis(20);
const SEEDS: u64 = 60;
const STEPS: usize = 1_500;

struct World {
    random: Random,
    now: Duration,
    runs: [Option<Run>; NAMES],
    /// The side of each name while the network is split.
    sides: [u8; NAMES],
    letters: Vec<Letter>,
    given: HashSet<u64>,
    low: usize,
    far: usize,
    boots: u64,
    /// Whether nothing is lost or late, and only the first node is asked for ids.
    is_calm: bool,
}

struct Run {
    machine: Reservations,
    ids: Ids,
    own: Member,
    view: View,
    began: Duration,
    has_joined: bool,
    has_formed: bool,
    hangs_until: Duration,
    /// When each name was reached last.
    reached: [Duration; NAMES],
}

struct Letter {
    at: Duration,
    from: NodeId,
    to: NodeId,
    what: What,
}

#[derive(Clone)]
enum What {
    Ask(u64, Ask),
    Answer(u64, Answer),
    Unanswered(u64),
    Ceiling(u64),
    Left,
}

/// xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn millis(&mut self, end: usize) -> Duration {
        Duration::from_millis(self.below(end) as u64)
    }
}

fn name_of(at: usize) -> NodeName {
    NodeName::new(&format!("n{at}")).unwrap()
}

fn place_of(id: &NodeId) -> usize {
    id.name.as_str()[1..].parse().unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: Duration::from_secs(1),
            runs: Default::default(),
            sides: [0; NAMES],
            letters: vec![],
            given: HashSet::new(),
            low: 0,
            far: 0,
            boots: 0,
            is_calm: false,
        }
    }

    fn start(&mut self, at: usize) {
        self.boots += 1;
        let id = NodeId { name: name_of(at), boot: Boot(self.random.next()) };
        let own = Member {
            id: id.clone(),
            addr: at.to_string(),
            http: String::new(),
            incarnation: self.boots * 1_000,
            standing: Standing::Alive,
            weight: 1,
        };
        self.runs[at] = Some(Run {
            machine: Reservations::new(id),
            ids: Ids::default(),
            view: View::new(1, [own.clone()]),
            own,
            began: self.now,
            has_joined: false,
            has_formed: false,
            hangs_until: Duration::ZERO,
            reached: [self.now; NAMES],
        });
    }

    fn crash(&mut self, at: usize) {
        self.runs[at] = None;
        // Nobody is left of the cluster: what those who are left begin is another one.
        if self.runs.iter().flatten().all(|run| !run.machine.is_informed()) {
            self.given.clear();
        }
    }

    fn leave(&mut self, at: usize) {
        let Some(run) = &self.runs[at] else { return };
        let from = run.own.id.clone();
        for to in (0..NAMES).filter(|to| *to != at) {
            self.send(&from, to, &What::Left);
        }
        self.crash(at);
    }

    fn is_there(&self, from: usize, to: usize) -> bool {
        self.sides[from] == self.sides[to]
    }

    fn is_awake(&self, at: usize) -> bool {
        self.runs[at].as_ref().is_some_and(|run| run.hangs_until <= self.now)
    }

    fn send(&mut self, from: &NodeId, to: usize, what: &What) {
        let Some(run) = &self.runs[to] else { return };
        let to = run.own.id.clone();
        let delay = match self.random.below(100) {
            0..3 if !self.is_calm => return,
            3..8 if !self.is_calm => self.random.millis(3_000),
            _ => self.random.millis(60),
        };
        let copies = if self.random.is(30) { 2 } else { 1 };
        for copy in 0..copies {
            let at = self.now + delay * (1 + copy);
            self.letters.push(Letter {
                at,
                from: from.clone(),
                to: to.clone(),
                what: what.clone(),
            });
        }
    }

    fn step_machine(&mut self, at: usize, event: IdEvent<'_>) {
        let now = self.now;
        let Some(run) = &mut self.runs[at] else { return };
        let me = run.own.id.clone();
        for action in run.machine.step(now, event) {
            match action {
                IdAction::Add(range) => {
                    if let Some(run) = &self.runs[at] {
                        run.ids.add(range);
                    }
                }
                IdAction::Ask { to, round, ask } => {
                    let place = place_of(&to);
                    let is_run = self.runs[place].as_ref().is_some_and(|run| run.own.id == to);
                    match is_run && self.is_there(at, place) {
                        true => self.send(&me, place, &What::Ask(round, ask)),
                        false => self.letters.push(Letter {
                            at: now + STEP,
                            from: to,
                            to: me.clone(),
                            what: What::Unanswered(round),
                        }),
                    }
                }
            }
        }
    }

    fn deliver(&mut self) {
        let (due, rest) = std::mem::take(&mut self.letters)
            .into_iter()
            .partition(|letter| letter.at <= self.now && self.is_awake(place_of(&letter.to)));
        self.letters = rest;
        let due: Vec<Letter> = due;
        for Letter { from, to, what, .. } in due {
            let (at, sender) = (place_of(&to), place_of(&from));
            let is_run = self.runs[at].as_ref().is_some_and(|run| run.own.id == to);
            let is_local = matches!(what, What::Unanswered(_));
            if is_run && (is_local || self.is_there(at, sender)) {
                self.receive(at, from, what);
            }
        }
    }

    fn receive(&mut self, at: usize, from: NodeId, what: What) {
        let Some(run) = &mut self.runs[at] else { return };
        match what {
            What::Ceiling(ceiling) => run.machine.heard(&from, ceiling),
            What::Ask(round, ask) => {
                let Some(answer) = run.machine.asked(&from, ask) else { return };
                let me = run.own.id.clone();
                let is_run = |run: &Run| run.own.id == from;
                if self.runs[place_of(&from)].as_ref().is_some_and(is_run) {
                    self.send(&me, place_of(&from), &What::Answer(round, answer));
                }
            }
            What::Answer(round, answer) => {
                self.step_machine(at, IdEvent::Answered { from, round, answer });
            }
            What::Unanswered(round) => {
                self.step_machine(at, IdEvent::Unanswered { from, round });
            }
            What::Left => {
                self.gone(at, &from);
                self.step_machine(at, IdEvent::Left(&from));
            }
        }
    }

    /// Has a node believe that another is gone.
    fn gone(&mut self, at: usize, id: &NodeId) {
        let Some(run) = &mut self.runs[at] else { return };
        let known = run.view.get(&id.name).filter(|member| member.id == *id).cloned();
        if let Some(known) = known {
            run.view.merge(&View::new(0, [Member { standing: Standing::Gone, ..known }]));
            let view = run.view.clone();
            self.step_machine(at, IdEvent::View(&view));
        }
    }

    /// Has a node look after its members and its ids.
    fn tick(&mut self, at: usize) {
        for other in (0..NAMES).filter(|other| *other != at) {
            if self.is_there(at, other) && self.is_awake(other) {
                if self.random.is(5) {
                    self.meet(at, other);
                }
            } else {
                self.miss(at, other);
            }
        }
        self.form(at);
        let places = 0..NAMES;
        let Some(run) = &self.runs[at] else { return };
        let is_ruled_out = |other: usize| {
            let is_met = |run: &Run, its: &Run| {
                run.view.get(&its.own.id.name).is_some_and(|m| m.id == its.own.id && m.is_living())
            };
            other == at
                || self.is_there(at, other)
                    && self.runs[other].as_ref().is_none_or(|its| is_met(run, its))
        };
        let is_first = run.has_formed && places.clone().all(is_ruled_out);
        let need = run.ids.need();
        self.step_machine(at, IdEvent::Tick { need, is_first });
    }

    /// Two nodes reach each other.
    fn meet(&mut self, at: usize, other: usize) {
        let now = self.now;
        let [Some(run), Some(peer)] = [at, other].map(|at| self.runs[at].take()) else { return };
        let (mut run, mut peer) = (run, peer);
        run.reached[other] = now;
        if run.has_joined || peer.has_joined {
            let theirs = peer.view.clone();
            run.learn(&theirs);
            let ours = run.view.clone();
            peer.learn(&ours);
            (run.has_joined, peer.has_joined) = (true, true);
        }
        let (me, ceiling) = (run.own.id.clone(), run.machine.ceiling());
        let views = [run.view.clone(), peer.view.clone()];
        (self.runs[at], self.runs[other]) = (Some(run), Some(peer));
        for (at, view) in [at, other].into_iter().zip(&views) {
            self.step_machine(at, IdEvent::View(view));
        }
        self.send(&me, other, &What::Ceiling(ceiling));
    }

    /// A node does not reach another.
    fn miss(&mut self, at: usize, other: usize) {
        let is_refused = self.is_there(at, other) && self.runs[other].is_none();
        if is_refused && self.random.is(10) {
            self.step_machine(at, IdEvent::DialRefused(&other.to_string()));
        }
        let Some(run) = &self.runs[at] else { return };
        let patience = if is_refused { DEAD_AFTER_REFUSED } else { DEAD_AFTER };
        let known = run.view.get(&name_of(other)).filter(|member| member.is_living());
        if let Some(id) = known.map(|member| member.id.clone())
            && run.reached[other] + patience <= self.now
        {
            self.gone(at, &id);
        }
    }

    /// Has a node begin a cluster if it finds none.
    fn form(&mut self, at: usize) {
        let is_found = |other: usize| {
            self.is_there(at, other)
                && self.runs[other].as_ref().is_some_and(|its| its.has_joined || other < at)
        };
        let is_alone = !(0..NAMES).any(|other| other != at && is_found(other));
        let now = self.now;
        let Some(run) = &mut self.runs[at] else { return };
        if !run.has_joined && is_alone && run.began + Duration::from_millis(300) <= now {
            (run.has_joined, run.has_formed) = (true, true);
        }
    }

    /// Has ids given by a node that has joined.
    fn give(&mut self, at: usize, count: usize, seed: u64) {
        let Some(run) = &self.runs[at] else { return };
        if !run.has_joined || run.hangs_until > self.now {
            return;
        }
        for _ in 0..count {
            let Some(id) = run.ids.take() else { return };
            assert!(self.given.insert(id), "id {id} was given twice, seed {seed}");
            assert!(0 < id && id < 1 << 53, "id {id}");
            *(if id < IDS_FAR { &mut self.low } else { &mut self.far }) += 1;
        }
    }

    fn fault(&mut self) {
        let at = self.random.below(NAMES);
        match self.random.below(6) {
            0 => self.crash(at),
            1 => self.leave(at),
            2 if self.runs[at].is_none() => self.start(at),
            3 => {
                let until = self.now + self.random.millis(6_000);
                if let Some(run) = &mut self.runs[at] {
                    run.hangs_until = until;
                }
            }
            4 => self.sides = std::array::from_fn(|_| self.random.below(2) as u8),
            _ => self.sides = [0; NAMES],
        }
    }

    fn step(&mut self, seed: u64) {
        self.now += STEP;
        self.deliver();
        for at in 0..NAMES {
            if self.is_awake(at) {
                self.tick(at);
            }
        }
        let at = if self.is_calm { 0 } else { self.random.below(NAMES) };
        let count = self.random.below(200);
        self.give(at, count, seed);
    }
}

impl Run {
    fn learn(&mut self, theirs: &View) {
        self.view.merge(theirs);
        let its = self.view.get(&self.own.id.name).cloned();
        if let Some(its) = its.filter(|its| *its != self.own) {
            // Somebody takes this run for dead, or for another.
            self.own.incarnation = its.incarnation + 1;
            self.view.merge(&View::new(0, [self.own.clone()]));
        }
    }
}

#[test]
fn no_id_is_given_twice_while_a_node_of_the_cluster_lives() {
    let (mut low, mut far) = (0, 0);
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        (0..NAMES).for_each(|at| world.start(at));
        for _ in 0..STEPS {
            if world.random.is(60) {
                world.fault();
            }
            world.step(seed);
        }
        low += world.low;
        far += world.far;
    }
    // Neither way was missing.
    assert!(20_000 < low && 20_000 < far, "{low} low, {far} far");
}

#[test]
fn after_a_split_ids_come_from_the_low_region_again() {
    for seed in 1..=20 {
        let mut world = World { is_calm: true, ..World::new(seed) };
        (0..NAMES).for_each(|at| world.start(at));
        let run = |world: &mut World, seconds: usize| {
            let (low, far) = (world.low, world.far);
            (0..seconds * 50).for_each(|_| world.step(seed));
            (world.low - low, world.far - far)
        };
        run(&mut world, 3);
        let (low, far) = run(&mut world, 5);
        assert!(0 < low && far == 0, "{low} low, {far} far, seed {seed}");
        world.sides = [0, 0, 1, 1];
        run(&mut world, 8);
        let (low, far) = run(&mut world, 5);
        assert!(low == 0 && 0 < far, "{low} low, {far} far, seed {seed}");
        world.sides = [0; NAMES];
        run(&mut world, 8);
        // One that is killed where the others see that its process is gone is waited for by nobody.
        world.crash(1);
        run(&mut world, 5);
        let (low, far) = run(&mut world, 5);
        assert!(0 < low && far == 0, "{low} low, {far} far, seed {seed}");
    }
}
