//! Whose time the nodes of a cluster go by.
//!
//! Nobody's clock has to be right. Versions are stamped with the cluster's time, and what that is two
//! nodes settle when they meet, and look at again with every heartbeat.
//!
//! - Who joins takes the time of who is in a cluster, ahead or behind: a node that starts with a wrong
//!   clock moves nobody's.
//! - Of two that join, the one whose name sorts last takes the time of the other.
//! - Of two in a cluster, the one behind takes the time of the one ahead: going forth loses nothing. It
//!   lags because two clusters have met, or because it was stopped together with its clocks, and then
//!   it may have been replaced meanwhile.
//!
//! No deadline goes by any of it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tracing::{info, warn};

use super::Shared;
use crate::clock::{self, Millis};
use crate::entry::Version;
use crate::limits::{CLOCK_SKEW_MAX, CLOCK_TOLERANCE, LEASE};
use crate::member::{Member, NodeId, NodeName, Standing, View};
use crate::shard::Shard;

/// Whose time a node goes by while it joins: of all that joined too, the one whose name sorts first.
#[derive(Default)]
pub(super) struct Followed(Mutex<Option<NodeName>>);

/// A node as far as its time goes.
#[derive(Clone, Copy, Debug)]
struct Side<'a> {
    name: &'a NodeName,
    is_joining: bool,
}

/// A time for people.
struct Date(Millis);

impl<'a> Side<'a> {
    fn of(member: &'a Member) -> Self {
        let is_joining = member.standing == Standing::Joining;
        Self { name: &member.id.name, is_joining }
    }

    /// Whether this one takes the time of a peer that is ahead by so much. `followed` is whose it has.
    fn takes(self, peer: Self, followed: Option<&NodeName>, lead_ms: i64) -> bool {
        if !is_over(lead_ms, CLOCK_TOLERANCE) {
            return false;
        }
        match (self.is_joining, peer.is_joining) {
            (true, false) => true,
            (true, true) => self.follows(peer) && followed.is_none_or(|name| peer.name <= name),
            (false, true) => false,
            (false, false) => 0 < lead_ms,
        }
    }

    /// Whether of two that join this one goes by the time of the other.
    fn follows(self, peer: Self) -> bool {
        self.is_joining && peer.is_joining && peer.name < self.name
    }
}

impl Shared {
    /// The greatest version this node may have given by now.
    pub(super) fn clock(&self) -> Version {
        let given = self.router.shards().iter().map(Shard::version).max().unwrap_or_default();
        given.max(Version::at(clock::cluster(clock::now())))
    }

    /// Compares times with a peer that was met, whose time was `time` when ours was `heard`, and says so
    /// if they are far apart.
    pub(super) fn meet_time(&self, peer: &Member, time: Millis, heard: Millis) {
        let ours = clock::cluster(heard);
        let sight = self.membership.sight.load();
        let (own, side) = (self.own_side(&sight.view), Side::of(peer));
        if !self.compare(own, side, time, heard) && is_over(time.since(ours), CLOCK_SKEW_MAX) {
            let done = match side.takes(own, None, ours.since(time)) {
                true => "the peer takes the time of this node",
                false => "both take the time of another",
            };
            say_far_apart(side, ours, time, done);
        }
    }

    /// As [`Self::hear_clock_of`], of a peer as it is known here.
    pub(super) fn hear_clock(&self, from: &NodeId, clock: Version) {
        let sight = self.membership.sight.load();
        let known = sight.view.get(&from.name).filter(|member| member.id == *from);
        // Whom nobody has introduced is in no cluster.
        if let Some(member) = known {
            self.hear_clock_of(member, clock);
        }
    }

    /// Takes in how far the versions of a peer are.
    pub(super) fn hear_clock_of(&self, peer: &Member, version: Version) {
        if !version.is_possible() {
            return;
        }
        let heard = clock::now();
        let sight = self.membership.sight.load();
        let (own, side) = (self.own_side(&sight.view), Side::of(peer));
        self.compare(own, side, version.millis(), heard);
        if !side.is_joining {
            let time = clock::cluster(heard);
            self.router.shards().iter().for_each(|shard| shard.observe(version, time));
        }
    }

