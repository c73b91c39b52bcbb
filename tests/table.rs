//! The table as its users see it, against models that are too simple to be wrong.

#![allow(clippy::expect_used, reason = "a helper of a test that fails, fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smache::entry::{Key, MediaType, Millis, Namespace, Slot, Tags, Version};
use smache::limits::CLOCK_SKEW_MAX;
use smache::table::{
    Cursor, Limit, Merge, NewEntry, Put, Record, Table, TableConfig, TableReader, TableWriter,
};

const MIB: usize = 1024 * 1024;

/// Deterministic numbers; Steele and others, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ b >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn table(memory_bytes: usize) -> Arc<Table> {
    Table::new(&TableConfig { memory_bytes, seed: 7, limit: Limit::Memory })
}

fn writer(table: &Arc<Table>) -> TableWriter {
    table.writer().expect("no other writer lives")
}

fn key(number: u64) -> Key {
    Key::new(format!("key-{number}")).expect("a short key")
}

/// A value that tells its key and its own length.
fn value(number: u64, len: usize) -> Vec<u8> {
    let mut random = Random(number);
    let mut value: Vec<u8> =
        (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    value.truncate(len);
    value
}

fn put(writer: &mut TableWriter, number: u64, len: usize) -> Put {
    writer.put(&key(number), &NewEntry::of(&value(number, len)), Millis(1)).0
}

fn has(reader: &TableReader, number: u64, len: usize) -> bool {
    let entry = reader.get(&key(number), Millis(1));
    entry.is_some_and(|entry| {
        assert_eq!(entry.value, value(number, len), "value of key {number}");
        true
    })
}

fn scan_all(reader: &TableReader, now: Millis) -> Vec<(Key, smache::entry::Entry)> {
    let mut all = Vec::new();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let step = reader.scan_records(at, 50, now, |_| true);
        all.extend(step.found.iter().filter_map(|found| Some((found.key(), found.entry()?))));
        cursor = step.next;
    }
    all
}

#[test]
fn what_was_put_is_read_back_with_all_that_is_known_of_it() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    let namespace = Namespace::new("sessions").expect("a plain name");
    let key = Key::in_namespace(namespace, "a").expect("a short key");
    let media = MediaType::Other("image/avif".into());
    let tags = Tags::new([b"red".as_slice(), b"large"]).expect("short tags");
    let ends = Some(Millis(9));
    let base = NewEntry::of(b"12345");
    let new = NewEntry { media: &media, expires_at: ends, tags: &tags, ..base };

    let (put, version) = writer.put(&key, &new, Millis(1));

    let entry = reader.get(&key, Millis(8)).expect("it was put");
    assert_eq!(put, Put::Created);
    assert_eq!((&entry.value[..], entry.version), (b"12345".as_slice(), version));
    assert_eq!((entry.media, entry.tags), (media.clone(), tags.clone()));
    assert_eq!(entry.expires_at, Some(Millis(9)));
    assert_eq!(writer.put(&key, &new, Millis(5)), (Put::Unchanged, version));
    assert_eq!(reader.get(&key, Millis(9)), None);
    assert_eq!(reader.get(&Key::new("a").expect("a short key"), Millis(1)), None);
    let scanned = scan_all(&reader, Millis(1));
    assert_eq!(scanned.iter().map(|(key, _)| key).collect::<Vec<_>>(), vec![&key]);
}

#[test]
fn a_put_is_unchanged_only_if_nothing_at_all_changes() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let tags = Tags::new([b"red".as_slice()]).expect("a short tag");
    let base = NewEntry::of(b"value");
    let others = [
        NewEntry { value: b"valuE", ..base },
        NewEntry { value: b"value2", ..base },
        NewEntry { media: &MediaType::Json, ..base },
        NewEntry { expires_at: Some(Millis(99)), ..base },
        NewEntry { tags: &tags, ..base },
    ];
    for other in others {
        writer.put(&key(1), &base, Millis(1));
        assert_eq!(writer.put(&key(1), &base, Millis(1)).0, Put::Unchanged);
        assert_eq!(writer.put(&key(1), &other, Millis(1)).0, Put::Replaced, "{other:?}");
    }
}

