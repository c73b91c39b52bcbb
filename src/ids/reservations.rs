//! The machine that decides which ids this run may give.
//!
//! There are two regions, and all ids of both are below 2^53, so that a number of JSON holds them.
//!
//! **The low region** begins at 1. Every node knows a *ceiling*, below which all ids may have been
//! given. To reserve the ids from its ceiling on, a node raises its own and asks every other that may
//! be alive. Who is asked says yes only if its own ceiling is not higher than where the range begins,
//! and raises it to the end of the range; and it says who else has to be asked as far as it knows. If
//! all of those say yes, nobody but this run has the range: of two nodes that want overlapping ranges
//! each asks the other, or both ask a third, and that says yes to one of them at most.
//!
//! For that to hold everybody must have to ask everybody, also whoever came last. So a node is not
//! *informed* before all who may be alive have answered it once, one informed node among them: by then
//! all of them know it and name it to others, and it knows every range that was reserved without it.
//! Ranges that only nodes that are not informed agreed upon do not count. The first node of a cluster
//! is informed by itself, once it is sure that nobody is where it looks for others.
//!
//! **The far region** begins at [`IDS_FAR`], and each run has places of its own in it, by its boot id,
//! which is random. Ids from there need nobody's answer. They are given only while those who may be
//! alive do not answer as a whole, as one of them may be on the other side of a split.
//!
//! What is left of its ranges when a run ends is never given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cell::{IdRange, Need};
use super::electors::Electors;
use crate::limits::{
    IDS_ANSWER_TIMEOUT, IDS_FAR, IDS_FAR_STRIPE, IDS_GIVE_WAY, IDS_PATIENCE, IDS_PAUSE,
    IDS_RESERVED, MEMBERS_MAX,
};
use crate::member::{NodeId, View};

/// What one run knows of the ids of its cluster.
#[derive(Debug)]
pub struct Reservations {
    me: NodeId,
    /// Ids of the low region below it may have been given.
    ceiling: u64,
    is_informed: bool,
    electors: Electors,
    round: Option<Round>,
    /// Rounds that were begun, ever.
    rounds: u64,
    /// Rounds in a row that met another node's.
    refusals: u32,
    /// When the next round may begin.
    next: Duration,
    /// Since when no range of the low region is to be had.
    blocked: Option<Duration>,
    /// Ids of the far region that were reserved.
    far: u64,
    actions: Vec<IdAction>,
}

