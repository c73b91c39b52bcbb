//! Messages to bytes and back, within limits: the only module that knows of bincode.
//!
//! ```text
//! request  | run of the sender 8 | number 2 | body … |
//! response |                       number 2 | body … |
//! ```
//! The head is of a fixed form, so that it is known what a message is before any of it is decoded. The
//! body of commands is what `frame` says; any other is one value in bincode's encoding.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame;
use super::message::{Agreement, BatchOf, Form, NodeIdForm, Refusal, Request, Response};
use crate::command::{Command, Reply};
use crate::limits::{PEER_FRAME_BYTES_MAX, PEER_TEXT_BYTES_MAX};
use crate::member::{Boot, NodeId};
use crate::record::Record;
use crate::registry::Item;

/// Numbers count eight bytes against the limit, however few they take.
const DECODE_BYTES_MAX: usize = 8 * PEER_FRAME_BYTES_MAX;

/// What a command or an entry has besides its key and its value, mostly less.
const ITEM_BYTES: usize = 48;

/// About how many bytes a member gets.
const MEMBER_BYTES: usize = 128;

/// Bytes of a request before its body.
pub(super) const HEAD_BYTES: usize = 8 + 2;

const FORMAT: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

// What a request is. A number is never given to another one.
pub(super) const PING: u16 = 1;
const VIEW: u16 = 2;
pub(super) const RUN: u16 = 3;
const FETCH: u16 = 4;
const TOOK: u16 = 5;
const PUSH: u16 = 6;
const CLAIM: u16 = 7;
const LEFT: u16 = 8;
const RELAY: u16 = 10;
pub(super) const RELAYED: u16 = 11;
const RESERVE: u16 = 9;
const AGREE: u16 = 12;
const SPREAD: u16 = 13;
const DOORS: u16 = 14;

// What a response is.
const PONG: u16 = 1;
const VIEWED: u16 = 2;
const RAN: u16 = 3;
const FETCHED: u16 = 4;
const PUSHED: u16 = 5;
const CLAIMED: u16 = 6;
const CLAIM_REFUSED: u16 = 7;
const OK: u16 = 8;
const LOST: u16 = 9;
const REFUSED: u16 = 10;
const RELAYED_BACK: u16 = 12;
const RESERVED: u16 = 11;
const AGREED: u16 = 13;
const DOORS_TOLD: u16 = 14;

/// Why a message is not written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It is over the limit of a frame.
    #[error("message has {bytes} bytes; allowed: up to {PEER_FRAME_BYTES_MAX}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
    },
    /// This version does not know such a message.
    #[error("this node does not know message {0}")]
    Unknown(u16),
    /// The bytes are no message, or not only one.
    #[error("message cannot be read: {0}")]
    Invalid(String),
}

/// Writes a request of the node that runs as `from`.
///
/// # Errors
///
/// [`CodecError`], if it is too large or holds a command that was not read.
pub fn encode_request(from: Boot, request: &Request) -> Result<Vec<u8>, CodecError> {
    let mut out = begin_request(from, number_of(request), room_of_request(request));
    match request {
        Request::Ping(ping) => append(&mut out, ping),
        Request::View(view) => append(&mut out, view),
        Request::Run(commands, traces) => frame::add_run(&mut out, commands, traces),
        Request::Fetch(keys) => append(&mut out, keys),
        Request::Took(taken) => append(&mut out, taken),
        Request::Push(records) => {
            records.iter().for_each(|record| frame::add_record(&mut out, Some(record)));
            Ok(())
        }
        Request::Claim(claim) => append(&mut out, claim),
        Request::Left => Ok(()),
        Request::Relay(parcel) | Request::Relayed(parcel) => append(&mut out, parcel),
        Request::Reserve(reserve) => append(&mut out, reserve),
        Request::Agree(agreement) => append(&mut out, agreement),
        Request::Spread(spread) => append(&mut out, spread),
        Request::Doors => Ok(()),
    }?;
    within(out)
}

