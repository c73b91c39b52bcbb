//! A command on the wire, and what became of one: number, length, body.
//!
//! ```text
//! | number 2 | length 4 | body … |     little endian, the body in the codec's encoding
//! ```
//! So a receiver passes over what it does not know, and refuses that alone: what was gathered with it
//! is done. One number is no command's: it says what the next few commands are of, and is not answered.

use super::codec::{self, CodecError};
use super::message::{BatchOf, Received, Refusal, Traced, Unread};
use crate::clock;
use crate::command::{Body, Command, Reply};
use crate::limits::{PEER_BATCH_COMMANDS_MAX, PEER_FRAME_BYTES_MAX, TOGETHER_KEYS_MAX};
use crate::record::Record;
use crate::trace::{RequestId, Trace, TraceParent};

const HEAD_BYTES: usize = 2 + 4;

/// What the next commands are of. It is never sent to who does not know it, and would answer it.
const TRACE: u16 = u16::MAX;

// What is known of a key. A number is never given to another form.
const RECORD: u16 = 1;
const NOTHING: u16 = 2;

// What became of a command, by its shape. A number is never given to another shape.
const ENTRY: u16 = 1;
const STORED: u16 = 2;
const NUMBER: u16 = 3;
const FLAG: u16 = 4;
const CHANGED: u16 = 5;
const SWAPPED: u16 = 6;
const PAGE: u16 = 7;
const NUMBERS: u16 = 8;
const LIST: u16 = 9;
const FAILED: u16 = 32;
const MOVED: u16 = 33;
const LATER: u16 = 34;

/// The body of a command that was read.
struct Read<'de>(&'de [u8]);

impl<'de> Body<'de> for Read<'de> {
    type Error = CodecError;

    fn read<T: serde::Deserialize<'de>>(self) -> Result<T, CodecError> {
        codec::decode(self.0)
    }
}

/// Adds a command.
///
/// # Errors
///
/// [`CodecError`]; `out` is as it was.
pub(super) fn add_command(out: &mut Vec<u8>, command: &Command) -> Result<(), CodecError> {
    add(out, command.number(), command)
}

/// Adds what the next `len` commands are called.
///
/// # Errors
///
/// [`CodecError`]; `out` is as it was.
pub(super) fn add_trace(out: &mut Vec<u8>, len: usize, trace: &Trace) -> Result<(), CodecError> {
    let id = trace.id.as_ref().map_or("", RequestId::as_str);
    let parent = trace.parent.as_ref().map_or("", TraceParent::as_str);
    add(out, TRACE, &(len as u64, id, parent))
}

/// Adds commands, and what they are called.
///
/// # Errors
///
/// [`CodecError`], also if one was not read.
pub(super) fn add_run(
    out: &mut Vec<u8>,
    commands: &[Received],
    traces: &[Traced],
) -> Result<(), CodecError> {
    let mut traces = traces.iter().peekable();
    for (at, command) in commands.iter().enumerate() {
        if let Some(Traced { len, trace, .. }) = traces.next_if(|traced| traced.from == at) {
            add_trace(out, *len, trace)?;
        }
        match command {
            Ok(command) => add_command(out, command)?,
            Err(_) => return Err(CodecError::Invalid("a command that was not read".to_owned())),
        }
    }
    Ok(())
}

/// Adds what became of a command.
///
/// # Errors
///
/// [`CodecError`]; `out` is as it was.
pub(super) fn add_outcome(
    out: &mut Vec<u8>,
    outcome: &Result<Reply, Refusal>,
) -> Result<(), CodecError> {
    match outcome {
        Ok(reply) => add_reply(out, reply),
        Err(Refusal::Failed(error)) => add(out, FAILED, error),
        Err(Refusal::Moved { owner }) => {
            let owner = owner.as_ref().map(|owner| (owner.name.as_str(), owner.boot.0));
            add(out, MOVED, &owner)
        }
        Err(Refusal::Later) => add(out, LATER, &()),
        Err(Refusal::Unread) => Err(CodecError::Invalid("what was not read".into())),
    }
}

