//! Writing a table: one writer at a time, changes whole or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Ledger, Table, cost_bytes};
use crate::command::{Condition, Put, Stored};
use crate::entry::{Entry, Key, Millis, Version};

/// Places in the queue that may be out of date for each that is not, before it is swept.
const STALE_PLACES_PER_ENTRY: usize = 1;

/// The only way to change a table. Dropping it lets another be taken.
pub struct TableWriter {
    table: Arc<Table>,
}

impl TableWriter {
    pub(super) fn new(table: Arc<Table>) -> Self {
        let writer = Self { table };
        let mut ledger = writer.table.ledger();
        if ledger.is_dirty {
            writer.rebuild(&mut ledger);
        }
        drop(ledger);
        writer
    }

    /// The entry under `key`, as a reader sees it.
    #[must_use]
    pub fn get(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.table.get(key, now)
    }

    /// Stores a value, evicting the oldest entries as needed to stay within the bound.
    ///
    /// A value that is there already is acknowledged and not written again.
    pub fn put(&mut self, put: &Put, now: Millis) -> Stored {
        let map = self.table.map.pin();
        let present = map.get(&put.key).filter(|entry| !entry.is_expired(now));
        if let Some(entry) = present {
            if put.condition == Condition::Absent {
                return Stored::Refused;
            }
            if is_same(entry, put) {
                return Stored::Unchanged(entry.version);
            }
        }
        let is_new = present.is_none();

        let mut ledger = self.table.ledger();
        let version = ledger.version.next(now);
        let entry = Entry {
            value: put.value.clone(),
            media: put.media.clone(),
            version,
            expires_at: put.expires_at,
        };
        ledger.is_dirty = true;
        ledger.version = version;
        self.make_room(&mut ledger, cost_bytes(&put.key, &entry));
        self.insert(&mut ledger, &put.key, entry);
        ledger.is_dirty = false;
        if is_new { Stored::Created(version) } else { Stored::Replaced(version) }
    }

    /// Ends the entry under `key` and returns whether there was one.
    pub fn delete(&mut self, key: &Key, now: Millis) -> bool {
        let mut ledger = self.table.ledger();
        ledger.is_dirty = true;
        let removed = self.remove(key);
        ledger.is_dirty = false;
        removed.is_some_and(|entry| !entry.is_expired(now))
    }

    /// The next number of the counter under `name`, from 1.
    pub fn next_id(&mut self, name: &Key) -> u64 {
        let mut ledger = self.table.ledger();
        let counter = ledger.counters.entry(name.clone()).or_insert(0);
        *counter += 1;
        *counter
    }

    fn insert(&self, ledger: &mut Ledger, key: &Key, entry: Entry) {
        let table = &self.table;
        table.used_bytes.fetch_add(cost_bytes(key, &entry), Ordering::Relaxed);
        table.entries.fetch_add(1, Ordering::Relaxed);
        ledger.order.push_back((key.clone(), entry.version));
        if let Some(old) = table.map.pin().insert(key.clone(), Arc::new(entry)) {
            self.forget(key, old);
        }
        let places_max = (1 + STALE_PLACES_PER_ENTRY) * table.entries.load(Ordering::Relaxed) + 64;
        if places_max < ledger.order.len() {
            let map = table.map.pin();
            let is_current = |key: &Key, version: &Version| {
                map.get(key).is_some_and(|entry| entry.version == *version)
            };
            ledger.order.retain(|(key, version)| is_current(key, version));
        }
    }

    fn remove(&self, key: &Key) -> Option<Arc<Entry>> {
        let removed = Arc::clone(self.table.map.pin().remove(key)?);
        self.forget(key, &removed);
        Some(removed)
    }

    fn forget(&self, key: &Key, entry: &Entry) {
        self.table.used_bytes.fetch_sub(cost_bytes(key, entry), Ordering::Relaxed);
        self.table.entries.fetch_sub(1, Ordering::Relaxed);
    }

