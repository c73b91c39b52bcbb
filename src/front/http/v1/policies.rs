//! What namespaces go by, and what there is of each: `PUT /v1/{namespace}`, `?policy`, `?stats`.

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use warp::reply::Response;

use super::media::only_plain;
use super::native::{Native, done};
use crate::cache::{Made, Measured, NamespaceFigures, NotGoverned, Policy, PolicyError};
use crate::entry::Namespace;
use crate::front::http::serve::{Params, Parts, Refusal, json, read};
use crate::limits::POLICY_BYTES_MAX;

/// A namespace and what it goes by.
#[derive(Serialize)]
struct Shown {
    namespace: String,
    policy: Value,
}

/// What there is of a namespace. `missing` are nodes that did not say so.
#[derive(Serialize)]
struct Stats {
    namespace: String,
    entries: u64,
    bytes: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

impl Native {
    /// `GET /v1`: the namespaces that have a policy.
    pub(super) fn answer_all(
        &self,
        method: &Method,
        params: Params<'_>,
    ) -> Result<Response, Refusal> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Refusal::method("GET, HEAD"));
        }
        params.only(&[])?;
        let shown = |(namespace, policy): &(Namespace, Policy)| Shown {
            namespace: namespace.to_string(),
            policy: policy.shown(),
        };
        let namespaces: Vec<_> = self.cache.policies().iter().map(shown).collect();
        Ok(json(StatusCode::OK, &serde_json::json!({ "namespaces": namespaces })))
    }

    /// `GET /v1/{namespace}`: its policy, what there is of it, or its keys.
    pub(super) async fn tell(
        &self,
        namespace: &Namespace,
        params: Params<'_>,
    ) -> Result<Response, Refusal> {
        if params.single("policy")?.is_some() {
            params.only(&["policy"])?;
            let policy = self.cache.policy(namespace).ok_or_else(|| no_policy(namespace))?;
            return Ok(json(StatusCode::OK, &policy.shown()));
        }
        if params.single("stats")?.is_none() {
            return self.list(namespace, params).await;
        }
        params.only(&["stats"])?;
        let Measured { figures, missing } = self.cache.measure(namespace).await?;
        let NamespaceFigures { entries, bytes, hits, misses, evictions } = figures;
        let namespace = namespace.to_string();
        let missing = missing.iter().map(ToString::to_string).collect();
        let stats = Stats { namespace, entries, bytes, hits, misses, evictions, missing };
        Ok(json(StatusCode::OK, &stats))
    }

    /// `PUT /v1/{namespace}`: says what it goes by from now on, all of it.
    pub(super) async fn set_policy<S, B>(
        &self,
        namespace: &Namespace,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf,
    {
        Params::new(&parts.query).only(&[])?;
        self.only_managed()?;
        only_plain(headers)?;
        let body: Bytes = read(parts.body, parts.content_length, POLICY_BYTES_MAX).await?.bytes;
        let policy = Policy::read(&body)?;
        let status = match self.cache.set_policy(namespace, &policy).await? {
            Made::New => StatusCode::CREATED,
            Made::Replaced => StatusCode::OK,
        };
        Ok(json(status, &policy.shown()))
    }

    /// `DELETE /v1/{namespace}?policy`: has it go by none, and keeps its entries.
    pub(super) async fn remove_policy(
        &self,
        namespace: &Namespace,
        params: Params<'_>,
    ) -> Result<Response, Refusal> {
        params.only(&["policy"])?;
        self.only_managed()?;
        match self.cache.remove_policy(namespace).await {
            true => Ok(done(StatusCode::NO_CONTENT, self.node.clone())),
            false => Err(no_policy(namespace)),
        }
    }

    /// What concerns all entries of a namespace is for those who have shown a token, and for
    /// demonstrations.
    fn only_managed(&self) -> Result<(), Refusal> {
        match self.can_manage {
            true => Ok(()),
            false => {
                let message = "policies of namespaces cannot be changed here; allowed: on a node \
                               with a token, or with --demo";
                Err(Refusal::new(StatusCode::FORBIDDEN, message))
            }
        }
    }
}

fn no_policy(namespace: &Namespace) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("the namespace {namespace} has no policy"))
}

impl From<PolicyError> for Refusal {
    fn from(error: PolicyError) -> Self {
        let message = error.to_string();
        match error {
            PolicyError::NoObject => Self::bad_request(message),
            PolicyError::Unknown(_) | PolicyError::Wrong { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
            }
        }
    }
}

impl From<NotGoverned> for Refusal {
    fn from(error: NotGoverned) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    }
}