#[test]
fn there_is_one_writer_at_a_time_and_the_next_goes_on() {
    let table = table(MIB);
    let mut first = writer(&table);
    assert!(table.writer().is_none());
    put(&mut first, 1, 10);
    drop(first);
    let mut second = writer(&table);
    assert_eq!(put(&mut second, 1, 10), Put::Unchanged);
}

#[test]
fn an_idle_table_is_small_and_a_full_one_is_within_its_limit() {
    let table = table(64 * MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    assert!(reader.stats().used_bytes < MIB as u64, "{:?}", reader.stats());
    for number in 0..400_000 {
        put(&mut writer, number, 200);
    }
    let stats = reader.stats();
    assert!(stats.used_bytes <= stats.limit_bytes, "{stats:?}");
    assert!(stats.limit_bytes * 8 / 10 < stats.live_bytes, "{stats:?}");
    assert!(0 < stats.evictions, "{stats:?}");
}

#[test]
fn overwriting_one_key_for_ever_evicts_nobody() {
    for len in [100, 5_000, 100_000] {
        let table = table(MIB);
        let mut writer = writer(&table);
        let reader = table.reader();
        let mut kept = 0;
        while reader.stats().evictions == 0 {
            put(&mut writer, kept, 100);
            kept += 1;
        }
        // Room for the one key and its successor is made once.
        let mut overwrite = |rounds: u64| {
            for round in 0..rounds {
                let new = value(round % 7, len);
                writer.put(&key(u64::MAX), &NewEntry::of(&new), Millis(1));
                let found = reader.get(&key(u64::MAX), Millis(1));
                assert_eq!(found.map(|entry| entry.value), Some(new.into()), "round {round}");
            }
        };
        overwrite(20);
        let there: Vec<u64> = (0..kept).filter(|number| has(&reader, *number, 100)).collect();
        overwrite(20_000);
        assert!(kept / 2 < there.len() as u64);
        assert!(there.iter().all(|number| has(&reader, *number, 100)), "length {len}");
    }
}

#[test]
fn mixed_sizes_under_churn_stay_within_the_limit_and_whole() {
    let table = table(16 * MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    let mut random = Random(3);
    let mut sizes = BTreeMap::new();
    for step in 0..60_000 {
        let number = random.below(4_000);
        match random.below(10) {
            0 => {
                let was_there = has(&reader, number, sizes.get(&number).copied().unwrap_or(0));
                assert_eq!(writer.delete(&key(number), Millis(1)), was_there, "step {step}");
                sizes.remove(&number);
            }
            1..6 => {
                let is_there = has(&reader, number, sizes.get(&number).copied().unwrap_or(0));
                assert!(!is_there || sizes.contains_key(&number), "step {step}");
            }
            _ => {
                let least = 1 << random.below(20);
                let len = (least + random.below(least)) as usize;
                let put = put(&mut writer, number, len);
                assert_ne!(put, Put::TooLarge, "step {step}");
                sizes.insert(number, len);
                assert!(has(&reader, number, sizes[&number]), "step {step}");
            }
        }
        let stats = reader.stats();
        assert!(stats.used_bytes <= stats.limit_bytes, "step {step}: {stats:?}");
    }
}

#[test]
fn memory_of_small_entries_goes_to_large_ones_and_back() {
    let table = table(4 * MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    for round in 0..3 {
        for number in 0..200_000 {
            put(&mut writer, round << 32 | number, 1);
            assert!(number % 97 != 0 || has(&reader, round << 32 | number, 1));
        }
        for number in 0..100 {
            let number = round << 33 | 1 << 63 | number;
            put(&mut writer, number, 500_000);
            assert!(has(&reader, number, 500_000));
        }
        let stats = reader.stats();
        assert!(stats.used_bytes <= stats.limit_bytes, "{stats:?}");
        assert!(500_000 < stats.live_bytes, "{stats:?}");
    }
}

#[test]
fn an_entry_over_the_bound_is_refused_and_changes_nothing() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    put(&mut writer, 1, 10);
    let over = vec![0; reader.entry_bytes_max()];
    let (put, _) = writer.put(&key(1), &NewEntry::of(&over), Millis(1));
    assert_eq!(put, Put::TooLarge);
    assert!(has(&reader, 1, 10));
}

#[test]
fn ended_entries_are_absent_at_once_and_reclaimed_by_ticks() {
    let table = table(16 * MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    for number in 0..20_000 {
        let value = value(number, 50);
        let expires_at = (number % 2 == 0).then_some(Millis(1_000 + number % 10));
        writer.put(&key(number), &NewEntry { expires_at, ..NewEntry::of(&value) }, Millis(1));
    }
    assert!(writer.tick(Millis(999)).is_done);
    assert_eq!(reader.stats().expirations, 0);
    for number in 0..20_000 {
        assert_eq!(reader.get(&key(number), Millis(1_009)).is_some(), number % 2 == 1);
    }
    let mut now = Millis(1_009);
    for _ in 0..200 {
        now = Millis(now.0 + 20);
        writer.tick(now);
    }
    let stats = reader.stats();
    assert_eq!((stats.expirations, stats.entries), (10_000, 10_000));
    assert!((0..10_000).all(|number| has(&reader, number * 2 + 1, 50)));
}

#[test]
fn a_tombstone_keeps_its_version_until_it_ends() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let (_, first) = writer.put(&key(1), &NewEntry::of(b"a"), Millis(1));
    assert!(writer.bury(&key(1), Millis(50), Millis(2)));
    assert_eq!(writer.get(&key(1), Millis(3)), None);
    let record = writer.reader().record(&key(1)).expect("a tombstone");
    assert!(first < record.version() && record.is_tombstone());
    assert_eq!(record.expires_at(), Some(Millis(50)));
    assert!(!writer.bury(&key(1), Millis(60), Millis(4)));
    let found = |now| table.reader().scan_records(Cursor::default(), 9, now, |_| true).found;
    assert!(found(Millis(59)).len() == 1 && found(Millis(60)).is_empty());
    assert_eq!(writer.put(&key(1), &NewEntry::of(b"b"), Millis(5)).0, Put::Created);
    assert!(scan_all(&table.reader(), Millis(5)).len() == 1);
}

#[test]
fn a_scan_finds_what_has_ended_for_as_long_as_that_is_remembered() {
    let table = table(MIB);
    let mut writer = writer(&table);
    writer.keep_ended(Duration::from_millis(100));
    let entry = NewEntry { expires_at: Some(Millis(50)), ..NewEntry::of(b"a") };
    let (_, version) = writer.put(&key(1), &entry, Millis(1));
    let reader = table.reader();
    let found = |now| reader.scan_records(Cursor::default(), 9, now, |_| true).found;
    assert_eq!(found(Millis(149)).iter().map(Record::version).collect::<Vec<_>>(), [version]);
    assert!(reader.knows(&key(1), Millis(149)));
    assert!(found(Millis(150)).is_empty() && !reader.knows(&key(1), Millis(150)));
}

#[test]
fn versions_grow_beyond_what_was_seen_elsewhere() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let elsewhere = Version(77 << 40);
    writer.observe(elsewhere);
    assert!(elsewhere < writer.put(&key(1), &NewEntry::of(b"a"), Millis(1)).1);
}

#[test]
fn a_version_far_ahead_is_taken_over_and_followed_by_its_key_alone() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let now = Millis(1_000_000);
    let far = Version::at(now.after(2 * CLOCK_SKEW_MAX));
    let near = Version::at(now.after(CLOCK_SKEW_MAX));
    let record = |number, version| {
        Record::new(&key(number), &NewEntry::of(b"elsewhere"), version).expect("a short value")
    };
    assert_eq!(writer.merge_record(&record(1, far), now), Merge::Taken);
    assert!(writer.version() < Version::at(now));
    let mut put = |number, value: &[u8]| writer.put(&key(number), &NewEntry::of(value), now).1;
    assert_eq!(put(2, b"other").millis(), now);
    assert_eq!(put(1, b"newer"), far.after());
    assert_eq!(put(3, b"other").millis(), now);
    // So does a deletion, and what comes after it.
    assert!(writer.bury(&key(1), now.after(CLOCK_SKEW_MAX), now));
    assert_eq!(
        writer.reader().record(&key(1)).map(|record| record.version()),
        Some(Version(far.0 + 2))
    );
    assert_eq!(writer.put(&key(1), &NewEntry::of(b"again"), now).1, Version(far.0 + 3));
    assert_eq!(writer.merge_record(&record(1, far), now), Merge::Older);
    // Up to a minute ahead it is followed by all.
    assert_eq!(writer.merge_record(&record(4, near), now), Merge::Taken);
    assert!(near < writer.put(&key(2), &NewEntry::of(b"last"), now).1);
}

