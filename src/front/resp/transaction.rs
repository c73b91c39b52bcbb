//! What a client queues to be done together: `MULTI` to `EXEC`, as long as nobody changes what it watches.
//!
//! All that is about keys goes to the writer of their slot as one command. What is not about keys (`PING`,
//! `PUBLISH`) is done by the connection, in its place among the replies.

use std::sync::Arc;

use super::asked::{Answer, Asked, Item, Known, Replies};
use super::codec::{Decoded, Output, Request};
use super::commands::{Row, Run};
use super::connection::Connection;
use super::failure::Failure;
use super::session::Session;
use super::wire::Lost;
use crate::command::{Changed, Command, NotTogether, Reply, Together, Watched};
use crate::entry::Key;
use crate::limits::{
    RESP_QUEUED_BYTES_MAX, RESP_QUEUED_MAX, RESP_QUEUED_OVERHEAD_BYTES, RESP_VALUE_BYTES_SMALL,
    RESP_VALUE_ROOM_TIMEOUT, RESP_WATCHED_MAX, TOGETHER_REPLY_BYTES_MAX,
};
use crate::supervision::Place;

/// What a client has queued, and what it watches.
#[derive(Default)]
pub(super) struct Transaction {
    /// Its requests since `MULTI`; `None` outside of one.
    queue: Option<Queue>,
    watched: Vec<Watched>,
}

#[derive(Default)]
struct Queue {
    requests: Vec<Queued>,
    bytes: usize,
    /// Whether one of them could not be queued, so that none is done.
    is_broken: bool,
}

struct Queued {
    row: &'static Row,
    request: Decoded,
    _place: Place,
}

/// What the reply to one queued request is made of.
enum Part<'a> {
    /// Replies of the cache.
    Items(Vec<Item<'a>>),
    /// What the connection does.
    Here(&'static Row, Request<'a>),
}

const TOO_MUCH: Failure =
    Failure::fixed("ERR the transaction is too large; allowed: 4096 requests of 8 MiB together");
const CROWDED: Failure =
    Failure::fixed("TRYAGAIN the transactions of all clients are too large together");
const NOT_INSIDE: Failure = Failure::fixed("ERR Command not allowed inside a transaction");

impl From<NotTogether> for Failure {
    fn from(error: NotTogether) -> Self {
        match error {
            NotTogether::Slots => Self::CROSS_SLOT,
            NotTogether::Verb => NOT_INSIDE,
            NotTogether::Nothing | NotTogether::TooMany => Self::of(format!("ERR {error}")),
        }
    }
}

impl Transaction {
    /// Notes that a request could not be queued, if others are.
    pub(super) fn breaks(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.is_broken = true;
        }
    }

    /// Whether a request of that row is queued now, and not done.
    pub(super) fn takes(&self, row: &Row) -> bool {
        self.queue.is_some() && !row.is_immediate()
    }
}

impl Session {
    /// Queues a request.
    ///
    /// # Errors
    ///
    /// [`Failure`], if it may not be done with others; none of them is then.
    pub(super) fn queue(&mut self, row: &'static Row, request: Request<'_>) -> Result<(), Failure> {
        let queued = self.try_queue(row, request);
        if queued.is_err() {
            self.transaction.breaks();
        }
        queued
    }

    fn try_queue(&mut self, row: &'static Row, request: Request<'_>) -> Result<(), Failure> {
        let Some(queue) = &mut self.transaction.queue else { return Err(NOT_INSIDE) };
        if row.flags.contains(&"no_multi") {
            return Err(NOT_INSIDE);
        }
        let bytes = request.bytes() + RESP_QUEUED_OVERHEAD_BYTES;
        if RESP_QUEUED_MAX <= queue.requests.len() || RESP_QUEUED_BYTES_MAX < queue.bytes + bytes {
            return Err(TOO_MUCH);
        }
        let place = self.shared.queued.take(1, bytes).ok_or(CROWDED)?;
        queue.bytes += bytes;
        queue.requests.push(Queued { row, request: request.detached(), _place: place });
        Ok(())
    }
}

pub(super) fn multi(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if session.transaction.queue.is_some() {
        return Err(Failure::fixed("ERR MULTI calls can not be nested"));
    }
    session.transaction.queue = Some(Queue::default());
    out.simple("OK");
    Ok(())
}

pub(super) fn discard(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if session.transaction.queue.is_none() {
        return Err(Failure::fixed("ERR DISCARD without MULTI"));
    }
    session.transaction = Transaction::default();
    out.simple("OK");
    Ok(())
}

pub(super) fn unwatch(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    session.transaction.watched.clear();
    out.simple("OK");
    Ok(())
}

