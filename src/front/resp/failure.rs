//! What clients are told when something is wrong, in Redis's own words where it has any.

use std::borrow::Cow;

use crate::entry::NameError;
use crate::error::Error;

/// What is wrong, with the code that clients look at before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) Cow<'static, str>);

impl Failure {
    /// Words that do not go together.
    pub(super) const SYNTAX: Self = Self::fixed("ERR syntax error");
    /// A number that is none.
    pub(super) const NOT_INTEGER: Self = Self::fixed("ERR value is not an integer or out of range");
    /// A client that has to say who it is first.
    pub(super) const NO_AUTH: Self = Self::fixed("NOAUTH Authentication required.");
    /// Others were always faster.
    pub(super) const CONTENDED: Self =
        Self::fixed("TRYAGAIN others change the key all the time; nothing changed, try again");

    /// Keys that are done together must be of one slot.
    pub(super) const CROSS_SLOT: Self =
        Self::fixed("CROSSSLOT Keys in request don't hash to the same slot");

    /// A text that is always the same.
    pub(super) const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A text with something of the request in it.
    pub(super) fn of(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// More or fewer arguments than a command has.
    pub(super) fn arity(command: &str) -> Self {
        Self::of(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// A deadline that cannot be.
    pub(super) fn expire_time(command: &str) -> Self {
        Self::of(format!("ERR invalid expire time in '{command}' command"))
    }

    /// Another word than those that a command has behind its name.
    pub(super) fn subcommand(command: &str, word: &[u8]) -> Self {
        let word = String::from_utf8_lossy(&word[..word.len().min(128)]);
        let name = command.to_ascii_uppercase();
        Self::of(format!("ERR unknown subcommand '{word}'. Try {name} HELP."))
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::of(format!("ERR {error}"))
    }
}

/// The one place where the cache's words become this protocol's. `TRYAGAIN` is what clients of a
/// cluster try again by themselves.
impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let code = match error {
            Error::Busy { .. }
            | Error::NotHere { .. }
            | Error::Unreachable { .. }
            | Error::IdsTaken { .. }
            | Error::Later
            | Error::Crowded
            | Error::NoIds => "TRYAGAIN",
            Error::Timeout { .. }
            | Error::Down { .. }
            | Error::Unanswered { .. }
            | Error::ValueTooLarge { .. }
            | Error::BatchTooLarge { .. }
            | Error::Unsupported { .. } => "ERR",
        };
        Self::of(format!("{code} {error}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}
