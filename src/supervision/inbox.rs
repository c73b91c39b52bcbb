//! Work that gathers for an actor, bounded in items and in bytes.
//!
//! Messages would do, but a mailbox has no bound, ends with its actor, and costs one message for each
//! piece of work. An inbox outlives the actors that work on it: one is told once that there is work and
//! takes all that has gathered by the time it gets to it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of a count that hold bytes; the rest hold items.
const BYTES_BITS: u32 = 40;
const BYTES_MASK: u64 = (1 << BYTES_BITS) - 1;
const ITEMS_MASK: u64 = (1 << (u64::BITS - BYTES_BITS)) - 1;

/// Work for an actor. It outlives every actor, and its bounds hold until the work is answered.
pub struct Inbox<T> {
    list: Mutex<List<T>>,
    places: Places,
}

struct List<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

/// Places for so many items and bytes at a time. Clones are the same places.
#[derive(Clone)]
pub struct Places {
    /// Items above, bytes below, so that one step counts both.
    taken: Arc<AtomicU64>,
    items_max: u64,
    bytes_max: u64,
}

/// A place that was taken, free when this is dropped. It rides inside the work, so that what was taken
/// out of an inbox and is not answered yet counts like what waits.
#[derive(Debug)]
#[must_use = "the place is free at once"]
pub struct Place {
    taken: Arc<AtomicU64>,
    size: u64,
}

/// Why work was not added. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdded {
    /// Too much waits, or was taken and is not answered yet.
    #[error("too much waits")]
    Full,
    /// The inbox is closed.
    #[error("closed")]
    Closed,
}

impl Places {
    /// Places for so many items and bytes.
    ///
    /// # Panics
    ///
    /// If it is for 2^24 items or 2^40 bytes, or more.
    #[must_use]
    pub fn new(items_max: usize, bytes_max: usize) -> Self {
        let (items_max, bytes_max) = (items_max as u64, bytes_max as u64);
        assert!(items_max <= ITEMS_MASK && bytes_max <= BYTES_MASK, "that many places");
        Self { taken: Arc::new(AtomicU64::new(0)), items_max, bytes_max }
    }

    /// Takes a place; `None` if there is none.
    ///
    /// What is larger than everything counts as everything: it has a place if nothing else has one. What
    /// has no items and no bytes always has one.
    pub fn take(&self, items: usize, bytes: usize) -> Option<Place> {
        let (items, bytes) = (self.items_max.min(items as u64), self.bytes_max.min(bytes as u64));
        let size = items << BYTES_BITS | bytes;
        let add = |taken: u64| {
            let fits = items_of(taken) + items <= self.items_max
                && bytes_of(taken) + bytes <= self.bytes_max;
            fits.then(|| taken + size)
        };
        let is_taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        is_taken.then(|| Place { taken: Arc::clone(&self.taken), size })
    }

    /// Items that have a place.
    #[must_use]
    pub fn items(&self) -> usize {
        items_of(self.taken.load(Ordering::Relaxed)) as usize
    }

    /// Bytes that have a place.
    #[must_use]
    pub fn bytes(&self) -> usize {
        bytes_of(self.taken.load(Ordering::Relaxed)) as usize
    }
}

impl<T> Inbox<T> {
    /// An inbox for so many items and bytes at a time.
    ///
    /// # Panics
    ///
    /// As [`Places::new`].
    #[must_use]
    pub fn new(items_max: usize, bytes_max: usize) -> Self {
        let list = List { waiting: VecDeque::new(), is_closed: false };
        Self { list: Mutex::new(list), places: Places::new(items_max, bytes_max) }
    }

    /// Adds what `work` makes of its place, and returns whether nothing waited, so that the actor has
    /// to be told. Places are taken as [`Places::take`] says. `work` runs under a lock and is to be
    /// short.
    ///
    /// # Errors
    ///
    /// [`NotAdded`]; `work` was not run.
    pub fn add(
        &self,
        items: usize,
        bytes: usize,
        work: impl FnOnce(Place) -> T,
    ) -> Result<bool, NotAdded> {
        let mut list = self.lock();
        if list.is_closed {
            return Err(NotAdded::Closed);
        }
        let place = self.places.take(items, bytes).ok_or(NotAdded::Full)?;
        list.waiting.push_back(work(place));
        Ok(list.waiting.len() == 1)
    }

    /// Exchanges all that waits for `empty`, whose room is used again.
    pub fn take(&self, empty: &mut VecDeque<T>) {
        std::mem::swap(&mut self.lock().waiting, empty);
    }

    /// Takes from the front what `is_wanted`, up to the first that is not. It runs under a lock and is
    /// to be short.
    pub fn take_while(&self, mut is_wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut list = self.lock();
        let count = list.waiting.iter().take_while(|work| is_wanted(work)).count();
        list.waiting.drain(..count).collect()
    }

    /// Takes everything, and lets nothing in any more.
    pub fn close(&self) -> VecDeque<T> {
        let mut list = self.lock();
        list.is_closed = true;
        std::mem::take(&mut list.waiting)
    }

