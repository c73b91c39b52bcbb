//! Every verb there is, free of protocols.
//!
//! A door makes a [`Command`] of what it read and bytes of the [`Reply`]. Each verb has a file of its
//! own under `command/`, which says what it is about and how it looks on the wire, and one under
//! `shard/apply/`, which says what is done. The list in `with_verbs` is what both are made from.

mod append;
mod condition;
mod count_keys;
mod delete;
mod delete_many;
mod find;
mod get;
mod increment;
mod list_keys;
mod measure;
mod next_id;
mod patch;
#[cfg(feature = "next-protocol")]
mod peek;
mod put;
mod rename;
mod reply;
mod swap;
mod take;
mod together;
mod touch;

use serde::{Deserialize, Serialize, Serializer};

use crate::entry::{Key, Slot};

pub use append::Append;
pub use condition::{Condition, Demand, Versions};
pub use count_keys::{CountKeys, Nodes};
pub use delete::Delete;
pub use delete_many::{DeleteMany, NotOneSlot};
pub use find::Find;
pub use get::Get;
pub use increment::Increment;
pub use list_keys::{ListKeys, Page, Wants};
pub use measure::{Figures, Measure};
pub use next_id::NextId;
pub use patch::{Patch, PatchForm};
#[cfg(feature = "next-protocol")]
pub use peek::Peek;
pub use put::Put;
pub use rename::{Rename, Source, TwoSlots};
pub use reply::{Changed, NodeReply, Reply, Stored, Unfit};
pub use swap::{End, Swap};
pub use take::Take;
pub use together::{NotTogether, Together, Watched};
pub use touch::{EndIs, Touch};

/// What has to be known of a verb, whatever it does.
pub trait Verb {
    /// Its number on the wire. It is never given to another verb.
    const NUMBER: u16;
    /// The first protocol between nodes that has it.
    const SINCE: u16;

    /// The first protocol that has it as it is here: a later one than [`Self::SINCE`] for what was
    /// added to it.
    fn since(&self) -> u16 {
        Self::SINCE
    }

    /// Who has to do it.
    fn scope(&self) -> Scope<'_>;

    /// About how many bytes it carries, keys and values together.
    fn bytes(&self) -> usize;

    /// Whether a write gives the entry that was there.
    fn gives(&self) -> Gives {
        Gives::Nothing
    }
}

/// What a write gives besides what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gives {
    /// Nothing.
    #[default]
    Nothing,
    /// The entry that was there.
    Entry,
}

/// The body of a command on the wire, in whatever encoding.
pub trait Body<'de> {
    /// Why it cannot be read.
    type Error;

    /// Reads all of it as `T`.
    ///
    /// # Errors
    ///
    /// [`Self::Error`], if it is of another form.
    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error>;
}

/// Who has to do a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The owner of this key.
    Key(&'a Key, Access),
    /// The owner of these keys, all at once or not at all. They are of one slot.
    Slot(&'a [Key], Access),
    /// The owner of this slot, which has to have all of it.
    Whole(Slot, Access),
    /// Every node, each for itself.
    EveryNode(Access),
    /// The node that is asked.
    Here(Access),
}

/// What a command does where it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read from a table and can be asked again.
    Read,
    /// It goes through a writer.
    Write,
}

/// Hands the list of all verbs, a line each, to the macro `$with`. What is above a verb is above all
/// that is made from it.
macro_rules! with_verbs {
    ($with:ident) => {
        $with! {
            Get
            Put
            Delete
            NextId
            CountKeys
            DeleteMany
            Take
            Increment
            Append
            Touch
            Patch
            Swap
            Find
            ListKeys
            Measure
            Together
            Rename
            #[cfg(feature = "next-protocol")]
            Peek
        }
    };
}

pub(crate) use with_verbs;

macro_rules! commands {
    ($($(#[$only:meta])* $verb:ident)*) => {
        /// One thing to do.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Command {
            $($(#[$only])* #[doc = concat!("See [`", stringify!($verb), "`].")] $verb($verb),)*
        }

        $($(#[$only])* impl From<$verb> for Command {
            fn from(verb: $verb) -> Self {
                Self::$verb(verb)
            }
        })*

        impl Command {
            /// Its number on the wire.
            #[must_use]
            pub fn number(&self) -> u16 {
                match self {
                    $($(#[$only])* Self::$verb(_) => $verb::NUMBER,)*
                }
            }

            /// The first protocol between nodes that has it.
            #[must_use]
            pub fn since(&self) -> u16 {
                match self {
                    $($(#[$only])* Self::$verb(verb) => verb.since(),)*
                }
            }

            /// Who has to do it.
            #[must_use]
            pub fn scope(&self) -> Scope<'_> {
                match self {
                    $($(#[$only])* Self::$verb(verb) => verb.scope(),)*
                }
            }

            /// About how many bytes it carries, keys and values together.
            #[must_use]
            pub fn bytes(&self) -> usize {
                match self {
                    $($(#[$only])* Self::$verb(verb) => verb.bytes(),)*
                }
            }

            /// Whether a write gives the entry that was there.
            #[must_use]
            pub fn gives(&self) -> Gives {
                match self {
                    $($(#[$only])* Self::$verb(verb) => verb.gives(),)*
                }
            }

            /// Reads the command of that number; `None` if this node knows no such verb.
            ///
            /// # Errors
            ///
            /// The body's, if the verb is known and what follows is not of its form.
            pub fn read<'de, B: Body<'de>>(
                number: u16,
                body: B,
            ) -> Option<Result<Self, B::Error>> {
                match number {
                    $($(#[$only])* $verb::NUMBER => Some(body.read::<$verb>().map(Self::$verb)),)*
                    _ => None,
                }
            }
        }

        /// The form of a command on the wire, without its number.
        impl Serialize for Command {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $($(#[$only])* Self::$verb(verb) => verb.serialize(serializer),)*
                }
            }
        }

        const NUMBERS: &[u16] = &[$($(#[$only])* $verb::NUMBER),*];
    };
}

with_verbs!(commands);

// A number that stood for two verbs would have one of them done for the other.
const _: () = {
    let mut left = 0;
    while left < NUMBERS.len() {
        let mut right = left + 1;
        while right < NUMBERS.len() {
            assert!(NUMBERS[left] != NUMBERS[right]);
            right += 1;
        }
        left += 1;
    }
};

impl Command {
    /// Whether it changes nothing, so that it can be asked again.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.scope().access() == Access::Read
    }

    /// Whether it can be put off where what goes back is full: it gives a value, and nothing of it was
    /// done.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        self.is_read() || self.gives() == Gives::Entry
    }

    /// The slot it is about; `None` if it is about none.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self.scope() {
            Scope::Key(key, _) => Some(key.slot()),
            Scope::Slot(keys, _) => keys.first().map(Key::slot),
            Scope::Whole(slot, _) => Some(slot),
            Scope::EveryNode(_) | Scope::Here(_) => None,
        }
    }

    /// The keys it is about, all of one slot.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        match self.scope() {
            Scope::Key(key, _) => std::slice::from_ref(key),
            Scope::Slot(keys, _) => keys,
            Scope::Whole(..) | Scope::EveryNode(_) | Scope::Here(_) => &[],
        }
    }
}

impl Scope<'_> {
    /// What is done where it is done.
    #[must_use]
    pub fn access(&self) -> Access {
        let (Self::Key(_, access)
        | Self::Slot(_, access)
        | Self::Whole(_, access)
        | Self::EveryNode(access)
        | Self::Here(access)) = self;
        *access
    }
}
