//! `Increment`.

use super::Apply;
use crate::command::{Changed, Increment, Reply, Unfit};
use crate::entry::{Entry, MediaType};
use crate::shard::message::{Turn, Undone};
use crate::table::NewEntry;

impl Apply for Increment {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, expires_at, condition, .. } = self;
        let old = turn.writer.get(key, turn.now);
        if !condition.holds(old.as_ref().map(|entry| entry.version)) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        let sum = match self.sum(old.as_ref()) {
            Ok(sum) => sum,
            Err(unfit) => return Ok(Reply::Changed(Changed::Unfit(unfit))),
        };
        let text = sum.to_string();
        // A decimal integer is JSON, so that a new counter is that.
        let new = NewEntry { media: &MediaType::Json, ..NewEntry::of(text.as_bytes()) };
        let new = match &old {
            Some(Entry { media, expires_at, tags, .. }) => {
                NewEntry { media, expires_at: *expires_at, tags, ..new }
            }
            None => NewEntry { expires_at: turn.end_of_new(key, *expires_at), ..new },
        };
        Ok(turn.update(key, &new, sum))
    }
}

impl Increment {
    fn sum(&self, old: Option<&Entry>) -> Result<i64, Unfit> {
        let Self { by, initial, min, max, .. } = self;
        let number = old.map_or(Ok(*initial), |entry| integer_of(&entry.value))?;
        let sum = number.checked_add(*by).ok_or(Unfit::Overflow)?;
        if (*min..=*max).contains(&sum) { Ok(sum) } else { Err(Unfit::Bound(sum)) }
    }
}

/// The number that a value is: in decimal, as it would be written.
fn integer_of(value: &[u8]) -> Result<i64, Unfit> {
    let text = std::str::from_utf8(value).map_err(|_| Unfit::NotInteger)?;
    let number: i64 = text.parse().map_err(|_| Unfit::NotInteger)?;
    if number.to_string() == text { Ok(number) } else { Err(Unfit::NotInteger) }
}
