//! Writing: one at a time, by the one who holds the writer.

use std::sync::Arc;
use std::time::Duration;

use super::chain::Chains;
use super::index::{Item, Position};
use super::journal::{Cause, Change};
use super::ledger::{Ledger, Which};
use super::record::{Head, Run, View};
use super::sync::{AtomicU64, Ordering};
use super::{
    Merge, NewEntry, Parked, Put, Quota, Table, TableReader, TableWriter, Tick, fault, restart,
};
use crate::entry::{Entry, Key, Millis, Version};
use crate::record::Record;

/// Entries to a bucket of eight words before the index grows: more, and too many of them spill.
const ENTRIES_PER_BUCKET: u64 = 7;
/// Buckets moved for each new entry while the index grows: it must have grown by an eighth before
/// it is due again.
const MOVES_PER_PUT: usize = 2;

/// Times room is made for one record: making it may move the back of its queue or the queue it is
/// to go to, and that twice at most.
const ROOM_TRIES: usize = 3;

/// Where the writer found a key.
struct Found<'a> {
    slot: &'a AtomicU64,
    item: Item,
    view: View<'a>,
}

impl TableWriter {
    pub(super) fn new(table: &Arc<Table>, ledger: Box<Ledger>) -> Self {
        Self { table: Arc::clone(table), ledger }
    }

    /// The entry of `key` at `now`; `None` if there is none or it has ended.
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.table.get(key, now)
    }

    /// The version of the entry of `key` at `now`; `None` if there is none or it has ended.
    ///
    /// Reads no value and counts no hit: it is for conditions, not for those who want the entry.
    #[must_use]
    pub fn head(&self, key: &Key, now: Millis) -> Option<Version> {
        let found = find(&self.table, key, Position::of(self.table.hash_key(key)))?;
        found.is_readable(now).then_some(found.view.head.version)
    }

    /// A reader of the same table.
    #[must_use]
    pub fn reader(&self) -> TableReader {
        TableReader::new(&self.table)
    }

    /// Puts an entry, and returns what that changed and the version the key has now.
    ///
    /// Room is made by dropping what S3-FIFO says; a put never fails for lack of memory.
    pub fn put(&mut self, key: &Key, new: &NewEntry<'_>, now: Millis) -> (Put, Version) {
        self.change(|ledger, table| ledger.put(table, key, new, now))
    }

    /// Removes an entry; whether there was one.
    pub fn delete(&mut self, key: &Key, now: Millis) -> bool {
        self.change(|ledger, table| ledger.delete(table, key, now))
    }

    /// Removes an entry and remembers until `until` that and when that was; whether there was one.
    ///
    /// The deletion is what [`TableReader::record`] says from then on.
    pub fn bury(&mut self, key: &Key, until: Millis, now: Millis) -> bool {
        self.change(|ledger, table| ledger.bury_key(table, key, until, now))
    }

    /// Takes over what is known of a key elsewhere, under the version it has there, unless as much
    /// or more is known here. All later versions are greater than that one in any case, unless it is
    /// not [credible](Version::is_credible): then those of that key are.
    ///
    /// The words of the record go into the log as they are.
    pub fn merge_record(&mut self, record: &Record, now: Millis) -> Merge {
        self.change(|ledger, table| ledger.merge(table, record, now))
    }

    /// Forgets what is known of `key`, if that is still of `version`; whether it was.
    pub fn forget(&mut self, key: &Key, version: Version) -> bool {
        self.change(|ledger, table| ledger.forget(table, key, version))
    }

    /// The greatest version that was written here or seen from elsewhere.
    #[must_use]
    pub fn version(&self) -> Version {
        self.ledger.clock
    }

    /// Says how far the cluster's time is ahead of what is told as `now`, in milliseconds: versions are
    /// stamped with it, and nothing else goes by it.
    pub fn set_lead(&mut self, lead_ms: i64) {
        self.ledger.lead_ms = lead_ms;
    }

    /// Makes all later versions greater than one that was seen elsewhere.
    pub fn observe(&mut self, version: Version) {
        self.change(|ledger, _| ledger.clock = ledger.clock.max(version));
    }

    /// Has it remembered for so long that an entry has ended, as that it was deleted is: while other nodes
    /// may have an older one of its key, which must not come back. An equal put is a write then too, as
    /// it has to win over what was written elsewhere meanwhile.
    pub fn keep_ended(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.table.ended_kept.store(millis, Ordering::Relaxed);
    }

    /// Says how many bytes the entries of some namespaces may have; the others have no quota. What is over
    /// one is evicted in that namespace alone, with the next ticks or its next writes.
    pub fn set_quotas(&mut self, quotas: &[Quota]) {
        self.change(|ledger, table| ledger.set_quotas(table, quotas));
    }

    /// A bounded piece of work in the background: removes ended entries, cleans nearly empty
    /// segments. To be called several times a second, and again soon if there is more to do.
    pub fn tick(&mut self, now: Millis) -> Tick {
        self.change(|ledger, table| ledger.tick(table, now))
    }

    /// Whether there are entries that end some day, so that ticks will have to go on.
    #[must_use]
    pub fn has_deadlines(&self) -> bool {
        self.ledger.has_deadlines()
    }

    /// Makes a change. If it panics, what only this writer kept is not used any more.
    fn change<T>(&mut self, change: impl FnOnce(&mut Ledger, &Table) -> T) -> T {
        if self.ledger.is_dirty
            || self.ledger.census_changes != self.table.journal.accounts.census().changes()
        {
            self.rebuild();
        }
        self.ledger.is_dirty = true;
        let answer = change(&mut self.ledger, &self.table);
        self.ledger.is_dirty = false;
        self.table.counters.publish(&self.ledger, &self.table);
        answer
    }
}

