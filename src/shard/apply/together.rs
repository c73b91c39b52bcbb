//! `Together`.

use std::collections::HashMap;

use super::{Apply, apply};
use crate::command::{Changed, Command, Reply, Together};
use crate::entry::Key;
use crate::limits::{NUMBER_BYTES_MAX, TOGETHER_REPLY_BYTES_MAX};
use crate::shard::message::{Turn, Undone};

impl Apply for Together {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let mut watched = self.watched().iter();
        if !watched.all(|(key, seen)| turn.writer.head(key, turn.now) == *seen) {
            return Ok(Reply::Changed(Changed::Refused));
        }
        if TOGETHER_REPLY_BYTES_MAX < self.given_bytes(turn) {
            return Ok(Reply::Changed(Changed::TooLarge));
        }
        // No verb about keys is put off once it is its turn, so that all are done.
        let replies = self.commands().iter().map(|command| apply(command, turn));
        Ok(Reply::List(replies.collect::<Result<_, _>>()?))
    }
}

impl Together {
    /// Bytes of the values that are given, at most.
    fn given_bytes(&self, turn: &Turn<'_>) -> usize {
        if !self.commands().iter().any(Command::can_wait) {
            return 0;
        }
        let mut lens = Lens { turn, lens: HashMap::new() };
        self.commands().iter().map(|command| lens.given(command)).sum()
    }
}

/// How long values are at most, as far as commands were looked at.
struct Lens<'a> {
    turn: &'a Turn<'a>,
    lens: HashMap<&'a Key, usize>,
}

impl<'a> Lens<'a> {
    /// Bytes that a command gives at most, and what it makes of its value.
    fn given(&mut self, command: &'a Command) -> usize {
        let [key, others @ ..] = command.keys() else { return 0 };
        let old = *self.len(key);
        let new = match command {
            Command::Put(put) => put.value.len(),
            Command::Swap(swap) => swap.value.len(),
            Command::Append(append) => {
                let at = append.at.map_or(old, |at| usize::try_from(at).unwrap_or(usize::MAX));
                at.saturating_add(append.value.len()).min(append.bytes_max as usize)
            }
            Command::Increment(_) => NUMBER_BYTES_MAX,
            Command::Rename(_) => {
                others.iter().for_each(|to| {
                    let len = self.len(to);
                    *len = old.max(*len);
                });
                0
            }
            other => old.saturating_add(other.bytes()),
        };
        *self.len(key) = old.max(new);
        match command {
            Command::Find(find) if (find.bytes_max as usize) < old => 0,
            command if command.can_wait() => old,
            _ => 0,
        }
    }

    fn len(&mut self, key: &'a Key) -> &mut usize {
        let Self { turn, lens } = self;
        lens.entry(key).or_insert_with(|| {
            turn.writer.reader().find(key, turn.now, 0).map_or(0, |found| found.value_bytes)
        })
    }
}