/// Begins a request that only holds commands, for [`frame::add_command`].
pub(super) fn begin_run(from: Boot, bytes: usize) -> Vec<u8> {
    begin_request(from, RUN, bytes + ITEM_BYTES)
}

/// Who asks, and the number of what; `None` if the bytes are no request.
#[must_use]
pub(super) fn head_of(bytes: &[u8]) -> Option<(Boot, u16)> {
    let (boot, rest) = bytes.split_first_chunk::<8>()?;
    let (number, _) = rest.split_first_chunk::<2>()?;
    Some((Boot(u64::from_le_bytes(*boot)), u16::from_le_bytes(*number)))
}

/// Reads who asks, and what.
///
/// # Errors
///
/// [`CodecError`]; nothing is kept of what was read by then.
pub fn decode_request(bytes: &[u8]) -> Result<(Boot, Request), CodecError> {
    let short = || CodecError::Invalid("it is too short".to_owned());
    let (from, number) = head_of(bytes).ok_or_else(short)?;
    check_len(bytes)?;
    let body = &bytes[HEAD_BYTES..];
    let request = match number {
        PING => Request::Ping(decode(body)?),
        VIEW => Request::View(decode(body)?),
        RUN => frame::read_run(body).map(|(commands, traces)| Request::Run(commands, traces))?,
        FETCH => Request::Fetch(decode::<BatchOf<_>>(body)?.0),
        TOOK => Request::Took(decode::<BatchOf<_>>(body)?.0),
        PUSH => Request::Push(frame::read_records(body)?.into_iter().flatten().collect()),
        CLAIM => Request::Claim(decode(body)?),
        LEFT => decode(body).map(|()| Request::Left)?,
        RELAY => Request::Relay(decode(body)?),
        RELAYED => Request::Relayed(decode(body)?),
        RESERVE => Request::Reserve(decode(body)?),
        AGREE => Request::Agree(decode(body)?),
        SPREAD => Request::Spread(decode(body)?),
        DOORS => decode(body).map(|()| Request::Doors)?,
        number => return Err(CodecError::Unknown(number)),
    };
    Ok((from, request))
}

/// Writes a response.
///
/// # Errors
///
/// [`CodecError`], if it is too large or holds what stays on its node.
pub fn encode_response(response: &Response) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(room_of_response(response));
    let begin = |out: &mut Vec<u8>, number: u16| out.extend_from_slice(&number.to_le_bytes());
    begin(&mut out, number_of_response(response));
    match response {
        Response::Pong(ping) => append(&mut out, ping),
        Response::View(view) => append(&mut out, view),
        Response::Ran(outcomes) => {
            outcomes.iter().try_for_each(|outcome| frame::add_outcome(&mut out, outcome))
        }
        Response::Fetched(records) => {
            records.iter().for_each(|record| frame::add_record(&mut out, record.as_ref()));
            Ok(())
        }
        Response::Pushed(outcomes) => append(&mut out, outcomes),
        Response::Claimed(claimed) => append(&mut out, claimed),
        Response::ClaimRefused { id } => append(&mut out, id),
        Response::Relayed(frame) => {
            out.extend_from_slice(frame);
            Ok(())
        }
        Response::Ok | Response::Lost => Ok(()),
        Response::Refused(reason) => append(&mut out, reason),
        Response::Reserved(reserved) => append(&mut out, reserved),
        Response::Agreed(agreement) => append(&mut out, agreement),
        Response::Doors(doors) => append(&mut out, doors),
    }?;
    within(out)
}

