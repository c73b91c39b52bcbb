//! How many restarts are borne, as a pure count over a sliding window.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Restarts borne within a time: N in T, as Erlang's supervisors count them.
#[derive(Debug)]
pub struct RestartBudget {
    restarts_max: usize,
    window: Duration,
    spent: VecDeque<(Instant, String)>,
}

impl RestartBudget {
    /// A budget of `restarts_max` restarts within any `window`.
    #[must_use]
    pub fn new(restarts_max: usize, window: Duration) -> Self {
        Self { restarts_max, window, spent: VecDeque::with_capacity(restarts_max) }
    }

    /// Takes one restart of `child` at `now` and returns whether the budget had it.
    pub fn spend(&mut self, now: Instant, child: &str) -> bool {
        while self.spent.front().is_some_and(|(at, _)| self.window < now.duration_since(*at)) {
            self.spent.pop_front();
        }
        let has_one = self.spent.len() < self.restarts_max;
        if has_one {
            self.spent.push_back((now, child.to_owned()));
        }
        has_one
    }

    /// Who has spent it, and how much of it each: who did most comes first.
    #[must_use]
    pub fn spenders(&self) -> Vec<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, child) in &self.spent {
            *counts.entry(child).or_default() += 1;
        }
        let mut spenders: Vec<_> = counts.into_iter().collect();
        spenders.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        spenders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_bears_so_many_restarts_and_recovers_with_time() {
        let start = Instant::now();
        let mut budget = RestartBudget::new(2, Duration::from_secs(10));
        assert!(budget.spend(start, "a"));
        assert!(budget.spend(start + Duration::from_secs(9), "a"));
        assert!(!budget.spend(start + Duration::from_secs(10), "a"));
        assert!(budget.spend(start + Duration::from_secs(11), "a"));
        assert!(!budget.spend(start + Duration::from_secs(19), "a"));
    }

    #[test]
    fn an_empty_budget_bears_nothing() {
        assert!(!RestartBudget::new(0, Duration::from_secs(10)).spend(Instant::now(), "a"));
    }

    #[test]
    fn it_is_known_who_has_spent_it() {
        let (mut budget, now) = (RestartBudget::new(3, Duration::from_secs(10)), Instant::now());
        for child in ["a", "b", "b", "c"] {
            budget.spend(now, child);
        }
        assert_eq!(budget.spenders(), [("b", 2), ("a", 1)]);
    }
}
