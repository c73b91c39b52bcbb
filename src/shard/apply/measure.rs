//! `Measure`.

use super::{Apply, Look};
use crate::census::{Account, ReadCounts};
use crate::command::{Figures, Measure, Reply};
use crate::shard::message::{Turn, Undone};
use crate::table::AccountStats;

impl Apply for Measure {
    fn apply(&self, turn: &mut Turn<'_>) -> Result<Reply, Undone> {
        let reader = turn.writer.reader();
        let Turn { gate, counts, now, .. } = *turn;
        Ok(self.measure(&Look { reader: &reader, gate, counts, now }))
    }

    fn read(&self, look: &Look<'_>) -> Option<Reply> {
        Some(self.measure(look))
    }
}

impl Measure {
    fn measure(&self, look: &Look<'_>) -> Reply {
        let census = look.reader.census();
        let account = census.find(self.namespace.as_bytes());
        if account == Account::OTHERS {
            // Nothing of it is here, or it is counted with others.
            return Reply::Numbers(vec![]);
        }
        let AccountStats { entries, bytes, evictions } = look.reader.account(account);
        // Reads are counted for all shards together: one of them tells them.
        let reads = if look.counts.is_first() { census.reads(&self.namespace) } else { None };
        let ReadCounts { hits, misses } = reads.unwrap_or_default();
        Figures { entries, bytes, hits, misses, evictions }.into()
    }
}
