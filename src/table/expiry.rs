//! Ended entries: absent to readers at once, and swept out of the log in small steps.
//!
//! Each segment knows the earliest deadline in it, so a table without deadlines does nothing here,
//! and an entry without one costs nothing. A segment that is due is walked in order, which is far
//! cheaper per record than finding it by its key, and then left alone for a second at least.

use super::block::BlockId;
use super::chain;
use super::index::Position;
use super::journal::Cause;
use super::ledger::Ledger;
use super::record::View;
use super::{Table, Tick};
use crate::entry::{Key, Millis, Version};
use crate::limits::{SWEEP_PAUSE_MILLIS, TICK_UNITS_MAX};

/// Units of work to look up and remove an entry; looking at one in passing is one unit.
const REMOVE_UNITS: usize = 8;
/// Due segments looked for in one unit.
const SEARCH_PER_UNIT: usize = 32;

/// Where a sweep has come to.
pub(super) struct Sweep {
    pub(super) block: BlockId,
    /// The next record.
    at: usize,
    /// The earliest deadline among those that stayed.
    due: u64,
}

/// Entries that have ended and are to be remembered, by key and version. They are buried when the
/// sweep has come to a stop: to make room for a tombstone may move what it walks over.
type Ended = Vec<(Key, Version)>;

impl Ledger {
    /// Some work in the background: removes ended entries, cleans what is nearly empty.
    pub(super) fn tick(&mut self, table: &Table, now: Millis) -> Tick {
        let before = self.expirations;
        let mut units = TICK_UNITS_MAX;
        let mut ended = Ended::new();
        while 0 < units {
            units = units.saturating_sub(self.due.len() / SEARCH_PER_UNIT + 1);
            let Some(sweep) = self.sweep.take().or_else(|| self.next_due(now)) else { break };
            units = self.sweep_on(table, sweep, (units, &mut ended), now);
        }
        self.expirations += ended.len() as u64;
        for (key, version) in ended {
            self.bury_ended(table, &key, version, now);
        }
        units = self.govern(table, units, now);
        let is_swept = 0 < units;
        let is_cleaned = TICK_UNITS_MAX / 2 < units && self.clean_cheap(table, now);
        let is_done = is_swept && !is_cleaned && self.is_governed();
        Tick { expired: self.expirations - before, is_done }
    }

    pub(super) fn has_deadlines(&self) -> bool {
        self.sweep.is_some() || self.due.iter().any(|due| *due != u64::MAX)
    }

    fn next_due(&mut self, now: Millis) -> Option<Sweep> {
        let block = self.due.iter().position(|due| *due <= now.0)?;
        self.due[block] = u64::MAX;
        Some(Sweep { block: block as BlockId, at: 0, due: u64::MAX })
    }

    /// Goes on with a sweep for so many units; returns what is left of them.
    fn sweep_on(
        &mut self,
        table: &Table,
        mut sweep: Sweep,
        (mut units, ended): (usize, &mut Ended),
        now: Millis,
    ) -> usize {
        let block = sweep.block;
        sweep.at = sweep.at.max(table.blocks.first(block));
        while sweep.at < table.blocks.fill(block) {
            if units == 0 {
                self.sweep = Some(sweep);
                return 0;
            }
            let place = table.blocks.place(block, sweep.at);
            let Some(view) = View::open(&table.blocks, place, || true) else { break };
            sweep.at += view.head.words();
            units -= 1;
            match view.head.expires_at {
                Some(at) if at <= now => {
                    units = units.saturating_sub(REMOVE_UNITS);
                    self.expire(table, &view, ended, now);
                }
                Some(at) => sweep.due = sweep.due.min(at.0),
                None => {}
            }
        }
        if sweep.due < u64::MAX {
            let due = sweep.due.max(now.0 + SWEEP_PAUSE_MILLIS);
            self.due[block as usize] = due.min(self.due[block as usize]);
        }
        units
    }

    /// Removes the entry of an ended record, if it was not replaced since.
    fn expire(&mut self, table: &Table, view: &View<'_>, ended: &mut Ended, now: Millis) {
        let position = Position::of(self.hash_of(table, view));
        let place = view.place();
        let found = chain::find_place(&table.blocks, &table.index, position, place);
        if let Some((slot, _)) = found {
            if table.is_remembered(&view.head, now) {
                return ended.push((view.key(), view.head.version));
            }
            self.expirations += 1;
            self.drop_entry(table, position, (view, slot), Cause::Expire);
            self.note_death(table, view.head.words());
        }
    }
}
