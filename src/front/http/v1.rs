//! The native API at `/v1`.

mod batch;
mod conditions;
mod element;
mod elements;
mod lifetime;
mod listing;
mod media;
mod native;
mod policies;
mod range;
mod select;
mod update;

use std::sync::Arc;

use hyper::header::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::Tail;
use warp::reply::Response;

use super::serve::{parts, shown};
use crate::cache::Cache;

use native::Native;

/// Whether conditions are looked at under this path.
pub(super) fn has_conditions(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// `/v1`, `/v1/{namespace}` and `/v1/{namespace}/{key…}`. With `can_manage`, clients may tell namespaces
/// what to go by.
pub(super) fn routes(cache: &Cache, can_manage: bool) -> BoxedFilter<(Response,)> {
    let native = Arc::new(Native::new(cache.clone(), can_manage));
    warp::path("v1")
        .and(warp::path::tail())
        .and(warp::header::headers_cloned())
        .and(warp::any().map(move || Arc::clone(&native)))
        .and(parts())
        .then(|path: Tail, headers: HeaderMap, native: Arc<Native>, parts| {
            Box::pin(async move { shown(native.answer(path.as_str(), &headers, parts).await) })
        })
        .boxed()
}