fn add_reply(out: &mut Vec<u8>, reply: &Reply) -> Result<(), CodecError> {
    match reply {
        Reply::Entry(entry) => add(out, ENTRY, entry),
        Reply::Stored(stored) => add(out, STORED, stored),
        Reply::Number(number) => add(out, NUMBER, number),
        Reply::Flag(flag) => add(out, FLAG, flag),
        Reply::Changed(changed) => add(out, CHANGED, changed),
        Reply::Swapped(entry, stored) => add(out, SWAPPED, &(entry, stored)),
        Reply::Page(page) => add(out, PAGE, page),
        Reply::Numbers(numbers) => add(out, NUMBERS, numbers),
        Reply::List(replies) => add_list(out, replies),
        Reply::Many(_) => Err(CodecError::Invalid("many replies stay on their node".into())),
    }
}

/// Reads commands to the end of `bytes`, and what they are called.
///
/// # Errors
///
/// [`CodecError`] if they cannot be told from each other, or are too many.
pub(super) fn read_run(bytes: &[u8]) -> Result<(Vec<Received>, Vec<Traced>), CodecError> {
    let (mut commands, mut traces) = (vec![], vec![]);
    for frame in Frames(bytes) {
        let (number, body) = frame?;
        if PEER_BATCH_COMMANDS_MAX <= commands.len().max(traces.len()) {
            return Err(CodecError::Invalid("too many commands".to_owned()));
        }
        match number {
            // What cannot be read has no name; its commands are done all the same.
            TRACE => traces.extend(read_trace(body, commands.len())),
            number => commands.push(match Command::read(number, Read(body)) {
                Some(Ok(command)) => Ok(command),
                Some(Err(_)) => Err(Unread::Garbled),
                None => Err(Unread::Unknown),
            }),
        }
    }
    for traced in &mut traces {
        traced.len = traced.len.min(commands.len() - traced.from);
    }
    Ok((commands, traces))
}

/// Names are checked again, as if a client had sent them.
fn read_trace(body: &[u8], from: usize) -> Option<Traced> {
    let (len, id, parent): (u64, &str, &str) = codec::decode(body).ok()?;
    let trace =
        Trace { id: RequestId::new(id.as_bytes()), parent: TraceParent::new(parent.as_bytes()) };
    let len = usize::try_from(len).ok()?;
    (!trace.is_empty()).then_some(Traced { from, len, trace })
}

/// Reads to the end of `bytes` what became of commands.
///
/// # Errors
///
/// As [`read_run`].
pub(super) fn read_outcomes(bytes: &[u8]) -> Result<Vec<Result<Reply, Refusal>>, CodecError> {
    let read = |(number, body)| read_outcome(number, body).unwrap_or(Err(Refusal::Unread));
    Frames(bytes).map(|frame| frame.map(read)).bounded()
}

/// Adds what is known of a key, sealed.
pub(super) fn add_record(out: &mut Vec<u8>, record: Option<&Record>) {
    let number = if record.is_some() { RECORD } else { NOTHING };
    let begin = out.len();
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    if let Some(record) = record {
        record.seal(clock::now(), out);
    }
    // No record is longer than four bytes say.
    let len = u32::try_from(out.len() - begin - HEAD_BYTES).unwrap_or(u32::MAX);
    out[begin + 2..begin + HEAD_BYTES].copy_from_slice(&len.to_le_bytes());
}

