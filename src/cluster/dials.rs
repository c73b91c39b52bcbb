//! Whom to dial and when: pure, so that it can be tried without a network.
//!
//! A place is tried for ever, with a pause that doubles up to two seconds and varies, so that nodes
//! that start together do not dial each other in step (Brooker, "Exponential Backoff And Jitter",
//! 2015).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::config::Seed;
use crate::limits::{DIAL_PAUSE_MAX, DIAL_PAUSE_MIN, DIAL_PAUSE_SELF, DNS_PAUSE};
use crate::member::{Member, NodeId};

/// Everything this node dials.
#[derive(Debug)]
pub(super) struct Dials {
    seeds: Vec<Seed>,
    /// What the names among the seeds stood for when they were last looked up.
    resolved: BTreeMap<(String, u16), BTreeSet<String>>,
    places: BTreeMap<Place, Attempts>,
    /// Whether it was said what was found when each place had been tried once.
    has_looked: bool,
}

/// What was found when each place had been tried once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) places: usize,
    /// Those at which nobody listens.
    pub(super) nobody: Vec<String>,
}

/// What can be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A node at `host:port`.
    Addr(String),
    /// The addresses of a name.
    Name(String, u16),
}

/// How often a place was tried, and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    /// In a row and in vain.
    pub(super) failures: u32,
    /// Why, the last time.
    pub(super) reason: Option<String>,
    /// Who was found there.
    pub(super) found: Option<NodeId>,
    /// Whether there was a session already with who is there, whoever that is.
    pub(super) is_connected: bool,
    /// Whether this node itself is there.
    pub(super) is_itself: bool,
    /// Who seemed to be there, the last time.
    seen: Seen,
    is_under_way: bool,
    next: Duration,
}

/// Who is at a place, as far as an attempt can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    /// Nothing has come of one yet.
    #[default]
    Unknown,
    /// Nobody but this node itself, or nobody at all.
    Nobody,
    /// A node that was met.
    Met,
    /// Somebody who cannot be spoken with, or not now.
    Somebody,
    /// No address is known of it.
    Nowhere,
    /// Nothing came back, so that nothing is known.
    Silence,
}

/// A place where a cluster may be that this node has not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) place: String,
    /// What came of the last attempt there.
    pub(super) reason: String,
    /// Whether nothing speaks for anybody being there.
    pub(super) is_silent: bool,
    /// Whether an attempt has ended there.
    pub(super) is_tried: bool,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Ending {
    /// This node is there.
    Connected(NodeId),
    /// This node itself is there.
    Itself,
    /// There is a session with who is there.
    AlreadyConnected,
    /// A name has these addresses.
    Resolved(BTreeSet<String>),
    /// A node is there, and one of both has no protocol that the other speaks, as this says.
    NoProtocol(String),
    /// Nobody listens there, as the system says.
    NobodyListens(String),
    /// No address is known of it.
    NoAddress(String),
    /// Somebody is there who refused this node, or said nothing that could be read.
    Refused(String),
    /// Nothing came back, and this is why.
    Failed(String),
}

impl Dials {
    pub(super) fn new(seeds: Vec<Seed>) -> Self {
        Self { seeds, resolved: BTreeMap::new(), places: BTreeMap::new(), has_looked: false }
    }

    /// The places to try at `now`, of the seeds and of `members`, which are addresses of nodes
    /// without a session. `linked` are the nodes with one, by their addresses.
    pub(super) fn due(
        &mut self,
        now: Duration,
        members: Vec<String>,
        linked: &BTreeMap<String, NodeId>,
    ) -> Vec<Place> {
        let mut wanted: BTreeSet<Place> = members.into_iter().map(Place::Addr).collect();
        wanted.extend(self.seeds.iter().map(Place::of));
        wanted.extend(self.resolved.values().flatten().cloned().map(Place::Addr));
        self.places.retain(|place, attempts| attempts.is_under_way || wanted.contains(place));
        let mut due = vec![];
        for place in wanted {
            let attempts = self.places.entry(place.clone()).or_default();
            let is_found = |peer: &NodeId| attempts.has_found(peer);
            let is_linked = matches!(&place, Place::Addr(addr) if linked.contains_key(addr))
                || linked.values().any(is_found);
            if is_linked {
                // What was said of an earlier run is nothing to remember.
                (attempts.failures, attempts.reason) = (0, None);
                attempts.seen = Seen::Met;
            }
            if !is_linked && !attempts.is_under_way && attempts.next <= now {
                attempts.is_under_way = true;
                due.push(place);
            }
        }
        due
    }

