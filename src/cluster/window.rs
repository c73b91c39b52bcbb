//! How many messages with what moves are on their way to one peer at a time: as many as the way holds,
//! and few that wait at its other end.
//!
//! The way is measured as TCP Vegas does (Brakmo and Peterson, 1994): the shortest trip there was is the
//! length of the way, and what a trip takes longer than that, the message waited for others. As long as
//! that is a small part of the trip, more are sent. Where a trip is 40 ms long a hundred messages are on
//! their way; on one machine a trip takes as long as the work at its end, so that more of them would only
//! wait there, in front of commands.

use std::collections::HashMap;
use std::time::Duration;

use crate::limits::{
    MOVE_TRIP_MAX, MOVE_TRIP_MIN, MOVE_TRIPS_KNOWN, MOVE_WINDOW_MAX, MOVE_WINDOW_MIN,
    MOVE_WINDOW_STEP,
};
use crate::member::NodeId;

/// The windows of some peers.
pub(super) type Windows = HashMap<NodeId, Window>;

/// The messages on their way to one peer.
#[derive(Debug)]
pub(super) struct Window {
    /// How many there may be.
    size: f64,
    /// How many there are.
    under_way: usize,
    /// The shortest of the last trips, and of those before them: the way may become longer.
    shortest: [Duration; 2],
    /// How many the last ones are.
    trips: usize,
    /// Whether it has never met its bound, and doubles with every trip.
    is_young: bool,
}

impl Default for Window {
    fn default() -> Self {
        let size = MOVE_WINDOW_MIN as f64;
        Self { size, under_way: 0, shortest: [Duration::MAX; 2], trips: 0, is_young: true }
    }
}

impl Window {
    /// Whether one more may go.
    pub(super) fn has_room(&self) -> bool {
        self.under_way < self.size as usize
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    pub(super) fn sent(&mut self) {
        self.under_way += 1;
    }

    /// One of them was answered after `trip`.
    pub(super) fn answered(&mut self, trip: Duration) {
        let way = self.way(trip);
        let is_used = self.size < 1.0 + self.under_way as f64;
        self.is_young &= trip <= way.mul_f64(MOVE_TRIP_MAX);
        if trip < way.mul_f64(MOVE_TRIP_MIN) {
            // What is not made use of is not added to.
            self.size += if is_used { self.step() } else { 0.0 };
        } else if way.mul_f64(MOVE_TRIP_MAX) < trip {
            self.size -= MOVE_WINDOW_STEP;
        }
        self.size = self.size.clamp(MOVE_WINDOW_MIN as f64, MOVE_WINDOW_MAX as f64);
        self.under_way -= 1;
    }

    fn step(&self) -> f64 {
        if self.is_young { 1.0 } else { MOVE_WINDOW_STEP }
    }

    /// The length of the way, after one more trip.
    fn way(&mut self, trip: Duration) -> Duration {
        if self.trips == MOVE_TRIPS_KNOWN {
            self.shortest = [Duration::MAX, self.shortest[0]];
            self.trips = 0;
        }
        self.trips += 1;
        self.shortest[0] = self.shortest[0].min(trip);
        self.shortest[0].min(self.shortest[1])
    }

    /// One of them was lost, or nothing of it taken.
    pub(super) fn failed(&mut self) {
        self.is_young = false;
        self.size = (self.size / 2.0).max(MOVE_WINDOW_MIN as f64);
        self.under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Sends as much as the window lets for `seconds` over a way of that length whose other end takes
    /// `work` for each; how many arrived, and the window at the end.
    fn run(way: Duration, work: Duration, seconds: u64) -> (usize, f64) {
        let mut window = Window::default();
        let (mut now, mut free, mut answered) = (Duration::ZERO, Duration::ZERO, 0);
        let mut under_way = VecDeque::new();
        while now < Duration::from_secs(seconds) {
            while window.has_room() {
                window.sent();
                free = free.max(now + way / 2) + work;
                under_way.push_back((now, free + way / 2));
            }
            let Some((sent, back)) = under_way.pop_front() else { unreachable!("one has room") };
            now = back;
            window.answered(now - sent);
            answered += 1;
        }
        (answered, window.size)
    }

    #[test]
    fn a_long_way_is_filled() {
        let (answered, size) = run(Duration::from_millis(40), Duration::from_micros(500), 5);
        assert!(9_000 < answered && answered <= 10_000, "{answered} of 10,000, window {size}");
    }

    #[test]
    fn where_the_work_is_all_there_is_few_wait_for_it() {
        let (_, size) = run(Duration::from_micros(100), Duration::from_micros(500), 1);
        assert!(size < 4.0, "{size}");
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        let mut window = Window::default();
        for _ in 0..1_000 {
            window.sent();
            window.answered(Duration::from_millis(40));
        }
        assert!(window.size <= MOVE_WINDOW_MIN as f64 + 1.0, "{}", window.size);
    }

    #[test]
    fn a_way_that_becomes_longer_is_filled_again() {
        let mut window = Window::default();
        for trip in [1, 40] {
            for _ in 0..4 * MOVE_TRIPS_KNOWN {
                while window.has_room() {
                    window.sent();
                }
                window.answered(Duration::from_millis(trip));
            }
        }
        assert_eq!(window.size as usize, MOVE_WINDOW_MAX);
    }

    #[test]
    fn who_takes_nothing_is_sent_few() {
        let mut window = Window::default();
        for _ in 0..20 {
            (0..4).for_each(|_| window.sent());
            (0..4).for_each(|_| window.failed());
        }
        assert!(window.has_room());
        assert_eq!(window.size as usize, MOVE_WINDOW_MIN);
    }
}