#[test]
fn versions_go_by_the_time_of_the_cluster_and_deadlines_do_not() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let now = Millis(1_000_000);
    let ends = NewEntry { expires_at: Some(Millis(1_000_010)), ..NewEntry::of(b"a") };
    for lead_ms in [-500_000, 700_000] {
        writer.set_lead(lead_ms);
        let (put, version) = writer.put(&key(1), &ends, now);
        assert_eq!(put, Put::Created);
        assert_eq!(version.millis(), Millis(now.0.saturating_add_signed(lead_ms)));
        assert!(writer.get(&key(1), Millis(1_000_009)).is_some());
        assert!(writer.get(&key(1), Millis(1_000_010)).is_none());
        writer.delete(&key(1), now);
    }
}

#[test]
fn what_was_known_elsewhere_is_taken_only_if_it_is_newer() {
    let (here, there) = (table(MIB), table(MIB));
    let (mut here, mut there) = (writer(&here), writer(&there));
    let known = |writer: &TableWriter| writer.reader().record(&key(1)).expect("something");
    here.put(&key(1), &NewEntry::of(b"old"), Millis(1));
    there.put(&key(1), &NewEntry::of(b"new"), Millis(2));
    assert_eq!(here.merge_record(&known(&there), Millis(3)), Merge::Taken);
    assert_eq!(known(&here), known(&there));
    assert_eq!(here.merge_record(&known(&there), Millis(3)), Merge::Older);
    there.bury(&key(1), Millis(90), Millis(4));
    assert_eq!(here.merge_record(&known(&there), Millis(5)), Merge::Taken);
    assert_eq!(here.get(&key(1), Millis(5)), None);
    // A write here is newer than all that was taken over.
    here.put(&key(1), &NewEntry::of(b"newest"), Millis(1));
    assert_eq!(here.merge_record(&known(&there), Millis(5)), Merge::Older);
    assert_eq!(there.merge_record(&known(&here), Millis(5)), Merge::Taken);
    assert!(there.get(&key(1), Millis(5)).is_some_and(|entry| entry.value == "newest"));
}