    /// Takes in what came of an attempt, and returns whether that is news. `jitter` is any number.
    pub(super) fn ended(
        &mut self,
        now: Duration,
        place: &Place,
        ending: Ending,
        jitter: u32,
    ) -> bool {
        let Some(attempts) = self.places.get_mut(place) else { return false };
        attempts.is_under_way = false;
        let was_somebody = matches!(attempts.seen, Seen::Met | Seen::Somebody);
        attempts.seen = ending.seen();
        attempts.is_itself = matches!(ending, Ending::Itself);
        attempts.is_connected = matches!(ending, Ending::AlreadyConnected);
        let before = attempts.reason.take();
        match ending {
            Ending::NobodyListens(reason) => {
                attempts.failed(reason, now, jitter);
                // Mostly a node that is still to come.
                return was_somebody;
            }
            Ending::NoProtocol(reason)
            | Ending::Refused(reason)
            | Ending::Failed(reason)
            | Ending::NoAddress(reason) => {
                let is_news = before.as_ref() != Some(&reason);
                attempts.failed(reason, now, jitter);
                return is_news;
            }
            Ending::Connected(peer) => attempts.found = Some(peer),
            Ending::AlreadyConnected => attempts.next = now + DIAL_PAUSE_MAX,
            Ending::Itself => attempts.next = now + DIAL_PAUSE_SELF,
            Ending::Resolved(addrs) => {
                attempts.next = now + DNS_PAUSE;
                if let Place::Name(name, port) = place {
                    self.resolved.insert((name.clone(), *port), addrs);
                }
            }
        }
        attempts.failures = 0;
        before.is_some()
    }

    /// What was found, once, when each place has been tried.
    pub(super) fn first_look(&mut self) -> Option<Look> {
        let is_tried = |attempts: &Attempts| attempts.seen != Seen::Unknown;
        if self.has_looked || !self.places.values().all(is_tried) {
            return None;
        }
        self.has_looked = true;
        // At this node's own place nobody else is either, for no reason.
        let is_empty = |its: &Attempts| its.reason.is_some() && its.seen == Seen::Nobody;
        let nobody = self.places.iter().filter(|(_, its)| is_empty(its));
        let nobody = nobody.map(|(place, _)| place.to_string()).collect();
        Some(Look { places: self.places.len(), nobody })
    }

    /// Takes what is under way for over, as nobody will say what came of it.
    pub(super) fn forget_attempts(&mut self) {
        self.places.values_mut().for_each(|attempts| attempts.is_under_way = false);
    }

    /// A place where somebody may be whom this node has not met, of those that seeds name; `None` if
    /// nobody listens at any of them but this node and `peers`, the nodes with a session.
    pub(super) fn missing(&self, peers: &[Member]) -> Option<Missing> {
        let seeds = self.seeds.iter().map(Place::of);
        let resolved = self.resolved.values().flatten().cloned().map(Place::Addr);
        let missing = |place: Place| {
            let attempts = self.places.get(&place).cloned().unwrap_or_default();
            let is_linked = |peer: &Member| {
                attempts.has_found(&peer.id)
                    || matches!(&place, Place::Addr(addr) if *addr == peer.addr)
            };
            let is_silent = match attempts.seen {
                Seen::Nobody => return None,
                _ if peers.iter().any(is_linked) => return None,
                Seen::Met | Seen::Somebody => false,
                Seen::Unknown | Seen::Nowhere | Seen::Silence => true,
            };
            let is_tried = attempts.seen != Seen::Unknown;
            let reason = attempts.reason.unwrap_or_else(|| "nothing has come of it yet".to_owned());
            Some(Missing { place: place.to_string(), reason, is_silent, is_tried })
        };
        let mut all: Vec<_> = seeds.chain(resolved).filter_map(missing).collect();
        // Where somebody is says more than where nothing is known.
        all.sort_by_key(|missing| missing.is_silent);
        all.into_iter().next()
    }

