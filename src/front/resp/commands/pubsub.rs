//! Publish and subscribe.

use super::super::codec::{Output, Protocol, Request};
use super::super::failure::Failure;
use super::super::listening::{Listening, Named};
use super::super::session::Session;
use super::Row;
use crate::cache::{NotJoined, NotPublished, Space, Topic};
use crate::glob;

impl From<NotJoined> for Failure {
    fn from(error: NotJoined) -> Self {
        Self::of(format!("ERR {error}"))
    }
}

impl From<NotPublished> for Failure {
    fn from(error: NotPublished) -> Self {
        let code = match error {
            NotPublished::Full => "TRYAGAIN",
            NotPublished::TooLarge | NotPublished::TopicTooLong => "ERR",
        };
        Self::of(format!("{code} {error}"))
    }
}

pub(super) async fn subscribe(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    join(session, request, out, Named::Channel).await
}

pub(super) async fn psubscribe(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    join(session, request, out, Named::Pattern).await
}

/// Has a client listen, and tells it so once every node knows: it gets what is published from then on.
async fn join(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
    named: Named,
) -> Result<(), Failure> {
    let shared = &session.shared;
    let listening = session.listening.get_or_insert_with(|| Listening::new(shared));
    let mut counts = Vec::with_capacity(request.len() - 1);
    for name in request.from(1) {
        listening.join(named, name)?;
        counts.push(listening.len());
    }
    shared.cache.hub().known().await;
    for (name, count) in request.from(1).zip(counts) {
        tell(named, "subscribe", Some(name), count, out);
    }
    Ok(())
}

pub(super) fn unsubscribe(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    leave(session, request, out, Named::Channel);
    Ok(())
}

pub(super) fn punsubscribe(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    leave(session, request, out, Named::Pattern);
    Ok(())
}

fn leave(session: &mut Session, request: Request<'_>, out: &mut Output, named: Named) {
    let Some(listening) = &mut session.listening else {
        let names: Vec<_> = request.from(1).map(Some).collect();
        let names = if names.is_empty() { vec![None] } else { names };
        names.into_iter().for_each(|name| tell(named, "unsubscribe", name, 0, out));
        return;
    };
    let all = listening.names(named);
    let names: Vec<_> = match request.len() {
        1 => all.iter().map(|name| &name[..]).collect(),
        _ => request.from(1).collect(),
    };
    if names.is_empty() {
        return tell(named, "unsubscribe", None, listening.len(), out);
    }
    let mut counts = Vec::with_capacity(names.len());
    for name in &names {
        listening.leave(named, name);
        counts.push(listening.len());
    }
    // What was published before comes before the client is told that nothing does any more.
    listening.write_all(out);
    for (name, count) in names.into_iter().zip(counts) {
        tell(named, "unsubscribe", Some(name), count, out);
    }
    if listening.len() == 0 {
        session.listening = None;
    }
}

fn tell(named: Named, word: &str, name: Option<&[u8]>, count: usize, out: &mut Output) {
    out.push(3);
    out.bulk(format!("{}{word}", named.prefix()));
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.count(count as u64);
}

pub(super) async fn publish(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let topic = Topic::channel(request.kept(1));
    let told = session.shared.cache.hub().publish(&topic, request.arg(2)).await?;
    // As in Redis, a client that listens to what it says hears it before it is told of it.
    if let Some(listening) = &session.listening {
        listening.write_all(out);
    }
    out.count(told as u64);
    Ok(())
}

pub(super) fn pubsub(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let hub = session.shared.cache.hub();
    match (&request.arg(1).to_ascii_lowercase()[..], request.len()) {
        (b"channels", 2 | 3) => {
            let mut names = hub.topics_of(Space::Channels);
            if let Some(pattern) = request.get(2) {
                names.retain(|name| glob::matches(pattern, name));
            }
            out.array(names.len());
            names.iter().for_each(|name| out.bulk(name));
        }
        (b"channels", _) => {
            let word = String::from_utf8_lossy(request.arg(1));
            return Err(Failure::of(format!(
                "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
            )));
        }
        (b"numsub", _) => {
            out.map(request.len() - 2);
            for at in 2..request.len() {
                out.bulk(request.arg(at));
                out.count(hub.members(&Topic::channel(request.kept(at))) as u64);
            }
        }
        (b"numpat", 2) => out.count(hub.patterns(Space::Channels) as u64),
        (b"numpat", _) => return Err(Failure::arity("pubsub|numpat")),
        _ => return Err(Failure::subcommand("pubsub", request.arg(1))),
    }
    Ok(())
}

/// What a client may do that listens and does not know messages from replies.
pub(super) const WHILE_LISTENING: &[&str] =
    &["ping", "psubscribe", "punsubscribe", "quit", "reset", "subscribe", "unsubscribe"];

/// Commands that are named with the word behind them.
const CONTAINERS: &[&str] = &["client", "cluster", "command", "config", "object", "pubsub"];

/// Whether a client may use a command now.
pub(in crate::front::resp) fn check(
    session: &Session,
    row: &Row,
    request: Request<'_>,
    protocol: Protocol,
) -> Result<(), Failure> {
    let is_bound = session.listening.is_some() && protocol == Protocol::Resp2;
    if !is_bound || WHILE_LISTENING.contains(&row.name) {
        return Ok(());
    }
    let mut name = row.name.to_owned();
    if let Some(word) = request.get(1).filter(|_| CONTAINERS.contains(&row.name)) {
        name.push('|');
        name.push_str(&String::from_utf8_lossy(&word.to_ascii_lowercase()));
    }
    Err(Failure::of(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context"
    )))
}
