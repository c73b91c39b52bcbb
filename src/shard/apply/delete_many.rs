//! `DeleteMany`.

use super::Apply;
use crate::command::{DeleteMany, Reply};
use crate::shard::message::Turn;

impl Apply for DeleteMany {
    fn apply(&self, turn: &mut Turn<'_>) -> Reply {
        let was_there = self.keys().iter().filter(|key| turn.delete(key));
        Reply::Number(was_there.count() as u64)
    }
}
