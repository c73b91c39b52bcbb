//! What a namespace may be told: how much memory it has, and how long its entries live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::census::Census;
use crate::entry::{Millis, Namespace};
use crate::limits::{MEMORY_BYTES_MAX, NAMESPACE_MEMORY_MIN, TTL_MAX};
use crate::notation::{self, SIZE_ALLOWED, TIME_ALLOWED};
use crate::registry::Known;

/// What names of policies begin with, among all that nodes know alike.
const PREFIX: &str = "policy/";

const FIELDS: &str = "memory, default_ttl, max_ttl";

/// What a namespace was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Bytes that its entries may have on all nodes together; `None` for as many as there is room for.
    pub memory: Option<u64>,
    /// How long an entry lives for which no time is named; `None` for ever.
    pub default_ttl: Option<Duration>,
    /// How long an entry may live after it was written; `None` for ever.
    pub max_ttl: Option<Duration>,
}

/// Why something is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is no JSON object.
    #[error("body is not a JSON object; allowed: {{\"memory\":…,\"default_ttl\":…,\"max_ttl\":…}}")]
    NoObject,
    /// There is no such field.
    #[error("{0:.40} is unknown; allowed: {FIELDS}")]
    Unknown(String),
    /// A field is wrong.
    #[error("{field} is {value:.60}; allowed: {allowed}")]
    Wrong {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

/// The policies that hold now.
pub struct Policies {
    now: ArcSwap<Governed>,
    census: Arc<Census>,
}

/// The policy of each namespace that has one.
#[derive(Debug, Default)]
pub struct Governed(BTreeMap<Namespace, Policy>);

/// A policy as nodes tell it to each other: one that knows more fields is understood as far as it can be.
#[derive(Serialize, Deserialize)]
struct Told {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_ttl_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_ttl_ms: Option<u64>,
}

impl Policy {
    /// Reads a policy as a client writes it: each field a text, or a number of bytes or seconds, or null.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], which names the field.
    pub fn read(json: &[u8]) -> Result<Self, PolicyError> {
        let fields: Map<String, Value> =
            serde_json::from_slice(json).map_err(|_| PolicyError::NoObject)?;
        let mut policy = Self::default();
        for (name, value) in &fields {
            match name.as_str() {
                "memory" => policy.memory = read_size(value)?,
                "default_ttl" => policy.default_ttl = read_time("default_ttl", value)?,
                "max_ttl" => policy.max_ttl = read_time("max_ttl", value)?,
                other => return Err(PolicyError::Unknown(other.to_owned())),
            }
        }
        match (policy.default_ttl, policy.max_ttl) {
            (Some(default), Some(max)) if max < default => Err(PolicyError::Wrong {
                field: "default_ttl",
                value: notation::of_time(default),
                allowed: format!("up to max_ttl, which is {}", notation::of_time(max)),
            }),
            _ => Ok(policy),
        }
    }

    /// The policy as a client is shown it.
    #[must_use]
    pub fn shown(&self) -> Value {
        let time = |time: Option<Duration>| time.map(notation::of_time);
        serde_json::json!({
            "memory": self.memory.map(notation::of_size),
            "default_ttl": time(self.default_ttl),
            "max_ttl": time(self.max_ttl),
        })
    }

    /// When a value ends that takes the place of none, or of one whose end does not count any more, and
    /// is to end at `asked`; `None` for never.
    #[must_use]
    pub fn end_of_new(&self, asked: Option<Millis>, now: Millis) -> Option<Millis> {
        asked.or_else(|| self.default_ttl.map(|ttl| now.after(ttl)))
    }

    /// When a value ends at the latest that is written now and is to end at `asked`.
    #[must_use]
    pub fn latest_end(&self, asked: Option<Millis>, now: Millis) -> Option<Millis> {
        let latest = self.max_ttl.map(|ttl| now.after(ttl));
        match (asked, latest) {
            (Some(asked), Some(latest)) => Some(asked.min(latest)),
            (asked, latest) => asked.or(latest),
        }
    }

    /// The name of the policy of a namespace, among all that nodes know alike.
    #[must_use]
    pub fn name(namespace: &Namespace) -> String {
        format!("{PREFIX}{namespace}")
    }

    /// The policy as nodes tell it to each other.
    #[must_use]
    pub fn to_told(&self) -> Bytes {
        let millis = |ttl: Option<Duration>| {
            ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
        };
        let Self { memory, default_ttl, max_ttl } = *self;
        let told =
            Told { memory, default_ttl_ms: millis(default_ttl), max_ttl_ms: millis(max_ttl) };
        // Three numbers are always JSON.
        serde_json::to_vec(&told).unwrap_or_default().into()
    }

    /// Reads what [`Self::to_told`] has made; `None` for what is none.
    #[must_use]
    pub fn from_told(told: &[u8]) -> Option<Self> {
        let Told { memory, default_ttl_ms, max_ttl_ms } = serde_json::from_slice(told).ok()?;
        let time = |ms: Option<u64>| ms.map(Duration::from_millis);
        Some(Self { memory, default_ttl: time(default_ttl_ms), max_ttl: time(max_ttl_ms) })
    }
}

fn read_size(value: &Value) -> Result<Option<u64>, PolicyError> {
    let size = match value {
        Value::Null => return Ok(None),
        Value::Number(bytes) => bytes.as_u64(),
        Value::String(text) => notation::size(text),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let range = NAMESPACE_MEMORY_MIN..=MEMORY_BYTES_MAX as u64;
    let allowed = || {
        let (least, most) = (notation::of_size(*range.start()), notation::of_size(*range.end()));
        format!("{SIZE_ALLOWED}, from {least} to {most}")
    };
    match size.filter(|size| range.contains(size)) {
        Some(size) => Ok(Some(size)),
        None => Err(wrong("memory", value, allowed())),
    }
}

fn read_time(field: &'static str, value: &Value) -> Result<Option<Duration>, PolicyError> {
    let time = match value {
        Value::Null => return Ok(None),
        Value::Number(seconds) => seconds.as_u64().map(Duration::from_secs),
        Value::String(text) => notation::time(text),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let is_allowed = |time: &Duration| (Duration::from_millis(1)..=TTL_MAX).contains(time);
    time.filter(is_allowed).map(Some).ok_or_else(|| {
        let allowed = format!("{TIME_ALLOWED}, from 1ms to {}", notation::of_time(TTL_MAX));
        wrong(field, value, allowed)
    })
}

fn wrong(field: &'static str, value: &Value, allowed: String) -> PolicyError {
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    PolicyError::Wrong { field, value, allowed }
}

impl Default for Policies {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Policies {
    /// None yet, of namespaces that `census` counts.
    #[must_use]
    pub fn new(census: Arc<Census>) -> Self {
        Self { now: ArcSwap::default(), census }
    }

    /// The namespaces that are counted.
    #[must_use]
    pub fn census(&self) -> &Arc<Census> {
        &self.census
    }

    /// Goes by what nodes know alike from now on.
    pub fn follow(&self, known: &Known) {
        let policy = |(name, told): (&str, &Bytes)| {
            Some((Namespace::new(name).ok()?, Policy::from_told(told)?))
        };
        let governed: BTreeMap<_, _> = known.under(PREFIX).filter_map(policy).collect();
        governed.keys().for_each(|namespace| _ = self.census.enter_governed(namespace));
        self.now.store(Arc::new(Governed(governed)));
    }

    /// Those that hold now.
    #[must_use]
    pub fn now(&self) -> Guard<Arc<Governed>> {
        self.now.load()
    }
}

impl Governed {
    /// That of a namespace; `None` if it has none.
    #[inline]
    #[must_use]
    pub fn get(&self, namespace: &Namespace) -> Option<&Policy> {
        if self.0.is_empty() { None } else { self.0.get(namespace) }
    }

    /// All of them, in the order of the namespaces.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (&Namespace, &Policy)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Policy, String> {
        Policy::read(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_is_read_as_it_is_shown_and_as_it_is_told() {
        let policy = read(r#"{"memory":"16MiB","default_ttl":30,"max_ttl":"1h"}"#).unwrap();
        let (memory, ttl) = (Some(16 << 20), Some(Duration::from_secs(30)));
        let max_ttl = Some(Duration::from_secs(3_600));
        assert_eq!(policy, Policy { memory, default_ttl: ttl, max_ttl });
        let shown = policy.shown();
        let expected = serde_json::json!({"memory":"16MiB","default_ttl":"30s","max_ttl":"1h"});
        assert_eq!(shown, expected);
        for policy in [policy, Policy::default()] {
            assert_eq!(read(&policy.shown().to_string()), Ok(policy));
            assert_eq!(Policy::from_told(&policy.to_told()), Some(policy));
        }
        let newer = br#"{"memory":5,"colour":"blue"}"#;
        assert_eq!(Policy::from_told(newer), Some(Policy { memory: Some(5), ..Policy::default() }));
    }

    #[test]
    fn each_wrong_field_is_named_with_what_is_allowed() {
        for (json, field) in [
            (r#"{"memory":"lots"}"#, "memory is lots; allowed: "),
            (r#"{"memory":-1}"#, "memory is -1; allowed: "),
            (r#"{"memory":1.5}"#, "memory is 1.5; allowed: "),
            (r#"{"memory":"1KiB"}"#, "memory is 1KiB; allowed: "),
            (r#"{"memory":true}"#, "memory is true; allowed: "),
            (r#"{"default_ttl":"soon"}"#, "default_ttl is soon; allowed: 1500ms"),
            (r#"{"default_ttl":0}"#, "default_ttl is 0; allowed: 1500ms"),
            (r#"{"max_ttl":["1h"]}"#, "max_ttl is [\"1h\"]; allowed: 1500ms"),
            (r#"{"max_ttl":"99999d"}"#, "max_ttl is 99999d; allowed: 1500ms"),
            (r#"{"default_ttl":"2h","max_ttl":"1h"}"#, "default_ttl is 2h; allowed: up to max_ttl"),
            (r#"{"ttl":1}"#, "ttl is unknown; allowed: memory, default_ttl, max_ttl"),
            ("[]", "body is not a JSON object"),
            ("{", "body is not a JSON object"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with(field), "{json}: {error}");
        }
        assert_eq!(read(r#"{"memory":null}"#), Ok(Policy::default()));
    }

    #[test]
    fn an_end_is_the_one_asked_for_or_the_default_and_no_later_than_allowed() {
        let ttl = |ms| Some(Duration::from_millis(ms));
        let policy = Policy { default_ttl: ttl(10), max_ttl: ttl(50), ..Policy::default() };
        let now = Millis(100);
        assert_eq!(policy.end_of_new(None, now), Some(Millis(110)));
        assert_eq!(policy.end_of_new(Some(Millis(300)), now), Some(Millis(300)));
        assert_eq!(policy.latest_end(Some(Millis(300)), now), Some(Millis(150)));
        assert_eq!(policy.latest_end(Some(Millis(120)), now), Some(Millis(120)));
        assert_eq!(policy.latest_end(None, now), Some(Millis(150)));
        assert_eq!(Policy::default().latest_end(None, now), None);
        assert_eq!(Policy::default().end_of_new(None, now), None);
    }

    #[test]
    fn policies_follow_what_nodes_know_alike() {
        let (registry, policies) = (crate::registry::Registry::default(), Policies::default());
        let namespace = Namespace::new("site").unwrap();
        let policy = Policy { memory: Some(1 << 20), ..Policy::default() };
        registry.set(&Policy::name(&namespace), Some(policy.to_told()), Default::default());
        registry.set("policy/no way", Some(policy.to_told()), Default::default());
        registry.set("other/site", Some(policy.to_told()), Default::default());
        registry.look(|known| policies.follow(known));
        assert_eq!(policies.now().get(&namespace), Some(&policy));
        assert_eq!(policies.now().all().len(), 1);
        assert!(policies.census().reads(&namespace).is_some());
        registry.set(&Policy::name(&namespace), None, Default::default());
        registry.look(|known| policies.follow(known));
        assert_eq!(policies.now().all().len(), 0);
        assert_eq!(Policy::name(&Namespace::default()), "policy/default");
    }
}
