//! `Get`.

use super::{Apply, Look};
use crate::command::{Get, Reply};
use crate::shard::message::Turn;

impl Apply for Get {
    fn apply(&self, turn: &mut Turn<'_>) -> Reply {
        let entry = turn.writer.get(&self.key, turn.now);
        turn.counts.looked(entry.is_some());
        Reply::Entry(entry)
    }

    #[inline]
    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        let entry = look.reader.get(&self.key, look.now);
        look.counts.looked(entry.is_some());
        Some(Reply::Entry(entry))
    }
}
