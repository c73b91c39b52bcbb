//! What a round came to, for who has to find out why.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::ground::Ground;
use super::history::{History, Op, Outcome, SECOND, Time, What};
use super::judge::{Broken, Excuse, Violation};
use super::plan::Fault;

/// Operations that are shown of a key, before and after the one that shows the violation.
const BEFORE: usize = 24;
const AFTER: usize = 6;
/// Violations of one kind that are shown of a round.
const SHOWN: usize = 3;

/// Operations by what was asked and what came of it.
#[derive(Default)]
pub struct Tally(BTreeMap<(&'static str, &'static str), u64>);

/// One round: what was done, and what was wrong with it.
pub struct Report {
    pub seed: u64,
    pub round: u64,
    pub faults: [Fault; 2],
    pub effects: Vec<String>,
    pub tally: Tally,
    pub excused: BTreeMap<Excuse, usize>,
    /// What processes or the cluster as a whole did that they should not have.
    pub findings: Vec<String>,
    /// Each with the name of the key and the part of its history that matters.
    pub violations: Vec<(Violation, String)>,
    /// How long after all was healed the nodes agreed, in milliseconds.
    pub agreed_ms: Option<u128>,
}

impl Tally {
    pub fn of(history: &History) -> Self {
        let mut tally = Self::default();
        for op in history.ops() {
            *tally.0.entry((name_of(op.what), result_of(op.outcome))).or_default() += 1;
        }
        tally
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(*what).or_default() += count;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

fn name_of(what: What) -> &'static str {
    match what {
        What::Read => "read",
        What::Put { ttl: None, .. } => "put",
        What::Put { .. } => "put with TTL",
        What::Delete => "delete",
        What::NewId { .. } => "id",
    }
}

fn result_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Found(_) => "found",
        Outcome::Absent => "absent",
        Outcome::Stored { .. } | Outcome::Deleted { .. } | Outcome::Id(_) => "acknowledged",
        Outcome::Refused => "refused",
        Outcome::Unknown => "unknown",
        Outcome::Strange => "strange",
    }
}

/// The part of a key's history that a violation is about.
pub fn excerpt(name: &str, violation: &Violation, ops: &[Op]) -> String {
    let shown_at = ops.partition_point(|op| op.begin < violation.op.begin);
    let from = shown_at.saturating_sub(BEFORE);
    let to = (shown_at + AFTER).min(ops.len());
    let mut text = format!("history of {name}:");
    let about = violation
        .about
        .iter()
        .filter(|about| about.begin < ops[from..to].first().map_or(0, |op| op.begin));
    for op in about.chain(&ops[from..to]) {
        let mark = if *op == violation.op { "!" } else { " " };
        let _ = write!(text, "\n      {mark} {op}");
    }
    text
}

/// What was done to nodes and links, and when all was calm.
pub fn effects_of(ground: &Ground, effects: &[(Time, super::ground::Effect)]) -> Vec<String> {
    let seconds = |time: Time| time as f64 / SECOND as f64;
    let mut lines: Vec<(Time, String)> = effects
        .iter()
        .filter(|(at, _)| 0 < *at)
        .map(|(at, effect)| (*at, format!("{:9.4} s  {effect:?}", seconds(*at))))
        .collect();
    // The first calm after something was done.
    for (at, _) in effects {
        if let Some(calm) = ground.calm.iter().find(|calm| *at < **calm) {
            lines.push((*calm, format!("{:9.4} s  calm", seconds(*calm))));
        }
    }
    lines.sort();
    lines.dedup();
    lines.into_iter().map(|(_, line)| line).collect()
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.violations.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((what, result), count) in &self.0 {
            match *what == last {
                true => write!(f, ", {count} {result}")?,
                false => write!(
                    f,
                    "{}{what}: {count} {result}",
                    if last.is_empty() { "" } else { "; " }
                )?,
            }
            last = what;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, round, faults: [first, second], .. } = self;
        write!(f, "seed {seed} round {round}: {:?} and {:?}", first.kind, second.kind)?;
        match self.agreed_ms {
            Some(ms) => write!(f, ", agreed after {ms} ms")?,
            None => write!(f, ", NO AGREEMENT")?,
        }
        write!(f, ", {} operations ({})", self.tally.total(), self.tally)?;
        for (excuse, count) in &self.excused {
            write!(f, ", {count} gone as {excuse:?}")?;
        }
        if self.is_clean() {
            return Ok(());
        }
        write!(f, "\n  faults:\n    {first}\n    {second}\n  done:")?;
        self.effects.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
        for finding in &self.findings {
            write!(f, "\n  VIOLATION {finding}")?;
        }
        let mut counts = BTreeMap::<Broken, usize>::new();
        for (Violation { broken, op, about, times }, history) in &self.violations {
            let count = counts.entry(*broken).or_default();
            *count += 1;
            if SHOWN < *count {
                continue;
            }
            write!(f, "\n  VIOLATION {broken:?}, {times} times:\n      {op}")?;
            about.iter().try_for_each(|about| write!(f, "\n    though\n      {about}"))?;
            write!(f, "\n    {history}")?;
        }
        counts.iter().try_for_each(|(broken, count)| write!(f, "\n  {broken:?}: {count} in all"))
    }
}
