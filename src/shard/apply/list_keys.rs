//! `ListKeys`.

use xxhash_rust::xxh3::Xxh3;

use super::{Apply, Look};
use crate::command::{ListKeys, Page, Reply, Wants};
use crate::entry::{SLOTS, Slot};
use crate::limits::LIST_KEYS_MAX;
use crate::partition::SlotSet;
use crate::shard::message::{Turn, Undone};
use crate::table::{Cursor, KeyLook, KeyStep};

/// What one pass goes over, and what tells it from any other.
struct Pass {
    slots: SlotSet,
    token: u64,
}

impl Apply for ListKeys {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let reader = turn.writer.reader();
        let Turn { gate, counts, now, .. } = *turn;
        Ok(self.list(&Look { reader: &reader, gate, counts, now }))
    }

    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        Some(self.list(look))
    }
}

impl ListKeys {
    fn list(&self, look: &Look<'_>) -> Reply {
        let pass = self.pass_now(look);
        let from = if pass.token == self.pass { self.from } else { 0 };
        let keys = KeyLook {
            namespace: self.namespace.as_bytes(),
            prefix: &self.prefix,
            is_wanted: |slot| pass.slots.contains(slot),
            wants_bytes: self.wants == Wants::Keys,
        };
        let keys_max = (self.keys_max as usize).clamp(1, LIST_KEYS_MAX);
        let step = look.reader.scan_keys(Cursor::from(from), keys_max, look.now, &keys);
        let KeyStep { keys, count, next } = step;
        let page = Page { keys, count, ..Page::default() };
        // What was closed meanwhile may have been forgotten before it was looked at.
        let is_whole = self.pass_now(look).token == pass.token;
        Reply::Page(match (is_whole, next) {
            (false, _) => page,
            (true, Some(next)) => Page { pass: pass.token, next: next.into(), ..page },
            (true, None) => Page { seen: pass.slots, ..page },
        })
    }

    /// The pass over what is all here now of the slots of this shard that were not seen.
    fn pass_now(&self, look: &Look<'_>) -> Pass {
        let tables = look.reader.tables();
        let mut hash = Xxh3::with_seed(look.reader.seed());
        let mut slots = SlotSet::new();
        for slot in (self.slot.0 % tables..SLOTS).step_by(tables.into()).map(Slot) {
            if look.gate.is_settled(slot, look.now) && !self.seen.contains(slot) {
                slots.insert(slot);
                hash.update(&slot.0.to_le_bytes());
                hash.update(&look.gate.openings(slot).to_le_bytes());
            }
        }
        // 0 is none.
        Pass { slots, token: hash.digest().max(1) }
    }
}
