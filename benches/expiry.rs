//! A million entries that end in the same second: the longest tick, and how long writes take
//! meanwhile. `cargo bench --bench expiry`

#![allow(clippy::print_stdout, reason = "a bench prints, and stops where it cannot go on")]

use std::error::Error;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use smache::entry::{Key, Millis};
use smache::table::{Limit, NewEntry, Table, TableConfig};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ENTRIES: u64 = 1_000_000;
const MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// Writes between two ticks, and the time that passes in the table meanwhile.
const PUTS_PER_TICK: u64 = 20;
const TICK_MILLIS: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let config = TableConfig { memory_bytes: MEMORY_BYTES, seed: 1, limit: Limit::Memory };
    let table = Table::new(&config);
    let mut writer = table.writer().ok_or("a new table has no writer")?;
    let value = [7; 64];
    for number in 0..ENTRIES {
        let new =
            NewEntry { expires_at: Some(Millis(1_000 + number % 1_000)), ..NewEntry::of(&value) };
        writer.put(&Key::new(format!("{number:016}"))?, &new, Millis(1));
    }
    let idle = puts(&mut writer, ENTRIES, 200_000, Millis(2))?;
    let (mut ticks, mut busy) = (Vec::new(), Vec::new());
    let mut now = 2_000;
    while table.reader().stats().expirations < ENTRIES {
        now += TICK_MILLIS;
        let begin = Instant::now();
        writer.tick(Millis(now));
        ticks.push(begin.elapsed());
        let first = ENTRIES * 2 + ticks.len() as u64 * PUTS_PER_TICK;
        busy.extend(puts(&mut writer, first, PUTS_PER_TICK, Millis(now))?);
    }
    println!("{ENTRIES} entries gone after {} ticks", ticks.len());
    print("tick", ticks);
    print("put before", idle);
    print("put meanwhile", busy);
    Ok(())
}

/// Puts new entries and returns how long each took.
fn puts(
    writer: &mut smache::table::TableWriter,
    first: u64,
    count: u64,
    now: Millis,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut durations = Vec::with_capacity(count as usize);
    for number in first..first + count {
        let key = Key::new(format!("{number:016}"))?;
        let begin = Instant::now();
        writer.put(&key, &NewEntry::of(&[3; 64]), now);
        durations.push(begin.elapsed());
    }
    Ok(durations)
}

fn print(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: median {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
