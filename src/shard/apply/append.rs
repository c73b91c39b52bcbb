//! `Append`.

use super::Apply;
use crate::command::{Append, Changed, Reply};
use crate::entry::Entry;
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Append {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, media, expires_at, condition, .. } = self;
        let old = turn.writer.get(key, turn.now);
        if !condition.holds(old.as_ref().map(|entry| entry.version)) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        let before = old.as_ref().map_or(&[][..], |entry| &entry.value);
        let Some(value) = self.joined(before) else {
            return Ok(Reply::Changed(Changed::TooLarge));
        };
        let new = match &old {
            Some(Entry { media, expires_at, tags, .. }) => {
                NewEntry { value: &value, media, expires_at: *expires_at, tags }
            }
            None => {
                let expires_at = turn.end_of_new(key, *expires_at);
                NewEntry { media, expires_at, ..NewEntry::of(&value) }
            }
        };
        Ok(turn.update(key, &new, value.len() as i64))
    }
}

impl Append {
    /// What is there and what comes together; `None` if that is too much.
    fn joined(&self, before: &[u8]) -> Option<Vec<u8>> {
        let at = self.at.map_or(Some(before.len()), |at| usize::try_from(at).ok())?;
        let end = at.checked_add(self.value.len())?;
        let len = before.len().max(end);
        if self.bytes_max < len as u64 {
            return None;
        }
        let mut value = Vec::with_capacity(len);
        value.extend_from_slice(before);
        value.resize(len, 0);
        value[at..end].copy_from_slice(&self.value);
        Some(value)
    }
}
