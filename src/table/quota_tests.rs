//! A namespace with a quota makes room in itself, whatever is written to it and whenever it was told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{
    AccountStats, Cursor, Limit, NewEntry, Quota, Record, Table, TableConfig, TableReader,
    TableWriter, fault,
};
use crate::entry::{Key, Millis, Namespace};

const NOW: Millis = Millis(1);
const QUOTA: u64 = 128 * 1024;

fn table(memory_bytes: usize) -> Arc<Table> {
    Table::new(&TableConfig { memory_bytes, seed: 11, limit: Limit::Memory })
}

fn named() -> Namespace {
    Namespace::new("site").expect("a short name")
}

fn key(namespace: &Namespace, number: usize) -> Key {
    Key::in_namespace(namespace.clone(), number.to_string()).expect("a short key")
}

fn put(writer: &mut TableWriter, namespace: &Namespace, number: usize, len: usize) {
    writer.put(&key(namespace, number), &NewEntry::of(&vec![number as u8; len]), NOW);
}

fn told(writer: &mut TableWriter, bytes: u64) {
    writer.set_quotas(&[Quota { namespace: named(), bytes_max: bytes, bytes_in_all: bytes }]);
}

fn found(reader: &TableReader, namespace: &Namespace, numbers: std::ops::Range<usize>) -> usize {
    numbers.filter(|number| reader.get(&key(namespace, *number), NOW).is_some()).count()
}

fn stats(reader: &TableReader, namespace: &Namespace) -> AccountStats {
    reader.account(reader.census().find(namespace.as_bytes()))
}

/// Ticks until there is nothing more to do.
fn settle(writer: &mut TableWriter) {
    while !writer.tick(NOW).is_done {}
}

/// What there is of a namespace, by a look at everything.
fn counted(reader: &TableReader, namespace: &Namespace) -> (u64, u64) {
    let (mut entries, mut bytes, mut cursor) = (0, 0, Some(Cursor::default()));
    while let Some(at) = cursor {
        let step = reader.scan_records(at, 1_000, NOW, |_| true);
        let is_of =
            |record: &&Record| !record.is_tombstone() && record.key().namespace() == namespace;
        for record in step.found.iter().filter(is_of) {
            entries += 1;
            bytes += record.as_bytes().len() as u64;
        }
        cursor = step.next;
    }
    (entries, bytes)
}

fn audit(reader: &TableReader, context: &str) {
    for namespace in [named(), Namespace::default()] {
        let AccountStats { entries, bytes, .. } = stats(reader, &namespace);
        assert_eq!((entries, bytes), counted(reader, &namespace), "{context}: {namespace}");
    }
}

fn assert_held(reader: &TableReader, context: &str) {
    let bytes = stats(reader, &named()).bytes;
    assert!((QUOTA * 95 / 100..=QUOTA).contains(&bytes), "{context}: {bytes} bytes");
}

#[test]
fn a_namespace_at_its_quota_evicts_nobody_else_however_full_the_table_is() {
    // With as much of others as fits, or more, the index may grow by a block where sizes vary.
    for (others, lost_max) in [(2_000, 0), (4_000, 0), (6_000, 40)] {
        let table = table(1 << 20);
        let (mut writer, reader, default) =
            (table.writer().expect("no other"), table.reader(), Namespace::default());
        told(&mut writer, QUOTA);
        (0..others).for_each(|number| put(&mut writer, &default, number, 100));
        let rounds = 30_000;
        // What is dead has room beside the quota.
        for number in 50..15_000 {
            put(&mut writer, &named(), number, 50 + number % 400);
            put(&mut writer, &named(), number - number % 50, 20 + number % 700);
        }
        let (before, evicted) = (found(&reader, &default, 0..others), stats(&reader, &default));
        for number in 15_000..rounds {
            // New keys, and some that are written again or read.
            put(&mut writer, &named(), number, 50 + number % 400);
            if number % 3 == 0 {
                put(&mut writer, &named(), number - number % 50, 20 + number % 700);
                let _ = reader.get(&key(&named(), number - number % 40), NOW);
            }
        }
        let context = format!("{others} others");
        let lost = before - found(&reader, &default, 0..others);
        assert!(lost <= lost_max, "{context}: {lost} lost");
        let more = stats(&reader, &default).evictions - evicted.evictions;
        assert_eq!(more, lost as u64, "{context}");
        assert_held(&reader, &context);
        assert!(1_000 < stats(&reader, &named()).evictions, "{context}");
        audit(&reader, &context);
    }
}

