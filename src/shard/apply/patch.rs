//! `Patch`.

use super::Apply;
use crate::command::{Changed, Patch, Reply, Unfit};
use crate::document::DocumentError;
use crate::entry::Entry;
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Patch {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, condition, .. } = self;
        let Some(old) = turn.writer.get(key, turn.now) else {
            return Ok(Reply::Changed(Changed::Absent));
        };
        if !condition.holds(Some(old.version)) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        let value = match self.changed(&old) {
            Ok(value) => value,
            Err(why) => return Ok(Reply::Changed(why)),
        };
        let Entry { media, expires_at, tags, .. } = &old;
        let new = NewEntry { value: &value, media, expires_at: *expires_at, tags };
        Ok(turn.update(key, &new, value.len() as i64))
    }
}

impl Patch {
    fn changed(&self, old: &Entry) -> Result<Vec<u8>, Changed> {
        let bytes_max = usize::try_from(self.bytes_max).unwrap_or(usize::MAX);
        if old.media.coding().is_some() {
            return Err(Changed::Unfit(Unfit::NotJson));
        }
        let change = self.form.read(&self.patch);
        change.and_then(|change| change.apply(&old.value, bytes_max)).map_err(|error| match error {
            DocumentError::NotJson => Changed::Unfit(Unfit::NotJson),
            DocumentError::TooLarge => Changed::TooLarge,
            DocumentError::NotPatch(_) | DocumentError::Mismatch(_) | DocumentError::TooDeep => {
                Changed::Unfit(Unfit::mismatch(&error.to_string()))
            }
        })
    }
}
