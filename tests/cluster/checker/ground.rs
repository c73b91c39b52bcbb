//! What was truly done to the nodes, and what loss that excuses.
//!
//! This goes by what the test did to processes and links and by nothing that a node believes: a node
//! that is wrongly taken for dead excuses nothing.

use std::collections::BTreeSet;

use super::history::{MILLI, Time};

/// Shorter than a lease, and than anything after which a node is taken for dead.
const NOTICED_AFTER: Time = 800 * MILLI;

/// What happened to a node or a link, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Up(usize),
    /// It has ended by itself, when told to.
    Ended(usize),
    /// It was killed.
    Crashed(usize),
    Stopped(usize),
    Resumed(usize),
    /// The first node cuts its link to the second.
    Cut(usize, usize),
    Healed(usize, usize),
}

/// What is known of a round apart from what clients were told.
#[derive(Default)]
pub struct Ground {
    pub crashes: Vec<(Time, usize)>,
    /// When nodes came up.
    pub ups: Vec<(Time, usize)>,
    /// Nodes that were stopped while others went on, until all were one cluster again.
    pub aways: Vec<Away>,
    /// Times in which nodes that ran could not hear each other in any way, until they were one
    /// cluster again.
    pub splits: Vec<(Time, Time)>,
    /// Moments at which all nodes agreed and nothing moved.
    pub calm: Vec<Time>,
}

pub struct Away {
    pub node: usize,
    pub from: Time,
    pub until: Time,
}

/// The nodes and links at one moment.
#[derive(Default)]
struct Scene {
    up: BTreeSet<usize>,
    stopped: BTreeSet<usize>,
    cuts: BTreeSet<(usize, usize)>,
}

impl Ground {
    /// What follows from these effects, in their order, and these moments of calm.
    pub fn new(effects: &[(Time, Effect)], calm: Vec<Time>, nodes: usize) -> Self {
        let mut ground = Self { calm, ..Self::default() };
        let mut scene = Scene::default();
        let mut split = None;
        let mut away = vec![None; nodes];
        for (at, effect) in effects {
            scene.apply(*effect);
            if let Effect::Up(node) = effect {
                ground.ups.push((*at, *node));
            }
            if let Effect::Crashed(node) = effect {
                ground.crashes.push((*at, *node));
            }
            if let Some(from) = turn(&mut split, *at, scene.is_split()) {
                ground.end_split(from, *at);
            }
            for (node, since) in away.iter_mut().enumerate() {
                if let Some(from) = turn(since, *at, scene.is_away(node)) {
                    ground.end_away(node, from, *at);
                }
            }
        }
        if let Some(from) = split {
            ground.end_split(from, Time::MAX);
        }
        for (node, since) in away.into_iter().enumerate() {
            if let Some(from) = since {
                ground.end_away(node, from, Time::MAX);
            }
        }
        ground
    }

    fn end_split(&mut self, from: Time, to: Time) {
        if NOTICED_AFTER <= to - from {
            self.splits.push((from, self.calm_after(to)));
        }
    }

    fn end_away(&mut self, node: usize, from: Time, to: Time) {
        if NOTICED_AFTER <= to - from {
            let until = self.calm_after(to);
            self.aways.push(Away { node, from, until });
        }
    }

    /// The last moment of calm up to `at`; the beginning if there was none.
    pub fn calm_before(&self, at: Time) -> Time {
        self.calm.iter().copied().take_while(|calm| *calm <= at).last().unwrap_or(0)
    }

    /// Whether a node came up in that time: slots go to it then, one after the other.
    pub fn came_up(&self, node: usize, from: Time, to: Time) -> bool {
        self.ups.iter().any(|(at, up)| *up == node && from < *at && *at <= to)
    }

    fn calm_after(&self, at: Time) -> Time {
        self.calm.iter().copied().find(|calm| at <= *calm).unwrap_or(Time::MAX)
    }

    /// Whether the cluster was split at some moment of that time.
    pub fn is_split(&self, begin: Time, end: Time) -> bool {
        self.splits.iter().any(|(from, until)| *from <= end && begin <= *until)
    }
}