#[test]
fn records_are_read_scanned_and_taken_over_as_they_lie() {
    let (here, there) = (table(MIB), table(MIB));
    let (mut here, mut there) = (writer(&here), writer(&there));
    for number in 0..500 {
        let value = value(number, 3 * number as usize);
        there.put(&key(number), &NewEntry::of(&value), Millis(1));
    }
    there.bury(&key(1), Millis(50), Millis(2));
    there.put(&key(2), &NewEntry { expires_at: Some(Millis(9)), ..NewEntry::of(b"") }, Millis(2));
    let is_wanted = |slot: Slot| slot.0.is_multiple_of(2);
    let mut cursor = Some(Cursor::default());
    let mut taken = BTreeSet::new();
    while let Some(at) = cursor {
        let step = there.reader().scan_records(at, 20, Millis(9), is_wanted);
        for record in step.found {
            let again = Record::from_bytes(record.as_bytes().to_vec().into());
            assert_eq!(again.as_ref(), Ok(&record));
            assert_eq!(here.merge_record(&record, Millis(9)), Merge::Taken);
            assert_eq!(here.merge_record(&record, Millis(9)), Merge::Older);
            assert_eq!(here.reader().record(&record.key()), Some(record.clone()));
            taken.insert(record.key());
        }
        cursor = step.next;
    }
    let wanted = (0..500).filter(|number| *number != 2).map(key);
    assert_eq!(taken, wanted.filter(|key| is_wanted(key.slot())).collect());
}

