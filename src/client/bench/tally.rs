//! What was measured: every request is either answered or lost, and counted as one of them.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::io::Errno;

use super::answer::{Answer, Malformed, is_miss};
use super::request::Kind;
use crate::client::output::error_message;
use crate::limits::{BENCH_REQUEST_TIMEOUT, CLIENT_CONNECT_TIMEOUT};

/// Digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;

/// Shortest latency told from its neighbours, in nanoseconds.
const LATENCY_NANOS_MIN: u64 = 1_000;

/// Longest latency, in nanoseconds: past its deadline, a request is lost.
const LATENCY_NANOS_MAX: u64 = 2 * BENCH_REQUEST_TIMEOUT.as_nanos() as u64;

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody listens.
    #[error("connection refused")]
    Refused,
    /// The connection could not be opened for another reason.
    #[error("no connection: {0}")]
    Unconnected(String),
    /// The process has no more file descriptors.
    #[error("too many open files")]
    Descriptors,
    /// The connection broke.
    #[error("connection reset: {0}")]
    Reset(String),
    /// The node closed the connection before it answered.
    #[error("connection closed before the answer")]
    Closed,
    /// No answer in time.
    #[error("no answer within {} s", BENCH_REQUEST_TIMEOUT.as_secs())]
    Timeout,
    /// A status other than 2xx.
    #[error("status {0}: {1}")]
    Status(u16, String),
    /// Something that is no answer.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

impl Failure {
    /// Why a connection could not be opened.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => {
                Self::Unconnected(format!("none within {} s", CLIENT_CONNECT_TIMEOUT.as_secs()))
            }
            _ => match Errno::from_io_error(error) {
                Some(Errno::MFILE | Errno::NFILE) => Self::Descriptors,
                _ => Self::Unconnected(error.to_string()),
            },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unconnected(_) | Self::Descriptors => "unconnected",
            Self::Reset(_) => "reset",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Status(..) => "bad_status",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// Names of all kinds of failures, in the order they are reported.
pub(super) const FAILURE_NAMES: [&str; 7] =
    ["refused", "unconnected", "reset", "closed", "timeout", "bad_status", "malformed"];

/// Counts of the requests of one thread, or of a whole run.
#[derive(Debug)]
pub(super) struct Tally {
    /// Requests with a 2xx answer.
    pub(super) answered: u64,
    /// Of these, reads of a key that was there.
    pub(super) hits: u64,
    /// Of these, reads of a key that was absent.
    pub(super) misses: u64,
    /// Of these, writes.
    pub(super) writes: u64,
    /// Requests with no good answer.
    pub(super) failed: u64,
    /// The same by kind.
    pub(super) failures: BTreeMap<&'static str, u64>,
    /// What happened to the first of them.
    pub(super) first_failure: Option<Failure>,
    /// Answers by status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Bytes sent and received.
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    /// Connections that were opened.
    pub(super) connections: u64,
    /// Nanoseconds from just before the write to the whole answer, of each answered request.
    pub(super) latency: Histogram<u64>,
    /// When the last answer or failure came.
    pub(super) last_event: Option<Instant>,
}

impl Tally {
    /// Nothing yet.
    #[expect(clippy::expect_used, reason = "the bounds are constants that a test has tried")]
    pub(super) fn new() -> Self {
        let latency =
            Histogram::new_with_bounds(LATENCY_NANOS_MIN, LATENCY_NANOS_MAX, LATENCY_DIGITS)
                .expect("bounds of the histogram are valid");
        Self {
            answered: 0,
            hits: 0,
            misses: 0,
            writes: 0,
            failed: 0,
            failures: BTreeMap::new(),
            first_failure: None,
            statuses: BTreeMap::new(),
            sent_bytes: 0,
            received_bytes: 0,
            connections: 0,
            latency,
            last_event: None,
        }
    }

    /// Requests that are no longer under way.
    pub(super) fn finished(&self) -> u64 {
        self.answered + self.failed
    }

    /// Counts the answer to a request of `kind`, whose body starts with `excerpt`.
    pub(super) fn count_answer(
        &mut self,
        kind: Kind,
        answer: Answer,
        excerpt: &[u8],
        latency: Duration,
    ) {
        *self.statuses.entry(answer.status).or_default() += 1;
        if !(200..300).contains(&answer.status) {
            // Only the first message is shown, and a node that is overloaded sends many.
            let message = match self.first_failure {
                None => error_message(excerpt),
                Some(_) => String::new(),
            };
            self.count_lost(1, Failure::Status(answer.status, message));
            return;
        }
        self.answered += 1;
        match kind {
            Kind::Read if is_miss(excerpt) => self.misses += 1,
            Kind::Read => self.hits += 1,
            Kind::Write => self.writes += 1,
            Kind::Health => {}
        }
        // What is longer than the longest is not lost but recorded as that.
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts `requests` that `failure` has cost.
    pub(super) fn count_lost(&mut self, requests: u64, failure: Failure) {
        self.failed += requests;
        *self.failures.entry(failure.name()).or_default() += requests;
        self.first_failure.get_or_insert(failure);
    }

    /// Adds the counts of `other`.
    pub(super) fn absorb(&mut self, other: Self) {
        self.answered += other.answered;
        self.hits += other.hits;
        self.misses += other.misses;
        self.writes += other.writes;
        self.failed += other.failed;
        for (name, count) in other.failures {
            *self.failures.entry(name).or_default() += count;
        }
        self.first_failure = self.first_failure.take().or(other.first_failure);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.connections += other.connections;
        // Both have the same bounds, which is all that could be wrong.
        let _ = self.latency.add(&other.latency);
        self.last_event = self.last_event.max(other.last_event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Answer = Answer { status: 200, closes: false };

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let (mut even, mut odd) = (Tally::new(), Tally::new());
        for millis in 1..=1_000_u64 {
            let tally = if millis % 2 == 0 { &mut even } else { &mut odd };
            tally.count_answer(Kind::Health, OK, b"", Duration::from_millis(millis));
        }
        even.absorb(odd);
        for (quantile, millis) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = even.latency.value_at_quantile(quantile) as f64 / 1e6;
            assert!((found / millis - 1.0_f64).abs() < 0.002, "{quantile}: {found}");
        }
        assert_eq!(even.answered, 1_000);
    }

    #[test]
    fn latencies_out_of_bounds_are_kept_at_the_bound() {
        let mut tally = Tally::new();
        tally.count_answer(Kind::Health, OK, b"", Duration::ZERO);
        tally.count_answer(Kind::Health, OK, b"", Duration::from_secs(3_600));
        assert_eq!(tally.latency.len(), 2);
        assert!(LATENCY_NANOS_MAX <= tally.latency.max());
    }

    #[test]
    fn a_bad_status_is_a_failure_and_no_latency() {
        let mut tally = Tally::new();
        let busy = Answer { status: 503, closes: false };
        tally.count_answer(Kind::Read, busy, br#"{"message":"busy"}"#, Duration::from_millis(1));
        tally.count_lost(3, Failure::Closed);
        assert_eq!((tally.answered, tally.failed, tally.latency.len()), (0, 4, 0));
        assert_eq!(tally.failures, BTreeMap::from([("bad_status", 1), ("closed", 3)]));
        assert_eq!(tally.first_failure.unwrap().to_string(), "status 503: busy");
    }
}
