//! Remote reads through a link: commands a second, and the CPU time that both processes take for one.
//!
//! The second process is this program once more. `cargo bench --bench link`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::future::ready;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use smache::clock;
use smache::command::{Command, Get, Reply};
use smache::entry::{Key, MediaType, Tags};
use smache::member::{Boot, Member, NameTaken, NodeId, NodeName, Standing};
use smache::peer::message::{Received, Request, Response};
use smache::peer::{Admission, Answer, Answering, Link, Transport, TransportConfig};
use smache::supervision::Supervisor;
use smache::table::{NewEntry, Table, TableConfig, TableReader};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 100_000;
const ROUND: Duration = Duration::from_secs(3);
const SECOND_PROCESS: &str = "SMACHE_BENCH_LINK";

struct Open;

impl Admission for Open {
    fn admit(&self, _peer: &Member) -> Result<u64, NameTaken> {
        Ok(0)
    }
}

/// Answers reads from a table.
struct Reader(TableReader);

impl Answer for Reader {
    fn answer(&self, _from: NodeId, request: Request) -> Answering {
        let Request::Run(commands, _) = request else {
            return Box::pin(ready(Response::Ok));
        };
        let now = clock::now();
        let read = |command: Received| {
            let key = command.as_ref().ok().and_then(|command| command.keys().first());
            Ok(Reply::Entry(key.and_then(|key| self.0.get(key, now))))
        };
        Box::pin(ready(Response::Ran(commands.into_iter().map(read).collect())))
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match std::env::var(SECOND_PROCESS) {
        Ok(_) => runtime.block_on(serve()),
        Err(_) => runtime.block_on(measure()),
    }
}

async fn start(name: &str, boot: u64) -> Transport {
    let table = Table::new(&TableConfig::new(1 << 26));
    let mut writer = table.writer().unwrap();
    let value = Bytes::from_static(&[7; 64]);
    for n in 0..KEYS {
        let new = NewEntry {
            value: &value,
            media: &MediaType::Bytes,
            expires_at: None,
            tags: Tags::none(),
        };
        writer.put(&key(n), &new, clock::now());
    }
    let me = Member {
        id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) },
        incarnation: 0,
        addr: String::new(),
        http: String::new(),
        weight: 100,
        standing: Standing::Joining,
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = TransportConfig { listen, me, cluster: "bench".to_owned(), cookie: None };
    let supervisor = Supervisor::start().await.unwrap();
    let answer = Arc::new(Reader(table.reader()));
    Transport::start(config, Arc::new(Open), answer, supervisor).await.unwrap()
}

fn key(n: usize) -> Key {
    Key::new(format!("key:{n:012}")).unwrap()
}

async fn serve() {
    let transport = start("second@bench", 2).await;
    println!("{}", transport.local_addr());
    std::future::pending::<()>().await;
}

async fn measure() {
    let mut second = Process::new(std::env::current_exe().unwrap())
        .env(SECOND_PROCESS, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut addr = String::new();
    BufReader::new(second.stdout.take().unwrap()).read_line(&mut addr).unwrap();
    let transport = start("first@bench", 1).await;
    let dialed = transport.dial(addr.trim().parse().unwrap()).await.unwrap();
    let link = transport.link(&dialed.peer.id).unwrap();
    println!(
        "{:>8} {:>12} {:>10} {:>10} {:>10}",
        "callers", "commands/s", "p50 us", "here us", "both us"
    );
    for callers in [1, 16, 64, 256, 1024] {
        round(&link, &second, callers).await;
    }
    second.kill().unwrap();
    second.wait().unwrap();
}

async fn round(link: &Link, second: &Child, callers: usize) {
    let is_over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let cpu = |pid: u32| cpu_us(pid);
    let (here, there) = (cpu(std::process::id()), cpu(second.id()));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (link, is_over, count) = (link.clone(), is_over.clone(), count.clone());
            tokio::spawn(async move { call(&link, caller, &is_over, &count).await })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    is_over.store(true, Ordering::Relaxed);
    let mut samples = vec![];
    for task in tasks {
        samples.extend(task.await.unwrap());
    }
    samples.sort_unstable();
    let took = began.elapsed();
    let count = count.load(Ordering::Relaxed) as f64;
    let here = (cpu(std::process::id()) - here) as f64;
    let both = here + (cpu(second.id()) - there) as f64;
    println!(
        "{callers:>8} {:>12.0} {:>10} {:>10.2} {:>10.2}",
        count / took.as_secs_f64(),
        samples[samples.len() / 2],
        here / count,
        both / count,
    );
}

/// Reads until it is over, and returns some of the times it took, in microseconds.
async fn call(link: &Link, caller: usize, is_over: &AtomicBool, count: &AtomicU64) -> Vec<u64> {
    let mut samples = vec![];
    let mut n = caller * 7_919;
    let mut done = 0;
    while !is_over.load(Ordering::Relaxed) {
        n = (n + 104_729) % KEYS;
        let began = (done % 64 == 0).then(Instant::now);
        let outcome = link.run_one(&Command::from(Get { key: key(n) })).await;
        assert!(matches!(outcome, Ok(Ok(Reply::Entry(Some(_))))), "{outcome:?}");
        if let Some(began) = began {
            samples.push(began.elapsed().as_micros() as u64);
        }
        done += 1;
    }
    count.fetch_add(done, Ordering::Relaxed);
    samples
}

/// CPU time of a process so far, in microseconds.
fn cpu_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10_000
}
