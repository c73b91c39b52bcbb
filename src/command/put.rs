//! `Put`: a value under a key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Access, Condition, Scope, Verb};
use crate::entry::{Key, MediaType, Millis, left, octets};

/// A value under a key. What became of it is a [`Reply::Stored`](super::Reply::Stored).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Where it goes.
    pub key: Key,
    /// Its bytes.
    #[serde(with = "octets")]
    pub value: Bytes,
    /// What the bytes are.
    pub media: MediaType,
    /// When it ends; `None` for never.
    #[serde(with = "left")]
    pub expires_at: Option<Millis>,
    /// What must hold for it to be written.
    pub condition: Condition,
}

impl Verb for Put {
    const NUMBER: u16 = 2;
    const SINCE: u16 = 3;

    fn since(&self) -> u16 {
        self.condition.since()
    }

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Demand};

    #[test]
    fn a_put_is_older_than_some_of_its_conditions() {
        let put = |condition| {
            let (key, value, media) = (Key::from_static("k"), Bytes::new(), MediaType::Bytes);
            Command::Put(Put { key, value, media, expires_at: None, condition })
        };
        assert_eq!(put(Condition::Absent).since(), 3);
        assert_eq!(put(Condition::Both(Demand::There, Demand::Absent)).since(), 5);
    }
}
