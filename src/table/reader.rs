//! Reading a table: no lock, no message, no wait.

use std::sync::Arc;

use super::{Table, TableStats};
use crate::entry::{Entry, Key, Millis};

/// A way to read one table. Clones are cheap and may go anywhere.
#[derive(Clone)]
pub struct TableReader {
    table: Arc<Table>,
}

impl TableReader {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self { table }
    }

    /// The entry under `key`; `None` if there is none or it has ended at `now`.
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.table.get(key, now)
    }

    /// How full the table is.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        self.table.stats()
    }
}
