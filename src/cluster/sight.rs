//! What this node tells its peers of what it sees, and what they tell it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Shared;
use super::dials::{Ending, Place};
use crate::entry::Version;
use crate::limits::{COUNT_MAX, PINGS_UNANSWERED_MAX, RESOLVE_TIMEOUT, RESOLVED_ADDRS_MAX};
use crate::member::{Heartbeat, Member, NameTaken, NodeId, Roster, Standing, View};
use crate::peer::message::{MemberRecord, Ping, Response, ViewRecord};
use crate::peer::{DialError, HelloError, PROTOCOL_OF_LEFT, Refused};

/// What this node sees, published by discovery.
pub(super) struct Sight {
    pub(super) view: View,
    pub(super) beat: Heartbeat,
    /// Who is only reached by way of another node, and by way of whom.
    pub(super) detours: BTreeMap<NodeId, NodeId>,
}

/// Pings that were sent and not answered yet, by peer.
#[derive(Default)]
pub(super) struct Unanswered(Mutex<BTreeMap<NodeId, usize>>);

/// One of them. It is answered, or given up, when this is dropped.
pub(super) struct Ticket {
    peer: NodeId,
    all: Arc<Unanswered>,
}

impl Sight {
    pub(super) fn of(roster: &Roster, now: Duration) -> Self {
        let (view, beat) = (roster.view().clone(), roster.heartbeat(now));
        Self { view, beat, detours: roster.detours(now) }
    }
}

impl Unanswered {
    /// A ticket for one more ping; `None` if the peer leaves too many unanswered.
    pub(super) fn begin(self: &Arc<Self>, peer: &NodeId) -> Option<Ticket> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(peer.clone()).or_insert(0);
        let is_allowed = *count < PINGS_UNANSWERED_MAX;
        *count += usize::from(is_allowed);
        is_allowed.then(|| Ticket { peer: peer.clone(), all: Arc::clone(self) })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.peer);
            }
        }
    }
}

impl Shared {
    /// Answers a sign of life with one.
    pub(super) fn ping(&self, from: &NodeId, ping: Ping) -> Response {
        self.heard(from, ping);
        Response::Pong(self.ping_of(&self.membership.sight.load().beat))
    }

    /// Takes in a sign of life.
    pub(super) fn heard(&self, from: &NodeId, ping: Ping) {
        let Ping { digest, epoch, hears, clock, ids } = ping;
        // Before anything else: who joins by this goes by that time.
        self.hear_clock(from, Version(clock));
        self.reservations().heard(from, ids);
        let beat = Heartbeat { digest, epoch, hears: hears.into() };
        self.told(from, |told| told.beat = Some(beat));
    }

    /// Answers a view with ours.
    pub(super) fn view(&self, from: &NodeId, theirs: ViewRecord) -> Response {
        let mine = self.record_of(from);
        self.viewed(from, theirs);
        Response::View(mine)
    }

    /// Takes in a view.
    pub(super) fn viewed(&self, from: &NodeId, theirs: ViewRecord) {
        let clock = Version(theirs.clock);
        let members = theirs.members.into_iter().filter_map(member_of);
        let view = View::new(theirs.epoch.min(COUNT_MAX), members);
        // As above.
        match view.get(&from.name).filter(|member| member.id == *from) {
            Some(member) => self.hear_clock_of(member, clock),
            None => self.hear_clock(from, clock),
        }
        self.told(from, |told| told.add_view(view));
    }

    /// The member without a session that should be at `addr`.
    pub(super) fn wanted_at(&self, addr: &str) -> Option<NodeId> {
        let roster = self.roster();
        let its = roster.wanted().find(|member| member.addr == addr);
        its.map(|member| member.id.clone())
    }

    /// Tries a place.
    pub(super) async fn attempt(&self, place: &Place) -> Ending {
        let (host, is_name) = match place {
            Place::Addr(addr) => (addr.clone(), false),
            Place::Name(name, port) => (format!("{name}:{port}"), true),
        };
        let addrs = match timeout(RESOLVE_TIMEOUT, lookup_host(&host)).await {
            Ok(Ok(addrs)) => addrs.take(RESOLVED_ADDRS_MAX).collect::<Vec<_>>(),
            Ok(Err(reason)) => {
                return Ending::NoAddress(format!("cannot look up {host}: {reason}"));
            }
            Err(_) => {
                return Ending::NoAddress(format!("cannot look up {host}: no answer in time"));
            }
        };
        if is_name {
            return Ending::Resolved(addrs.iter().map(ToString::to_string).collect());
        }
        let mut ending: Option<Ending> = None;
        for addr in addrs {
            let next = self.dial(addr).await;
            let so_far = match ending {
                Some(before) => before.or(next),
                None => next,
            };
            if !so_far.is_vain() {
                return so_far;
            }
            ending = Some(so_far);
        }
        ending.unwrap_or_else(|| Ending::NoAddress(format!("{host} has no address")))
    }

