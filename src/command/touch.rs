//! `Touch`: another end for an entry, or none.

use serde::{Deserialize, Serialize};

use super::{Access, Condition, Gives, Scope, Verb};
use crate::entry::{Key, Millis, left};

/// Another end for an entry, which is a write: it gets a new version. Where it is given, the
/// [`Reply::Entry`](super::Reply::Entry) is what it was before; else it is a
/// [`Changed::Done`](super::Changed::Done).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// Which.
    pub key: Key,
    /// When it ends; `None` for never.
    #[serde(with = "left")]
    pub expires_at: Option<Millis>,
    /// What must hold of the end it has.
    pub only: EndIs,
    /// What must hold of it, if it is there.
    pub condition: Condition,
    /// Whether it is given.
    pub gives: Gives,
}

/// What must hold of the end that an entry has, for it to get another. One that never ends is later
/// than any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndIs {
    /// Nothing.
    #[default]
    Any,
    /// There is none: `NX`.
    Never,
    /// There is one: `XX`.
    Some,
    /// It is earlier than the new one: `GT`.
    Earlier,
    /// It is later than the new one: `LT`.
    Later,
}

impl EndIs {
    /// Whether it holds of an entry that ends at `old` and is to end at `new`.
    #[must_use]
    pub fn holds(self, old: Option<Millis>, new: Option<Millis>) -> bool {
        let end = |at: Option<Millis>| at.map_or(u64::MAX, |at| at.0);
        match self {
            Self::Any => true,
            Self::Never => old.is_none(),
            Self::Some => old.is_some(),
            Self::Earlier => end(old) < end(new),
            Self::Later => end(new) < end(old),
        }
    }
}

impl Verb for Touch {
    const NUMBER: u16 = 10;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }

    fn gives(&self) -> Gives {
        self.gives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_compared_with_the_one_before_and_never_is_later_than_any() {
        let (soon, late) = (Some(Millis(1)), Some(Millis(2)));
        for (only, old, new, holds) in [
            (EndIs::Any, None, soon, true),
            (EndIs::Never, None, soon, true),
            (EndIs::Never, soon, late, false),
            (EndIs::Some, None, soon, false),
            (EndIs::Some, soon, late, true),
            (EndIs::Earlier, soon, late, true),
            (EndIs::Earlier, late, soon, false),
            (EndIs::Earlier, None, soon, false),
            (EndIs::Later, late, soon, true),
            (EndIs::Later, soon, late, false),
            (EndIs::Later, None, soon, true),
        ] {
            assert_eq!(only.holds(old, new), holds, "{only:?} {old:?} {new:?}");
        }
    }
}