    /// Whether at no place there can be somebody who was not met.
    pub(super) fn are_all_ruled_out(&self) -> bool {
        let is_ruled_out = |seen| matches!(seen, Seen::Nobody | Seen::Met | Seen::Nowhere);
        self.places.values().all(|attempts| is_ruled_out(attempts.seen))
    }

    /// Has the address of a node whose session ended tried at once.
    pub(super) fn hurry(&mut self, now: Duration, addr: &str, peer: &NodeId) {
        for (place, attempts) in &mut self.places {
            let is_its = matches!(place, Place::Addr(place) if place == addr);
            if is_its || attempts.has_found(peer) {
                (attempts.failures, attempts.reason, attempts.next) = (0, None, now);
                attempts.is_connected = false;
            }
        }
    }

    /// Every place, and what came of trying it.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Place, &Attempts)> {
        self.places.iter()
    }
}

impl Attempts {
    fn failed(&mut self, reason: String, now: Duration, jitter: u32) {
        self.next = now + pause(self.failures, jitter);
        self.failures = self.failures.saturating_add(1);
        self.reason = Some(reason);
    }

    /// Whether a node was found there, in this run or an earlier one.
    pub(super) fn has_found(&self, peer: &NodeId) -> bool {
        self.found.as_ref().is_some_and(|found| found.name == peer.name)
    }
}

impl Ending {
    /// Whether nobody was reached who can be spoken with.
    pub(super) fn is_vain(&self) -> bool {
        match self {
            Self::NoProtocol(_)
            | Self::NobodyListens(_)
            | Self::NoAddress(_)
            | Self::Refused(_)
            | Self::Failed(_) => true,
            Self::Connected(_) | Self::Itself | Self::AlreadyConnected | Self::Resolved(_) => false,
        }
    }

    fn seen(&self) -> Seen {
        match self {
            Self::Connected(_) | Self::AlreadyConnected => Seen::Met,
            // Its addresses are looked at one by one.
            Self::Itself | Self::NobodyListens(_) | Self::Resolved(_) => Seen::Nobody,
            Self::NoProtocol(_) | Self::Refused(_) => Seen::Somebody,
            Self::NoAddress(_) => Seen::Nowhere,
            Self::Failed(_) => Seen::Silence,
        }
    }

    /// What came of a place with several addresses, of which another was tried after this came of
    /// those before: that there is a node says more than that there is none.
    pub(super) fn or(self, next: Self) -> Self {
        match (self.seen(), next.is_vain()) {
            (Seen::Somebody, true) => self,
            (Seen::Silence | Seen::Nowhere, true) if next.seen() == Seen::Nobody => self,
            _ => next,
        }
    }
}

impl Place {
    fn of(seed: &Seed) -> Self {
        match seed {
            Seed::Addr(addr) => Self::Addr(addr.clone()),
            Seed::Dns(name, port) => Self::Name(name.clone(), *port),
        }
    }
}

