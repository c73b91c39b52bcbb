//! `status`: one look at a node, as tables.

use std::fmt::Write;

use hyper::Method;
use serde::Deserialize;

use super::columns::{Side, render};
use super::figures::{grouped, percent, size, span};
use super::output::{Format, print, visible};
use super::{ClientError, Exit, exchange::Node};

/// What a node says of itself. Whatever it does not say is shown as empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    node: String,
    boot_id: String,
    version: String,
    state: String,
    uptime_ms: u64,
    shards: Vec<Shard>,
    memory: Memory,
    requests: Requests,
    cluster: Cluster,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shard {
    id: u64,
    entries: u64,
    bytes: u64,
    queue: u64,
    restarts: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    limit_bytes: u64,
    used_bytes: u64,
    live_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Requests {
    hits: u64,
    misses: u64,
    writes: u64,
    evictions: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cluster {
    epoch: u64,
    moving: u64,
    members: Vec<Member>,
    peers: Vec<Peer>,
    waits_for: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Peer {
    addr: String,
    connected: bool,
    failures: u64,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member {
    node: String,
    addr: Option<String>,
    state: String,
    slots: Option<u64>,
}

/// Prints what `node` says of itself.
pub(super) async fn show(node: &Node, format: Format) -> Result<Exit, ClientError> {
    let body = node.ask(Method::GET, "/status", None).await?;
    let text = std::str::from_utf8(&body).map_err(|error| node.unexpected(&error))?;
    let status: Status = serde_json::from_str(text).map_err(|error| node.unexpected(&error))?;
    match format {
        Format::Json => print(text.trim_end())?,
        Format::Text => print(&tables(&status))?,
    }
    Ok(Exit::Done)
}

fn tables(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{}  {}  version {}  up {}  boot {}\n\n{}\n\n{}\n{}",
        visible(&status.node),
        visible(&status.state),
        visible(&status.version),
        span(status.uptime_ms),
        visible(&status.boot_id),
        shards_table(&status.shards),
        memory_line(&status.memory),
        requests_line(&status.requests),
    );
    let Cluster { epoch, moving, members, peers, waits_for } = &status.cluster;
    let moving = grouped(*moving);
    let _ = write!(text, "\ncluster   epoch {epoch}, {moving} entries still to move");
    if let Some(what) = waits_for {
        let _ = write!(text, "\nwaits for {}", visible(what));
    }
    if !members.is_empty() {
        let _ = write!(text, "\n\n{}", members_table(members));
    }
    let failing = |peer: &&Peer| !peer.connected && peer.reason.is_some();
    if peers.iter().any(|peer| failing(&peer)) {
        let _ = write!(text, "\n\n{}", peers_table(peers.iter().filter(failing)));
    }
    text
}

fn shards_table(shards: &[Shard]) -> String {
    let heads = [
        ("SHARD", Side::Right),
        ("ENTRIES", Side::Right),
        ("SIZE", Side::Right),
        ("QUEUE", Side::Right),
        ("RESTARTS", Side::Right),
    ];
    let row = |shard: &Shard| {
        vec![
            shard.id.to_string(),
            grouped(shard.entries),
            size(shard.bytes),
            grouped(shard.queue),
            grouped(shard.restarts),
        ]
    };
    render(&heads, &shards.iter().map(row).collect::<Vec<_>>())
}

fn members_table(members: &[Member]) -> String {
    let heads = [
        ("MEMBER", Side::Left),
        ("ADDRESS", Side::Left),
        ("STATE", Side::Left),
        ("SLOTS", Side::Right),
    ];
    let row = |member: &Member| {
        vec![
            visible(&member.node).into_owned(),
            visible(member.addr.as_deref().unwrap_or("-")).into_owned(),
            visible(&member.state).into_owned(),
            member.slots.map_or_else(|| "-".to_owned(), grouped),
        ]
    };
    render(&heads, &members.iter().map(row).collect::<Vec<_>>())
}

/// The places where others are looked for in vain.
fn peers_table<'a>(peers: impl Iterator<Item = &'a Peer>) -> String {
    let heads = [("NOT CONNECTED", Side::Left), ("ATTEMPTS", Side::Right), ("WHY", Side::Left)];
    let row = |peer: &Peer| {
        vec![
            visible(&peer.addr).into_owned(),
            grouped(peer.failures),
            visible(peer.reason.as_deref().unwrap_or_default()).into_owned(),
        ]
    };
    render(&heads, &peers.map(row).collect::<Vec<_>>())
}

fn memory_line(memory: &Memory) -> String {
    let Memory { limit_bytes, used_bytes, live_bytes } = memory;
    let share = percent(*live_bytes, *limit_bytes);
    let (live, limit) = (size(*live_bytes), size(*limit_bytes));
    format!("memory    {live} of entries in {limit} ({share}), {} taken", size(*used_bytes))
}

fn requests_line(requests: &Requests) -> String {
    let Requests { hits, misses, writes, evictions } = requests;
    let share = percent(*hits, hits.saturating_add(*misses));
    format!(
        "requests  {} hits ({share}), {} misses, {} writes, {} evictions",
        grouped(*hits),
        grouped(*misses),
        grouped(*writes),
        grouped(*evictions),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_tables() {
        let status = r#"{"node":"smache@a","boot_id":"b1","version":"0.1.0","state":"ready",
            "uptime_ms":3723004,"new":{"x":1},
            "shards":[{"id":0,"entries":1200,"bytes":1048576,"queue":0,"restarts":0,"more":1},
                      {"id":1,"entries":7,"bytes":10,"queue":3,"restarts":12}],
            "memory":{"limit_bytes":268435456,"used_bytes":134217728,"live_bytes":67108864},
            "requests":{"hits":3,"misses":1,"writes":4,"evictions":0},
            "cluster":{"epoch":2,"moving":0,"members":[
                {"node":"smache@a","addr":"127.0.0.1:4100","state":"alive","slots":16384},
                {"node":"b","state":"joining"}],
                "peers":[{"addr":"127.0.0.1:4100","connected":true},
                {"addr":"b:4100","connected":false,"failures":12,"reason":"wrong cookie"}]}}"#;
        let expected = "\
smache@a  ready  version 0.1.0  up 1h 2m  boot b1

SHARD  ENTRIES     SIZE  QUEUE  RESTARTS
    0    1,200  1.0 MiB      0         0
    1        7     10 B      3        12

memory    64.0 MiB of entries in 256.0 MiB (25.0 %), 128.0 MiB taken
requests  3 hits (75.0 %), 1 misses, 4 writes, 0 evictions
cluster   epoch 2, 0 entries still to move

MEMBER    ADDRESS         STATE     SLOTS
smache@a  127.0.0.1:4100  alive    16,384
b         -               joining       -

NOT CONNECTED  ATTEMPTS  WHY
b:4100               12  wrong cookie";
        assert_eq!(tables(&serde_json::from_str(status).unwrap()), expected);
    }

    #[test]
    fn what_a_node_does_not_say_is_left_empty() {
        let text = tables(&serde_json::from_str(r#"{"node":"n"}"#).unwrap());
        assert!(text.starts_with("n  "), "{text}");
        assert!(text.contains("memory    0 B of entries in 0 B (-), 0 B taken"), "{text}");
    }
}
