//! What the requests of one client ask of the cache together, and what they are answered then.
//!
//! Requests that were sent one behind the other are done as one batch: what each of them wants is added
//! here in order, and so are the answers made of what comes back.

use super::codec::{Output, Request};
use super::commands::Wait;
use super::failure::Failure;
use crate::cache::Found;
use crate::command::{Command, Find, Get, Reply};
use crate::entry::{Entry, Key};
use crate::error::Error;
use crate::limits::{RESP_COMMANDS_MAX, RESP_FOUND_BYTES_MAX, RESP_READS_MAX};

/// What was asked and is not answered yet.
pub(super) struct Asked<'a> {
    pub(super) items: Vec<Item<'a>>,
    pub(super) commands: Vec<Command>,
    /// Reads among the commands.
    reads: usize,
    /// Whether the last of it takes a while, so that nothing is asked behind it.
    has_waiting: bool,
    /// The largest value that is stored.
    pub(super) value_bytes_max: usize,
}

/// A reply that is due, of some of the commands.
pub(super) struct Item<'a> {
    pub(super) request: Request<'a>,
    /// How many commands it is made of.
    pub(super) commands: usize,
    /// How many of these bring a value.
    reads: usize,
    pub(super) answer: Answer,
}

/// How a reply is made.
pub(super) enum Answer {
    /// The value under the key that is that argument.
    Value(usize),
    /// What is known of an entry.
    Known(Telling),
    /// What a command that takes a while says, once all before it is answered.
    Waits(Wait),
    /// Anything else, of the replies to its commands.
    Made(Making),
}

/// Makes a reply of those of the cache.
pub(super) type Making = Box<dyn FnOnce(&mut Replies<'_>, &mut Output) + Send>;

/// Says something of an entry without its value; of `None` if it is absent.
pub(super) type Telling = fn(Option<Known<'_>>, &mut Output);

/// What is known of an entry without its value.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) entry: &'a Entry,
    pub(super) value_bytes: usize,
}

/// The replies of the cache, in order.
pub(super) struct Replies<'a>(pub(super) &'a mut std::vec::IntoIter<Result<Reply, Error>>);

impl Replies<'_> {
    /// The next reply.
    ///
    /// # Errors
    ///
    /// The cache's; one that is missing is none.
    pub(super) fn next(&mut self) -> Result<Reply, Error> {
        self.0.next().unwrap_or(Err(Error::Down { shard: 0 }))
    }
}

impl<'a> From<&'a Found> for Known<'a> {
    fn from(found: &'a Found) -> Self {
        Self { entry: &found.entry, value_bytes: found.value_bytes }
    }
}

impl<'a> From<&'a Entry> for Known<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { entry, value_bytes: entry.value.len() }
    }
}

impl<'a> Asked<'a> {
    /// Nothing yet, where values have up to so many bytes.
    pub(super) fn new(value_bytes_max: usize) -> Self {
        let (items, commands) = (vec![], vec![]);
        Self { items, commands, reads: 0, has_waiting: false, value_bytes_max }
    }

    /// Takes out all that was asked.
    pub(super) fn take(&mut self) -> (Vec<Item<'a>>, Vec<Command>) {
        self.reads = 0;
        self.has_waiting = false;
        (std::mem::take(&mut self.items), std::mem::take(&mut self.commands))
    }

    /// Forgets what was asked.
    pub(super) fn clear(&mut self) {
        self.reads = 0;
        self.items.clear();
        self.commands.clear();
    }

    /// How many items are done together: what their values take is bounded, unless it is one item.
    pub(super) fn part(items: &[Item<'_>]) -> usize {
        let mut reads = 0;
        let fits = |item: &&Item<'_>| {
            reads += item.reads;
            reads <= RESP_READS_MAX
        };
        items.iter().take_while(fits).count().max(1)
    }

    /// Whether nothing waits for an answer.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether what was asked is to be done before more is.
    pub(super) fn is_full(&self) -> bool {
        RESP_COMMANDS_MAX <= self.commands.len()
            || RESP_COMMANDS_MAX <= self.items.len()
            || RESP_READS_MAX <= self.reads
            || self.has_waiting
    }

    /// Asks for the value of the key that is an argument.
    ///
    /// # Errors
    ///
    /// [`Failure`], if that cannot be a key.
    pub(super) fn value(&mut self, request: Request<'a>, at: usize) -> Result<(), Failure> {
        let key = Key::new(request.kept(at))?;
        let find = Find { key, bytes_max: RESP_FOUND_BYTES_MAX as u64 };
        self.read(request, find, Answer::Value(at));
        Ok(())
    }

    /// Asks what is known of the key that is an argument.
    ///
    /// # Errors
    ///
    /// [`Failure`], if that cannot be a key.
    pub(super) fn known(
        &mut self,
        request: Request<'a>,
        at: usize,
        telling: Telling,
    ) -> Result<(), Failure> {
        let key = Key::new(request.kept(at))?;
        self.read(request, Get { key }, Answer::Known(telling));
        Ok(())
    }

    fn read(&mut self, request: Request<'a>, command: impl Into<Command>, answer: Answer) {
        self.commands.push(command.into());
        self.reads += 1;
        self.items.push(Item { request, commands: 1, reads: 1, answer });
    }

    /// Has one command done, whose reply makes the answer.
    pub(super) fn ask(
        &mut self,
        request: Request<'a>,
        command: impl Into<Command>,
        answer: impl FnOnce(&Reply, &mut Output) -> Result<(), Failure> + Send + 'static,
    ) {
        self.ask_all(request, [command.into()], move |replies, out| answer(&replies.next()?, out));
    }

    /// Has commands done, whose replies make the answer. If that fails, nothing of it was written.
    pub(super) fn ask_all(
        &mut self,
        request: Request<'a>,
        commands: impl IntoIterator<Item = Command>,
        answer: impl FnOnce(&mut Replies<'_>, &mut Output) -> Result<(), Failure> + Send + 'static,
    ) {
        let before = self.commands.len();
        self.commands.extend(commands);
        let added = &self.commands[before..];
        let reads = added.iter().filter(|command| command.can_wait()).count();
        let commands = added.len();
        self.reads += reads;
        let made = move |replies: &mut Replies<'_>, out: &mut Output| {
            if let Err(failure) = answer(replies, out) {
                out.error(&*failure.0);
            }
        };
        self.items.push(Item { request, commands, reads, answer: Answer::Made(Box::new(made)) });
    }

    /// Has a command done that takes a while, once all before it is.
    pub(super) fn wait(&mut self, request: Request<'a>, wait: Wait) {
        self.has_waiting = true;
        self.items.push(Item { request, commands: 0, reads: 0, answer: Answer::Waits(wait) });
    }

    /// Says in its turn what is wrong with a request.
    pub(super) fn refuse(&mut self, request: Request<'a>, Failure(text): Failure) {
        self.say(request, move |out| out.error(&*text));
    }

    /// Has something written in its turn that needs nothing of the cache.
    pub(super) fn say(
        &mut self,
        request: Request<'a>,
        write: impl FnOnce(&mut Output) + Send + 'static,
    ) {
        let made = move |_: &mut Replies<'_>, out: &mut Output| write(out);
        self.items.push(Item {
            request,
            commands: 0,
            reads: 0,
            answer: Answer::Made(Box::new(made)),
        });
    }
}
