//! The commands that speak to a running node: `get`, `put`, `del`, `status`, `tree`, `drain`, `forget`,
//! `bench`.
//!
//! They know nothing of the node but its HTTP interface, so that whatever they show, any other
//! client can find out too. Results go to standard output, everything else to standard error.

mod bench;
mod columns;
mod entries;
mod error;
mod exchange;
mod figures;
mod manage;
mod output;
mod settings;
mod status;
mod target;
mod tree;

use std::process::ExitCode;

pub use bench::{BenchArgs, Distribution};
pub use error::ClientError;
pub use settings::ClientArgs;

use exchange::Node;

/// A command for a running node.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the value of a key
    Get(GetArgs),
    /// Store a JSON object under a key
    Put(PutArgs),
    /// Remove a key
    Del(DelArgs),
    /// Show a node's shards, memory, requests and the members of its cluster
    Status(StatusArgs),
    /// Draw a node's live supervision tree
    Tree(TreeArgs),
    /// Have a node hand over what it has and end, and wait for that: the node at --url itself, not a
    /// load balancer. It needs a token, or --demo
    Drain(DrainArgs),
    /// Have every node forget a member that is dead or has left and will not be back: it is not shown
    /// and not waited for any more. It needs a token, or --demo
    Forget(ForgetArgs),
    /// Put load on a node and measure throughput and latency
    Bench(BenchArgs),
}

/// Arguments of `smache get`.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The key to look up
    pub key: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache put`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    /// The key to store under
    pub key: String,
    /// A JSON object, or `-` to read one from standard input
    pub value: String,
    /// How long the value lives: 1500ms, 30s, 5m, 2h, 1d, or seconds [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub ttl: Option<String>,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache del`.
#[derive(Debug, clap::Args)]
pub struct DelArgs {
    /// The key to remove
    pub key: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache tree`.
#[derive(Debug, clap::Args)]
pub struct TreeArgs {
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache drain`.
#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache forget`.
#[derive(Debug, clap::Args)]
pub struct ForgetArgs {
    /// The name of the member
    pub node: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// How a command ended that could ask its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done; code 0.
    Done,
    /// The key to print or to remove is absent; code 1.
    Absent,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Absent => Self::from(1),
        }
    }
}

/// Carries out `command` and prints its result.
///
/// Needs a tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// A [`ClientError`], whose text is one line for standard error and which knows its exit code.
/// Unless it is about a setting, a write that was asked for may have happened.
pub async fn run(command: Command) -> Result<Exit, ClientError> {
    match command {
        Command::Get(args) => {
            let node = Node::new(args.client.settings()?);
            entries::get(&node, &args.key, args.client.format()).await
        }
        Command::Put(args) => {
            let node = Node::new(args.client.settings()?);
            entries::put(&node, &args).await
        }
        Command::Del(args) => {
            let node = Node::new(args.client.settings()?);
            entries::del(&node, &args.key, args.client.format()).await
        }
        Command::Status(args) => {
            status::show(&Node::new(args.client.settings()?), args.client.format()).await
        }
        Command::Tree(args) => {
            tree::show(&Node::new(args.client.settings()?), args.client.format()).await
        }
        Command::Drain(args) => {
            manage::drain(&Node::new(args.client.settings()?), args.client.format()).await
        }
        Command::Forget(args) => {
            let node = Node::new(args.client.settings()?);
            manage::forget(&node, &args.node, args.client.format()).await
        }
        Command::Bench(args) => bench::run(&args).await,
    }
}
