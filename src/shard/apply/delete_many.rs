//! `DeleteMany`.

use super::Apply;
use crate::command::{DeleteMany, Reply};
use crate::shard::message::{Turn, Undone};

impl Apply for DeleteMany {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let was_there = self.keys().iter().filter(|key| turn.delete(key));
        Ok(Reply::Number(was_there.count() as u64))
    }
}
