//! Deadlines of one connection: who is silent for too long is closed.
//!
//! The stream and the service note what happens, an atomic store each, and the connection's own
//! timer looks at the notes only when something may be due. A request sets no timer and reads the
//! clock as its bytes come in, which is what makes deadlines free where nothing is wrong.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::ending::Ending;
use super::fragment::Suspects;
use super::traffic::Traffic;
use crate::limits::{HTTP_FIRST_BYTE_TIMEOUT, HTTP_HEADER_TIMEOUT, HTTP_IDLE_TIMEOUT};

/// What a connection waits for, since when, and how it is about to end.
///
/// All of it is noted and looked at by the one task of the connection.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    wait: AtomicU8,
    /// When a request began to come in last, in milliseconds after `opened`.
    since_ms: AtomicU64,
    /// Whether an answer was made, or some of one taken, since a request began or the timer looked.
    has_sent: AtomicBool,
    /// Whether the body of the request was not read to its end, or not yet.
    has_unread: AtomicBool,
    /// Whether the answer has room that others may wait for.
    has_room: AtomicBool,
    /// Whether some of an answer was taken since the timer looked.
    has_moved: AtomicBool,
    giving: AtomicU8,
    ending: AtomicU8,
    /// Targets with a fragment, if there are any.
    pub(super) suspects: Suspects,
    /// What has passed.
    pub(super) traffic: Traffic,
}

/// What an answer takes of memory that all connections share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Nothing.
    Small,
    /// Room, until the client has taken it.
    Large,
}

/// How far a connection is with an answer that is given in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Giving {
    /// There is none.
    Nothing = 0,
    /// The next piece may be given.
    Ready = 1,
    /// A piece is on its way.
    Given = 2,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Wait {
    /// The first byte after it was opened.
    FirstByte = 0,
    /// The rest of a request's header.
    Header = 1,
    /// Our answer, or the body: both have deadlines where they are made.
    Answer = 2,
    /// The client taking the answer.
    Taking = 3,
    /// The next request.
    Next = 4,
}

impl Wait {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::FirstByte => Some(HTTP_FIRST_BYTE_TIMEOUT),
            Self::Header => Some(HTTP_HEADER_TIMEOUT),
            Self::Answer => None,
            Self::Taking | Self::Next => Some(HTTP_IDLE_TIMEOUT),
        }
    }
}

