//! The native API at `/v1`.

mod native;
mod range;

use std::sync::Arc;

use hyper::header::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::Tail;
use warp::reply::Response;

use super::serve::{parts, shown};
use crate::cache::Cache;

use native::Native;

/// `/v1/{namespace}/{key…}`.
pub(super) fn routes(cache: &Cache) -> BoxedFilter<(Response,)> {
    let native = Arc::new(Native::new(cache.clone()));
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
