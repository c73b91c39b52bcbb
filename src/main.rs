//! The program: reads the command line and runs a node or asks one.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use smache::client;
use smache::clock;
use smache::config::{self, Changes, Config, Effective, Flags};
use smache::log::{self, Wanted};
use smache::node::{Node, NodeError, Signals, raise_open_files};
use tokio::runtime::Runtime;
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// By how many milliseconds the clock of a node with `--demo` is wrong.
const WRONG_CLOCK: &str = "SMACHE_DEMO_CLOCK_OFFSET_MS";

/// Exit code of a wrong setting.
const WRONG_USAGE: u8 = 2;

/// Exit code of a node that could not hand everything over before it went.
const LEFT_BEHIND: u8 = 3;

/// How `serve` ends.
const ENDINGS: &str = "A node drains: it hands over what it has, and answers meanwhile. A second signal, a \
second later or more, ends it at once. SIGHUP reads the settings again (from a terminal: drains), SIGUSR1 \
logs how the node is.

Exit codes: 0 all was handed over, or no other node was there; 1 the node failed, or a second signal cut \
off requests; 2 a setting is wrong; 3 something was not handed over.";

/// A cache that scales like a stateless API: supervised shards, HTTP first
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a node until SIGTERM, SIGINT, SIGQUIT or `smache drain`
    #[command(after_help = ENDINGS)]
    Serve(Flags),
    /// Print each setting of `serve`, its value and where that came from
    Config {
        #[command(flatten)]
        flags: Flags,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print a file for --config with every setting, what it means and its default
        #[arg(long)]
        example: bool,
    },
    /// Print what has a shell complete what is typed
    Completions {
        /// The shell
        shell: Shell,
    },
    #[command(flatten)]
    Client(client::Command),
}

fn main() -> ExitCode {
    match Line::parse().verb {
        Verb::Serve(flags) => {
            with_config(&flags, |config, settings| serve(&flags, config, &settings))
        }
        Verb::Config { example: true, .. } => printed(config::example().as_bytes()),
        Verb::Config { flags, json, .. } => {
            with_config(&flags, |config, settings| print(&config.warnings, &settings, json))
        }
        Verb::Completions { shell } => complete(shell),
        Verb::Client(command) => ask(command),
    }
}

/// Does `verb` with the configuration; a wrong one ends the program with its line.
fn with_config(
    flags: &Flags,
    verb: impl FnOnce(Config, Vec<Effective>) -> anyhow::Result<()>,
) -> ExitCode {
    let (config, settings) = match Config::load(flags) {
        Ok(loaded) => loaded,
        Err(wrong) => return fail(&wrong.to_string(), WRONG_USAGE),
    };
    match verb(config, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            let code = match failed.downcast_ref() {
                Some(NodeError::LeftBehind(_) | NodeError::CutShort { left: Some(_), .. }) => {
                    LEFT_BEHIND
                }
                _ => 1,
            };
            fail(&format!("{failed:#}"), code)
        }
    }
}

fn serve(flags: &Flags, config: Config, settings: &[Effective]) -> anyhow::Result<()> {
    if config.has_demo {
        set_wrong_clock()?;
    }
    let wanted = log::start(&config);
    config.warnings.iter().for_each(|line| warn!("{line}"));
    let runtime = start_runtime()?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen()?;
        let node = Node::start(&config).await?;
        let mut config = config;
        node.run(signals, || read_again(flags, &mut config, settings, &wanted)).await
    });
    // Nothing is waited for any more that a thread may still look up.
    runtime.shutdown_background();
    Ok(ended?)
}

/// Reads the settings again, takes over what a running node can, and says what that was. One that is
/// wrong changes nothing.
fn read_again(flags: &Flags, config: &mut Config, settings: &[Effective], wanted: &Wanted) {
    let (again, settings_again) = match Config::load(flags) {
        Ok(loaded) => loaded,
        Err(wrong) => return error!(%wrong, "settings are not reloaded"),
    };
    let Changes { log, waiting } = config.changes(settings, &again, &settings_again);
    if let Some(Err(reason)) = log.map(|_| wanted.set(again.log)) {
        return error!(%reason, "settings are not reloaded");
    }
    let log = log.map(|level| level.to_string());
    let waiting = waiting.join(", ");
    match (log, waiting.as_str()) {
        (None, "") => info!("settings reloaded: nothing has changed"),
        (log, "") => info!(log, "settings reloaded"),
        (log, _) => warn!(log, waiting, "settings reloaded; some wait for the next start"),
    }
    // What waits is named each time until then.
    config.log = again.log;
}

/// Has this node begin with a wrong clock, to see what becomes of it.
fn set_wrong_clock() -> anyhow::Result<()> {
    let Some(millis) = std::env::var_os(WRONG_CLOCK) else { return Ok(()) };
    let millis = millis.to_string_lossy();
    let millis = millis.parse().with_context(|| format!("{WRONG_CLOCK} = {millis:?}"))?;
    clock::begin_wrong_by(millis);
    Ok(())
}

fn complete(shell: Shell) -> ExitCode {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Line::command(), "smache", &mut script);
    printed(&script)
}

fn printed(bytes: &[u8]) -> ExitCode {
    match put(bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => fail(&format!("cannot print: {failed}"), 1),
    }
}

fn ask(command: client::Command) -> ExitCode {
    let runtime = match start_runtime() {
        Ok(runtime) => runtime,
        Err(failed) => return fail(&format!("{failed:#}"), 1),
    };
    match runtime.block_on(client::run(command)) {
        Ok(exit) => exit.into(),
        Err(failed) => fail(&failed.to_string(), failed.exit_code()),
    }
}

fn start_runtime() -> anyhow::Result<Runtime> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")
}

/// Prints the settings, and beside them what is to be said of them.
fn print(warnings: &[String], settings: &[Effective], json: bool) -> anyhow::Result<()> {
    warnings.iter().for_each(|line| drop(writeln!(stderr(), "smache: {line}")));
    let mut text = String::new();
    if json {
        text = serde_json::to_string(settings)? + "\n";
    }
    for Effective { name, value, source } in settings.iter().filter(|_| !json) {
        writeln!(text, "{name:<13} {value:<24} ({source})")?;
    }
    Ok(put(text.as_bytes())?)
}

/// Puts `bytes` to standard output. A reader that has seen enough and closed the pipe is no error.
fn put(bytes: &[u8]) -> io::Result<()> {
    match stdout().lock().write_all(bytes) {
        Err(failed) if failed.kind() != ErrorKind::BrokenPipe => Err(failed),
        _ => Ok(()),
    }
}

/// Says why in one line on standard error. If even that is closed, nobody is there to be told.
fn fail(line: &str, code: u8) -> ExitCode {
    drop(writeln!(stderr(), "smache: {line}"));
    ExitCode::from(code)
}
