//! `drain` and `forget`: what changes the cluster.

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::output::{Format, print, visible};
use super::{ClientError, Exit, exchange::Node};
use crate::limits::{CLIENT_DRAIN_LOOK_PAUSE, CLIENT_DRAIN_TIMEOUT};

/// Which run of which node answers.
#[derive(Debug, Deserialize)]
struct Run {
    node: String,
    boot_id: String,
}

/// Has a node hand over what it has, and waits until it has ended.
pub(super) async fn drain(node: &Node, format: Format) -> Result<Exit, ClientError> {
    let run = run_of(node).await?;
    node.ask(Method::POST, "/drain", None).await?;
    let began = Instant::now();
    loop {
        match run_of(node).await {
            Err(ClientError::Unreachable { .. }) => break,
            // Whoever supervises it may have started it again.
            Ok(now) if now.boot_id != run.boot_id => break,
            Ok(_) | Err(_) if began.elapsed() < CLIENT_DRAIN_TIMEOUT => {
                sleep(CLIENT_DRAIN_LOOK_PAUSE).await;
            }
            Ok(_) => return Err(node.unexpected(&"it drains, and does not end")),
            Err(failed) => return Err(failed),
        }
    }
    match format {
        Format::Json => print(&serde_json::json!({"node": run.node, "ended": true}).to_string())?,
        Format::Text => {
            let name = visible(&run.node);
            print(&format!("{name} has ended; its log and exit code say what it handed over"))?;
        }
    }
    Ok(Exit::Done)
}

/// Has every node forget a member that is dead or has left.
pub(super) async fn forget(node: &Node, name: &str, format: Format) -> Result<Exit, ClientError> {
    let path = format!("/cluster/members/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    node.ask(Method::DELETE, &path, None).await?;
    match format {
        Format::Json => print(&serde_json::json!({"node": name, "forgotten": true}).to_string())?,
        Format::Text => print(&format!("{} is forgotten", visible(name)))?,
    }
    Ok(Exit::Done)
}

async fn run_of(node: &Node) -> Result<Run, ClientError> {
    let body = node.ask(Method::GET, "/status", None).await?;
    serde_json::from_slice(&body).map_err(|error| node.unexpected(&error))
}
