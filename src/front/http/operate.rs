//! What operators ask: health, status, metrics, supervision.

mod metrics;
mod operations;

use std::sync::Arc;

use hyper::Method;
use hyper::header::HeaderMap;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::serve::{query, shown};
use crate::cache::Cache;
use crate::door::{Figures, Places};
use crate::metrics::{HttpCounts, RespCounts};

/// What is answered from.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) cache: Cache,
    pub(super) has_demo: bool,
    /// Whether clients may have the node drain, and members forgotten.
    pub(super) can_manage: bool,
    pub(super) counts: Arc<HttpCounts>,
    pub(super) places: Arc<Places>,
    /// Of the door for clients of Redis's protocol, if there is one.
    pub(super) resp: Option<Figures<RespCounts>>,
}

/// All but health, which is asked for more often.
pub(super) fn routes(context: &Context) -> BoxedFilter<(Response,)> {
    inspection(context).or(supervision(context)).unify().or(management(context)).unify().boxed()
}

/// `/`, `/healthcheck` and `/livez`, which need nothing to be answered.
pub(super) fn health() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let here = warp::path::end();
    let named = warp::path("healthcheck").or(warp::path("livez")).unify().and(warp::path::end());
    let paths = here.or(named).unify();
    paths
        .and(warp::method())
        .and(query())
        .map(|method, query: String| shown(operations::alive(&method, &query)))
}

fn inspection(context: &Context) -> BoxedFilter<(Response,)> {
    let asked = |name: &'static str| {
        let context = context.clone();
        let context = warp::any().map(move || context.clone());
        warp::path(name).and(warp::path::end()).and(warp::method()).and(query()).and(context)
    };
    let is_ready = asked("readyz").map(|method: Method, query: String, of: Context| {
        shown(operations::ready(&method, &query, &of.cache))
    });
    let status = asked("status").then(|method: Method, query: String, of: Context| async move {
        shown(operations::status(&method, &query, &of.cache).await)
    });
    let explain = asked("explain").then(|method: Method, query: String, of: Context| async move {
        shown(operations::explain(&method, &query, &of.cache).await)
    });
    let headers = warp::header::headers_cloned();
    let metrics = asked("metrics").and(headers).then(
        |method: Method, query: String, of: Context, headers: HeaderMap| async move {
            shown(metrics::answer(&method, &query, &headers, &of).await)
        },
    );
    let described =
        warp::path("openapi.json").and(warp::path::end()).and(warp::method()).and(query());
    let described = described
        .map(|method: Method, query: String| shown(operations::description(&method, &query)));
    let is_ready = is_ready.or(described).unify();
    is_ready.or(status).unify().or(explain).unify().or(metrics).unify().boxed()
}

fn supervision(context: &Context) -> BoxedFilter<(Response,)> {
    let context = context.clone();
    let context = warp::any().map(move || context.clone());
    let tree = warp::path::end().and(warp::method()).and(query()).and(context.clone()).map(
        |method: Method, query: String, of: Context| {
            shown(operations::supervision(&method, &query, &of.cache))
        },
    );
    let crash =
        warp::path!(String / "crash").and(warp::method()).and(query()).and(context.clone()).then(
            |child: String, method: Method, query: String, of: Context| async move {
                shown(operations::crash(&method, &query, &child, of.has_demo, &of.cache).await)
            },
        );
    let chaos = warp::path!("cluster" / "chaos").and(warp::method()).and(context).and(query()).map(
        |method: Method, of: Context, query: String| {
            shown(operations::disturb(&method, &query, of.has_demo, &of.cache))
        },
    );
    warp::path("supervision").and(tree.or(crash).unify()).or(chaos).unify().boxed()
}

fn management(context: &Context) -> BoxedFilter<(Response,)> {
    let context = context.clone();
    let context = warp::any().map(move || context.clone());
    let drain = warp::path!("drain").and(warp::method()).and(query()).and(context.clone()).map(
        |method: Method, query: String, of: Context| {
            shown(operations::drain(&method, &query, of.can_manage, &of.cache))
        },
    );
    let member = warp::path!("cluster" / "members" / String);
    let forget = member.and(warp::method()).and(query()).and(context).then(
        |name: String, method: Method, query: String, of: Context| async move {
            shown(operations::forget(&method, &query, &name, of.can_manage, &of.cache).await)
        },
    );
    drain.or(forget).unify().boxed()
}