#[test]
fn what_is_asked_for_stays_in_its_namespace_and_the_rest_goes() {
    let table = table(1 << 20);
    let (mut writer, reader) = (table.writer().expect("no other"), table.reader());
    told(&mut writer, QUOTA);
    let hot = 0..100;
    for number in 0..20_000 {
        put(&mut writer, &named(), number, 100);
        // More often than the queue goes around.
        if number % 100 == 0 {
            found(&reader, &named(), hot.clone());
        }
    }
    assert_eq!(found(&reader, &named(), hot), 100);
    assert_held(&reader, "with hits");
}

#[test]
fn a_quota_that_comes_later_or_changes_holds_for_what_is_there_and_ends_without_loss() {
    let table = table(2 << 20);
    let (mut writer, reader, default) =
        (table.writer().expect("no other"), table.reader(), Namespace::default());
    for number in 0..3_000 {
        put(&mut writer, &named(), number, 100);
        put(&mut writer, &default, number, 100);
    }
    let others = stats(&reader, &default);
    assert!(2 * QUOTA < stats(&reader, &named()).bytes);
    told(&mut writer, QUOTA);
    settle(&mut writer);
    assert_held(&reader, "told later");
    audit(&reader, "told later");
    told(&mut writer, 2 * QUOTA);
    settle(&mut writer);
    assert_held(&reader, "made larger, nothing comes back");
    (3_000..6_000).for_each(|number| put(&mut writer, &named(), number, 100));
    assert!(QUOTA * 19 / 10 < stats(&reader, &named()).bytes);
    told(&mut writer, QUOTA);
    settle(&mut writer);
    assert_held(&reader, "made smaller");
    let kept = stats(&reader, &named());
    writer.set_quotas(&[]);
    settle(&mut writer);
    assert_eq!(stats(&reader, &named()), kept, "entries outlive their quota");
    assert_eq!(stats(&reader, &default), others, "nobody else was concerned");
    (0..3_000).for_each(|number| put(&mut writer, &named(), number, 100));
    assert!(3 * QUOTA < stats(&reader, &named()).bytes, "there is no quota");
    audit(&reader, "without a quota");
}

#[test]
fn others_take_what_is_older_than_all_of_theirs_and_no_namespace_starves() {
    let table = table(1 << 20);
    let (mut writer, reader, default) =
        (table.writer().expect("no other"), table.reader(), Namespace::default());
    // Far more than there is.
    told(&mut writer, 1 << 30);
    (0..20_000).for_each(|number| put(&mut writer, &named(), number, 100));
    assert!(reader.get(&key(&named(), 19_999), NOW).is_some());
    let most = stats(&reader, &named()).bytes;
    (0..40_000).for_each(|number| put(&mut writer, &default, number, 100));
    assert!(stats(&reader, &named()).bytes < most / 4, "{:?}", stats(&reader, &named()));
    assert!(most / 2 < stats(&reader, &default).bytes);
    for number in 0..20_000 {
        put(&mut writer, &named(), number, 100);
        put(&mut writer, &default, number, 100);
    }
    let (own, others) = (stats(&reader, &named()).bytes, stats(&reader, &default).bytes);
    assert!(most / 8 < own && most / 8 < others, "{own} and {others} of {most}");
    audit(&reader, "both");
}

