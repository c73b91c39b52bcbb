//! What clients asked and were told, and what that promises.

use std::collections::BTreeMap;

use crate::message::{KEYS, Op, Record, Verb};

#[derive(Default)]
pub struct History {
    /// Greatest acknowledged version of each key, and how often a copy of it went down with a node.
    acked: [u64; KEYS],
    losses: [u64; KEYS],
    open: BTreeMap<u64, Begun>,
    pub requests: u64,
    pub answered: u64,
    /// Whether reads and writes are compared; not any more when a living node was taken for dead.
    pub is_strict: bool,
}

struct Begun {
    acked: u64,
    losses: u64,
}

impl History {
    pub fn new() -> Self {
        Self { is_strict: true, ..Self::default() }
    }

    pub fn begin(&mut self, op: &Op) {
        self.requests += 1;
        let begun = Begun { acked: self.acked[op.key], losses: self.losses[op.key] };
        self.open.insert(op.id, begun);
    }

    /// A client was told `record`: what it read, or what it wrote.
    pub fn end(&mut self, op: &Op, record: Option<Record>) {
        let Some(begun) = self.open.remove(&op.id) else { return };
        self.answered += 1;
        let version = record.map_or(0, |record| record.version);
        if op.verb == Verb::Put {
            assert_eq!(record.and_then(|record| record.value), Some(op.id));
        }
        if begun.losses != self.losses[op.key] {
            return;
        }
        let is_right = !self.is_strict || begun.acked <= version;
        match op.verb {
            Verb::Get => assert!(
                is_right,
                "stale read {op:?}: {record:?}, acknowledged was {:x}",
                begun.acked
            ),
            Verb::Put | Verb::Delete => {
                assert!(is_right, "write {op:?} in the past: {record:?}");
                self.acked[op.key] = self.acked[op.key].max(version);
            }
        }
    }

    /// The least version that must be left of a key.
    pub fn due(&self, key: usize) -> u64 {
        self.acked[key]
    }

    /// A node went down with a copy of `key`, which may have been the only one.
    pub fn lose(&mut self, key: usize) {
        self.acked[key] = 0;
        self.losses[key] += 1;
    }
}
