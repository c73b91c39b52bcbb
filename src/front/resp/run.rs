//! What is done with the requests of one client that have come together.

use std::sync::Arc;

use super::asked::{Answer, Asked, Item, Known, Replies, Telling};
use super::codec::{Decoded, Request};
use super::commands::{self, Group, Row, Run};
use super::connection::Connection;
use super::failure::Failure;
use super::wire::Lost;
use crate::command::{Command, Reply};
use crate::entry::Key;
use crate::error::Error;
use crate::limits::{
    BATCH_COMMANDS_MAX, RESP_OUTPUT_BYTES_MAX, RESP_VALUE_BYTES_SMALL, RESP_VALUE_ROOM_TIMEOUT,
    RESP_VALUE_STALL_TIMEOUT,
};

/// Bytes of a value that are looked at where something else is asked of its entry.
const GLANCE_BYTES_MAX: usize = 64;

/// What a page that a browser is made to send begins with: nobody who speaks this protocol says that.
const FOREIGN: [&[u8]; 2] = [b"post", b"host:"];

impl Connection {
    /// Does requests in their order and writes their replies; larger ones are sent as well.
    pub(super) async fn run_all(&mut self, decoded: &Decoded) -> Result<(), Lost> {
        let mut asked = Asked::new(self.session.shared.cache.value_bytes_max());
        for request in decoded.requests() {
            self.session.shared.counts.commands.count();
            match self.row_of(request) {
                Ok(row) if self.session.transaction.takes(row) => {
                    match self.session.queue(row, request) {
                        Ok(()) => asked.say(request, |out| out.simple("QUEUED")),
                        Err(failure) => asked.refuse(request, failure),
                    }
                }
                Ok(row) => self.take(row, request, &mut asked).await?,
                Err(failure) => {
                    self.session.transaction.breaks();
                    asked.refuse(request, failure);
                }
            }
            if asked.is_full() {
                self.settle(&mut asked).await?;
            }
            if self.session.is_over {
                break;
            }
        }
        self.settle(&mut asked).await
    }

    /// The command that a request is of, if it may be done.
    fn row_of(&mut self, request: Request<'_>) -> Result<&'static Row, Failure> {
        let Some(row) = commands::find(request.name()) else {
            if FOREIGN.iter().any(|word| request.name().eq_ignore_ascii_case(word)) {
                self.leave_page();
            }
            return Err(commands::unknown(request));
        };
        if !row.takes(request.len()) {
            if request.get(2).is_some_and(|word| word.starts_with(b"HTTP/")) {
                self.leave_page();
            }
            return Err(Failure::arity(row.name));
        }
        if !self.session.is_known() && !row.is_open() {
            return Err(Failure::NO_AUTH);
        }
        commands::pubsub::check(&self.session, row, request, self.out.protocol())?;
        self.session.client.asked(row);
        Ok(row)
    }

    /// Ends the connection of a web page, before the rest of what it was made to send is read.
    fn leave_page(&mut self) {
        self.session.shared.counts.foreign.count();
        self.session.is_over = true;
    }

    /// Has a request done, or asked for with those before it.
    async fn take<'a>(
        &mut self,
        row: &'static Row,
        request: Request<'a>,
        asked: &mut Asked<'a>,
    ) -> Result<(), Lost> {
        match row.run {
            Run::Asks(ask) => {
                let is_first = asked.is_empty();
                if let Err(failure) = ask(request, asked) {
                    asked.refuse(request, failure);
                }
                // What can be read at once needs not wait for others, if there are none before it.
                if is_first && self.read_here(asked) {
                    asked.clear();
                    self.make_way().await?;
                }
            }
            Run::Here(run) => {
                self.settle(asked).await?;
                if row.group == Group::PubSub {
                    self.deliver().await?;
                }
                if let Err(failure) = run(&mut self.session, request, &mut self.out) {
                    self.out.error(&*failure.0);
                }
            }
            Run::Executes => {
                self.settle(asked).await?;
                self.exec().await?;
                self.make_way().await?;
            }
            Run::Waits(run) => {
                self.settle(asked).await?;
                if let Err(failure) = run(&mut self.session, request, &mut self.out).await {
                    self.out.error(&*failure.0);
                }
                self.make_way().await?;
            }
        }
        Ok(())
    }

    /// Answers the only thing that was asked from the table of this node, if that can be.
    fn read_here(&mut self, asked: &Asked<'_>) -> bool {
        let ([item], [command]) = (&asked.items[..], &asked.commands[..]) else { return false };
        let [key] = command.keys() else { return false };
        let cache = &self.session.shared.cache;
        match item.answer {
            Answer::Value(_) => match cache.find_here(key, RESP_VALUE_BYTES_SMALL) {
                Some(None) => self.out.null(),
                Some(Some(found)) if found.value_bytes <= RESP_VALUE_BYTES_SMALL => {
                    self.out.bulk(&found.entry.value);
                }
                Some(Some(_)) | None => return false,
            },
            Answer::Known(telling) => match cache.find_here(key, GLANCE_BYTES_MAX) {
                Some(found) => telling(found.as_ref().map(Known::from), &mut self.out),
                None => return false,
            },
            Answer::Waits(_) | Answer::Made(_) => return false,
        }
        true
    }

