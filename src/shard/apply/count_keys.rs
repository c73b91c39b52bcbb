//! `CountKeys`.

use super::{Apply, Look};
use crate::command::{CountKeys, Reply};
use crate::entry::Slot;
use crate::shard::message::{Turn, Undone};
use crate::table::TableReader;

impl Apply for CountKeys {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        Ok(count(&turn.writer.reader(), self.slot))
    }

    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        Some(count(look.reader, self.slot))
    }
}

fn count(reader: &TableReader, slot: Option<Slot>) -> Reply {
    let keys = slot.map_or_else(|| reader.keys(), |slot| reader.count(slot).keys.into());
    Reply::Number(keys)
}
