//! `Put`.

use super::Apply;
use crate::command::{Put, Reply, Stored};
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Put {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, value, media, expires_at, condition } = self;
        if !turn.allows(condition, key) {
            return Ok(Reply::Stored(Stored::Refused));
        }
        let expires_at = turn.end_of_new(key, *expires_at);
        let new = NewEntry { media, expires_at, ..NewEntry::of(value) };
        Ok(Reply::Stored(turn.put(key, &new)))
    }
}
