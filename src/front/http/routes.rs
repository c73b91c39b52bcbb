//! Which path is answered by what, as warp filters.
//!
//! Each path takes every method and refuses the wrong ones itself, so that nothing is rejected on
//! the way and every answer has a message.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use warp::filters::BoxedFilter;
use warp::filters::path::Tail;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::answer::Refusal;
use super::api::{Api, Parts};
use super::native::Native;
use super::{metrics, operations};
use crate::cache::Cache;
use crate::limits::HTTP_CONNECTIONS_MAX;
use crate::metrics::HttpCounts;

/// What the routes answer from.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) cache: Cache,
    pub(super) has_demo: bool,
    pub(super) counts: Arc<HttpCounts>,
    pub(super) vacancies: Arc<Semaphore>,
}

/// All routes as one service, for one connection.
///
/// Each connection has its own: what its requests share is counted by references, and a count that
/// two processors change in turn costs more than making the routes once.
pub(super) struct Routes(Box<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>);

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl Routes {
    pub(super) fn new(context: &Context) -> Self {
        // What is asked most comes first, and all that is tried after it is behind one box: an `or`
        // copies its second part for every request.
        let api = smache_api(&Arc::new(Api::new(context.cache.clone())));
        let others = native_api(context)
            .or(health())
            .unify()
            .or(inspection(context))
            .unify()
            .or(supervision(context))
            .unify()
            .or(warp::path::full().map(|path: warp::path::FullPath| {
                let message = format!("nothing is at {:.100}", path.as_str());
                Response::from(Refusal::new(StatusCode::NOT_FOUND, message))
            }))
            .unify()
            .boxed();
        let all = api.or(others).unify();
        let service = TowerToHyperService::new(warp::service(all));
        Self(Box::new(move |request| Box::pin(service.call(request))))
    }

    pub(super) fn call(&self, request: Request<Incoming>) -> Answering {
        self.0(request)
    }
}

fn smache_api(
    api: &Arc<Api>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let api_of = |api: &Arc<Api>| {
        let api = Arc::clone(api);
        warp::any().map(move || Arc::clone(&api))
    };
    let read = warp::path::end()
        .and(warp::get())
        .and(api_of(api))
        .and(query())
        .then(|api: Arc<Api>, query: String| async move { shown(api.get(&query).await) });
    let any = warp::path::end()
        .and(api_of(api))
        .and(parts())
        .then(|api: Arc<Api>, parts| async move { shown(api.answer(parts).await) });
    let cmd = warp::path("cmd")
        .and(warp::path::end())
        .and(api_of(api))
        .and(parts())
        .then(|api: Arc<Api>, parts| async move { shown(api.answer_cmd(parts).await) });
    warp::path("api").and(read.or(any.or(cmd).unify().boxed()).unify())
}

fn native_api(context: &Context) -> BoxedFilter<(Response,)> {
    let native = Arc::new(Native::new(context.cache.clone()));
    warp::path("v1")
        .and(warp::path::param::<String>())
        .and(warp::path::tail())
        .and(warp::header::headers_cloned())
        .and(warp::any().map(move || Arc::clone(&native)))
        .and(parts())
        .then(|namespace: String, path: Tail, headers: HeaderMap, native: Arc<Native>, parts| {
            Box::pin(async move {
                shown(native.answer(&namespace, path.as_str(), &headers, parts).await)
            })
        })
        .boxed()
}

/// `/`, `/healthcheck` and `/livez`, which need nothing to be answered.
fn health() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let here = warp::path::end();
    let named = warp::path("healthcheck").or(warp::path("livez")).unify().and(warp::path::end());
    let paths = here.or(named).unify();
    paths.and(warp::method()).map(|method| shown(operations::alive(&method)))
}

fn inspection(context: &Context) -> BoxedFilter<(Response,)> {
    let asked = |name: &'static str| {
        let context = context.clone();
        let context = warp::any().map(move || context.clone());
        warp::path(name).and(warp::path::end()).and(warp::method()).and(context)
    };
    let is_ready = asked("readyz")
        .map(|method: Method, of: Context| shown(operations::ready(&method, &of.cache)));
    let status = asked("status")
        .map(|method: Method, of: Context| shown(operations::status(&method, &of.cache)));
    let explain =
        asked("explain").and(query()).map(|method: Method, of: Context, query: String| {
            shown(operations::explain(&method, &query, &of.cache))
        });
    let metrics = asked("metrics").map(|method: Method, of: Context| {
        let connections = HTTP_CONNECTIONS_MAX - of.vacancies.available_permits();
        shown(metrics::answer(&method, &of.cache, &of.counts, connections))
    });
    is_ready.or(status).unify().or(explain).unify().or(metrics).unify().boxed()
}

fn supervision(context: &Context) -> BoxedFilter<(Response,)> {
    let context = context.clone();
    let context = warp::any().map(move || context.clone());
    let tree = warp::path::end()
        .and(warp::method())
        .and(context.clone())
        .map(|method: Method, of: Context| shown(operations::supervision(&method, &of.cache)));
    let crash = warp::path!(String / "crash").and(warp::method()).and(context.clone()).then(
        |child: String, method: Method, of: Context| async move {
            shown(operations::crash(&method, &child, of.has_demo, &of.cache).await)
        },
    );
    let chaos = warp::path!("cluster" / "chaos").and(warp::method()).and(context).and(query()).map(
        |method: Method, of: Context, query: String| {
            shown(operations::disturb(&method, &query, of.has_demo, &of.cache))
        },
    );
    warp::path("supervision").and(tree.or(crash).unify()).or(chaos).unify().boxed()
}

/// The query as it stands, empty where there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or_else(|_: Rejection| ready(Ok::<_, Infallible>((String::new(),))))
}

/// What is left of a request once its path was taken apart.
fn parts() -> impl Filter<
    Extract = (Parts<impl Stream<Item = Result<impl Buf, warp::Error>> + Send>,),
    Error = Rejection,
> + Copy {
    warp::method()
        .and(query())
        .and(warp::header::optional("content-length"))
        .and(warp::body::stream())
        .map(|method, query, content_length, body| Parts { method, query, content_length, body })
}

fn shown(answer: Result<Response, Refusal>) -> Response {
    answer.unwrap_or_else(Response::from)
}