    /// Drops the oldest entries until `bytes` more are within the bound.
    fn make_room(&self, ledger: &mut Ledger, bytes: usize) {
        let table = &self.table;
        while table.limit_bytes < table.used_bytes.load(Ordering::Relaxed) + bytes {
            let Some((key, version)) = ledger.order.pop_front() else {
                return;
            };
            let is_current =
                table.map.pin().get(&key).is_some_and(|entry| entry.version == version);
            if is_current && self.remove(&key).is_some() {
                table.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts the entries again and puts them in the order of their versions.
    fn rebuild(&self, ledger: &mut Ledger) {
        let map = self.table.map.pin();
        let mut order: Vec<_> = map.iter().map(|(key, e)| (key.clone(), e.version)).collect();
        order.sort_unstable_by_key(|(_, version)| *version);
        let used_bytes = map.iter().map(|(key, entry)| cost_bytes(key, entry)).sum();
        self.table.entries.store(order.len(), Ordering::Relaxed);
        self.table.used_bytes.store(used_bytes, Ordering::Relaxed);
        if let Some((_, version)) = order.last() {
            ledger.version = ledger.version.max(*version);
        }
        ledger.order = order.into();
        ledger.is_dirty = false;
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        self.table.has_writer.store(false, Ordering::Release);
    }
}

fn is_same(entry: &Entry, put: &Put) -> bool {
    entry.value == put.value && entry.media == put.media && entry.expires_at == put.expires_at
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::MediaType;
    use crate::table::ENTRY_OVERHEAD_BYTES;

    const NOW: Millis = Millis(1_000);

    fn key(name: impl Into<Bytes>) -> Key {
        Key::new(name).unwrap()
    }

    fn put(name: &str, value: &str) -> Put {
        Put {
            key: key(name.to_owned()),
            value: Bytes::copy_from_slice(value.as_bytes()),
            media: MediaType::Json,
            expires_at: None,
            condition: Condition::Always,
        }
    }

    fn room_for(entries: usize) -> usize {
        entries * (ENTRY_OVERHEAD_BYTES + 16)
    }

    #[test]
    fn a_value_is_read_as_it_was_written_until_it_is_deleted() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        assert!(matches!(writer.put(&put("a", "1"), NOW), Stored::Created(_)));
        assert!(matches!(writer.put(&put("a", "2"), NOW), Stored::Replaced(_)));
        assert_eq!(table.reader().get(&key("a"), NOW).unwrap().value, "2");
        assert!(writer.delete(&key("a"), NOW));
        assert!(!writer.delete(&key("a"), NOW));
        assert_eq!(table.reader().get(&key("a"), NOW), None);
        assert_eq!(table.stats().used_bytes, 0);
    }

    #[test]
    fn an_equal_value_is_acknowledged_and_keeps_its_version() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        let Stored::Created(version) = writer.put(&put("a", "1"), NOW) else { panic!("not new") };
        assert_eq!(writer.put(&put("a", "1"), NOW), Stored::Unchanged(version));
    }

    #[test]
    fn a_put_if_absent_is_refused_where_there_is_an_entry() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        let if_absent = Put { condition: Condition::Absent, ..put("a", "2") };
        assert!(matches!(writer.put(&if_absent, NOW), Stored::Created(_)));
        assert_eq!(writer.put(&if_absent, NOW), Stored::Refused);
    }

    #[test]
    fn the_bound_holds_and_the_oldest_go_first() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        for n in 0..100 {
            writer.put(&put(&format!("key-{n:04}"), "12345678"), NOW);
            assert!(table.stats().used_bytes <= table.stats().limit_bytes);
        }
        assert_eq!(table.stats().entries, 10);
        assert_eq!(table.stats().evictions, 90);
        assert_eq!(table.reader().get(&key("key-0089"), NOW), None);
        assert!(table.reader().get(&key("key-0090"), NOW).is_some());
    }

    #[test]
    fn overwriting_one_key_for_ever_evicts_no_other_and_grows_nothing() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        writer.put(&put("other", "1"), NOW);
        for n in 0..10_000 {
            writer.put(&put("one", &n.to_string()), NOW);
        }
        assert!(table.reader().get(&key("other"), NOW).is_some());
        assert_eq!(table.stats().evictions, 0);
        assert!(table.ledger().order.len() < 100);
    }

    #[test]
    fn an_entry_past_its_end_is_absent() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        let ends = Put { expires_at: Some(Millis(2_000)), ..put("a", "1") };
        writer.put(&ends, NOW);
        assert!(table.reader().get(&key("a"), Millis(1_999)).is_some());
        assert_eq!(table.reader().get(&key("a"), Millis(2_000)), None);
        assert!(matches!(writer.put(&ends, Millis(2_000)), Stored::Created(_)));
    }

    #[test]
    fn there_is_one_writer_at_a_time() {
        let table = Table::new(room_for(10), 1);
        let writer = table.writer();
        assert!(writer.is_some());
        assert!(table.writer().is_none());
        drop(writer);
        assert!(table.writer().is_some());
    }

    #[test]
    fn a_writer_that_panicked_in_a_change_is_put_right_by_the_next() {
        let table = Table::new(room_for(10), 1);
        let mut writer = table.writer().unwrap();
        for n in 0..5 {
            writer.put(&put(&n.to_string(), "1"), NOW);
        }
        let before = table.stats();
        // What a panic between the first and the last step of a change leaves behind.
        {
            let mut ledger = table.ledger();
            ledger.is_dirty = true;
            ledger.order.clear();
            table.used_bytes.fetch_add(77, Ordering::Relaxed);
            table.entries.fetch_add(1, Ordering::Relaxed);
        }
        drop(writer);
        let mut writer = table.writer().unwrap();
        assert_eq!(table.stats(), before);
        let Stored::Created(version) = writer.put(&put("after", "1"), Millis(1)) else {
            panic!("not new");
        };
        assert!(NOW <= version.millis());
    }
}
