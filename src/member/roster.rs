//! The machine that keeps the view of a node: who is in, from what it is told and what it hears.
//!
//! Every node decides on its own, from heartbeats, that a member is dead, and says so in its view.
//! Views spread by comparing fingerprints: a heartbeat carries one, and whoever sees another than
//! its own exchanges views with the sender. A member that is declared dead and lives refutes it with
//! a greater incarnation (Das, Gupta and Motivala, "SWIM", DSN 2002).
//!
//! A node starts as [`Standing::Joining`], and is alive as soon as it has the view of a member that
//! is, or that leaves, which names the whole cluster. If there is none it is told to [form](RosterEvent::Form) one.
//! So nodes that start together and meet each other before they meet the cluster do not take
//! themselves for one, and a member that was seen joining is known to have held nothing.
//!
//! A record of a member that is gone is kept, for [`DEAD_KEEP`] if it was declared dead and so may be
//! back, or else for [`GONE_KEEP`]. It is not learnt by a node that does not know the name, so that it
//! dies out. A message that is delayed for longer than that can bring
//! a dead member back, until nobody has heard it for [`DEAD_AFTER_UNHEARD`](crate::limits::DEAD_AFTER_UNHEARD).

mod exchange;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::event::{Heartbeat, NameTaken, PeerState, RosterAction, RosterEvent};
use super::evidence::{Evidence, Verdict};
use super::id::{Boot, NodeId, NodeName};
use super::view::{Member, Standing, View};
use crate::limits::{
    DEAD_KEEP, GONE_KEEP, HEARTBEAT_INTERVAL, MEMBER_TICK, MEMBERS_MAX, SUSPECT_AFTER,
    VIEWS_PER_TICK,
};

/// The view of one node and the evidence behind it.
#[derive(Debug)]
pub struct Roster {
    own: NodeName,
    view: View,
    /// The fingerprint of the view as it was published last.
    digest: u64,
    /// Counts the records that were put into the view.
    revision: u64,
    /// At which revision our own record came.
    own_since: u64,
    /// One per name in the view but our own.
    peers: BTreeMap<NodeName, Peer>,
    links: HashSet<NodeId>,
    /// Members without a fresh word of their own, and their place among the living; who is reported
    /// is struck off until the next tick.
    doubtful: Vec<(usize, NodeName)>,
    ticked: Option<Duration>,
    beaten: Option<Duration>,
    has_news: bool,
    views_left: usize,
    actions: Vec<RosterAction>,
}

#[derive(Debug)]
struct Peer {
    boot: Boot,
    evidence: Evidence,
    gone: Option<Duration>,
    view_sent: Option<Duration>,
    /// At which revision its record came.
    since: u64,
    /// Up to which revision it was sent our records, or showed that it has them.
    told: u64,
    /// At which revision it was asked for its view, with nothing new to tell it.
    asked: u64,
}

