//! What is reserved for this run and not given yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::{IDS_FAR, IDS_RESERVED};

/// The ids this node may give: of several ranges, as the next one is reserved before it is needed.
///
/// A command that finds none is not done, and waits until there are some.
#[derive(Debug, Default)]
pub struct Ids {
    reserved: Mutex<Reserved>,
    wanted: Notify,
}

/// Ids from the first one up to, and without, the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id.
    pub next: u64,
    /// The id after the last one.
    pub end: u64,
}

/// How soon a range is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// There are enough, or nobody has asked for any yet.
    None,
    /// Half a range is left.
    Soon,
    /// Somebody waits.
    Now,
}

#[derive(Debug, Default)]
struct Reserved {
    ranges: VecDeque<IdRange>,
    /// Whether somebody found none.
    is_awaited: bool,
}

impl Ids {
    /// The ids of a node that is in no cluster: all of the low region.
    #[must_use]
    pub fn alone() -> Self {
        let ids = Self::default();
        ids.add(IdRange { next: 1, end: IDS_FAR });
        ids
    }

    /// The next id; `None` if none is reserved.
    #[must_use]
    pub fn take(&self) -> Option<u64> {
        let mut reserved = self.lock();
        let taken = reserved.take();
        reserved.is_awaited |= taken.is_none();
        if reserved.need() != Need::None {
            self.wanted.notify_one();
        }
        taken
    }

    /// Adds a range that was reserved.
    pub fn add(&self, range: IdRange) {
        let mut reserved = self.lock();
        reserved.ranges.push_back(range);
        reserved.is_awaited = false;
    }

    /// How soon another range is needed.
    #[must_use]
    pub fn need(&self) -> Need {
        self.lock().need()
    }

    /// Waits until another range may be needed.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdRange {
    /// How many ids are left of it.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end - self.next
    }

    /// Whether none is left of it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl Reserved {
    fn take(&mut self) -> Option<u64> {
        let range = self.ranges.front_mut()?;
        let id = range.next;
        range.next += 1;
        if range.is_empty() {
            self.ranges.pop_front();
        }
        Some(id)
    }

    fn need(&self) -> Need {
        let left: u64 = self.ranges.iter().map(|range| range.len()).sum();
        match (left, self.is_awaited) {
            (0, true) => Need::Now,
            // Until somebody asks for the first one, nothing is reserved: the node that will be asked
            // for ids in the end gives them from the first one on.
            (0, false) => Need::None,
            (left, _) if left <= IDS_RESERVED / 2 => Need::Soon,
            _ => Need::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_in_order_and_a_range_is_wanted_once_half_of_it_is_left() {
        let ids = Ids::default();
        assert_eq!((ids.need(), ids.take(), ids.need()), (Need::None, None, Need::Now));
        ids.add(IdRange { next: 1, end: 1 + IDS_RESERVED });
        for id in 1..=IDS_RESERVED / 2 {
            assert_eq!((ids.need(), ids.take()), (Need::None, Some(id)));
        }
        assert_eq!(ids.need(), Need::Soon);
        ids.add(IdRange { next: 1_000, end: 1_000 + IDS_RESERVED });
        assert_eq!(ids.need(), Need::None);
        let rest: Vec<_> = (0..IDS_RESERVED / 2).map_while(|_| ids.take()).collect();
        assert_eq!(rest.last(), Some(&IDS_RESERVED));
        assert_eq!(ids.take(), Some(1_000));
    }

    #[test]
    fn a_node_that_is_alone_begins_at_1_and_needs_nothing() {
        let ids = Ids::alone();
        assert_eq!((ids.take(), ids.take(), ids.need()), (Some(1), Some(2), Need::None));
    }
}