impl TableWriter {
    /// Works out again what only this writer keeps.
    #[cold]
    fn rebuild(&mut self) {
        let (lead_ms, quotas) = (self.ledger.lead_ms, self.ledger.quotas.told());
        *self.ledger = Ledger { lead_ms, ..restart::rebuild(&self.table) };
        self.ledger.set_quotas(&self.table, &quotas);
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        let ledger = std::mem::take(&mut self.ledger);
        self.table.park(match ledger.is_dirty {
            true => Parked::Broken,
            false => Parked::Idle(ledger),
        });
    }
}

impl Ledger {
    fn put(&mut self, table: &Table, key: &Key, new: &NewEntry<'_>, now: Millis) -> (Put, Version) {
        let hash = table.hash_key(key);
        let position = Position::of(hash);
        self.prefetch_ahead(table);
        self.ghosts.prefetch(&table.blocks, hash);
        let found = find(table, key, position);
        let is_there = found.as_ref().is_some_and(|found| found.is_readable(now));
        let is_same = |found: &&Found<'_>| is_there && found.view.is_same(new);
        if let Some(found) = found.as_ref().filter(is_same)
            && table.ended_kept() == 0
        {
            return (Put::Unchanged, found.view.head.version);
        }
        let (clock, version) = self.stamp(found.as_ref(), now);
        let head = match Head::new(key, new, version) {
            Some(head) if self.is_allowed(table, key, &head) => head,
            Some(_) | None => {
                let version = found.map_or(Version(0), |found| found.view.head.version);
                return (Put::TooLarge, version);
            }
        };
        self.clock = clock;
        self.store(table, (key, hash), (&head, Cause::Put), found, now, |run| {
            run.write(&table.blocks, &head, key, new);
        });
        (if is_there { Put::Replaced } else { Put::Created }, head.version)
    }

    /// Whether an entry is within what one may have.
    fn is_allowed(&self, table: &Table, key: &Key, head: &Head) -> bool {
        head.words() <= table.entry_words_max()
            && self.is_within_quota(key.namespace(), table.limit.cost(head))
    }

    /// The time that versions are stamped with.
    fn time(&self, now: Millis) -> Millis {
        Millis(now.0.saturating_add_signed(self.lead_ms))
    }

