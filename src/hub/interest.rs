//! What a node wants to be told: how others are told of it, and how they keep it.
//!
//! A node that knows nothing is told everything, in parts, and from then on what changes. How far it is
//! moves on with what it acknowledges.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use super::{Space, Topic};
use crate::glob;
use crate::limits::{HUB_SPREAD_BYTES_MAX, PEER_BATCH_COMMANDS_MAX};
use crate::peer::message;

/// How topics are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// One, by its name.
    Name,
    /// All that a pattern means.
    Pattern,
}

/// Something that can be listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) by: By,
    /// The topic, or the pattern.
    pub(super) topic: Topic,
}

/// That something is wanted from now on, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) wanted: Wanted,
    pub(super) is_wanted: bool,
}

/// How much another node knows of what is wanted here.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Whether it was told anything since it knew nothing.
    pub(super) is_begun: bool,
    /// All up to this version, but for what is left.
    pub(super) version: u64,
    /// What it has not been told of that.
    pub(super) left: VecDeque<Wish>,
}

/// What a node is told next.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) wishes: Vec<Wish>,
    /// Whether what it knew before is void.
    pub(super) is_first: bool,
    /// What it knows once it has acknowledged that.
    pub(super) then: Known,
}

/// What another node wants.
#[derive(Debug, Default)]
pub(super) struct Wants {
    names: HashSet<Topic>,
    patterns: HashSet<Topic>,
}

impl Known {
    /// Whether the node knows all that was wanted at that version.
    pub(super) fn has(&self, version: u64) -> bool {
        version == 0 || (self.is_begun && self.left.is_empty() && version <= self.version)
    }
}

impl News {
    /// Everything, to a node that knows nothing of use.
    pub(super) fn all(left: VecDeque<Wish>, version: u64) -> Self {
        let known = Known { is_begun: true, version, left };
        Self { is_first: true, ..Self::part(&known) }
    }

    /// The next part of everything.
    pub(super) fn part(known: &Known) -> Self {
        let mut then = known.clone();
        let count = fitting(then.left.iter());
        let wishes = then.left.drain(..count).collect();
        Self { wishes, is_first: false, then }
    }

    /// What has changed since `version`, as much of it as fits.
    pub(super) fn more<'a>(changes: impl Iterator<Item = &'a Wish> + Clone, version: u64) -> Self {
        let count = fitting(changes.clone());
        let wishes: Vec<_> = changes.take(count).cloned().collect();
        let then = Known { is_begun: true, version: version + count as u64, left: VecDeque::new() };
        Self { wishes, is_first: false, then }
    }
}

/// How many wishes go into one batch: one at least, if there is one.
fn fitting<'a>(wishes: impl Iterator<Item = &'a Wish>) -> usize {
    let mut bytes = 0;
    let fits = |wish: &&Wish| {
        let is_first = bytes == 0;
        bytes += wish.wanted.topic.name.len() + 1;
        is_first || bytes <= HUB_SPREAD_BYTES_MAX
    };
    wishes.take(PEER_BATCH_COMMANDS_MAX).take_while(fits).count()
}

impl Wants {
    pub(super) fn apply(&mut self, Wish { wanted, is_wanted }: &Wish) {
        let set = match wanted.by {
            By::Name => &mut self.names,
            By::Pattern => &mut self.patterns,
        };
        match is_wanted {
            true => drop(set.insert(wanted.topic.clone())),
            false => drop(set.remove(&wanted.topic)),
        }
    }

    /// Whether it wants messages of a topic.
    pub(super) fn wants(&self, topic: &Topic) -> bool {
        let is_one = |pattern: &Topic| {
            pattern.space == topic.space && glob::matches(&pattern.name, &topic.name)
        };
        self.names.contains(topic) || self.patterns.iter().any(is_one)
    }

    /// Whether it wants anything of a space.
    pub(super) fn wants_space(&self, space: Space) -> bool {
        self.names.iter().chain(&self.patterns).any(|topic| topic.space == space)
    }
}

impl From<&Wish> for message::Wish {
    fn from(Wish { wanted, is_wanted }: &Wish) -> Self {
        Self {
            space: wanted.topic.space.number(),
            name: wanted.topic.name.clone(),
            is_pattern: wanted.by == By::Pattern,
            is_wanted: *is_wanted,
        }
    }
}

impl Wish {
    /// What another node says; `None` for a space that this version does not know.
    pub(super) fn read(wish: &message::Wish) -> Option<Self> {
        let space = Space::of_number(wish.space)?;
        let by = if wish.is_pattern { By::Pattern } else { By::Name };
        let topic = Topic { space, name: Bytes::clone(&wish.name) };
        Some(Self { wanted: Wanted { by, topic }, is_wanted: wish.is_wanted })
    }
}