#[test]
fn a_head_is_told_only_of_what_can_be_read() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let ends = NewEntry { expires_at: Some(Millis(9)), ..NewEntry::of(b"value") };
    let (_, version) = writer.put(&key(1), &ends, Millis(1));
    assert_eq!(writer.head(&key(1), Millis(8)), Some(version));
    assert_eq!(writer.head(&key(1), Millis(9)), None);
    assert_eq!(writer.head(&key(2), Millis(1)), None);
    writer.bury(&key(1), Millis(90), Millis(2));
    assert_eq!(writer.head(&key(1), Millis(3)), None);
}

#[test]
fn what_has_ended_elsewhere_takes_the_older_away() {
    let (here, there) = (table(MIB), table(MIB));
    let (mut here, mut there) = (writer(&here), writer(&there));
    here.put(&key(1), &NewEntry::of(b"old"), Millis(1));
    let ends = NewEntry { expires_at: Some(Millis(9)), ..NewEntry::of(b"new") };
    there.put(&key(1), &ends, Millis(2));
    let record = there.reader().record(&key(1)).expect("an entry");
    assert_eq!(here.merge_record(&record, Millis(10)), Merge::Taken);
    assert_eq!(here.reader().record(&key(1)), None);
}

#[test]
fn what_has_ended_is_remembered_while_others_may_have_what_was_there_before() {
    let (here, there) = (table(MIB), table(MIB));
    let (mut here, mut there) = (writer(&here), writer(&there));
    here.keep_ended(Duration::from_millis(100));
    there.put(&key(1), &NewEntry::of(b"old"), Millis(1));
    let old = there.reader().record(&key(1)).expect("an entry");
    let brief = NewEntry { expires_at: Some(Millis(9)), ..NewEntry::of(b"new") };
    // Ended here by a tick, and taken over when it had ended.
    here.put(&key(1), &brief, Millis(2));
    there.put(
        &key(2),
        &NewEntry { expires_at: Some(Millis(9)), ..NewEntry::of(b"new") },
        Millis(2),
    );
    let ended = there.reader().record(&key(2)).expect("an entry");
    while !here.tick(Millis(10)).is_done {}
    assert_eq!(here.merge_record(&ended, Millis(10)), Merge::Taken);
    assert_eq!(here.reader().stats().expirations, 1);
    for number in [1, 2] {
        let kept = here.reader().record(&key(number)).expect("a tombstone");
        assert!(kept.is_tombstone() && here.get(&key(number), Millis(10)).is_none());
    }
    assert_eq!(here.merge_record(&old, Millis(11)), Merge::Older);
    while !here.tick(Millis(2_000)).is_done {}
    assert_eq!(here.reader().record(&key(1)), None);
}

#[test]
fn an_equal_put_is_a_write_while_others_may_have_another_value() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let (_, first) = writer.put(&key(1), &NewEntry::of(b"a"), Millis(1));
    assert_eq!(writer.put(&key(1), &NewEntry::of(b"a"), Millis(2)), (Put::Unchanged, first));
    writer.keep_ended(Duration::from_secs(60));
    let (put, second) = writer.put(&key(1), &NewEntry::of(b"a"), Millis(3));
    assert!(put == Put::Replaced && first < second);
}

#[test]
fn ends_cost_live_entries_nothing() {
    let table = table(MIB);
    let mut writer = writer(&table);
    writer.keep_ended(Duration::from_secs(60));
    (0..1_000).for_each(|number| _ = put(&mut writer, number, 100));
    for number in 0..200_000 {
        let now = Millis(10 + number / 100);
        let ends = NewEntry { expires_at: Some(Millis(now.0 + 1)), ..NewEntry::of(b"brief") };
        writer.put(&key(1_000_000 + number), &ends, now);
        if number % 100 == 0 {
            while !writer.tick(now).is_done {}
        }
    }
    let alive = (0..1_000).filter(|number| has(&table.reader(), *number, 100)).count();
    assert_eq!(alive, 1_000);
    assert!(0 < table.reader().stats().tombstones_dropped);
}

