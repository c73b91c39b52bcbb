//! The only types that cross the wire between nodes.
//!
//! What a node asks and answers is written here in the words of the cache. How those words look on the
//! wire is said by the definitions below them, apart from the types themselves, so that no other
//! module has to know that there is a wire: a type that changes does not compile until its definition
//! here changes too, and with it the [`protocol`](super::protocol). Names that come in are checked again, as if a client
//! had sent them.

mod form;
mod wire;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Command, Reply};
use crate::entry::{Key, Version, octets};
use crate::error::Error;
use crate::limits::{PEER_BITMAP_BYTES_MAX, PEERS_MAX};
use crate::member::{Boot, NodeId, NodeName, Standing};
use crate::partition::SlotSet;
use crate::record::Record;
use crate::registry::Item;
use crate::trace::Trace;

use form::{BitmapForm, ItemsForm, SlotsForm, TextForm};
use wire::{BootForm, NodeIdsForm, NodeNameForm, StandingWire};

pub(super) use form::{BatchOf, Form};
pub(super) use wire::NodeIdForm;

/// A command of another node, or why it cannot be done.
pub type Received = Result<Command, Unread>;

/// Commands among others that are of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The first of them.
    pub from: usize,
    /// How many.
    pub len: usize,
    /// What the request is called.
    pub trace: Trace,
}

/// Why what a peer sent among commands is not one. What came with it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// This version does not know such a verb.
    Unknown,
    /// The verb is known and what follows is not of its form.
    Garbled,
}

/// What one node asks another. Each has a number on the wire, see `codec`.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Whether it is alive, with what the sender sees.
    Ping(Ping),
    /// Its view of the members, for that of the sender.
    View(ViewRecord),
    /// Commands that were routed once already and go no further, and what is known of what they are of.
    Run(Vec<Received>, Vec<Traced>),
    /// What it knows under these keys.
    Fetch(Vec<Key>),
    /// The sender has taken over what the receiver knew of these keys under these versions.
    Took(Vec<(Key, Version)>),
    /// What the sender knows of keys the receiver has now.
    Push(Vec<Record>),
    /// The slots the sender is about to have, for those who had them.
    Claim(Claim),
    /// The sender is going.
    Left,
    /// A request for a node that the receiver has a session with and the sender has none with.
    Relay(Parcel),
    /// A request that came by way of the sender, from the node it names.
    Relayed(Parcel),
    /// Whether ids are free, for the sender to give.
    Reserve(Reserve),
    /// What the sender listens to, and what was published there for the receiver.
    Spread(Spread),
    /// Where clients reach the receiver.
    Doors,
    /// What the sender knows of what all nodes know alike.
    Agree(Agreement),
}

/// What a node knows of what all nodes know alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// A fingerprint of all of it.
    pub digest: u64,
    /// All of it, or what is new of it, or nothing to whom the fingerprint says enough.
    #[serde(with = "ItemsForm")]
    pub items: Vec<Item>,
}

/// A request that goes by way of another node, which does not read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// On the first half of its way who it is for, on the second who it is from.
    #[serde(with = "NodeIdForm")]
    pub node: NodeId,
    /// The request, as bytes.
    #[serde(with = "octets")]
    pub frame: Bytes,
}

/// The ids a node wants to give, and none if it only wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// The first of them.
    pub from: u64,
    /// The one after the last of them.
    pub to: u64,
    /// A fingerprint of those who have to be asked as far as the sender knows.
    pub electors: u64,
}

/// What a node says to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Whether they were free.
    pub is_granted: bool,
    /// Whether it knows of all that were reserved.
    pub is_informed: bool,
    /// All below it may have been given.
    pub ceiling: u64,
    /// Who has to be asked as far as it knows; nobody if that is whom the sender knows, too.
    #[serde(with = "NodeIdsForm")]
    pub electors: Vec<NodeId>,
}

/// What a node has for another: what it listens to, and what was published there that the other listens to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Greater than that of any batch before; one that came already has been taken in.
    pub serial: u64,
    /// Whether what the sender said before of what it listens to is void.
    pub is_first: bool,
    /// What it listens to from now on, or not any more, in order.
    #[serde(deserialize_with = "form::batch")]
    pub wishes: Vec<Wish>,
    /// What was published, in order.
    #[serde(deserialize_with = "form::batch")]
    pub letters: Vec<Letter>,
}

/// That a node listens to something, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The number of the space that the name is of.
    pub space: u8,
    /// The name of a topic, or a pattern.
    #[serde(with = "octets")]
    pub name: Bytes,
    /// Which of both.
    pub is_pattern: bool,
    /// Whether it listens.
    pub is_wanted: bool,
}

/// A message that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The number of the space that the topic is of.
    pub space: u8,
    /// The name of the topic.
    #[serde(with = "octets")]
    pub topic: Bytes,
    /// What was said.
    #[serde(with = "octets")]
    pub body: Bytes,
}

