//! `Swap`.

use super::Apply;
use crate::command::{End, Gives, Reply, Stored, Swap};
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Swap {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, value, media, end, condition, gives } = self;
        let old = turn.writer.get(key, turn.now);
        let stored = match condition.holds(old.as_ref().map(|entry| entry.version)) {
            false => Stored::Refused,
            true => {
                let expires_at = match (end, &old) {
                    (End::At(end), _) => turn.end_of_new(key, *end),
                    (End::Kept, Some(old)) => old.expires_at,
                    (End::Kept, None) => turn.end_of_new(key, None),
                };
                turn.put(key, &NewEntry { media, expires_at, ..NewEntry::of(value) })
            }
        };
        let given = match gives {
            Gives::Entry => {
                turn.counts.looked(key, old.is_some());
                old
            }
            Gives::Nothing => None,
        };
        Ok(Reply::Swapped(given, stored))
    }
}
