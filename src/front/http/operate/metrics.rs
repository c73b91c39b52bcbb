//! `/metrics`: what the node counts, as Prometheus reads it.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use hyper::{Method, StatusCode};
use warp::reply::Response;

use super::Context;
use super::operations::only_get;
use crate::cache::{
    Cache, ClusterFigures, Figures, MemberState, MemberStatus, NamespaceFigures, NodeState,
    ShardStatus, Status, Tree,
};
use crate::door::{Figures as DoorFigures, Places};
use crate::front::http::serve::{Refusal, raw_json};
use crate::metrics::{self, Family, Format, HubCounts, Labels, PeerCounts, Process, RespCounts};

/// `/metrics`, in the format that is asked for.
pub(super) async fn answer(
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    of: &Context,
) -> Result<Response, Refusal> {
    only_get(method, query)?;
    // It reads files, of which one may have a line for each of ten thousand connections.
    let process = tokio::task::spawn_blocking(Process::read).await;
    let figures = of.cache.figures();
    let mut families = node_families(&of.cache, &figures);
    families.extend(table_families(&of.cache.status(), &figures, &of.cache.tree()));
    families.extend(namespace_families(&of.cache.namespaces_here()));
    if let Some(figures) = &figures.cluster {
        families.extend(peer_families(figures));
    }
    let peers = figures.cluster.as_ref().map(|figures| &*figures.peers);
    families.extend(door_families(of, peers));
    families.extend(hub_families(of.cache.hub().counts()));
    families.extend(of.resp.iter().flat_map(resp_families));
    families.extend(process.unwrap_or_default().families(figures.started));
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::of_accept(&Vec::from_iter(accept).join(","));
    let mut response = raw_json(StatusCode::OK, format.write(&families));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn node_families(cache: &Cache, figures: &Figures) -> Vec<Family> {
    let labels = vec![
        ("node", cache.node().to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("protocols", figures.protocols.to_string()),
    ];
    let is_ready = cache.state() == NodeState::Ready;
    vec![
        Family::gauge(metrics::BUILD_INFO, "1, and what runs", vec![(labels, 1.0)]),
        gauge(metrics::READY, "1 while the node takes requests", u64::from(is_ready)),
    ]
}

fn table_families(status: &Status, figures: &Figures, tree: &Tree) -> Vec<Family> {
    let requests = &status.requests;
    let of_shards = |value: fn(&ShardStatus) -> u64| {
        let sample = |shard: &ShardStatus| sample("shard", shard.id, value(shard));
        status.shards.iter().map(sample).collect()
    };
    let restarts = tree.children.iter().map(|child| sample("child", &child.name, child.restarts));
    let cluster = &status.cluster;
    let is_waiting = u64::from(cluster.waits_for.is_some());
    let own = cluster.members.iter().find(|member| member.node == status.node);
    let slots = own.map_or(0, |own| u64::from(own.slots));
    let evictions = vec![
        sample("cause", "unused", figures.evicted_unused),
        sample("cause", "capacity", figures.evicted_used),
    ];
    vec![
        counter(metrics::HITS, "Reads that found an entry", requests.hits),
        counter(metrics::MISSES, "Reads that found none", requests.misses),
        counter(metrics::WRITES, "Writes that changed something", requests.writes),
        Family::counter(
            metrics::EVICTIONS,
            "Entries evicted: unused since they were new, or used and without room",
            evictions,
        ),
        counter(metrics::EXPIRATIONS, "Entries expired", requests.expirations),
        counter(metrics::OVERSIZE, "Entries too large to be taken over", requests.oversize),
        counter(metrics::TAKEN_OVER, "Entries taken over from other nodes", figures.taken_over),
        counter(metrics::MOVED, "Entries given to other nodes", figures.moved),
        Family::gauge(metrics::ENTRIES, "Entries held", of_shards(|shard| shard.entries)),
        Family::gauge(metrics::MEMORY_USED, "Bytes held", of_shards(|shard| shard.bytes)),
        gauge(metrics::MEMORY_LIMIT, "Bytes allowed", status.memory.limit_bytes),
        Family::gauge(metrics::QUEUE, "Writes waiting", of_shards(|shard| shard.queue as u64)),
        Family::counter(metrics::RESTARTS, "Restarts of actors", restarts.collect()),
        gauge(metrics::UPTIME, "Seconds since the start", status.uptime_ms / 1_000),
        gauge(metrics::WAITING, "1 while the node waits for a cluster or members", is_waiting),
        Family::gauge(metrics::MEMBERS, "Members by state", members(&cluster.members)),
        gauge(metrics::EPOCH, "Changes of the members", cluster.epoch),
        gauge(metrics::SLOTS_OWNED, "Slots owned", slots),
        gauge(metrics::MOVING, "Entries still to be sent to their owners", cluster.moving),
    ]
}

/// What there is of each namespace here; `*` are all that are not counted apart.
fn namespace_families(namespaces: &[(String, NamespaceFigures)]) -> Vec<Family> {
    let of = |value: fn(&NamespaceFigures) -> u64| {
        let sample = |(name, of): &(String, NamespaceFigures)| sample("namespace", name, value(of));
        namespaces.iter().map(sample).collect()
    };
    vec![
        Family::gauge(metrics::NAMESPACE_ENTRIES, "Entries, by namespace", of(|it| it.entries)),
        Family::gauge(
            metrics::NAMESPACE_BYTES,
            "Bytes of entries, by namespace",
            of(|it| it.bytes),
        ),
        Family::counter(metrics::NAMESPACE_HITS, "Hits, by namespace", of(|it| it.hits)),
        Family::counter(metrics::NAMESPACE_MISSES, "Misses, by namespace", of(|it| it.misses)),
        Family::counter(
            metrics::NAMESPACE_EVICTIONS,
            "Entries evicted, by namespace",
            of(|it| it.evictions),
        ),
    ]
}

/// How many members are in each state.
fn members(members: &[MemberStatus]) -> Vec<(Labels, f64)> {
    let states = [
        ("joining", MemberState::Joining),
        ("alive", MemberState::Alive),
        ("suspect", MemberState::Suspect),
        ("dead", MemberState::Dead),
        ("leaving", MemberState::Leaving),
        ("left", MemberState::Left),
    ];
    let count = |state| members.iter().filter(|member| member.state == state).count() as u64;
    let sample = |(name, state)| sample("state", name, count(state));
    states.into_iter().map(sample).collect()
}

fn peer_families(figures: &ClusterFigures) -> Vec<Family> {
    let ClusterFigures { peers, round_trips, died, slots_lost, left, detours } = figures;
    let trips = round_trips.iter().filter_map(|(name, took)| Some((name, took.as_ref()?)));
    let trips = trips.map(|(name, took)| (vec![("peer", name.to_string())], took.as_secs_f64()));
    vec![
        gauge(metrics::PEERS_CONNECTED, "Nodes there is a session with", round_trips.len() as u64),
        Family::gauge(
            metrics::PEER_ROUND_TRIP,
            "How long the last heartbeat and its answer took",
            trips.collect(),
        ),
        counter(metrics::FORWARDS, "Commands sent to other nodes", peers.forwards.total()),
        counter(metrics::RELAYED, "Requests passed on for others", peers.relayed.total()),
        counter(metrics::MEMBERS_DIED, "Members that died", *died),
        counter(metrics::SLOTS_LOST, "Slots of members that died", *slots_lost),
        gauge(metrics::LEFT, "Entries that nobody took in the last pass", *left),
        gauge(metrics::DETOURS, "Members reached by way of another", *detours),
    ]
}

/// What passes the doors; that of the peers is one, where there are any.
fn door_families(of: &Context, peers: Option<&PeerCounts>) -> Vec<Family> {
    let (counts, places) = (&*of.counts, &*of.places);
    let http = |value: u64| vec![sample("door", "http", value)];
    let of_doors = |value: fn(&Places) -> u64| {
        let resp = of.resp.iter().map(|resp| sample("door", "resp", value(&resp.places)));
        http(value(places)).into_iter().chain(resp).collect()
    };
    let both = |value: u64, of_peers: fn(&PeerCounts) -> u64| {
        let of_peers = peers.map(|peers| sample("door", "peer", of_peers(peers)));
        http(value).into_iter().chain(of_peers).collect()
    };
    let latencies = counts.latencies().map(|(verb, outcome, measured)| {
        let labels =
            [("door", "http"), ("verb", verb.text()), ("outcome", outcome.text())].map(owned);
        (labels.to_vec(), measured)
    });
    let responses = counts.responses().map(|(route, code, total)| {
        (vec![("route", route.text().to_owned()), ("code", code.text())], total as f64)
    });
    let received = both(counts.received_bytes.total(), |peers| peers.received_bytes.total());
    let sent = both(counts.sent_bytes.total(), |peers| peers.sent_bytes.total());
    vec![
        Family::histogram(
            metrics::REQUEST_DURATION,
            "From the last bytes of a request to its answer",
            latencies.collect(),
        ),
        Family::counter(metrics::HTTP_RESPONSES, "HTTP responses", responses.collect()),
        Family::counter(metrics::RECEIVED, "Bytes that came in", received),
        Family::counter(metrics::SENT, "Bytes that went out", sent),
        Family::gauge(metrics::CONNECTIONS, "Connections open", of_doors(|of| of.open() as u64)),
        Family::counter(
            metrics::CONNECTIONS_ACCEPTED,
            "Connections accepted",
            of_doors(Places::accepted),
        ),
        Family::counter(
            metrics::CONNECTIONS_REFUSED,
            "Connections over the cap",
            of_doors(Places::refused),
        ),
        Family::counter(
            metrics::CONNECTIONS_TIMED_OUT,
            "Connections past a deadline",
            http(counts.timed_out.total()),
        ),
    ]
}

/// What only the door for clients of Redis's protocol counts.
fn resp_families(resp: &DoorFigures<RespCounts>) -> Vec<Family> {
    let RespCounts { commands, malformed, foreign, stalled } = &*resp.counts;
    let closed = [("malformed", malformed), ("foreign", foreign), ("stalled", stalled)];
    let closed = closed.map(|(cause, count)| sample("cause", cause, count.total()));
    vec![
        counter(metrics::RESP_COMMANDS, "Commands of Redis clients", commands.total()),
        Family::counter(
            metrics::RESP_CLOSED,
            "Connections of Redis clients that were closed",
            closed.to_vec(),
        ),
    ]
}

fn hub_families(counts: &HubCounts) -> Vec<Family> {
    let HubCounts { published, delivered, dropped, lost, gaps } = counts;
    vec![
        counter(metrics::HUB_PUBLISHED, "Messages published", published.total()),
        counter(metrics::HUB_DELIVERED, "Messages told to subscribers", delivered.total()),
        counter(metrics::HUB_LOST, "Messages that another node did not take", lost.total()),
        counter(metrics::HUB_DROPPED, "Subscribers dropped as they fell behind", dropped.total()),
        counter(metrics::HUB_GAPS, "Times at which changes were not told", gaps.total()),
    ]
}

fn owned((name, value): (&'static str, &'static str)) -> (&'static str, String) {
    (name, value.to_owned())
}

fn sample(name: &'static str, label: impl ToString, value: u64) -> (Labels, f64) {
    #![allow(clippy::needless_pass_by_value, reason = "labels are numbers and short names")]
    (vec![(name, label.to_string())], value as f64)
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::counter(name, help, vec![(vec![], value as f64)])
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::gauge(name, help, vec![(vec![], value as f64)])
}
