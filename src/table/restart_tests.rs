//! A writer that panics anywhere loses nothing, and the next one goes on as if nothing had been.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::block::{BlockId, Role};
use super::ledger::Ledger;
use super::{Limit, NewEntry, Parked, Table, TableConfig, TableWriter, fault, restart};
use crate::entry::{Key, Millis};

/// What a reader finds, by the number of the key.
type Seen = BTreeMap<u64, Vec<u8>>;

const NOW: Millis = Millis(1);

fn table(memory_bytes: usize) -> Arc<Table> {
    Table::new(&TableConfig { memory_bytes, seed: 11, limit: Limit::Memory })
}

fn key(number: u64) -> Key {
    Key::new(number.to_le_bytes().to_vec()).expect("eight bytes")
}

fn value(number: u64, round: u64, len: usize) -> Vec<u8> {
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round;
    (0..len as u64).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8).collect()
}

fn see(table: &Arc<Table>, keys: u64) -> Seen {
    let get = |number| Some((number, table.get(&key(number), NOW)?.value.to_vec()));
    (0..keys).filter_map(get).collect()
}

/// Changes a table through its writer.
type Change = fn(&mut TableWriter);

fn put(writer: &mut TableWriter, number: u64, round: u64, len: usize) {
    writer.put(&key(number), &NewEntry::of(&value(number, round, len)), NOW);
}

/// A table that is full, partly dead, and has entries that were read.
fn full(keys: u64) -> Arc<Table> {
    let table = table(512 * 1024);
    let mut writer = table.writer().expect("no other writer");
    for number in 0..keys {
        put(&mut writer, number, 0, 100);
        let _ = writer.get(&key(number / 2), NOW);
        let _ = writer.get(&key(number / 3), NOW);
    }
    for number in (0..keys).step_by(3) {
        put(&mut writer, number, 1, 60);
    }
    drop(writer);
    table
}

/// A table that is half full and whose index is about to grow or growing.
fn growing(entries: u64) -> Arc<Table> {
    let table = table(512 * 1024);
    let mut writer = table.writer().expect("no other writer");
    for number in 0..entries {
        put(&mut writer, number, 0, 8);
    }
    drop(writer);
    table
}

/// Compares everything the writer keeps with what the blocks and the index say.
fn audit(table: &Arc<Table>, context: &str) {
    let mut parked = table.parked.lock().expect("no panic while parking");
    let Parked::Idle(ledger) = &mut *parked else { panic!("{context}: no idle ledger") };
    let mut all: Vec<BlockId> = ledger.free.clone();
    all.extend(
        ledger.small.segments.iter().chain(&ledger.main.segments).chain(&ledger.tombs.segments),
    );
    let is_fixed = |block: &BlockId| table.blocks.role(*block) == Role::Fixed;
    all.extend((0..ledger.fresh as BlockId).filter(is_fixed));
    all.sort_unstable();
    let used: Vec<BlockId> = (0..ledger.fresh as BlockId).collect();
    assert_eq!(all, used, "{context}: every block has one use");
    let facts = |ledger: &Ledger| {
        let costs = (ledger.small.cost, ledger.main.cost);
        (ledger.entries, ledger.live_words, costs, ledger.live.clone())
    };
    let again = restart::rebuild(table);
    assert_eq!(facts(ledger), facts(&again), "{context}: counted again");
    **ledger = again;
}

