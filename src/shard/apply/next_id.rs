//! `NextId`.

use super::Apply;
use crate::command::{NextId, Reply};
use crate::entry::Entry;
use crate::shard::message::Turn;
use crate::table::NewEntry;

impl Apply for NextId {
    fn apply(&self, turn: &mut Turn<'_>) -> Reply {
        let count = |entry: Entry| entry.value.as_ref().try_into().map(u64::from_le_bytes).ok();
        // What is no number was not written here; counting begins anew then.
        let last = turn.writer.get(&self.counter, turn.now).and_then(count).unwrap_or(0);
        let next = last.saturating_add(1);
        let value = next.to_le_bytes();
        let new = NewEntry { is_pinned: true, ..NewEntry::of(&value) };
        turn.writer.put(&self.counter, &new, turn.now);
        Reply::Number(next)
    }
}
