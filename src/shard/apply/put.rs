//! `Put`.

use super::Apply;
use crate::command::{Condition, Put, Reply, Stored};
use crate::shard::message::{Turn, Undone};
use crate::table::{self, NewEntry};

impl Apply for Put {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, value, media, expires_at, condition } = self;
        let is_allowed = match condition {
            Condition::Always => true,
            condition => condition.holds(turn.writer.head(key, turn.now)),
        };
        if !is_allowed {
            return Ok(Reply::Stored(Stored::Refused));
        }
        let new = NewEntry { value, media, expires_at: *expires_at, ..NewEntry::of(value) };
        let (put, version) = turn.writer.put(key, &new, turn.now);
        Ok(Reply::Stored(match put {
            table::Put::Created => {
                turn.counts.wrote();
                Stored::Created(version)
            }
            table::Put::Replaced => {
                turn.counts.wrote();
                Stored::Replaced(version)
            }
            table::Put::Unchanged => Stored::Unchanged(version),
            table::Put::TooLarge => Stored::TooLarge,
        }))
    }
}
