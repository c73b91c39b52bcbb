//! What crosses the simulated wire, and the requests of clients.

use smache::member::{Heartbeat, Member, NodeId, View};
use smache::partition::{Slot, SlotSet};

/// Keys of the toy tables.
pub const KEYS: usize = 24;

pub fn slot_of(key: usize) -> Slot {
    Slot((key * 683) as u16)
}

/// When what never ends ends.
pub const NEVER_US: u64 = u64::MAX;

/// What a table has under a key; no value is a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub version: u64,
    pub value: Option<u64>,
    /// When the value ends.
    pub ends_us: u64,
}

impl Record {
    /// The value, unless it has ended.
    pub fn value_at(self, now: u64) -> Option<u64> {
        self.value.filter(|_| now < self.ends_us)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Put,
    /// A put of what ends after so many microseconds.
    PutBrief(u64),
    Delete,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub struct Op {
    pub id: u64,
    pub verb: Verb,
    pub key: usize,
    /// Who routed it here; nobody if the client came here itself.
    pub origin: Option<NodeId>,
    pub until_us: u64,
}

/// An entry that is sent to who owns it.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub key: usize,
    pub record: Record,
    /// How often its slot had been closed where it was when it was sent.
    pub closed: u64,
}

#[derive(Clone, Debug)]
pub enum Message {
    Hello(Member),
    Welcome {
        member: Member,
        floor: u64,
    },
    Unwelcome,
    /// There is no link with the sender of what this answers.
    Bye,
    /// Nobody listens at this place.
    Refused(usize),
    /// Somebody may be at this place, and nothing came of the dial.
    Failed(usize),
    /// For a node that hears the receiver, from one that may not be heard there.
    Relay {
        to: NodeId,
        message: Box<Message>,
    },
    /// What a node sent by way of the sender.
    Relayed {
        origin: NodeId,
        message: Box<Message>,
    },
    Beat(Heartbeat),
    View {
        view: View,
        is_answer: bool,
    },
    Claim {
        id: u64,
        digest: u64,
        slots: SlotSet,
    },
    ClaimRefused {
        id: u64,
    },
    Claimed {
        id: u64,
        residue: SlotSet,
        clock: u64,
    },
    Run(Op),
    Moved {
        op: Op,
        hint: Option<NodeId>,
    },
    Ran {
        op: Op,
        record: Option<Record>,
    },
    Fetch {
        request: u64,
        key: usize,
    },
    Fetched {
        request: u64,
        record: Option<Record>,
    },
    /// What was fetched is taken over.
    Took {
        key: usize,
        version: u64,
    },
    Push(Vec<Pushed>),
    /// What was taken of it.
    Pushed(Vec<Pushed>),
}

impl Message {
    /// Requests of clients go over an ordered stream and are never sent twice: a second put could
    /// undo a later one.
    pub fn can_repeat(&self) -> bool {
        match self {
            Self::Run(_) | Self::Moved { .. } | Self::Ran { .. } | Self::Took { .. } => false,
            Self::Relay { message, .. } | Self::Relayed { message, .. } => message.can_repeat(),
            _ => true,
        }
    }

    pub fn tag(&self) -> u64 {
        match self {
            Self::Hello(_) => 1,
            Self::Welcome { .. } => 2,
            Self::Unwelcome => 3,
            Self::Bye => 4,
            Self::Refused(_) => 5,
            Self::Failed(_) => 6,
            Self::Relay { message, .. } => 10 + message.tag(),
            Self::Relayed { message, .. } => 20 + message.tag(),
            Self::Beat(beat) => beat.digest,
            Self::View { view, .. } => view.digest() ^ view.epoch(),
            Self::Claim { id, .. } => 100 + id,
            Self::ClaimRefused { id } => 200 + id,
            Self::Claimed { id, clock, .. } => (300 + id) ^ clock,
            Self::Run(op) => 1_000 + op.id,
            Self::Moved { op, .. } => 2_000 + op.id,
            Self::Ran { op, record } => 3_000 + op.id + record.map_or(0, |r| r.version),
            Self::Fetch { request, .. } => 4_000 + request,
            Self::Fetched { request, .. } => 5_000 + request,
            Self::Took { version, .. } => 8_000 ^ version,
            Self::Push(entries) => 6_000 + entries.len() as u64,
            Self::Pushed(entries) => 7_000 + entries.len() as u64,
        }
    }
}