    /// The clock after a write, and the version of that write: greater than that of what it replaces,
    /// even where the clock does not follow that one.
    fn stamp(&self, found: Option<&Found<'_>>, now: Millis) -> (Version, Version) {
        let clock = self.clock.next(self.time(now));
        let replaced = found.map_or(Version(0), |found| found.view.head.version);
        (clock, clock.max(replaced.after()))
    }

    fn delete(&mut self, table: &Table, key: &Key, now: Millis) -> bool {
        let position = Position::of(table.hash_key(key));
        let Some(found) = find(table, key, position) else { return false };
        self.remove(table, position, &found, Cause::Delete);
        found.is_readable(now)
    }

    fn bury_key(&mut self, table: &Table, key: &Key, until: Millis, now: Millis) -> bool {
        let hash = table.hash_key(key);
        let found = find(table, key, Position::of(hash));
        let is_there = found.as_ref().is_some_and(|found| found.is_readable(now));
        let (clock, version) = self.stamp(found.as_ref(), now);
        let head = Head::tombstone(key, version, until);
        self.clock = clock;
        self.store_tombstone(table, (key, hash), (&head, Cause::Delete), now, |run| {
            run.write(&table.blocks, &head, key, &NewEntry::of(&[]));
        });
        is_there
    }

    fn merge(&mut self, table: &Table, record: &Record, now: Millis) -> Merge {
        let (key, head) = (&record.key(), record.head());
        let hash = table.hash_key(key);
        if head.version.is_credible(self.time(now)) {
            self.clock = self.clock.max(head.version);
        }
        let found = find(table, key, Position::of(hash));
        if found.as_ref().is_some_and(|found| head.version <= found.view.head.version) {
            return Merge::Older;
        }
        if table.entry_words_max() < head.words() {
            return Merge::TooLarge;
        }
        if head.is_expired(now) {
            if let Some(tombstone) = table.tombstone_of(key, &head, now) {
                self.store_tombstone_of(table, (key, hash), (&tombstone, Cause::TakenOver), now);
            } else if let Some(found) = found {
                // What it replaced has ended with it.
                self.remove(table, Position::of(hash), &found, Cause::TakenOver);
            }
            return Merge::Taken;
        }
        let (name, head) = ((key, hash), (&head, Cause::TakenOver));
        let write = |run: &Run| run.write_words(&table.blocks, record.words());
        match record.is_tombstone() {
            true => self.store_tombstone(table, name, head, now, write),
            false => self.store(table, name, head, found, now, write),
        }
        Merge::Taken
    }

    fn forget(&mut self, table: &Table, key: &Key, version: Version) -> bool {
        let position = Position::of(table.hash_key(key));
        let found = find(table, key, position);
        let Some(found) = found.filter(|found| found.view.head.version == version) else {
            return false;
        };
        self.remove(table, position, &found, Cause::Forgotten);
        true
    }

    fn remove(&mut self, table: &Table, position: Position, found: &Found<'_>, cause: Cause) {
        self.drop_entry(table, position, (&found.view, found.slot), cause);
        self.note_death(table, found.view.head.words());
    }

