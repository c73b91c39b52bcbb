//! A checker of real nodes: clients that note everything, two faults at a time, and judgement.
//!
//! Each round has keys and a plan of its own, which follows from the seed; all that was told is then
//! judged key by key. When a process does what is asked of it cannot be repeated, so that a seed
//! repeats the faults and not every outcome.
//!
//! The gate runs a few rounds of some of them. `scripts/chaos.sh` runs all kinds of faults for
//! long, by these variables: `SMACHE_CHAOS_MINUTES`, `SMACHE_CHAOS_SEED`, `SMACHE_CHAOS_NODES`,
//! `SMACHE_CHAOS_KINDS` (names of [`plan::Kind`], comma-separated) and `SMACHE_CHAOS_ROUND`, the first
//! round.

mod clients;
mod ground;
mod history;
mod judge;
#[cfg(test)]
mod judge_tests;
mod outcome;
mod plan;
mod report;
mod round;
mod stage;
mod watch;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::checker::plan::{ALL, Kind, plan};
use crate::checker::report::{Report, Tally};
use crate::checker::round::Run;
use crate::checker::stage::{Stage, lock};
use crate::checker::watch::agree;
use crate::member::PATIENCE;

/// The faults of the gate: those that leave a busy machine time to agree. All kinds hold in long runs.
const HOLDING: &[Kind] = &[
    Kind::Join,
    Kind::Drain,
    Kind::Rolling,
    Kind::Crash,
    Kind::Pause,
    Kind::Gap,
    Kind::Slow,
    Kind::Flap,
    Kind::Panics,
];
const GATE_SEED: u64 = 1;
const GATE_ROUNDS: u64 = 3;

/// What is to be run.
struct Settings {
    seed: u64,
    nodes: usize,
    kinds: Vec<Kind>,
    first: u64,
    until: Until,
}

enum Until {
    Rounds(u64),
    Time(Instant),
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}; allowed: a number")))
        };
        let minutes = number("SMACHE_CHAOS_MINUTES");
        let until = match minutes {
            Some(minutes) => Until::Time(Instant::now() + Duration::from_secs(60 * minutes)),
            None => Until::Rounds(GATE_ROUNDS),
        };
        let kinds = match (std::env::var("SMACHE_CHAOS_KINDS"), minutes) {
            (Ok(names), _) => names.split(',').map(kind_named).collect(),
            (_, Some(_)) => ALL.to_vec(),
            (_, None) => HOLDING.to_vec(),
        };
        let nodes = number("SMACHE_CHAOS_NODES").unwrap_or(3) as usize;
        assert!((2..=9).contains(&nodes), "SMACHE_CHAOS_NODES is {nodes}; allowed: 2 to 9");
        Self {
            seed: number("SMACHE_CHAOS_SEED").unwrap_or(GATE_SEED),
            nodes,
            kinds,
            first: number("SMACHE_CHAOS_ROUND").unwrap_or(0),
            until,
        }
    }

    fn goes_on(&self, round: u64) -> bool {
        match self.until {
            Until::Rounds(rounds) => round < self.first + rounds,
            Until::Time(end) => Instant::now() < end,
        }
    }
}

fn kind_named(name: &str) -> Kind {
    Kind::named(name.trim()).unwrap_or_else(|| panic!("{name} is no fault; allowed: {ALL:?}"))
}

fn start(nodes: usize) -> Mutex<Stage> {
    let stage = Mutex::new(Stage::start(nodes));
    agree(&stage, PATIENCE).unwrap_or_else(|seen| panic!("they are no cluster: {seen}"));
    stage
}

/// Writes what the nodes logged to where it can be read, and returns the place.
fn save_logs(stage: &Stage, report: &Report) -> String {
    let name = format!("smache-chaos-{}-{}", report.seed, report.round);
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    for (node, log) in stage.logs() {
        std::fs::write(directory.join(format!("{node}.log")), log).unwrap();
    }
    directory.display().to_string()
}

#[test]
fn what_was_acknowledged_stays_so_under_two_faults_at_a_time() {
    let settings = Settings::from_environment();
    let Settings { seed, nodes, .. } = settings;
    let mut run = Run { seed, nodes, next: 1, ids: HashMap::new() };
    let mut stage = start(nodes);
    let mut tally = Tally::default();
    let (mut round, mut bad) = (settings.first, 0);
    while settings.goes_on(round) {
        let report = run.round(&stage, round, plan(seed, round, &settings.kinds, nodes));
        eprintln!("{report}");
        tally.add(&report.tally);
        if !report.is_clean() {
            bad += 1;
            eprintln!("  logs: {}", save_logs(&lock(&stage), &report));
            // What comes next is not to suffer from what was.
            drop(stage);
            run.ids.clear();
            stage = start(nodes);
        }
        round += 1;
    }
    let rounds = round - settings.first;
    eprintln!(
        "seed {seed}: {bad} of {rounds} rounds broke a promise; {} operations: {tally}",
        tally.total()
    );
    assert_eq!(bad, 0, "promises were broken in {bad} of {rounds} rounds of seed {seed}");
}
