//! Which slots this node may write, seen by every reader and writer without a lock.
//!
//! A node gives a slot away by closing it here and then passing a barrier through its writers: what
//! they apply after the barrier they apply with the slot closed, that is, not at all.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::entry::Millis;
use crate::partition::{SLOTS, Slot};

const WORDS: usize = SLOTS as usize / 64;

/// What this node does with each slot.
pub struct Gate {
    /// It is ours: commands are done here.
    serves: Bits,
    /// It is ours or about to be: what is asked of it waits here.
    ours: Bits,
    /// Some of it may still be elsewhere: what is missed here is asked for there.
    arriving: Bits,
    /// Something of it was left here from an earlier time, and may be older than what is elsewhere.
    doubtful: Bits,
    /// Until when this node may believe all of that without looking again.
    lease: AtomicU64,
    /// Whether deletions have to be remembered, as other nodes may still have what was deleted.
    has_peers: AtomicBool,
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

/// One bit for each slot.
struct Bits([AtomicU64; WORDS]);

impl Default for Gate {
    /// The gate of a node that is alone: every slot is its own, for ever.
    fn default() -> Self {
        Self {
            serves: Bits(array::from_fn(|_| AtomicU64::new(u64::MAX))),
            ours: Bits(array::from_fn(|_| AtomicU64::new(u64::MAX))),
            arriving: Bits(array::from_fn(|_| AtomicU64::new(0))),
            doubtful: Bits(array::from_fn(|_| AtomicU64::new(0))),
            lease: AtomicU64::new(u64::MAX),
            has_peers: AtomicBool::new(false),
        }
    }
}

impl Gate {
    /// Whether commands for `slot` are done here, as far as is known at `now`.
    #[inline]
    #[must_use]
    pub fn serves(&self, slot: Slot, now: Millis) -> bool {
        self.serves.has(slot) && now.0 <= self.lease.load(Ordering::Relaxed)
    }

    /// Whether commands for `slot` are done here.
    #[inline]
    pub(super) fn is_open(&self, slot: Slot) -> bool {
        self.serves.has(slot)
    }

    /// Whether `slot` is ours or about to be.
    #[inline]
    #[must_use]
    pub fn is_ours(&self, slot: Slot) -> bool {
        self.ours.has(slot)
    }

    /// Whether some of `slot` may still be elsewhere.
    #[inline]
    #[must_use]
    pub fn is_arriving(&self, slot: Slot) -> bool {
        self.arriving.has(slot)
    }

    /// Whether there are other nodes.
    #[inline]
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
    }

    /// Whether what is known here of keys in `slot` may be older than what is elsewhere, while it is
    /// arriving.
    #[inline]
    #[must_use]
    pub fn is_doubtful(&self, slot: Slot) -> bool {
        self.doubtful.has(slot)
    }

    /// Says what is done with `slot` from now on.
    pub fn set(&self, slot: Slot, Passage { serves, is_ours, is_arriving, is_doubtful }: Passage) {
        self.doubtful.set(slot, is_doubtful);
        // What is missed is asked for elsewhere before anybody can miss it, and for longer.
        if is_arriving {
            self.arriving.set(slot, true);
        }
        self.ours.set(slot, is_ours);
        self.serves.set(slot, serves);
        if !is_arriving {
            self.arriving.set(slot, false);
        }
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
}

impl Bits {
    #[inline]
    fn has(&self, Slot(slot): Slot) -> bool {
        let word = self.0[usize::from(slot) / 64].load(Ordering::Acquire);
        word & (1 << (slot % 64)) != 0
    }

    fn set(&self, Slot(slot): Slot, is_set: bool) {
        let (word, bit) = (&self.0[usize::from(slot) / 64], 1 << (slot % 64));
        match is_set {
            true => word.fetch_or(bit, Ordering::AcqRel),
            false => word.fetch_and(!bit, Ordering::AcqRel),
        };
    }
}
