//! Many readers beside a writer that recycles all the time: every value is one that was written
//! whole, under the key it was asked for, and what is always there is always found.

#![allow(clippy::expect_used, reason = "a helper of a test that fails, fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use smache::entry::{Key, Millis};
use smache::table::{Cursor, Limit, NewEntry, Table, TableConfig};

const NOW: Millis = Millis(1);
const READERS: u64 = 3;

fn table(memory_bytes: usize) -> Arc<Table> {
    Table::new(&TableConfig { memory_bytes, seed: 5, limit: Limit::Memory })
}

fn key(number: u64) -> Key {
    Key::new(number.to_le_bytes().to_vec()).expect("eight bytes")
}

/// Words that depend on each other, the key and the round, so that no mixture of two passes.
fn value(number: u64, round: u64, words: u64) -> Vec<u8> {
    let word = |at: u64| number.wrapping_mul(31).wrapping_add(round).wrapping_mul(at + 1);
    let head = [number, round, words];
    let body = (0..words).map(word);
    head.into_iter().chain(body).flat_map(u64::to_le_bytes).collect()
}

fn check(number: u64, found: &[u8]) {
    let word = |at: usize| {
        let bytes = found.get(at * 8..at * 8 + 8).expect("a value has its head");
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    assert_eq!(word(0), number, "the value of another key");
    assert!(found == value(number, word(1), word(2)), "a torn value under key {number}");
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn readers_see_whole_values_while_the_writer_recycles_constantly() {
    let table = table(512 * 1024);
    let is_over = AtomicBool::new(false);
    let hits = AtomicU64::new(0);
    thread::scope(|scope| {
        for reader_number in 0..READERS {
            let reader = table.reader();
            let (is_over, hits) = (&is_over, &hits);
            scope.spawn(move || {
                let mut state = 77 + reader_number;
                while !is_over.load(Ordering::Relaxed) {
                    let number = random(&mut state) % 500;
                    if let Some(entry) = reader.get(&key(number), NOW) {
                        check(number, &entry.value);
                        hits.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut writer = table.writer().expect("no other writer");
        let mut state = 99;
        for round in 0..200_000 {
            let number = random(&mut state) % 500;
            match random(&mut state) % 16 {
                0 => {
                    writer.delete(&key(number), NOW);
                }
                // Over several blocks of 4 KiB.
                1 => {
                    let value = value(number, round, 600 + random(&mut state) % 2_000);
                    writer.put(&key(number), &NewEntry::of(&value), NOW);
                }
                _ => {
                    let value = value(number, round, random(&mut state) % 200);
                    writer.put(&key(number), &NewEntry::of(&value), NOW);
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(0 < hits.load(Ordering::Relaxed));
    assert!(0 < table.reader().stats().evictions);
}

#[test]
fn what_is_always_there_is_always_found_while_the_index_grows_and_chains_move() {
    let table = table(64 * 1024 * 1024);
    let is_over = AtomicBool::new(false);
    let mut writer = table.writer().expect("no other writer");
    for number in 0..1_000 {
        writer.put(&key(number), &NewEntry::of(&value(number, 0, 2)), NOW);
    }
    thread::scope(|scope| {
        for reader_number in 0..READERS {
            let reader = table.reader();
            let is_over = &is_over;
            scope.spawn(move || {
                let mut state = 7 + reader_number;
                while !is_over.load(Ordering::Relaxed) {
                    if reader_number == 0 {
                        let mut seen = vec![false; 1_000];
                        let mut cursor = Some(Cursor::default());
                        while let Some(at) = cursor {
                            let step = reader.scan_records(at, 100, NOW, |_| true);
                            for record in step.found {
                                let Some(entry) = record.entry() else { continue };
                                let key = record.key();
                                let bytes = key.as_bytes().try_into().expect("eight bytes");
                                let number = u64::from_le_bytes(bytes);
                                check(number, &entry.value);
                                if let Some(seen) = seen.get_mut(number as usize) {
                                    *seen = true;
                                }
                            }
                            cursor = step.next;
                        }
                        assert!(seen.iter().all(|seen| *seen), "a scan missed an entry");
                    }
                    let number = random(&mut state) % 1_000;
                    let entry = reader.get(&key(number), NOW);
                    check(number, &entry.expect("it is always there").value);
                }
            });
        }
        let mut state = 3;
        for round in 0..4 {
            for number in 0..100_000 {
                let number = 1_000 + number;
                writer.put(&key(number), &NewEntry::of(&value(number, round, 1)), NOW);
                let again = random(&mut state) % 1_000;
                writer.put(&key(again), &NewEntry::of(&value(again, round, 2)), NOW);
            }
            for number in 0..100_000 {
                writer.delete(&key(1_000 + number), NOW);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(table.reader().stats().evictions, 0);
}