#[test]
fn only_what_is_still_as_it_was_is_forgotten() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let (_, first) = writer.put(&key(1), &NewEntry::of(b"a"), Millis(1));
    let (_, second) = writer.put(&key(1), &NewEntry::of(b"b"), Millis(1));
    assert!(!writer.forget(&key(1), first));
    assert!(writer.get(&key(1), Millis(1)).is_some());
    assert!(writer.forget(&key(1), second));
    assert_eq!(table.reader().record(&key(1)), None);
    assert!(!writer.forget(&key(1), second));
}

#[test]
fn a_bound_in_entries_holds_exactly() {
    let limit = Limit::Entries(100);
    let table = Table::new(&TableConfig { memory_bytes: MIB, seed: 7, limit });
    let mut writer = writer(&table);
    for number in 0..5_000 {
        put(&mut writer, number % 300, 10);
        assert!(table.reader().stats().entries <= 100);
    }
    assert_eq!(table.reader().stats().entries, 100);
}

#[test]
fn keys_that_are_asked_for_outlive_those_that_are_not() {
    let table = table(MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    for number in 0..1_000 {
        put(&mut writer, number, 50);
    }
    for number in 1_000..60_000 {
        put(&mut writer, number, 50);
        for asked in 0..4 {
            let _ = has(&reader, (number * 4 + asked) % 1_000, 50);
        }
    }
    let kept = (0..1_000).filter(|number| has(&reader, *number, 50)).count();
    assert!(900 < kept, "{kept}");
}

#[test]
fn deletes_of_absent_keys_leave_entries_alone() {
    let table = table(8 * MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    let mut number = 0;
    while reader.stats().evictions < 1_000 {
        put(&mut writer, number, 300);
        number += 1;
    }
    let before = scan_all(&reader, Millis(1)).len();
    let evictions = reader.stats().evictions;
    for absent in 0..400_000 {
        assert!(!writer.bury(&key(10_000_000 + absent), Millis(60_000), Millis(1)));
    }
    let stats = reader.stats();
    assert_eq!(scan_all(&reader, Millis(1)).len(), before);
    assert_eq!((stats.evictions, reader.keys()), (evictions, before as u64));
    assert!(300_000 < stats.tombstones_dropped && stats.used_bytes <= stats.limit_bytes);
    // What is remembered are the last ones.
    assert!(reader.record(&key(10_399_999)).is_some_and(|record| record.is_tombstone()));
    assert!(reader.record(&key(10_000_000)).is_none());
    // What is there is deleted, and that it was is remembered.
    let (there, _) = scan_all(&reader, Millis(1)).swap_remove(0);
    assert!(writer.bury(&there, Millis(60_000), Millis(1)));
    assert!(reader.record(&there).is_some_and(|record| record.is_tombstone()));
}

#[test]
fn a_scan_sees_every_entry_present_throughout() {
    let table = table(32 * MIB);
    let mut writer = writer(&table);
    let reader = table.reader();
    let mut random = Random(5);
    for number in 0..3_000 {
        put(&mut writer, number, 20);
    }
    let mut seen = BTreeSet::new();
    let mut cursor = Some(Cursor::default());
    let mut next = 1_000_000;
    // The index grows to many times its size between the first step and the last.
    while let Some(at) = cursor {
        let step = reader.scan_records(at, 20, Millis(1), |_| true);
        seen.extend(step.found.iter().map(Record::key));
        cursor = step.next;
        let is_growing = next < 1_150_000;
        for _ in 0..if is_growing { 2_000 } else { 10 } {
            put(&mut writer, next, 20);
            next += u64::from(is_growing);
            let again = random.below(3_000);
            writer.put(&key(again), &NewEntry::of(&value(next, 24)), Millis(1));
            writer.delete(&key(random.below(next - 1_000_000) + 1_000_000), Millis(1));
        }
    }
    assert_eq!(reader.stats().evictions, 0);
    assert!((0..3_000).all(|number| seen.contains(&key(number))));
}

#[derive(Clone, Debug)]
enum Step {
    Put { number: u64, len: usize, ttl: Option<u64> },
    Get { number: u64 },
    Delete { number: u64 },
    Bury { number: u64 },
    Pass { millis: u64 },
    Tick,
    Restart,
    Scan,
}

fn step(keys: u64, len_max: usize) -> impl Strategy<Value = Step> {
    let number = 0..keys;
    let len = prop_oneof![3 => 0..100_usize, 1 => 0..len_max];
    let ttl = prop_oneof![2 => Just(None), 1 => (1..3_000_u64).prop_map(Some)];
    let put = (number.clone(), len, ttl);
    prop_oneof![
        8 => put.prop_map(|(number, len, ttl)| Step::Put { number, len, ttl }),
        5 => number.clone().prop_map(|number| Step::Get { number }),
        2 => number.clone().prop_map(|number| Step::Delete { number }),
        1 => number.prop_map(|number| Step::Bury { number }),
        1 => (1..1_500_u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Tick),
        1 => Just(Step::Restart),
        1 => Just(Step::Scan),
    ]
}

/// Takes the steps on a table and on a plain map. Where the table may evict, an entry may be absent
/// although the map has it; it may never be another one.
fn compare(memory_bytes: usize, steps: &[Step], may_evict: bool) {
    let table = table(memory_bytes);
    let mut table_writer = Some(writer(&table));
    let reader = table.reader();
    let mut model: BTreeMap<u64, (Vec<u8>, Option<Millis>)> = BTreeMap::new();
    let mut now = Millis(1_000);
    for (at, step) in steps.iter().enumerate() {
        let writer = table_writer.get_or_insert_with(|| writer(&table));
        model.retain(|_, (_, ends)| ends.is_none_or(|ends| now < ends));
        match *step {
            Step::Put { number, len, ttl } => {
                let value = value(at as u64, len);
                let expires_at = ttl.map(|ttl| Millis(now.0 + ttl));
                let was_there = reader.get(&key(number), now).is_some();
                let new = NewEntry { expires_at, ..NewEntry::of(&value) };
                let (put, _) = writer.put(&key(number), &new, now);
                let is_created = put == Put::Created;
                assert_eq!(is_created, !was_there, "step {at}: {step:?}");
                model.insert(number, (value, expires_at));
                assert!(reader.get(&key(number), now).is_some(), "step {at}: {step:?}");
            }
            Step::Get { .. } => {}
            Step::Delete { number } => {
                let was_there = reader.get(&key(number), now).is_some();
                assert_eq!(writer.delete(&key(number), now), was_there, "step {at}");
                model.remove(&number);
            }
            Step::Bury { number } => {
                let was_there = reader.get(&key(number), now).is_some();
                assert_eq!(writer.bury(&key(number), Millis(now.0 + 500), now), was_there);
                model.remove(&number);
            }
            Step::Pass { millis } => now = Millis(now.0 + millis),
            Step::Tick => {
                writer.tick(now);
            }
            Step::Restart => table_writer = None,
            Step::Scan => {
                let scanned = scan_all(&reader, now);
                for (key, entry) in &scanned {
                    assert_eq!(reader.get(key, now).as_ref(), Some(entry), "step {at}");
                }
                assert!(may_evict || scanned.len() == model.len(), "step {at}");
            }
        }
        if let Step::Get { number } | Step::Put { number, .. } | Step::Delete { number } = *step {
            let expected = model.get(&number).filter(|(_, ends)| ends.is_none_or(|at| now < at));
            let found = reader.get(&key(number), now).map(|entry| entry.value.to_vec());
            let is_right = found.as_ref() == expected.map(|(value, _)| value);
            assert!(is_right || may_evict && found.is_none(), "step {at}: {step:?}");
        }
        let stats = reader.stats();
        assert!(stats.used_bytes <= stats.limit_bytes, "step {at}: {stats:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_table_with_room_is_a_map(steps in prop::collection::vec(step(400, 600), 1..1_500)) {
        compare(8 * MIB, &steps, false);
    }

    #[test]
    fn a_full_table_forgets_but_never_errs(
        steps in prop::collection::vec(step(300, 60_000), 1..1_500),
    ) {
        compare(512 * 1024, &steps, true);
    }
}
