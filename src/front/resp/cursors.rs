//! How far walks over keys have got, under the numbers that clients know them by.
//!
//! Redis's cursors are numbers, and what has been seen of a cluster does not fit into one. So a cursor
//! is good for the node that gave it, and for as long as not too many others are given.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cache::Walk;
use crate::limits::RESP_CURSORS_MAX;

/// The walks of a door.
#[derive(Default)]
pub(super) struct Cursors(Mutex<List>);

#[derive(Default)]
struct List {
    last: u64,
    walks: BTreeMap<u64, Walk>,
}

impl Cursors {
    /// Keeps a walk and returns its number, which is never 0. The oldest makes room for it.
    pub(super) fn add(&self, walk: Walk) -> u64 {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.last += 1;
        let number = list.last;
        list.walks.insert(number, walk);
        if RESP_CURSORS_MAX < list.walks.len() {
            list.walks.pop_first();
        }
        number
    }

    /// The walk of that number, which stays: who hears no answer asks again.
    pub(super) fn get(&self, number: u64) -> Option<Walk> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.walks.get(&number).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_until_many_others_are_given() {
        let cursors = Cursors::default();
        let first = cursors.add(Walk::default());
        assert_eq!(cursors.get(first), Some(Walk::default()));
        assert_eq!(cursors.get(first + 1), None);
        (0..RESP_CURSORS_MAX).for_each(|_| assert_ne!(cursors.add(Walk::default()), 0));
        assert_eq!(cursors.get(first), None);
    }
}