/// Adds replies as one: a frame each in its body.
fn add_list(out: &mut Vec<u8>, replies: &[Reply]) -> Result<(), CodecError> {
    let begin = out.len();
    out.extend_from_slice(&LIST.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let added = replies.iter().try_for_each(|reply| match reply {
        Reply::List(_) => Err(CodecError::Invalid("a list in a list".to_owned())),
        reply => add_reply(out, reply),
    });
    let added = added.and_then(|()| close(out, begin));
    if added.is_err() {
        out.truncate(begin);
    }
    added
}

/// Says of a frame that began at `begin` how long it is.
fn close(out: &mut [u8], begin: usize) -> Result<(), CodecError> {
    let len = out.len() - begin - HEAD_BYTES;
    let is_short = len <= PEER_FRAME_BYTES_MAX;
    let len = u32::try_from(len).ok().filter(|_| is_short);
    let bytes = len.ok_or(CodecError::TooLarge { bytes: out.len() })?.to_le_bytes();
    out[begin + 2..begin + HEAD_BYTES].copy_from_slice(&bytes);
    Ok(())
}

/// Reads records to the end of `bytes`, and checks each.
///
/// # Errors
///
/// [`CodecError`] if one is damaged or none; who sent them has them still.
pub(super) fn read_records(bytes: &[u8]) -> Result<Vec<Option<Record>>, CodecError> {
    let now = clock::now();
    let read = |(number, body)| match number {
        RECORD => Record::unseal(body, now)
            .map(Some)
            .map_err(|error| CodecError::Invalid(error.to_string())),
        NOTHING => Ok(None),
        number => Err(CodecError::Unknown(number)),
    };
    Frames(bytes).map(|frame| frame.and_then(read)).bounded()
}

/// `None` for a shape that is not known here, or of another form.
fn read_outcome(number: u16, body: &[u8]) -> Option<Result<Reply, Refusal>> {
    let outcome = match number {
        LIST => {
            let read = |(number, body)| {
                let missing = || CodecError::Invalid("a reply cannot be read".to_owned());
                read_reply(number, body).ok_or_else(missing)
            };
            let replies = Frames(body).map(|frame| frame.and_then(read));
            Ok(Reply::List(replies.up_to(TOGETHER_KEYS_MAX).ok()?))
        }
        FAILED => Err(Refusal::Failed(codec::decode(body).ok()?)),
        MOVED => Err(Refusal::Moved { owner: codec::decode_owner(body).ok()? }),
        LATER => Err(Refusal::Later),
        number => Ok(read_reply(number, body)?),
    };
    Some(outcome)
}

/// As above, of one that is no list.
fn read_reply(number: u16, body: &[u8]) -> Option<Reply> {
    Some(match number {
        ENTRY => Reply::Entry(codec::decode(body).ok()?),
        STORED => Reply::Stored(codec::decode(body).ok()?),
        NUMBER => Reply::Number(codec::decode(body).ok()?),
        FLAG => Reply::Flag(codec::decode(body).ok()?),
        CHANGED => Reply::Changed(codec::decode(body).ok()?),
        PAGE => Reply::Page(codec::decode(body).ok()?),
        NUMBERS => Reply::Numbers(codec::decode::<BatchOf<_>>(body).ok()?.0),
        SWAPPED => {
            let (entry, stored) = codec::decode(body).ok()?;
            Reply::Swapped(entry, stored)
        }
        _ => return None,
    })
}

fn add<T: serde::Serialize>(out: &mut Vec<u8>, number: u16, body: &T) -> Result<(), CodecError> {
    let begin = out.len();
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let added = codec::append(out, body).and_then(|()| close(out, begin));
    if added.is_err() {
        out.truncate(begin);
    }
    added
}

/// Numbers and bodies, one after the other.
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(u16, &'a [u8]), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let cut = || CodecError::Invalid("a command is cut off".to_owned());
        let Some((&[n0, n1, l0, l1, l2, l3], rest)) = bytes.split_first_chunk::<HEAD_BYTES>()
        else {
            return Some(Err(cut()));
        };
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some((body, rest)) = rest.split_at_checked(len) else { return Some(Err(cut())) };
        self.0 = rest;
        Some(Ok((u16::from_le_bytes([n0, n1]), body)))
    }
}

/// Gathers what fits into one batch.
trait Bounded<T>: Iterator<Item = Result<T, CodecError>> + Sized {
    fn bounded(self) -> Result<Vec<T>, CodecError> {
        self.up_to(PEER_BATCH_COMMANDS_MAX)
    }

    fn up_to(self, max: usize) -> Result<Vec<T>, CodecError> {
        let mut list = vec![];
        for element in self {
            if max <= list.len() {
                return Err(CodecError::Invalid("too many commands".to_owned()));
            }
            list.push(element?);
        }
        Ok(list)
    }
}

impl<T, I: Iterator<Item = Result<T, CodecError>>> Bounded<T> for I {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Get;
    use crate::entry::Key;

