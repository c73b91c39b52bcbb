//! Resident memory per entry: `cargo bench --bench memory [-- COUNT…]`; and what stays resident under
//! a mixed load: `cargo bench --bench memory -- churn [SECONDS]`.
//!
//! Every measurement has a process of its own, with the allocator of the server.

#![allow(clippy::print_stdout, reason = "a bench prints, and stops where it cannot go on")]

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use smache::entry::{Key, Millis};
use smache::table::{Limit, NewEntry, Table, TableConfig};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 64;
const CHURN_MEMORY_BYTES: usize = 256 * 1024 * 1024;
const CHURN: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["alone", "churn", seconds] => churn(Duration::from_secs(seconds.parse()?)),
        ["alone", count] => fill(count.parse()?),
        ["churn", ..] => {
            let seconds = CHURN.as_secs().to_string();
            alone(&["churn", arguments.get(1).map_or(&seconds, String::as_str)])
        }
        [] => alone(&["1000000"]).and_then(|()| alone(&["10000000"])),
        _ => arguments.iter().try_for_each(|count| alone(&[count])),
    }
}

fn alone(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(std::env::current_exe()?).arg("alone").args(arguments).status()?;
    if status.success() { Ok(()) } else { Err(format!("{arguments:?}: {status}").into()) }
}

/// Bytes of this process in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.ok_or("no VmRSS")? * 1024)
}

fn fill(count: u64) -> Result<(), Box<dyn Error>> {
    let empty = resident()?;
    // Room for all of them, so that nothing is evicted.
    let memory_bytes = count as usize * 160 + 64 * 1024 * 1024;
    let table = Table::new(&TableConfig { memory_bytes, seed: 1, limit: Limit::Memory });
    let mut writer = table.writer().ok_or("a new table has no writer")?;
    let mut value = [0; VALUE_BYTES];
    for number in 0..count {
        let key = format!("{number:0KEY_BYTES$}");
        value[..8].copy_from_slice(&number.to_le_bytes());
        writer.put(&Key::new(key)?, &NewEntry::of(&value), Millis(1));
    }
    let stats = table.reader().stats();
    let resident = resident()? - empty;
    assert_eq!(stats.entries, count);
    println!(
        "{count} entries of {KEY_BYTES} + {VALUE_BYTES} bytes: {:.1} bytes resident each \
         ({:.1} counted by the table)",
        resident as f64 / count as f64,
        stats.used_bytes as f64 / count as f64,
    );
    Ok(())
}

fn churn(duration: Duration) -> Result<(), Box<dyn Error>> {
    let empty = resident()?;
    let config = TableConfig { memory_bytes: CHURN_MEMORY_BYTES, seed: 1, limit: Limit::Memory };
    let table = Table::new(&config);
    let reader = table.reader();
    let mut writer = table.writer().ok_or("a new table has no writer")?;
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    let value: Vec<u8> = (0..2 << 20).map(|at: u32| at as u8).collect();
    let begin = Instant::now();
    let (mut most, mut operations, mut now) = (0, 0_u64, 1);
    while begin.elapsed() < duration {
        // From mostly small to mostly large and back, every few seconds.
        let phase = begin.elapsed().as_secs() / 4 % 5;
        for _ in 0..256 {
            let key = Key::new(random(200_000).to_string())?;
            let len = match phase {
                0 => 1 + random(100),
                1 => 1 + random(1 << 20),
                _ => 1 << random(20),
            };
            match random(16) {
                0 => drop(writer.delete(&key, Millis(now))),
                1..4 => drop(reader.get(&key, Millis(now))),
                kind => {
                    let expires_at = (kind < 8).then_some(Millis(now + random(3_000)));
                    let new = NewEntry { expires_at, ..NewEntry::of(&value[..len as usize]) };
                    writer.put(&key, &new, Millis(now));
                }
            }
        }
        operations += 256;
        now = 1 + begin.elapsed().as_millis() as u64;
        writer.tick(Millis(now));
        most = most.max(resident()? - empty);
        let stats = reader.stats();
        assert!(stats.used_bytes <= stats.limit_bytes, "{stats:?}");
    }
    let limit = CHURN_MEMORY_BYTES as f64;
    println!(
        "{operations} mixed operations, 1 B to 1 MiB: at most {:.1} MiB resident with a limit of \
         {:.0} MiB; at the end {:?}",
        most as f64 / 1_048_576.0,
        limit / 1_048_576.0,
        reader.stats(),
    );
    Ok(())
}
