//! What clients asked and were told, and what that promises.

use std::collections::BTreeMap;

use crate::message::{KEYS, Op, Record, Verb};

#[derive(Default)]
pub struct History {
    /// The greatest acknowledged write of each key, and how often a copy of it went down with a node.
    acked: [Acked; KEYS],
    losses: [u64; KEYS],
    open: BTreeMap<u64, Begun>,
    pub requests: u64,
    pub answered: u64,
    /// Whether reads and writes are compared; not any more when a living node was taken for dead.
    pub is_strict: bool,
}

#[derive(Debug)]
struct Begun {
    at_us: u64,
    acked: Acked,
    losses: u64,
}

/// A write that was acknowledged, or that somebody has read.
#[derive(Clone, Copy, Debug, Default)]
struct Acked {
    version: u64,
    /// When what it wrote ends: at once if it was a delete.
    ends_us: u64,
}

impl History {
    pub fn new() -> Self {
        Self { is_strict: true, ..Self::default() }
    }

    pub fn begin(&mut self, now: u64, op: &Op) {
        self.requests += 1;
        let (acked, losses) = (self.acked[op.key], self.losses[op.key]);
        self.open.insert(op.id, Begun { at_us: now, acked, losses });
    }

    /// A client was told `record` at `now`: what it read, or what it wrote.
    pub fn end(&mut self, now: u64, op: &Op, record: Option<Record>) {
        let Some(begun) = self.open.remove(&op.id) else { return };
        self.answered += 1;
        let version = record.map_or(0, |record| record.version);
        if matches!(op.verb, Verb::Put | Verb::PutBrief(_)) {
            assert_eq!(record.and_then(|record| record.value), Some(op.id));
        }
        if begun.losses != self.losses[op.key] || !self.is_strict {
            return;
        }
        match op.verb {
            Verb::Get => {
                let is_read = record.is_some_and(|record| record.value.is_some());
                // Nothing is read once what was acknowledged has ended; what is older never is.
                let is_right =
                    begun.acked.version <= version || !is_read && begun.acked.ends_us <= now;
                assert!(is_right, "stale read {op:?}: {record:?}, acknowledged was {begun:?}");
                if let Some(record) = record.filter(|_| is_read) {
                    let is_late = record.ends_us < begun.at_us;
                    assert!(!is_late, "read after its end {op:?}: {record:?}");
                    self.note(op.key, record);
                }
            }
            Verb::Put | Verb::PutBrief(_) | Verb::Delete => {
                let is_right = begun.acked.version < version;
                assert!(is_right, "write {op:?} in the past: {record:?}");
                if let Some(record) = record {
                    self.note(op.key, record);
                }
            }
        }
    }

    fn note(&mut self, key: usize, record: Record) {
        if self.acked[key].version < record.version {
            let ends_us = if record.value.is_some() { record.ends_us } else { 0 };
            self.acked[key] = Acked { version: record.version, ends_us };
        }
    }

    /// The least version that must be left of a key at `now`.
    pub fn due(&self, now: u64, key: usize) -> u64 {
        let Acked { version, ends_us } = self.acked[key];
        if now < ends_us { version } else { 0 }
    }

    /// A node went down with a copy of `key`, which may have been the only one.
    pub fn lose(&mut self, key: usize) {
        self.acked[key] = Acked::default();
        self.losses[key] += 1;
    }
}
