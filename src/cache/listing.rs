//! Walks over the keys of all nodes.

use bytes::Bytes;
use tokio::time::Instant;

use super::Cache;
use crate::clock;
use crate::command::{ListKeys, Page, Reply, Wants};
use crate::entry::{Namespace, SLOTS, Slot};
use crate::error::Error;
use crate::limits::{LIST_KEYS_MAX, LIST_TIME};
use crate::partition::SlotSet;

/// Which keys a walk is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Of which namespace.
    pub namespace: Namespace,
    /// How they begin.
    pub prefix: Bytes,
}

/// How far a walk is. The default is its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    seen: SlotSet,
    pass: u64,
    from: u32,
}

impl Walk {
    /// A walk over the keys of a slot and of those behind it alone.
    #[must_use]
    pub fn from_slot(slot: Slot) -> Self {
        Self { seen: (0..slot.0).map(Slot).collect(), ..Self::default() }
    }

    /// Reads what [`Self::to_bytes`] has made; `None` for what it has not.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (pass, rest) = bytes.split_first_chunk::<8>()?;
        let (from, seen) = rest.split_first_chunk::<4>()?;
        let walk = Self {
            seen: SlotSet::from_bytes(seen)?,
            pass: u64::from_le_bytes(*pass),
            from: u32::from_le_bytes(*from),
        };
        (!walk.is_over()).then_some(walk)
    }

    /// The walk as bytes, for who goes on with it later.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.pass.to_le_bytes()[..], &self.from.to_le_bytes(), &self.seen.to_bytes()].concat()
    }

    /// Whether everything has been seen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.first_unseen().is_none()
    }

    fn first_unseen(&self) -> Option<Slot> {
        (0..SLOTS).map(Slot).find(|slot| !self.seen.contains(*slot))
    }

    fn go_on(&mut self, page: &Page) {
        (self.pass, self.from) = (page.pass, page.next);
        self.seen.add(&page.seen);
    }
}

impl Cache {
    /// The next keys of a walk, `keys_max` at most. They may be fewer, or none, while it is not over: it
    /// takes no longer than a moment, however few keys there are.
    ///
    /// A key that is there from the beginning of a walk to its end is found by it, whatever is written
    /// meanwhile and whichever nodes come and go; it may be found twice.
    ///
    /// # Errors
    ///
    /// [`Error`], if whoever has some of them does not answer; the walk can go on where it was.
    pub async fn list(
        &self,
        listed: &Listed,
        walk: &mut Walk,
        keys_max: usize,
    ) -> Result<Vec<Bytes>, Error> {
        let began = Instant::now();
        let mut keys = vec![];
        while keys.len() < keys_max && began.elapsed() < LIST_TIME {
            let left = (keys_max - keys.len()).min(LIST_KEYS_MAX);
            let Some(page) = self.page(listed, walk, left, Wants::Keys).await? else { break };
            walk.go_on(&page);
            keys.extend(page.keys);
        }
        Ok(keys)
    }

    /// How many keys a walk over all of them finds.
    ///
    /// # Errors
    ///
    /// As [`Self::list`].
    pub async fn count(&self, listed: &Listed) -> Result<u64, Error> {
        let (mut walk, mut count) = (Walk::default(), 0);
        while let Some(page) = self.page(listed, &walk, LIST_KEYS_MAX, Wants::Count).await? {
            walk.go_on(&page);
            count += page.count;
        }
        Ok(count)
    }

    /// The next page of a walk; `None` if it is over.
    async fn page(
        &self,
        listed: &Listed,
        walk: &Walk,
        keys_max: usize,
        wants: Wants,
    ) -> Result<Option<Page>, Error> {
        let Some(slot) = walk.first_unseen() else { return Ok(None) };
        let Listed { namespace, prefix } = listed.clone();
        let Walk { seen, pass, from } = walk.clone();
        let keys_max = u32::try_from(keys_max).unwrap_or(u32::MAX);
        let list = ListKeys { slot, namespace, prefix, seen, pass, from, keys_max, wants };
        match self.inner.router.run_one(list.into(), clock::now()).await? {
            Reply::Page(page) => Ok(Some(page)),
            // Nothing else is a reply to it.
            _ => Err(Error::NotHere { slot: slot.0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_comes_back_from_its_bytes_and_what_is_none_is_refused() {
        let seen: SlotSet = (0..SLOTS).step_by(3).map(Slot).collect();
        for walk in [Walk::default(), Walk { seen, pass: 7, from: 9 }] {
            let bytes = walk.to_bytes();
            assert_eq!(Walk::from_bytes(&bytes), Some(walk));
            assert_eq!(Walk::from_bytes(&bytes[..11]), None);
        }
        let over = Walk { seen: SlotSet::all(), ..Walk::default() };
        assert!(over.is_over() && Walk::from_bytes(&over.to_bytes()).is_none());
    }
}