/// From half to all of a pause that doubles with each failure.
fn pause(failures: u32, jitter: u32) -> Duration {
    let doubled = DIAL_PAUSE_MIN.saturating_mul(1 << failures.min(16)).min(DIAL_PAUSE_MAX);
    doubled / 2 + doubled / 2 * (jitter % 1_024) / 1_024
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(peer) => write!(f, "connected to {peer}"),
            Self::Itself => f.write_str("this node itself is there"),
            Self::AlreadyConnected => f.write_str("already connected"),
            Self::Resolved(addrs) => write!(f, "has {} addresses", addrs.len()),
            Self::NoProtocol(reason)
            | Self::NobodyListens(reason)
            | Self::Refused(reason)
            | Self::NoAddress(reason)
            | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => f.write_str(addr),
            Self::Name(name, port) => write!(f, "dns:{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Boot, NodeName, Standing};

    const START: Duration = Duration::from_secs(1);

    fn addr(text: &str) -> Place {
        Place::Addr(text.to_owned())
    }

    fn due(dials: &mut Dials, now: Duration) -> Vec<Place> {
        dials.due(now, vec![], &BTreeMap::new())
    }

    #[test]
    fn that_nobody_listens_is_news_only_where_somebody_was() {
        let mut dials = Dials::new(vec![Seed::Addr("a:1".into()), Seed::Addr("b:1".into())]);
        let nobody = || Ending::NobodyListens("refused".to_owned());
        due(&mut dials, START);
        assert!(!dials.ended(START, &addr("a:1"), nobody(), 0));
        assert_eq!(dials.first_look(), None);
        let refused = || Ending::Refused("wrong cookie".to_owned());
        assert!(dials.ended(START, &addr("b:1"), refused(), 0));
        assert_eq!(dials.first_look(), Some(Look { places: 2, nobody: vec!["a:1".to_owned()] }));
        assert_eq!(dials.first_look(), None);
        assert!(!dials.ended(2 * START, &addr("b:1"), refused(), 0));
        assert!(dials.ended(3 * START, &addr("b:1"), nobody(), 0));
        assert!(!dials.ended(4 * START, &addr("b:1"), nobody(), 0));
    }

    #[test]
    fn pauses_grow_to_two_seconds_and_no_further() {
        let longest: Vec<_> = (0..10).map(|failures| pause(failures, 1_023)).collect();
        assert!(longest.iter().all(|pause| *pause <= DIAL_PAUSE_MAX), "{longest:?}");
        assert!(longest[0] <= DIAL_PAUSE_MIN && DIAL_PAUSE_MAX / 2 < longest[9]);
        assert!(longest.windows(2).all(|two| two[0] <= two[1]));
        assert_eq!(pause(u32::MAX, 0), DIAL_PAUSE_MAX / 2);
    }

    #[test]
    fn a_place_is_tried_once_at_a_time_and_for_ever() {
        let mut dials = Dials::new(vec![Seed::Addr("a:1".to_owned())]);
        let mut now = START;
        for _ in 0..100 {
            assert_eq!(due(&mut dials, now), [addr("a:1")]);
            assert_eq!(due(&mut dials, now), []);
            dials.ended(now, &addr("a:1"), Ending::Failed("refused".to_owned()), 7);
            assert_eq!(due(&mut dials, now), []);
            now += DIAL_PAUSE_MAX;
        }
    }

    #[test]
    fn a_reason_is_news_once() {
        let mut dials = Dials::new(vec![Seed::Addr("a:1".to_owned())]);
        let failed = |reason: &str| Ending::Failed(reason.to_owned());
        due(&mut dials, START);
        assert!(dials.ended(START, &addr("a:1"), failed("refused"), 0));
        assert!(!dials.ended(START, &addr("a:1"), failed("refused"), 0));
        assert!(dials.ended(START, &addr("a:1"), failed("wrong cookie"), 0));
        assert!(dials.ended(START, &addr("a:1"), Ending::Itself, 0));
        assert!(!dials.ended(START, &addr("a:1"), Ending::Itself, 0));
    }

    #[test]
    fn the_addresses_of_a_name_come_and_go_with_it() {
        let mut dials = Dials::new(vec![Seed::Dns("smache".to_owned(), 4_100)]);
        let name = Place::Name("smache".to_owned(), 4_100);
        assert_eq!(due(&mut dials, START), std::slice::from_ref(&name));
        let addrs = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        dials.ended(START, &name, Ending::Resolved(addrs(&["10.0.0.1:4100", "10.0.0.2:4100"])), 0);
        assert_eq!(due(&mut dials, START), [addr("10.0.0.1:4100"), addr("10.0.0.2:4100")]);
        let later = START + DNS_PAUSE;
        assert_eq!(due(&mut dials, later), std::slice::from_ref(&name));
        dials.ended(later, &name, Ending::Resolved(addrs(&["10.0.0.3:4100"])), 0);
        assert_eq!(due(&mut dials, later), [addr("10.0.0.3:4100")]);
    }

    fn member(name: &str, addr: &str) -> Member {
        Member {
            id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(1) },
            addr: addr.to_owned(),
            http: String::new(),
            incarnation: 1,
            standing: Standing::Joining,
            weight: 1,
        }
    }

    #[test]
    fn nobody_is_missing_when_nobody_listens_at_any_address_of_any_seed() {
        assert_eq!(Dials::new(vec![]).missing(&[]), None);
        let mut dials = Dials::new(vec![Seed::Dns("smache".to_owned(), 1)]);
        assert!(dials.missing(&[]).unwrap().is_silent);
        let name = Place::Name("smache".to_owned(), 1);
        due(&mut dials, START);
        let addrs = BTreeSet::from(["10.0.0.1:1".to_owned()]);
        dials.ended(START, &name, Ending::Resolved(addrs), 0);
        assert_eq!(dials.missing(&[]).unwrap().place, "10.0.0.1:1");
        due(&mut dials, START);
        let nobody = Ending::NobodyListens("refused".to_owned());
        dials.ended(START, &addr("10.0.0.1:1"), nobody, 0);
        assert_eq!(dials.missing(&[]), None);
    }

    #[test]
    fn somebody_may_be_wherever_not_everybody_is_known() {
        let peer = member("a", "a:1");
        for (ending, is_silent) in [
            (Ending::NoProtocol("no common protocol".to_owned()), Some(false)),
            (Ending::Refused("wrong cookie".to_owned()), Some(false)),
            (Ending::Connected(peer.id.clone()), Some(false)),
            (Ending::Failed("timed out".to_owned()), Some(true)),
            (Ending::Itself, None),
            (Ending::NobodyListens("refused".to_owned()), None),
        ] {
            let mut dials = Dials::new(vec![Seed::Addr("a:1".to_owned())]);
            due(&mut dials, START);
            dials.ended(START, &addr("a:1"), ending, 0);
            assert_eq!(dials.missing(&[]).map(|missing| missing.is_silent), is_silent);
            // What was seen last counts until something else is.
            due(&mut dials, START + DIAL_PAUSE_MAX);
            assert_eq!(dials.missing(&[]).map(|missing| missing.is_silent), is_silent);
            assert_eq!(dials.missing(std::slice::from_ref(&peer)), None);
        }
    }

    #[test]
    fn a_place_that_no_seed_names_is_not_waited_for() {
        let mut dials = Dials::new(vec![]);
        dials.due(START, vec!["a:1".to_owned()], &BTreeMap::new());
        dials.ended(START, &addr("a:1"), Ending::NoProtocol("none".to_owned()), 0);
        assert_eq!(dials.missing(&[]), None);
    }

    #[test]
    fn of_several_addresses_a_node_counts_more_than_none() {
        let no_protocol = || Ending::NoProtocol("none".to_owned());
        let nobody = || Ending::NobodyListens("refused".to_owned());
        assert!(matches!(no_protocol().or(nobody()), Ending::NoProtocol(_)));
        assert!(matches!(nobody().or(no_protocol()), Ending::NoProtocol(_)));
        assert!(matches!(no_protocol().or(Ending::AlreadyConnected), Ending::AlreadyConnected));
    }

    #[test]
    fn who_is_linked_is_not_dialled_until_its_session_ends() {
        let mut dials = Dials::new(vec![Seed::Addr("a:1".to_owned())]);
        let peer = NodeId { name: NodeName::new("a").unwrap(), boot: Boot(1) };
        due(&mut dials, START);
        dials.ended(START, &addr("a:1"), Ending::Connected(peer.clone()), 0);
        // It may be known by another address.
        let linked = BTreeMap::from([("10.0.0.1:1".to_owned(), peer.clone())]);
        assert_eq!(dials.due(START, vec![], &linked), []);
        dials.hurry(START, "a:1", &peer);
        assert_eq!(due(&mut dials, START), [addr("a:1")]);
    }
}
