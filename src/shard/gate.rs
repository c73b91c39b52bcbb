//! Which slots this node may write, seen by every reader and writer without a lock.
//!
//! A node gives a slot away by closing it here and then passing a barrier through its writers: what
//! they apply after the barrier they apply with the slot closed, that is, not at all.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use crate::entry::Millis;
use crate::partition::{SLOTS, Slot};

/// It is ours: commands are done here.
const SERVES: u8 = 1;
/// It is ours or about to be: what is asked of it waits here.
const OURS: u8 = 1 << 1;
/// Some of it may still be elsewhere: what is missed here is asked for there.
const ARRIVING: u8 = 1 << 2;
/// Something of it was left here from an earlier time, and may be older than what is elsewhere.
const DOUBTFUL: u8 = 1 << 3;

/// What this node does with each slot: a byte each, so that one look tells all and one store changes
/// all at once.
pub struct Gate {
    slots: [AtomicU8; SLOTS as usize],
    /// How often each slot was opened.
    openings: [AtomicU32; SLOTS as usize],
    /// Counts changes; odd while some slots are being changed.
    changes: AtomicU64,
    /// Until when this node may believe all of that without looking again.
    lease: AtomicU64,
    /// Whether deletions have to be remembered, as other nodes may still have what was deleted.
    has_peers: AtomicBool,
    /// Until when a node that was lost may come back with what it held.
    lost_until: AtomicU64,
}

/// What is done with a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// It is ours: commands are done here.
    pub serves: bool,
    /// It is ours or about to be: what is asked of it waits here.
    pub is_ours: bool,
    /// Some of it may still be elsewhere.
    pub is_arriving: bool,
    /// What is here of it may be older than what is elsewhere.
    pub is_doubtful: bool,
}

/// A look at many slots at a time in which nothing changed.
pub struct Look<'a> {
    gate: &'a Gate,
    is_leased: bool,
}

impl Default for Gate {
    /// The gate of a node that is alone: every slot is its own, for ever.
    fn default() -> Self {
        Self {
            slots: array::from_fn(|_| AtomicU8::new(SERVES | OURS)),
            openings: array::from_fn(|_| AtomicU32::new(0)),
            changes: AtomicU64::new(0),
            lease: AtomicU64::new(u64::MAX),
            has_peers: AtomicBool::new(false),
            lost_until: AtomicU64::new(0),
        }
    }
}

impl Gate {
    /// Whether commands for `slot` are done here, as far as is known at `now`.
    #[inline]
    #[must_use]
    pub fn serves(&self, slot: Slot, now: Millis) -> bool {
        self.has(slot, SERVES) && self.is_leased(now)
    }

    /// Whether commands for `slot` are done here and nothing of it is elsewhere.
    #[inline]
    #[must_use]
    pub fn is_settled(&self, slot: Slot, now: Millis) -> bool {
        is_settled(self.load(slot)) && self.is_leased(now)
    }

    /// Whether commands for `slot` are done here.
    #[inline]
    pub(super) fn is_open(&self, slot: Slot) -> bool {
        self.has(slot, SERVES)
    }

    /// How often commands for `slot` began to be done here. Who finds it closed finds it counted.
    #[must_use]
    pub fn openings(&self, slot: Slot) -> u32 {
        self.openings[usize::from(slot.0)].load(Ordering::Relaxed)
    }

    /// Whether `slot` is ours or about to be.
    #[inline]
    #[must_use]
    pub fn is_ours(&self, slot: Slot) -> bool {
        self.has(slot, OURS)
    }

    /// Whether some of `slot` may still be elsewhere.
    #[inline]
    #[must_use]
    pub fn is_arriving(&self, slot: Slot) -> bool {
        self.has(slot, ARRIVING)
    }

    /// Whether what is known here of keys in `slot` may be older than what is elsewhere, while it is
    /// arriving.
    #[inline]
    #[must_use]
    pub fn is_doubtful(&self, slot: Slot) -> bool {
        self.has(slot, DOUBTFUL)
    }

