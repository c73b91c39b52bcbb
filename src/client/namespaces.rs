//! `ns`: what namespaces go by, and what there is of each.

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::columns::{Side, render};
use super::exchange::Node;
use super::output::{Format, print, remark, visible};
use super::{ClientArgs, ClientError, Exit};

/// What is done with namespaces.
#[derive(Debug, clap::Subcommand)]
pub enum NsCommand {
    /// List the namespaces that have a policy
    List(ListArgs),
    /// Say what a namespace goes by, all of it: what is not given has no bound. It needs a token, or --demo
    Set(SetArgs),
    /// Show what there is of a namespace on all nodes, and how it was used
    Stats(NamedArgs),
    /// Have a namespace go by no policy any more, and keep its entries. It needs a token, or --demo
    Del(NamedArgs),
}

/// Arguments of `smache ns list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache ns set`.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// The namespace
    pub namespace: String,
    /// Bytes that its entries may have on all nodes together: 64KiB, 16MiB, 1.5GiB or bytes
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// How long an entry lives for which no time is named: 1500ms, 30s, 5m, 2h, 1d, or seconds
    #[arg(long, value_name = "TIME")]
    pub default_ttl: Option<String>,
    /// How long an entry may live after it was written
    #[arg(long, value_name = "TIME")]
    pub max_ttl: Option<String>,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Arguments of `smache ns stats` and `smache ns del`.
#[derive(Debug, clap::Args)]
pub struct NamedArgs {
    /// The namespace
    pub namespace: String,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Does what is asked of namespaces.
pub(super) async fn run(command: &NsCommand) -> Result<Exit, ClientError> {
    match command {
        NsCommand::List(args) => {
            list(&Node::new(args.client.settings()?), args.client.format()).await
        }
        NsCommand::Set(args) => set(&Node::new(args.client.settings()?), args).await,
        NsCommand::Stats(args) => stats(&Node::new(args.client.settings()?), args).await,
        NsCommand::Del(args) => del(&Node::new(args.client.settings()?), args).await,
    }
}

async fn list(node: &Node, format: Format) -> Result<Exit, ClientError> {
    let body = node.ask(Method::GET, "/v1", None).await?;
    let all: Value = node.read(&body)?;
    if format == Format::Json {
        print(&all.to_string())?;
        return Ok(Exit::Done);
    }
    let heads = ["NAMESPACE", "MEMORY", "DEFAULT-TTL", "MAX-TTL"];
    let row = |of: &Value| {
        let policy = &of["policy"];
        let shown =
            [&of["namespace"], &policy["memory"], &policy["default_ttl"], &policy["max_ttl"]];
        shown.map(|value| visible(value.as_str().unwrap_or("-")).into_owned()).to_vec()
    };
    let rows: Vec<_> = all["namespaces"].as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => remark("no namespace has a policy"),
        false => print(&render(&heads.map(|head| (head, Side::Left)), &rows))?,
    }
    Ok(Exit::Done)
}

async fn set(node: &Node, args: &SetArgs) -> Result<Exit, ClientError> {
    let fields =
        [("memory", &args.memory), ("default_ttl", &args.default_ttl), ("max_ttl", &args.max_ttl)];
    let given = fields
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text.clone()?))));
    let policy = Value::Object(given.collect::<Map<_, _>>()).to_string();
    let body = node.ask(Method::PUT, &path_of(&args.namespace), Some(policy.into_bytes())).await?;
    let shown: Value = node.read(&body)?;
    match args.client.format() {
        Format::Json => print(&shown.to_string())?,
        Format::Text => print(&format!("{} goes by {shown}", visible(&args.namespace)))?,
    }
    Ok(Exit::Done)
}

async fn stats(node: &Node, args: &NamedArgs) -> Result<Exit, ClientError> {
    let path = format!("{}?stats", path_of(&args.namespace));
    let body = node.ask(Method::GET, &path, None).await?;
    let stats: Value = node.read(&body)?;
    if args.client.format() == Format::Json {
        print(&stats.to_string())?;
        return Ok(Exit::Done);
    }
    for name in ["entries", "bytes", "hits", "misses", "evictions"] {
        print(&format!("{name:<10} {}", stats[name]))?;
    }
    for missing in stats["missing"].as_array().into_iter().flatten() {
        remark(&format!("{} did not say", visible(missing.as_str().unwrap_or_default())));
    }
    Ok(Exit::Done)
}

async fn del(node: &Node, args: &NamedArgs) -> Result<Exit, ClientError> {
    node.ask(Method::DELETE, &format!("{}?policy", path_of(&args.namespace)), None).await?;
    let name = &args.namespace;
    match args.client.format() {
        Format::Json => {
            print(&serde_json::json!({ "namespace": name, "policy": null }).to_string())?;
        }
        Format::Text => print(&format!("{} goes by no policy any more", visible(name)))?,
    }
    Ok(Exit::Done)
}

fn path_of(namespace: &str) -> String {
    format!("/v1/{}", utf8_percent_encode(namespace, NON_ALPHANUMERIC))
}
