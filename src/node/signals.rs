//! The signals a node is told something by, and what each of them means to it.
//!
//! Whatever would end a process and may come by accident means something here, so that nothing but
//! SIGKILL and a fault ends a node without a drain.

use std::fs;
use std::io::{IsTerminal, stderr, stdin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tracing::info;

use super::NodeError;
use crate::limits::SECOND_SIGNAL_AFTER;

/// The signals of this process, kept for [`Node::run`](super::Node::run).
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
    /// Whether SIGHUP means that the terminal is gone.
    is_of_terminal: bool,
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// End, after a drain. Said again, end at once.
    End(&'static str),
    /// The terminal is gone, and with it whoever watched: end, after a drain.
    Abandoned,
    /// Read again what can be changed while the node runs.
    Reload,
    /// Say how the node is.
    Report,
    /// Nothing.
    Nothing(&'static str),
}

impl Signals {
    /// Has the signals kept from now on. To be called before a node is started: one that comes
    /// earlier ends the process at once.
    ///
    /// # Errors
    ///
    /// [`NodeError::Signals`] if the system does not let them be handled.
    pub fn listen() -> Result<Self, NodeError> {
        let listen = |kind| signal(kind).map_err(NodeError::Signals);
        // To be looked at before it is handled, as it is not ignored any more then.
        let is_of_terminal =
            !is_hang_up_ignored() && (stdin().is_terminal() || stderr().is_terminal());
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hang_up: listen(SignalKind::hangup())?,
            user_1: listen(SignalKind::user_defined1())?,
            user_2: listen(SignalKind::user_defined2())?,
            is_of_terminal,
        })
    }

    /// What the next signal means.
    pub(super) async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::End("SIGTERM"),
            _ = self.interrupt.recv() => Word::End("SIGINT"),
            _ = self.quit.recv() => Word::End("SIGQUIT"),
            _ = self.hang_up.recv() => match self.is_of_terminal {
                true => Word::Abandoned,
                false => Word::Reload,
            },
            _ = self.user_1.recv() => Word::Report,
            _ = self.user_2.recv() => Word::Nothing("SIGUSR2"),
        }
    }

    /// Waits until somebody insists on an end that was reported at `reported`, and returns by which
    /// signal.
    ///
    /// Who sends two at once does not: `timeout` and supervisors tell a process and then its group.
    pub(super) async fn insisted(&mut self, reported: Instant) -> &'static str {
        let mut was_said = false;
        loop {
            let Word::End(signal) = self.next().await else { continue };
            if SECOND_SIGNAL_AFTER <= reported.elapsed() {
                return signal;
            }
            if !std::mem::replace(&mut was_said, true) {
                let after_ms = SECOND_SIGNAL_AFTER.as_millis();
                info!(signal, after_ms, "draining already: only a signal after that time ends it");
            }
        }
    }
}

/// Whether whoever started this process had it ignore SIGHUP, as `nohup` does.
fn is_hang_up_ignored() -> bool {
    const SIGHUP: u64 = 1;
    // Where the system has no such file, nothing is known to be ignored.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ignored.is_some_and(|bits| bits & SIGHUP != 0)
}
