//! `tree`: a node's live supervision tree, drawn.

use hyper::Method;
use serde::Deserialize;

use super::columns::{Side, render};
use super::figures::{grouped, span};
use super::output::{Format, print, visible};
use super::{ClientError, Exit, exchange::Node};

/// An actor and those it supervises.
#[derive(Debug, Deserialize)]
struct Actor {
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    restarts: u64,
    #[serde(default)]
    since_ms: Option<u64>,
    #[serde(default)]
    children: Vec<Actor>,
}

/// Draws the tree of `node`.
pub(super) async fn show(node: &Node, format: Format) -> Result<Exit, ClientError> {
    let body = node.ask(Method::GET, "/supervision", None).await?;
    let text = std::str::from_utf8(&body).map_err(|error| node.unexpected(&error))?;
    let root: Actor = serde_json::from_str(text).map_err(|error| node.unexpected(&error))?;
    match format {
        Format::Json => print(text.trim_end())?,
        Format::Text => print(&draw(&root))?,
    }
    Ok(Exit::Done)
}

fn draw(root: &Actor) -> String {
    let heads = [
        ("NAME", Side::Left),
        ("KIND", Side::Left),
        ("STATE", Side::Left),
        ("RESTARTS", Side::Right),
        ("SINCE", Side::Right),
    ];
    let mut rows = vec![row("", root)];
    append_children(root, "", &mut rows);
    render(&heads, &rows)
}

/// Appends a row for everything below `actor`. The depth is bounded by that of the JSON parser.
fn append_children(actor: &Actor, indent: &str, rows: &mut Vec<Vec<String>>) {
    for (position, child) in actor.children.iter().enumerate() {
        let (branch, below) = match position + 1 < actor.children.len() {
            true => ("├─ ", "│  "),
            false => ("└─ ", "   "),
        };
        rows.push(row(&format!("{indent}{branch}"), child));
        append_children(child, &format!("{indent}{below}"), rows);
    }
}

fn row(drawn: &str, actor: &Actor) -> Vec<String> {
    vec![
        format!("{drawn}{}", visible(&actor.name)),
        visible(&actor.kind).into_owned(),
        visible(&actor.state).into_owned(),
        grouped(actor.restarts),
        actor.since_ms.map_or_else(|| "-".to_owned(), span),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_drawn_with_its_branches() {
        let tree = r#"{"name":"root","kind":"supervisor","state":"running","restarts":0,
            "since_ms":90061001,"children":[
              {"name":"shards","kind":"supervisor","state":"running","restarts":0,"since_ms":5,
               "children":[{"name":"shard-0","kind":"worker","state":"restarting","restarts":1200,
                            "since_ms":1234,"children":[],"extra":true},
                           {"name":"shard-1","kind":"worker","state":"running"}]},
              {"name":"discovery","kind":"worker","state":"running","restarts":0,"since_ms":0}]}"#;
        let expected = "\
NAME           KIND        STATE       RESTARTS     SINCE
root           supervisor  running            0   1day 1h
├─ shards      supervisor  running            0       5ms
│  ├─ shard-0  worker      restarting     1,200  1s 234ms
│  └─ shard-1  worker      running            0         -
└─ discovery   worker      running            0        0s";
        assert_eq!(draw(&serde_json::from_str(tree).unwrap()), expected);
    }
}
