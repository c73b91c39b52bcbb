//! What goes wrong in a round: two faults, chosen from the seed before it begins.
//!
//! The second begins before the first is over. The same seed gives the same plan; when exactly a
//! process does what is asked of it cannot be repeated.

use std::fmt;

use crate::random::Random;

/// A kind of fault. How it ends is part of it: what was ended is started again, what was cut healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A further node comes and is drained later.
    Join,
    /// A node is drained, and started again later.
    Drain,
    /// All nodes are drained and started again in turn.
    Rolling,
    /// A node is killed, and started again later.
    Crash,
    /// A node is killed and started again at once.
    Restart,
    /// A node stands still for less than a lease.
    Pause,
    /// A node stands still for up to 6 s.
    Stop,
    /// All nodes stand still for up to 6 s.
    StopAll,
    /// A link is cut for less than it takes to notice.
    Gap,
    /// A link is cut.
    Cut,
    /// A link is cut in one direction.
    CutOneWay,
    /// What comes over a link comes late.
    Slow,
    /// A link is cut and healed again and again.
    Flap,
    /// A further node comes and cannot reach one of the others from its first moment on.
    CutJoin,
    /// Actors of a node are crashed.
    Panics,
    /// A node can open no files and connections.
    Descriptors,
}

/// All kinds there are.
pub const ALL: &[Kind] = &[
    Kind::Join,
    Kind::Drain,
    Kind::Rolling,
    Kind::Crash,
    Kind::Restart,
    Kind::Pause,
    Kind::Stop,
    Kind::StopAll,
    Kind::Gap,
    Kind::Cut,
    Kind::CutOneWay,
    Kind::Slow,
    Kind::Flap,
    Kind::CutJoin,
    Kind::Panics,
    Kind::Descriptors,
];

/// One thing done to a node, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Starts it, as soon as its former process has ended.
    Start(usize),
    /// Tells it to end, as soon as another node is in the cluster to which it can hand over.
    Drain(usize),
    Kill(usize),
    Stop(usize),
    Resume(usize),
    /// Has the first node disturb its connections to the second.
    Disturb(usize, usize, String),
    Panic(usize, String),
    /// Lets it open no more than it has open.
    Starve(usize),
    Feed(usize),
}

/// One fault, with its actions and when each is due, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub begin: u64,
    pub end: u64,
    pub actions: Vec<(u64, Action)>,
}

/// When the first fault of a round begins.
const BEGIN: u64 = 700;
const ROLLING_PAUSE: u64 = 1_500;
const CHILDREN: [&str; 9] = [
    "shard-0",
    "shard-1",
    "shard-2",
    "shard-3",
    "keeper",
    "mover",
    "discovery",
    "door-http",
    "door-peer",
];

impl Kind {
    /// The kind of that name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name))
    }

    /// How long it lasts, at least and at most, in milliseconds.
    fn lasts(self, nodes: usize) -> (u64, u64) {
        match self {
            Self::Pause => (100, 600),
            Self::Gap => (200, 700),
            Self::Restart => (500, 500),
            Self::Crash => (500, 4_000),
            Self::Stop | Self::StopAll => (1_000, 6_000),
            Self::Cut | Self::CutOneWay => (1_500, 6_000),
            // A claim waits for 4 s for who cannot be reached.
            Self::CutJoin => (1_500, 7_000),
            Self::Rolling => (nodes as u64 * ROLLING_PAUSE, nodes as u64 * ROLLING_PAUSE),
            _ => (1_500, 4_000),
        }
    }
}

/// The faults of a round among `nodes` nodes; two more, in the places behind them, may come.
pub fn plan(seed: u64, round: u64, kinds: &[Kind], nodes: usize) -> [Fault; 2] {
    let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(round));
    let mut kind = || kinds[random.below(kinds.len())];
    let (first, second) = (kind(), kind());
    let first = fault(first, BEGIN, nodes, nodes, &mut random);
    let begin = random.between(first.begin + 50, first.end - 20);
    let second = fault(second, begin, nodes, nodes + 1, &mut random);
    [first, second]
}

