//! One simulated node: the real machines, a toy table, and the rules its driver follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use smache::member::{
    Boot, Member, NodeId, NodeName, Roster, RosterAction, RosterEvent, Standing, View,
};
use smache::partition::{Handoff, HandoffAction, HandoffEvent, PartitionMap, SlotSet};

use crate::bugs::Bug;
use crate::message::{KEYS, Message, NEVER_US, Op, Pushed, Record, Verb, slot_of};
use crate::network::NODES;

/// Ticks of a node, in microseconds; every second one is one of its roster.
pub const TICK_US: u64 = 50_000;

/// After how many ticks nodes that join and have met each other, and nobody else, begin a cluster.
const FORM_TICKS: u64 = 20;

/// How long a node believes that its slots are its own without looking, in microseconds.
const LEASE_US: u64 = 1_000_000;

/// What a node wants of the world.
pub enum Effect {
    Send { to: NodeId, message: Message },
    Dial { to: usize, member: Member },
    Done { op: Op, record: Option<Record> },
    Opened(SlotSet),
    Died(NodeId),
    Formed,
    Stopped,
}

/// Maps are shared, as computing one is most of the work.
pub type Maps = BTreeMap<u64, Arc<PartitionMap>>;

/// How long an answer that entries were taken may wait for its turn, in microseconds.
const FORGETS_EVERY_US: u64 = 100_000;

pub struct Node {
    pub id: NodeId,
    pub roster: Roster,
    pub handoff: Handoff,
    pub table: BTreeMap<usize, Record>,
    pub links: BTreeSet<NodeId>,
    pub fetches: u64,
    pub is_leaving: bool,
    pub effects: Vec<Effect>,
    /// What it does wrong.
    bug: Option<Bug>,
    /// Slots it gave away, and until when it serves them all the same.
    late: (SlotSet, u64),
    /// Claims that were not answered, for one who believes silence.
    unanswered: BTreeMap<(NodeId, u64), u64>,
    clock: u64,
    skew_ms: i64,
    /// How often the slot of each key was closed.
    closed: [u64; KEYS],
    /// What others have taken, and is not forgotten yet.
    taken: Vec<Pushed>,
    forgot_us: u64,
    parked: Vec<Op>,
    reads: BTreeMap<u64, Read>,
    dialing: [u64; NODES],
    /// What came of the last dial of each place.
    found: [Found; NODES],
    lease_until_us: u64,
    /// By way of whom the message came that is being answered.
    came_via: Option<NodeId>,
    pass: Option<SlotSet>,
    is_found: [bool; KEYS],
    requests: u64,
    ticks: u64,
    left_us: Option<u64>,
}

/// What came of a dial.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing yet.
    Unknown,
    /// Nobody listens there.
    Nobody,
    /// Somebody may be there.
    Failed,
    /// A node.
    Met,
}

struct Read {
    op: Op,
    closed: u64,
    waiting: BTreeSet<NodeId>,
    until_us: u64,
}

pub fn index_of(id: &NodeId) -> usize {
    id.name.as_str()[1..].parse().unwrap()
}

fn time(now_us: u64) -> Duration {
    Duration::from_micros(now_us)
}

impl Node {
    pub fn new(
        index: usize,
        boot: u64,
        weight: u32,
        now_us: u64,
        skew_ms: i64,
        age_ms: u64,
        bug: Option<Bug>,
    ) -> Self {
        let id = NodeId { name: NodeName::new(&format!("n{index}")).unwrap(), boot: Boot(boot) };
        let own = Member {
            id: id.clone(),
            addr: format!("n{index}"),
            http: String::new(),
            incarnation: wall_ms(now_us, skew_ms) - age_ms,
            standing: Standing::Alive,
            weight,
        };
        Self {
            roster: Roster::new(own),
            handoff: Handoff::new(id.clone()),
            id,
            table: BTreeMap::new(),
            links: BTreeSet::new(),
            fetches: 0,
            is_leaving: false,
            effects: Vec::new(),
            bug,
            late: (SlotSet::new(), 0),
            unanswered: BTreeMap::new(),
            clock: 0,
            skew_ms,
            closed: [0; KEYS],
            taken: Vec::new(),
            forgot_us: 0,
            parked: Vec::new(),
            reads: BTreeMap::new(),
            dialing: [0; NODES],
            found: [Found::Unknown; NODES],
            lease_until_us: 0,
            came_via: None,
            pass: None,
            is_found: [false; KEYS],
            requests: 0,
            ticks: 0,
            left_us: None,
        }
    }