/// Notes how keys are now, for what is to be done only while they are so.
pub(super) async fn watch(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if session.transaction.queue.is_some() {
        return Err(Failure::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let keys = (1..request.len()).map(|at| Key::new(request.kept(at)));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let known = session.transaction.watched.first().map(|(key, _)| key);
    let slot = known.unwrap_or(&keys[0]).slot();
    if keys.iter().any(|key| key.slot() != slot) {
        return Err(Failure::CROSS_SLOT);
    }
    let mut seen = vec![];
    for key in keys {
        let watched = &session.transaction.watched;
        if watched.iter().chain(&seen).any(|(known, _)| *known == key) {
            continue;
        }
        if RESP_WATCHED_MAX <= watched.len() + seen.len() {
            return Err(Failure::of(format!(
                "ERR too many keys are watched; allowed: {RESP_WATCHED_MAX}"
            )));
        }
        let found = session.shared.cache.find(&key, 0).await?;
        // The request's buffer is not kept for as long as this.
        let key = Key::new(bytes::Bytes::copy_from_slice(key.as_bytes()))?;
        seen.push((key, found.map(|found| found.entry.version)));
    }
    session.transaction.watched.extend(seen);
    out.simple("OK");
    Ok(())
}

impl Connection {
    /// Does what was queued, and sends the replies if these are large.
    pub(super) async fn exec(&mut self) -> Result<(), Lost> {
        let Some(queue) = self.session.transaction.queue.take() else {
            return self.fail(&Failure::fixed("ERR EXEC without MULTI"));
        };
        let watched = std::mem::take(&mut self.session.transaction.watched);
        if queue.is_broken {
            return self.fail(&Failure::fixed(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        let (parts, commands) = self.parts(&queue);
        let replies = match self.run_together(watched, commands).await {
            Ok(Some(replies)) => replies,
            Ok(None) => {
                self.out.null_array();
                return Ok(());
            }
            Err(failure) => return self.fail(&failure),
        };
        let shared = Arc::clone(&self.session.shared);
        let bytes: usize = replies.iter().map(Reply::bytes).sum();
        let place = match bytes <= RESP_VALUE_BYTES_SMALL {
            true => None,
            false => {
                let place = shared.values.take(bytes, RESP_VALUE_ROOM_TIMEOUT).await;
                Some(place.ok_or(Lost::Crowded)?)
            }
        };
        self.out.array(queue.requests.len());
        self.write_parts(parts, replies).await;
        if place.is_some() {
            self.send().await?;
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) -> Result<(), Lost> {
        self.out.error(&*failure.0);
        Ok(())
    }

    /// What the replies are made of, and all that is asked of the cache.
    fn parts<'a>(&self, queue: &'a Queue) -> (Vec<Part<'a>>, Vec<Command>) {
        let mut asked = Asked::new(self.session.shared.cache.value_bytes_max());
        let mut commands = vec![];
        let requests = queue.requests.iter();
        let requests = requests
            .flat_map(|queued| queued.request.requests().map(move |request| (queued.row, request)));
        let parts = requests.map(|(row, request)| {
            let Run::Asks(ask) = row.run else { return Part::Here(row, request) };
            if let Err(failure) = ask(request, &mut asked) {
                asked.refuse(request, failure);
            }
            let (items, more) = asked.take();
            commands.extend(more.into_iter().map(whole));
            Part::Items(items)
        });
        (parts.collect(), commands)
    }

    /// Has commands done together; `None` if what is watched has changed.
    async fn run_together(
        &self,
        watched: Vec<Watched>,
        commands: Vec<Command>,
    ) -> Result<Option<Vec<Reply>>, Failure> {
        if watched.is_empty() && commands.is_empty() {
            return Ok(Some(vec![]));
        }
        let together = Together::new(watched, commands)?;
        match self.session.shared.cache.run_one(together.into()).await? {
            Reply::List(replies) => Ok(Some(replies)),
            Reply::Changed(Changed::TooLarge) => Err(Failure::of(format!(
                "ERR the transaction reads more than {TOGETHER_REPLY_BYTES_MAX} bytes; nothing changed"
            ))),
            _ => Ok(None),
        }
    }

    async fn write_parts(&mut self, parts: Vec<Part<'_>>, replies: Vec<Reply>) {
        let replies: Vec<_> = replies.into_iter().map(Ok).collect();
        let mut replies = replies.into_iter();
        for part in parts {
            match part {
                Part::Items(items) => {
                    for item in items {
                        write_item(item, &mut Replies(&mut replies), &mut self.out);
                    }
                }
                Part::Here(row, request) => {
                    let Self { session, out, .. } = self;
                    let done = match row.run {
                        Run::Here(run) => run(session, request, out),
                        Run::Waits(run) => run(session, request, out).await,
                        Run::Asks(_) | Run::Executes => Err(NOT_INSIDE),
                    };
                    if let Err(failure) = done {
                        out.error(&*failure.0);
                    }
                }
            }
        }
    }
}

/// Values of a transaction come with it: later they may be others.
fn whole(command: Command) -> Command {
    match command {
        Command::Find(mut find) if 0 < find.bytes_max => {
            find.bytes_max = u64::MAX;
            find.into()
        }
        command => command,
    }
}

fn write_item(item: Item<'_>, replies: &mut Replies<'_>, out: &mut Output) {
    let left = replies.0.len().saturating_sub(item.commands);
    match item.answer {
        Answer::Value(_) => match replies.next() {
            Ok(Reply::Entry(Some(entry))) => out.bulk(&entry.value),
            Ok(_) => out.null(),
            Err(error) => out.error(&*Failure::from(error).0),
        },
        Answer::Known(telling) => match replies.next() {
            Ok(Reply::Entry(Some(entry))) => telling(Some(Known::from(&entry)), out),
            Ok(_) => telling(None, out),
            Err(error) => out.error(&*Failure::from(error).0),
        },
        Answer::Waits(_) => out.error(&*NOT_INSIDE.0),
        Answer::Made(make) => make(replies, out),
    }
    // One that failed has left some of its own.
    while left < replies.0.len() {
        drop(replies.0.next());
    }
}
