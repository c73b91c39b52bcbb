//! The table's speed: `cargo bench --bench table`.
//!
//! Reads are of random keys out of far more memory than the processor's cache, beside the same from
//! a papaya map: its `pin().get()` and a copy of the value. Figures are per operation and thread.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a bench prints, and stops where it cannot go on"
)]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use smache::entry::{Key, Millis};
use smache::table::{Limit, NewEntry, Table, TableConfig, TableReader};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const MILLION: u64 = 1_000_000;
const KEY_BYTES: usize = 16;
const NOW: Millis = Millis(1);
/// Keys made at once.
const BATCH: u64 = 256;
/// Memory of a shard as it is by default.
const SHARD_BYTES: usize = 64 * 1024 * 1024;

type Map = papaya::HashMap<Bytes, Bytes, Xxh3DefaultBuilder>;

/// Names of keys one after the other, so that making up a key costs neither time nor memory.
#[derive(Clone, Copy)]
struct Names(&'static [u8]);

impl Names {
    /// The names of `count` random keys out of `keys`.
    fn random(count: u64, keys: u64) -> Self {
        let mut state = 88_172_645_463_325_252_u64;
        let mut names = Vec::with_capacity(count as usize * KEY_BYTES);
        for _ in 0..count {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            names.extend_from_slice(name(state % keys).as_bytes());
        }
        Self(names.leak())
    }

    fn bytes(self, at: u64) -> Bytes {
        let count = self.0.len() / KEY_BYTES;
        let from = at as usize % count * KEY_BYTES;
        Bytes::from_static(&self.0[from..from + KEY_BYTES])
    }

    fn key(self, at: u64) -> Key {
        Key::new(self.bytes(at)).expect("16 bytes")
    }
}

fn name(number: u64) -> String {
    format!("{number:0KEY_BYTES$}")
}

fn value(number: u64, len: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(len).collect()
}

fn table(keys: u64, len: usize) -> Arc<Table> {
    let memory_bytes = keys as usize * (len + 96) + SHARD_BYTES;
    let table = Table::new(&TableConfig { memory_bytes, seed: 1, limit: Limit::Memory });
    let mut writer = table.writer().expect("a new table has no writer");
    for number in 0..keys {
        let key = Key::new(name(number)).expect("16 bytes");
        writer.put(&key, &NewEntry::of(&value(number, len)), NOW);
    }
    drop(writer);
    table
}

/// Runs `each` for `count` numbers in every thread, and returns the time of one thread.
fn in_threads(threads: u64, count: u64, each: impl Fn(u64) + Sync) -> Duration {
    let begin = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let each = &each;
            scope.spawn(move || (0..count).for_each(|at| each(at + thread * MILLION / 2)));
        }
    });
    begin.elapsed()
}

fn reads(criterion: &mut Criterion) {
    for len in [64, 1024] {
        let names = Names::random(MILLION, MILLION);
        let reader = table(MILLION, len).reader();
        let map = Map::with_hasher(Xxh3DefaultBuilder::new());
        for number in 0..MILLION {
            map.pin().insert(Bytes::from(name(number)), Bytes::from(value(number, len)));
        }
        let mut group = criterion.benchmark_group(format!("get {len} B of 1 M"));
        for threads in [1, 2] {
            group.bench_function(format!("table, {threads} threads"), |bencher| {
                bencher
                    .iter_custom(|count| in_threads(threads, count, |at| get(&reader, names, at)));
            });
            group.bench_function(format!("papaya, {threads} threads"), |bencher| {
                bencher.iter_custom(|count| {
                    in_threads(threads, count, |at| {
                        let found =
                            map.pin().get(&names.bytes(at)).map(|it| Bytes::copy_from_slice(it));
                        assert!(std::hint::black_box(found).is_some());
                    })
                });
            });
        }
    }
}

fn get(reader: &TableReader, names: Names, at: u64) {
    let found = reader.get(&names.key(at), NOW);
    assert!(std::hint::black_box(found).is_some());
}

fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get 64 B");
    for keys in [MILLION, 10 * MILLION] {
        let names = Names::random(MILLION, keys);
        let reader = table(keys, 64).reader();
        group.bench_function(format!("of {} M", keys / MILLION), |bencher| {
            bencher.iter_custom(|count| in_threads(1, count, |at| get(&reader, names, at)));
        });
    }
}

fn writes(criterion: &mut Criterion) {
    let config = TableConfig { memory_bytes: SHARD_BYTES, seed: 1, limit: Limit::Memory };
    let table = Table::new(&config);
    let mut writer = table.writer().expect("a new table has no writer");
    let mut next = 0;
    // Keys are made in small batches, outside of the time: a server has them in its cache as well.
    let mut put = |count: u64, keys: u64| {
        let (end, mut took) = (next + count, Duration::ZERO);
        while next < end {
            let numbers = next..end.min(next + BATCH);
            next = numbers.end;
            let key = |number| Key::new(name(number % keys)).expect("16 bytes");
            let batch: Vec<Key> = numbers.map(key).collect();
            let begin = Instant::now();
            for (at, key) in batch.iter().enumerate() {
                writer.put(key, &NewEntry::of(&[at as u8; 64]), NOW);
            }
            took += begin.elapsed();
        }
        took
    };
    // Full, and then some: every put evicts.
    put(2 * MILLION, u64::MAX);
    assert!(0 < table.reader().stats().evictions);
    let mut group = criterion.benchmark_group("put 64 B");
    group.bench_function("of a new key, evicting", |bencher| {
        bencher.iter_custom(|count| put(count, u64::MAX));
    });
    group.bench_function("over another one", |bencher| {
        bencher.iter_custom(|count| put(count, MILLION / 10));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = reads, growth, writes
}
criterion_main!(benches);
