//! What is about the connection itself.

use super::super::codec::{Output, Protocol, Request, number::integer};
use super::super::failure::Failure;
use super::super::session::{Session, WrongToken};
use super::keys::number;
use super::server::REDIS_VERSION;
use crate::limits::RESP_CLIENT_NAME_BYTES_MAX;

const WRONG_TOKEN: Failure =
    Failure::fixed("WRONGPASS invalid username-password pair or user is disabled.");

impl From<WrongToken> for Failure {
    fn from(_: WrongToken) -> Self {
        WRONG_TOKEN
    }
}

pub(super) fn ping(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let is_listening = session.listening.is_some() && out.protocol() == Protocol::Resp2;
    match request.len() {
        1 | 2 if is_listening => {
            out.array(2);
            out.bulk("pong");
            out.bulk(request.get(1).unwrap_or_default());
        }
        1 => out.simple("PONG"),
        2 => out.bulk(request.arg(1)),
        _ => return Err(Failure::arity("ping")),
    }
    Ok(())
}

pub(super) fn echo(
    _session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    out.bulk(request.arg(1));
    Ok(())
}

pub(super) fn quit(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    session.is_over = true;
    out.simple("OK");
    Ok(())
}

pub(super) fn reset(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    session.reset();
    settle_on(session, Protocol::Resp2, out);
    out.simple("RESET");
    Ok(())
}

pub(super) fn select(
    _session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    match number(request.arg(1))? {
        0 => out.simple("OK"),
        _ => return Err(Failure::fixed("ERR DB index is out of range")),
    }
    Ok(())
}

