//! `Delete`.

use super::Apply;
use crate::command::{Delete, Reply};
use crate::shard::message::{Turn, Undone};

impl Apply for Delete {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        Ok(Reply::Flag(turn.delete(&self.key)))
    }
}
