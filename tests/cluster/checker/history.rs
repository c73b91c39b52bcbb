//! What clients asked of each key, when, of whom, and what they were told.

use std::fmt;

/// Microseconds since the round began.
pub type Time = u64;

pub const MILLI: Time = 1_000;
pub const SECOND: Time = 1_000_000;

/// One operation from the moment it was sent to the moment its outcome was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub what: What,
    pub begin: Time,
    pub end: Time,
    /// The node that was asked, by its place among all.
    pub asked: usize,
    pub outcome: Outcome,
    /// The node that had the key, as the answer says (`Smache-Node`).
    pub holder: Option<usize>,
    /// What a refusal or a failure said.
    pub note: String,
}

/// What was asked. Every value of a run has a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Read,
    Put { n: u64, ttl: Option<Time> },
    Delete,
    NewId { n: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Found(u64),
    Absent,
    Stored {
        is_new: bool,
    },
    Deleted {
        was_there: bool,
    },
    Id(u64),
    /// It was not done, certainly.
    Refused,
    /// Nobody said whether it was done.
    Unknown,
    /// An answer that no request gets.
    Strange,
}

/// All operations of a round: those of each key in the order they began, and those about no key.
#[derive(Default)]
pub struct History {
    pub keys: Vec<Vec<Op>>,
    pub ids: Vec<Op>,
}

impl History {
    /// One history of what several clients did.
    pub fn of(keys: usize, recorded: impl IntoIterator<Item = (usize, Op)>) -> Self {
        let mut history = Self { keys: vec![vec![]; keys], ids: vec![] };
        for (key, op) in recorded {
            match op.what {
                What::NewId { .. } => history.ids.push(op),
                _ => history.keys[key].push(op),
            }
        }
        history.keys.iter_mut().for_each(|ops| ops.sort_by_key(|op| op.begin));
        history
    }

    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.keys.iter().flatten().chain(&self.ids)
    }
}

impl Op {
    /// Whether the answer says that there was nothing under the key.
    pub fn says_absent(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Absent
                | Outcome::Stored { is_new: true }
                | Outcome::Deleted { was_there: false }
        )
    }

    pub fn is_write(&self) -> bool {
        matches!(self.what, What::Put { .. } | What::Delete)
    }

    /// When what it stored ends at the earliest, and how long it lives; `None` if it does not end.
    pub fn ttl(&self) -> Option<Time> {
        match self.what {
            What::Put { ttl, .. } => ttl,
            _ => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => write!(f, "read"),
            Self::Put { n, ttl: None } => write!(f, "put {n}"),
            Self::Put { n, ttl: Some(ttl) } => write!(f, "put {n} for {} ms", ttl / MILLI),
            Self::Delete => write!(f, "delete"),
            Self::NewId { n } => write!(f, "new id for {n}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(n) => write!(f, "found {n}"),
            Self::Absent => write!(f, "absent"),
            Self::Stored { is_new: true } => write!(f, "stored, was absent"),
            Self::Stored { is_new: false } => write!(f, "stored"),
            Self::Deleted { was_there: true } => write!(f, "deleted"),
            Self::Deleted { was_there: false } => write!(f, "deleted, was absent"),
            Self::Id(id) => write!(f, "id {id}"),
            Self::Refused => write!(f, "refused"),
            Self::Unknown => write!(f, "UNKNOWN"),
            Self::Strange => write!(f, "STRANGE"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Time| time as f64 / SECOND as f64;
        write!(f, "{:9.4} to {:9.4} s", seconds(self.begin), seconds(self.end))?;
        write!(f, "  n{}  {}: {}", self.asked, self.what, self.outcome)?;
        self.holder.iter().try_for_each(|holder| write!(f, " at n{holder}"))?;
        match &*self.note {
            "" => Ok(()),
            note => write!(f, "  ({note})"),
        }
    }
}
