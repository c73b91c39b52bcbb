//! Every verb there is, free of protocols.
//!
//! A door makes a [`Command`] of what it read and bytes of the [`Reply`]. Where a command goes is
//! data: [`Command::scope`].

use bytes::Bytes;

use crate::entry::{Entry, Key, Known, MediaType, Millis, Version};
use crate::partition::Slot;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The entry under a key.
    Get(Key),
    /// A value under a key.
    Put(Put),
    /// The end of an entry.
    Delete(Key),
    /// The next number of the counter under this name, from 1. It is held outside the entries, so
    /// that it is never evicted.
    NextId(Key),
    /// What another node knows of a key, if it is newer than what is known here.
    Merge(Key, Known),
    /// The end of what is known of a key, if it is still of that version: another node has it.
    Forget(Key, Version),
}

/// A command and the slot of its key, computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The slot of its key.
    pub slot: Slot,
    /// What to do.
    pub command: Command,
}

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Where it goes.
    pub key: Key,
    /// Its bytes.
    pub value: Bytes,
    /// What the bytes are.
    pub media: MediaType,
    /// When it ends; `None` for never.
    pub expires_at: Option<Millis>,
    /// What must hold for it to be written.
    pub condition: Condition,
}

/// What must hold for a write, decided by the shard's writer together with the write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The key is absent.
    Absent,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Of `Get`: the entry, `None` if absent.
    Found(Option<Entry>),
    /// Of `Put`.
    Stored(Stored),
    /// Of `Delete`: whether there was an entry.
    Deleted(bool),
    /// Of `NextId`.
    Id(u64),
    /// Of `Merge`: whether it was newer.
    Merged(bool),
    /// Of `Forget`: whether there was something to forget.
    Forgotten(bool),
}

/// What became of a `Put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The key was new.
    Created(Version),
    /// The key had another value.
    Replaced(Version),
    /// The key had this very value: nothing was written, the old version stands.
    Unchanged(Version),
    /// The condition did not hold: nothing was written.
    Refused,
    /// The entry is too large for the shard's table: nothing was written.
    TooLarge,
}

/// Who has to do a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The shard of this key, read from its table.
    Read(&'a Key),
    /// The shard of this key, through its writer.
    Write(&'a Key),
}

impl Command {
    /// Who has to do this command.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        match self {
            Self::Get(key) => Scope::Read(key),
            Self::Put(Put { key, .. })
            | Self::Delete(key)
            | Self::NextId(key)
            | Self::Merge(key, _)
            | Self::Forget(key, _) => Scope::Write(key),
        }
    }

    /// Whether it changes nothing, so that it can be asked again.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self.scope(), Scope::Read(_))
    }

    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        let (Scope::Read(key) | Scope::Write(key)) = self.scope();
        key
    }
}

impl Routed {
    /// The command with the slot of its key.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { slot: command.key().slot(), command }
    }

    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.command.key()
    }
}
