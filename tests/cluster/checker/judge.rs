//! What the history of a key promises, and where it was not kept.
//!
//! Each key is written by one client at a time, so that its writes have an order. A write whose
//! outcome nobody told may be done at any moment until some time after it was given up, or never. All
//! that is judged here are operations and what was truly done to the nodes; nothing is asked of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ground::Ground;
use super::history::{MILLI, Op, Outcome, SECOND, Time, What};

/// How far an entry may end from its time.
const END_TOLERANCE: Time = 100 * MILLI;
/// How long after it was given up a write may still be done: what waits in the socket of a node that
/// is stopped for up to 6 s, and then for a slot.
const LATE: Time = 10 * SECOND;
/// A process that is told to stand still may do something yet, on a machine that is busy.
const STANDS_WITHIN: Time = 200 * MILLI;
/// The pause between two looks for calm is shorter: if the last calm is older, something moves.
const CALM_AGE: Time = 500 * MILLI;
/// Within this time after a node came up it may take a slot over before an answer names it.
const COMES_WITHIN: Time = 2_000 * MILLI;
/// Within this time a read tells who has a key that may be moving.
const SIGHT_AGE: Time = 500 * MILLI;

/// A promise that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Something acknowledged is gone.
    Lost,
    /// Something was said to be absent, and found again later.
    Missed,
    /// Something that was to end was gone before.
    Early,
    /// Something is found after its end.
    Late,
    /// Something is found that was replaced before.
    Stale,
    /// Something is found that was deleted before.
    Resurrected,
    /// Something is found that was refused for certain.
    Denied,
    /// Something is found that nobody has written by then.
    Unwritten,
    /// An answer that no request gets.
    Strange,
    /// At the end, when all was healed, a node did not say what is under a key.
    Unreadable,
    /// An id was given twice.
    IdTwice,
}

/// Why something that is gone may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// The node that had it was killed.
    Crashed(usize),
    /// A node was killed that may have had it: slots moved, and no read told just before whose it was.
    Unclear(usize),
    /// The node that had it stood still, and is not back in the cluster yet.
    Away(usize),
    /// Nodes could not hear each other, and are not one cluster again yet.
    Split,
}

/// A broken promise: the operation that shows it, and the write it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub broken: Broken,
    pub op: Op,
    pub about: Option<Op>,
    /// How many operations show the same.
    pub times: usize,
}

#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// For each excuse how many writes it excuses.
    pub excused: BTreeMap<Excuse, usize>,
}

/// A key's operations, and what follows from them at once.
struct Key<'a> {
    ops: &'a [Op],
    ground: &'a Ground,
    /// Writes in their order.
    writes: Vec<Write<'a>>,
    by_number: HashMap<u64, usize>,
}

struct Write<'a> {
    op: &'a Op,
    /// When it was certainly done: it was acknowledged, or read.
    done: Option<Time>,
    /// When it was done if ever.
    last: Time,
}

/// Judges one key. Its operations are in the order they began.
pub fn judge_key(ops: &[Op], ground: &Ground) -> Verdict {
    let key = Key::new(ops, ground);
    let mut violations = BTreeMap::<_, Violation>::new();
    let mut excused = BTreeSet::new();
    for op in ops {
        let Some((finding, about)) = key.judge(op) else { continue };
        let about_at = about.map_or(0, |about| about.begin);
        match finding {
            Ok(excuse) => drop(excused.insert((excuse, about_at))),
            Err(broken) => {
                let violation =
                    || Violation { broken, op: op.clone(), about: about.cloned(), times: 0 };
                violations.entry((broken, about_at)).or_insert_with(violation).times += 1;
            }
        }
    }
    let mut verdict =
        Verdict { violations: violations.into_values().collect(), ..Verdict::default() };
    for (excuse, _) in excused {
        *verdict.excused.entry(excuse).or_default() += 1;
    }
    verdict
}

/// Judges ids: one of all rounds is given once. `given` has those of the rounds before.
pub fn judge_ids(ops: &[Op], given: &mut HashMap<u64, Op>) -> Vec<Violation> {
    let mut violations = vec![];
    for op in ops {
        let violation = |broken, about| Violation { broken, op: op.clone(), about, times: 1 };
        match op.outcome {
            Outcome::Id(id) => {
                let before = given.insert(id, op.clone());
                violations.extend(before.map(|before| violation(Broken::IdTwice, Some(before))));
            }
            Outcome::Strange => violations.push(violation(Broken::Strange, None)),
            _ => {}
        }
    }
    violations
}