    pub fn start(&mut self, now: u64, maps: &mut Maps) {
        self.publish(now, maps);
        self.roster(now, RosterEvent::Tick, maps);
    }

    pub fn tick(&mut self, now: u64, maps: &mut Maps) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            if self.is_leaving {
                self.roster(now, RosterEvent::Leave, maps);
            }
            self.roster(now, RosterEvent::Tick, maps);
            self.go(now, maps);
        }
        self.form_if_alone(now, maps);
        if self.lease_until_us < now && !self.has(Bug::WakesWithoutDoubt) {
            self.handoff(now, HandoffEvent::Woke, maps);
        }
        self.lose_patience(now, maps);
        self.handoff(now, HandoffEvent::Tick, maps);
        self.lease_until_us = now + LEASE_US;
        self.end_entries(now);
        self.sweep(now, maps);
        let over: Vec<u64> =
            self.reads.iter().filter(|(_, read)| read.until_us <= now).map(|(id, _)| *id).collect();
        let again: Vec<Op> = over.iter().map(|id| self.reads.remove(id).unwrap().op).collect();
        self.parked.extend(again);
        self.unpark(now);
        if self.ticks.is_multiple_of(6) {
            self.dial(now);
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn lose_patience(&mut self, now: u64, maps: &mut Maps) {
        if self.has(Bug::BelievesSilence) {
            let is_over = |sent: &u64| sent + 1_000_000 <= now;
            let over = self.unanswered.iter().filter(|(_, sent)| is_over(sent));
            for (from, id) in over.map(|(of, _)| of.clone()).collect::<Vec<_>>() {
                self.unanswered.remove(&(from.clone(), id));
                let residue = SlotSet::new();
                self.handoff(now, HandoffEvent::Answered { from, id, residue }, maps);
            }
        }
    }

    /// Whether it said good-bye.
    pub fn has_left(&self) -> bool {
        self.left_us.is_some()
    }

    /// Begins a cluster where there is none: nobody listens at any other place, or only nodes that do
    /// not know of one either.
    fn form_if_alone(&mut self, now: u64, maps: &mut Maps) {
        let own = index_of(&self.id);
        let joins = |place: usize| {
            self.links.iter().any(|link| {
                let member = self.roster.view().get(&link.name);
                index_of(link) == place && member.is_some_and(|m| m.standing == Standing::Joining)
            })
        };
        let others = || (0..NODES).filter(|place| *place != own);
        let is_alone = others().all(|place| self.found[place] == Found::Nobody);
        let is_clear = others().all(|place| self.found[place] == Found::Nobody || joins(place));
        let is_hasty = self.has(Bug::FormsUnmet) && self.links.is_empty() && 10 <= self.ticks;
        if is_alone || is_hasty || is_clear && FORM_TICKS <= self.ticks {
            self.form(now, maps);
        }
    }

    /// What has ended is remembered as if it was deleted: an older value may come back.
    fn end_entries(&mut self, now: u64) {
        if self.has(Bug::ForgetsEnds) {
            self.table.retain(|_, record| now < record.ends_us);
        }
        for record in self.table.values_mut().filter(|record| record.ends_us <= now) {
            (record.value, record.ends_us) = (None, NEVER_US);
        }
    }

    /// Begins a cluster, unless it found one.
    pub fn form(&mut self, now: u64, maps: &mut Maps) {
        if self.roster.own().standing == Standing::Joining {
            self.effects.push(Effect::Formed);
            self.roster(now, RosterEvent::Form, maps);
        }
    }

    /// An operator says that a node will not be back.
    pub fn forget(&mut self, now: u64, index: usize, maps: &mut Maps) {
        let name = NodeName::new(&format!("n{index}")).unwrap();
        self.roster(now, RosterEvent::Forget(name), maps);
    }

    pub fn leave(&mut self, now: u64, maps: &mut Maps) {
        self.is_leaving = true;
        self.roster(now, RosterEvent::Leave, maps);
    }

    pub fn receive(&mut self, now: u64, from: &NodeId, message: Message, maps: &mut Maps) {
        match message {
            Message::Hello(member) => self.hello(now, member, maps),
            Message::Welcome { member, floor } => {
                self.dialing[index_of(from)] = 0;
                self.found[index_of(from)] = Found::Met;
                self.roster(now, RosterEvent::Floor(floor), maps);
                self.link(now, member, maps);
            }
            Message::Failed(index) => self.found[index] = Found::Failed,
            Message::Refused(index) => {
                self.found[index] = Found::Nobody;
                let name = NodeName::new(&format!("n{index}")).unwrap();
                if let Some(member) = self.roster.view().get(&name) {
                    let id = member.id.clone();
                    self.roster(now, RosterEvent::DialRefused(id), maps);
                }
            }
            Message::Unwelcome => self.found[index_of(from)] = Found::Failed,
            Message::Bye => self.unlink(now, from, maps),
            Message::Relay { to, message } if self.links.contains(from) => {
                if self.links.contains(&to) {
                    self.send(&to, Message::Relayed { origin: from.clone(), message });
                }
            }
            Message::Relayed { origin, message } if self.links.contains(from) => {
                self.came_via = Some(from.clone());
                self.linked(now, &origin, *message, maps);
                self.came_via = None;
            }
            message if self.links.contains(from) => self.linked(now, from, message, maps),
            _ if now < self.dialing[index_of(from)] => {}
            _ => self.send(from, Message::Bye),
        }
    }

    /// What comes over a link.
    fn linked(&mut self, now: u64, from: &NodeId, message: Message, maps: &mut Maps) {
        let from = from.clone();
        match message {
            Message::Beat(beat) => self.roster(now, RosterEvent::Heard { from, beat }, maps),
            Message::View { view, is_answer } => self.view(now, &from, view, is_answer, maps),
            Message::Claim { id, mut digest, slots } => {
                if self.has(Bug::AnswersAnyView) {
                    digest = self.handoff.map().map_or(digest, |map| map.digest());
                }
                self.handoff(now, HandoffEvent::Claim { from, id, digest, slots }, maps);
            }
            Message::ClaimRefused { id } => {
                self.handoff(now, HandoffEvent::Refused { from: from.clone(), id }, maps);
                self.roster(now, RosterEvent::Disagreed(from), maps);
            }
            Message::Claimed { id, residue, clock } => {
                self.unanswered.retain(|(to, claim), _| *to != from || *claim != id);
                if !self.has(Bug::IgnoresClocks) {
                    self.clock = self.clock.max(clock);
                }
                self.handoff(now, HandoffEvent::Answered { from, id, residue }, maps);
            }
            Message::Run(op) => self.run(now, Op { origin: Some(from), ..op }, None),
            Message::Moved { op, hint } => self.run(now, op, hint),
            Message::Ran { op, record } => self.effects.push(Effect::Done { op, record }),
            Message::Fetch { request, key } => {
                let record = self.table.get(&key).copied();
                self.reach(now, &from, Message::Fetched { request, record });
            }
            Message::Fetched { request, record } => self.fetched(now, &from, request, record),
            Message::Took { key, version } => self.took(key, version),
            Message::Push(entries) => self.pushed(now, &from, entries),
            Message::Pushed(entries) => self.taken.extend(entries),
            _ => {}
        }
    }

    fn hello(&mut self, now: u64, member: Member, maps: &mut Maps) {
        let id = member.id.clone();
        match self.roster.admit(&id.name, id.boot, time(now)) {
            Ok(floor) if self.left_us.is_none() => {
                let incarnation = member.incarnation.max(floor);
                self.link(now, Member { incarnation, ..member }, maps);
                self.send(&id, Message::Welcome { member: self.roster.own().clone(), floor });
            }
            _ => self.send(&id, Message::Unwelcome),
        }
    }

    fn link(&mut self, now: u64, member: Member, maps: &mut Maps) {
        let id = member.id.clone();
        self.found[index_of(&id)] = Found::Met;
        self.links.insert(id.clone());
        self.roster(now, RosterEvent::Met(member), maps);
        self.roster(now, RosterEvent::Linked(id), maps);
    }

    fn unlink(&mut self, now: u64, peer: &NodeId, maps: &mut Maps) {
        if self.links.remove(peer) {
            self.roster(now, RosterEvent::Unlinked(peer.clone()), maps);
            self.dial(now);
        }
    }

    fn dial(&mut self, now: u64) {
        let mut wanted: BTreeSet<usize> =
            self.roster.wanted().map(|member| index_of(&member.id)).collect();
        // Seeds are dialled for ever, or two clusters would never find each other.
        if self.ticks.is_multiple_of(24) || self.roster.view().living().count() == 1 {
            wanted.extend(0..NODES);
        }
        wanted.remove(&index_of(&self.id));
        wanted.retain(|to| !self.links.iter().any(|linked| index_of(linked) == *to));
        for to in wanted {
            self.dialing[to] = now + 500_000;
            self.effects.push(Effect::Dial { to, member: self.roster.own().clone() });
        }
    }

    fn view(&mut self, now: u64, from: &NodeId, view: View, is_answer: bool, maps: &mut Maps) {
        let event = RosterEvent::ViewReceived { from: from.clone(), view };
        self.roster(now, event, maps);
        if !is_answer {
            let view = self.roster.view_for(from);
            self.send(from, Message::View { view, is_answer: true });
        }
    }

    /// A leaving node that has nothing left says good-bye, and stops a moment later.
    fn go(&mut self, now: u64, maps: &mut Maps) {
        if self.left_us.is_some_and(|at| at + 300_000 <= now) {
            self.effects.push(Effect::Stopped);
        }
        let is_heir = |member: &Member| member.standing < Standing::Leaving;
        let has_heir = self.roster.view().living().any(is_heir);
        if self.is_leaving
            && self.left_us.is_none()
            && (self.handoff.is_done() || !has_heir || self.has(Bug::LeavesEarly))
        {
            self.left_us = Some(now);
            self.roster(now, RosterEvent::Left, maps);
        }
    }

    fn roster(&mut self, now: u64, event: RosterEvent, maps: &mut Maps) {
        for action in self.roster.step(time(now), event) {
            match action {
                RosterAction::Beat => {
                    let beat = self.roster.heartbeat(time(now));
                    for to in self.links.clone() {
                        self.send(&to, Message::Beat(beat.clone()));
                    }
                }
                RosterAction::SendView { to } => {
                    let view = self.roster.view_for(&to);
                    self.send(&to, Message::View { view, is_answer: false });
                }
                RosterAction::Changed => self.publish(now, maps),
                RosterAction::Died(id) | RosterAction::Left(id) => {
                    self.effects.push(Effect::Died(id.clone()));
                    if self.links.contains(&id) {
                        self.send(&id, Message::Bye);
                        self.unlink(now, &id, maps);
                    }
                }
                RosterAction::Deaf(id) => {
                    self.send(&id, Message::Bye);
                    self.unlink(now, &id, maps);
                }
                RosterAction::Superseded { .. } => self.effects.push(Effect::Stopped),
                RosterAction::Woke { .. } => {}
                RosterAction::Joined(_)
                | RosterAction::Missed(_)
                | RosterAction::Forgotten(_)
                | RosterAction::Suspected(_)
                | RosterAction::Recovered(_) => {}
            }
        }
    }

    fn publish(&mut self, now: u64, maps: &mut Maps) {
        let view = self.roster.view();
        let new = || Arc::new(PartitionMap::new(view));
        let map = Arc::clone(maps.entry(self.roster.digest()).or_insert_with(new));
        self.handoff(now, HandoffEvent::ViewChanged(map), maps);
    }

    fn handoff(&mut self, now: u64, event: HandoffEvent, maps: &mut Maps) {
        for action in self.handoff.step(time(now), event) {
            match action {
                HandoffAction::Claim { to, id, digest, slots } => {
                    self.unanswered.entry((to.clone(), id)).or_insert(now);
                    self.reach(now, &to, Message::Claim { id, digest, slots });
                }
                HandoffAction::Refuse { to, id } => {
                    self.reach(now, &to, Message::ClaimRefused { id });
                    self.roster(now, RosterEvent::Disagreed(to), maps);
                }
                HandoffAction::Answer { to, id, mut residue } => {
                    if self.has(Bug::HidesResidue) {
                        residue = SlotSet::new();
                    }
                    self.reach(now, &to, Message::Claimed { id, residue, clock: self.clock });
                }
                HandoffAction::Close(slots) => {
                    self.late = (slots.clone(), now + 100_000);
                    for key in (0..KEYS).filter(|key| slots.contains(slot_of(*key))) {
                        self.closed[key] += 1;
                    }
                }
                HandoffAction::Open(slots) => {
                    self.effects.push(Effect::Opened(slots));
                    self.unpark(now);
                }
                HandoffAction::SourcesChanged => {}
            }
        }
    }

    fn send(&mut self, to: &NodeId, message: Message) {
        self.effects.push(Effect::Send { to: to.clone(), message });
    }

    /// Sends what can go by way of another node.
    fn reach(&mut self, now: u64, to: &NodeId, message: Message) {
        let via = match self.links.contains(to) {
            true => None,
            false => self.came_via.clone().or_else(|| self.detour(now, to)),
        };
        match via {
            Some(via) => {
                let message = Box::new(message);
                self.send(&via, Message::Relay { to: to.clone(), message });
            }
            None => self.send(to, message),
        }
    }

    fn detour(&self, now: u64, to: &NodeId) -> Option<NodeId> {
        let via = self.roster.detour(to, time(now)).cloned();
        via.filter(|via| self.links.contains(via))
    }

    fn reaches(&self, now: u64, to: &NodeId) -> bool {
        self.links.contains(to) || self.detour(now, to).is_some()
    }

    fn holds(&self, now: u64, key: usize) -> bool {
        let slot = slot_of(key);
        let is_held = self.handoff.is_held(slot)
            || self.has(Bug::OpensEarly) && self.handoff.is_claiming(slot)
            || self.has(Bug::ClosesLate) && now < self.late.1 && self.late.0.contains(slot);
        is_held && now <= self.lease_until_us
    }

    fn unpark(&mut self, now: u64) {
        for op in std::mem::take(&mut self.parked) {
            self.run(now, op, None);
        }
    }

    /// Does a request here, lets it wait, or sends it where it belongs.
    pub fn run(&mut self, now: u64, op: Op, hint: Option<NodeId>) {
        if op.until_us < now {
            return;
        }
        let slot = slot_of(op.key);
        if let Some(origin) = &op.origin
            && self.roster.view().get(&origin.name).is_none_or(|member| member.id != *origin)
        {
            let origin = origin.clone();
            let op = Op { origin: None, ..op };
            return self.reach(now, &origin, Message::Moved { op, hint: None });
        }
        let reads_on = self.has(Bug::ReadsUnheld) && op.verb == Verb::Get;
        if self.holds(now, op.key) || reads_on && self.table.contains_key(&op.key) {
            return self.execute(now, op);
        }
        if self.handoff.is_held(slot) || self.handoff.is_claiming(slot) {
            return self.parked.push(op);
        }
        let owner = self.handoff.map().and_then(|map| map.owner(slot)).cloned();
        if let Some(origin) = op.origin.clone() {
            let op = Op { origin: None, ..op };
            return self.reach(now, &origin, Message::Moved { op, hint: owner });
        }
        match hint.filter(|hint| self.links.contains(hint)).or(owner) {
            Some(to) if self.reaches(now, &to) => self.reach(now, &to, Message::Run(op)),
            _ => self.parked.push(op),
        }
    }

    fn execute(&mut self, now: u64, op: Op) {
        let value = match op.verb {
            Verb::Get => return self.read(now, op),
            Verb::Put | Verb::PutBrief(_) => Some(op.id),
            Verb::Delete => None,
        };
        let ends_us = match op.verb {
            Verb::PutBrief(time) => now + time,
            Verb::Get | Verb::Put | Verb::Delete => NEVER_US,
        };
        let wall = wall_ms(now, self.skew_ms) << 16;
        self.clock = if self.has(Bug::StampsByWallClock) { wall } else { wall.max(self.clock + 1) };
        let record = Record { version: self.clock, value, ends_us };
        self.table.insert(op.key, record);
        if self.has(Bug::ForgetsDeletes) && value.is_none() {
            self.table.remove(&op.key);
        }
        self.answer(now, op, Some(record));
    }

    fn read(&mut self, now: u64, op: Op) {
        let record = self.table.get(&op.key).copied();
        let sources: Vec<NodeId> =
            self.handoff.sources(slot_of(op.key)).into_iter().cloned().collect();
        let is_sure =
            !self.handoff.doubtful().contains(slot_of(op.key)) || self.has(Bug::TrustsLeftOvers);
        if sources.is_empty() || is_sure && record.is_some() || self.has(Bug::AsksNoSource) {
            return self.answer(now, op, record);
        }
        if !sources.iter().all(|source| self.reaches(now, source)) {
            return self.parked.push(op);
        }
        self.requests += 1;
        for source in &sources {
            self.fetches += 1;
            self.reach(now, source, Message::Fetch { request: self.requests, key: op.key });
        }
        let closed = self.closed[op.key];
        let read =
            Read { op, closed, waiting: sources.into_iter().collect(), until_us: now + 300_000 };
        self.reads.insert(self.requests, read);
    }

    fn fetched(&mut self, now: u64, from: &NodeId, request: u64, record: Option<Record>) {
        let Some(read) = self.reads.get_mut(&request) else { return };
        let key = read.op.key;
        let is_last = read.waiting.remove(from) && read.waiting.is_empty();
        let is_closed = read.closed != self.closed[key];
        if let Some(record) = record
            && !is_closed
        {
            self.merge(key, record);
            // It would be asked again for what is overwritten here, once the new value has ended.
            self.reach(now, from, Message::Took { key, version: record.version });
        }
        if is_last && let Some(Read { op, .. }) = self.reads.remove(&request) {
            match is_closed {
                true => self.run(now, op, None),
                false => self.answer(now, op, self.table.get(&key).copied()),
            }
        }
    }

    fn took(&mut self, key: usize, version: u64) {
        let is_it = self.table.get(&key).is_some_and(|known| known.version == version);
        if is_it && !self.handoff.is_held(slot_of(key)) {
            self.table.remove(&key);
        }
    }

    fn answer(&mut self, now: u64, op: Op, record: Option<Record>) {
        let seen = |record: Record| Record { value: record.value_at(now), ..record };
        let record = record.map(seen);
        match op.origin.clone() {
            Some(origin) => self.reach(now, &origin, Message::Ran { op, record }),
            None => self.effects.push(Effect::Done { op, record }),
        }
    }

    fn merge(&mut self, key: usize, record: Record) {
        self.clock = self.clock.max(record.version);
        let known = self.table.get(&key).map_or(0, |known| known.version);
        if known < record.version || self.has(Bug::MergesOlder) {
            self.table.insert(key, record);
        }
    }

    fn pushed(&mut self, now: u64, from: &NodeId, entries: Vec<Pushed>) {
        let mut taken = Vec::new();
        for pushed in entries {
            if self.handoff.is_held(slot_of(pushed.key)) || self.has(Bug::TakesForOthers) {
                if !self.has(Bug::AcknowledgesUntaken) {
                    self.merge(pushed.key, pushed.record);
                }
                taken.push(pushed);
            }
        }
        self.reach(now, from, Message::Pushed(taken));
    }

    /// Forgets what was taken of what was sent. A slot that was opened again since may have got it back,
    /// and whoever sent it back was told that it is here.
    fn forget_taken(&mut self, now: u64) {
        // As late as on a node that is busy.
        if now < self.forgot_us + FORGETS_EVERY_US {
            return;
        }
        self.forgot_us = now;
        for Pushed { key, record, closed } in std::mem::take(&mut self.taken) {
            let is_newer_kept = !self.has(Bug::ForgetsNewer);
            let is_it = |known: &Record| known.version == record.version || !is_newer_kept;
            let was_open = closed != self.closed[key];
            let is_free = !was_open && !self.handoff.is_held(slot_of(key));
            if self.table.get(&key).is_some_and(is_it) && (is_free || !is_newer_kept) {
                self.table.remove(&key);
            }
        }
    }

    /// One half of a pass over the table: pushes what another owns, and clears what is not found.
    fn sweep(&mut self, now: u64, maps: &mut Maps) {
        let (pass, keys) = match self.pass.take() {
            None => {
                self.is_found = [false; KEYS];
                (self.handoff.begin_pass(), 0..KEYS / 2)
            }
            Some(pass) => (pass, KEYS / 2..KEYS),
        };
        let is_over = keys.end == KEYS;
        self.forget_taken(now);
        let mut pushes: BTreeMap<NodeId, Vec<Pushed>> = BTreeMap::new();
        for key in keys.filter(|key| pass.contains(slot_of(*key))) {
            let Some(record) = self.table.get(&key) else { continue };
            self.is_found[key] = true;
            let owner = self.handoff.map().and_then(|map| map.owner(slot_of(key)));
            if let Some(owner) = owner.filter(|owner| **owner != self.id) {
                let pushed = Pushed { key, record: *record, closed: self.closed[key] };
                pushes.entry(owner.clone()).or_default().push(pushed);
            }
        }
        for (to, entries) in pushes {
            if self.has(Bug::ForgetsUnacknowledged) {
                entries.iter().for_each(|pushed| _ = self.table.remove(&pushed.key));
            }
            if self.reaches(now, &to) {
                self.reach(now, &to, Message::Push(entries));
            }
        }
        if !is_over {
            self.pass = Some(pass);
            return;
        }
        let mut cleared = pass;
        let is_kept = |key: &usize| self.is_found[*key] && !self.has(Bug::ClearsTooMuch);
        for key in (0..KEYS).filter(is_kept) {
            cleared.remove(slot_of(key));
        }
        self.handoff(now, HandoffEvent::ResidueCleared(cleared), maps);
    }
}

fn wall_ms(now_us: u64, skew_ms: i64) -> u64 {
    (1_700_000_000_000 + now_us / 1_000).saturating_add_signed(skew_ms)
}