    /// Writes an entry and publishes it, in place of what was found before if there was anything.
    fn store<'a>(
        &mut self,
        table: &'a Table,
        (key, hash): (&Key, u64),
        (head, cause): (&Head, Cause),
        mut found: Option<Found<'a>>,
        now: Millis,
        write: impl FnOnce(&Run),
    ) {
        let position = Position::of(hash);
        let own = self.quotas.of(key.namespace().as_bytes());
        let mut which = match (own, self.which_found(table, found.as_ref())) {
            (Some(own), _) => Which::Own(own),
            (None, Some(which)) => which,
            (None, None) if self.ghosts.remove(&table.blocks, hash) => Which::Main,
            (None, None) => self.which_first(table),
        };
        let is_new = found.is_none();
        let replaced = found.as_ref().map_or(0, |found| table.limit.cost(&found.view.head));
        let cost = table.limit.cost(head).saturating_sub(replaced);
        let mut is_moved = self.make_index(table, is_new, now);
        match own {
            // What only moves is within the quota of all nodes already.
            Some(_) if cause == Cause::TakenOver => {}
            Some(own) => is_moved |= self.make_own_room(table, own, (head.words(), cost), now),
            None if is_new => self.make_room_ahead(table, head.words(), now),
            None => {}
        }
        // A replacement may use one block of the reserve: what it replaces is dead soon, and is
        // cleaned before that block is needed. So it evicts nobody.
        let spare = usize::from(!is_new);
        for _ in 0..ROOM_TRIES {
            let blocks = self.blocks_for(table, which, head.words());
            is_moved |= self.make_room(table, blocks.saturating_sub(spare), cost, now);
            if !is_moved {
                break;
            }
            // It may have been moved, to the other queue too, or dropped.
            found = find(table, key, position);
            if own.is_none() {
                which = self.which_found(table, found.as_ref()).unwrap_or(which);
            }
            is_moved = false;
        }
        if !self.publish(table, (key, position), (which, head, cause), found.as_ref(), write) {
            // Nearly all memory is index. As good as dropped at once, with what it replaces.
            self.count_eviction(which);
            found.iter().for_each(|found| self.remove(table, position, found, Cause::Evict));
        }
    }

    /// Remembers that the entry of `key` has ended, if it is still the one of `version`.
    pub(super) fn bury_ended(&mut self, table: &Table, key: &Key, version: Version, now: Millis) {
        let hash = table.hash_key(key);
        let found = find(table, key, Position::of(hash));
        let Some(found) = found.filter(|found| found.view.head.version == version) else { return };
        if let Some(tombstone) = table.tombstone_of(key, &found.view.head, now) {
            self.store_tombstone_of(table, (key, hash), (&tombstone, Cause::Expire), now);
        }
    }

    fn store_tombstone_of(
        &mut self,
        table: &Table,
        (key, hash): (&Key, u64),
        head: (&Head, Cause),
        now: Millis,
    ) {
        let tombstone = head.0;
        self.store_tombstone(table, (key, hash), head, now, |run| {
            run.write(&table.blocks, tombstone, key, &NewEntry::of(&[]));
        });
    }

    /// Writes a tombstone where there is room for it; what it replaces is gone in any case.
    fn store_tombstone(
        &mut self,
        table: &Table,
        (key, hash): (&Key, u64),
        (head, cause): (&Head, Cause),
        now: Millis,
        write: impl FnOnce(&Run),
    ) {
        let position = Position::of(hash);
        let has_room = self.make_tomb_room(table, head.words(), now);
        let found = find(table, key, position);
        let (found, head) = (found.as_ref(), (Which::Tombs, head, cause));
        if !has_room || !self.publish(table, (key, position), head, found, write) {
            self.tombstones_dropped += 1;
            found.into_iter().for_each(|found| self.remove(table, position, found, cause));
        }
    }

    /// Writes a record and has the index name it; `false`, and nothing was done, if there is no room.
    fn publish(
        &mut self,
        table: &Table,
        (key, position): (&Key, Position),
        (which, head, cause): (Which, &Head, Cause),
        found: Option<&Found<'_>>,
        write: impl FnOnce(&Run),
    ) -> bool {
        let Some(run) = self.reserve(table, which, head.words()) else { return false };
        write(&run);
        self.commit(table, which, &run, head);
        match found {
            Some(found) => {
                let item = found.item.moved(run.place, found.item.hits());
                found.slot.store(item.0, Ordering::Release);
                fault::step();
                self.bury(table, &found.view);
                self.note_death(table, found.view.head.words());
            }
            None => {
                let bucket = table.index.layout().bucket_of(position);
                let item = Item::new(position, 0, run.place);
                self.chains.add(&table.blocks, &table.index, bucket, item);
                self.entries += 1;
            }
        }
        let before = found.map(|found| &found.view.head);
        let census = table.journal.accounts.census();
        let account = match head.is_tombstone {
            true => census.find(key.namespace().as_bytes()),
            false => census.enter(key.namespace()),
        };
        let change = Change { cause, account, before, after: Some(head) };
        table.journal.note(&change, || key.clone());
        true
    }

    /// The queue that what replaces a record goes to; `None` if it is as good as new.
    fn which_found(&self, table: &Table, found: Option<&Found<'_>>) -> Option<Which> {
        let which = found.map(|found| self.which(table, &found.view));
        which.filter(|which| *which != Which::Tombs)
    }

    /// Everything that adding one item to the index may need. Returns whether anything was moved.
    fn make_index(&mut self, table: &Table, is_new: bool, now: Millis) -> bool {
        let mut is_moved = false;
        while self.chains.groups_left() < 2 * Chains::MOVE_GROUPS {
            is_moved |= self.make_room(table, 1, 0, now);
            let Some(block) = self.take_fixed(table) else { break };
            self.chains.add_groups(&table.index, block);
        }
        if 0 < self.shared_evictions() {
            is_moved |= self.fit_ghosts(table, now);
        }
        is_moved | (is_new && self.grow_index(table, now))
    }

    /// Moves some buckets if the index is too full. Returns whether anything was moved.
    fn grow_index(&mut self, table: &Table, now: Millis) -> bool {
        let index = &table.index;
        let layout = index.layout();
        let is_growing = layout.frontier < layout.buckets();
        if !is_growing && self.entries < layout.buckets() * ENTRIES_PER_BUCKET {
            return false;
        }
        for _ in 0..MOVES_PER_PUT {
            let layout = index.layout();
            for part in index.parts_for_move(layout) {
                self.make_room(table, 1, 0, now);
                let Some(block) = self.take_fixed(table) else { return true };
                index.set_home(part, block);
            }
            let moved = self.chains.move_bucket(&table.blocks, index);
            if moved.parts != layout.parts {
                break;
            }
        }
        true
    }
}