impl Activity {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            wait: AtomicU8::new(Wait::FirstByte as u8),
            since_ms: AtomicU64::new(0),
            has_sent: AtomicBool::new(false),
            has_unread: AtomicBool::new(false),
            has_room: AtomicBool::new(false),
            has_moved: AtomicBool::new(false),
            giving: AtomicU8::new(Giving::Nothing as u8),
            ending: AtomicU8::new(Ending::Open as u8),
            suspects: Suspects::default(),
            traffic: Traffic::default(),
        }
    }

    /// A request's header is complete.
    pub(super) fn request_began(&self) {
        self.wait.store(Wait::Answer as u8, Ordering::Relaxed);
    }

    /// The request has a body, which nobody has read yet.
    pub(super) fn body_began(&self) {
        self.has_unread.store(true, Ordering::Relaxed);
    }

    /// The body was read to its end.
    pub(super) fn body_ended(&self) {
        self.has_unread.store(false, Ordering::Relaxed);
    }

    /// Whether there is some of the body that nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        self.has_unread.load(Ordering::Relaxed)
    }

    /// The answer is made and on its way.
    pub(super) fn request_ended(&self, size: Size) {
        self.has_sent.store(true, Ordering::Relaxed);
        self.has_room.store(size == Size::Large, Ordering::Relaxed);
        self.wait.store(Wait::Taking as u8, Ordering::Relaxed);
    }

    /// The answer is given in pieces.
    pub(super) fn giving_began(&self) {
        self.give(Giving::Ready);
    }

    /// Whether the next piece may be given.
    pub(super) fn may_give(&self) -> bool {
        self.giving.load(Ordering::Relaxed) == Giving::Ready as u8
    }

    /// A piece is on its way.
    pub(super) fn gave(&self) {
        self.give(Giving::Given);
    }

    /// There are no more pieces.
    pub(super) fn giving_ended(&self) {
        self.give(Giving::Nothing);
    }

    /// All that was to be sent is with the system; whether the connection has to go on by itself: with
    /// the next piece, or as no more requests are read.
    pub(super) fn flushed(&self) -> bool {
        if self.wait() != Wait::Taking {
            return false;
        }
        let giving = self.giving.load(Ordering::Relaxed);
        if giving != Giving::Nothing as u8 {
            // Once for each piece: what has not come yet wakes the connection when it does.
            self.give(Giving::Ready);
            return giving == Giving::Given as u8;
        }
        self.wait.store(Wait::Next as u8, Ordering::Relaxed);
        self.ending().takes_no_more()
    }

    /// Whether the client is owed an answer of ours, or some of it: what is sent otherwise is hyper's
    /// own word on what is malformed.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(self.wait(), Wait::Answer | Wait::Taking)
    }

    /// Whether no request has begun to come in that is not answered.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(self.wait(), Wait::FirstByte | Wait::Next)
    }

    pub(super) fn ending(&self) -> Ending {
        Ending::of(self.ending.load(Ordering::Relaxed))
    }

    /// Goes on with its ending.
    pub(super) fn end(&self, step: impl FnOnce(Ending) -> Ending) {
        self.ending.store(step(self.ending()) as u8, Ordering::Relaxed);
    }

    /// Looks for fragments in bytes that came in, before they are noted as received.
    pub(super) fn note_fragments(&self, bytes: &[u8]) {
        self.suspects.note(bytes, self.wait() == Wait::Header);
    }

    /// So many bytes came in.
    pub(super) fn received(&self, bytes: usize, now: Instant) {
        self.traffic.received(bytes, now.duration_since(self.opened));
        if matches!(self.wait(), Wait::FirstByte | Wait::Next) {
            self.note(now);
            self.wait.store(Wait::Header as u8, Ordering::Relaxed);
        }
    }

    /// How long ago the last bytes came in: how long the request takes by now.
    pub(super) fn took(&self, now: Instant) -> Duration {
        self.traffic.since_last(now.duration_since(self.opened))
    }

    /// So many bytes of an answer were taken.
    pub(super) fn sent(&self, bytes: usize) {
        self.traffic.sent(bytes);
        self.has_sent.store(true, Ordering::Relaxed);
        self.has_moved.store(true, Ordering::Relaxed);
    }

    /// When this connection is to be looked at again; `None` if it is overdue at `now`.
    ///
    /// A connection that waits for its next request is overdue when it was silent from one look that
    /// could have ended it to the next: after once to twice the idle time.
    pub(super) fn next_look(
        &self,
        now: Instant,
        is_room_wanted: impl FnOnce() -> bool,
    ) -> Option<Instant> {
        if self.is_in_the_way(is_room_wanted) {
            return None;
        }
        let wait = self.wait();
        // What waits for our answer may wait for the next header a moment later.
        let Some(limit) = wait.limit() else { return Some(now + HTTP_HEADER_TIMEOUT) };
        let mut due =
            self.opened + Duration::from_millis(self.since_ms.load(Ordering::Relaxed)) + limit;
        // While an answer goes out slowly, the next request waits in hyper and is not looked at.
        let may_have_taken = matches!(wait, Wait::Taking | Wait::Next);
        if due <= now && may_have_taken && self.has_sent.swap(false, Ordering::Relaxed) {
            self.note(now);
            due = now + limit;
        }
        // An idle connection may begin a header that is due before the idle time is over.
        (now < due).then(|| due.min(now + HTTP_HEADER_TIMEOUT))
    }

    /// Whether a client took nothing of an answer from one look to the next that has room for which
    /// others wait.
    fn is_in_the_way(&self, is_room_wanted: impl FnOnce() -> bool) -> bool {
        let has_room = self.wait() == Wait::Taking && self.has_room.load(Ordering::Relaxed);
        has_room && !self.has_moved.swap(false, Ordering::Relaxed) && is_room_wanted()
    }

    fn give(&self, giving: Giving) {
        self.giving.store(giving as u8, Ordering::Relaxed);
    }

    fn wait(&self) -> Wait {
        match self.wait.load(Ordering::Relaxed) {
            0 => Wait::FirstByte,
            1 => Wait::Header,
            2 => Wait::Answer,
            3 => Wait::Taking,
            _ => Wait::Next,
        }
    }

    fn note(&self, now: Instant) {
        let since_ms = now.duration_since(self.opened).as_millis();
        self.since_ms.store(u64::try_from(since_ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overdue_after(activity: &Activity, opened: Instant) -> Duration {
        let mut now = opened;
        while let Some(look) = activity.next_look(now, || false) {
            now = look;
        }
        now - opened
    }

    #[test]
    fn a_silent_connection_is_overdue_after_the_first_byte_timeout() {
        let opened = Instant::now();
        assert_eq!(overdue_after(&Activity::new(opened), opened), HTTP_FIRST_BYTE_TIMEOUT);
    }

    #[test]
    fn a_header_that_trickles_is_overdue_however_often_bytes_come() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        for second in 1..5 {
            activity.received(1, opened + Duration::from_secs(second));
        }
        let begun = Duration::from_secs(1);
        assert_eq!(overdue_after(&activity, opened), begun + HTTP_HEADER_TIMEOUT);
    }

    #[test]
    fn a_connection_may_idle_between_requests_but_not_within_the_next_header() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.received(1, opened);
        activity.request_began();
        activity.request_ended(Size::Small);
        activity.flushed();
        let idle = overdue_after(&activity, opened);
        assert!((HTTP_IDLE_TIMEOUT..=2 * HTTP_IDLE_TIMEOUT).contains(&idle), "{idle:?}");

        let later = opened + 3 * HTTP_IDLE_TIMEOUT;
        activity.received(1, later);
        assert_eq!(overdue_after(&activity, later), HTTP_HEADER_TIMEOUT);
    }

    #[test]
    fn a_client_that_takes_its_answer_slowly_is_not_overdue_while_it_takes_some() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.received(1, opened);
        activity.request_began();
        activity.request_ended(Size::Small);
        let mut now = opened;
        while now < opened + 10 * HTTP_IDLE_TIMEOUT {
            activity.sent(1);
            now = activity.next_look(now, || false).unwrap();
        }
        assert!(overdue_after(&activity, now) <= 2 * HTTP_IDLE_TIMEOUT);
    }

    #[test]
    fn a_connection_is_not_overdue_while_we_owe_the_answer() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.request_began();
        let later = opened + Duration::from_secs(3_600);
        assert!(activity.next_look(later, || false).is_some_and(|look| later < look));
    }

    #[test]
    fn a_client_is_owed_its_answer_from_the_header_on_until_the_system_has_all_of_it() {
        let activity = Activity::new(Instant::now());
        assert!(!activity.owes_answer());
        activity.received(1, Instant::now());
        assert!(!activity.flushed());
        assert!(!activity.owes_answer() && !activity.is_between_requests());
        activity.request_began();
        assert!(!activity.flushed() && activity.owes_answer());
        activity.request_ended(Size::Small);
        assert!(activity.owes_answer());
        assert!(!activity.flushed());
        assert!(!activity.owes_answer() && activity.is_between_requests());
    }

    #[test]
    fn an_answer_in_pieces_is_under_way_until_the_last_is_given_and_taken() {
        let activity = Activity::new(Instant::now());
        activity.request_began();
        activity.request_ended(Size::Small);
        activity.giving_began();
        for _ in 0..3 {
            assert!(activity.may_give());
            activity.gave();
            assert!(!activity.may_give() && activity.owes_answer());
            assert!(activity.flushed(), "the connection has to ask for the next piece");
        }
        activity.gave();
        activity.giving_ended();
        assert!(activity.owes_answer() && !activity.flushed());
        assert!(!activity.owes_answer() && activity.is_between_requests());
    }

    #[test]
    fn who_reads_nothing_of_an_answer_that_is_in_the_way_of_others_is_overdue() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        activity.request_began();
        activity.request_ended(Size::Large);
        activity.sent(1);
        let mut now = activity.next_look(opened, || true).unwrap();
        activity.sent(1);
        now = activity.next_look(now, || true).unwrap();
        assert!(now <= opened + 2 * HTTP_HEADER_TIMEOUT);
        now = activity.next_look(now, || false).unwrap();
        assert_eq!(activity.next_look(now, || true), None);
        activity.request_ended(Size::Small);
        assert!(activity.next_look(now, || true).is_some());
    }
}
