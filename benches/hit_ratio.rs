//! Hit ratios on traces: `cargo bench --bench hit_ratio -- TRACE… [--capacity 1%,5%,20%] [--csv]`.
//!
//! A trace is text, plain or gzip, one key per line in the order of access; every line is a GET,
//! and on a miss a PUT. A number in a second column is the size of the value, and gives a second
//! table where the capacity is in bytes. Without a trace, made-up workloads are measured.
//!
//! Ours is the real table, bounded in entries or in bytes of values instead of memory.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints, and stops where it cannot go on"
)]

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use smache::entry::{Key, Millis};
use smache::table::{Limit, NewEntry, Table, TableConfig};

const CAPACITIES: &str = "1%,5%,20%";
/// Memory of our table for each entry it may hold, so that only the bound in question counts.
const ROOM_BYTES: usize = 256;
const NEVER: usize = usize::MAX;

/// Accesses by key number, and the size of each key's value.
struct Trace {
    name: String,
    accesses: Vec<u32>,
    sizes: Vec<u64>,
    has_sizes: bool,
}

struct Options {
    traces: Vec<String>,
    capacities: Vec<String>,
    is_csv: bool,
}

/// The share of hits of one cache, in percent.
type Ratio = f64;

/// A cache under test: whether an access hits, after which the key is in the cache.
trait Cache {
    fn access(&mut self, at: usize, key: u32, size: u64) -> bool;
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options();
    let traces = match options.traces.is_empty() {
        true => made_up(),
        false => options.traces.iter().map(|path| read(path)).collect::<Result<_, _>>()?,
    };
    if options.is_csv {
        println!("trace,capacity_pct,capacity,ours,lru,moka,quick_cache,belady");
    }
    let mut sums = [0.0; 5];
    let mut rows = 0.0;
    for trace in &traces {
        for in_bytes in [false, true] {
            if in_bytes && !trace.has_sizes {
                continue;
            }
            if !options.is_csv {
                heading(trace, in_bytes);
            }
            for capacity in &options.capacities {
                let ratios = measure(trace, capacity, in_bytes, options.is_csv);
                sums.iter_mut().zip(ratios).for_each(|(sum, ratio)| *sum += ratio);
                rows += 1.0;
            }
        }
    }
    if !options.is_csv && 1.0 < rows {
        let means = sums.map(|sum| format!("{:>11.2}", sum / rows));
        println!("\n{:>20}{}", "mean", means.join(""));
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options {
        traces: Vec::new(),
        capacities: CAPACITIES.split(',').map(String::from).collect(),
        is_csv: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // What cargo itself adds.
            "--bench" => {}
            "--csv" => options.is_csv = true,
            "--capacity" => {
                let list = arguments.next().unwrap_or_default();
                options.capacities = list.split(',').map(String::from).collect();
            }
            _ => options.traces.push(argument),
        }
    }
    options
}

fn heading(trace: &Trace, in_bytes: bool) {
    let unit = if in_bytes { "bytes" } else { "entries" };
    let (accesses, keys) = (trace.accesses.len(), trace.sizes.len());
    println!("\n{}: {accesses} accesses, {keys} keys, capacity in {unit}", trace.name);
    let names = ["ours", "LRU", "moka", "quick_cache", "Belady"].map(|name| format!("{name:>11}"));
    println!("{:>8}{:>12}{}", "share", "capacity", names.join(""));
}

/// One row: the ratios of all caches at one capacity.
fn measure(trace: &Trace, capacity: &str, in_bytes: bool, is_csv: bool) -> [Ratio; 5] {
    let sizes: Vec<u64> = match in_bytes {
        true => trace.sizes.clone(),
        false => vec![1; trace.sizes.len()],
    };
    let whole: u64 = sizes.iter().sum();
    let most = match capacity.strip_suffix('%').and_then(|share| share.parse::<f64>().ok()) {
        Some(share) => (whole as f64 * share / 100.0).round() as u64,
        None => capacity.parse().unwrap_or_else(|_| panic!("capacity {capacity}: not a number")),
    };
    let most = most.max(1);
    let keys = sizes.len();
    let caches: [Box<dyn Cache>; 5] = [
        Box::new(Ours::new(most, in_bytes)),
        Box::new(Lru::new(most, keys)),
        Box::new(Moka::new(most)),
        Box::new(Quick::new(most, keys)),
        Box::new(Belady::new(most, &trace.accesses, keys)),
    ];
    let ratios = caches.map(|mut cache| {
        let hit = |(at, key): (usize, &u32)| cache.access(at, *key, sizes[*key as usize]);
        let hits = trace.accesses.iter().enumerate().map(hit).filter(|is_hit| *is_hit).count();
        hits as f64 * 100.0 / trace.accesses.len() as f64
    });
    let share = most as f64 * 100.0 / whole as f64;
    if is_csv {
        let name = format!("{}{}", trace.name, if in_bytes { ":bytes" } else { "" });
        let ratios = ratios.map(|ratio| format!("{ratio:.3}"));
        println!("{name},{share:.3},{most},{}", ratios.join(","));
    } else {
        let ratios = ratios.map(|ratio| format!("{ratio:>11.2}"));
        println!("{share:>7.2}%{most:>12}{}", ratios.join(""));
    }
    ratios
}

