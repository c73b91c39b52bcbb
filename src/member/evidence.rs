//! What speaks for the life of one member, and when that is too old.

use std::time::Duration;

use super::id::NodeId;
use crate::limits::{
    DEAD_AFTER, DEAD_AFTER_REFUSED, DEAD_AFTER_UNHEARD, DEAF_AFTER, HEARS_WITHIN,
    HEARTBEAT_INTERVAL, SUSPECT_AFTER,
};

/// The times at which something spoke for the life of one run of a member, or against it.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// When its record came, which is a word of its life too.
    since: Duration,
    /// Its last heartbeat.
    heard: Option<Duration>,
    /// When somebody we heard last said that it hears the member.
    reported: Option<Duration>,
    /// Who says so, for as long as it does, and when it did last.
    reporter: Option<(NodeId, Duration)>,
    /// When our link to it was made last.
    linked: Option<Duration>,
    /// When our link to it closed, if it has not been linked since.
    unlinked: Option<Duration>,
    /// When nobody listened at its address, if nothing has spoken for it since.
    refused: Option<Duration>,
    /// What the last look at it said.
    pub(super) is_suspect: bool,
}

/// What the evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Lives,
    Suspect,
    Dead,
}

impl Evidence {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            since: now,
            heard: None,
            reported: None,
            reporter: None,
            linked: None,
            unlinked: None,
            refused: None,
            is_suspect: false,
        }
    }

    pub(super) fn hear(&mut self, now: Duration) {
        self.heard = Some(now);
        self.refused = None;
    }

    pub(super) fn report(&mut self, now: Duration, by: &NodeId) {
        self.reported = Some(now);
        if self.reporter(now).is_none_or(|reporter| reporter == by) {
            self.reporter = Some((by.clone(), now));
        }
    }

    /// Who has said lately that it hears the member. It does not change while it goes on to.
    pub(super) fn reporter(&self, now: Duration) -> Option<&NodeId> {
        let reporter = self.reporter.as_ref();
        reporter.filter(|(_, at)| now.saturating_sub(*at) <= SUSPECT_AFTER).map(|(by, _)| by)
    }

    /// Whether nothing is heard of the member here, while somebody has heard it for certain since. A new
    /// link has as much time as one over which something was heard.
    pub(super) fn is_deaf(&self, now: Duration) -> bool {
        let (Some(heard), Some(reported)) = (self.heard, self.reported) else { return false };
        let heard = heard.max(self.linked.unwrap_or_default());
        heard + DEAF_AFTER <= now
            && heard + HEARTBEAT_INTERVAL < reported.saturating_sub(HEARS_WITHIN)
    }

    pub(super) fn link(&mut self, now: Duration) {
        self.linked = Some(now);
        self.unlinked = None;
        self.refused = None;
    }

    pub(super) fn unlink(&mut self, now: Duration) {
        self.unlinked = Some(now);
    }

    pub(super) fn refuse(&mut self, now: Duration) {
        self.refused = Some(now);
    }

    /// The observer was asleep: its silence says nothing about others.
    pub(super) fn forgive(&mut self, now: Duration) {
        self.since = now;
        self.refused = None;
    }

    pub(super) fn heard(&self) -> Option<Duration> {
        self.heard
    }

    /// Whether its own word is so fresh that others may be told of it.
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        self.heard.is_some_and(|at| now.saturating_sub(at) <= HEARS_WITHIN)
    }

    /// Whether a run of the same name could not be another one: it was seen or spoken for after our
    /// link to it closed.
    pub(super) fn is_present(&self, now: Duration) -> bool {
        let is_quiet = |closed: Duration| {
            self.heard.is_none_or(|at| at <= closed) && self.reported.is_none_or(|at| at <= closed)
        };
        !self.is_suspect
            && now.saturating_sub(self.last()) <= SUSPECT_AFTER
            && !self.unlinked.is_some_and(is_quiet)
    }

    pub(super) fn verdict(&self, now: Duration) -> Verdict {
        let silence = now.saturating_sub(self.last());
        let patience = match self.heard {
            Some(_) => DEAD_AFTER,
            None => DEAD_AFTER_UNHEARD,
        };
        if patience <= silence || self.is_refuted(now) {
            return Verdict::Dead;
        }
        match silence <= SUSPECT_AFTER {
            true => Verdict::Lives,
            false => Verdict::Suspect,
        }
    }

    /// Nobody listens at its address, and nobody has said for a while that it is heard.
    fn is_refuted(&self, now: Duration) -> bool {
        let spoken = self.since.max(self.heard.unwrap_or_default());
        let spoken = spoken.max(self.reported.unwrap_or_default());
        self.refused.is_some() && spoken + DEAD_AFTER_REFUSED <= now
    }

    /// The last time at which the member must have lived.
    ///
    /// Who reports a member has heard it within [`HEARS_WITHIN`], no more is known: a report counts
    /// as so old, or a dead member would live on in reports.
    fn last(&self) -> Duration {
        let reported = self.reported.unwrap_or_default().saturating_sub(HEARS_WITHIN);
        self.since.max(self.heard.unwrap_or_default()).max(reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Boot, NodeName};

    const START: Duration = Duration::from_secs(100);

    fn reporter() -> NodeId {
        NodeId { name: NodeName::new("r").unwrap(), boot: Boot(1) }
    }

    #[test]
    fn a_link_is_deaf_once_others_have_heard_the_member_and_we_have_not() {
        let mut evidence = Evidence::new(START);
        evidence.hear(START);
        let late = START + 2 * DEAF_AFTER;
        assert!(!evidence.is_deaf(late), "it may hang");
        evidence.report(START + HEARS_WITHIN + HEARTBEAT_INTERVAL, &reporter());
        assert!(!evidence.is_deaf(late), "it may have been heard by others as long ago");
        let reported = START + HEARS_WITHIN + HEARTBEAT_INTERVAL + Duration::from_millis(1);
        evidence.report(reported, &reporter());
        assert!(!evidence.is_deaf(START + DEAF_AFTER - Duration::from_millis(1)));
        assert!(evidence.is_deaf(late));
        assert_eq!(evidence.reporter(reported + SUSPECT_AFTER), Some(&reporter()));
        assert_eq!(evidence.reporter(reported + 2 * SUSPECT_AFTER), None);
    }

    #[test]
    fn a_new_link_is_not_deaf_before_something_can_be_heard_over_it() {
        let mut evidence = Evidence::new(START);
        evidence.hear(START);
        let late = START + 2 * DEAF_AFTER;
        evidence.report(late, &reporter());
        assert!(evidence.is_deaf(late));
        evidence.link(late);
        assert!(!evidence.is_deaf(late + HEARTBEAT_INTERVAL));
        evidence.report(late + 2 * DEAF_AFTER, &reporter());
        assert!(evidence.is_deaf(late + 2 * DEAF_AFTER));
    }

    #[test]
    fn silence_is_suspect_and_then_death() {
        let mut evidence = Evidence::new(START);
        evidence.hear(START);
        assert_eq!(evidence.verdict(START + SUSPECT_AFTER), Verdict::Lives);
        let later = START + SUSPECT_AFTER + Duration::from_millis(1);
        assert_eq!(evidence.verdict(later), Verdict::Suspect);
        assert_eq!(evidence.verdict(START + DEAD_AFTER), Verdict::Dead);
    }

    #[test]
    fn a_refused_dial_shortens_the_wait_unless_others_hear_the_member() {
        let mut evidence = Evidence::new(START);
        evidence.hear(START);
        evidence.refuse(START + Duration::from_millis(10));
        let end = START + DEAD_AFTER_REFUSED;
        assert_eq!(evidence.verdict(end), Verdict::Dead);
        evidence.report(end, &reporter());
        assert_eq!(evidence.verdict(end), Verdict::Lives);
    }

    #[test]
    fn reports_keep_a_member_alive_but_not_longer_than_it_was_heard() {
        let mut evidence = Evidence::new(START);
        evidence.hear(START);
        evidence.report(START + HEARS_WITHIN, &reporter());
        assert_eq!(evidence.verdict(START + DEAD_AFTER), Verdict::Dead);
        evidence.report(START + 2 * HEARS_WITHIN, &reporter());
        assert_ne!(evidence.verdict(START + DEAD_AFTER), Verdict::Dead);
    }

    #[test]
    fn a_run_whose_link_closed_in_silence_can_be_replaced() {
        let mut evidence = Evidence::new(START);
        evidence.hear(START);
        assert!(evidence.is_present(START));
        evidence.unlink(START);
        assert!(!evidence.is_present(START));
        evidence.report(START + Duration::from_millis(1), &reporter());
        assert!(evidence.is_present(START + Duration::from_millis(1)));
    }
}
