//! What is about the node.

use rustix::process::{Signal, getpid, kill_process};

use super::super::codec::{Output, Request};
use super::super::failure::Failure;
use super::super::session::Session;
use crate::cache::{NodeState, Space, Status};
use crate::clock;
use crate::glob;
use crate::limits::RESP_CONNECTIONS_MAX;

/// The version of Redis whose commands these are: clients look at it to know what they may ask for.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn time(
    _session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let now = clock::now().0;
    out.array(2);
    out.bulk((now / 1_000).to_string());
    out.bulk((now % 1_000 * 1_000).to_string());
    Ok(())
}

/// How many keys there are on all nodes. One that does not say so is named: a smaller number would be
/// believed.
pub(super) async fn dbsize(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut sum = 0_u64;
    for (node, keys) in session.shared.cache.count_keys(None).await {
        let keys = keys.ok_or_else(|| {
            Failure::of(format!("TRYAGAIN {node} did not say in time how many keys it has"))
        })?;
        sum = sum.saturating_add(keys);
    }
    out.count(sum);
    Ok(())
}

pub(super) fn config(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if request.arg(1).eq_ignore_ascii_case(b"set") {
        return set_config(session, request, out);
    }
    if !request.arg(1).eq_ignore_ascii_case(b"get") {
        return Err(Failure::subcommand("config", request.arg(1)));
    }
    if request.len() < 3 {
        return Err(Failure::arity("config|get"));
    }
    let patterns: Vec<_> = request.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let mut settings = settings(session);
    settings
        .retain(|(name, _)| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    out.map(settings.len());
    for (name, value) in settings {
        out.bulk(name);
        out.bulk(value);
    }
    Ok(())
}

/// Changes the one setting that can be while a node runs; the others are flags of `smache serve`.
fn set_config(session: &Session, request: Request<'_>, out: &mut Output) -> Result<(), Failure> {
    if request.len() < 4 {
        return Err(Failure::arity("config|set"));
    }
    let (name, value) = (request.arg(2).to_ascii_lowercase(), request.arg(3));
    let is_known = settings(session).iter().any(|(known, _)| known.as_bytes() == name);
    let name = String::from_utf8_lossy(&name);
    if !is_known || request.len() != 4 {
        return Err(Failure::of(format!(
            "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
        )));
    }
    let refused = |why: &str| {
        Failure::of(format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
        ))
    };
    if name != "notify-keyspace-events" {
        return Err(refused("can't set immutable config"));
    }
    let unknown = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
    session.shared.keyspace.set(value).map_err(|_| refused(unknown))?;
    out.simple("OK");
    Ok(())
}

/// Settings of Redis that mean something here, as they are.
fn settings(session: &Session) -> Vec<(&'static str, String)> {
    let cache = &session.shared.cache;
    vec![
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", RESP_CONNECTIONS_MAX.to_string()),
        ("maxmemory", cache.status().memory.limit_bytes.to_string()),
        ("maxmemory-policy", "allkeys-lfu".to_owned()),
        ("notify-keyspace-events", session.shared.keyspace.text()),
        ("port", session.shared.addr.port().to_string()),
        ("proto-max-bulk-len", session.limits().0.bulk_bytes_max.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ]
}

/// A part of what `INFO` tells.
struct Section {
    name: &'static str,
    lines: Vec<(&'static str, String)>,
}

pub(super) async fn info(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let wanted: Vec<_> = request.from(1).map(<[u8]>::to_ascii_lowercase).collect();
    let is_all = wanted.is_empty()
        || wanted.iter().any(|word| matches!(&word[..], b"all" | b"default" | b"everything"));
    let counts = session.shared.cache.count_keys(None).await;
    let here = session.shared.cache.node();
    let keys = counts.iter().find(|(node, _)| node == here).and_then(|(_, keys)| *keys);
    let mut text = String::new();
    for Section { name, lines } in sections(session, keys.unwrap_or_default()) {
        if !is_all && !wanted.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes())) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {name}\r\n"));
        for (name, value) in lines {
            text.push_str(&format!("{name}:{value}\r\n"));
        }
    }
    out.text(&text);
    Ok(())
}

