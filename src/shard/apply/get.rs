//! `Get`.

use super::{Apply, Look};
use crate::command::{Get, Reply};
use crate::shard::message::{Turn, Undone};

impl Apply for Get {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let entry = turn.writer.get(&self.key, turn.now);
        turn.counts.looked(&self.key, entry.is_some());
        Ok(Reply::Entry(entry))
    }

    #[inline]
    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        let entry = look.reader.get(&self.key, look.now);
        look.counts.looked(&self.key, entry.is_some());
        Some(Reply::Entry(entry))
    }
}
