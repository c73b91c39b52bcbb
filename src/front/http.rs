//! The HTTP door: warp's filters, served by our own hyper loop.
//!
//! The loop is what warp's own server lacks: deadlines for everything a client can be slow at, a
//! cap on connections, and a drain that answers what has begun. Each API is a room of its own over
//! it, and knows the others not.

mod operate;
mod serve;
mod smache;
mod v1;

use std::sync::Arc;

use hyper::StatusCode;
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use crate::cache::Cache;
use crate::config::RequestLog;
use crate::door::{Door, Figures, Listener, Places};
use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_REFUSALS_MAX};
use crate::metrics::{HttpCounts, RespCounts};
use crate::supervision::ChildSpec;

use operate::Context;
use serve::{Http, Refusal, Routes};

pub use serve::Guard;

/// The door on `listener`, and how its actor is started. With `has_demo`, actors may be crashed
/// through it. It shows what is counted of another door.
#[must_use]
pub fn door(
    listener: Listener,
    cache: Cache,
    guard: Guard,
    log: RequestLog,
    has_demo: bool,
    resp: Option<Figures<RespCounts>>,
) -> (Door, ChildSpec) {
    let places = Arc::new(Places::new(HTTP_CONNECTIONS_MAX, HTTP_REFUSALS_MAX));
    let counts = Arc::new(HttpCounts::default());
    let (shown, counted) = (Arc::clone(&places), Arc::clone(&counts));
    let can_manage = has_demo || guard.has_token();
    let context = Context { cache, has_demo, can_manage, counts: counted, places: shown, resp };
    Door::new("http", listener, places, Http::new(guard, counts, log, move || routes(&context)))
}

/// All APIs.
fn routes(context: &Context) -> Routes {
    // What is asked most comes first, and all that is tried after it is behind one box: an `or`
    // copies its second part for every request.
    let others = v1::routes(&context.cache, context.can_manage)
        .or(operate::health())
        .unify()
        .or(operate::routes(context))
        .unify()
        .or(warp::path::full().map(|path: FullPath| absent(&path)))
        .unify()
        .boxed();
    Routes::new(smache::routes(&context.cache).or(others).unify(), v1::has_conditions)
}

fn absent(path: &FullPath) -> Response {
    let message = format!("nothing is at {:.100}", path.as_str());
    Refusal::new(StatusCode::NOT_FOUND, message).into()
}