fn sections(session: &Session, keys: u64) -> Vec<Section> {
    let status = session.shared.cache.status();
    let mode = if session.shared.cache.is_clustered() { "cluster" } else { "standalone" };
    vec![
        Section {
            name: "Server",
            lines: vec![
                ("redis_version", REDIS_VERSION.to_owned()),
                ("redis_mode", mode.to_owned()),
                ("smache_version", status.version.to_owned()),
                ("smache_node", status.node.clone()),
                ("run_id", status.boot_id.clone()),
                ("process_id", getpid().as_raw_nonzero().to_string()),
                ("tcp_port", session.shared.addr.port().to_string()),
                ("uptime_in_seconds", (status.uptime_ms / 1_000).to_string()),
                ("uptime_in_days", (status.uptime_ms / 86_400_000).to_string()),
            ],
        },
        Section {
            name: "Clients",
            lines: vec![
                ("connected_clients", session.shared.places.open().to_string()),
                ("maxclients", RESP_CONNECTIONS_MAX.to_string()),
            ],
        },
        Section {
            name: "Memory",
            lines: vec![
                ("used_memory", status.memory.used_bytes.to_string()),
                ("used_memory_dataset", status.memory.live_bytes.to_string()),
                ("maxmemory", status.memory.limit_bytes.to_string()),
                ("maxmemory_policy", "allkeys-lfu".to_owned()),
            ],
        },
        Section { name: "Persistence", lines: persistence(&status) },
        Section { name: "Stats", lines: stats(session, &status) },
        Section {
            name: "Replication",
            lines: vec![("role", "master".to_owned()), ("connected_slaves", "0".to_owned())],
        },
        Section {
            name: "Cluster",
            lines: vec![("cluster_enabled", u8::from(mode == "cluster").to_string())],
        },
        Section { name: "Keyspace", lines: keyspace(keys) },
    ]
}

fn persistence(status: &Status) -> Vec<(&'static str, String)> {
    vec![("loading", u8::from(status.state == NodeState::Starting).to_string())]
}

fn stats(session: &Session, status: &Status) -> Vec<(&'static str, String)> {
    let (requests, hub) = (&status.requests, session.shared.cache.hub());
    vec![
        ("total_connections_received", session.shared.places.accepted().to_string()),
        ("rejected_connections", session.shared.places.refused().to_string()),
        ("total_commands_processed", session.shared.counts.commands.total().to_string()),
        ("keyspace_hits", requests.hits.to_string()),
        ("keyspace_misses", requests.misses.to_string()),
        ("pubsub_channels", hub.topics_of(Space::Channels).len().to_string()),
        ("pubsub_patterns", hub.patterns(Space::Channels).to_string()),
        ("evicted_keys", requests.evictions.to_string()),
        ("expired_keys", requests.expirations.to_string()),
    ]
}

/// Redis leaves out a database without keys.
fn keyspace(keys: u64) -> Vec<(&'static str, String)> {
    match keys {
        0 => vec![],
        keys => vec![("db0", format!("keys={keys},expires=0,avg_ttl=0"))],
    }
}

/// Ends the node as SIGTERM does. The client is told nothing, as by Redis: its connection ends.
pub(super) fn shutdown(
    session: &mut Session,
    request: Request<'_>,
    _out: &mut Output,
) -> Result<(), Failure> {
    let words = [&b"nosave"[..], b"save", b"now", b"force"];
    if !request.from(1).all(|word| words.contains(&&word.to_ascii_lowercase()[..])) {
        return Err(Failure::SYNTAX);
    }
    if !session.shared.has_demo {
        return Err(Failure::fixed("NOPERM SHUTDOWN is allowed on a node started with --demo"));
    }
    kill_process(getpid(), Signal::TERM)
        .map_err(|reason| Failure::of(format!("ERR the node cannot end itself: {reason}")))?;
    session.is_over = true;
    Ok(())
}
