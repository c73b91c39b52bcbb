//! What is done for each verb: a file each.

mod append;
mod count_keys;
mod delete;
mod delete_many;
mod find;
mod get;
mod increment;
mod list_keys;
mod measure;
mod next_id;
mod patch;
#[cfg(feature = "next-protocol")]
mod peek;
mod put;
mod rename;
mod swap;
mod take;
mod together;
mod touch;

use super::message::{Task, Turn, Undone};
use crate::command::{Command, Reply, with_verbs};
use crate::entry::{Millis, Slot};
use crate::shard::{Counts, Gate};
use crate::table::TableReader;

/// What a shard does for a verb.
trait Apply {
    /// What the writer does, and what came of it; nothing changed if that is why it was not done.
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone>;

    /// The same without the writer; `None` for what has to go through it.
    fn read(&self, _look: &Look<'_>) -> Option<Reply> {
        None
    }
}

/// What is read without the writer.
pub(super) struct Look<'a> {
    pub(super) reader: &'a TableReader,
    pub(super) gate: &'a Gate,
    pub(super) counts: &'a Counts,
    pub(super) now: Millis,
}

macro_rules! dispatch {
    ($($(#[$only:meta])* $verb:ident)*) => {
        /// What came of a command that needs no writer; `None` for one that does.
        #[inline]
        pub(super) fn read(command: &Command, look: &Look<'_>) -> Option<Reply> {
            match command {
                $($(#[$only])* Command::$verb(verb) => verb.read(look),)*
            }
        }

        fn apply(command: &Command, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
            match command {
                $($(#[$only])* Command::$verb(verb) => verb.apply(turn),)*
            }
        }
    };
}

with_verbs!(dispatch);

impl Task for Command {
    type Done = Reply;

    fn slot(&self) -> Option<Slot> {
        Self::slot(self)
    }

    fn check(&self, turn: &Turn<'_>, slot: Slot) -> Result<(), Undone> {
        if turn.gate.serves(slot, turn.now) { Ok(()) } else { Err(Undone::NotHere) }
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn done_bytes(reply: &Reply) -> usize {
        reply.bytes()
    }

    fn can_wait(&self) -> bool {
        Self::can_wait(self)
    }

    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        apply(self, turn)
    }
}