/// A fault of a kind; `guest` is the place of the further node that it may bring.
fn fault(kind: Kind, begin: u64, nodes: usize, guest: usize, random: &mut Random) -> Fault {
    let (least, most) = kind.lasts(nodes);
    let end = begin + random.between(least, most);
    let one = random.below(nodes);
    let other = (one + 1 + random.below(nodes - 1)) % nodes;
    let both = |at: u64, how: &str| {
        let disturb = |one, other| (at, Action::Disturb(one, other, how.to_owned()));
        [disturb(one, other), disturb(other, one)]
    };
    let everyone = |at: u64, action: fn(usize) -> Action| (0..nodes).map(move |n| (at, action(n)));
    let actions: Vec<(u64, Action)> = match kind {
        Kind::Join => vec![(begin, Action::Start(guest)), (end, Action::Drain(guest))],
        Kind::Drain => vec![(begin, Action::Drain(one)), (end, Action::Start(one))],
        Kind::Rolling => {
            let turn = |n: usize| begin + n as u64 * ROLLING_PAUSE;
            let restart = |n| [(turn(n), Action::Drain(n)), (turn(n) + 10, Action::Start(n))];
            (0..nodes).flat_map(restart).collect()
        }
        Kind::Crash => vec![(begin, Action::Kill(one)), (end, Action::Start(one))],
        Kind::Restart => vec![(begin, Action::Kill(one)), (begin + 20, Action::Start(one))],
        Kind::Pause | Kind::Stop => vec![(begin, Action::Stop(one)), (end, Action::Resume(one))],
        Kind::StopAll => {
            everyone(begin, Action::Stop).chain(everyone(end, Action::Resume)).collect()
        }
        Kind::Gap | Kind::Cut => [both(begin, "cut"), both(end, "heal")].concat(),
        Kind::CutOneWay => {
            let how = ["cut-send", "cut-receive"][random.below(2)].to_owned();
            vec![
                (begin, Action::Disturb(one, other, how)),
                (end, Action::Disturb(one, other, "heal".to_owned())),
            ]
        }
        Kind::Slow => {
            let delay = format!("{}ms", random.between(5, 120));
            [both(begin, &delay), both(end, "heal")].concat()
        }
        Kind::Flap => {
            flap(begin, end, random).into_iter().flat_map(|(at, how)| both(at, how)).collect()
        }
        Kind::CutJoin => vec![
            (begin, Action::Disturb(one, guest, "cut".to_owned())),
            (begin + 20, Action::Start(guest)),
            (end, Action::Disturb(one, guest, "heal".to_owned())),
            (end + 500, Action::Drain(guest)),
        ],
        Kind::Panics => {
            let child = |random: &mut Random| CHILDREN[random.below(CHILDREN.len())].to_owned();
            let due = (begin..end).step_by(400);
            due.map(|at| (at, Action::Panic(one, child(random)))).collect()
        }
        Kind::Descriptors => vec![(begin, Action::Starve(one)), (end, Action::Feed(one))],
    };
    Fault { kind, begin, end, actions }
}

/// When a link is cut and healed in turn; healed at the end.
fn flap(begin: u64, end: u64, random: &mut Random) -> Vec<(u64, &'static str)> {
    let mut turns = vec![];
    let mut at = begin;
    while at < end {
        turns.push((at, "cut"));
        at += random.between(50, 400);
        turns.push((at.min(end), "heal"));
        at += random.between(50, 400);
    }
    turns
}

/// All actions of these faults in the order they are due.
pub fn actions(faults: &[Fault]) -> Vec<(u64, Action)> {
    let mut all: Vec<_> = faults.iter().flat_map(|fault| fault.actions.clone()).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, begin, end, actions } = self;
        write!(f, "{kind:?} from {begin} to {end} ms:")?;
        let mut shown = actions.iter().take(8);
        shown.try_for_each(|(at, action)| write!(f, " {at} {action}"))?;
        if 8 < actions.len() { write!(f, " …") } else { Ok(()) }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(node) => write!(f, "start n{node},"),
            Self::Drain(node) => write!(f, "drain n{node},"),
            Self::Kill(node) => write!(f, "kill n{node},"),
            Self::Stop(node) => write!(f, "stop n{node},"),
            Self::Resume(node) => write!(f, "resume n{node},"),
            Self::Disturb(at, peer, how) => write!(f, "{how} n{at}>n{peer},"),
            Self::Panic(node, child) => write!(f, "crash {child} of n{node},"),
            Self::Starve(node) => write!(f, "no descriptors for n{node},"),
            Self::Feed(node) => write!(f, "descriptors for n{node},"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_and_every_pair_overlaps() {
        for round in 0..500 {
            let [first, second] = plan(7, round, ALL, 3);
            assert!(first.begin < second.begin && second.begin < first.end);
            assert_eq!(plan(7, round, ALL, 3), [first, second]);
        }
        assert_ne!(plan(7, 0, ALL, 3), plan(8, 0, ALL, 3));
    }

    #[test]
    fn every_kind_comes_up_has_a_name_and_is_over_at_its_end() {
        for kind in ALL {
            assert_eq!(Kind::named(&format!("{kind:?}").to_lowercase()), Some(*kind));
            let met = (0..500).flat_map(|round| plan(7, round, ALL, 3));
            let of_kind: Vec<_> = met.filter(|fault| fault.kind == *kind).collect();
            assert!(!of_kind.is_empty());
            for fault in of_kind {
                let last = fault.actions.iter().map(|(at, _)| *at).max().unwrap();
                assert!(fault.begin <= last && last <= fault.end + 500, "{fault}");
            }
        }
    }
}
