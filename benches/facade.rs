//! Smache's own internal benchmark: 10,000 records written, then read, through the facade of a node
//! in this process. The original needed 15 to 18 ms.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use smache::cache::Cache;
use smache::command::{Command, Condition, Get, Put, Reply};
use smache::config::{AllowedHosts, Config, LogFormat, RequestLog};
use smache::entry::{Key, MediaType};
use smache::member::NodeName;
use smache::node::Node;
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 10_000;

fn config() -> Config {
    Config {
        resp: None,
        http: None,
        node: NodeName::new("bench@localhost").unwrap(),
        shards: 4.try_into().unwrap(),
        memory_bytes: 256 << 20,
        value_bytes_max: 1 << 20,
        cluster: None,
        token: None,
        allowed_hosts: AllowedHosts::default(),
        has_demo: false,
        log: LevelFilter::OFF,
        log_format: LogFormat::Text,
        request_log: RequestLog::default(),
        warnings: vec![],
    }
}

fn puts(round: u64) -> Vec<Command> {
    let put = |n| Put {
        key: Key::new(format!("key-{n}")).unwrap(),
        // Another value each round, as an equal one would not be written.
        value: Bytes::from(format!("{{\"n\":{n},\"round\":{round}}}")),
        media: MediaType::Json,
        expires_at: None,
        condition: Condition::Always,
    };
    (0..RECORDS).map(|n| Command::Put(put(n))).collect()
}

fn gets() -> Vec<Command> {
    (0..RECORDS).map(|n| Get { key: Key::new(format!("key-{n}")).unwrap() }.into()).collect()
}

async fn in_batches(cache: &Cache, puts: Vec<Command>, gets: Vec<Command>) {
    for reply in cache.run(puts).await.unwrap() {
        assert!(matches!(reply, Ok(Reply::Stored(_))));
    }
    for reply in cache.run(gets).await.unwrap() {
        assert!(matches!(reply, Ok(Reply::Entry(Some(_)))));
    }
}

async fn one_by_one(cache: &Cache, puts: Vec<Command>, gets: Vec<Command>) {
    for put in puts {
        assert!(cache.run_one(put).await.is_ok());
    }
    for get in gets {
        assert!(matches!(cache.run_one(get).await, Ok(Reply::Entry(Some(_)))));
    }
}

fn facade(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let node = runtime.block_on(Node::start(&config())).unwrap();
    let mut round = 0;
    let mut group = criterion.benchmark_group("10,000 records written, then read");
    group.sample_size(20);
    group.bench_function("in two batches", |bencher| {
        let commands = || {
            round += 1;
            (puts(round), gets())
        };
        let run = |(puts, gets)| runtime.block_on(in_batches(node.cache(), puts, gets));
        bencher.iter_batched(commands, run, BatchSize::PerIteration);
    });
    group.bench_function("one by one, from one task", |bencher| {
        let commands = || {
            round += 1;
            (puts(round), gets())
        };
        let run = |(puts, gets)| {
            let cache = node.cache().clone();
            let task = runtime.spawn(async move { one_by_one(&cache, puts, gets).await });
            runtime.block_on(task).unwrap();
        };
        bencher.iter_batched(commands, run, BatchSize::PerIteration);
    });
    group.finish();
    runtime.block_on(node.stop()).unwrap();
}

criterion_group!(benches, facade);
criterion_main!(benches);
