//! Events of keys, as channels that clients of Redis know: `__keyevent@0__:set` and `__keyspace@0__:KEY`.
//!
//! They are made of the changes that all nodes tell, on each node for its own clients, and only while the
//! node is set to have them and somebody listens to channels that may be these.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{Hub, Message, Tap, Topic};

/// What channels of events begin with.
const CHANNELS: &[u8] = b"__key";

/// Kinds of events, by their letters, in the order in which Redis writes them.
const CLASSES: &[u8] = b"g$lshzxetdn";
/// The letter that stands for all of them but new keys.
const ALL: &[u8] = b"g$lshzxetd";

/// Which events a node tells its clients, and whether anybody listens.
pub(super) struct Keyspace {
    hub: Hub,
    /// The events that are told.
    flags: Arc<AtomicU32>,
    wanted: Mutex<Wanted>,
}

#[derive(Default)]
struct Wanted {
    /// Channels and patterns of clients that may mean events.
    listeners: usize,
    /// Makes events of changes, while there is anything to be told.
    tap: Option<Tap>,
}

/// Letters that are no events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownClass;

/// Letters as bits: those of classes, and how events are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags(u32);

impl Flags {
    /// All bits of classes.
    const CLASSES: u32 = (1 << 16) - 1;
    const KEYSPACE: Self = Self(1 << 16);
    const KEYEVENT: Self = Self(1 << 17);
    const MISSES: Self = Self(1 << 18);

    fn of_class(class: u8) -> Self {
        let at = CLASSES.iter().position(|letter| *letter == class);
        Self(at.map_or(0, |at| 1 << at))
    }

    fn of_all() -> Self {
        ALL.iter().fold(Self::default(), |all, class| all.with(Self::of_class(*class)))
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }

    fn read(text: &[u8]) -> Result<Self, UnknownClass> {
        text.iter().try_fold(Self::default(), |flags, letter| {
            let more = match letter {
                b'A' => Self::of_all(),
                b'K' => Self::KEYSPACE,
                b'E' => Self::KEYEVENT,
                b'm' => Self::MISSES,
                class => Self::of_class(*class),
            };
            if more.0 == 0 { Err(UnknownClass) } else { Ok(flags.with(more)) }
        })
    }

    /// As Redis writes them.
    fn text(self) -> String {
        let is_all = self.has(Self::of_all());
        let classes = CLASSES.iter().copied().filter(|class| self.has(Self::of_class(*class)));
        let mut text = match is_all {
            true => "A".to_owned(),
            false => classes.map(char::from).collect(),
        };
        for (flag, letter) in [(Self::KEYSPACE, 'K'), (Self::KEYEVENT, 'E'), (Self::MISSES, 'm')] {
            text.extend(self.has(flag).then_some(letter));
        }
        text
    }

    /// Whether any event is told by them.
    fn is_telling(self) -> bool {
        (self.has(Self::KEYSPACE) || self.has(Self::KEYEVENT)) && self.0 & Self::CLASSES != 0
    }
}

impl Keyspace {
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, flags: Arc::default(), wanted: Mutex::default() }
    }

    /// The letters of the events that are told.
    pub(super) fn text(&self) -> String {
        Flags(self.flags.load(Ordering::Relaxed)).text()
    }

    /// Has those events told from now on.
    ///
    /// # Errors
    ///
    /// [`UnknownClass`]; nothing changed.
    pub(super) fn set(&self, text: &[u8]) -> Result<(), UnknownClass> {
        self.flags.store(Flags::read(text)?.0, Ordering::Relaxed);
        self.change(|_| {});
        Ok(())
    }

    /// Notes that a client listens to something that may be events.
    pub(super) fn more_listen(&self) {
        self.change(|wanted| wanted.listeners += 1);
    }

    /// Notes that clients do not listen to so much any more.
    pub(super) fn fewer_listen(&self, fewer: usize) {
        if 0 < fewer {
            self.change(|wanted| wanted.listeners -= fewer);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Wanted)) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut wanted);
        let is_telling = Flags(self.flags.load(Ordering::Relaxed)).is_telling();
        let is_wanted = 0 < wanted.listeners && is_telling;
        match (&wanted.tap, is_wanted) {
            (None, true) => wanted.tap = Some(self.tap()),
            (Some(_), false) => wanted.tap = None,
            (None, false) | (Some(_), true) => {}
        }
    }

    fn tap(&self) -> Tap {
        let (hub, flags) = (self.hub.clone(), Arc::clone(&self.flags));
        self.hub.tap_changes(Arc::new(move |change| {
            tell(&hub, Flags(flags.load(Ordering::Relaxed)), change);
        }))
    }
}

/// Tells clients of this node of a change.
fn tell(hub: &Hub, flags: Flags, change: &Message) {
    let (class, event): (_, &[u8]) = match &change.topic.name[..] {
        b"put" => (b'$', b"set"),
        b"delete" => (b'g', b"del"),
        b"expire" => (b'x', b"expired"),
        b"evict" => (b'e', b"evicted"),
        _ => return,
    };
    if !flags.has(Flags::of_class(class)) {
        return;
    }
    let key = &change.body;
    // Where there is no room, clients that are behind lose their connections: they are told by that.
    if flags.has(Flags::KEYSPACE) {
        let name = [b"__keyspace@0__:", &key[..]].concat();
        let _ = hub.publish_here(&Topic::channel(name.into()), event);
    }
    if flags.has(Flags::KEYEVENT) {
        let name = [b"__keyevent@0__:", event].concat();
        let _ = hub.publish_here(&Topic::channel(name.into()), key);
    }
}

/// Whether a channel may be one of events.
pub(super) fn is_channel(name: &[u8]) -> bool {
    name.starts_with(CHANNELS)
}

/// Whether a pattern may mean channels of events.
pub(super) fn is_meant_by(pattern: &[u8]) -> bool {
    let is_literal = |byte: &&u8| !matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let literal = &pattern[..pattern.iter().take_while(is_literal).count()];
    literal.starts_with(CHANNELS) || CHANNELS.starts_with(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_written_as_redis_does() {
        for (letters, written) in [
            ("", ""),
            ("KEA", "AKE"),
            ("xKEg", "gxKE"),
            ("g$lshzxetdnKEm", "AKEm"),
            ("Kx", "xK"),
            ("En", "nE"),
        ] {
            assert_eq!(Flags::read(letters.as_bytes()).map(Flags::text), Ok(written.to_owned()));
        }
        assert_eq!(Flags::read(b"KX"), Err(UnknownClass));
        for (letters, is_telling) in [("", false), ("A", false), ("KE", false), ("Kx", true)] {
            assert_eq!(Flags::read(letters.as_bytes()).unwrap().is_telling(), is_telling);
        }
    }

    #[test]
    fn patterns_that_may_mean_events_are_known() {
        for (pattern, is_one) in [
            ("*", true),
            ("__key*", true),
            ("__keyevent@0__:expired", true),
            ("_?key*", true),
            ("[_]*", true),
            ("news*", false),
            ("__k", true),
        ] {
            assert_eq!(is_meant_by(pattern.as_bytes()), is_one, "{pattern}");
        }
    }
}
