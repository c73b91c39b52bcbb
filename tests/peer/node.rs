//! The node that runs in a process of its own: it does what it is told, a line at a time.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use smache::command::{Command, Condition, Get, Put, Reply, Stored};
use smache::config::Secret;
use smache::entry::{Entry, Key, MediaType, Tags, Version};
use smache::member::{Boot, Member, NameTaken, NodeId, NodeName, Standing};
use smache::partition::Slot;
use smache::peer::message::{Claim, Ping, PushOutcome, Received, Refusal, Request, Response};
use smache::peer::{
    Admission, Answer, Answering, Chaos, Link, LinkError, Transport, TransportConfig,
    TransportEvent,
};
use smache::record::{NewEntry, Record};
use smache::supervision::Supervisor;

use crate::process::{BOOT, COOKIE, NAME};

/// Admits everybody but `unwanted@test`, above what is remembered.
struct Door;

impl Admission for Door {
    fn admit(&self, peer: &Member) -> Result<u64, NameTaken> {
        match peer.id.name.as_str() {
            "unwanted@test" => {
                let addr = "127.0.0.1:1".to_owned();
                Err(NameTaken { incarnation: 7, addr, heard_ms_ago: 0 })
            }
            _ => Ok(41),
        }
    }
}

type Map = Arc<Mutex<HashMap<Key, Bytes>>>;

/// Keeps values in a map. The key `slow` takes a second, which is said first, and `panic` ends in a
/// panic. Of keys that begin with `moody` some are refused or put off, and with them what is behind them
/// on the same slot; the key `disorder` counts their values that came after a greater one.
struct Keeper(Map, Arc<AtomicU64>);

impl Answer for Keeper {
    fn answer(&self, _from: NodeId, request: Request) -> Answering {
        let map = Arc::clone(&self.0);
        let response = match request {
            Request::Run(commands, _) => {
                let luck = self.1.fetch_add(1, Ordering::Relaxed);
                return Box::pin(run(map, commands, luck));
            }
            Request::Ping(ping) => Response::Pong(ping),
            Request::View(view) => Response::View(view),
            Request::Push(list) => {
                Response::Pushed(list.iter().map(|_| PushOutcome::Taken).collect())
            }
            Request::Fetch(keys) => Response::Fetched(keys.iter().map(|_| None).collect()),
            Request::Claim(Claim { id, .. }) => Response::ClaimRefused { id },
            Request::Took(_) | Request::Left => Response::Ok,
            Request::Relay(_) | Request::Relayed(_) => Response::Lost,
            Request::Reserve(_) => Response::Refused("no ids here".to_owned()),
            Request::Agree(theirs) => Response::Agreed(theirs),
            Request::Spread(_) => Response::Refused("no hub here".to_owned()),
            Request::Doors => Response::Refused("no doors here".to_owned()),
        };
        Box::pin(std::future::ready(response))
    }
}

