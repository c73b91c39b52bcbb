//! The routes of a connection, and what filters make of a request.
//!
//! Each path takes every method and refuses the wrong ones itself, so that nothing is rejected on
//! the way and every answer has a message.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;

use bytes::Buf;
use futures_util::Stream;
use hyper::header::HeaderName;
use hyper::service::Service;
use hyper::{Method, Request};
use hyper_util::service::TowerToHyperService;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::answer::Refusal;
use super::fields;
use super::incoming::RequestBody;

/// All routes as one service, for one connection.
///
/// Each connection has its own: what its requests share is counted by references, and a count that
/// two processors change in turn costs more than making the routes once.
pub(crate) struct Routes {
    all: Box<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>,
    /// Whether conditions are looked at under a path.
    has_conditions: fn(&str) -> bool,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// A request as the filters took it apart.
pub(crate) struct Parts<S> {
    pub(crate) method: Method,
    pub(crate) query: String,
    pub(crate) content_length: Option<u64>,
    pub(crate) body: S,
}

impl Routes {
    /// The routes that `all` is, which answers every path. A request with a condition (`If-Match` and
    /// its like) is refused where `has_conditions` does not say that it is looked at.
    pub(crate) fn new<F>(all: F, has_conditions: fn(&str) -> bool) -> Self
    where
        F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
        F::Future: Send,
    {
        let service = TowerToHyperService::new(warp::service(all));
        Self { all: Box::new(move |request| Box::pin(service.call(request))), has_conditions }
    }

    pub(super) fn call(&self, request: Request<RequestBody>) -> Answering {
        match self.unmet_condition(&request) {
            Some(name) => Box::pin(ready(Ok(Refusal::not_yet(name).into()))),
            None => (self.all)(request),
        }
    }

    /// A condition that nobody looks at.
    fn unmet_condition<'a>(&self, request: &'a Request<RequestBody>) -> Option<&'a HeaderName> {
        let condition = fields::conditions(request.headers()).next()?;
        (!(self.has_conditions)(request.uri().path())).then_some(condition)
    }
}

/// The query as it stands, empty where there is none.
pub(crate) fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or_else(|_: Rejection| ready(Ok::<_, Infallible>((String::new(),))))
}

/// What is left of a request once its path was taken apart.
pub(crate) fn parts() -> impl Filter<
    Extract = (Parts<impl Stream<Item = Result<impl Buf, warp::Error>> + Send>,),
    Error = Rejection,
> + Copy {
    warp::method()
        .and(query())
        .and(warp::header::optional("content-length"))
        .and(warp::body::stream())
        .map(|method, query, content_length, body| Parts { method, query, content_length, body })
}

pub(crate) fn shown(answer: Result<Response, Refusal>) -> Response {
    answer.unwrap_or_else(Response::from)
}
