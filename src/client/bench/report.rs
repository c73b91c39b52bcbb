//! What a load run prints at its end.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::plan::{Goal, Load, Plan};
use super::tally::{FAILURE_NAMES, Tally};
use crate::client::figures::{grouped, percent, size};
use crate::notation;

/// The percentiles that are reported, by their names.
const PERCENTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// Nanoseconds of the units latencies are shown in.
const NANOS_PER_MICRO: f64 = 1e3;
const NANOS_PER_MILLI: f64 = 1e6;

/// A load run and what came of it.
pub(super) struct Report<'a> {
    pub(super) url: String,
    pub(super) plan: &'a Plan,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Requests that were sent or should have been.
    pub(super) requests: u64,
    pub(super) tally: &'a Tally,
    /// Whether the run was ended before its goal.
    pub(super) is_cut_short: bool,
}

impl Report<'_> {
    /// Every figure, with its unit in its name.
    pub(super) fn json(&self) -> Value {
        let Self { plan, tally, .. } = self;
        let read_share = match plan.load {
            Load::Health => Value::Null,
            Load::Entries { read_share } => read_share.into(),
        };
        let failures: Map<String, Value> = FAILURE_NAMES
            .iter()
            .map(|name| ((*name).to_owned(), tally.failures.get(name).copied().unwrap_or(0).into()))
            .collect();
        json!({
            "url": self.url,
            "target": match plan.load { Load::Health => "health", Load::Entries { .. } => "api" },
            "clients": plan.clients,
            "threads": plan.threads,
            "pipeline": plan.pipeline,
            "keys": plan.keys,
            "distribution": plan.zipf_exponent.map_or("uniform", |_| "zipf"),
            "zipf_exponent": plan.zipf_exponent,
            "read_share": read_share,
            "value_bytes": plan.value_bytes,
            "seed": plan.seed,
            "filled": plan.is_filled,
            "cut_short": self.is_cut_short,
            "elapsed_ms": self.elapsed.as_secs_f64() * 1e3,
            "requests": self.requests,
            "answered": tally.answered,
            "failed": tally.failed,
            "unanswered": self.unanswered(),
            "requests_per_second": self.per_second(tally.answered),
            "hits": tally.hits,
            "misses": tally.misses,
            "writes": tally.writes,
            "statuses": tally.statuses,
            "errors": failures,
            "first_error": tally.first_failure.as_ref().map(ToString::to_string),
            "reconnects": tally.connections,
            "sent_bytes": tally.sent_bytes,
            "received_bytes": tally.received_bytes,
            "latency_us": self.latencies_us(),
        })
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let tally = self.tally;
        let mut lines = vec![
            ("node", self.url.clone()),
            ("load", self.load_text()),
            ("elapsed", self.elapsed_text()),
            ("requests", self.requests_text()),
            ("throughput", self.throughput_text()),
        ];
        if let Load::Entries { .. } = self.plan.load {
            let share = percent(tally.hits, tally.hits + tally.misses);
            let [hits, misses, writes] = [tally.hits, tally.misses, tally.writes].map(grouped);
            let text = format!("{hits} hits ({share}), {misses} misses, {writes} writes");
            lines.push(("entries", text));
        }
        let counted = |name: String, count: &u64| format!("{name}: {}", grouped(*count));
        let of_status = |(status, count): (&u16, &u64)| counted(status.to_string(), count);
        let statuses: Vec<String> = tally.statuses.iter().map(of_status).collect();
        lines.push(("statuses", or_none(&statuses)));
        let of_failure = |(name, count): (&&str, &u64)| counted(name.replace('_', " "), count);
        let failures: Vec<String> = tally.failures.iter().map(of_failure).collect();
        lines.push(("errors", or_none(&failures)));
        lines.push(("latency", self.latency_text()));
        let lines = lines.into_iter().map(|(name, text)| format!("{name:<12}{text}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn load_text(&self) -> String {
        let Plan { clients, threads, pipeline, seed, keys, value_bytes, .. } = self.plan;
        let who = format!("clients {clients}, threads {threads}, pipeline {pipeline}");
        let Load::Entries { read_share } = self.plan.load else {
            return format!("{who}, GET /");
        };
        let distribution = match self.plan.zipf_exponent {
            Some(exponent) => format!("zipf {exponent}"),
            None => "uniform".to_owned(),
        };
        format!(
            "{who}, {} keys {distribution}, {}% reads, values of {}, seed {seed}",
            grouped(*keys),
            read_share * 100.0,
            size(*value_bytes as u64),
        )
    }

    fn elapsed_text(&self) -> String {
        let goal = match self.plan.goal {
            _ if !self.is_cut_short => return format!("{:.3} s", self.elapsed.as_secs_f64()),
            Goal::Requests(requests) => format!("{} requests", grouped(requests)),
            Goal::Duration(duration) => notation::of_time(duration),
        };
        format!("{:.3} s, cut short of {goal}", self.elapsed.as_secs_f64())
    }

    fn requests_text(&self) -> String {
        let [requests, answered, failed] =
            [self.requests, self.tally.answered, self.tally.failed].map(grouped);
        let unanswered = match self.unanswered() {
            0 => String::new(),
            count => format!(", {} unanswered", grouped(count)),
        };
        format!("{requests}: {answered} answered, {failed} failed{unanswered}")
    }

    fn throughput_text(&self) -> String {
        let [requests, sent, received] =
            [self.tally.answered, self.tally.sent_bytes, self.tally.received_bytes]
                // Fractions of a request or a byte interest nobody here.
                .map(|count| self.per_second(count) as u64);
        format!(
            "{} requests/s, {}/s sent, {}/s received",
            grouped(requests),
            size(sent),
            size(received)
        )
    }

    fn latency_text(&self) -> String {
        let latency = &self.tally.latency;
        if latency.is_empty() {
            return "none".to_owned();
        }
        let shown = |nanos: u64| format!("{:.3} ms", nanos as f64 / NANOS_PER_MILLI);
        let mut parts: Vec<String> = PERCENTILES
            .iter()
            .map(|(name, quantile)| {
                format!("{name} {}", shown(latency.value_at_quantile(*quantile)))
            })
            .collect();
        parts.push(format!("max {}", shown(latency.max())));
        parts.join(", ")
    }

    fn latencies_us(&self) -> Value {
        let latency = &self.tally.latency;
        if latency.is_empty() {
            return Value::Null;
        }
        let micros = |nanos: u64| Value::from(nanos as f64 / NANOS_PER_MICRO);
        let mut figures = Map::new();
        figures.insert("min".to_owned(), micros(latency.min()));
        figures.insert("mean".to_owned(), (latency.mean() / NANOS_PER_MICRO).into());
        for (name, quantile) in PERCENTILES {
            figures.insert(name.replace('.', "_"), micros(latency.value_at_quantile(quantile)));
        }
        figures.insert("max".to_owned(), micros(latency.max()));
        Value::Object(figures)
    }

    fn unanswered(&self) -> u64 {
        self.requests.saturating_sub(self.tally.finished())
    }

    fn per_second(&self, count: u64) -> f64 {
        match self.elapsed.is_zero() {
            true => 0.0,
            false => count as f64 / self.elapsed.as_secs_f64(),
        }
    }
}

fn or_none(parts: &[String]) -> String {
    match parts {
        [] => "none".to_owned(),
        _ => parts.join(", "),
    }
}