/// What happens to it.
#[derive(Clone, Debug)]
pub enum IdEvent<'a> {
    /// Time has passed, or ids were taken.
    Tick {
        /// How soon a range is needed.
        need: Need,
        /// Whether this node has begun a cluster, and nobody that it has not met can be at any of the
        /// places where it looks for others.
        is_first: bool,
    },
    /// The members are others, or stand differently.
    View(&'a View),
    /// A node said that it goes.
    Left(&'a NodeId),
    /// Nobody listens at an address, so that the system refused the dial.
    DialRefused(&'a str),
    /// A node answered what was asked in a round.
    Answered {
        /// Who answered.
        from: NodeId,
        /// The number of the round.
        round: u64,
        /// What it said.
        answer: Answer,
    },
    /// A node cannot be asked, or did not answer.
    Unanswered {
        /// Who was asked.
        from: NodeId,
        /// The number of the round.
        round: u64,
    },
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdAction {
    /// Give from this range: it is nobody else's.
    Add(IdRange),
    /// Ask a node, and bring back [`IdEvent::Answered`] or [`IdEvent::Unanswered`].
    Ask {
        /// Whom.
        to: NodeId,
        /// The number of the round.
        round: u64,
        /// What.
        ask: Ask,
    },
}

/// The question whether a range is free. One that is empty only asks what there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The range.
    pub range: IdRange,
    /// A fingerprint of those who have to be asked as far as the sender knows.
    pub electors: u64,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the range was free and is the sender's now, as far as this node goes.
    pub is_granted: bool,
    /// Whether this node knows of every range that was reserved.
    pub is_informed: bool,
    /// Its ceiling.
    pub ceiling: u64,
    /// Who has to be asked as far as it knows; nobody if that is whom the sender knows, too.
    pub electors: Vec<NodeId>,
}

/// An attempt to reserve a range, or to find out what there is to know.
#[derive(Debug)]
struct Round {
    number: u64,
    began: Duration,
    range: IdRange,
    /// A fingerprint of those who were asked first.
    electors: u64,
    /// Whom it was asked, and whether they have answered.
    asked: BTreeMap<NodeId, bool>,
    is_refused: bool,
    is_informed: bool,
}

impl Reservations {
    /// What a run knows that knows nobody else.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            ceiling: 1,
            is_informed: false,
            electors: Electors::default(),
            round: None,
            rounds: 0,
            refusals: 0,
            next: Duration::ZERO,
            blocked: None,
            far: 0,
            actions: vec![],
        }
    }

    /// The least id of the low region that was never given, as far as this node knows.
    #[must_use]
    pub fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Whether it knows every range that was reserved.
    #[cfg(test)]
    pub(super) fn is_informed(&self) -> bool {
        self.is_informed
    }

    /// Where those listen of whom nothing is heard, and who may live: whoever is refused there knows
    /// more.
    pub fn silent(&self) -> impl Iterator<Item = &str> {
        self.electors.silent()
    }

    /// Takes in what happened at `now`, as [`Roster::step`](crate::member::Roster::step).
    pub fn step(&mut self, now: Duration, event: IdEvent<'_>) -> Vec<IdAction> {
        match event {
            IdEvent::Tick { need, is_first } => self.tick(now, need, is_first),
            IdEvent::View(view) => self.electors.see(&self.me, view),
            IdEvent::Left(id) => self.electors.left(id),
            IdEvent::DialRefused(addr) => self.electors.refused(addr),
            IdEvent::Answered { from, round, answer } => self.answered(now, &from, round, answer),
            IdEvent::Unanswered { from, round } => self.unanswered(now, &from, round),
        }
        // Whoever is known to be dead by now need not answer.
        self.conclude(now);
        std::mem::take(&mut self.actions)
    }

    /// A node was heard, and says what its ceiling is.
    pub fn heard(&mut self, from: &NodeId, ceiling: u64) {
        self.electors.heard(from);
        self.raise(ceiling);
    }

    /// Answers a node that wants a range; `None` if too much was forgotten for that.
    pub fn asked(&mut self, from: &NodeId, ask: Ask) -> Option<Answer> {
        // Before anything is said: whoever asks this node next hears of it.
        self.electors.meet(from);
        if self.electors.is_overfull() {
            return None;
        }
        let IdRange { next, end } = ask.range;
        let is_granted = self.ceiling <= next && next < end && end <= IDS_FAR;
        if is_granted {
            self.ceiling = end;
        }
        let mut electors = vec![];
        if ask.electors != self.electors.digest(&self.me) {
            electors = self.electors.living().cloned().collect();
            electors.push(self.me.clone());
        }
        let (is_informed, ceiling) = (self.is_informed, self.ceiling);
        Some(Answer { is_granted, is_informed, ceiling, electors })
    }

    fn tick(&mut self, now: Duration, need: Need, is_first: bool) {
        if self.round.as_ref().is_some_and(|round| round.began + IDS_ANSWER_TIMEOUT <= now) {
            self.fail(now);
        }
        if need == Need::None && self.is_informed {
            return;
        }
        if self.round.is_none() && self.next <= now {
            self.begin(now, need, is_first);
            self.conclude(now);
        }
        if need != Need::None && self.is_blocked(now) {
            self.reserve_far();
        }
    }

    /// Begins a round. Where it is clear that not all will answer, there is none.
    fn begin(&mut self, now: Duration, need: Need, is_first: bool) {
        let next = self.ceiling;
        let end = if need == Need::None { next } else { next + IDS_RESERVED };
        if IDS_FAR < end || self.electors.has_silent() || self.electors.is_overfull() {
            return self.fail(now);
        }
        self.ceiling = end;
        self.rounds += 1;
        let asked: Vec<_> = self.electors.living().cloned().collect();
        self.round = Some(Round {
            number: self.rounds,
            began: now,
            range: IdRange { next, end },
            electors: self.electors.digest(&self.me),
            asked: BTreeMap::new(),
            is_refused: false,
            is_informed: self.is_informed || is_first,
        });
        asked.into_iter().for_each(|id| self.ask(id));
    }

    /// Asks a node in the round under way, once.
    fn ask(&mut self, to: NodeId) {
        let Some(round) = &mut self.round else { return };
        if to == self.me || self.electors.is_dead(&to) || round.asked.contains_key(&to) {
            return;
        }
        round.asked.insert(to.clone(), false);
        let ask = Ask { range: round.range, electors: round.electors };
        self.actions.push(IdAction::Ask { to, round: round.number, ask });
    }

    fn answered(&mut self, now: Duration, from: &NodeId, number: u64, answer: Answer) {
        self.electors.meet(from);
        self.raise(answer.ceiling);
        let Some(round) = self.round.as_mut().filter(|round| round.number == number) else {
            return;
        };
        round.asked.insert(from.clone(), true);
        round.is_refused |= !answer.is_granted;
        round.is_informed |= answer.is_informed;
        answer.electors.into_iter().for_each(|id| self.ask(id));
        if self.round.as_ref().is_some_and(|round| MEMBERS_MAX < round.asked.len()) {
            self.fail(now);
        }
    }

    fn unanswered(&mut self, now: Duration, from: &NodeId, number: u64) {
        let is_current = self.round.as_ref().is_some_and(|round| round.number == number);
        if is_current && !self.electors.is_dead(from) {
            self.fail(now);
        }
    }

    /// Ends the round under way if all have answered who may be alive.
    fn conclude(&mut self, now: Duration) {
        let Some(round) = &self.round else { return };
        let is_over =
            |(id, has_answered): (&NodeId, &bool)| *has_answered || self.electors.is_dead(id);
        if !round.asked.iter().all(is_over) {
            return;
        }
        if !round.is_informed {
            return self.fail(now);
        }
        self.is_informed = true;
        let (range, is_refused, began) = (round.range, round.is_refused, round.began);
        self.round = None;
        match is_refused && !range.is_empty() {
            true => {
                self.blocked.get_or_insert(began);
                self.next = now + self.give_way();
                self.refusals += 1;
            }
            false => {
                (self.blocked, self.refusals) = (None, 0);
                if !range.is_empty() {
                    self.actions.push(IdAction::Add(range));
                }
            }
        }
    }

    /// How long to give way to whoever else wants a range: not at all at first, as mostly a ceiling
    /// was only not known here.
    fn give_way(&self) -> Duration {
        let mixed = (self.me.boot.0 ^ self.rounds).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let jitter = 1 + u32::try_from(mixed >> 61).unwrap_or_default();
        IDS_GIVE_WAY * jitter * self.refusals.min(4)
    }

    /// Ends the round under way, as not all will answer, and waits before the next.
    fn fail(&mut self, now: Duration) {
        let began = self.round.take().map_or(now, |round| round.began);
        self.blocked.get_or_insert(began);
        self.next = now + IDS_PAUSE;
    }

    /// Whether it is time to give ids that need nobody's answer.
    fn is_blocked(&self, now: Duration) -> bool {
        let is_hopeless = self.electors.has_silent();
        self.blocked.is_some_and(|since| is_hopeless || since + IDS_PATIENCE <= now)
    }

    /// Ranges begin at multiples of their length, so that none goes over the end of the region.
    fn reserve_far(&mut self) {
        let first = self.me.boot.0.wrapping_mul(IDS_FAR_STRIPE);
        let next = IDS_FAR + first.wrapping_add(self.far) % IDS_FAR;
        self.far += IDS_RESERVED;
        self.actions.push(IdAction::Add(IdRange { next, end: next + IDS_RESERVED }));
    }

    fn raise(&mut self, ceiling: u64) {
        self.ceiling = self.ceiling.max(ceiling.min(IDS_FAR));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Boot, NodeName};

    const LATER: Duration = IDS_PATIENCE.saturating_mul(2);

    fn id(boot: u64) -> NodeId {
        NodeId { name: NodeName::new(&format!("n{boot}")).unwrap(), boot: Boot(boot) }
    }

    fn tick(machine: &mut Reservations, now: Duration, is_first: bool) -> Vec<IdAction> {
        machine.step(now, IdEvent::Tick { need: Need::Now, is_first })
    }

    #[test]
    fn the_first_node_begins_at_1_and_goes_on_without_a_gap() {
        let mut machine = Reservations::new(id(1));
        for next in (0..5).map(|n| 1 + n * IDS_RESERVED) {
            let range = IdRange { next, end: next + IDS_RESERVED };
            assert_eq!(tick(&mut machine, LATER, true), [IdAction::Add(range)]);
        }
    }

    #[test]
    fn who_may_not_be_the_first_gives_ids_of_the_far_region_after_a_while() {
        let mut machine = Reservations::new(id(u64::MAX));
        assert_eq!(tick(&mut machine, Duration::ZERO, false), []);
        let mut next = IDS_FAR + (IDS_FAR - IDS_FAR_STRIPE);
        for _ in 0..IDS_FAR_STRIPE / IDS_RESERVED {
            let range = IdRange { next, end: next + IDS_RESERVED };
            assert!(range.end <= 1 << 53);
            assert_eq!(tick(&mut machine, LATER, false), [IdAction::Add(range)]);
            next = range.end;
        }
        // The place of another run, of which there are many: it goes on there.
        let range = IdRange { next: IDS_FAR, end: IDS_FAR + IDS_RESERVED };
        assert_eq!(tick(&mut machine, LATER, false), [IdAction::Add(range)]);
    }

    #[test]
    fn a_range_that_overlaps_another_is_refused_and_who_asks_has_to_be_asked() {
        let mut machine = Reservations::new(id(1));
        let ask = |next, end| Ask { range: IdRange { next, end }, electors: 0 };
        let granted = machine.asked(&id(2), ask(1, 10)).unwrap();
        assert!(granted.is_granted && !granted.is_informed && granted.ceiling == 10);
        assert_eq!(granted.electors, [id(2), id(1)]);
        for (next, end) in [(1, 10), (9, 20), (5, 5), (10, 10), (10, IDS_FAR + 1)] {
            assert!(!machine.asked(&id(3), ask(next, end)).unwrap().is_granted);
        }
        let known = Ask { electors: 1 + 2 + 3, ..ask(20, 30) };
        let granted = machine.asked(&id(3), known).unwrap();
        assert!(granted.is_granted && granted.electors.is_empty());
    }
}
