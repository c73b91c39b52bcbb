//! The request that a task has under way: what it is called, and what is noted of it on the way.
//!
//! To who sent it, and to who reads the logs, a request is one thing; on its way through the layers it
//! is one command among others, and at another node one of a batch. What it is called goes with the
//! task instead of through every signature on the way, and costs one that has no name nothing.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::member::NodeName;

/// What a request is called, here and at every node it is passed on to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// As its sender calls it, or as it was called here because it is logged.
    pub id: Option<RequestId>,
    /// Its place among the calls of a larger one, as W3C Trace Context has it.
    pub parent: Option<TraceParent>,
}

/// 1 to [`REQUEST_ID_BYTES_MAX`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

/// A `traceparent` of W3C Trace Context, version 00: 55 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Arc<str>);

/// What is known of the requests of one connection, of which one is under way at a time.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// Whether a request without an id is given one when it goes to another node.
    makes_ids: bool,
    is_missed: AtomicBool,
    /// Whether there is something in `notes`: mostly not, and then they are not looked at.
    has_notes: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Clone, Debug, Default)]
struct Notes {
    trace: Trace,
    owner: Option<NodeName>,
}

tokio::task_local! {
    static UNDER_WAY: Arc<UnderWay>;
}

impl RequestId {
    /// The id in a text; `None` if it is none.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let is_right = (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
            && text.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(text).ok().filter(|_| is_right)?;
        Some(Self(text.into()))
    }

    /// An id that no other request has: which run of a node made it, and the how manieth it is.
    #[must_use]
    pub fn make() -> Self {
        static RUN: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Without entropy the ids of two runs may be the same.
        let run = RUN.get_or_init(|| getrandom::u64().unwrap_or_default());
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{run:016x}-{next}").into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TraceParent {
    /// The one in a text; `None` if it is none, or not of version 00.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.split('-');
        let mut hex = |len| {
            let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            parts.next().filter(|part| part.len() == len && part.bytes().all(is_hex))
        };
        let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let is_right = version == "00" && !is_zero(trace) && !is_zero(parent);
        (is_right && parts.next().is_none()).then(|| Self(text.into()))
    }

    /// As it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that all calls of the larger one have in common.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

impl Trace {
    /// Whether it has no name at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.parent.is_none()
    }
}

impl UnderWay {
    /// Nothing yet. With `makes_ids`, a request without an id is given one when it goes to another node,
    /// so that what is logged there can be found.
    #[must_use]
    pub fn new(makes_ids: bool) -> Arc<Self> {
        Arc::new(Self { makes_ids, ..Self::default() })
    }

    /// Has what `future` does noted here.
    pub async fn scope<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        UNDER_WAY.scope(Arc::clone(self), future).await
    }

    /// A request begins, and it is called so.
    pub fn begin(&self, trace: Trace) {
        self.is_missed.store(false, Ordering::Relaxed);
        if !trace.is_empty() || self.has_notes() {
            let is_named = !trace.is_empty();
            *self.notes() = Notes { trace, owner: None };
            self.has_notes.store(is_named, Ordering::Relaxed);
        }
    }

    /// Whether there was no entry.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.is_missed.load(Ordering::Relaxed)
    }

    /// What it is called; with `may_make` it has an id by then.
    #[must_use]
    pub fn trace(&self, may_make: bool) -> Trace {
        if !may_make && !self.has_notes() {
            return Trace::default();
        }
        let mut notes = self.notes();
        if may_make && notes.trace.id.is_none() {
            notes.trace.id = Some(RequestId::make());
            self.has_notes.store(true, Ordering::Relaxed);
        }
        notes.trace.clone()
    }

    /// The last node that it was passed on to.
    #[must_use]
    pub fn owner(&self) -> Option<NodeName> {
        if self.has_notes() { self.notes().owner.clone() } else { None }
    }

    fn has_notes(&self) -> bool {
        self.has_notes.load(Ordering::Relaxed)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that there was no entry.
pub fn missed() {
    // A task that has no request under way has nothing to note.
    let _ = UNDER_WAY.try_with(|it| it.is_missed.store(true, Ordering::Relaxed));
}

/// Notes that the request is passed on to a node.
pub fn passed_on(to: &NodeName) {
    let note = |it: &Arc<UnderWay>| {
        it.notes().owner = Some(to.clone());
        it.has_notes.store(true, Ordering::Relaxed);
    };
    // As above.
    let _ = UNDER_WAY.try_with(note);
}

/// What the request is called at the node it is passed on to; empty if it has no name.
#[must_use]
pub fn current() -> Trace {
    UNDER_WAY.try_with(|it| it.trace(it.makes_ids)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn an_id_is_short_visible_text() {
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        for id in ["a", "7f3a-9", "{\"a\":1}", &longest] {
            assert_eq!(RequestId::new(id.as_bytes()).unwrap().as_str(), id);
        }
        for id in ["", "a b", "a\n", "\u{e4}", &format!("{longest}x")] {
            assert_eq!(RequestId::new(id.as_bytes()), None, "{id:?}");
        }
        assert_ne!(RequestId::make(), RequestId::make());
        assert!(RequestId::new(RequestId::make().as_str().as_bytes()).is_some());
    }

    #[test]
    fn a_trace_parent_is_one_of_version_00_or_none() {
        let parent = TraceParent::new(PARENT.as_bytes()).unwrap();
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceParent::new(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_noted_is_of_the_request_under_way_and_of_no_other() {
        let to = NodeName::new("b@x").unwrap();
        missed();
        passed_on(&to);
        assert!(current().is_empty());
        let under_way = UnderWay::new(false);
        let id = RequestId::new(b"seven");
        under_way.begin(Trace { id: id.clone(), parent: None });
        let called = under_way.scope(async {
            missed();
            passed_on(&to);
            current()
        });
        assert_eq!(called.await.id, id);
        assert_eq!((under_way.is_missed(), under_way.owner()), (true, Some(to)));
        under_way.begin(Trace::default());
        assert_eq!((under_way.is_missed(), under_way.owner()), (false, None));
        assert!(under_way.trace(false).is_empty());
    }

    #[tokio::test]
    async fn where_requests_are_logged_one_without_an_id_gets_one_and_keeps_it() {
        let under_way = UnderWay::new(true);
        under_way.begin(Trace::default());
        assert!(under_way.trace(false).is_empty());
        let passed = under_way.scope(async { current() }).await;
        assert!(passed.id.is_some());
        assert_eq!(under_way.trace(true), passed);
        under_way.begin(Trace::default());
        assert_ne!(under_way.trace(true), passed);
    }
}
