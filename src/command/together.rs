//! `Together`: several commands on keys of one slot, done in one go or not at all.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Access, Body, Command, Gives, Scope, Verb};
use crate::entry::{Key, Version};
use crate::limits::TOGETHER_KEYS_MAX;

/// Several commands on keys of one slot, which the writer does one after the other with nothing of others
/// between them. What became of each is in a [`Reply::List`](super::Reply::List). Nothing is done where a
/// watched key is not as it was seen, which is a [`Changed::Refused`](super::Changed::Refused), or where
/// they would give more than goes back at a time, which is a
/// [`Changed::TooLarge`](super::Changed::TooLarge).
#[derive(Clone, Debug)]
pub struct Together {
    watched: Vec<Watched>,
    commands: Vec<Command>,
    /// All of both, each once, in no order.
    keys: Vec<Key>,
}

/// A key and how it was seen: its version, `None` if it was absent.
pub type Watched = (Key, Option<Version>);

/// Why commands cannot be done together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTogether {
    /// They are about nothing.
    #[error("there is no key in what is to be done together")]
    Nothing,
    /// They are too many.
    #[error("up to {TOGETHER_KEYS_MAX} commands can be done together")]
    TooMany,
    /// They are of several slots, which may be of several nodes.
    #[error("what is done together must be of one slot")]
    Slots,
    /// One of them is about more than some keys.
    #[error("a command among them is not about some keys of one slot")]
    Verb,
}

impl Together {
    /// All of `commands`, as long as each of `watched` is as it was seen.
    ///
    /// # Errors
    ///
    /// [`NotTogether`].
    pub fn new(watched: Vec<Watched>, commands: Vec<Command>) -> Result<Self, NotTogether> {
        if commands.iter().any(|command| !is_about_keys(command)) {
            return Err(NotTogether::Verb);
        }
        let of_commands = commands.iter().flat_map(Command::keys);
        let keys: HashSet<_> = watched.iter().map(|(key, _)| key).chain(of_commands).collect();
        let keys: Vec<_> = keys.into_iter().cloned().collect();
        let slot = keys.first().ok_or(NotTogether::Nothing)?.slot();
        if keys.iter().any(|key| key.slot() != slot) {
            return Err(NotTogether::Slots);
        }
        if TOGETHER_KEYS_MAX < watched.len() + commands.len() {
            return Err(NotTogether::TooMany);
        }
        Ok(Self { watched, commands, keys })
    }

    /// What has to be as it was seen.
    #[must_use]
    pub fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// What is done, in order.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }
}

impl PartialEq for Together {
    fn eq(&self, other: &Self) -> bool {
        (&self.watched, &self.commands) == (&other.watched, &other.commands)
    }
}

impl Eq for Together {}

fn is_about_keys(command: &Command) -> bool {
    let is_simple = !matches!(command, Command::Together(_));
    is_simple && matches!(command.scope(), Scope::Key(..) | Scope::Slot(..))
}

impl Verb for Together {
    const NUMBER: u16 = 16;
    const SINCE: u16 = 6;

    fn since(&self) -> u16 {
        self.commands.iter().map(Command::since).fold(Self::SINCE, u16::max)
    }

    fn scope(&self) -> Scope<'_> {
        Scope::Slot(&self.keys, Access::Write)
    }

    fn bytes(&self) -> usize {
        let watched: usize = self.watched.iter().map(|(key, _)| key.len()).sum();
        watched + self.commands.iter().map(Command::bytes).sum::<usize>()
    }

    fn gives(&self) -> Gives {
        match self.commands.iter().any(Command::can_wait) {
            true => Gives::Entry,
            false => Gives::Nothing,
        }
    }
}

impl Serialize for Together {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let parts: Vec<_> = self.commands.iter().map(Part).collect();
        (&self.watched, parts).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Together {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (watched, Parts(commands)) = Deserialize::deserialize(from)?;
        Self::new(watched, commands).map_err(D::Error::custom)
    }
}

/// A command among others: its number, and its form.
struct Part<'a>(&'a Command);

struct Parts(Vec<Command>);

struct PartRead(Command);

/// The body of a command as the next element of what is read.
struct Next<'a, A>(&'a mut A);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.0.number(), self.0).serialize(to)
    }
}

impl<'de, A: SeqAccess<'de>> Body<'de> for Next<'_, A> {
    type Error = A::Error;

    fn read<T: Deserialize<'de>>(self) -> Result<T, A::Error> {
        self.0.next_element()?.ok_or_else(|| A::Error::custom("a command without a body"))
    }
}

impl<'de> Deserialize<'de> for PartRead {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Numbered;

        impl<'de> Visitor<'de> for Numbered {
            type Value = PartRead;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command behind its number")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<PartRead, A::Error> {
                let number: Option<u16> = parts.next_element()?;
                let number =
                    number.ok_or_else(|| A::Error::custom("a command without a number"))?;
                // Not read before it is refused: what is in it could be as deep as a frame is long.
                if number == Together::NUMBER {
                    return Err(A::Error::custom(NotTogether::Verb));
                }
                let read = Command::read(number, Next(&mut parts));
                let unknown = || Err(A::Error::custom("an unknown command among others"));
                read.unwrap_or_else(unknown).map(PartRead)
            }
        }

        from.deserialize_tuple(2, Numbered)
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Parts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "up to {TOGETHER_KEYS_MAX} commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Parts, A::Error> {
                let len = parts.size_hint().unwrap_or(0);
                if TOGETHER_KEYS_MAX < len {
                    return Err(A::Error::invalid_length(len, &self));
                }
                let mut commands = vec![];
                while let Some(PartRead(command)) = parts.next_element()? {
                    commands.push(command);
                }
                Ok(Parts(commands))
            }
        }

        from.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CountKeys, Get, Nodes};

    fn get(key: &'static str) -> Command {
        Get { key: Key::from_static(key) }.into()
    }

    #[test]
    fn commands_on_keys_of_one_slot_can_be_done_together_and_others_cannot() {
        let seen = |key| (Key::from_static(key), None);
        assert!(Together::new(vec![seen("{a}w")], vec![get("{a}1"), get("{a}2")]).is_ok());
        assert!(Together::new(vec![seen("a")], vec![]).is_ok());
        assert_eq!(Together::new(vec![], vec![]), Err(NotTogether::Nothing));
        assert_eq!(Together::new(vec![], vec![get("a"), get("b")]), Err(NotTogether::Slots));
        assert_eq!(Together::new(vec![seen("b")], vec![get("a")]), Err(NotTogether::Slots));
        let count = CountKeys { slot: None, nodes: Nodes::Here }.into();
        assert_eq!(Together::new(vec![], vec![get("a"), count]), Err(NotTogether::Verb));
        let together = Together::new(vec![], vec![get("a")]).unwrap();
        let nested = Together::new(vec![], vec![get("a"), together.into()]);
        assert_eq!(nested, Err(NotTogether::Verb));
        let many = vec![get("a"); TOGETHER_KEYS_MAX + 1];
        assert_eq!(Together::new(vec![], many), Err(NotTogether::TooMany));
    }
}
