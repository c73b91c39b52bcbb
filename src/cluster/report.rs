//! How the cluster is, as plain data.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::dials::{Attempts, Place};
use super::{Cluster, Shared};
use crate::member::{Member, NodeId, PeerState, Standing};

/// The cluster as this node sees it.
#[derive(Clone, Debug)]
pub struct ClusterReport {
    /// How often its members changed.
    pub epoch: u64,
    /// Entries this node still has to send.
    pub moving: u64,
    /// Every member, this node too, by name.
    pub members: Vec<MemberReport>,
    /// Every place where this node looks for others.
    pub peers: Vec<PeerReport>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// What is known of it.
    pub member: Member,
    /// What is thought of it.
    pub state: PeerState,
    /// By way of whom it is reached; `None` if there is a session with it, or no way.
    pub via: Option<NodeId>,
    /// The slots it owns.
    pub slots: u16,
    /// How long ago it was heard, in milliseconds; `None` for never.
    pub heard_ms: Option<u64>,
    /// The version of its software; `None` while there is no session with it.
    pub version: Option<String>,
}

/// One place where this node looks for others.
#[derive(Clone, Debug)]
pub struct PeerReport {
    /// The place.
    pub place: String,
    /// Who was found there.
    pub found: Option<NodeId>,
    /// Whether there is a session with who was found there.
    pub is_connected: bool,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Why the last one did.
    pub reason: Option<String>,
}

impl Cluster {
    /// The names of all other nodes: the members that were not forgotten, and who was met and is none any more.
    #[must_use]
    pub fn others(&self) -> BTreeSet<String> {
        let shared = &self.shared;
        let roster = shared.roster();
        let members = roster.view().members().map(|member| member.id.name.to_string());
        let mut others: BTreeSet<_> = members.chain(shared.transport().names()).collect();
        others.remove(shared.me.name.as_str());
        others
    }

    /// How the cluster is.
    #[must_use]
    pub fn report(&self) -> ClusterReport {
        let shared = &self.shared;
        let map = &shared.router.routes().map;
        let (own, shares) = (&shared.me.name, map.shares());
        let slots = |member: &Member| {
            let place = map.members().iter().position(|other| other.id == member.id);
            place.and_then(|place| shares.get(place)).copied().unwrap_or_default()
        };
        let roster = shared.roster();
        let now = shared.now();
        let members = roster.states(now).map(|(member, state, heard)| MemberReport {
            member: member.clone(),
            state: if member.id.name == *own { own_state(member) } else { state },
            via: roster.detour(&member.id, now).cloned(),
            slots: slots(member),
            heard_ms: heard.map(|heard| u64::try_from(heard.as_millis()).unwrap_or(u64::MAX)),
            version: shared.version_of(&member.id),
        });
        let (epoch, members) = (roster.view().epoch(), members.collect());
        let digest = roster.digest();
        drop(roster);
        let moving = shared.moving(digest);
        ClusterReport { epoch, moving, members, peers: shared.places() }
    }
}

impl Shared {
    /// Entries that another node should have, among members with this fingerprint: one at least until the
    /// keeper has seen these, and until a pass has counted what there is.
    fn moving(&self, digest: u64) -> u64 {
        let handoff = self.handoff();
        let is_behind = handoff.map().is_none_or(|map| map.digest() != digest);
        match handoff.residue().is_empty() && !is_behind {
            true => 0,
            false => self.holdings.moving.load(Ordering::Relaxed).max(1),
        }
    }

    fn places(&self) -> Vec<PeerReport> {
        let linked = self.transport().peers();
        let dials = self.dials();
        let own = self.transport().me().addr;
        let report = |(place, attempts): (&Place, &Attempts)| {
            let text = place.to_string();
            if attempts.is_itself || text == own {
                return None;
            }
            let found =
                linked.iter().find(|peer| peer.addr == text || attempts.has_found(&peer.id));
            Some(PeerReport {
                is_connected: found.is_some() || attempts.is_connected,
                found: found.map(|peer| peer.id.clone()).or_else(|| attempts.found.clone()),
                failures: if found.is_none() { attempts.failures } else { 0 },
                reason: attempts.reason.clone().filter(|_| found.is_none()),
                place: text,
            })
        };
        dials.places().filter_map(report).collect()
    }

    /// The version of a node's software, as it said when the session with it began.
    fn version_of(&self, id: &NodeId) -> Option<String> {
        match *id == self.me {
            true => Some(env!("CARGO_PKG_VERSION").to_owned()),
            false => self.transport().link(id).map(|link| link.peer_version().to_owned()),
        }
    }

    /// Whether another node could take over what this one holds, now or once it has joined: one that does
    /// not leave too.
    pub(super) fn has_taker(&self) -> bool {
        self.roster()
            .view()
            .living()
            .any(|member| member.id != self.me && member.standing < Standing::Leaving)
    }

    /// Whether this node has nothing left that others should have, or nobody is there to take it.
    pub(super) fn has_handed_over(&self) -> bool {
        !self.has_taker() || self.handoff().is_done()
    }
}

/// What this node says of itself: it need not hear itself to be alive.
fn own_state(own: &Member) -> PeerState {
    match own.standing {
        Standing::Joining => PeerState::Joining,
        Standing::Alive => PeerState::Alive,
        Standing::Leaving | Standing::Gone => PeerState::Leaving,
        Standing::Left | Standing::Forgotten => PeerState::Left,
    }
}
