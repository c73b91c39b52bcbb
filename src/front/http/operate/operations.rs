//! What operators ask: is it alive, is it ready, what does it hold, where is a key.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use warp::reply::Response;

use crate::cache::{Cache, Chaos, DisturbError, Disturbed, ForgetError, NodeState};
use crate::entry::{Key, Namespace};
use crate::front::http::serve::{Params, Refusal, json, raw_json};
use crate::limits::CHAOS_DELAY_MAX;
use crate::notation;

/// `/`, `/healthcheck` and `/livez`: somebody answers.
pub(super) fn alive(method: &Method, query: &str) -> Result<Response, Refusal> {
    only_get(method, query)?;
    Ok(raw_json(StatusCode::OK, Bytes::from_static(b"{}")))
}

/// `/readyz`: whether requests should be sent here.
pub(super) fn ready(method: &Method, query: &str, cache: &Cache) -> Result<Response, Refusal> {
    only_get(method, query)?;
    match cache.state() {
        NodeState::Ready => Ok(raw_json(StatusCode::OK, Bytes::from_static(b"{}"))),
        NodeState::Starting => {
            let waits_for = cache.waits_for().map(|what| format!(": {what}"));
            Err(Refusal::unavailable(format!("node is starting{}", waits_for.unwrap_or_default())))
        }
        NodeState::Draining => Err(Refusal::unavailable("node is draining")),
    }
}

/// `/openapi.json`: every request there is, as OpenAPI 3.1 describes it.
pub(super) fn description(method: &Method, query: &str) -> Result<Response, Refusal> {
    only_get(method, query)?;
    Ok(raw_json(StatusCode::OK, Bytes::from_static(include_bytes!("../openapi.json"))))
}

/// `/status`.
pub(super) async fn status(
    method: &Method,
    query: &str,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_get(method, query)?;
    Ok(json(StatusCode::OK, &cache.status_with_keys().await))
}

/// `/supervision`: the live tree.
pub(super) fn supervision(
    method: &Method,
    query: &str,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_get(method, query)?;
    Ok(json(StatusCode::OK, &*cache.tree()))
}

/// `/explain?key=K`, or `&namespace=N` with it.
pub(super) async fn explain(
    method: &Method,
    query: &str,
    cache: &Cache,
) -> Result<Response, Refusal> {
    check_get(method)?;
    let [key, namespace] = Params::new(query).pick(["key", "namespace"])?;
    let Some(name) = key else {
        return Err(Refusal::bad_request("key is missing; allowed: ?key=K, &namespace=N with it"));
    };
    let namespace = namespace.map_or(Ok(Namespace::default()), |name| Namespace::new(&name));
    let key = namespace
        .and_then(|of| Key::in_namespace(of, Bytes::copy_from_slice(name.as_bytes())))
        .map_err(|reason| Refusal::bad_request(reason.to_string()))?;
    Ok(json(StatusCode::OK, &cache.explain(&key).await))
}

/// `/supervision/{child}/crash`: panics that actor, where the node was started for it.
pub(super) async fn crash(
    method: &Method,
    query: &str,
    child: &str,
    has_demo: bool,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_demo("crashing actors", method, has_demo)?;
    Params::new(query).only(&[])?;
    cache.crash(child).await?;
    Ok(raw_json(StatusCode::ACCEPTED, Bytes::from_static(b"{}")))
}

/// `/cluster/chaos?peer=NAME&do=cut`: disturbs the connections to a node, where this one was started
/// for it; with `&ahead`, also to one that is still to come.
pub(super) fn disturb(
    method: &Method,
    query: &str,
    has_demo: bool,
    cache: &Cache,
) -> Result<Response, Refusal> {
    only_demo("disturbing connections", method, has_demo)?;
    let [peer, how, ahead] = Params::new(query).pick(["peer", "do", "ahead"])?;
    let (Some(peer), Some(chaos)) = (peer, how.and_then(|name| chaos_of(&name))) else {
        let message = format!(
            "allowed: ?peer=NAME&do=cut|cut-send|cut-receive|heal or a delay like 20ms, up to {}",
            notation::of_time(CHAOS_DELAY_MAX)
        );
        return Err(Refusal::bad_request(message));
    };
    let whose = ahead.map_or(Disturbed::Known(&peer), |_| Disturbed::Any(&peer));
    match cache.disturb(whose, chaos) {
        Ok(()) => Ok(raw_json(StatusCode::ACCEPTED, Bytes::from_static(b"{}"))),
        Err(alone @ DisturbError::Alone) => Err(Refusal::bad_request(alone.to_string())),
        Err(unknown @ DisturbError::Unknown { .. }) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, unknown.to_string()))
        }
    }
}

fn chaos_of(name: &str) -> Option<Chaos> {
    match name {
        "cut" => Some(Chaos::Cut),
        "cut-send" => Some(Chaos::CutSend),
        "cut-receive" => Some(Chaos::CutReceive),
        "heal" => Some(Chaos::Heal),
        delay => notation::time(delay).filter(|delay| *delay <= CHAOS_DELAY_MAX).map(Chaos::Delay),
    }
}

/// `/drain`: has the node hand over what it has, and end.
pub(super) fn drain(
    method: &Method,
    query: &str,
    can_manage: bool,
    cache: &Cache,
) -> Result<Response, Refusal> {
    if *method != Method::POST {
        return Err(Refusal::method("POST"));
    }
    only_managed("draining a node", can_manage)?;
    Params::new(query).only(&[])?;
    cache.ask_to_drain();
    Ok(raw_json(StatusCode::ACCEPTED, Bytes::from_static(b"{}")))
}

/// `/cluster/members/{node}`: has everybody forget a member that is dead or has left.
pub(super) async fn forget(
    method: &Method,
    query: &str,
    name: &str,
    can_manage: bool,
    cache: &Cache,
) -> Result<Response, Refusal> {
    if *method != Method::DELETE {
        return Err(Refusal::method("DELETE"));
    }
    only_managed("forgetting a member", can_manage)?;
    Params::new(query).only(&[])?;
    let name = percent_decode_str(name).decode_utf8_lossy();
    match cache.forget(&name).await {
        Ok(()) => Ok(raw_json(StatusCode::OK, Bytes::from_static(b"{}"))),
        Err(wrong) => Err(match wrong {
            ForgetError::Alone => Refusal::bad_request(wrong.to_string()),
            ForgetError::Unknown { .. } => Refusal::new(StatusCode::NOT_FOUND, wrong.to_string()),
            ForgetError::Lives { .. } => Refusal::new(StatusCode::CONFLICT, wrong.to_string()),
            ForgetError::Busy => Refusal::unavailable(wrong.to_string()),
        }),
    }
}

/// What changes the cluster is for those who have shown a token, and for demonstrations.
fn only_managed(what: &str, can_manage: bool) -> Result<(), Refusal> {
    match can_manage {
        true => Ok(()),
        false => {
            let message = format!("{what} is off; allowed: on a node with a token, or with --demo");
            Err(Refusal::new(StatusCode::FORBIDDEN, message))
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

/// What is read, and says nothing of what.
pub(super) fn only_get(method: &Method, query: &str) -> Result<(), Refusal> {
    check_get(method)?;
    Params::new(query).only(&[])
}

fn check_get(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::method("GET, HEAD")),
    }
}
