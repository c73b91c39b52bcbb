//! What a shard's actor is told.

use std::sync::{Arc, OnceLock};

use ractor::RpcReplyPort;
use tokio::sync::OwnedSemaphorePermit;

use crate::command::{Command, Reply};

/// Writes in order, with the replies of those that are done.
pub(super) type Batch = Arc<[Write]>;

/// A write and, once it was applied, its reply.
///
/// The reply is kept beside the write and not only sent, so that a batch which is sent again after a
/// crash is continued where it stopped.
pub(super) struct Write {
    command: Command,
    reply: OnceLock<Reply>,
}

pub(super) enum ShardMsg {
    /// Do the batch. The permit is its place in the queue, and is free when this message is gone.
    Write { batch: Batch, reply: RpcReplyPort<()>, permit: OwnedSemaphorePermit },
    /// Do a piece of background work.
    Tick,
    /// Panic, for demonstrations.
    Crash,
}

impl Write {
    pub(super) fn new(command: Command) -> Self {
        Self { command, reply: OnceLock::new() }
    }

    pub(super) fn reply(&self) -> Option<&Reply> {
        self.reply.get()
    }

    /// Applies the command by `apply`, unless that was done before.
    pub(super) fn apply(&self, apply: impl FnOnce(&Command) -> Reply) {
        self.reply.get_or_init(|| apply(&self.command));
    }
}
