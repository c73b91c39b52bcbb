//! How many restarts are borne, as a pure count over a sliding window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Restarts borne within a time: N in T, as Erlang's supervisors count them.
#[derive(Debug)]
pub struct RestartBudget {
    restarts_max: usize,
    window: Duration,
    spent: VecDeque<Instant>,
}

impl RestartBudget {
    /// A budget of `restarts_max` restarts within any `window`.
    #[must_use]
    pub fn new(restarts_max: usize, window: Duration) -> Self {
        Self { restarts_max, window, spent: VecDeque::with_capacity(restarts_max) }
    }

    /// Takes one restart at `now` and returns whether the budget had it.
    pub fn spend(&mut self, now: Instant) -> bool {
        while self.spent.front().is_some_and(|at| self.window < now.duration_since(*at)) {
            self.spent.pop_front();
        }
        let has_one = self.spent.len() < self.restarts_max;
        if has_one {
            self.spent.push_back(now);
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_bears_so_many_restarts_and_recovers_with_time() {
        let start = Instant::now();
        let mut budget = RestartBudget::new(2, Duration::from_secs(10));
        assert!(budget.spend(start));
        assert!(budget.spend(start + Duration::from_secs(9)));
        assert!(!budget.spend(start + Duration::from_secs(10)));
        assert!(budget.spend(start + Duration::from_secs(11)));
        assert!(!budget.spend(start + Duration::from_secs(19)));
    }

    #[test]
    fn an_empty_budget_bears_nothing() {
        assert!(!RestartBudget::new(0, Duration::from_secs(10)).spend(Instant::now()));
    }
}
