//! What goes wrong in a run, chosen from its seed before it begins.

use crate::network::{NODES, Network};
use crate::random::Random;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Start(usize),
    Crash(usize),
    Leave(usize),
    /// An operator says that a node is not to be remembered, if it is not there.
    Forget(usize),
    Hang(usize, u64),
    /// The machine with all nodes on it stands still for so long.
    HangAll(u64),
    /// The nodes whose bits are set are cut off.
    Divide(usize),
    CutOneWay(usize, usize),
    CutPair(usize, usize),
    /// Dials of a node and to it come to nothing for so long.
    Deaf(usize, u64),
    Heal,
}

/// When clients begin and when faults do, and when the last one is over, in microseconds.
pub const FAULTS_FROM_US: u64 = 3_000_000;
pub const FAULTS_UNTIL_US: u64 = 10_000_000;

pub fn network(random: &mut Random) -> Network {
    let pick = |random: &mut Random, from: &[u64]| from[random.below(from.len())];
    Network {
        drop_per_mille: pick(random, &[0, 0, 10, 50]),
        repeat_per_mille: pick(random, &[0, 50]),
        delay_us: pick(random, &[500, 2_000, 10_000, 40_000]),
        ..Network::default()
    }
}

/// The faults of a run with their times. A gentle run has none for which a living node could be
/// taken for dead.
pub fn plan(random: &mut Random) -> Vec<(u64, Fault)> {
    let is_gentle = random.is_chance(650);
    let mut plan: Vec<(u64, Fault)> = Vec::new();
    for node in 1..random.between(2, NODES as u64 - 1) as usize {
        plan.push((random.between(300_000, 1_500_000), Fault::Start(node)));
    }
    for _ in 0..random.between(1, 7) {
        let at = random.between(FAULTS_FROM_US, FAULTS_UNTIL_US - 1_500_000);
        let (one, other) = (random.below(NODES), random.below(NODES));
        let kinds = if is_gentle { 13 } else { 15 };
        let short = random.between(100_000, 900_000);
        let long = random.between(1_000_000, 5_000_000);
        match random.below(kinds) {
            0 | 1 => plan.push((at, Fault::Start(one))),
            2 => {
                plan.push((at, Fault::Crash(one)));
                plan.push((at + 2 * short, Fault::Forget(one)));
            }
            3 => {
                plan.push((at, Fault::Crash(one)));
                plan.push((at + random.between(1_000, 1_500_000), Fault::Start(one)));
            }
            4 => plan.push((at, Fault::Leave(one))),
            5 => plan.push((at, Fault::Hang(one, short))),
            6 => {
                plan.push((at, Fault::CutOneWay(one, other)));
                plan.push((at + short, Fault::Heal));
            }
            7 => plan.push((at, Fault::Hang(one, long))),
            8 => {
                // Others may hear both of them.
                plan.push((at, Fault::CutPair(one, other)));
                plan.push((at + long, Fault::Heal));
            }
            9 => {
                plan.push((at, Fault::CutPair(one, other)));
                plan.push((at, Fault::Start(one)));
                plan.push((at + long, Fault::Heal));
            }
            10 => {
                plan.push((at, Fault::Deaf(one, short)));
                plan.push((at, Fault::Start(one)));
            }
            11 => plan.push((at, Fault::HangAll(long))),
            12 => {
                plan.push((at, Fault::CutPair(one, other)));
                plan.push((at + short, Fault::Leave(one)));
                plan.push((at + long, Fault::Heal));
            }
            13 => {
                plan.push((at, Fault::CutOneWay(one, other)));
                plan.push((at + long, Fault::Heal));
            }
            _ => {
                plan.push((at, Fault::Divide(random.below(1 << NODES))));
                plan.push((at + long, Fault::Heal));
            }
        }
    }
    plan.retain(|(at, _)| *at < FAULTS_UNTIL_US);
    plan.push((FAULTS_UNTIL_US, Fault::Heal));
    plan
}