/// Where clients reach a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doors {
    /// Clients of Redis's protocol, as address and port; empty if nowhere.
    #[serde(with = "TextForm")]
    pub resp: String,
}

/// The slots a node is about to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Tells one claim from another.
    pub id: u64,
    /// The membership it is derived from.
    pub digest: u64,
    /// The slots.
    #[serde(with = "SlotsForm")]
    pub slots: SlotSet,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To `Ping`.
    Pong(Ping),
    /// To `View`: its own.
    View(ViewRecord),
    /// To `Run`: what became of each command, in order.
    Ran(Vec<Result<Reply, Refusal>>),
    /// To `Fetch`: what is known of each key, in order.
    Fetched(Vec<Option<Record>>),
    /// To `Push`: what became of each, in order.
    Pushed(Vec<PushOutcome>),
    /// To `Claim`: it has let go of the slots.
    Claimed(Claimed),
    /// To `Claim`: it sees the members differently.
    ClaimRefused {
        /// The claim.
        id: u64,
    },
    /// To `Relay` and `Relayed`: the response of the node it was for, as bytes.
    Relayed(Bytes),
    /// To `Took`, `Left` and `Spread`.
    Ok,
    /// To `Doors`.
    Doors(Doors),
    /// To `Reserve`.
    Reserved(Reserved),
    /// To `Agree`: what is known here, if that is not the same by now.
    Agreed(Agreement),
    /// To any: it was begun, and what became of it cannot be said.
    Lost,
    /// To any: why nothing was done.
    Refused(String),
}

/// A node has let go of slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    /// The claim.
    pub id: u64,
    /// Those of the slots of which it may still have something.
    #[serde(with = "SlotsForm")]
    pub residue: SlotSet,
    /// The greatest version it gave in those slots; later ones must be greater.
    pub clock: u64,
}

/// A sign of life with what its sender sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The members it sees.
    pub digest: u64,
    /// How often that changed.
    pub epoch: u64,
    /// Whom it hears, a bit each in the order of the view.
    #[serde(with = "BitmapForm")]
    pub hears: Vec<u8>,
    /// The greatest version of its writes, or the first of its time if that is greater.
    pub clock: u64,
    /// Ids below it may have been given.
    pub ids: u64,
}

/// The members as a node sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRecord {
    /// How often its view changed.
    pub epoch: u64,
    /// The members.
    #[serde(deserialize_with = "form::members")]
    pub members: Vec<MemberRecord>,
    /// As in [`Ping`]: who joins by this view goes by that time.
    pub clock: u64,
}

/// A member as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// What it is called.
    #[serde(with = "NodeNameForm")]
    pub name: NodeName,
    /// Which run of it.
    #[serde(with = "BootForm")]
    pub boot: Boot,
    /// The greater one is right where two say different things of one run.
    pub incarnation: u64,
    /// What it does.
    #[serde(with = "StandingWire")]
    pub standing: Standing,
    /// Where other nodes reach it.
    #[serde(with = "TextForm")]
    pub addr: String,
    /// Where clients reach it; empty if nowhere.
    #[serde(with = "TextForm")]
    pub http: String,
    /// Its share of the slots, against the others'.
    pub weight: u32,
}

/// What became of one thing that was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushOutcome {
    /// It was newer and is held now.
    Taken,
    /// What was there is as new or newer: it can be forgotten by the sender as well.
    Older,
    /// It is not held, so that the sender has to keep it.
    Refused(Error),
}

/// Why a command was not done by the node it was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// That node does not have the slot. Nothing changed.
    Moved {
        /// Who has it, as that node sees it; `None` if it does not know.
        owner: Option<NodeId>,
    },
    /// The replies before it filled the message. Nothing changed. Links send it again by themselves.
    Later,
    /// It was tried there. The error says whether the write may have happened.
    Failed(Error),
    /// This version cannot read what became of it. Only said by who received it.
    Unread,
}

/// What a node says of itself at the beginning of a connection. What stands before it there tells
/// first whether it can be read: see `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HelloRecord {
    #[serde(with = "TextForm")]
    pub(super) cluster: String,
    #[serde(with = "NodeIdForm")]
    pub(super) id: NodeId,
    pub(super) incarnation: u64,
    #[serde(with = "TextForm")]
    pub(super) addr: String,
    #[serde(with = "TextForm")]
    pub(super) http: String,
    pub(super) weight: u32,
    #[serde(with = "StandingWire")]
    pub(super) standing: Standing,
    pub(super) has_cookie: bool,
    #[serde(with = "TextForm")]
    pub(super) version: String,
    pub(super) nonce: [u8; 32],
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

// There is a bit for each member.
const _: () = assert!(PEERS_MAX <= PEER_BITMAP_BYTES_MAX * 8);