struct Ours {
    reader: smache::table::TableReader,
    writer: smache::table::TableWriter,
    value: Vec<u8>,
}

impl Ours {
    fn new(most: u64, in_bytes: bool) -> Self {
        let (limit, bytes) = match in_bytes {
            true => (Limit::ValueBytes(most), most as usize * 4),
            false => (Limit::Entries(most), most as usize * ROOM_BYTES),
        };
        let memory_bytes = bytes + 8 * 1024 * 1024;
        let table = Table::new(&TableConfig { memory_bytes, seed: 1, limit });
        let writer = table.writer().expect("a new table has no writer");
        Self { reader: table.reader(), writer, value: Vec::new() }
    }
}

impl Cache for Ours {
    fn access(&mut self, _: usize, key: u32, size: u64) -> bool {
        let key = Key::new(key.to_le_bytes().to_vec()).expect("four bytes");
        if self.reader.get(&key, Millis(1)).is_some() {
            return true;
        }
        self.value.resize(size as usize, 0);
        self.writer.put(&key, &NewEntry::of(&self.value), Millis(1));
        false
    }
}

/// Least recently used, by the time of the last access.
struct Lru {
    most: u64,
    used: u64,
    order: BTreeSet<(usize, u32)>,
    last: Vec<usize>,
    sizes: Vec<u64>,
}

impl Lru {
    fn new(most: u64, keys: usize) -> Self {
        let (last, sizes) = (vec![NEVER; keys], vec![0; keys]);
        Self { most, used: 0, order: BTreeSet::new(), last, sizes }
    }
}

impl Cache for Lru {
    fn access(&mut self, at: usize, key: u32, size: u64) -> bool {
        let last = std::mem::replace(&mut self.last[key as usize], at);
        let is_hit = self.order.remove(&(last, key));
        self.order.insert((at, key));
        if !is_hit {
            self.sizes[key as usize] = size;
            self.used += size;
        }
        while self.most < self.used {
            let Some((_, key)) = self.order.pop_first() else { break };
            self.used -= self.sizes[key as usize];
        }
        is_hit
    }
}

struct Moka(moka::sync::Cache<u32, u32>);

impl Moka {
    fn new(most: u64) -> Self {
        let weigher = |_: &u32, size: &u32| *size;
        Self(moka::sync::Cache::builder().max_capacity(most).weigher(weigher).build())
    }
}

impl Cache for Moka {
    fn access(&mut self, _: usize, key: u32, size: u64) -> bool {
        let is_hit = self.0.get(&key).is_some();
        if !is_hit {
            self.0.insert(key, size as u32);
        }
        is_hit
    }
}

#[derive(Clone)]
struct BySize;

impl quick_cache::Weighter<u32, u64> for BySize {
    fn weight(&self, _: &u32, size: &u64) -> u64 {
        *size
    }
}

struct Quick(quick_cache::unsync::Cache<u32, u64, BySize>);

impl Quick {
    fn new(most: u64, keys: usize) -> Self {
        let items = keys.min(usize::try_from(most).unwrap_or(keys));
        Self(quick_cache::unsync::Cache::with_weighter(items, most, BySize))
    }
}

impl Cache for Quick {
    fn access(&mut self, _: usize, key: u32, size: u64) -> bool {
        let is_hit = self.0.get(&key).is_some();
        if !is_hit {
            self.0.insert(key, size);
        }
        is_hit
    }
}

/// Drops what will be used last: the optimum for equal sizes, close to it for others. What is never
/// used again, the newcomer included, goes first.
struct Belady {
    most: u64,
    used: u64,
    next: Vec<usize>,
    order: BTreeSet<(usize, u32)>,
    now: Vec<usize>,
    sizes: Vec<u64>,
}

