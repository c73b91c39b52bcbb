//! What the log of a node looks like, and its first lines.
//!
//! Several nodes log into one terminal, or into one place where logs are gathered: each line has the name
//! of its node.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write, stderr};
use std::process;

use bytesize::ByteSize;
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt as lines, registry};

use crate::config::{Config, LogFormat};
use crate::member::NodeName;

/// What of the log is wanted, to be changed while the node runs.
pub struct Wanted(Handle<Targets, Registry>);

impl Wanted {
    /// Has the log be of another level.
    ///
    /// # Errors
    ///
    /// [`reload::Error`] if there is no log any more.
    pub fn set(&self, level: LevelFilter) -> Result<(), reload::Error> {
        self.0.reload(wanted_of(level))
    }
}

/// Has lines written to standard error as `config` says, and writes the first ones.
pub fn start(config: &Config) -> Wanted {
    let (filter, wanted) = reload::Layer::new(wanted_of(config.log));
    // Where nobody can read the log any more, as its terminal or pipe is gone, the node goes on. To
    // say so on the same standard error would be a panic.
    let lines = lines::layer().log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => {
            let named = NamedTime(config.node.clone());
            let lines = lines.with_writer(stderr).with_ansi(has_colours());
            let lines = lines.with_target(false).with_timer(named);
            registry().with(lines.with_filter(filter)).init();
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_writer(NamedObjects::new(&config.node));
            registry().with(lines.with_filter(filter)).init();
        }
    }
    process_panics();
    announce(config);
    Wanted(wanted)
}

fn wanted_of(level: LevelFilter) -> Targets {
    // What the actor library says of itself is for those who look for its faults.
    let libraries = match level {
        LevelFilter::DEBUG | LevelFilter::TRACE => level,
        level => level.min(LevelFilter::ERROR),
    };
    Targets::new().with_default(libraries).with_target("smache", level)
}

fn process_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        error!(place, reason = info.payload_as_str(), "panic");
    }));
}

/// Whether people look at it who want colours: a terminal that has some, without `NO_COLOR`
/// (<https://no-color.org>).
fn has_colours() -> bool {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    stderr().is_terminal() && !is_unwanted && !is_dumb
}

/// Says what begins here, and what is open to whom.
fn announce(config: &Config) {
    let (version, pid) = (env!("CARGO_PKG_VERSION"), process::id());
    let memory = ByteSize(config.memory_bytes as u64).to_string();
    info!(version, pid, shards = config.shards, memory, "smache starts");
    let http = config.http.filter(|addr| !addr.ip().is_loopback());
    if let Some(http) = http.filter(|_| config.token.is_none()) {
        warn!(%http, "whoever reaches this address may read and write: it has no token (--insecure)");
    }
    if let Some(http) = http.filter(|_| config.has_demo) {
        warn!(%http, "whoever may ask at this address may crash actors and cut connections (--demo)");
    }
    let cluster = config.cluster.as_ref().filter(|cluster| !cluster.listen.ip().is_loopback());
    if let Some(cluster) = cluster.filter(|cluster| cluster.cookie.is_none()) {
        let cluster = cluster.listen;
        warn!(%cluster, "whoever reaches this address may join the cluster: it has no cookie (--insecure)");
    }
}

/// The time, and the name of the node behind it.
struct NamedTime(NodeName);

impl FormatTime for NamedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(writer)?;
        write!(writer, " {}", self.0)
    }
}

/// Standard error, on which each line is an object with the name of the node as its first member.
struct NamedObjects {
    begin: String,
}

struct NamedObject<'a, W> {
    begin: &'a str,
    out: W,
}

impl NamedObjects {
    fn new(node: &NodeName) -> Self {
        // A name has neither quotes nor backslashes.
        Self { begin: format!("{{\"node\":\"{node}\",") }
    }
}

impl<'a> MakeWriter<'a> for NamedObjects {
    type Writer = NamedObject<'a, io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        NamedObject { begin: &self.begin, out: stderr() }
    }
}

impl<W: Write> Write for NamedObject<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    /// A line comes in one piece, and goes in one, so that those of several nodes do not mix.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match line.strip_prefix(b"{") {
            Some(rest) => self.out.write_all(&[self.begin.as_bytes(), rest].concat()),
            None => self.out.write_all(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_names_its_node() {
        let objects = NamedObjects::new(&NodeName::new("a@x").unwrap());
        let mut written = vec![];
        let mut one = NamedObject { begin: &objects.begin, out: &mut written };
        one.write_all(b"{\"level\":\"INFO\"}\n").unwrap();
        let line: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!((&line["node"], &line["level"]), (&"a@x".into(), &"INFO".into()));
    }
}
