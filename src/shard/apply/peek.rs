//! `Peek`.

use super::{Apply, Look};
use crate::command::{Peek, Reply};
use crate::shard::message::{Turn, Undone};

impl Apply for Peek {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        Ok(Reply::Entry(turn.writer.get(&self.key, turn.now)))
    }

    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        Some(Reply::Entry(look.reader.get(&self.key, look.now)))
    }
}