#[test]
fn an_entry_over_the_quota_is_refused_and_changes_nothing() {
    let table = table(1 << 20);
    let (mut writer, reader) = (table.writer().expect("no other"), table.reader());
    told(&mut writer, QUOTA);
    (0..100).for_each(|number| put(&mut writer, &named(), number, 100));
    let before = stats(&reader, &named());
    let large = vec![0; QUOTA as usize];
    let (outcome, _) = writer.put(&key(&named(), 5), &NewEntry::of(&large), NOW);
    assert_eq!((outcome, stats(&reader, &named())), (super::Put::TooLarge, before));
    let half = vec![1; QUOTA as usize / 2];
    for number in 100..120 {
        writer.put(&key(&named(), number), &NewEntry::of(&half), NOW);
        assert!(reader.get(&key(&named(), number), NOW).is_some_and(|entry| entry.value == half));
    }
    assert!(stats(&reader, &named()).bytes <= QUOTA);
    audit(&reader, "large ones");
}

#[test]
fn what_moves_here_or_elsewhere_is_not_evicted_for_a_part_of_a_quota() {
    let tables = [table(1 << 20), table(1 << 20)];
    let mut writers = tables.each_ref().map(|table| table.writer().expect("no other"));
    let part = |bytes_max| [Quota { namespace: named(), bytes_max, bytes_in_all: 2 * QUOTA }];
    writers.iter_mut().for_each(|writer| writer.set_quotas(&part(QUOTA)));
    let [from, to] = &mut writers;
    (0..2_000).for_each(|number| put(from, &named(), number, 100));
    let held = stats(&from.reader(), &named());
    from.set_quotas(&part(QUOTA / 2));
    settle(from);
    assert_eq!(stats(&from.reader(), &named()), held);
    to.set_quotas(&part(QUOTA / 2));
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let step = from.reader().scan_records(at, 1_000, NOW, |_| true);
        step.found.iter().for_each(|record| _ = to.merge_record(record, NOW));
        cursor = step.next;
    }
    settle(to);
    assert_eq!(stats(&to.reader(), &named()).entries, held.entries);
    // What is written is within the part that is here.
    put(to, &named(), 9_999, 100);
    assert!(stats(&to.reader(), &named()).bytes <= QUOTA / 2);
    audit(&to.reader(), "moved");
}

#[test]
fn a_writer_that_panicked_anywhere_holds_the_quota_once_it_is_told_again() {
    for steps in (0..2_000).step_by(61) {
        let table = table(1 << 20);
        let mut writer = table.writer().expect("no other");
        told(&mut writer, QUOTA);
        for number in 0..2_000 {
            put(&mut writer, &Namespace::default(), number, 100);
            put(&mut writer, &named(), number, 100);
        }
        fault::panic_after(Some(steps));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (2_000..2_100).for_each(|number| put(&mut writer, &named(), number, 100));
        }));
        fault::panic_after(None);
        let context = format!("panic at step {steps}");
        assert!(outcome.is_err(), "{context}");
        drop(writer);
        let (mut writer, reader) = (table.writer().expect("no other"), table.reader());
        audit(&reader, &context);
        told(&mut writer, QUOTA);
        settle(&mut writer);
        (3_000..6_000).for_each(|number| put(&mut writer, &named(), number, 100));
        assert_held(&reader, &context);
        assert_eq!(found(&reader, &Namespace::default(), 0..2_000), 2_000, "{context}");
        audit(&reader, &context);
    }
}

#[test]
fn a_namespace_that_is_taken_out_of_the_others_is_counted_again() {
    let table = table(1 << 20);
    let (mut writer, reader) = (table.writer().expect("no other"), table.reader());
    for n in 0..300 {
        let namespace = Namespace::new(&format!("n{n}")).expect("a short name");
        (0..3).for_each(|number| put(&mut writer, &namespace, number, 10 + n));
    }
    let late = Namespace::new("n299").expect("a short name");
    assert!(reader.census().reads(&late).is_none());
    reader.census().enter_governed(&late);
    writer.tick(NOW);
    let AccountStats { entries, bytes, .. } = stats(&reader, &late);
    assert_eq!((entries, (entries, bytes)), (3, counted(&reader, &late)));
}
