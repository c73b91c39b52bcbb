//! Messages to bytes and back, within limits: the only module that knows of bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Deserialize, Serialize};

use super::message::{Moved, Refusal, Request, Response};
use crate::command::{Command, Reply};
use crate::entry::{Entry, Known};
use crate::limits::PEER_FRAME_BYTES_MAX;
use crate::member::Boot;

/// Numbers count eight bytes against the limit, however few they take.
const DECODE_BYTES_MAX: usize = 8 * PEER_FRAME_BYTES_MAX;

/// What a command or an entry has besides its key and its value, mostly less.
const ITEM_BYTES: usize = 48;

/// About how many bytes a member gets.
const MEMBER_BYTES: usize = 128;

const FORMAT: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

/// Why a message is not written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It is over the limit of a frame.
    #[error("message has {bytes} bytes; allowed: up to {PEER_FRAME_BYTES_MAX}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
    },
    /// The bytes are no message, or not only one.
    #[error("message cannot be read: {0}")]
    Invalid(String),
}

/// Writes a request of the node that runs as `from`.
///
/// # Errors
///
/// [`CodecError::TooLarge`].
pub fn encode_request(from: Boot, request: &Request) -> Result<Vec<u8>, CodecError> {
    encode(&(from.0, request), room_of_request(request))
}

/// Reads who asks, and what.
///
/// # Errors
///
/// [`CodecError`]; nothing is kept of what was read by then.
pub fn decode_request(bytes: &[u8]) -> Result<(Boot, Request), CodecError> {
    decode(bytes).map(|(from, request)| (Boot(from), request))
}

/// Writes a response.
///
/// # Errors
///
/// [`CodecError::TooLarge`].
pub fn encode_response(response: &Response) -> Result<Vec<u8>, CodecError> {
    encode(response, room_of_response(response))
}

/// Reads a response.
///
/// # Errors
///
/// [`CodecError`]; nothing is kept of what was read by then.
pub fn decode_response(bytes: &[u8]) -> Result<Response, CodecError> {
    decode(bytes)
}

/// Writes a value of this crate's own formats.
///
/// # Errors
///
/// [`CodecError::TooLarge`].
pub(super) fn encode<T: Serialize>(value: &T, room: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(room);
    bincode::serde::encode_into_std_write(value, &mut bytes, FORMAT)
        .map_err(|error| CodecError::Invalid(error.to_string()))?;
    if PEER_FRAME_BYTES_MAX < bytes.len() {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a value that takes all of `bytes`.
///
/// # Errors
///
/// [`CodecError`]; nothing is kept of what was read by then.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    if PEER_FRAME_BYTES_MAX < bytes.len() {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, FORMAT)
        .map_err(|error| CodecError::Invalid(error.to_string()))?;
    if read < bytes.len() {
        return Err(CodecError::Invalid(format!("{} bytes too many", bytes.len() - read)));
    }
    Ok(value)
}

/// About how long a request gets, so that its buffer is taken once.
fn room_of_request(request: &Request) -> usize {
    let bytes = match request {
        Request::Run(commands) => {
            commands.iter().map(|routed| command_bytes(&routed.command)).sum()
        }
        Request::Push(list) => list.iter().map(moved_bytes).sum(),
        Request::Fetch(keys) => keys.iter().map(|key| ITEM_BYTES + key.as_bytes().len()).sum(),
        Request::Took(taken) => {
            taken.iter().map(|(key, _)| ITEM_BYTES + key.as_bytes().len()).sum()
        }
        Request::View(view) => view.members.len() * MEMBER_BYTES,
        Request::Claim { slots, .. } => slots.len(),
        Request::Ping(ping) => ping.hears.len(),
        Request::Left => 0,
    };
    bytes + ITEM_BYTES
}

fn room_of_response(response: &Response) -> usize {
    let bytes = match response {
        Response::Ran(outcomes) => outcomes.iter().map(outcome_bytes).sum(),
        Response::Fetched(list) => {
            list.iter().map(|moved| moved.as_ref().map_or(1, moved_bytes)).sum()
        }
        Response::Pushed(outcomes) => outcomes.len(),
        Response::View(view) => view.members.len() * MEMBER_BYTES,
        Response::Claimed { residue, .. } => residue.len(),
        Response::Pong(ping) => ping.hears.len(),
        Response::Refused(reason) => reason.len(),
        Response::ClaimRefused { .. } | Response::Ok | Response::Lost => 0,
    };
    bytes + ITEM_BYTES
}

/// About how many bytes a command gets.
pub(super) fn command_bytes(command: &Command) -> usize {
    let value = match command {
        Command::Put(put) => put.value.len(),
        Command::Merge(_, known) => known_bytes(known),
        Command::Get(_) | Command::Delete(_) | Command::NextId(_) | Command::Forget(..) => 0,
    };
    ITEM_BYTES + command.key().as_bytes().len() + value
}

/// About how many bytes gets what moves.
pub(super) fn moved_bytes(moved: &Moved) -> usize {
    ITEM_BYTES + moved.key.as_bytes().len() + known_bytes(&moved.known)
}

fn known_bytes(known: &Known) -> usize {
    match known {
        Known::Entry(entry) => entry_bytes(entry),
        Known::Deleted(..) => 0,
    }
}

/// About how many bytes gets what became of a command.
pub(super) fn outcome_bytes(outcome: &Result<Reply, Refusal>) -> usize {
    match outcome {
        Ok(Reply::Found(Some(entry))) => ITEM_BYTES + entry_bytes(entry),
        Ok(_) | Err(_) => ITEM_BYTES,
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    entry.value.len() + entry.tags.as_bytes().len()
}
