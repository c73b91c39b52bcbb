//! `Find`.

use super::{Apply, Look};
use crate::command::{Find, Reply};
use crate::shard::message::{Turn, Undone};
use crate::table::Found;

impl Apply for Find {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let reader = turn.writer.reader();
        let Turn { gate, counts, now, .. } = *turn;
        let look = Look { reader: &reader, gate, counts, now };
        Ok(self.find(&look))
    }

    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        Some(self.find(look))
    }
}

impl Find {
    fn find(&self, look: &Look<'_>) -> Reply {
        let bytes_max = usize::try_from(self.bytes_max).unwrap_or(usize::MAX);
        let found = look.reader.find(&self.key, look.now, bytes_max);
        look.counts.looked(&self.key, found.is_some());
        match found {
            Some(Found { value_bytes, .. }) if bytes_max < value_bytes => {
                Reply::Number(value_bytes as u64)
            }
            found => Reply::Entry(found.map(|found| found.entry)),
        }
    }
}
