//! What a table holds of each namespace, as the journal counts it.

use std::sync::Arc;

use super::journal::{Cause, Change};
use super::record::{Head, View};
use super::sync::{AtomicU64, Ordering};
use super::{Table, TableReader};
use crate::census::{Account, Census};
use crate::limits::NAMESPACE_BYTES_MAX;

/// What there is of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountStats {
    /// Entries, with those that have ended but are not removed yet.
    pub entries: u64,
    /// Bytes of their records: keys and values, and what is kept with them.
    pub bytes: u64,
    /// Entries dropped for want of room, ever.
    pub evictions: u64,
}

/// What there is of each namespace.
pub(super) struct Accounts {
    census: Arc<Census>,
    of: Box<[Count]>,
}

#[derive(Default)]
struct Count {
    entries: AtomicU64,
    bytes: AtomicU64,
    evictions: AtomicU64,
}

impl TableReader {
    /// What there is of a namespace in this table.
    #[must_use]
    pub fn account(&self, account: Account) -> AccountStats {
        let count = &self.table.journal.accounts.of[account.index()];
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        AccountStats {
            entries: read(&count.entries),
            bytes: read(&count.bytes),
            evictions: read(&count.evictions),
        }
    }

    /// The namespaces that are counted.
    #[must_use]
    pub fn census(&self) -> &Arc<Census> {
        &self.table.journal.accounts.census
    }
}

impl Accounts {
    /// Bytes of all of them.
    pub(super) const BYTES: usize = Account::COUNT * 24;

    pub(super) fn new(census: Arc<Census>) -> Self {
        Self { census, of: (0..Account::COUNT).map(|_| Count::default()).collect() }
    }

    /// The namespaces that are counted.
    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// Counts a change. Only the writer does.
    #[inline]
    pub(super) fn note(&self, change: &Change<'_>) {
        let Some(count) = self.of.get(change.account.index()) else { return };
        let (before, after) = (size_of(change.before), size_of(change.after));
        let step = |of: &AtomicU64, less: u64, more: u64| {
            // What is counted elsewhere since is less by then, until all is counted again.
            let now = of.load(Ordering::Relaxed).saturating_sub(less) + more;
            of.store(now, Ordering::Relaxed);
        };
        if before.0 != after.0 {
            step(&count.entries, before.0, after.0);
        }
        step(&count.bytes, before.1, after.1);
        if change.cause == Cause::Evict && 0 < before.0 {
            step(&count.evictions, 0, 1);
        }
    }

    /// Sets what was counted again: entries and their bytes.
    pub(super) fn restore(&self, recounted: &[(u64, u64)]) {
        for (count, (entries, bytes)) in self.of.iter().zip(recounted) {
            count.entries.store(*entries, Ordering::Relaxed);
            count.bytes.store(*bytes, Ordering::Relaxed);
        }
    }
}

/// Entries and bytes that one record counts.
fn size_of(head: Option<&Head>) -> (u64, u64) {
    match head.filter(|head| !head.is_tombstone) {
        Some(head) => (1, 8 * head.words() as u64),
        None => (0, 0),
    }
}

impl Table {
    /// Where a record is counted.
    #[inline]
    pub(super) fn account_of(&self, view: &View<'_>) -> Account {
        if view.head.namespace_len() == 0 {
            return Account::DEFAULT;
        }
        let mut name = [0; NAMESPACE_BYTES_MAX];
        self.journal.accounts.census().find(view.namespace_into(&mut name))
    }
}
