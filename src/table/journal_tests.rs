//! Counts and events tell the same as a look at everything, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{Cause, Cursor, Listener, NewEntry, Record, SlotCount, Table, TableWriter};
use super::{Limit, TableConfig, fault};
use crate::entry::{Key, Millis, SLOTS, Slot, Version};
use crate::limits::JOURNAL_EVENTS_MAX;

/// Deterministic numbers; Steele and others, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (b ^ b >> 31) % end
    }
}

fn table() -> Arc<Table> {
    Table::new(&TableConfig { memory_bytes: 512 * 1024, seed: 11, limit: Limit::Memory })
}

fn key(number: u64) -> Key {
    Key::new(format!("key-{number}")).expect("a short key")
}

/// All that is in the table, also what has ended.
fn scan(table: &Arc<Table>) -> Vec<Record> {
    let mut all = Vec::new();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let step = table.reader().scan_records(at, 1_000, Millis(0), |_| true);
        all.extend(step.found);
        cursor = step.next;
    }
    all
}

fn keys(table: &Arc<Table>) -> BTreeSet<Key> {
    let all = scan(table);
    all.iter().filter(|record| !record.is_tombstone()).map(Record::key).collect()
}

/// Compares all counts with a scan.
fn audit(table: &Arc<Table>, context: &str) {
    let mut counts: BTreeMap<Slot, SlotCount> = BTreeMap::new();
    for record in scan(table) {
        let count = counts.entry(record.slot()).or_default();
        count.keys += u32::from(!record.is_tombstone());
        count.records += 1;
    }
    let reader = table.reader();
    for slot in (0..SLOTS).map(Slot) {
        let expected = counts.get(&slot).copied().unwrap_or_default();
        assert_eq!(reader.count(slot), expected, "{context}: {slot:?}");
    }
    let total = counts.values().map(|count| u64::from(count.keys)).sum::<u64>();
    assert_eq!(reader.keys(), total, "{context}");
}

/// Follows the events; looks at the table again after a gap.
fn follow(table: &Arc<Table>, listener: &mut Listener, known: &mut BTreeSet<Key>) {
    let heard = listener.take();
    for event in heard.events {
        match event.has_entry {
            true => known.insert(event.key),
            false => known.remove(&event.key),
        };
    }
    if heard.has_gap {
        *known = keys(table);
    }
}

fn change(writer: &mut TableWriter, random: &mut Random, now: Millis) {
    let key = key(random.below(6_000));
    let value = vec![7; random.below(200) as usize];
    let expires_at = (random.below(3) == 0).then(|| Millis(now.0 + random.below(900)));
    let new = NewEntry { expires_at, ..NewEntry::of(&value) };
    match random.below(20) {
        0 => drop(writer.delete(&key, now)),
        1 => drop(writer.bury(&key, Millis(now.0 + 700), now)),
        2 => {
            let version = Version(writer.version().0 + random.below(3));
            let record = Record::new(&key, &new, version).expect("a short value");
            writer.merge_record(&record, now);
        }
        3 => {
            let version = Version(writer.version().0 + random.below(3));
            let until = Millis(now.0 + random.below(900));
            writer.merge_record(&Record::tombstone(&key, version, until), now);
        }
        4 => {
            let version = writer.head(&key, now).unwrap_or_default();
            writer.forget(&key, version);
        }
        5 => {
            writer.keep_ended(Duration::from_millis(random.below(2) * 400));
            writer.tick(now);
        }
        _ => drop(writer.put(&key, &new, now)),
    }
}

#[test]
fn counts_and_events_tell_what_a_look_at_everything_does() {
    for seed in 0..12 {
        let table = table();
        let mut writer = table.writer().expect("no other writer");
        let mut random = Random(seed);
        let mut listener = table.reader().listen();
        let mut known = BTreeSet::new();
        let mut now = Millis(1_000);
        for round in 0..60 {
            for _ in 0..200 {
                change(&mut writer, &mut random, now);
            }
            now = Millis(now.0 + random.below(300));
            if random.below(4) == 0 {
                fault::panic_after(Some(random.below(2_000)));
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    (0..100).for_each(|_| change(&mut writer, &mut random, now));
                }));
                fault::panic_after(None);
                assert!(panicked.is_err() || round < 60);
                drop(writer);
                writer = table.writer().expect("the old writer is gone");
            }
            let context = format!("seed {seed}, round {round}");
            follow(&table, &mut listener, &mut known);
            assert_eq!(known, keys(&table), "{context}");
            audit(&table, &context);
        }
        assert!(0 < table.reader().stats().evictions, "seed {seed}");
        assert!(0 < table.reader().stats().expirations, "seed {seed}");
    }
}

#[test]
fn each_event_tells_its_cause_and_version() {
    let table = table();
    let mut writer = table.writer().expect("no other writer");
    let mut listener = table.reader().listen();
    let (_, put) = writer.put(&key(1), &NewEntry::of(b"a"), Millis(1));
    writer.bury(&key(1), Millis(50), Millis(2));
    let buried = writer.version();
    writer.tick(Millis(60));
    let there = Record::new(&key(2), &NewEntry::of(b"b"), Version(9 << 30)).expect("short");
    writer.merge_record(&there, Millis(60));
    writer.forget(&key(2), there.version());
    let heard = listener.take();
    let told = heard.events.iter().map(|event| (event.cause, event.version, event.has_entry));
    let expected = [
        (Cause::Put, put, true),
        (Cause::Delete, buried, false),
        (Cause::Expire, buried, false),
        (Cause::TakenOver, there.version(), true),
        (Cause::Forgotten, there.version(), false),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(!heard.has_gap);
}

#[test]
fn a_listener_that_falls_behind_is_told_of_the_gap() {
    let table = table();
    let mut writer = table.writer().expect("no other writer");
    let mut listener = table.reader().listen();
    for number in 0..=JOURNAL_EVENTS_MAX as u64 {
        writer.put(&key(number % 10), &NewEntry::of(&number.to_le_bytes()), Millis(1));
    }
    let heard = listener.take();
    assert!(heard.has_gap && heard.events.len() == JOURNAL_EVENTS_MAX);
    writer.put(&key(1), &NewEntry::of(b"a"), Millis(1));
    let heard = listener.take();
    assert!(!heard.has_gap && heard.events.len() == 1);
}
