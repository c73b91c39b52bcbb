//! How often the log says the same: what goes on for hours is no news after the first line.
//!
//! What is the same is what is meant, a kind that whoever logs makes up, and never the text of a line,
//! in which there may be an address or a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// When each kind of line was written last.
pub struct Quiet<K> {
    /// Between two lines of a kind.
    pause: Duration,
    /// More than these at a time, and new kinds are not written.
    kinds_max: usize,
    said: Mutex<Option<HashMap<K, Said>>>,
}

#[derive(Clone, Copy)]
struct Said {
    at: Duration,
    /// Lines that were kept back since.
    kept: u64,
}

impl<K: Eq + Hash> Quiet<K> {
    /// A pause between two lines of a kind, and how many kinds are told apart at a time.
    #[must_use]
    pub const fn new(pause: Duration, kinds_max: usize) -> Self {
        Self { pause, kinds_max, said: Mutex::new(None) }
    }

    /// Whether a line of a kind is to be written at `now`, by the steady clock, and if so how many of its
    /// kind were kept back since the last one; `None` if it is kept back as well.
    pub fn may_say(&self, kind: K, now: Duration) -> Option<u64> {
        // Nothing that can panic is done under the lock.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = said.get_or_insert_default();
        let is_recent = |said: &Said| now.saturating_sub(said.at) < self.pause;
        if self.kinds_max <= said.len() {
            said.retain(|_, said| is_recent(said));
        }
        let is_full = self.kinds_max <= said.len();
        match said.get_mut(&kind) {
            Some(said) if is_recent(said) => {
                said.kept += 1;
                None
            }
            Some(said) => Some(std::mem::replace(said, Said { at: now, kept: 0 }).kept),
            None if is_full => None,
            None => {
                said.insert(kind, Said { at: now, kept: 0 });
                Some(0)
            }
        }
    }
}

/// How many lines of one kind are written in a second.
pub struct Pace {
    lines_max: u64,
    second: AtomicU64,
    /// Lines of that second, with those kept back.
    lines: AtomicU64,
}

impl Pace {
    /// So many lines a second.
    #[must_use]
    pub const fn new(lines_max: u64) -> Self {
        Self { lines_max, second: AtomicU64::new(0), lines: AtomicU64::new(0) }
    }

    /// Whether a line is to be written at `now`, by the steady clock, and if so how many were kept back
    /// before it, in the last second in which there were any. Of who comes at the same moment, one more
    /// may be written.
    pub fn may_say(&self, now: Duration) -> Option<u64> {
        let is_new = self.second.swap(now.as_secs(), Ordering::Relaxed) != now.as_secs();
        if is_new {
            let before = self.lines.swap(1, Ordering::Relaxed);
            return Some(before.saturating_sub(self.lines_max));
        }
        let before = self.lines.fetch_add(1, Ordering::Relaxed);
        (before < self.lines_max).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_kind_is_said_once_in_a_while_and_then_how_often_it_was_not() {
        let quiet = Quiet::new(10 * SECOND, 8);
        assert_eq!(quiet.may_say("a", SECOND), Some(0));
        assert_eq!(quiet.may_say("a", 2 * SECOND), None);
        assert_eq!(quiet.may_say("b", 2 * SECOND), Some(0));
        assert_eq!(quiet.may_say("a", 10 * SECOND), None);
        assert_eq!(quiet.may_say("a", 11 * SECOND), Some(2));
        assert_eq!(quiet.may_say("a", 21 * SECOND), Some(0));
    }

    #[test]
    fn so_many_lines_are_said_in_a_second_and_then_how_many_were_not() {
        let pace = Pace::new(3);
        let said: Vec<_> = (0..5).map(|_| pace.may_say(7 * SECOND)).collect();
        assert_eq!(said, [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(pace.may_say(9 * SECOND), Some(2));
        assert_eq!(pace.may_say(10 * SECOND), Some(0));
    }

    #[test]
    fn too_many_kinds_at_a_time_are_not_said_and_old_ones_make_room() {
        let quiet = Quiet::new(10 * SECOND, 2);
        assert_eq!((quiet.may_say(1, SECOND), quiet.may_say(2, SECOND)), (Some(0), Some(0)));
        assert_eq!(quiet.may_say(3, SECOND), None);
        assert_eq!(quiet.may_say(3, 11 * SECOND), Some(0));
    }
}