/// Notes since when something is so; returns since when it was, if it is no more.
fn turn(since: &mut Option<Time>, at: Time, is_so: bool) -> Option<Time> {
    match is_so {
        true => {
            since.get_or_insert(at);
            None
        }
        false => since.take(),
    }
}

impl Scene {
    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Up(node) => drop(self.up.insert(node)),
            Effect::Ended(node) | Effect::Crashed(node) => {
                self.up.remove(&node);
                self.stopped.remove(&node);
                self.cuts.retain(|(one, _)| *one != node);
            }
            Effect::Stopped(node) => drop(self.stopped.insert(node)),
            Effect::Resumed(node) => drop(self.stopped.remove(&node)),
            Effect::Cut(one, other) => drop(self.cuts.insert((one, other))),
            Effect::Healed(one, other) => drop(self.cuts.remove(&(one, other))),
        }
    }

    /// Nodes that run.
    fn awake(&self) -> Vec<usize> {
        self.up.difference(&self.stopped).copied().collect()
    }

    /// Whether the node stands still while another runs.
    fn is_away(&self, node: usize) -> bool {
        self.stopped.contains(&node) && !self.awake().is_empty()
    }

    /// Whether the nodes that run are in parts that no chain of links connects.
    fn is_split(&self) -> bool {
        let awake = self.awake();
        let Some(first) = awake.first() else { return false };
        let mut reached = BTreeSet::from([*first]);
        let mut edge = vec![*first];
        while let Some(one) = edge.pop() {
            for other in &awake {
                let cuts = [(one, *other), (*other, one)];
                let is_cut = cuts.iter().any(|cut| self.cuts.contains(cut));
                if !is_cut && reached.insert(*other) {
                    edge.push(*other);
                }
            }
        }
        reached.len() < awake.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::history::SECOND;

    fn ground(effects: &[(Time, Effect)]) -> Ground {
        let mut all: Vec<_> = (0..3).map(|node| (0, Effect::Up(node))).collect();
        all.extend(effects.iter().map(|(at, effect)| (at * SECOND, *effect)));
        Ground::new(&all, vec![0, 20 * SECOND, 30 * SECOND], 3)
    }

    #[test]
    fn one_cut_link_of_three_splits_nothing_and_two_do_until_the_next_calm() {
        let one = ground(&[(1, Effect::Cut(0, 1)), (9, Effect::Healed(0, 1))]);
        assert!(one.splits.is_empty());
        let two = [(1, Effect::Cut(0, 1)), (2, Effect::Cut(2, 0)), (9, Effect::Healed(0, 1))];
        assert_eq!(ground(&two).splits, [(2 * SECOND, 20 * SECOND)]);
    }

    #[test]
    fn the_end_or_the_stop_of_who_is_between_splits_too() {
        for between in [Effect::Crashed(2), Effect::Stopped(2)] {
            let split = ground(&[(1, Effect::Cut(0, 1)), (2, between)]);
            assert_eq!(split.splits, [(2 * SECOND, Time::MAX)]);
        }
    }

    #[test]
    fn who_stands_still_alone_is_away_and_all_together_are_not() {
        let one = ground(&[(1, Effect::Stopped(1)), (5, Effect::Resumed(1))]);
        assert_eq!((one.aways[0].node, one.aways[0].from), (1, SECOND));
        assert_eq!(one.aways[0].until, 20 * SECOND);
        let stops = [0, 1, 2].map(|node| (1, Effect::Stopped(node)));
        let resumes = [0, 1, 2].map(|node| (5, Effect::Resumed(node)));
        assert!(ground(&[stops, resumes].concat()).aways.is_empty());
    }

    #[test]
    fn what_is_too_short_to_be_noticed_excuses_nothing() {
        let mut brief = vec![(0, Effect::Up(0)), (0, Effect::Up(1))];
        brief.extend([(SECOND, Effect::Stopped(1)), (SECOND + 700 * MILLI, Effect::Resumed(1))]);
        brief.extend([(SECOND, Effect::Cut(0, 1)), (SECOND + 700 * MILLI, Effect::Healed(0, 1))]);
        let ground = Ground::new(&brief, vec![], 2);
        assert!(ground.aways.is_empty() && ground.splits.is_empty());
    }
}