async fn run(map: Map, commands: Vec<Received>, mut luck: u64) -> Response {
    let mut outcomes = vec![];
    let mut moods: HashMap<Slot, Refusal> = HashMap::new();
    for command in commands.into_iter().map(Result::unwrap) {
        let key = command.keys()[0].as_bytes();
        if key == b"slow" {
            say("began to be slow");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if key == b"panic" {
            tokio::task::yield_now().await;
            panic!("asked for");
        }
        if key.starts_with(b"moody") {
            let slot = command.keys()[0].slot();
            luck = next(luck);
            match luck % 400 {
                0 => drop(moods.entry(slot).or_insert(Refusal::Later)),
                1 => drop(moods.entry(slot).or_insert(Refusal::Moved { owner: None })),
                _ => {}
            }
            if let Some(mood) = moods.get(&slot) {
                outcomes.push(Err(mood.clone()));
                continue;
            }
            note_order(&map, &command);
        }
        outcomes.push(apply(&map, command));
    }
    Response::Ran(outcomes)
}

/// The next of a series of numbers that look random (Steele and others, "Fast Splittable Pseudorandom
/// Number Generators", 2014).
fn next(seed: u64) -> u64 {
    let mixed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// Counts a value that comes after a greater one.
fn note_order(map: &Map, command: &Command) {
    let Command::Put(put) = command else { return };
    let mut map = map.lock().unwrap();
    if map.get(&put.key).is_some_and(|before| put.value < *before) {
        let counter = map.entry(Key::from_static("disorder")).or_default();
        *counter = [counter, &b"!"[..]].concat().into();
    }
}

fn apply(map: &Map, command: Command) -> Result<Reply, Refusal> {
    let mut map = map.lock().unwrap();
    Ok(match command {
        Command::Get(Get { key }) => Reply::Entry(map.get(&key).map(|value| entry(value.clone()))),
        Command::Put(put) => {
            let is_kept = !put.key.as_bytes().starts_with(b"drop");
            let value = if is_kept { put.value } else { Bytes::new() };
            map.insert(put.key, value);
            Reply::Stored(Stored::Created(Version(1)))
        }
        Command::Delete(delete) => Reply::Flag(map.remove(&delete.key).is_some()),
        _ => return Err(Refusal::Moved { owner: None }),
    })
}

fn entry(value: Bytes) -> Entry {
    let (media, tags) = (MediaType::Bytes, Tags::none().clone());
    Entry { value, media, version: Version(7), expires_at: None, tags }
}

struct Node {
    transport: Transport,
    supervisor: Supervisor,
    events: Arc<Mutex<Vec<String>>>,
}

/// Not a test: the other process of one.
#[test]
fn second_process() {
    let Ok(name) = std::env::var(NAME) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let node = runtime.block_on(Node::start(&name));
    say(&node.transport.local_addr().to_string());
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        say(&runtime.block_on(node.obey(&words)));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {line}").unwrap();
    out.flush().unwrap();
}

impl Node {
    async fn start(name: &str) -> Self {
        let boot = std::env::var(BOOT).unwrap().parse().unwrap();
        let me = Member {
            id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) },
            incarnation: 3,
            addr: String::new(),
            http: "127.0.0.1:4000".to_owned(),
            weight: 100,
            standing: Standing::Joining,
        };
        let config = TransportConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            me,
            cluster: std::env::var("PEER_TEST_CLUSTER").unwrap_or("smache".to_owned()),
            cookie: std::env::var(COOKIE).ok().map(Secret::new),
        };
        let supervisor = Supervisor::start().await.unwrap();
        let keeper = Arc::new(Keeper(Map::default(), Arc::new(AtomicU64::new(boot))));
        let transport =
            Transport::start(config, Arc::new(Door), keeper, supervisor.clone()).await.unwrap();
        let events = Arc::new(Mutex::new(vec![]));
        let (mut heard, noted) = (transport.events(), Arc::clone(&events));
        tokio::spawn(async move {
            while let Ok(event) = heard.recv().await {
                noted.lock().unwrap().push(match event {
                    TransportEvent::Opened(peer) => format!("opened {}", peer.id.name),
                    TransportEvent::Closed { peer, reason } => {
                        format!("closed {}: {reason}", peer.name)
                    }
                });
            }
        });
        Self { transport, supervisor, events }
    }

    async fn obey(&self, words: &[&str]) -> String {
        match words {
            ["dial", addr] => match self.transport.dial(addr.parse().unwrap()).await {
                Ok(dialed) => format!("dialed {} {}", dialed.peer.id.name, dialed.floor),
                Err(error) => format!("error {error}"),
            },
            ["peers"] => {
                let mut names: Vec<_> =
                    self.transport.peers().iter().map(|peer| peer.id.to_string()).collect();
                names.sort();
                names.join(",")
            }
            ["events"] => self.events.lock().unwrap().join(","),
            ["crash", child] => format!("{:?}", self.supervisor.crash(child).await),
            ["chaos", peer, what] => {
                self.transport.chaos(peer, chaos(what));
                "ok".to_owned()
            }
            ["close", peer] => {
                if let Some(link) = self.link(peer) {
                    self.transport.close(link.peer(), "told to");
                }
                "ok".to_owned()
            }
            ["ping", peer] => match self.link(peer) {
                Some(link) => timed(link.ask(Request::Ping(Ping::default()))).await,
                None => "no link".to_owned(),
            },
            ["push", peer, entries, bytes] => self.push(peer, entries, bytes).await,
            ["get", peer, key] => match self.link(peer) {
                Some(link) => timed(link.run_one(&get(key))).await,
                None => "no link".to_owned(),
            },
            ["put", peer, key, bytes] => match self.link(peer) {
                Some(link) => timed(link.run_one(&put(key, bytes.parse().unwrap()))).await,
                None => "no link".to_owned(),
            },
            ["many", peer, count, bytes] => {
                self.many(peer, count.parse().unwrap(), bytes.parse().unwrap()).await
            }
            ["moody", peer, rounds] => self.moody(peer, rounds.parse().unwrap()).await,
            ["moody-cut", peer, rounds, addr, seed] => {
                let moody = self.moody(peer, rounds.parse().unwrap());
                let cuts = AtomicU64::new(0);
                let cut = self.cut(peer, addr.parse().unwrap(), seed.parse().unwrap(), &cuts);
                let said = tokio::select! { said = moody => said, never = cut => match never {} };
                format!("{said} cuts {}", cuts.load(Ordering::Relaxed))
            }
            ["flood", peer, seconds] => self.flood(peer, seconds.parse().unwrap()).await,
            other => format!("what? {other:?}"),
        }
    }

    fn link(&self, peer: &str) -> Option<Link> {
        let peers = self.transport.peers();
        let peer = peers.iter().find(|known| known.id.name.as_str() == peer)?;
        self.transport.link(&peer.id)
    }

    async fn push(&self, peer: &str, entries: &str, bytes: &str) -> String {
        let value = Bytes::from(vec![1; bytes.parse().unwrap()]);
        let moved = |n| {
            let key = Key::new(format!("moved-{n}")).unwrap();
            Record::new(&key, &NewEntry::of(&value), Version(1)).unwrap()
        };
        let entries = (0..entries.parse::<usize>().unwrap()).map(moved).collect();
        match self.link(peer).unwrap().push(entries).await {
            Ok(Response::Pushed(outcomes)) => format!("pushed {}", outcomes.len()),
            other => format!("{other:?}"),
        }
    }

    /// Puts and reads back so many keys, with one call each way.
    async fn many(&self, peer: &str, count: usize, bytes: usize) -> String {
        let link = self.link(peer).unwrap();
        let keys: Vec<_> = (0..count).map(|n| format!("many-{n}")).collect();
        let puts: Vec<_> = keys.iter().map(|key| put(key, bytes)).collect();
        let puts = link.run(&puts).await;
        let gets: Vec<_> = keys.iter().map(|key| get(key)).collect();
        let gets = link.run(&gets).await;
        let puts = puts.iter().filter(|outcome| matches!(outcome, Ok(Ok(Reply::Stored(_)))));
        let gets = gets.iter().filter(|outcome| {
            matches!(outcome, Ok(Ok(Reply::Entry(Some(entry)))) if entry.value.len() == bytes)
        });
        format!("put {} got {}", puts.count(), gets.count())
    }

    /// Puts growing values under a few moody keys, in batches of several messages, and sends in order
    /// what was not done again, as a router does: but not behind what may have happened. Then looks for
    /// what was acknowledged: it is there, or what was put later.
    async fn moody(&self, peer: &str, rounds: u64) -> String {
        let (mut value, mut done, mut again, mut unsure) = (0_u64, 0, 0, 0);
        let mut acknowledged: HashMap<Key, Bytes> = HashMap::new();
        for _ in 0..rounds {
            let mut puts: Vec<_> = (0..3_000)
                .map(|n| {
                    value += 1;
                    let value = Bytes::copy_from_slice(&value.to_be_bytes());
                    put_value(&format!("moody-{}", n % 7), value)
                })
                .collect();
            while !puts.is_empty() {
                let Some(link) = self.wait_for_link(peer).await else {
                    return "no link".to_owned();
                };
                let outcomes = link.run(&puts).await;
                let mut unsure_slots = vec![];
                let mut left = vec![];
                for (put, outcome) in puts.into_iter().zip(outcomes) {
                    let slot = put.slot();
                    match outcome {
                        Ok(Ok(_)) => {
                            done += 1;
                            let Command::Put(put) = put else { continue };
                            acknowledged.insert(put.key, put.value);
                        }
                        Ok(Err(Refusal::Moved { .. } | Refusal::Later))
                        | Err(LinkError::NotSent) => left.push(put),
                        Ok(Err(_)) | Err(LinkError::Unanswered) => {
                            unsure += 1;
                            unsure_slots.push(slot);
                        }
                    }
                }
                let count = left.len();
                left.retain(|put| !unsure_slots.contains(&put.slot()));
                unsure += count - left.len();
                puts = left;
                again += puts.len();
            }
        }
        let mut lost = 0;
        for (key, value) in acknowledged {
            let found = self.read(peer, &key).await;
            lost += usize::from(found.is_none_or(|found| found < value));
        }
        format!("done {done} unsure {unsure} lost {lost} again {again}")
    }

    /// Reads a key, however often that takes.
    async fn read(&self, peer: &str, key: &Key) -> Option<Bytes> {
        loop {
            let link = self.wait_for_link(peer).await?;
            let get = Get { key: key.clone() };
            if let Ok(Ok(Reply::Entry(found))) = link.run_one(&get.into()).await {
                return found.map(|found| found.value);
            }
        }
    }

    async fn wait_for_link(&self, peer: &str) -> Option<Link> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if let Some(link) = self.link(peer) {
                return Some(link);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    /// Ends the session with a peer after a while, and again after another, and dials it each time.
    async fn cut(
        &self,
        peer: &str,
        addr: SocketAddr,
        mut seed: u64,
        cuts: &AtomicU64,
    ) -> Infallible {
        loop {
            seed = next(seed);
            tokio::time::sleep(Duration::from_micros(seed % 40_000)).await;
            match self.link(peer) {
                Some(link) => {
                    self.transport.close(link.peer(), "cut at random");
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
                // It may not be over there yet: it is dialled again then.
                None => drop(self.transport.dial(addr).await),
            }
        }
    }

    /// Writes as fast as it goes for so long, and says by how much the memory grew at most.
    async fn flood(&self, peer: &str, seconds: u64) -> String {
        let link = self.link(peer).unwrap();
        let before = resident_kib();
        let mut most = before;
        let until = Instant::now() + Duration::from_secs(seconds);
        let value = Bytes::from(vec![1; 16 * 1024]);
        for n in 0..512 {
            let (link, value) = (link.clone(), value.clone());
            tokio::spawn(async move {
                while Instant::now() < until {
                    let put = put_value(&format!("drop-{n}"), value.clone());
                    if link.run_one(&put).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            });
        }
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
            most = most.max(resident_kib());
        }
        format!("grew {}", (most - before) / 1024)
    }
}

fn get(key: &str) -> Command {
    Get { key: Key::new(key.to_owned()).unwrap() }.into()
}

fn put(key: &str, bytes: usize) -> Command {
    put_value(key, Bytes::from(vec![7; bytes]))
}

fn put_value(key: &str, value: Bytes) -> Command {
    Command::Put(Put {
        key: Key::new(key.to_owned()).unwrap(),
        value,
        media: MediaType::Bytes,
        expires_at: None,
        condition: Condition::Always,
    })
}

fn chaos(what: &str) -> Chaos {
    match what {
        "cut" => Chaos::Cut,
        "cut-send" => Chaos::CutSend,
        "cut-receive" => Chaos::CutReceive,
        "delay" => Chaos::Delay(Duration::from_millis(200)),
        _ => Chaos::Heal,
    }
}

/// What came of it, without values, and after how many milliseconds.
async fn timed<T: std::fmt::Debug>(future: impl Future<Output = T>) -> String {
    let began = Instant::now();
    let mut outcome = format!("{:?}", future.await);
    if let Some(at) = outcome.find("value: b\"") {
        outcome.truncate(at);
    }
    format!("{} {outcome}", began.elapsed().as_millis())
}

/// Memory of this process, in KiB.
pub fn resident_kib() -> u64 {
    resident_kib_of(std::process::id())
}

/// Memory of a process, in KiB.
pub fn resident_kib_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