pub(super) fn auth(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let (name, token) = match request.len() {
        2 if session.shared.token.is_none() => {
            return Err(Failure::fixed(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => (&b"default"[..], request.arg(1)),
        3 => (request.arg(1), request.arg(2)),
        _ => return Err(Failure::SYNTAX),
    };
    session.meet(name, token)?;
    out.simple("OK");
    Ok(())
}

pub(super) fn hello(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let protocol = match request.get(1).map(integer) {
        None => out.protocol(),
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(Failure::fixed("NOPROTO unsupported protocol version")),
        Some(None) => {
            return Err(Failure::fixed("ERR Protocol version is not an integer or out of range"));
        }
    };
    let (mut given, mut name) = (None, None);
    let mut at = 2;
    while let Some(word) = request.get(at) {
        let left = request.len() - at - 1;
        match &word.to_ascii_lowercase()[..] {
            b"auth" if 2 <= left => {
                given = Some((request.arg(at + 1), request.arg(at + 2)));
                at += 3;
            }
            b"setname" if 1 <= left => {
                name = Some(client_name(request.arg(at + 1))?);
                at += 2;
            }
            _ => {
                let word = String::from_utf8_lossy(word);
                return Err(Failure::of(format!("ERR Syntax error in HELLO option '{word}'")));
            }
        }
    }
    if let Some((name, token)) = given {
        session.meet(name, token)?;
    }
    if !session.is_known() {
        return Err(Failure::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
             RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        session.client.change(|words| words.name = name);
    }
    settle_on(session, protocol, out);
    tell_of_node(session, out);
    Ok(())
}

fn settle_on(session: &Session, protocol: Protocol, out: &mut Output) {
    out.set_protocol(protocol);
    session.client.change(|words| words.protocol = protocol);
}

fn tell_of_node(session: &Session, out: &mut Output) {
    out.map(7);
    let mode = if session.shared.cache.is_clustered() { "cluster" } else { "standalone" };
    // Clients look for what they know; which software this is stands in INFO.
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        out.bulk(name);
        out.bulk(value);
    }
    out.bulk("proto");
    out.integer(out.protocol().number());
    out.bulk("id");
    out.count(session.client.id);
    for (name, value) in [("mode", mode), ("role", "master")] {
        out.bulk(name);
        out.bulk(value);
    }
    out.bulk("modules");
    out.array(0);
}

/// The name that a client gives itself.
fn client_name(name: &[u8]) -> Result<String, Failure> {
    plain(name).ok_or(Failure::fixed(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// Visible characters that are not too many.
fn plain(text: &[u8]) -> Option<String> {
    let is_plain = text.iter().all(u8::is_ascii_graphic);
    let is_allowed = is_plain && text.len() <= RESP_CLIENT_NAME_BYTES_MAX;
    is_allowed.then(|| String::from_utf8_lossy(text).into_owned())
}

pub(super) fn client(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let word = request.arg(1).to_ascii_lowercase();
    let arguments = request.len() - 2;
    let arity = |wanted: usize| {
        let word = String::from_utf8_lossy(&word);
        let is_right = arguments == wanted;
        if is_right { Ok(()) } else { Err(Failure::arity(&format!("client|{word}"))) }
    };
    match &word[..] {
        b"id" => {
            arity(0)?;
            out.count(session.client.id);
        }
        b"getname" => {
            arity(0)?;
            match session.client.words().name {
                name if name.is_empty() => out.null(),
                name => out.bulk(name),
            }
        }
        b"setname" => {
            arity(1)?;
            let name = client_name(request.arg(2))?;
            session.client.change(|words| words.name = name);
            out.simple("OK");
        }
        b"setinfo" => {
            arity(2)?;
            set_info(session, request)?;
            out.simple("OK");
        }
        b"info" => {
            arity(0)?;
            out.text(&(session.client.line() + "\n"));
        }
        b"list" => {
            let lines = list(session, request)?;
            out.text(&lines);
        }
        b"no-evict" => {
            arity(1)?;
            match &request.arg(2).to_ascii_lowercase()[..] {
                // No client is ever closed for what others take.
                b"on" | b"off" => out.simple("OK"),
                _ => return Err(Failure::SYNTAX),
            }
        }
        _ => return Err(Failure::subcommand("client", request.arg(1))),
    }
    Ok(())
}

fn set_info(session: &Session, request: Request<'_>) -> Result<(), Failure> {
    let option = request.arg(2).to_ascii_lowercase();
    let value = plain(request.arg(3)).ok_or_else(|| {
        let option = String::from_utf8_lossy(&option);
        Failure::of(format!("ERR {option} cannot contain spaces, newlines or special characters."))
    })?;
    match &option[..] {
        b"lib-name" => session.client.change(|words| words.library = value),
        b"lib-ver" => session.client.change(|words| words.library_version = value),
        _ => {
            let option = String::from_utf8_lossy(request.arg(2)).into_owned();
            return Err(Failure::of(format!("ERR Unrecognized option '{option}'")));
        }
    }
    Ok(())
}

/// The lines of all clients, or of those that are asked for.
fn list(session: &Session, request: Request<'_>) -> Result<String, Failure> {
    let option = request.get(2).map(<[u8]>::to_ascii_lowercase);
    let ids = match (option.as_deref(), request.len()) {
        (None, _) => None,
        (Some(b"type"), 4) => match &request.arg(3).to_ascii_lowercase()[..] {
            b"normal" => None,
            b"master" | b"replica" | b"slave" | b"pubsub" => Some(vec![]),
            _ => {
                let kind = String::from_utf8_lossy(request.arg(3)).into_owned();
                return Err(Failure::of(format!("ERR Unknown client type '{kind}'")));
            }
        },
        (Some(b"id"), 4..) => {
            let ids = request.from(3).map(|id| integer(id).and_then(|id| u64::try_from(id).ok()));
            let ids: Option<Vec<_>> = ids.collect();
            Some(ids.ok_or(Failure::fixed("ERR Invalid client ID"))?)
        }
        _ => return Err(Failure::SYNTAX),
    };
    let clients = session.shared.clients.all().into_iter();
    let clients = clients.filter(|client| ids.as_ref().is_none_or(|ids| ids.contains(&client.id)));
    Ok(clients.map(|client| client.line() + "\n").collect())
}