    fn get(key: &'static str) -> Command {
        Get { key: Key::from_static(key) }.into()
    }

    #[test]
    fn an_unknown_number_is_refused_alone() {
        let mut bytes = vec![];
        add_command(&mut bytes, &get("a")).unwrap();
        add(&mut bytes, 9_999, &"whatever it is").unwrap();
        add_command(&mut bytes, &get("b")).unwrap();
        let (read, _) = read_run(&bytes).unwrap();
        assert_eq!(read, [Ok(get("a")), Err(Unread::Unknown), Ok(get("b"))]);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused_alone() {
        let mut bytes = vec![];
        add(&mut bytes, get("a").number(), &7_u8).unwrap();
        add_command(&mut bytes, &get("b")).unwrap();
        assert_eq!(read_run(&bytes).unwrap().0, [Err(Unread::Garbled), Ok(get("b"))]);
    }

    #[test]
    fn what_is_cut_off_is_no_list_of_commands() {
        let mut bytes = vec![];
        add_command(&mut bytes, &get("a")).unwrap();
        for len in 1..bytes.len() {
            assert!(read_run(&bytes[..len]).is_err(), "{len}");
        }
    }

    fn called(id: &str) -> Trace {
        Trace { id: RequestId::new(id.as_bytes()), parent: None }
    }

    #[test]
    fn what_commands_are_called_goes_with_them_and_counts_as_none() {
        let mut bytes = vec![];
        add_command(&mut bytes, &get("a")).unwrap();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::new(parent.as_bytes());
        let trace = Trace { parent, ..called("seven") };
        add_trace(&mut bytes, 2, &trace).unwrap();
        add_command(&mut bytes, &get("b")).unwrap();
        add_command(&mut bytes, &get("c")).unwrap();
        let (commands, traces) = read_run(&bytes).unwrap();
        assert_eq!(commands, [Ok(get("a")), Ok(get("b")), Ok(get("c"))]);
        assert_eq!(traces, [Traced { from: 1, len: 2, trace }]);
        let mut again = vec![];
        add_run(&mut again, &commands, &traces).unwrap();
        assert_eq!(again, bytes);
    }

    #[test]
    fn names_that_are_none_and_those_of_more_than_there_is_hurt_nobody() {
        let mut bytes = vec![];
        add(&mut bytes, TRACE, &(1_u64, "two words", "no parent")).unwrap();
        add(&mut bytes, TRACE, &7_u8).unwrap();
        add_trace(&mut bytes, usize::MAX, &called("x")).unwrap();
        add_command(&mut bytes, &get("a")).unwrap();
        add_trace(&mut bytes, 1, &called("y")).unwrap();
        let (commands, traces) = read_run(&bytes).unwrap();
        assert_eq!(commands, [Ok(get("a"))]);
        let all = [(0, 1, "x"), (1, 0, "y")];
        let all = all.map(|(from, len, id)| Traced { from, len, trace: called(id) });
        assert_eq!(traces, all);
        let many = (0..=PEER_BATCH_COMMANDS_MAX).flat_map(|_| {
            let mut one = vec![];
            add_trace(&mut one, 1, &called("x")).unwrap();
            one
        });
        assert!(read_run(&Vec::from_iter(many)).is_err());
    }

    #[test]
    fn outcomes_come_back_as_they_were() {
        let outcomes = [
            Ok(Reply::Entry(None)),
            Ok(Reply::Number(u64::MAX)),
            Ok(Reply::Numbers(vec![7, u64::MAX])),
            Ok(Reply::Flag(true)),
            Ok(Reply::List(vec![Reply::Number(1), Reply::Entry(None)])),
            Err(Refusal::Later),
            Err(Refusal::Moved { owner: None }),
            Err(Refusal::Failed(crate::error::Error::Busy { shard: 3 })),
        ];
        let mut bytes = vec![];
        outcomes.iter().for_each(|outcome| add_outcome(&mut bytes, outcome).unwrap());
        let read = read_outcomes(&bytes).unwrap();
        assert_eq!(read, outcomes);
    }
}