    /// Whether there are other nodes.
    #[inline]
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
    }

    /// Whether an entry of `slot` that nobody knows of here may still come: from who had the slot
    /// before, or from a node that was lost.
    #[inline]
    #[must_use]
    pub fn may_bring(&self, slot: Slot, now: Millis) -> bool {
        self.is_arriving(slot) || now.0 < self.lost_until.load(Ordering::Relaxed)
    }

    /// Counts changes of what is done with slots: who has seen another number looks again.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What `look` makes of the slots, if none of them was changed meanwhile.
    pub fn look<T>(&self, now: Millis, look: impl FnOnce(&Look<'_>) -> T) -> Option<T> {
        let before = self.changes.load(Ordering::Acquire);
        let looked = look(&Look { gate: self, is_leased: self.is_leased(now) });
        // The looks at the slots are before the second look at the count (a seqlock, as in the table).
        fence(Ordering::Acquire);
        let is_still = before.is_multiple_of(2) && self.changes.load(Ordering::Relaxed) == before;
        is_still.then_some(looked)
    }

    /// Says what is done with some slots from now on. One at a time changes the gate.
    pub fn set_all(&self, passages: impl IntoIterator<Item = (Slot, Passage)>) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::Release);
        for (slot, passage) in passages {
            let flag = |is_set, flag| if is_set { flag } else { 0 };
            let Passage { serves, is_ours, is_arriving, is_doubtful } = passage;
            let flags = flag(serves, SERVES)
                | flag(is_ours, OURS)
                | flag(is_arriving, ARRIVING)
                | flag(is_doubtful, DOUBTFUL);
            if serves && !self.is_open(slot) {
                self.openings[usize::from(slot.0)].fetch_add(1, Ordering::Relaxed);
            }
            self.slots[usize::from(slot.0)].store(flags, Ordering::Release);
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Until when all of this may be believed.
    #[must_use]
    pub fn lease_end(&self) -> Millis {
        Millis(self.lease.load(Ordering::Relaxed))
    }

    /// Says until when all of this may be believed.
    pub fn lease_until(&self, end: Millis) {
        self.lease.store(end.0, Ordering::Relaxed);
    }

    /// Says whether there are other nodes.
    pub fn set_peers(&self, has_peers: bool) {
        self.has_peers.store(has_peers, Ordering::Relaxed);
    }

    /// Notes that a node was lost: until `end` it may come back with what it held.
    pub fn lost_until(&self, end: Millis) {
        self.lost_until.fetch_max(end.0, Ordering::Relaxed);
    }

    #[inline]
    fn is_leased(&self, now: Millis) -> bool {
        now.0 <= self.lease.load(Ordering::Relaxed)
    }

    #[inline]
    fn has(&self, slot: Slot, flag: u8) -> bool {
        self.load(slot) & flag != 0
    }

    #[inline]
    fn load(&self, slot: Slot) -> u8 {
        self.slots[usize::from(slot.0)].load(Ordering::Acquire)
    }
}

impl Look<'_> {
    /// As [`Gate::is_settled`].
    #[must_use]
    pub fn is_settled(&self, slot: Slot) -> bool {
        is_settled(self.gate.load(slot)) && self.is_leased
    }

    /// As [`Gate::is_ours`].
    #[must_use]
    pub fn is_ours(&self, slot: Slot) -> bool {
        self.gate.is_ours(slot)
    }
}

fn is_settled(flags: u8) -> bool {
    flags & (SERVES | ARRIVING) == SERVES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_only_if_nothing_changed_meanwhile() {
        let (gate, now) = (Gate::default(), Millis(1));
        assert_eq!(gate.look(now, |look| look.is_settled(Slot(7))), Some(true));
        let closed = || (Slot(7), Passage::default());
        let looked = gate.look(now, |look| {
            gate.set_all([closed()]);
            look.is_settled(Slot(7))
        });
        assert_eq!(looked, None);
        assert_eq!(gate.look(now, |look| look.is_settled(Slot(7))), Some(false));
    }

    #[test]
    fn a_lease_that_is_over_closes_every_slot() {
        let gate = Gate::default();
        gate.lease_until(Millis(5));
        assert!(gate.serves(Slot(1), Millis(5)) && !gate.serves(Slot(1), Millis(6)));
        assert_eq!(gate.look(Millis(6), |look| look.is_settled(Slot(1))), Some(false));
    }
}
