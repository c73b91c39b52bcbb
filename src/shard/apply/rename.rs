//! `Rename`.

use super::Apply;
use crate::command::{Changed, Rename, Reply, Source};
use crate::entry::Entry;
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Rename {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let (from, to) = (self.from(), self.to());
        let Some(old) = turn.writer.get(from, turn.now) else {
            return Ok(Reply::Changed(Changed::Absent));
        };
        if !turn.allows(&self.condition, to) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        if from == to {
            return Ok(Reply::Changed(Changed::Done { version: old.version, number: 1 }));
        }
        let Entry { value, media, expires_at, tags, .. } = &old;
        let new = NewEntry { value, media, expires_at: *expires_at, tags };
        let reply = turn.update(to, &new, 1);
        if self.source == Source::Ends && matches!(reply, Reply::Changed(Changed::Done { .. })) {
            turn.delete(from);
        }
        Ok(reply)
    }
}