impl Belady {
    fn new(most: u64, accesses: &[u32], keys: usize) -> Self {
        let mut seen = vec![NEVER; keys];
        let mut next = vec![NEVER; accesses.len()];
        for (at, key) in accesses.iter().enumerate().rev() {
            next[at] = std::mem::replace(&mut seen[*key as usize], at);
        }
        let (now, sizes) = (vec![NEVER; keys], vec![0; keys]);
        Self { most, used: 0, next, order: BTreeSet::new(), now, sizes }
    }
}

impl Cache for Belady {
    fn access(&mut self, at: usize, key: u32, size: u64) -> bool {
        let is_hit = self.order.remove(&(self.now[key as usize], key));
        self.now[key as usize] = self.next[at];
        self.order.insert((self.next[at], key));
        if !is_hit {
            self.sizes[key as usize] = size;
            self.used += size;
        }
        while self.most < self.used {
            let Some((_, key)) = self.order.pop_last() else { break };
            self.used -= self.sizes[key as usize];
        }
        is_hit
    }
}

fn read(path: &str) -> Result<Trace, Box<dyn Error>> {
    let file = |path: &str| File::open(path).map_err(|error| format!("{path}: {error}"));
    let mut magic = [0; 2];
    let is_gzip = file(path)?.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
    let reader: Box<dyn Read> = match is_gzip {
        true => Box::new(MultiGzDecoder::new(file(path)?)),
        false => Box::new(file(path)?),
    };
    let name = path.rsplit('/').next().unwrap_or(path).split('.').next().unwrap_or(path);
    let lines: Vec<String> = BufReader::new(reader)
        .split(b'\n')
        .map(|line| line.map(|line| String::from_utf8_lossy(&line).trim().to_owned()))
        .filter(|line| !line.as_ref().is_ok_and(String::is_empty))
        .collect::<Result<_, _>>()?;
    let parted = |line: &str| {
        let (key, size) = line.rsplit_once([' ', ',', '\t'])?;
        Some((key.trim_end_matches([' ', ',', '\t']).to_owned(), size.parse::<u64>().ok()?))
    };
    let has_sizes = !lines.is_empty() && lines.iter().all(|line| parted(line).is_some());
    let accesses = lines.into_iter().map(|line| match parted(&line) {
        Some((key, size)) if has_sizes => (key, size),
        Some(_) | None => (line, 1),
    });
    Ok(number(name, accesses, has_sizes))
}

/// Gives the keys numbers in the order in which they come. The first size of a key counts.
fn number(name: &str, accesses: impl Iterator<Item = (String, u64)>, has_sizes: bool) -> Trace {
    let mut numbers = HashMap::new();
    let mut sizes = Vec::new();
    let number = |(key, size)| {
        let next = numbers.len() as u32;
        *numbers.entry(key).or_insert_with(|| {
            sizes.push(size);
            next
        })
    };
    let accesses = accesses.map(number).collect();
    Trace { name: name.to_owned(), accesses, sizes, has_sizes }
}

/// The key of the nth access, from a distribution that is asked for by its skew.
type Next = fn(u64, &mut dyn FnMut(f64) -> u64) -> u64;

/// Keys of a made-up workload.
const KEYS: u64 = 40_000;

/// Workloads that nobody recorded, the same in each run.
fn made_up() -> Vec<Trace> {
    const ACCESSES: u64 = 400_000;
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut zipf = move |skew: f64| {
        // Inverse of the continuous distribution, good enough for a made-up workload.
        let share = (random() >> 11) as f64 / (1_u64 << 53) as f64;
        let power = 1.0 - skew;
        let most = (KEYS as f64).powf(power);
        (((most - 1.0) * share + 1.0).powf(1.0 / power) as u64).min(KEYS) - 1
    };
    let mut make = |name: &str, next: Next| {
        let keys: Vec<String> = (0..ACCESSES).map(|at| next(at, &mut zipf).to_string()).collect();
        number(name, keys.into_iter().map(|key| (key, 1)), false)
    };
    vec![
        make("zipf-0.8", |_, zipf| zipf(0.8)),
        make("zipf-1.1", |_, zipf| zipf(1.1)),
        make("zipf-and-scans", |at, zipf| match at / 5_000 % 4 {
            0 => KEYS + at,
            _ => zipf(0.9),
        }),
        make("loop", |at, _| at % (KEYS / 4)),
        make("shifting", |at, zipf| (zipf(1.0001) + at / 20_000 * 997) % KEYS),
    ]
}