impl Table {
    /// For how many milliseconds it is remembered that an entry has ended.
    pub(super) fn ended_kept(&self) -> u64 {
        self.ended_kept.load(Ordering::Relaxed)
    }

    /// Whether the record of this head says something at `now`, if only that the key was deleted or has
    /// ended.
    pub(super) fn is_known(&self, head: &Head, now: Millis) -> bool {
        !head.is_expired(now) || self.is_remembered(head, now)
    }

    /// Whether it is remembered at `now` that the entry of this head has ended.
    pub(super) fn is_remembered(&self, head: &Head, now: Millis) -> bool {
        self.remembered_until(head).is_some_and(|until| now < until)
    }

    /// What is remembered of an entry that has ended; `None` if nothing is, or not any more.
    fn tombstone_of(&self, key: &Key, head: &Head, now: Millis) -> Option<Head> {
        let until = self.remembered_until(head).filter(|until| now < *until)?;
        Some(Head::tombstone(key, head.version, until))
    }

    fn remembered_until(&self, head: &Head) -> Option<Millis> {
        let ended = head.expires_at.filter(|_| !head.is_tombstone)?;
        Some(Millis(ended.0.saturating_add(self.ended_kept())))
    }
}

impl Found<'_> {
    fn is_readable(&self, now: Millis) -> bool {
        !self.view.head.is_tombstone && !self.view.head.is_expired(now)
    }
}

/// The record of `key`, whether or not it has ended.
fn find<'a>(table: &'a Table, key: &Key, position: Position) -> Option<Found<'a>> {
    let bucket = table.index.layout().bucket_of(position);
    let chain = table.index.chain(&table.blocks, bucket);
    let mut items = chain.filter(|(_, item)| item.may_be(position));
    items.find_map(|(slot, item)| {
        let view = View::open(&table.blocks, item.place(), || true)?;
        view.is_of(key).then_some(Found { slot, item, view })
    })
}