/// Judges what was read at the end through every node: each has to answer.
pub fn judge_last(last: &[Op]) -> Vec<Violation> {
    let is_silent = |op: &&Op| matches!(op.outcome, Outcome::Unknown | Outcome::Refused);
    let unreadable =
        |op: &Op| Violation { broken: Broken::Unreadable, op: op.clone(), about: None, times: 1 };
    last.iter().filter(is_silent).map(unreadable).collect()
}

/// What an operation comes to, if it is not as it should be, and the write that is about.
type Finding<'a> = Option<(Result<Excuse, Broken>, Option<&'a Op>)>;

impl<'a> Key<'a> {
    fn new(ops: &'a [Op], ground: &'a Ground) -> Self {
        let mut seen = HashMap::<u64, Time>::new();
        for op in ops {
            if let Outcome::Found(n) = op.outcome {
                let first = seen.entry(n).or_insert(op.end);
                *first = op.end.min(*first);
            }
        }
        let writes: Vec<_> =
            ops.iter().filter(|op| op.is_write()).map(|op| Write::new(op, &seen)).collect();
        let by_number = writes.iter().enumerate().filter_map(|(at, write)| match write.op.what {
            What::Put { n, .. } => Some((n, at)),
            _ => None,
        });
        Self { ops, ground, by_number: by_number.collect(), writes }
    }

    fn judge(&self, op: &'a Op) -> Finding<'a> {
        match op.outcome {
            Outcome::Found(n) => self.judge_found(op, n),
            Outcome::Strange => Some((Err(Broken::Strange), None)),
            _ if op.says_absent() => self.judge_absent(op),
            _ => None,
        }
    }

    fn judge_found(&self, read: &Op, n: u64) -> Finding<'a> {
        let Some(found) = self.by_number.get(&n).map(|at| &self.writes[*at]) else {
            return Some((Err(Broken::Unwritten), None));
        };
        let about = Some(found.op);
        if read.end < found.op.begin {
            return Some((Err(Broken::Unwritten), about));
        }
        if found.op.outcome == Outcome::Refused {
            return Some((Err(Broken::Denied), about));
        }
        let ends = found.op.ttl().map(|ttl| found.last + ttl + END_TOLERANCE);
        if ends.is_some_and(|ends| ends < read.begin) {
            return Some((Err(Broken::Late), about));
        }
        let newer = self.newest_done(read)?;
        if newer.op.begin <= found.last {
            return None;
        }
        // Of two faults the one took the newer write along, and the other kept the older one apart.
        let was_apart = self
            .ground
            .aways
            .iter()
            .any(|away| self.had(away.node, found, away.from + STANDS_WITHIN) == Some(true));
        let crashed = || match self.excuse(newer, read, self.is_found_again(newer, read)) {
            Some(excuse @ Excuse::Crashed(_)) if was_apart => Some(excuse),
            _ => None,
        };
        let finding = match (self.ground.is_split(read.begin, read.end), crashed()) {
            (true, _) => Ok(Excuse::Split),
            (false, Some(excuse)) => Ok(excuse),
            (false, None) if newer.op.what == What::Delete => Err(Broken::Resurrected),
            (false, None) => Err(Broken::Stale),
        };
        Some((finding, Some(newer.op)))
    }