    fn own_side<'a>(&'a self, view: &View) -> Side<'a> {
        let own = view.get(&self.me.name);
        let is_joining = own.is_none_or(|own| own.standing == Standing::Joining);
        Side { name: &self.me.name, is_joining }
    }

    /// Takes the time of a peer, if it is to be taken, and returns whether it was.
    fn compare(&self, own: Side<'_>, peer: Side<'_>, time: Millis, heard: Millis) -> bool {
        let mut followed =
            self.membership.followed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = clock::cluster(heard);
        let lead_ms = time.since(ours);
        let is_taken = own.takes(peer, followed.as_ref(), lead_ms);
        if own.follows(peer) && followed.as_ref().is_none_or(|name| peer.name < name) {
            *followed = Some(peer.name.clone());
        }
        if is_taken {
            clock::set_cluster(time, heard);
            match is_over(lead_ms, CLOCK_SKEW_MAX) {
                true => say_far_apart(peer, ours, time, "this node takes the time of the peer"),
                false => info!(peer = %peer.name, lead_ms, "took the time of a peer"),
            }
        }
        if is_taken && !own.is_joining && is_over(lead_ms, LEASE + CLOCK_TOLERANCE) {
            // All its clocks stood still, and so the lease did not end by itself.
            self.gate.lease_until(Millis(0));
        }
        is_taken
    }
}

fn say_far_apart(peer: Side<'_>, ours: Millis, theirs: Millis, done: &str) {
    let (peer, ours, theirs) = (peer.name, Date(ours), Date(theirs));
    warn!(%peer, %ours, %theirs, done, "clocks of two nodes are far apart");
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNIX_EPOCH.checked_add(Duration::from_millis(self.0.0)) {
            // What is beyond the year 9999 has no such form.
            Some(time) if self.0.0 < 253_402_300_800_000 => {
                write!(f, "{}", humantime::format_rfc3339_millis(time))
            }
            Some(_) | None => write!(f, "{} ms", self.0.0),
        }
    }
}