/// Reads a response. What became of a command and cannot be read is as good as not answered.
///
/// # Errors
///
/// [`CodecError`]; nothing is kept of what was read by then.
pub fn decode_response(bytes: &[u8]) -> Result<Response, CodecError> {
    check_len(bytes)?;
    let Some((number, body)) = bytes.split_first_chunk::<2>() else {
        return Err(CodecError::Invalid("it is too short".to_owned()));
    };
    Ok(match u16::from_le_bytes(*number) {
        PONG => Response::Pong(decode(body)?),
        VIEWED => Response::View(decode(body)?),
        RAN => Response::Ran(frame::read_outcomes(body)?),
        FETCHED => Response::Fetched(frame::read_records(body)?),
        PUSHED => Response::Pushed(decode::<BatchOf<_>>(body)?.0),
        CLAIMED => Response::Claimed(decode(body)?),
        CLAIM_REFUSED => Response::ClaimRefused { id: decode(body)? },
        RELAYED_BACK => Response::Relayed(Bytes::copy_from_slice(body)),
        OK => decode(body).map(|()| Response::Ok)?,
        LOST => decode(body).map(|()| Response::Lost)?,
        REFUSED => Response::Refused(decode_text(body)?),
        RESERVED => Response::Reserved(decode(body)?),
        AGREED => Response::Agreed(decode(body)?),
        DOORS_TOLD => Response::Doors(decode(body)?),
        number => return Err(CodecError::Unknown(number)),
    })
}

/// Writes a value of this crate's own formats.
///
/// # Errors
///
/// [`CodecError::TooLarge`].
pub(super) fn encode<T: Serialize>(value: &T, room: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(room);
    append(&mut bytes, value)?;
    within(bytes)
}

/// Writes a value behind what is there.
///
/// # Errors
///
/// [`CodecError::Invalid`], if it has no form; part of it may be written.
pub(super) fn append<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, FORMAT)
        .map(|_| ())
        .map_err(|error| CodecError::Invalid(error.to_string()))
}

/// Reads a value that takes all of `bytes`.
///
/// # Errors
///
/// [`CodecError`]; nothing is kept of what was read by then.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    check_len(bytes)?;
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, FORMAT)
        .map_err(|error| CodecError::Invalid(error.to_string()))?;
    if read < bytes.len() {
        return Err(CodecError::Invalid(format!("{} bytes too many", bytes.len() - read)));
    }
    Ok(value)
}

/// Reads who has a slot.
///
/// # Errors
///
/// As [`decode`].
pub(super) fn decode_owner(bytes: &[u8]) -> Result<Option<NodeId>, CodecError> {
    struct Owner(NodeId);

    impl<'de> Deserialize<'de> for Owner {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            NodeIdForm::deserialize(from).map(Self)
        }
    }

    Ok(decode::<Option<Owner>>(bytes)?.map(|owner| owner.0))
}

fn decode_text(bytes: &[u8]) -> Result<String, CodecError> {
    let text: &str = decode(bytes)?;
    Ok(text.chars().take(PEER_TEXT_BYTES_MAX).collect())
}

fn begin_request(from: Boot, number: u16, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + room);
    out.extend_from_slice(&from.0.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out
}

fn check_len(bytes: &[u8]) -> Result<(), CodecError> {
    match bytes.len() {
        0..=PEER_FRAME_BYTES_MAX => Ok(()),
        bytes => Err(CodecError::TooLarge { bytes }),
    }
}

fn within(bytes: Vec<u8>) -> Result<Vec<u8>, CodecError> {
    check_len(&bytes).map(|()| bytes)
}

fn number_of(request: &Request) -> u16 {
    match request {
        Request::Ping(_) => PING,
        Request::View(_) => VIEW,
        Request::Run(..) => RUN,
        Request::Fetch(_) => FETCH,
        Request::Took(_) => TOOK,
        Request::Push(_) => PUSH,
        Request::Claim(_) => CLAIM,
        Request::Left => LEFT,
        Request::Relay(_) => RELAY,
        Request::Relayed(_) => RELAYED,
        Request::Reserve(_) => RESERVE,
        Request::Agree(_) => AGREE,
        Request::Spread(_) => SPREAD,
        Request::Doors => DOORS,
    }
}

