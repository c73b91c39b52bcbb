//! What it costs when nodes come, go, fail and hang, measured with real nodes under a load that
//! checks every answer: `cargo bench --bench churn -- join crash hang rolling replace busy`
//!
//! `ROUNDS` is how often each is done, `BUSY` for how many seconds the processors are kept busy,
//! and `ENTRIES` how many entries the cluster holds while nodes join.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a bench prints, and stops where it cannot go on"
)]

#[path = "../tests/harness/http.rs"]
#[allow(dead_code, reason = "the tests share it")]
mod http;
#[path = "../tests/cluster/load.rs"]
#[allow(dead_code, reason = "the tests share it")]
mod load;
#[path = "../tests/cluster/member.rs"]
#[allow(dead_code, reason = "the tests share it")]
mod member;
#[path = "../tests/harness/process.rs"]
#[allow(dead_code, reason = "the tests share it")]
mod process;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use smache::entry::Key;
use smache::partition::SLOTS;

use load::{Load, Loss, Plan, Tally};
use member::{Member, agreed, settle, wait_for, wait_until};

/// Longer than anything takes that is measured here.
const PATIENCE: Duration = Duration::from_secs(120);
/// Clients that leave the processors room: what is measured is the cluster and not its client.
const GENTLE: Plan =
    Plan { loss: Loss::Never, clients: 4, pace: Duration::from_micros(500), filled: 0 };