    /// Whether nothing waits. What was taken and is not answered does not wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// The places of what waits, or was taken and is not answered yet.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    fn lock(&self) -> MutexGuard<'_, List<T>> {
        // A panic under the lock is one of `work` or `is_wanted`, and leaves the list as it was.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.size, Ordering::Relaxed);
    }
}

fn items_of(taken: u64) -> u64 {
    taken >> BYTES_BITS
}

fn bytes_of(taken: u64) -> u64 {
    taken & BYTES_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work with a name.
    type Work = (u8, Place);

    fn add(inbox: &Inbox<Work>, name: u8, items: usize, bytes: usize) -> Result<bool, NotAdded> {
        inbox.add(items, bytes, |place| (name, place))
    }

    fn names(work: impl IntoIterator<Item = Work>) -> Vec<u8> {
        work.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_first_that_waits_has_the_actor_told_and_all_are_taken_in_order() {
        let inbox = Inbox::new(10, 10);
        assert_eq!(add(&inbox, 1, 1, 1), Ok(true));
        assert_eq!(add(&inbox, 2, 1, 1), Ok(false));
        let mut taken = VecDeque::new();
        inbox.take(&mut taken);
        assert_eq!(add(&inbox, 3, 1, 1), Ok(true), "nothing waited");
        assert_eq!(names(taken), [1, 2]);
    }

    #[test]
    fn both_bounds_hold_on_their_own() {
        let inbox = Inbox::new(2, 100);
        assert_eq!(add(&inbox, 1, 1, 60), Ok(true));
        assert_eq!(add(&inbox, 2, 1, 41), Err(NotAdded::Full));
        assert_eq!(add(&inbox, 3, 2, 1), Err(NotAdded::Full));
        assert_eq!(add(&inbox, 4, 1, 40), Ok(false));
        assert_eq!((inbox.places().items(), inbox.places().bytes()), (2, 100));
    }

    #[test]
    fn a_place_is_free_when_the_work_is_answered_and_not_when_it_is_taken() {
        let inbox = Inbox::new(1, 10);
        assert_eq!(add(&inbox, 1, 1, 1), Ok(true));
        let mut taken = VecDeque::new();
        inbox.take(&mut taken);
        assert!(inbox.is_empty());
        assert_eq!(add(&inbox, 2, 1, 1), Err(NotAdded::Full));
        drop(taken);
        assert_eq!((inbox.places().items(), inbox.places().bytes()), (0, 0));
        assert_eq!(add(&inbox, 3, 1, 1), Ok(true));
    }

    #[test]
    fn what_is_larger_than_everything_has_a_place_if_nothing_else_has_one() {
        let inbox = Inbox::new(2, 10);
        assert_eq!(add(&inbox, 1, 1, 1), Ok(true));
        assert_eq!(add(&inbox, 2, 1, usize::MAX), Err(NotAdded::Full));
        drop(inbox.take_while(|_| true));
        assert_eq!(add(&inbox, 3, usize::MAX, usize::MAX), Ok(true));
        assert_eq!(add(&inbox, 4, 1, 0), Err(NotAdded::Full));
        assert_eq!(add(&inbox, 5, 0, 0), Ok(false), "it takes no place");
        drop(inbox.take_while(|_| true));
        assert_eq!((inbox.places().items(), inbox.places().bytes()), (0, 0));
    }

    #[test]
    fn a_part_is_taken_up_to_the_first_that_is_not_wanted() {
        let inbox = Inbox::new(10, 10);
        for name in [1, 2, 3, 1] {
            assert!(add(&inbox, name, 1, 1).is_ok());
        }
        assert_eq!(names(inbox.take_while(|(name, _)| *name < 3)), [1, 2]);
        assert_eq!(names(inbox.take_while(|_| true)), [3, 1]);
    }

    #[test]
    fn a_closed_inbox_gives_out_what_waited_and_lets_nothing_in() {
        let inbox = Inbox::new(10, 10);
        assert_eq!(add(&inbox, 1, 1, 1), Ok(true));
        assert_eq!(names(inbox.close()), [1]);
        assert_eq!(add(&inbox, 2, 1, 1), Err(NotAdded::Closed));
        assert_eq!(add(&inbox, 3, 0, 0), Err(NotAdded::Closed));
        assert_eq!(inbox.places().items(), 0);
    }

    #[test]
    fn no_place_is_lost_or_given_twice_among_many_threads() {
        let inbox = Arc::new(Inbox::new(64, 640));
        let add_many = |_| {
            let inbox = Arc::clone(&inbox);
            std::thread::spawn(move || {
                for name in 0..=255 {
                    let _ = add(&inbox, name, 3, 30);
                    assert!(inbox.places().items() <= 64 && inbox.places().bytes() <= 640);
                    drop(inbox.take_while(|_| true));
                }
            })
        };
        let threads: Vec<_> = (0..4).map(add_many).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((inbox.places().items(), inbox.places().bytes()), (0, 0));
    }
}