impl Roster {
    /// The roster of a node that knows nobody else, and joins whatever `own` says of it.
    #[must_use]
    pub fn new(own: Member) -> Self {
        let own = Member { standing: Standing::Joining, ..own };
        let name = own.id.name.clone();
        let view = View::new(1, [own]);
        Self {
            own: name,
            digest: view.digest(),
            view,
            revision: 1,
            own_since: 1,
            peers: BTreeMap::new(),
            links: HashSet::new(),
            doubtful: Vec::new(),
            ticked: None,
            beaten: None,
            has_news: true,
            views_left: VIEWS_PER_TICK,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened at `now`, measured from any start by a clock that never steps back and
    /// runs on while the process is stopped. Returns what is to be done, in order.
    pub fn step(&mut self, now: Duration, event: RosterEvent) -> Vec<RosterAction> {
        match event {
            RosterEvent::Tick => self.tick(now),
            RosterEvent::Heard { from, beat } => self.heard(now, &from, &beat),
            RosterEvent::Linked(peer) => self.linked(now, &peer),
            RosterEvent::Unlinked(peer) => self.unlinked(now, &peer),
            RosterEvent::DialRefused(peer) => self.refused(now, &peer),
            RosterEvent::ViewReceived { from, view } => self.received(now, &from, &view),
            RosterEvent::Disagreed(peer) => self.disagreed(now, &peer),
            RosterEvent::Met(member) => self.met(now, member),
            RosterEvent::Floor(incarnation) => self.raise(incarnation),
            RosterEvent::Form => self.form(),
            RosterEvent::Forget(name) => self.forget(now, &name),
            RosterEvent::Leave => self.leave(),
            RosterEvent::Left => self.stand(Standing::Left),
        }
        if self.has_news && self.beaten.is_none_or(|at| at + MEMBER_TICK <= now) {
            self.beat(now);
        }
        std::mem::take(&mut self.actions)
    }

    /// All that is known.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The fingerprint of the view, as [`View::digest`] computes it.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Our own record.
    ///
    /// # Panics
    ///
    /// Never: a view is begun with the own record, which is not forgotten.
    #[must_use]
    pub fn own(&self) -> &Member {
        let own = self.view.get(&self.own);
        own.unwrap_or_else(|| unreachable!("the own record is never forgotten"))
    }

    /// The nodes a link to which is up, as far as was told.
    pub fn links(&self) -> impl Iterator<Item = &NodeId> {
        self.links.iter()
    }

    /// What to tell the others at `now`.
    #[must_use]
    pub fn heartbeat(&self, now: Duration) -> Heartbeat {
        let count = self.view.living().count();
        let mut hears = vec![0; count.div_ceil(8)];
        for (place, (member, peer)) in self.living().enumerate() {
            let is_heard = peer
                .is_none_or(|peer| peer.evidence.is_fresh(now) && self.links.contains(&member.id));
            hears[place / 8] |= u8::from(is_heard) << (place % 8);
        }
        Heartbeat { digest: self.digest, epoch: self.view.epoch(), hears: hears.into() }
    }

    /// Whom to dial: every member with an address that is not linked, also those declared dead, who
    /// may be back, and not those who have left.
    pub fn wanted(&self) -> impl Iterator<Item = &Member> {
        self.view.members().filter(|member| {
            member.id.name != self.own
                && member.standing <= Standing::Gone
                && !member.addr.is_empty()
                && !self.links.contains(&member.id)
        })
    }

    /// What is thought of each member at `now`, by name, and how long ago it was heard itself. Who is
    /// forgotten is none of them.
    pub fn states(
        &self,
        now: Duration,
    ) -> impl Iterator<Item = (&Member, PeerState, Option<Duration>)> {
        let members = self.view.members().filter(|m| m.standing != Standing::Forgotten);
        members.map(move |member| {
            let evidence = self.peers.get(&member.id.name).map(|peer| &peer.evidence);
            let heard = evidence.map_or(Some(now), Evidence::heard);
            let is_suspect = evidence.is_some_and(|evidence| evidence.is_suspect);
            let state = match member.standing {
                Standing::Gone => PeerState::Dead,
                Standing::Left | Standing::Forgotten => PeerState::Left,
                _ if is_suspect => PeerState::Suspect,
                Standing::Joining => PeerState::Joining,
                Standing::Leaving => PeerState::Leaving,
                Standing::Alive if heard.is_none() => PeerState::Joining,
                Standing::Alive => PeerState::Alive,
            };
            (member, state, heard.map(|at| now.saturating_sub(at)))
        })
    }

    /// Whether the run `boot` may have `name`, and the least incarnation it needs so that it
    /// replaces what is known under this name.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] for our own name, and while another run of the name is linked, or was heard of
    /// after its link closed. Nothing changed.
    pub fn admit(&self, name: &NodeName, boot: Boot, now: Duration) -> Result<u64, NameTaken> {
        let Some(known) = self.view.get(name) else {
            return Ok(0);
        };
        let evidence = self.peers.get(name).map(|peer| &peer.evidence);
        if evidence.is_some() && known.id.boot == boot {
            return Ok(0);
        }
        let is_linked = self.links.contains(&known.id);
        let is_present = known.is_living()
            && evidence.is_none_or(|e| e.is_present(now) || is_linked && !e.is_suspect);
        if is_present {
            let heard = evidence.map_or(now, |e| e.heard().unwrap_or_default());
            let silence = now.saturating_sub(heard).as_millis();
            let heard_ms_ago = u64::try_from(silence).unwrap_or(u64::MAX);
            let (incarnation, addr) = (known.incarnation, known.addr.clone());
            return Err(NameTaken { incarnation, addr, heard_ms_ago });
        }
        Ok(known.incarnation.saturating_add(1))
    }

    /// By way of whom a member without a link is reached: who has said lately that it hears it.
    #[must_use]
    pub fn detour(&self, to: &NodeId, now: Duration) -> Option<&NodeId> {
        let peer = self.peers.get(&to.name).filter(|peer| peer.boot == to.boot)?;
        let via = peer.evidence.reporter(now)?;
        (self.links.contains(via) && !self.links.contains(to)).then_some(via)
    }

    /// Every member that is only reached by way of another, and by way of whom.
    #[must_use]
    pub fn detours(&self, now: Duration) -> BTreeMap<NodeId, NodeId> {
        let unlinked = self.view.living().filter(|member| !self.links.contains(&member.id));
        let detour =
            |member: &Member| Some((member.id.clone(), self.detour(&member.id, now)?.clone()));
        unlinked.filter_map(detour).collect()
    }

    fn tick(&mut self, now: Duration) {
        let asleep = self.ticked.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        self.ticked = Some(now);
        self.views_left = VIEWS_PER_TICK;
        if SUSPECT_AFTER < asleep {
            self.peers.values_mut().for_each(|peer| peer.evidence.forgive(now));
            self.actions.push(RosterAction::Woke { after: asleep });
        }
        let dead = self.judge(now);
        if !dead.is_empty() {
            dead.iter().for_each(|name| self.declare_gone(now, name));
            self.publish(self.view.epoch() + 1);
        }
        self.forget_the_gone(now);
        self.doubt(now);
        if self.beaten.is_none_or(|at| at + HEARTBEAT_INTERVAL <= now) {
            self.beat(now);
        }
    }

    /// Looks at the evidence of all who take part, and returns who is dead.
    fn judge(&mut self, now: Duration) -> Vec<NodeName> {
        let mut dead = Vec::new();
        for (name, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.gone.is_none()) {
            let verdict = peer.evidence.verdict(now);
            let is_suspect = verdict != Verdict::Lives;
            let id = || NodeId { name: name.clone(), boot: peer.boot };
            match verdict {
                Verdict::Dead => dead.push(name.clone()),
                Verdict::Suspect if !peer.evidence.is_suspect => {
                    self.actions.push(RosterAction::Suspected(id()));
                }
                Verdict::Lives if peer.evidence.is_suspect => {
                    self.actions.push(RosterAction::Recovered(id()));
                }
                Verdict::Suspect | Verdict::Lives => {}
            }
            peer.evidence.is_suspect = is_suspect;
            if peer.evidence.is_deaf(now) && self.links.contains(&id()) {
                self.actions.push(RosterAction::Deaf(id()));
            }
        }
        dead
    }

    fn declare_gone(&mut self, now: Duration, name: &NodeName) {
        if let Some(member) = self.view.get(name) {
            let gone = Member { standing: Standing::Gone, ..member.clone() };
            self.put(now, Arc::new(gone));
        }
    }

    /// Names that come and go must not use up the room there is for members.
    fn forget_the_gone(&mut self, now: Duration) {
        let is_crowded = MEMBERS_MAX / 2 < self.view.len();
        let keep = |name: &NodeName| match self.view.get(name).map(|member| member.standing) {
            Some(Standing::Gone) if !is_crowded => DEAD_KEEP,
            _ => GONE_KEEP,
        };
        let is_over = |name: &NodeName, peer: &Peer| {
            peer.gone.is_some_and(|at| at + GONE_KEEP <= now && at + keep(name) <= now)
        };
        let peers = self.peers.iter();
        let over = peers.filter(|(name, peer)| is_over(name, peer)).map(|(name, _)| name.clone());
        for name in over.collect::<Vec<_>>() {
            self.peers.remove(&name);
            self.view.forget(&name);
        }
    }

    /// Has a member that is gone forgotten by everybody. What is gone does not count in fingerprints, so
    /// that nobody would ask for it.
    fn forget(&mut self, now: Duration, name: &NodeName) {
        let Some(member) = self.view.get(name).filter(|member| !member.is_living()) else { return };
        let forgotten = Member { standing: Standing::Forgotten, ..member.clone() };
        if self.put(now, Arc::new(forgotten)) {
            self.publish(self.view.epoch());
            let views = self.links.iter().map(|to| RosterAction::SendView { to: to.clone() });
            self.actions.extend(views);
        }
    }

    /// Notes who has no fresh word, so that a heartbeat only has to be searched for these.
    fn doubt(&mut self, now: Duration) {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.clear();
        for (place, (member, peer)) in self.living().enumerate() {
            if peer.is_some_and(|peer| !peer.evidence.is_fresh(now)) {
                doubtful.push((place, member.id.name.clone()));
            }
        }
        self.doubtful = doubtful;
    }

    /// Those who take part, by name, and what is known of all but ourselves.
    fn living(&self) -> impl Iterator<Item = (&Member, Option<&Peer>)> {
        let mut peers = self.peers.values();
        let members = self.view.members().map(move |member| {
            let is_own = member.id.name == self.own;
            (member, if is_own { None } else { peers.next() })
        });
        members.filter(|(member, _)| member.is_living())
    }

    fn heard(&mut self, now: Duration, from: &NodeId, beat: &Heartbeat) {
        let (revision, is_agreed) = (self.revision, beat.digest == self.digest);
        if let Some(peer) = self.peer_of(from) {
            peer.evidence.hear(now);
            if is_agreed {
                peer.told = revision;
            }
        }
        if !is_agreed {
            return self.send_view(now, from);
        }
        let peers = &mut self.peers;
        self.doubtful.retain(|(place, name)| {
            let byte = beat.hears.get(place / 8).copied().unwrap_or_default();
            let is_reported = byte & (1 << (place % 8)) != 0 && *name != from.name;
            if is_reported && let Some(peer) = peers.get_mut(name) {
                peer.evidence.report(now, from);
            }
            !is_reported
        });
        if self.view.epoch() < beat.epoch {
            self.view.raise_epoch(beat.epoch);
            self.actions.push(RosterAction::Changed);
        }
        // To have the view of one who is in a cluster is as good as to be sent it.
        if self.own().standing == Standing::Joining
            && self.view.get(&from.name).is_some_and(Member::is_established)
        {
            self.put_own(Member { standing: Standing::Alive, ..self.own().clone() });
        }
    }

    fn linked(&mut self, now: Duration, peer: &NodeId) {
        if let Some(known) = self.peer_of(peer) {
            known.evidence.link(now);
            known.told = 0;
        }
        self.links.insert(peer.clone());
        // Between two who are alive a heartbeat tells whether it is needed.
        let is_alive = |member: &Member| member.standing == Standing::Alive;
        let known = self.view.get(&peer.name).filter(|member| member.id == *peer);
        if !is_alive(self.own()) || !known.is_some_and(is_alive) {
            self.send_view(now, peer);
        }
    }

    /// Views differ, or did when the maps were computed. Who has news tells them; if something was
    /// lost, heartbeats bring it to light.
    fn disagreed(&mut self, now: Duration, peer: &NodeId) {
        let revision = self.revision;
        if self.peer_of(peer).is_none_or(|peer| peer.told < revision) {
            self.send_view(now, peer);
        }
    }

    fn unlinked(&mut self, now: Duration, peer: &NodeId) {
        self.links.remove(peer);
        if let Some(known) = self.peer_of(peer) {
            known.evidence.unlink(now);
        }
    }

    fn refused(&mut self, now: Duration, peer: &NodeId) {
        if self.links.contains(peer) {
            return;
        }
        if let Some(known) = self.peer_of(peer) {
            known.evidence.refuse(now);
        }
    }

    /// Raises our own incarnation to at least `incarnation`.
    fn raise(&mut self, incarnation: u64) {
        if self.own().incarnation < incarnation {
            let own = Member { incarnation, ..self.own().clone() };
            self.put_own(own);
        }
    }

    /// Forming alone is not joining: whoever saw this node join must take it for a new one.
    fn form(&mut self) {
        if self.own().standing == Standing::Joining {
            let incarnation = self.own().incarnation + 1;
            self.put_own(Member { incarnation, standing: Standing::Alive, ..self.own().clone() });
        }
    }

    /// Who is in no cluster has nothing to hand over, and must not look like one who is.
    fn leave(&mut self) {
        if self.own().standing != Standing::Joining {
            self.stand(Standing::Leaving);
        }
    }

    fn stand(&mut self, standing: Standing) {
        if self.own().standing < standing {
            let own = Member { standing, ..self.own().clone() };
            self.put_own(own);
        }
    }

    fn put_own(&mut self, own: Member) {
        self.set_own(own);
        self.publish(self.view.epoch() + 1);
    }

    fn set_own(&mut self, own: Member) {
        self.revision += 1;
        self.own_since = self.revision;
        self.view.put(Arc::new(own));
    }

    /// The records or the epoch changed.
    fn publish(&mut self, epoch: u64) {
        let digest = self.view.digest();
        if digest != self.digest {
            self.digest = digest;
            self.has_news = true;
            // Places among the living moved; the next tick finds the doubtful again.
            self.doubtful.clear();
        }
        self.view.raise_epoch(epoch);
        self.actions.push(RosterAction::Changed);
    }

    fn beat(&mut self, now: Duration) {
        self.beaten = Some(now);
        self.has_news = false;
        self.actions.push(RosterAction::Beat);
    }

    fn peer_of(&mut self, id: &NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(&id.name).filter(|peer| peer.boot == id.boot)
    }
}