const FILL_THREADS: usize = 4;
const PIPELINE: usize = 64;
const WRITERS: usize = 32;

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for section in words {
        match &*section {
            "join" => join(number("ROUNDS", 50), number("ENTRIES", 1_000_000)),
            "far" => far(number("ROUNDS", 5), number("ENTRIES", 1_000_000)),
            "crash" => crash(number("ROUNDS", 20)),
            "hang" => hang(number("ROUNDS", 5)),
            "rolling" => rolling(),
            "replace" => replace(number("ROUNDS", 50)),
            "busy" => busy(number("BUSY", 120)),
            other => {
                eprintln!("unknown section {other}; allowed: join crash hang rolling replace busy");
            }
        }
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn start(name: &str, join: &[&str], memory: &str) -> Member {
    Member::start_with(name, "127.0.0.1:0", join, &[("SMACHE_MEMORY", memory)])
}

fn cluster<const N: usize>(names: [&str; N], memory: &str) -> [Member; N] {
    let mut join: Vec<String> = vec![];
    let members = names.map(|name| {
        let member = start(name, &join.iter().map(String::as_str).collect::<Vec<_>>(), memory);
        join.push(member.addr.clone());
        member
    });
    settle(&members.each_ref());
    members
}

/// Waits until these nodes are a cluster in which nothing moves, and returns how long that took.
fn settled(members: &[&Member]) -> Duration {
    wait_for("the nodes agree", PATIENCE, || agreed(members)).1
}

fn percentile(sorted: &[u32], share: f64) -> f64 {
    let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    f64::from(sorted.get(at).copied().unwrap_or_default()) / 1_000.0
}

/// Prints one line of a table.
fn row(what: &str, measured: impl std::fmt::Display, goal: &str) {
    println!("{what:<46} {measured:>16}   {goal}");
}

fn rows_of(tally: &Tally) {
    row("failed requests", tally.failed, "goal 0");
    row("hits turned misses, lost keys", tally.missing, "goal 0");
    row("stale answers", tally.stale, "goal 0");
    tally.failures.iter().for_each(|failure| println!("    {failure}"));
}

fn ms(durations: &[Duration], share: f64) -> String {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    format!("{:.0} ms", sorted[at].as_secs_f64() * 1_000.0)
}

/// Has each of some threads send requests for its share of `0..count`, many at a time, and returns
/// how many answers were not as `is_good` wants them.
fn pipelined(
    members: &[&Member],
    count: usize,
    request: impl Fn(usize) -> String + Sync,
    is_good: impl Fn(usize, &http::Response) -> bool + Sync,
) -> usize {
    let work = |thread: usize| {
        let mut client = members[thread % members.len()].client();
        let mut bad = 0;
        let numbers: Vec<usize> = (thread..count).step_by(FILL_THREADS).collect();
        for chunk in numbers.chunks(PIPELINE) {
            let requests: String = chunk.iter().map(|n| request(*n)).collect();
            client.send(requests.as_bytes()).unwrap();
            for n in chunk {
                bad += usize::from(!is_good(*n, &client.receive().unwrap()));
            }
        }
        bad
    };
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            (0..FILL_THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

fn post(key: &str, n: usize) -> String {
    let body = format!(r#"{{"key":"{key}","data":{{"n":{n}}}}}"#);
    let length = body.len();
    format!("POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Two nodes that hold so many entries.
fn filled(entries: usize) -> [Member; 2] {
    let [a, b] = cluster(["a", "b"], "512MiB");
    let put = |n| post(&format!("fill-{n}"), n);
    let bad = pipelined(&[&a, &b], entries, put, |_, answer| answer.status == 200);
    assert_eq!(bad, 0, "not all entries were written");
    [a, b]
}

fn join(rounds: usize, entries: usize) {
    println!(
        "\n== {rounds} rounds of: a third node joins two that hold {entries} entries, and drains"
    );
    let [a, b] = filled(entries);
    let load = Load::start_plan(&[&a, &b], Plan { filled: entries, ..GENTLE });
    thread::sleep(Duration::from_secs(2));
    load.take_reads();
    thread::sleep(Duration::from_secs(5));
    let before = load.take_reads();
    let (mut joins, mut drains, mut rates, mut lost) = (vec![], vec![], vec![], 0);
    let mut during = vec![];
    for round in 0..rounds {
        load.take_reads();
        let began = Instant::now();
        let mut c = start("c", &[&a.addr], "512MiB");
        load.add(&c);
        settled(&[&a, &b, &c]);
        joins.push(began.elapsed());
        let moved = c.entries();
        rates.push(moved as f64 / began.elapsed().as_secs_f64());
        let draining = Instant::now();
        c.signal(Signal::TERM);
        assert!(c.wait().0.success());
        load.remove(c.addr());
        drains.push(draining.elapsed());
        settled(&[&a, &b]);
        during.extend(load.take_reads());
        let left = (a.entries() + b.entries()) as usize;
        lost += entries.saturating_sub(left);
        eprint!("\rround {} of {rounds}: {moved} entries moved ", round + 1);
    }
    eprintln!();
    let mut tally = load.finish();
    let gone = pipelined(
        &[&a, &b],
        entries,
        |n| get(&format!("/api?key=fill-{n}")),
        |n, answer| answer.json()["data"]["n"].as_u64() == Some(n as u64),
    );
    tally.missing += gone as u64;
    during.sort_unstable();
    rows_of(&tally);
    row("entries fewer than before, over all rounds", lost, "goal 0");
    let (calm, busy) = (percentile(&before, 0.99), percentile(&during, 0.99));
    row("GET p99 before", format!("{calm:.2} ms"), "");
    row("GET p99 meanwhile", format!("{busy:.2} ms"), "");
    row("its ratio", format!("{:.1} x", busy / calm), "goal <= 3 x");
    row(
        "GET p99.9, max meanwhile",
        format!("{:.1}, {:.0} ms", percentile(&during, 0.999), percentile(&during, 1.0)),
        "",
    );
    rates.sort_by(f64::total_cmp);
    row("entries moved per second (median round)", format!("{:.0}", rates[rates.len() / 2]), "");
    row("join, median and max", format!("{}, {}", ms(&joins, 0.5), ms(&joins, 1.0)), "");
    row("drain, median and max", format!("{}, {}", ms(&drains, 0.5), ms(&drains, 1.0)), "");
}

/// Milliseconds between any two nodes of `far`, each way.
const FAR: &str = "20ms";

fn far(rounds: usize, entries: usize) {
    println!(
        "\n== {rounds} rounds of: a node {FAR} away from two others hands over its share of {entries} \
         entries"
    );
    let [a, b] = filled(entries);
    let (mut drains, mut rates, mut lost) = (vec![], vec![], 0);
    for round in 0..rounds {
        let mut c = start("c", &[&a.addr], "512MiB");
        settled(&[&a, &b, &c]);
        for (at, of) in [(&a, &b), (&a, &c), (&b, &a), (&b, &c), (&c, &a), (&c, &b)] {
            at.disturb(of, FAR);
        }
        let moved = c.entries();
        let draining = Instant::now();
        c.signal(Signal::TERM);
        assert!(c.wait().0.success());
        drains.push(draining.elapsed());
        rates.push(moved as f64 / draining.elapsed().as_secs_f64());
        for (at, of) in [(&a, &b), (&b, &a), (&a, &c), (&b, &c)] {
            at.disturb(of, "heal");
        }
        settled(&[&a, &b]);
        lost += entries.saturating_sub((a.entries() + b.entries()) as usize);
        eprint!("\rround {} of {rounds}: {moved} entries moved ", round + 1);
    }
    eprintln!();
    row("entries fewer than before, over all rounds", lost, "goal 0");
    rates.sort_by(f64::total_cmp);
    let goal = "goal >= 100,000";
    row("entries moved per second (median round)", format!("{:.0}", rates[rates.len() / 2]), goal);
    row("drain, median and max", format!("{}, {}", ms(&drains, 0.5), ms(&drains, 1.0)), "");
}

/// A key of every slot.
fn keys_of_slots() -> Vec<String> {
    let mut keys = vec![None; usize::from(SLOTS)];
    let mut left = keys.len();
    for n in 0.. {
        if left == 0 {
            break;
        }
        let key = format!("slot-{n}");
        let Ok(slot) = Key::new(key.clone()).map(|key| key.slot()) else { continue };
        let place = &mut keys[usize::from(slot.0)];
        if place.is_none() {
            *place = Some(key);
            left -= 1;
        }
    }
    keys.into_iter().flatten().collect()
}

/// Those of the keys that a node owns.
fn owned(at: &Member, owner: &str, keys: &[String]) -> Vec<String> {
    let owner = format!("\"owner\":\"{owner}\"");
    let owned: Vec<AtomicBool> = keys.iter().map(|_| AtomicBool::new(false)).collect();
    pipelined(
        &[at],
        keys.len(),
        |n| get(&format!("/explain?key={}", keys[n])),
        |n, answer| {
            owned[n].store(answer.body.contains(&owner), Ordering::Relaxed);
            true
        },
    );
    let owned = keys.iter().zip(&owned).filter(|(_, is)| is.load(Ordering::Relaxed));
    owned.map(|(key, _)| key.clone()).collect()
}

/// Writes each key until it is acknowledged, and returns how long that took for all.
fn write_each(members: &[&Member], keys: &[String]) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| {
        for thread in 0..WRITERS {
            let addr = members[thread % members.len()].addr();
            scope.spawn(move || {
                let mut client = http::Client::connect(addr);
                for key in keys.iter().skip(thread).step_by(WRITERS) {
                    let body = format!(r#"{{"key":"{key}","data":{{"n":1}}}}"#);
                    wait_for("the write is acknowledged", PATIENCE, || {
                        let answer = client.request("POST", "/api", &body);
                        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
                    });
                }
            });
        }
    });
    began.elapsed()
}

fn crash(rounds: usize) {
    println!(
        "\n== {rounds} rounds of: one of three nodes is killed; until all its slots take writes"
    );
    let keys = keys_of_slots();
    let (mut normal, mut took) = (vec![], vec![]);
    let [a, b] = cluster(["a", "b"], "64MiB");
    for _ in 0..rounds {
        let mut c = start("c", &[&a.addr, &b.addr], "64MiB");
        settled(&[&a, &b, &c]);
        let of_c = owned(&a, "c", &keys);
        normal.push(write_each(&[&a, &b], &of_c));
        c.kill();
        took.push(write_each(&[&a, &b], &of_c));
        settled(&[&a, &b]);
    }
    row("writing all of them with nobody killed, median", ms(&normal, 0.5), "");
    row("after the kill, median", ms(&took, 0.5), "goal <= 1500 ms");
    row("after the kill, p99", ms(&took, 0.99), "goal <= 1500 ms");
    row("after the kill, max", ms(&took, 1.0), "");
}

fn hang(rounds: usize) {
    println!("\n== {rounds} rounds of: one of three nodes is stopped, at full write rate");
    let keys = keys_of_slots();
    let [a, b] = cluster(["a", "b"], "16MiB");
    let (mut dead, mut writes, mut growth) = (vec![], vec![], 0);
    for _ in 0..rounds {
        let c = start("c", &[&a.addr, &b.addr], "16MiB");
        settled(&[&a, &b, &c]);
        let of_c = owned(&a, "c", &keys);
        let plan = Plan { loss: Loss::Possible, clients: 48, pace: Duration::ZERO, ..GENTLE };
        let load = Load::start_plan(&[&a, &b], plan);
        // Until the tables are as large as they get.
        thread::sleep(Duration::from_secs(4));
        let before = [a.rss_kib(), b.rss_kib()];
        c.signal(Signal::STOP);
        let stopped = Instant::now();
        thread::scope(|scope| {
            let writing = scope.spawn(|| write_each(&[&a, &b], &of_c));
            while !writing.is_finished() {
                let now = [a.rss_kib(), b.rss_kib()];
                let grown = now.iter().zip(before).map(|(now, then)| now.saturating_sub(then));
                growth = growth.max(grown.max().unwrap_or_default());
                if dead.len() == writes.len() && a.state_of("c") == "dead" {
                    dead.push(stopped.elapsed());
                }
                thread::sleep(Duration::from_millis(20));
            }
            writes.push(writing.join().unwrap());
        });
        load.finish();
        drop(c);
        settled(&[&a, &b]);
    }
    row(
        "until dead, median and max",
        format!("{}, {}", ms(&dead, 0.5), ms(&dead, 1.0)),
        "goal <= 3000 ms",
    );
    row(
        "until writes, median and max",
        format!("{}, {}", ms(&writes, 0.5), ms(&writes, 1.0)),
        "goal <= 5000 ms",
    );
    row(
        "growth of the others, max",
        format!("{:.1} MiB", growth as f64 / 1_024.0),
        "goal <= 32 MiB",
    );
}

fn rolling() {
    println!("\n== four nodes are restarted one after the other under load");
    let mut members = cluster(["a", "b", "c", "d"], "64MiB");
    let load = Load::start_plan(&members.each_ref(), GENTLE);
    let began = Instant::now();
    for at in 0..members.len() {
        let (name, addr) = (members[at].name.clone(), members[at].addr.clone());
        let http = members[at].addr();
        members[at].drain();
        load.remove(http);
        let others = members.iter().filter(|other| other.name != name);
        let others: Vec<_> = others.map(|other| other.addr.as_str()).collect();
        let again = Member::start_at(&name, &addr, &others);
        load.add(&again);
        members[at] = again;
        settled(&members.each_ref());
        load.go_on();
    }
    let took = began.elapsed();
    rows_of(&load.finish());
    row("all four took", format!("{:.1} s", took.as_secs_f64()), "");
}

fn replace(rounds: usize) {
    println!("\n== {rounds} rounds of: a hung node is replaced by another of its name");
    let [m, n] = cluster(["m", "n"], "64MiB");
    let mut took = vec![];
    for round in 0..rounds {
        // Names that come before and after those of the others, in turn.
        let name = ["a", "z"][round % 2];
        let hung = start(name, &[&m.addr], "64MiB");
        settled(&[&m, &n, &hung]);
        hung.signal(Signal::STOP);
        let began = Instant::now();
        let mut new = start(name, &[&m.addr, &n.addr], "64MiB");
        settled(&[&m, &n, &new]);
        took.push(began.elapsed());
        drop(hung);
        new.drain();
        settled(&[&m, &n]);
    }
    let late = took.iter().filter(|took| Duration::from_secs(5) < **took).count();
    row("replaced within 5 s", format!("{} of {rounds}", rounds - late), "goal all");
    row("median and max", format!("{}, {}", ms(&took, 0.5), ms(&took, 1.0)), "goal <= 5000 ms");
}

fn busy(seconds: usize) {
    println!("\n== all processors busy for {seconds} s: is any member taken for dead?");
    let [a, b, c] = cluster(["a", "b", "c"], "64MiB");
    let is_over = AtomicBool::new(false);
    let spinners = 2 * thread::available_parallelism().map_or(2, usize::from);
    let load = Load::start_plan(&[&a, &b, &c], GENTLE);
    thread::scope(|scope| {
        for _ in 0..spinners {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        thread::sleep(Duration::from_secs(seconds as u64));
        is_over.store(true, Ordering::Relaxed);
    });
    let said =
        |text: &str| [&a, &b, &c].map(|member| member.lines(text).len()).iter().sum::<usize>();
    row("members taken for suspect", said("member is suspect"), "goal 0");
    row("members taken for dead", said("member is gone"), "goal 0");
    row("connections that ended", said("connection to peer ended"), "goal 0");
    wait_until("all is as before", PATIENCE, || agreed(&[&a, &b, &c]).is_ok());
    rows_of(&load.finish());
}
