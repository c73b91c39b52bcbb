//! What one node does to another's shard so that entries come to who has them: never a client's
//! command.

use super::message::{Task, Turn, Undone};
use crate::entry::{Key, Slot, Version};
use crate::record::Record;
use crate::table;

/// One thing that is taken over, or let go of because another node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// What another node knows of a key, if it is newer than what is known here.
    TakeOver(Record),
    /// The end of what is known of a key, if it is still of that version: another node has it.
    ///
    /// What was sent when the slot had been opened so often is not forgotten once it was opened again:
    /// who took it may have sent it back since, and been told that it is here.
    Forget {
        /// The key.
        key: Key,
        /// The version that the other has.
        version: Version,
        /// How often its slot had been opened here when it was sent, if this node has sent it.
        openings: Option<u32>,
    },
}

impl Transfer {
    /// The slot of its key.
    #[must_use]
    pub fn slot(&self) -> Slot {
        match self {
            Self::TakeOver(record) => record.slot(),
            Self::Forget { key, .. } => key.slot(),
        }
    }
}

/// Whether something changed: it was newer, or it was there to be forgotten.
impl Task for Transfer {
    type Done = bool;

    fn slot(&self) -> Option<Slot> {
        Some(Self::slot(self))
    }

    fn check(&self, turn: &Turn<'_>, slot: Slot) -> Result<(), Undone> {
        let is_allowed = match self {
            Self::TakeOver(..) => turn.gate.serves(slot, turn.now),
            // What came back meanwhile is ours to keep.
            Self::Forget { openings, .. } => {
                !turn.gate.is_open(slot)
                    && openings.is_none_or(|openings| openings == turn.gate.openings(slot))
            }
        };
        if is_allowed { Ok(()) } else { Err(Undone::NotHere) }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::TakeOver(record) => record.as_bytes().len(),
            Self::Forget { key, .. } => key.len(),
        }
    }

    fn done_bytes(_: &bool) -> usize {
        0
    }

    fn can_wait(&self) -> bool {
        false
    }

    fn apply(&self, turn: &mut Turn<'_>) -> Result<bool, Undone> {
        let (is_changed, counter) = match self {
            Self::TakeOver(record) => (take_over(turn, record), &turn.counts.taken_over),
            Self::Forget { key, version, .. } => {
                (turn.writer.forget(key, *version), &turn.counts.moved)
            }
        };
        if is_changed {
            counter.count();
        }
        Ok(is_changed)
    }
}

fn take_over(turn: &mut Turn<'_>, record: &Record) -> bool {
    match turn.writer.merge_record(record, turn.now) {
        table::Merge::Taken => true,
        table::Merge::Older => false,
        table::Merge::TooLarge => {
            // As good as evicted at once, with what it would have replaced.
            turn.counts.too_large(record.as_bytes().len());
            turn.writer.delete(&record.key(), turn.now);
            true
        }
    }
}
