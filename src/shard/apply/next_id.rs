//! `NextId`.

use super::Apply;
use crate::command::{NextId, Reply};
use crate::shard::message::{Turn, Undone};

impl Apply for NextId {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        turn.ids.take().map(Reply::Number).ok_or(Undone::NoIds)
    }
}