    /// Has all done that was asked, and writes the replies.
    async fn settle(&mut self, asked: &mut Asked<'_>) -> Result<(), Lost> {
        let (mut items, mut commands) = asked.take();
        while !items.is_empty() {
            let part = Asked::part(&items);
            let rest = items.split_off(part);
            let part = std::mem::replace(&mut items, rest);
            let rest = commands.split_off(part.iter().map(|item| item.commands).sum());
            let replies = self.run_commands(std::mem::replace(&mut commands, rest)).await;
            self.write(part, replies).await?;
        }
        Ok(())
    }

    /// Writes replies that are due.
    async fn write(
        &mut self,
        items: Vec<Item<'_>>,
        replies: Vec<Result<Reply, Error>>,
    ) -> Result<(), Lost> {
        let mut replies = replies.into_iter();
        for Item { request, commands, answer, .. } in items {
            let left = replies.len().saturating_sub(commands);
            match answer {
                Answer::Value(at) => {
                    let reply = Replies(&mut replies).next();
                    self.value(request, at, reply).await?;
                }
                Answer::Known(telling) => self.known(telling, Replies(&mut replies).next()),
                Answer::Waits(wait) => {
                    if let Err(failure) = wait(&mut self.session, request, &mut self.out).await {
                        self.out.error(&*failure.0);
                    }
                }
                Answer::Made(make) => make(&mut Replies(&mut replies), &mut self.out),
            }
            // One that failed has left some of its own.
            while left < replies.len() {
                drop(replies.next());
            }
            self.make_way().await?;
        }
        Ok(())
    }

    async fn run_commands(&self, mut commands: Vec<Command>) -> Vec<Result<Reply, Error>> {
        let cache = &self.session.shared.cache;
        if commands.len() == 1
            && let Some(command) = commands.pop()
        {
            return vec![cache.run_one(command).await];
        }
        let mut replies = Vec::with_capacity(commands.len());
        while !commands.is_empty() {
            let rest = commands.split_off(commands.len().min(BATCH_COMMANDS_MAX));
            let part = std::mem::replace(&mut commands, rest);
            let len = part.len();
            match cache.run(part).await {
                Ok(done) => replies.extend(done),
                Err(error) => replies.extend((0..len).map(|_| Err(error.clone()))),
            }
        }
        replies
    }

    /// Sends what there is, if there is much: no more is done for a client that does not read.
    async fn make_way(&mut self) -> Result<(), Lost> {
        match RESP_OUTPUT_BYTES_MAX < self.out.bytes().len() {
            true => self.send().await,
            false => Ok(()),
        }
    }

    /// Writes the value that a request has asked for.
    async fn value(
        &mut self,
        request: Request<'_>,
        at: usize,
        reply: Result<Reply, Error>,
    ) -> Result<(), Lost> {
        match reply {
            Ok(Reply::Entry(Some(entry))) => self.out.bulk(&entry.value),
            // It was not copied: it is asked for once there is room.
            Ok(Reply::Number(bytes)) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                return self.large(request, at, bytes).await;
            }
            Ok(_) => self.out.null(),
            Err(error) => self.out.error(&*Failure::from(error).0),
        }
        Ok(())
    }

    /// Sends a large value, of which there are only so many at a time. It is not copied.
    async fn large(&mut self, request: Request<'_>, at: usize, bytes: usize) -> Result<(), Lost> {
        let shared = Arc::clone(&self.session.shared);
        let Some(_place) = shared.values.take(bytes, RESP_VALUE_ROOM_TIMEOUT).await else {
            self.out.error("TRYAGAIN too many large values are on their way to slow clients");
            return Ok(());
        };
        let found = match Key::new(request.kept(at)) {
            Ok(key) => shared.cache.get(&key).await.map_err(Failure::from),
            Err(error) => Err(Failure::from(error)),
        };
        let entry = match found {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                self.out.null();
                return Ok(());
            }
            Err(failure) => {
                self.out.error(&*failure.0);
                return Ok(());
            }
        };
        self.out.bulk_head(entry.value.len());
        self.send().await?;
        self.wire.send(&entry.value, RESP_VALUE_STALL_TIMEOUT).await?;
        self.out.end();
        Ok(())
    }

    fn known(&mut self, telling: Telling, reply: Result<Reply, Error>) {
        match reply {
            Ok(Reply::Entry(Some(entry))) => telling(Some(Known::from(&entry)), &mut self.out),
            Ok(_) => telling(None, &mut self.out),
            Err(error) => self.out.error(&*Failure::from(error).0),
        }
    }
}
