//! What operators ask: is it alive, is it ready, what does it hold, where is a key.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use warp::reply::Response;

use crate::cache::{Cache, Chaos, NodeState};
use crate::entry::Key;
use crate::front::http::serve::{Params, Refusal, json, raw_json};

/// `/`, `/healthcheck` and `/livez`: somebody answers.
pub(super) fn alive(method: &Method) -> Result<Response, Refusal> {
    only_get(method)?;
    Ok(raw_json(StatusCode::OK, Bytes::from_static(b"{}")))
}

/// `/readyz`: whether requests should be sent here.
pub(super) fn ready(method: &Method, cache: &Cache) -> Result<Response, Refusal> {
    only_get(method)?;
    match cache.state() {
        NodeState::Ready => Ok(raw_json(StatusCode::OK, Bytes::from_static(b"{}"))),
        NodeState::Starting => {
            let place =
                cache.waits_for().map(|place| format!(", there may be a cluster at {place}"));
            Err(Refusal::unavailable(format!("node is starting{}", place.unwrap_or_default())))
        }
        NodeState::Draining => Err(Refusal::unavailable("node is draining")),
    }
}

/// `/status`.
pub(super) async fn status(method: &Method, cache: &Cache) -> Result<Response, Refusal> {
    only_get(method)?;
    Ok(json(StatusCode::OK, &cache.status_with_keys().await))
}

/// `/supervision`: the live tree.
pub(super) fn supervision(method: &Method, cache: &Cache) -> Result<Response, Refusal> {
    only_get(method)?;
    Ok(json(StatusCode::OK, &*cache.tree()))
}

/// `/explain?key=K`.
pub(super) async fn explain(
    method: &Method,
    query: &str,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_get(method)?;
    let Some(name) = Params::new(query).single("key")? else {
        return Err(Refusal::bad_request("key is missing; allowed: ?key=K"));
    };
    let key = Key::new(Bytes::copy_from_slice(name.as_bytes()))
        .map_err(|reason| Refusal::bad_request(reason.to_string()))?;
    Ok(json(StatusCode::OK, &cache.explain(&key).await))
}

/// `/supervision/{child}/crash`: panics that actor, where the node was started for it.
pub(super) async fn crash(
    method: &Method,
    child: &str,
    has_demo: bool,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_demo("crashing actors", method, has_demo)?;
    cache.crash(child).await?;
    Ok(raw_json(StatusCode::ACCEPTED, Bytes::from_static(b"{}")))
}

/// `/cluster/chaos?peer=NAME&do=cut`: disturbs the connections to a node, where this one was started
/// for it.
pub(super) fn disturb(
    method: &Method,
    query: &str,
    has_demo: bool,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_demo("disturbing connections", method, has_demo)?;
    let params = Params::new(query);
    params.only(&["peer", "do"])?;
    let chaos = params.single("do")?.and_then(|name| chaos_of(&name));
    let (Some(peer), Some(chaos)) = (params.single("peer")?, chaos) else {
        let message = "allowed: ?peer=NAME&do=cut|cut-send|cut-receive|heal or a delay like 20ms";
        return Err(Refusal::bad_request(message));
    };
    match cache.disturb(&peer, chaos) {
        Ok(()) => Ok(raw_json(StatusCode::ACCEPTED, Bytes::from_static(b"{}"))),
        Err(alone) => Err(Refusal::bad_request(alone.to_string())),
    }
}

fn chaos_of(name: &str) -> Option<Chaos> {
    match name {
        "cut" => Some(Chaos::Cut),
        "cut-send" => Some(Chaos::CutSend),
        "cut-receive" => Some(Chaos::CutReceive),
        "heal" => Some(Chaos::Heal),
        delay => {
            delay.strip_suffix("ms")?.parse().ok().map(Duration::from_millis).map(Chaos::Delay)
        }
    }
}

/// What is for demonstrations is posted, to a node that was started for it.
fn only_demo(what: &str, method: &Method, has_demo: bool) -> Result<(), Refusal> {
    if *method != Method::POST {
        return Err(Refusal::method("POST"));
    }
    if !has_demo {
        let message = format!("{what} is off; allowed: on a node started with --demo");
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    Ok(())
}

pub(super) fn only_get(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::method("GET, HEAD")),
    }
}
