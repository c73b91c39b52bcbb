//! How a node ends, and what it says of that.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tracing::{info, warn};

use crate::cluster::LeftBehind;
use crate::member::NodeName;

/// Why a node ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// This signal came.
    Signal(&'static str),
    /// SIGHUP came, and the node was started from a terminal.
    TerminalClosed,
    /// A client asked for it.
    Asked,
    /// Restarting did not help any more, or another run has its name.
    Failed(String),
}

/// What became of a node's entries when it ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// Entries that others took, by their names.
    pub(super) handed_over: BTreeMap<NodeName, u64>,
    /// What others should have had and did not take.
    pub(super) left: Result<(), LeftBehind>,
    /// Entries that are here still.
    pub(super) kept: u64,
}

impl Ending {
    /// The last word of a node that has drained.
    pub(super) fn report(&self, cause: &Cause, took: Duration) {
        let took_ms = took.as_millis();
        let (handed_over, to) = (self.total(), self.takers());
        match &self.left {
            Ok(()) if self.kept == 0 => {
                info!(%cause, took_ms, handed_over, to, not_handed_over = 0, "node stopped");
            }
            Ok(()) => {
                let not_handed_over = self.kept;
                let why = "no other node was there to take them";
                info!(%cause, took_ms, handed_over, to, not_handed_over, why, "node stopped");
            }
            Err(LeftBehind { entries, slots }) => {
                let (not_handed_over, not_handed_over_slots) = (entries, slots);
                warn!(
                    %cause,
                    took_ms,
                    handed_over,
                    to,
                    not_handed_over,
                    not_handed_over_slots,
                    "node stopped with what nobody took"
                );
            }
        }
    }

    /// The last word of a node that was told by `signal` not to go on with its drain.
    pub(super) fn report_cut_short(&self, signal: &str, took: Duration) {
        let took_ms = took.as_millis();
        let (handed_over, to, not_handed_over) = (self.total(), self.takers(), self.kept);
        warn!(signal, took_ms, handed_over, to, not_handed_over, "second signal, ending at once");
    }

    fn total(&self) -> u64 {
        self.handed_over.values().sum()
    }

    /// How many each has taken, as text; empty for nobody.
    fn takers(&self) -> String {
        let takers = self.handed_over.iter().map(|(name, entries)| format!("{name} {entries}"));
        takers.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::TerminalClosed => f.write_str("SIGHUP, and it was started from a terminal"),
            Self::Asked => f.write_str("asked over HTTP"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}