/// Lets `change` panic at every one of its steps in turn, each time on a new table.
fn panic_everywhere(name: &str, keys: u64, make: impl Fn() -> Arc<Table>, change: Change) {
    let mut steps = 0;
    loop {
        let context = format!("{name}, panic at step {steps}");
        let table = make();
        let before = see(&table, keys);
        let mut writer = table.writer().expect("no other writer");
        fault::panic_after(Some(steps));
        let outcome = catch_unwind(AssertUnwindSafe(|| change(&mut writer)));
        fault::panic_after(None);
        drop(writer);
        let published = see(&table, keys);
        let mut writer = table.writer().expect("the old writer is gone");
        assert_eq!(see(&table, keys), published, "{context}: repaired");
        if table.stats().evictions == 0 {
            let lost = before.keys().filter(|number| !published.contains_key(number)).count();
            assert!(lost <= 1, "{context}: {lost} entries lost");
        }
        put(&mut writer, keys + 1, 5, 50);
        drop(writer);
        audit(&table, &context);
        if outcome.is_ok() {
            println!("{name}: {steps} steps");
            return;
        }
        // Copying words is the same step over and over: most of it is passed quickly.
        steps += if steps < 400 { 1 } else { 37 };
    }
}

#[test]
fn a_panic_anywhere_in_a_put_of_a_new_key_loses_nothing() {
    panic_everywhere("put", 500, || growing(400), |writer| put(writer, 450, 0, 30));
}

#[test]
fn a_panic_anywhere_in_a_replacing_put_loses_nothing() {
    panic_everywhere("replace", 500, || growing(400), |writer| put(writer, 7, 1, 30));
}

#[test]
fn a_panic_anywhere_in_a_put_over_several_blocks_loses_nothing() {
    panic_everywhere("divided", 500, || growing(400), |writer| put(writer, 7, 1, 13_000));
}

#[test]
fn a_panic_anywhere_in_deletes_loses_nothing_else() {
    let change: Change = |writer| {
        // Neighbours in one chain, so that groups are given back.
        (0..40).for_each(|number| {
            writer.delete(&key(number), NOW);
            put(writer, number, 3, 8);
        });
    };
    panic_everywhere("delete", 500, || growing(447), change);
}

#[test]
fn a_panic_anywhere_while_the_index_grows_loses_nothing() {
    let change: Change = |writer| (0..70).for_each(|number| put(writer, 447 + number, 0, 8));
    panic_everywhere("grow", 600, || growing(440), change);
}

#[test]
fn a_panic_anywhere_while_evicting_and_cleaning_loses_nothing_published() {
    let change: Change = |writer| (0..40).for_each(|number| put(writer, 9_000 + number, 0, 90));
    panic_everywhere("evict", 5_000, || full(5_000), change);
}

#[test]
fn a_panic_anywhere_in_a_tick_loses_nothing() {
    let make = || {
        let table = table(512 * 1024);
        let mut writer = table.writer().expect("no other writer");
        for number in 0..800 {
            let expires_at = (number % 5 != 0).then_some(Millis(50));
            let value = value(number, 0, 40);
            writer.put(&key(number), &NewEntry { expires_at, ..NewEntry::of(&value) }, NOW);
        }
        drop(writer);
        table
    };
    let change: Change = |writer| {
        (0..4).for_each(|_| {
            writer.tick(Millis(60));
        });
    };
    let mut steps = 0;
    loop {
        let table = make();
        let mut writer = table.writer().expect("no other writer");
        fault::panic_after(Some(steps));
        let outcome = catch_unwind(AssertUnwindSafe(|| change(&mut writer)));
        fault::panic_after(None);
        drop(writer);
        drop(table.writer());
        let kept = (0..800).filter(|n| table.get(&key(*n), Millis(60)).is_some()).count();
        assert_eq!(kept, 160, "panic at step {steps}");
        audit(&table, &format!("tick, panic at step {steps}"));
        if outcome.is_ok() {
            return;
        }
        steps += 1 + steps / 40;
    }
}

#[test]
fn a_writer_that_is_used_on_after_a_panic_repairs_the_table_itself() {
    let table = growing(400);
    let mut writer = table.writer().expect("no other writer");
    fault::panic_after(Some(5));
    assert!(catch_unwind(AssertUnwindSafe(|| put(&mut writer, 3, 9, 40))).is_err());
    put(&mut writer, 4, 9, 40);
    drop(writer);
    audit(&table, "used on");
    assert_eq!(see(&table, 400).get(&4), Some(&value(4, 9, 40)));
}
