//! The serialized writer of one table.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::message::ShardMsg;
use crate::clock;
use crate::command::{Command, Reply};
use crate::entry::Millis;
use crate::table::{Table, TableWriter};

pub(super) struct ShardActor;

impl Actor for ShardActor {
    type Msg = ShardMsg;
    type State = TableWriter;
    type Arguments = Arc<Table>;

    async fn pre_start(
        &self,
        _me: ActorRef<ShardMsg>,
        table: Arc<Table>,
    ) -> Result<TableWriter, ActorProcessingErr> {
        table.writer().ok_or_else(|| "the table still has its last writer".into())
    }

    async fn handle(
        &self,
        _me: ActorRef<ShardMsg>,
        message: ShardMsg,
        writer: &mut TableWriter,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMsg::Write { batch, reply, permit } => {
                let now = clock::now();
                for write in batch.iter() {
                    write.apply(|command| apply(writer, command, now));
                }
                drop(permit);
                let _ = reply.send(());
            }
            ShardMsg::Crash => crash(),
        }
        Ok(())
    }
}

fn apply(writer: &mut TableWriter, command: &Command, now: Millis) -> Reply {
    match command {
        Command::Get(key) => Reply::Found(writer.get(key, now)),
        Command::Put(put) => Reply::Stored(writer.put(put, now)),
        Command::Delete(key) => Reply::Deleted(writer.delete(key, now)),
        Command::NextId(name) => Reply::Id(writer.next_id(name)),
    }
}

fn crash() {
    panic!("crashed on demand");
}
