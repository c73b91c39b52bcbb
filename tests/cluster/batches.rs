//! Batches through the facade of a node whose links are disturbed all the while.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use smache::cache::{Cache, Disturbed};
use smache::command::{Command, Condition, Get, Put, Reply, Stored};
use smache::config::{AllowedHosts, ClusterConfig, Config, LogFormat, RequestLog, Seed};
use smache::entry::{Key, MediaType, Version};
use smache::member::NodeName;
use smache::node::{Node, Signals};
use smache::peer::Chaos;

use crate::member::{Member, PATIENCE, wait_until};

const KEYS: u64 = 24;
const COMMANDS: u64 = 400;
const LASTS: Duration = Duration::from_secs(8);

/// Numbers that look random; Steele and others, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (b ^ b >> 31) % end
    }
}

/// What was acknowledged of a key last.
#[derive(Clone, Copy, Default)]
struct Last {
    number: u64,
    version: Version,
}

#[derive(Default)]
struct Tally {
    last: HashMap<Key, Last>,
    acknowledged: u64,
    refused: u64,
    unsure: u64,
}

fn config(name: &str, join: &str) -> Config {
    Config {
        http: None,
        resp: None,
        node: NodeName::new(name).unwrap(),
        shards: NonZeroUsize::new(2).unwrap(),
        memory_bytes: 64 << 20,
        value_bytes_max: 1 << 20,
        cluster: Some(ClusterConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            join: vec![Seed::Addr(join.to_owned())],
            may_be_alone: true,
            members_min: 1,
            drain_timeout: None,
            cookie: None,
            slow: None,
        }),
        token: None,
        allowed_hosts: AllowedHosts::default(),
        has_demo: true,
        log: tracing::level_filters::LevelFilter::OFF,
        log_format: LogFormat::Text,
        request_log: RequestLog::default(),
        warnings: vec![],
    }
}

fn key(n: u64) -> Key {
    Key::new(format!("batched-{n}")).unwrap()
}

fn put(key: Key, number: u64) -> Command {
    Command::Put(Put {
        key,
        value: Bytes::copy_from_slice(&number.to_be_bytes()),
        media: MediaType::Bytes,
        expires_at: None,
        condition: Condition::Always,
    })
}

fn number_of(value: &Bytes) -> u64 {
    u64::from_be_bytes(value.as_ref().try_into().unwrap())
}

impl Tally {
    /// Takes in what became of a batch. Versions tell in which order writes were done.
    fn note(&mut self, commands: &[Command], replies: Vec<Result<Reply, smache::error::Error>>) {
        for (command, reply) in commands.iter().zip(replies) {
            match (command, reply) {
                (Command::Put(put), Ok(Reply::Stored(stored))) => {
                    let version = match stored {
                        Stored::Created(version) | Stored::Replaced(version) => version,
                        other => panic!("{:?} was done twice: {other:?}", put.key),
                    };
                    let last = self.last.entry(put.key.clone()).or_default();
                    assert!(last.version < version, "{:?}: {version:?} came late", put.key);
                    *last = Last { number: number_of(&put.value), version };
                    self.acknowledged += 1;
                }
                (Command::Get(get), Ok(Reply::Entry(found))) => {
                    let found = found.map_or(0, |entry| number_of(&entry.value));
                    let least = self.last.get(&get.key).map_or(0, |last| last.number);
                    assert!(least <= found, "{:?}: {found} after {least}", get.key);
                }
                (_, Err(error)) => match error.may_have_happened() {
                    true => self.unsure += 1,
                    false => self.refused += 1,
                },
                (command, reply) => panic!("{command:?}: {reply:?}"),
            }
        }
    }
}

/// Batches of writes with a read behind every few, until `is_over`.
async fn run_batches(cache: &Cache, random: &mut Random, is_over: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut command = || {
            let key = key(random.below(KEYS));
            number += 1;
            match random.below(4) {
                0 => Get { key }.into(),
                _ => put(key, number),
            }
        };
        let commands: Vec<Command> = (0..COMMANDS).map(|_| command()).collect();
        let replies = cache.run(commands.clone()).await.unwrap();
        tally.note(&commands, replies);
    }
    tally
}

/// Waits until there is a session: one that is cut while it begins takes long.
async fn wait_for_session(cache: &Cache) {
    let is_there = || {
        let members = cache.status().cluster.members;
        members.iter().any(|member| member.node == "a" && member.version.is_some())
    };
    while !is_there() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Cuts the link for moments that nobody is declared dead for, and ends sessions, too.
async fn disturb(cache: &Cache, random: &mut Random, is_over: &AtomicBool) -> u64 {
    let began = Instant::now();
    let mut cuts = 0;
    let mut ended = 0;
    while began.elapsed() < LASTS {
        tokio::time::sleep(Duration::from_millis(random.below(120))).await;
        cuts += 1;
        // Within the restarts that the supervisor bears.
        if ended < began.elapsed().as_secs() {
            ended += 1;
            cache.crash("node-server").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        wait_for_session(cache).await;
        let chaos = [Chaos::Cut, Chaos::CutSend, Chaos::CutReceive][random.below(3) as usize];
        cache.disturb(Disturbed::Known("a"), chaos).unwrap();
        tokio::time::sleep(Duration::from_millis(random.below(150))).await;
        cache.disturb(Disturbed::Known("a"), Chaos::Heal).unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    cuts
}

#[test]
fn what_is_acknowledged_of_batches_is_in_order_whatever_is_cut() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = since.as_millis() as u64;
    eprintln!("seed {seed}");
    let a = Member::start("a", &[]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::start(&config("b", &a.addr)).await.unwrap();
        let cache = Arc::new(node.cache().clone());
        let running = tokio::spawn(node.run(Signals::listen().unwrap(), || {}));
        // The node runs on threads of its own.
        wait_until("both have slots", PATIENCE, || {
            let mut members = a.sight().members.into_values();
            members.len() == 2 && members.all(|(_, state, slots)| state == "alive" && 0 < slots)
        });
        let (mut one, mut other) = (Random(seed), Random(seed + 1));
        let is_over = AtomicBool::new(false);
        let (tally, cuts) = tokio::join!(
            run_batches(&cache, &mut one, &is_over),
            disturb(&cache, &mut other, &is_over),
        );
        let Tally { last, acknowledged, refused, unsure } = tally;
        eprintln!(
            "seed {seed}: {cuts} cuts, {acknowledged} done, {refused} refused, {unsure} unsure"
        );
        assert!(1_000 < acknowledged && 0 < unsure + refused && 10 < cuts, "seed {seed}");
        for (key, last) in last {
            let get = || cache.run_one(Get { key: key.clone() }.into());
            let began = Instant::now();
            let found = loop {
                match get().await {
                    Ok(Reply::Entry(found)) => break found,
                    other => assert!(began.elapsed() < PATIENCE, "seed {seed}: {other:?}"),
                }
            };
            let found = found.map(|entry| number_of(&entry.value));
            assert!(Some(last.number) <= found, "seed {seed}: {key:?} has {found:?}");
        }
        running.abort();
    });
}