    /// Another run has our name. If it came after this one was a member, it has replaced it.
    fn name_taken(&self, taken: &NameTaken) {
        let incarnation = self.roster().own().incarnation;
        if self.membership.has_met.load(Ordering::Relaxed) && incarnation < taken.incarnation {
            self.membership.superseded.send_replace(Some(taken.addr.clone()));
        }
    }

    async fn dial(&self, addr: SocketAddr) -> Ending {
        match self.transport().dial(addr).await {
            Ok(dialed) => {
                self.membership.inbox.put_floor(dialed.floor);
                self.wake_discovery();
                Ending::Connected(dialed.peer.id)
            }
            Err(DialError::Hello(HelloError::Here(refused) | HelloError::There(refused)))
                if refused == Refused::Itself =>
            {
                Ending::Itself
            }
            Err(DialError::Hello(HelloError::Here(refused) | HelloError::There(refused)))
                if refused == Refused::AlreadyConnected =>
            {
                Ending::AlreadyConnected
            }
            Err(DialError::Hello(
                error @ (HelloError::Here(Refused::Protocol(_))
                | HelloError::There(Refused::Protocol(_))),
            )) => Ending::NoProtocol(error.to_string()),
            Err(DialError::Hello(HelloError::There(Refused::NameTaken(taken)))) => {
                self.name_taken(&taken);
                // What stands for long does not say how long ago something was.
                Ending::Refused(format!("name in use by {}", taken.addr))
            }
            Err(DialError::Refused(reason)) => Ending::NobodyListens(reason),
            Err(DialError::Unreachable(reason)) => Ending::Failed(reason),
            Err(error @ (DialError::Hello(_) | DialError::TimedOut | DialError::Session)) => {
                Ending::Refused(error.to_string())
            }
        }
    }
}

impl Shared {
    /// A sign of life.
    pub(super) fn ping_of(&self, beat: &Heartbeat) -> Ping {
        let Heartbeat { digest, epoch, hears } = beat;
        let (digest, epoch, hears) = (*digest, *epoch, hears.to_vec());
        let (clock, ids) = (self.clock().0, self.reservations().ceiling());
        Ping { digest, epoch, hears, clock, ids }
    }

    /// What a node may not have yet of our view.
    pub(super) fn record_of(&self, to: &NodeId) -> ViewRecord {
        // By way of another node it is not known what it speaks.
        let protocol = self.transport().link(to).map_or(0, |link| link.protocol());
        let view = self.roster().view_for(to);
        let record = |member: &Member| MemberRecord {
            name: member.id.name.clone(),
            boot: member.id.boot,
            incarnation: member.incarnation,
            standing: standing_for(protocol, member.standing),
            addr: member.addr.clone(),
            http: member.http.clone(),
            weight: member.weight,
        };
        let members = view.members().map(record).collect();
        ViewRecord { epoch: view.epoch(), members, clock: self.clock().0 }
    }
}

/// A standing as it is said in a protocol: the older ones know no more of who is gone.
pub(super) fn standing_for(protocol: u16, standing: Standing) -> Standing {
    match standing {
        Standing::Left | Standing::Forgotten if protocol < PROTOCOL_OF_LEFT => Standing::Gone,
        standing => standing,
    }
}

/// The member of a record; `None` for one that says what no member can be.
fn member_of(record: MemberRecord) -> Option<Member> {
    let MemberRecord { name, boot, incarnation, standing, addr, http, weight } = record;
    let id = NodeId { name, boot };
    let member = Member { id, addr, http, incarnation, standing, weight };
    member.flaw().is_none().then_some(member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Boot, NodeName};

    fn record() -> MemberRecord {
        MemberRecord {
            name: NodeName::new("a").unwrap(),
            boot: Boot(1),
            incarnation: COUNT_MAX,
            standing: Standing::Alive,
            addr: "127.0.0.1:1".to_owned(),
            http: String::new(),
            weight: 1,
        }
    }

    #[test]
    fn what_no_member_can_be_is_left_out_of_a_view() {
        assert!(member_of(record()).is_some());
        let changes: [fn(&mut MemberRecord); 4] = [
            |record| record.weight = 0,
            |record| record.incarnation = COUNT_MAX + 1,
            |record| record.addr = "a b".to_owned(),
            |record| record.http = "a\n".to_owned(),
        ];
        for change in changes {
            let mut record = record();
            change(&mut record);
            assert!(member_of(record.clone()).is_none(), "{record:?}");
        }
    }
}
