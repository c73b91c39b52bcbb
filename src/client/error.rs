//! Why a client command did not do what was asked.

use std::io;

/// Exit code for wrong usage or configuration, and for trouble on this side of the connection.
const EXIT_USAGE: u8 = 2;

/// Exit code for a node that was not reached or answered with an error.
const EXIT_NODE: u8 = 3;

/// Why a client command did not do what was asked. Each is one line when displayed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A setting has a value that is not allowed; nothing was sent.
    #[error("{setting} is {value}; allowed: {allowed}")]
    Setting {
        /// The flag or environment variable.
        setting: &'static str,
        /// The value as shown to the user; never a secret.
        value: String,
        /// What would be right.
        allowed: String,
    },
    /// A file named by a setting could not be read; nothing was sent.
    #[error("{setting} is {path}, which cannot be read: {source}; allowed: a readable file")]
    File {
        /// The flag or environment variable.
        setting: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Standard input could not be read; nothing was sent.
    #[error("standard input cannot be read: {0}")]
    Input(io::Error),
    /// Standard output could not be written; what was asked for may have happened.
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
    /// The threads of a load run could not be started; nothing was sent.
    #[error("the load cannot be started: {0}")]
    Start(io::Error),
    /// The system has no more file descriptors for this process.
    #[error("--clients is {clients}; allowed: fewer than the open-files limit (ulimit -n)")]
    Descriptors {
        /// Connections that were asked for.
        clients: usize,
    },
    /// No connection; nothing was sent.
    #[error("{url}: not reached: {reason}")]
    Unreachable {
        /// The node's url.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The connection ended or went silent before the answer was complete.
    #[error("{url}: no answer: {reason}")]
    NoAnswer {
        /// The node's url.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The node answered with an error.
    #[error("{url}: answered {status}: {message}")]
    Status {
        /// The node's url.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The node's own message.
        message: String,
    },
    /// The answer is not what a smache node answers.
    #[error("{url}: answered with something unexpected: {reason}")]
    Answer {
        /// The node's url.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Requests of a load run failed; the report was printed before.
    #[error("{url}: {failed} of {requests} {what} failed, the first with: {first}")]
    Load {
        /// The node's url.
        url: String,
        /// How many failed.
        failed: u64,
        /// How many there were.
        requests: u64,
        /// What they were.
        what: &'static str,
        /// What happened to the first.
        first: String,
    },
}

impl ClientError {
    /// The code the process should end with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting { .. }
            | Self::File { .. }
            | Self::Input(_)
            | Self::Output(_)
            | Self::Start(_)
            | Self::Descriptors { .. } => EXIT_USAGE,
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::Load { .. } => EXIT_NODE,
        }
    }
}
