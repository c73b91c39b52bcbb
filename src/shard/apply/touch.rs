//! `Touch`.

use super::Apply;
use crate::command::{Changed, Gives, Reply, Touch};
use crate::entry::Entry;
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Touch {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, expires_at, only, condition, gives } = self;
        let old = turn.writer.get(key, turn.now);
        if *gives == Gives::Entry {
            turn.counts.looked(key, old.is_some());
        }
        let Some(old) = old else {
            return Ok(match gives {
                Gives::Entry => Reply::Entry(None),
                Gives::Nothing => Reply::Changed(Changed::Absent),
            });
        };
        if !condition.holds(Some(old.version)) || !only.holds(old.expires_at, *expires_at) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        let Entry { value, media, tags, .. } = &old;
        let new = NewEntry { value, media, expires_at: *expires_at, tags };
        let updated = turn.update(key, &new, 0);
        Ok(match gives {
            Gives::Entry => Reply::Entry(Some(old)),
            Gives::Nothing => updated,
        })
    }
}
