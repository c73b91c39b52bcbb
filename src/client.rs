//! The commands that speak to a running node: entries, lists, batches, `status`, `tree`, `drain`, `forget`,
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
mod namespaces;
mod native;
mod output;
mod settings;
mod status;
mod target;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

pub use bench::{BenchArgs, Distribution};
pub use error::ClientError;
pub use namespaces::{ListArgs, NamedArgs, NsCommand, SetArgs};
pub use settings::ClientArgs;

use exchange::Node;

/// The namespace of keys if nothing else is said.
const NAMESPACE: &str = "default";

/// A command for a running node.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the value of a key
    Get(GetArgs),
    /// Store a JSON object, or any bytes, under a key
    Put(PutArgs),
    /// Remove a key, or all that begin alike
    Del(DelArgs),
    /// Add to the number under a key
    Incr(IncrArgs),
    /// Change a JSON value in place: a merge patch (RFC 7396) or a list of operations (RFC 6902)
    Patch(PatchArgs),
    /// List keys, across all nodes
    Ls(LsArgs),
    /// Have the operations of a file done, and print the answer to each
    Batch(BatchArgs),
    /// Say what namespaces go by: how much memory each has, and how long its entries live
    #[command(subcommand)]
    Ns(NsCommand),
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
    /// Print the fields of the answer, too
    #[arg(short, long)]
    pub include: bool,
    /// Write the value to FILE
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// KEY is hexadecimal, and so is what is printed
    #[arg(long)]
    pub hex: bool,
    /// The namespace of the key
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache put`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    /// The key to store under
    pub key: String,
    /// A JSON object, or `-` to read one from standard input; any bytes with --file, --hex or --type
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub value: Option<String>,
    /// Read the value from FILE, `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// KEY and VALUE are hexadecimal
    #[arg(long)]
    pub hex: bool,
    /// What the value is, as Content-Type has it
    #[arg(long, value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Store it only if the key has one of these etags, or `*` for any
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
    /// Store it only if the key has none of these etags, or `*` if it is absent
    #[arg(long, value_name = "ETAG")]
    pub if_none_match: Option<String>,
    /// The namespace of the key
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
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
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    pub key: Option<String>,
    /// Remove all keys that begin so
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// The namespace of the keys
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache incr`.
#[derive(Debug, clap::Args)]
pub struct IncrArgs {
    /// The key of the number
    pub key: String,
    /// What is added
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    pub by: i64,
    /// What it is added to if the key is absent
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub initial: Option<i64>,
    /// The least that may come out
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub min: Option<i64>,
    /// The most that may come out
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max: Option<i64>,
    /// How long a number lives that was not there
    #[arg(long, value_name = "TIME")]
    pub ttl: Option<String>,
    /// The namespace of the key
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache patch`.
#[derive(Debug, clap::Args)]
pub struct PatchArgs {
    /// The key of the value
    pub key: String,
    /// A merge patch, or a list of operations, or `-` to read it from standard input
    pub patch: String,
    /// It is a merge patch, also if it is a list
    #[arg(long)]
    pub merge: bool,
    /// Change it only if the key has one of these etags
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
    /// The namespace of the key
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache ls`.
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// How the keys begin
    pub prefix: Option<String>,
    /// Print how many there are, and not which
    #[arg(long)]
    pub count: bool,
    /// The namespace of the keys
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache batch`.
#[derive(Debug, clap::Args)]
pub struct BatchArgs {
    /// A file of operations, a JSON object a line or in an array, or `-` for standard input
    pub file: String,
    /// The namespace of the keys
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
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

impl GetArgs {
    /// Whether it is about more than a JSON object in the usual namespace.
    fn is_native(&self) -> bool {
        self.include || self.file.is_some() || self.hex || self.namespace != NAMESPACE
    }
}

impl PutArgs {
    /// As [`GetArgs::is_native`].
    fn is_native(&self) -> bool {
        let is_conditional = self.if_match.is_some() || self.if_none_match.is_some();
        let is_bytes = self.file.is_some() || self.hex || self.r#type.is_some();
        is_conditional || is_bytes || self.namespace != NAMESPACE
    }
}

/// How a command ended that could ask its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done; code 0.
    Done,
    /// The key to print or to remove is absent; code 1.
    Absent,
    /// Some of what was asked for was not done; code 1.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Absent | Exit::Failed => Self::from(1),
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
            match args.is_native() {
                true => native::get(&node, &args).await,
                false => entries::get(&node, &args.key, args.client.format()).await,
            }
        }
        Command::Put(args) => {
            let node = Node::new(args.client.settings()?);
            match (args.is_native(), &args.value) {
                (false, Some(value)) => entries::put(&node, &args, value).await,
                _ => native::put(&node, &args).await,
            }
        }
        Command::Del(args) => {
            let node = Node::new(args.client.settings()?);
            match (&args.prefix, &args.key) {
                (Some(prefix), _) => native::del_prefix(&node, &args, prefix).await,
                (None, Some(key)) => {
                    entries::del(&node, &args.namespace, key, args.client.format()).await
                }
                // The command line has one of the two.
                (None, None) => Ok(Exit::Done),
            }
        }
        Command::Incr(args) => native::incr(&Node::new(args.client.settings()?), &args).await,
        Command::Patch(args) => native::patch(&Node::new(args.client.settings()?), &args).await,
        Command::Ls(args) => native::ls(&Node::new(args.client.settings()?), &args).await,
        Command::Batch(args) => native::batch(&Node::new(args.client.settings()?), &args).await,
        Command::Ns(command) => namespaces::run(&command).await,
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