fn number_of_response(response: &Response) -> u16 {
    match response {
        Response::Pong(_) => PONG,
        Response::View(_) => VIEWED,
        Response::Ran(_) => RAN,
        Response::Fetched(_) => FETCHED,
        Response::Pushed(_) => PUSHED,
        Response::Claimed(_) => CLAIMED,
        Response::ClaimRefused { .. } => CLAIM_REFUSED,
        Response::Ok => OK,
        Response::Lost => LOST,
        Response::Refused(_) => REFUSED,
        Response::Relayed(_) => RELAYED_BACK,
        Response::Reserved(_) => RESERVED,
        Response::Agreed(_) => AGREED,
        Response::Doors(_) => DOORS_TOLD,
    }
}

/// About how long a request gets, so that its buffer is taken once.
fn room_of_request(request: &Request) -> usize {
    let bytes = match request {
        Request::Run(commands, _) => commands.iter().flatten().map(command_bytes).sum(),
        Request::Push(records) => records.iter().map(record_bytes).sum(),
        Request::Fetch(keys) => keys.iter().map(|key| ITEM_BYTES + key.len()).sum(),
        Request::Took(taken) => taken.iter().map(|(key, _)| ITEM_BYTES + key.len()).sum(),
        Request::View(view) => view.members.len() * MEMBER_BYTES,
        Request::Claim(claim) => claim.slots.len(),
        Request::Ping(ping) => ping.hears.len(),
        Request::Relay(parcel) | Request::Relayed(parcel) => parcel.frame.len(),
        Request::Agree(agreement) => agreement_bytes(agreement),
        Request::Spread(spread) => {
            let wishes = spread.wishes.iter().map(|wish| ITEM_BYTES + wish.name.len());
            let letters = spread.letters.iter();
            let letters = letters.map(|of| ITEM_BYTES + of.topic.len() + of.body.len());
            wishes.chain(letters).sum()
        }
        Request::Left | Request::Reserve(_) | Request::Doors => 0,
    };
    bytes + ITEM_BYTES
}

fn room_of_response(response: &Response) -> usize {
    let bytes = match response {
        Response::Ran(outcomes) => outcomes.iter().map(outcome_bytes).sum(),
        Response::Fetched(records) => records.iter().flatten().map(record_bytes).sum(),
        Response::Pushed(outcomes) => outcomes.len(),
        Response::View(view) => view.members.len() * MEMBER_BYTES,
        Response::Claimed(claimed) => claimed.residue.len(),
        Response::Pong(ping) => ping.hears.len(),
        Response::Refused(reason) => reason.len(),
        Response::Relayed(frame) => frame.len(),
        Response::Reserved(reserved) => reserved.electors.len() * ITEM_BYTES,
        Response::Agreed(agreement) => agreement_bytes(agreement),
        Response::Doors(doors) => doors.resp.len(),
        Response::ClaimRefused { .. } | Response::Ok | Response::Lost => 0,
    };
    bytes + ITEM_BYTES
}

fn agreement_bytes(agreement: &Agreement) -> usize {
    let bytes =
        |item: &Item| ITEM_BYTES + item.name.len() + item.value.as_ref().map_or(0, Bytes::len);
    agreement.items.iter().map(bytes).sum()
}

/// About how many bytes a command gets.
pub(super) fn command_bytes(command: &Command) -> usize {
    ITEM_BYTES + command.bytes()
}

/// About how many bytes gets a record.
pub(super) fn record_bytes(record: &Record) -> usize {
    ITEM_BYTES + record.as_bytes().len()
}

/// About how many bytes gets what became of a command.
pub(super) fn outcome_bytes(outcome: &Result<Reply, Refusal>) -> usize {
    ITEM_BYTES + outcome.as_ref().map_or(0, Reply::bytes)
}
