//! The places of a door: how many connections are served at a time, and how many are told that they
//! are not.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::metrics::Counter;

/// The places of a door, and what it counts.
pub struct Places {
    places_max: usize,
    /// One permit for each connection that may still be opened.
    vacancies: Arc<Semaphore>,
    /// One permit for each connection that may be told at a time that it is not served.
    refusals: Arc<Semaphore>,
    /// Told whenever a connection has ended.
    ended: Notify,
    accepted: Counter,
    refused: Counter,
}

/// The place of one connection, free when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Places for so many connections, and for so many that are refused at a time. Beyond these a
    /// connection is just closed: refusing must cost less than serving.
    #[must_use]
    pub fn new(places_max: usize, refusals_max: usize) -> Self {
        Self {
            places_max,
            vacancies: Arc::new(Semaphore::new(places_max)),
            refusals: Arc::new(Semaphore::new(refusals_max)),
            ended: Notify::new(),
            accepted: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.places_max - self.vacancies.available_permits()
    }

    /// Connections that were accepted, ever.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.total()
    }

    /// Connections for which there was no place, ever.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.total()
    }

    /// The place of a connection that was accepted; `None` if there is none.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        self.accepted.count();
        match Arc::clone(&self.vacancies).try_acquire_owned() {
            Ok(permit) => Some(Place { places: Arc::clone(self), permit: Some(permit) }),
            Err(_) => {
                self.refused.count();
                None
            }
        }
    }

    /// The place of a connection that is refused; `None` if there is none.
    pub(super) fn take_refusal(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.refusals).try_acquire_owned().ok()
    }

    /// Waits until no connection is open.
    pub(super) async fn all_free(&self) {
        while 0 < self.open() {
            self.ended.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever waits looks at the places, so that this one is free before it is told.
        drop(self.permit.take());
        self.places.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_over_the_cap_has_no_place_until_one_ends() {
        let places = Arc::new(Places::new(1, 1));
        let place = places.take().unwrap();
        assert!(places.take().is_none());
        assert_eq!((places.open(), places.accepted(), places.refused()), (1, 2, 1));
        drop(place);
        places.all_free().await;
        assert!(places.take().is_some());
    }

    #[test]
    fn so_many_are_told_at_a_time_and_no_more() {
        let places = Places::new(0, 1);
        let place = places.take_refusal();
        assert!(place.is_some() && places.take_refusal().is_none());
        drop(place);
        assert!(places.take_refusal().is_some());
    }
}
