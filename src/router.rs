//! Which shard has a key. It knows where things are and never decides it.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::command::{Command, Reply, Scope};
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
        shard.write_one(command).await
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
        let mut replies: Vec<Option<Result<Reply, Error>>> = vec![None; commands.len()];
        let mut groups: Vec<Vec<(usize, Command)>> = vec![vec![]; self.shards.len()];
        for (at, command) in commands.into_iter().enumerate() {
            let (Scope::Read(key) | Scope::Write(key)) = command.scope();
            let shard = self.shard_index_of(key);
            match command.scope() {
                Scope::Read(key) if groups[shard].is_empty() => {
                    replies[at] = Some(Ok(Reply::Found(self.shards[shard].get(key, now))));
                }
                Scope::Read(_) | Scope::Write(_) => groups[shard].push((at, command)),
            }
        }
        let writes = groups.into_iter().enumerate().filter(|(_, group)| !group.is_empty());
        let writes = writes.map(|(shard, group)| async move {
            let (places, commands): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let answers = self.shards[shard].write(commands).await;
            (places, answers)
        });
        for (places, answers) in join_all(writes).await {
            for (at, answer) in places.into_iter().zip(answers) {
                replies[at] = Some(answer);
            }
        }
        // Every place was filled above: by a read, or by the shard's answer to its group.
        replies.into_iter().flatten().collect()
    }
}