    /// The newest write that was certainly done before an operation began.
    fn newest_done(&self, op: &Op) -> Option<&Write<'a>> {
        let is_done = |write: &&Write<'_>| write.done.is_some_and(|done| done < op.begin);
        self.writes.iter().rev().find(is_done)
    }

    fn judge_absent(&self, op: &Op) -> Finding<'a> {
        let due = self.newest_done(op)?;
        if due.may_leave_nothing(op.end) {
            return None;
        }
        let others = self.writes.iter().filter(|write| {
            let is_other = !std::ptr::eq(write.op, op) && !std::ptr::eq(write.op, due.op);
            is_other && write.op.begin < op.end && due.op.begin <= write.last
        });
        if others.into_iter().any(|write| write.may_leave_nothing(op.end)) {
            return None;
        }
        let is_found_again = self.is_found_again(due, op);
        let finding = match self.excuse(due, op, is_found_again) {
            Some(excuse) => Ok(excuse),
            None if is_found_again => Err(Broken::Missed),
            None if due.op.ttl().is_some() => Err(Broken::Early),
            None => Err(Broken::Lost),
        };
        Some((finding, Some(due.op)))
    }

    fn is_found_again(&self, write: &Write<'_>, after: &Op) -> bool {
        let number = self.number(write);
        self.ops.iter().any(|later| after.end < later.begin && number == Some(later.outcome))
    }

    /// What a read that finds this write says.
    fn number(&self, write: &Write<'_>) -> Option<Outcome> {
        match write.op.what {
            What::Put { n, .. } => Some(Outcome::Found(n)),
            _ => None,
        }
    }

    /// Why what `due` wrote may be absent for `op`. What is found again was not lost with a process.
    fn excuse(&self, due: &Write<'_>, op: &Op, is_found_again: bool) -> Option<Excuse> {
        if self.ground.is_split(op.begin, op.end) {
            return Some(Excuse::Split);
        }
        let mut aways = self.ground.aways.iter();
        let away = aways.find(|away| {
            let is_then = away.from <= op.end && op.begin <= away.until;
            is_then && self.had(away.node, due, away.from + STANDS_WITHIN) == Some(true)
        });
        if let Some(away) = away {
            return Some(Excuse::Away(away.node));
        }
        if is_found_again {
            return None;
        }
        let crashes =
            self.ground.crashes.iter().filter(|(at, _)| due.op.begin < *at && *at < op.end);
        let excuses = crashes.filter_map(|(at, node)| match self.had(*node, due, *at) {
            Some(true) => Some(Excuse::Crashed(*node)),
            Some(false) => None,
            None => Some(Excuse::Unclear(*node)),
        });
        excuses.min()
    }

    /// Whether `node` had what `due` wrote at a moment, as far as answers tell; `None` if they do not.
    ///
    /// Who had the key counts from the last calm on, as until then entries were where their slots
    /// are. While something moves the slot may have gone to another node that no answer named yet.
    fn had(&self, node: usize, due: &Write<'_>, at: Time) -> Option<bool> {
        if at < due.op.begin {
            return Some(false);
        }
        let calm = self.ground.calm_before(at);
        let since = calm.max(due.op.begin);
        let told = || self.ops.iter().filter(|op| op.begin <= at && op.holder.is_some());
        let is_its = |op: &Op| op.holder == Some(node);
        if told().filter(|op| since <= op.end).any(is_its) {
            return Some(true);
        }
        let before = told().filter(|op| due.op.begin <= op.end && op.end < since);
        let last = before.max_by_key(|op| op.end);
        if last.is_some_and(is_its) {
            return Some(true);
        }
        if at - calm < CALM_AGE && told().any(|op| due.op.begin <= op.end) {
            return Some(false);
        }
        if self.ground.came_up(node, at.saturating_sub(COMES_WITHIN), at) {
            return None;
        }
        let is_sight = |op: &Op| matches!(op.outcome, Outcome::Found(_)) && at < op.end + SIGHT_AGE;
        told().any(is_sight).then_some(false)
    }
}

impl<'a> Write<'a> {
    fn new(op: &'a Op, seen: &HashMap<u64, Time>) -> Self {
        let seen = match op.what {
            What::Put { n, .. } => seen.get(&n).copied(),
            _ => None,
        };
        let (done, last) = match op.outcome {
            Outcome::Refused => (None, 0),
            Outcome::Stored { .. } | Outcome::Deleted { .. } => (Some(op.end), op.end),
            _ => (None, op.end + LATE),
        };
        match seen {
            Some(seen) if op.outcome != Outcome::Refused => {
                Self { op, done: Some(done.unwrap_or(seen).min(seen)), last: last.min(seen) }
            }
            _ => Self { op, done, last },
        }
    }

    /// Whether nothing is under the key by `at` if this was the last write that was done.
    fn may_leave_nothing(&self, at: Time) -> bool {
        let is_done = self.op.outcome != Outcome::Refused;
        let is_over = |ttl: Time| self.op.begin + ttl <= at + END_TOLERANCE;
        is_done && (self.op.what == What::Delete || self.op.ttl().is_some_and(is_over))
    }
}
