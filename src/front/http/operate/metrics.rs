//! `/metrics`: what the node counts, as Prometheus reads it (OpenMetrics 1.0 text).

use std::fmt;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use warp::reply::Response;

use super::operations::only_get;
use crate::cache::{Cache, MemberState, MemberStatus, NodeState, ShardStatus, Status, Tree};
use crate::door::Places;
use crate::front::http::serve::{Refusal, raw_json};
use crate::metrics::{self, HttpCounts};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// `/metrics`.
pub(super) fn answer(
    method: &Method,
    query: &str,
    cache: &Cache,
    counts: &HttpCounts,
    places: &Places,
) -> Result<Response, Refusal> {
    only_get(method, query)?;
    let mut families = cache_families(&cache.status(), &cache.tree());
    families.extend(http_families(counts, places));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        let message = "cannot encode the metrics";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message));
    }
    let mut response = raw_json(StatusCode::OK, text);
    response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    Ok(response)
}

fn cache_families(status: &Status, tree: &Tree) -> Vec<Family> {
    let requests = &status.requests;
    let of_shards = |value: fn(&ShardStatus) -> u64| {
        let sample = |shard: &ShardStatus| Sample::labelled("shard", shard.id, value(shard));
        status.shards.iter().map(sample).collect()
    };
    let restarts =
        tree.children.iter().map(|child| Sample::labelled("child", &child.name, child.restarts));
    let is_ready = u64::from(status.state == NodeState::Ready);
    let cluster = &status.cluster;
    let own = cluster.members.iter().find(|member| member.node == status.node);
    let slots = own.map_or(0, |own| u64::from(own.slots));
    let detours = cluster.members.iter().filter(|member| member.via.is_some()).count() as u64;
    vec![
        counter(metrics::HITS, "Reads that found an entry", one(requests.hits)),
        counter(metrics::MISSES, "Reads that found none", one(requests.misses)),
        counter(metrics::WRITES, "Writes that changed something", one(requests.writes)),
        counter(metrics::EVICTIONS, "Entries evicted", one(requests.evictions)),
        counter(metrics::EXPIRATIONS, "Entries expired", one(requests.expirations)),
        counter(metrics::OVERSIZE, "Entries too large to be taken over", one(requests.oversize)),
        gauge(metrics::ENTRIES, "Entries held", of_shards(|shard| shard.entries)),
        gauge(metrics::MEMORY_USED, "Bytes held", of_shards(|shard| shard.bytes)),
        gauge(metrics::MEMORY_LIMIT, "Bytes allowed", one(status.memory.limit_bytes)),
        gauge(metrics::QUEUE, "Writes waiting", of_shards(|shard| shard.queue as u64)),
        counter(metrics::RESTARTS, "Restarts of supervised actors", restarts.collect()),
        gauge(metrics::UPTIME, "Seconds since the start", one(status.uptime_ms / 1_000)),
        gauge(metrics::READY, "1 while the node takes requests", one(is_ready)),
        gauge(metrics::MEMBERS, "Members of the cluster by state", members(&cluster.members)),
        gauge(metrics::EPOCH, "Changes of the members", one(cluster.epoch)),
        gauge(metrics::SLOTS_OWNED, "Slots owned", one(slots)),
        gauge(metrics::MOVING, "Entries still to be sent to their owners", one(cluster.moving)),
        gauge(metrics::DETOURS, "Members reached by way of another", one(detours)),
        counter(metrics::RELAYED, "Requests passed on for others", one(cluster.relayed)),
    ]
}

/// How many members are in each state.
fn members(members: &[MemberStatus]) -> Vec<Sample> {
    let states = [
        ("joining", MemberState::Joining),
        ("alive", MemberState::Alive),
        ("suspect", MemberState::Suspect),
        ("dead", MemberState::Dead),
        ("leaving", MemberState::Leaving),
    ];
    let count = |state| members.iter().filter(|member| member.state == state).count() as u64;
    let sample = |(name, state)| Sample::labelled("state", name, count(state));
    states.into_iter().map(sample).collect()
}

fn http_families(counts: &HttpCounts, places: &Places) -> Vec<Family> {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter();
    let answers = classes
        .zip(&counts.answers)
        .map(|(class, answers)| Sample::labelled("status", class, answers.total()));
    let (accepted, refused) = (one(places.accepted()), one(places.refused()));
    let timed_out = one(counts.timed_out.total());
    vec![
        counter(metrics::HTTP_ANSWERS, "HTTP answers by class of status", answers.collect()),
        gauge(metrics::HTTP_CONNECTIONS, "HTTP connections open", one(places.open() as u64)),
        counter(metrics::HTTP_ACCEPTED, "HTTP connections accepted", accepted),
        counter(metrics::HTTP_REFUSED, "HTTP connections over the cap", refused),
        counter(metrics::HTTP_TIMED_OUT, "HTTP connections past a deadline", timed_out),
    ]
}

/// All metrics of one answer.
#[derive(Debug)]
struct Families(Vec<Family>);

/// One metric with all its samples.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    label: Option<[(&'static str, String); 1]>,
    value: u64,
}

impl Sample {
    fn labelled(name: &'static str, label: impl ToString, value: u64) -> Self {
        #![allow(clippy::needless_pass_by_value, reason = "labels are numbers and short names")]
        Self { label: Some([(name, label.to_string())]), value }
    }
}

fn one(value: u64) -> Vec<Sample> {
    vec![Sample { label: None, value }]
}

fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Family {
    Family { name, help, kind: MetricType::Counter, samples }
}

fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Family {
    Family { name, help, kind: MetricType::Gauge, samples }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        for sample in &self.samples {
            match &sample.label {
                Some(label) => self.encode_value(sample.value, metric.encode_family(label)?)?,
                // A metric without a label has this one sample.
                None => return self.encode_value(sample.value, metric),
            }
        }
        Ok(())
    }

    fn encode_value(&self, value: u64, metric: MetricEncoder<'_>) -> fmt::Result {
        match self.kind {
            MetricType::Counter => ConstCounter::new(value).encode(metric),
            _ => ConstGauge::new(value).encode(metric),
        }
    }
}
