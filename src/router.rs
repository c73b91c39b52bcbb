//! Which shard has a key. It knows where things are and never decides it.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::command::{Command, Reply, Routed, Scope};
use crate::entry::{Entry, Key, Millis};
use crate::error::Error;
use crate::partition::{Slot, slot_of};
use crate::shard::Shard;

/// The shards of this node. Clones are the same shards.
#[derive(Clone)]
pub struct Router {
    shards: Arc<[Shard]>,
}

impl Router {
    /// A router over `shards`, of which there must be one at least.
    #[must_use]
    pub fn new(shards: Vec<Shard>) -> Self {
        assert!(!shards.is_empty(), "a node has one shard at least");
        Self { shards: shards.into() }
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot_of(key: &Key) -> Slot {
        slot_of(key.as_bytes())
    }

    /// The shard of a key: all keys of a slot are in one shard.
    #[must_use]
    pub fn shard_of(&self, key: &Key) -> &Shard {
        &self.shards[self.shard_index_of(key)]
    }

    /// Which shard has a key, from 0.
    #[must_use]
    pub fn shard_index_of(&self, key: &Key) -> usize {
        usize::from(Self::slot_of(key).0) % self.shards.len()
    }

    /// All shards, in order.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The entry under a key, straight from the table.
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.shard_of(key).get(key, now)
    }

    /// Has one command done.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub async fn run_one(&self, command: Command, now: Millis) -> Result<Reply, Error> {
        let shard = match command.scope() {
            Scope::Read(key) => return Ok(Reply::Found(self.get(key, now))),
            Scope::Write(key) => self.shard_of(key),
        };
        shard.write_one(Routed::new(command)).await
    }

    /// Has commands done, those of one shard in order and with one message, and returns what became
    /// of each, in order.
    ///
    /// A read goes straight to the table, unless the same batch writes to its shard before it: then
    /// it goes with the writes, so that it sees them.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`], for each command on its own.
    pub async fn run(&self, commands: Vec<Command>, now: Millis) -> Vec<Result<Reply, Error>> {
        let is_write = |command: &Command| matches!(command.scope(), Scope::Write(_));
        let Some(first_write) = commands.iter().position(is_write) else {
            return commands.iter().map(|command| self.read(command, now)).collect();
        };
        let mut replies = Vec::with_capacity(commands.len());
        replies.extend(commands[..first_write].iter().map(|command| self.read(command, now)));
        let mut groups: Vec<Group> = self.shards.iter().map(|_| Group::default()).collect();
        for command in commands.into_iter().skip(first_write) {
            let (Scope::Read(key) | Scope::Write(key)) = command.scope();
            let shard = self.shard_index_of(key);
            let is_seen = is_write(&command) || !groups[shard].places.is_empty();
            if is_seen {
                groups[shard].places.push(replies.len());
                groups[shard].commands.push(Routed::new(command));
                // Until its shard has answered.
                replies.push(Err(Error::Down { shard }));
            } else {
                replies.push(self.read(&command, now));
            }
        }
        let writes = groups.into_iter().enumerate().filter(|(_, group)| !group.places.is_empty());
        let writes = writes.map(|(shard, Group { places, commands })| async move {
            (places, self.shards[shard].write(commands).await)
        });
        for (places, answers) in join_all(writes).await {
            for (at, answer) in places.into_iter().zip(answers) {
                replies[at] = answer;
            }
        }
        replies
    }

    /// The reply to a read.
    fn read(&self, command: &Command, now: Millis) -> Result<Reply, Error> {
        let (Scope::Read(key) | Scope::Write(key)) = command.scope();
        Ok(Reply::Found(self.get(key, now)))
    }
}

/// The commands of a batch that go to one shard, and their places in the batch.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    commands: Vec<Routed>,
}
