//! `Take`.

use super::Apply;
use crate::command::{Changed, Gives, Reply, Take};
use crate::shard::message::{Turn, Undone};

impl Apply for Take {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let Self { key, condition, gives } = self;
        let version = turn.writer.head(key, turn.now);
        if version.is_some() && !condition.holds(version) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        Ok(match gives {
            Gives::Entry => {
                let entry = turn.writer.get(key, turn.now);
                turn.counts.looked(key, entry.is_some());
                turn.delete(key);
                Reply::Entry(entry)
            }
            Gives::Nothing => Reply::Flag(turn.delete(key)),
        })
    }
}
