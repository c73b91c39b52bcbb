//! `Delete`.

use super::Apply;
use crate::command::{Delete, Reply};
use crate::shard::message::Turn;

impl Apply for Delete {
    fn apply(&self, turn: &mut Turn<'_>) -> Reply {
        Reply::Flag(turn.delete(&self.key))
    }
}
