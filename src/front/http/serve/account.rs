//! What is noted of each request: how it is counted, what it is called, and its line in the log.
//!
//! A request is counted by every answer and logged by hardly any, so that what only a line needs is
//! found out where one is written.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use tracing::{Level, debug, enabled, warn};

use crate::clock;
use crate::config::RequestLog;
use crate::limits::{LOGGED_TARGET_BYTES_MAX, SLOW_LINES_MAX};
use crate::metrics::{HttpCounts, Outcome, Route, Verb};
use crate::quiet::Pace;
use crate::trace::{RequestId, Trace, TraceParent, UnderWay};

/// What a request is called by who sends it, or here.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

static SLOW: Pace = Pace::new(SLOW_LINES_MAX);

/// What was asked, as far as it is noted.
pub(super) struct Asked {
    route: Route,
    verb: Verb,
    method: Method,
    /// Path and query, where keys may be logged.
    target: Option<String>,
    /// Whether its sender calls it something that it cannot be called here.
    is_misnamed: bool,
}

impl Asked {
    /// Begins to note a request.
    pub(super) fn of<B>(request: &Request<B>, log: &RequestLog, under_way: &UnderWay) -> Self {
        let path = request.uri().path();
        let route = Route::of(path);
        let verb = Verb::of(route, request.method().as_str());
        let (trace, is_misnamed) = trace_of(request.headers());
        under_way.begin(trace);
        let target = log.has_keys.then(|| {
            let query = request.uri().query().map(|query| format!("?{query}"));
            shortened(format!("{path}{}", query.unwrap_or_default()))
        });
        Self { route, verb, method: request.method().clone(), target, is_misnamed }
    }

    /// Counts its answer, which took so long, logs it, and has the answer say what it is called if its
    /// sender has called it something or a line does.
    pub(super) fn answered<B>(
        self,
        response: &mut Response<B>,
        counts: &HttpCounts,
        log: &RequestLog,
        under_way: &UnderWay,
        took: Duration,
    ) {
        let code = response.status().as_u16();
        let outcome = Outcome::of(self.verb, code, under_way.is_missed());
        counts.answered(self.route, code, self.verb, outcome, took);
        let is_slow = log.slow.is_some_and(|slow| slow <= took);
        let is_logged = is_slow || enabled!(Level::DEBUG);
        let trace = under_way.trace(is_logged || self.is_misnamed);
        if is_logged {
            self.log(is_slow, (code, outcome), took, &trace, under_way);
        }
        let id = trace.id.and_then(|id| HeaderValue::try_from(id.as_str()).ok());
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }

    fn log(
        &self,
        is_slow: bool,
        (code, outcome): (u16, Outcome),
        took: Duration,
        trace: &Trace,
        under_way: &UnderWay,
    ) {
        let (method, route, outcome) = (&self.method, self.route.text(), outcome.text());
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let owner = under_way.owner();
        let owner = owner.as_ref().map(tracing::field::display);
        let request_id = trace.id.as_ref().map(RequestId::as_str);
        let trace_id = trace.parent.as_ref().map(TraceParent::trace_id);
        let target = self.target.as_deref();
        match is_slow.then(|| SLOW.may_say(clock::steady())) {
            Some(Some(kept_back)) => {
                warn!(%method, route, code, outcome, took_us, owner, request_id, trace_id, target, kept_back, "slow request");
            }
            Some(None) => {}
            None => {
                debug!(%method, route, code, outcome, took_us, owner, request_id, trace_id, target, "request");
            }
        }
    }
}

/// What the header calls a request, and whether it calls it something that is no id.
fn trace_of(headers: &HeaderMap) -> (Trace, bool) {
    let (mut trace, mut is_misnamed) = (Trace::default(), false);
    // Faster than to search for two names that are mostly not there.
    for (name, value) in headers {
        if *name == REQUEST_ID {
            trace.id = RequestId::new(value.as_bytes());
            is_misnamed = trace.id.is_none();
        } else if *name == TRACE_PARENT {
            trace.parent = TraceParent::new(value.as_bytes());
        }
    }
    (trace, is_misnamed)
}

fn shortened(mut target: String) -> String {
    if LOGGED_TARGET_BYTES_MAX < target.len() {
        // A target is ASCII by now; were it not, it is cut elsewhere.
        let end = (0..=LOGGED_TARGET_BYTES_MAX).rev().find(|end| target.is_char_boundary(*end));
        target.truncate(end.unwrap_or_default());
        target.push('…');
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Response<()> {
        let request = headers.iter().fold(Request::get("/api?key=1"), |request, (name, value)| {
            request.header(*name, *value)
        });
        let (log, under_way) = (RequestLog::default(), UnderWay::new(false));
        let asked = Asked::of(&request.body(()).unwrap(), &log, &under_way);
        let mut response = Response::new(());
        let counts = HttpCounts::default();
        asked.answered(&mut response, &counts, &log, &under_way, Duration::ZERO);
        assert_eq!(counts.latencies().map(|(_, _, measured)| measured.count()).sum::<u64>(), 1);
        response
    }

    #[test]
    fn what_a_request_is_called_is_given_back_and_nothing_else() {
        assert_eq!(asked(&[("x-request-id", "seven")]).headers()[REQUEST_ID], "seven");
        assert!(asked(&[]).headers().is_empty());
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(asked(&[("traceparent", parent)]).headers().is_empty());
    }

    #[test]
    fn what_is_no_id_is_replaced_by_one() {
        for wrong in ["", "a b", &"x".repeat(1_000)] {
            let response = asked(&[("x-request-id", wrong)]);
            let id = response.headers()[REQUEST_ID].to_str().unwrap();
            assert!(id != wrong && RequestId::new(id.as_bytes()).is_some(), "{id}");
        }
    }

    #[test]
    fn a_long_target_is_cut() {
        assert_eq!(shortened("/api?key=1".to_owned()), "/api?key=1");
        let long = shortened("x".repeat(10 * LOGGED_TARGET_BYTES_MAX));
        assert_eq!(long.chars().count(), LOGGED_TARGET_BYTES_MAX + 1);
        assert!(long.ends_with('…'));
        assert!(shortened("ä".repeat(LOGGED_TARGET_BYTES_MAX)).ends_with('…'));
    }
}
