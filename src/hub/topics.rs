//! What members of this node listen to, and what of that other nodes have to be told.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::interest::{By, Known, News, Wanted, Wish};
use super::mailbox::{Dropped, Fate, Mailbox};
use super::{Message, Space, Topic};
use crate::glob;
use crate::limits::{HUB_LOG_MAX, HUB_TOPICS_BYTES_MAX};

/// What members of this node listen to.
#[derive(Default)]
pub(super) struct Topics {
    names: HashMap<Topic, Vec<Member>>,
    patterns: HashMap<Topic, Vec<Member>>,
    /// What they are called, in bytes.
    bytes: usize,
    /// How often what is wanted here has changed.
    version: u64,
    /// The last of these changes.
    log: VecDeque<Wish>,
}

/// Who listens to something.
#[derive(Clone)]
pub(super) struct Member {
    /// Tells it from all others.
    pub(super) id: u64,
    pub(super) sink: Sink,
}

/// Where messages go.
#[derive(Clone)]
pub(super) enum Sink {
    /// To be taken.
    Mailbox(Arc<Mailbox>),
    /// To be looked at in passing.
    Tap(Arc<TapFn>),
}

pub(super) type TapFn = dyn Fn(&Message) + Send + Sync;

/// What topics are called has too many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyTopics;

impl Topics {
    /// Has a member listen to something it does not listen to yet.
    pub(super) fn join(&mut self, wanted: &Wanted, member: Member) -> Result<(), TooManyTopics> {
        let bytes = self.bytes + wanted.topic.name.len();
        let map = self.map(wanted.by);
        if let Some(members) = map.get_mut(&wanted.topic) {
            members.push(member);
            return Ok(());
        }
        if HUB_TOPICS_BYTES_MAX < bytes {
            return Err(TooManyTopics);
        }
        map.insert(wanted.topic.clone(), vec![member]);
        self.bytes = bytes;
        self.note(Wish { wanted: wanted.clone(), is_wanted: true });
        Ok(())
    }

    /// Has a member not listen to something any more.
    pub(super) fn leave(&mut self, wanted: &Wanted, id: u64) {
        let map = self.map(wanted.by);
        let Some(members) = map.get_mut(&wanted.topic) else { return };
        members.retain(|member| member.id != id);
        if members.is_empty() {
            map.remove(&wanted.topic);
            self.bytes -= wanted.topic.name.len();
            self.note(Wish { wanted: wanted.clone(), is_wanted: false });
        }
    }

    fn map(&mut self, by: By) -> &mut HashMap<Topic, Vec<Member>> {
        match by {
            By::Name => &mut self.names,
            By::Pattern => &mut self.patterns,
        }
    }

    fn note(&mut self, wish: Wish) {
        self.version += 1;
        if HUB_LOG_MAX <= self.log.len() {
            self.log.pop_front();
        }
        self.log.push_back(wish);
    }

    /// How often what is wanted here has changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Calls `tell` for every member that a message of this topic is for, as often as it is, with the
    /// pattern if it is by one.
    pub(super) fn each(&self, topic: &Topic, mut tell: impl FnMut(&Member, Option<&Bytes>)) {
        if let Some(members) = self.names.get(topic) {
            members.iter().for_each(|member| tell(member, None));
        }
        for (pattern, members) in self.matching(topic) {
            members.iter().for_each(|member| tell(member, Some(&pattern.name)));
        }
    }

    /// Whether anybody wants a message of this topic.
    pub(super) fn is_wanted(&self, topic: &Topic) -> bool {
        self.names.contains_key(topic) || self.matching(topic).next().is_some()
    }

    fn matching(&self, topic: &Topic) -> impl Iterator<Item = (&Topic, &Vec<Member>)> {
        let is_one = |pattern: &Topic| {
            pattern.space == topic.space && glob::matches(&pattern.name, &topic.name)
        };
        self.patterns.iter().filter(move |(pattern, _)| is_one(pattern))
    }

    /// Drops who is farthest behind.
    pub(super) fn drop_slowest(&self) -> Fate {
        let members = self.names.values().chain(self.patterns.values()).flatten();
        let mailboxes = members.filter_map(|member| match &member.sink {
            Sink::Mailbox(mailbox) => Some((mailbox.len(), mailbox)),
            Sink::Tap(_) => None,
        });
        match mailboxes.max_by_key(|(behind, _)| *behind) {
            Some((1.., mailbox)) => mailbox.drop_for(Dropped::Crowded),
            Some((0, _)) | None => Fate::Stands,
        }
    }

    pub(super) fn names(&self, space: Space) -> Vec<Bytes> {
        let of_space = self.names.keys().filter(|topic| topic.space == space);
        of_space.map(|topic| topic.name.clone()).collect()
    }

    pub(super) fn members(&self, topic: &Topic) -> usize {
        self.names.get(topic).map_or(0, Vec::len)
    }

    pub(super) fn patterns(&self, space: Space) -> usize {
        self.patterns.keys().filter(|pattern| pattern.space == space).count()
    }

    /// Whether anybody wants anything of a space.
    pub(super) fn wants_space(&self, space: Space) -> bool {
        self.names.keys().chain(self.patterns.keys()).any(|topic| topic.space == space)
    }

    /// What a node has to be told that knows that much; `None` if it knows all.
    pub(super) fn news(&self, known: &Known) -> Option<News> {
        let behind = self.version - known.version.min(self.version);
        match known {
            Known { is_begun: true, left, .. } if !left.is_empty() => Some(News::part(known)),
            Known { is_begun: true, .. } if behind == 0 => None,
            Known { is_begun: true, version, .. } if behind <= self.log.len() as u64 => {
                let from = self.log.len() - behind as usize;
                Some(News::more(self.log.range(from..), *version))
            }
            // A node that was never told anything takes this one for one that wants nothing.
            Known { is_begun: false, .. } if self.version == 0 => None,
            Known { .. } => Some(News::all(self.wishes(), self.version)),
        }
    }

    /// All that is wanted here.
    fn wishes(&self) -> VecDeque<Wish> {
        let of = |by| {
            move |topic: &Topic| Wish {
                wanted: Wanted { by, topic: topic.clone() },
                is_wanted: true,
            }
        };
        let names = self.names.keys().map(of(By::Name));
        names.chain(self.patterns.keys().map(of(By::Pattern))).collect()
    }
}