fn is_over(lead_ms: i64, bound: Duration) -> bool {
    bound.as_millis() < u128::from(lead_ms.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::{Cluster, Common, Sight};
    use crate::config::ClusterConfig;
    use crate::limits::TABLE_BYTES_MIN;
    use crate::member::Boot;
    use crate::router::{Router, Routes};
    use crate::shard::Gate;
    use crate::table::{Table, TableConfig};

    const HOUR_MS: i64 = 3_600_000;

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    /// Whether each of two takes the time of the other: the first is behind by `lead_ms`.
    fn who_takes(left: (&str, bool), right: (&str, bool), lead_ms: i64) -> (bool, bool) {
        let names = (name(left.0), name(right.0));
        let left = Side { name: &names.0, is_joining: left.1 };
        let right = Side { name: &names.1, is_joining: right.1 };
        (left.takes(right, None, lead_ms), right.takes(left, None, -lead_ms))
    }

    #[test]
    fn who_joins_takes_the_time_of_the_cluster_ahead_or_behind() {
        for lead_ms in [HOUR_MS, -HOUR_MS, 30_000, -30_000, 1_001, -1_001] {
            for (joining, other) in [("a", "b"), ("b", "a")] {
                let takes = who_takes((joining, true), (other, false), lead_ms);
                assert_eq!(takes, (true, false), "{joining} {lead_ms}");
            }
        }
    }

    #[test]
    fn of_two_that_join_the_one_that_sorts_last_takes_the_other_s() {
        for lead_ms in [HOUR_MS, -HOUR_MS, 2_000] {
            assert_eq!(who_takes(("a", true), ("b", true), lead_ms), (false, true));
            assert_eq!(who_takes(("b", true), ("a", true), lead_ms), (true, false));
        }
    }

    #[test]
    fn of_two_in_a_cluster_the_one_behind_takes_the_other_s() {
        for lead_ms in [HOUR_MS, 6_000, 1_001] {
            assert_eq!(who_takes(("a", false), ("b", false), lead_ms), (true, false));
            assert_eq!(who_takes(("a", false), ("b", false), -lead_ms), (false, true));
        }
    }

    #[test]
    fn what_a_network_may_make_of_it_is_nothing() {
        for joining in [(true, true), (true, false), (false, true), (false, false)] {
            for lead_ms in [0, 1, 1_000, -1_000] {
                let takes = who_takes(("a", joining.0), ("b", joining.1), lead_ms);
                assert_eq!(takes, (false, false), "{joining:?} {lead_ms}");
            }
        }
    }

    #[test]
    fn who_has_the_time_of_one_that_sorts_first_takes_no_other_that_joins() {
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let side = |name, is_joining| Side { name, is_joining };
        let own = side(&c, true);
        assert!(!own.takes(side(&b, true), Some(&a), HOUR_MS));
        assert!(own.takes(side(&a, true), Some(&a), HOUR_MS));
        assert!(own.takes(side(&b, false), Some(&a), HOUR_MS));
    }

    fn member(name: &str, standing: Standing) -> Member {
        let id = NodeId { name: NodeName::new(name).unwrap(), boot: Boot(1) };
        let (addr, http) = (String::new(), String::new());
        Member { id, addr, http, incarnation: 1, standing, weight: 1 }
    }

    /// A node in a cluster with `peer`.
    fn in_cluster(peer: &Member) -> Cluster {
        let me = member("me", Standing::Alive);
        let gate = Arc::new(Gate::default());
        let routes = Routes::alone(&View::new(1, [me.clone()]));
        let table = Table::new(&TableConfig::new(TABLE_BYTES_MIN));
        let (shard, _) = Shard::new(0, table, Arc::clone(&gate), Arc::default());
        let router = Router::new(me.id.clone(), vec![shard], Arc::clone(&gate), routes);
        let cluster =
            Cluster::new(me.clone(), &ClusterConfig::alone(), router, gate, Common::alone());
        let membership = &cluster.shared.membership;
        let beat = membership.sight.load().beat.clone();
        let view = View::new(2, [me, peer.clone()]);
        membership.sight.store(Arc::new(Sight { view, beat, detours: BTreeMap::new() }));
        cluster
    }

    /// The one test that moves the time of this process, by turns.
    #[tokio::test]
    async fn who_stood_still_with_its_clocks_hears_of_it_and_takes_its_lease_for_over() {
        let peer = member("peer", Standing::Alive);
        let cluster = in_cluster(&peer);
        let shared = &cluster.shared;
        let hear = |peer: &Member, lead_ms: u64| {
            let lease = clock::now().after(LEASE);
            shared.gate.lease_until(lease);
            let time = clock::cluster(clock::now()).in_millis(lead_ms);
            shared.hear_clock(&peer.id, Version::at(time));
            (clock::cluster(clock::now()) >= time, shared.gate.lease_end() == lease)
        };
        // Drift moves the time and ends nothing.
        assert_eq!(hear(&peer, 900), (false, true));
        assert_eq!(hear(&peer, 1_500), (true, true));
        assert_eq!(hear(&peer, 6_000), (true, false));
        // Who joins moves nothing, and neither does who is not known.
        let newcomer = member("newcomer", Standing::Joining);
        let cluster = in_cluster(&newcomer);
        let time = Version::at(clock::cluster(clock::now()).in_millis(90_000));
        cluster.shared.hear_clock(&newcomer.id, time);
        cluster.shared.hear_clock(&peer.id, time);
        assert!(clock::cluster(clock::now()) < time.millis());
        cluster.shared.hear_clock(&newcomer.id, Version(u64::MAX));
        clock::set_cluster(clock::now(), clock::now());
    }

    #[test]
    fn a_time_is_shown_as_a_date() {
        assert_eq!(Date(Millis(1_700_000_000_123)).to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Date(Millis(u64::MAX)).to_string(), format!("{} ms", u64::MAX));
    }
}
