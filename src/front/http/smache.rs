//! Smache's API at `/api`, and ExDaas's form of it.

mod api;
mod query;

use std::sync::Arc;

use warp::reply::Response;
use warp::{Filter, Rejection};

use super::serve::{parts, query, shown};
use crate::cache::Cache;

use api::Api;

/// `/api` and `/api/cmd`.
pub(super) fn routes(
    cache: &Cache,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let api = &Arc::new(Api::new(cache.clone()));
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
