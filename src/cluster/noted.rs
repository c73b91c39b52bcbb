//! What is logged of the commands of other nodes: under the names their requests have there.

use std::time::Duration;

use tracing::{Level, debug, enabled, warn};

use super::Shared;
use crate::clock;
use crate::command::Reply;
use crate::limits::SLOW_LINES_MAX;
use crate::member::NodeId;
use crate::peer::message::{Received, Refusal, Traced};
use crate::quiet::Pace;
use crate::trace::{RequestId, Trace, TraceParent};

static SLOW: Pace = Pace::new(SLOW_LINES_MAX);

impl Shared {
    /// Has commands of another node done, and logs them where they are slow, or all are logged.
    pub(super) async fn run_noted(
        &self,
        from: &NodeId,
        commands: Vec<Received>,
        traces: &[Traced],
    ) -> Vec<Result<Reply, Refusal>> {
        if self.slow.is_none() && !enabled!(Level::DEBUG) {
            return self.run(commands).await;
        }
        let (began, count) = (clock::steady(), commands.len());
        let outcomes = self.run(commands).await;
        let took = clock::steady().saturating_sub(began);
        let is_slow = self.slow.is_some_and(|slow| slow <= took);
        traces.iter().for_each(|Traced { len, trace, .. }| log(is_slow, from, *len, took, trace));
        let unnamed = count.saturating_sub(traces.iter().map(|traced| traced.len).sum());
        if 0 < unnamed {
            log(is_slow, from, unnamed, took, &Trace::default());
        }
        outcomes
    }
}

fn log(is_slow: bool, from: &NodeId, commands: usize, took: Duration, trace: &Trace) {
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let request_id = trace.id.as_ref().map(RequestId::as_str);
    let trace_id = trace.parent.as_ref().map(TraceParent::trace_id);
    let from = &from.name;
    match is_slow.then(|| SLOW.may_say(clock::steady())) {
        Some(Some(kept_back)) => {
            warn!(%from, commands, took_us, request_id, trace_id, kept_back, "slow commands of another node");
        }
        Some(None) => {}
        None => debug!(%from, commands, took_us, request_id, trace_id, "commands of another node"),
    }
}
