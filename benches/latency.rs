//! How long a read takes at worst while the writer evicts at full speed, and while it rests:
//! `cargo bench --bench latency`

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints, and stops where it cannot go on"
)]

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use smache::entry::{Key, Millis};
use smache::table::{Limit, NewEntry, Table, TableConfig, TableReader};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const MEMORY_BYTES: usize = 64 * 1024 * 1024;
const KEYS: u64 = 550_000;
/// Of the first keys, which the main queue keeps, so that nearly all reads hit.
const KEYS_READ: u64 = 400_000;
const READS: u64 = 1_000_000;
const ROUNDS: usize = 3;
const NOW: Millis = Millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let config = TableConfig { memory_bytes: MEMORY_BYTES, seed: 1, limit: Limit::Memory };
    let table = Table::new(&config);
    let mut writer = table.writer().ok_or("a new table has no writer")?;
    let mut next = 0;
    let mut put_next = || {
        next += 1;
        writer.put(&key(next), &NewEntry::of(&[7; 64]), NOW);
    };
    (0..3 * KEYS).for_each(|_| put_next());
    for _ in 0..ROUNDS {
        print("reads, writer idle", reads(&table.reader()));
        let is_over = AtomicBool::new(false);
        let durations = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let durations = reads(&table.reader());
                is_over.store(true, Ordering::Relaxed);
                durations
            });
            let (begin, evicted) = (Instant::now(), table.reader().stats().evictions);
            while !is_over.load(Ordering::Relaxed) {
                put_next();
            }
            let evicted = table.reader().stats().evictions - evicted;
            let rate = evicted as f64 / begin.elapsed().as_secs_f64();
            (reader.join(), rate)
        });
        print("reads, writer evicting", durations.0.map_err(|_| "a reader panicked")?);
        println!("    {:.2} M evictions a second meanwhile", durations.1 / 1e6);
    }
    Ok(())
}

fn key(number: u64) -> Key {
    Key::new(format!("{number:016}")).expect("16 bytes")
}

fn reads(reader: &TableReader) -> Vec<Duration> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut durations = Vec::with_capacity(READS as usize);
    for _ in 0..READS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let key = key(1 + state % KEYS_READ);
        let begin = Instant::now();
        let found = reader.get(&key, NOW);
        durations.push(begin.elapsed());
        std::hint::black_box(found);
    }
    durations
}

fn print(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize];
    let (median, p99, p999) = (at(0.5), at(0.99), at(0.999));
    println!("{what}: median {median:?}, p99 {p99:?}, p99.9 {p999:?}, p99.99 {:?}", at(0.9999));
}
