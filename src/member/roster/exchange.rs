//! What a roster learns from the views of others, and what it sends them of its own.
//!
//! A view is sent as the records that came here after the last one was sent to that node. With none
//! of them it only asks for the view of the other. If nothing comes of that and the fingerprints
//! differ nevertheless, something was lost, and all is sent.

use std::sync::Arc;
use std::time::Duration;

use super::{Peer, Roster};
use crate::limits::VIEW_PAUSE;
use crate::member::event::RosterAction;
use crate::member::evidence::Evidence;
use crate::member::id::NodeId;
use crate::member::view::{Member, Standing, View};

impl Roster {
    /// What to send to a node for [`RosterAction::SendView`], or as the answer to its view: the
    /// records it may not have yet. It counts as told of them from now on.
    pub fn view_for(&mut self, to: &NodeId) -> View {
        // Who joins is waiting for a view of one who is alive that names everybody.
        let is_joining = self.own().standing != Standing::Joining
            && self.view.get(&to.name).is_none_or(|member| member.standing == Standing::Joining);
        let revision = self.revision;
        let peer = self.peer_of(to);
        let told = peer.map_or(0, |peer| std::mem::replace(&mut peer.told, revision));
        if told == 0 || is_joining {
            return self.view.clone();
        }
        let mut peers = self.peers.values();
        let is_untold = |member: &&Arc<Member>| {
            let since = match member.id.name == self.own {
                true => self.own_since,
                false => peers.next().map_or(0, |peer| peer.since),
            };
            told < since
        };
        View::of(self.view.epoch(), self.view.shared().filter(is_untold).cloned())
    }

    pub(super) fn received(&mut self, now: Duration, from: &NodeId, theirs: &View) {
        let is_invited = theirs.get(&from.name).is_some_and(Member::is_established);
        let (before, own_since) = (self.revision, self.own_since);
        for member in self.view.news_of(theirs) {
            self.learn(now, Arc::clone(member));
        }
        let (after, is_refuted) = (self.revision, self.own_since != own_since);
        if let Some(peer) = self.peer_of(from)
            && peer.told == before
            && !is_refuted
        {
            // What is new here came from it.
            peer.told = after;
        }
        if is_invited && self.own().standing == Standing::Joining {
            self.set_own(Member { standing: Standing::Alive, ..self.own().clone() });
        }
        let ours = self.view.epoch() + u64::from(self.revision != before);
        if self.view.epoch() < ours.max(theirs.epoch()) {
            self.publish(ours.max(theirs.epoch()));
        }
    }

    pub(super) fn met(&mut self, now: Duration, member: Member) {
        let id = member.id.clone();
        if self.learn(now, Arc::new(member)) {
            self.publish(self.view.epoch() + 1);
        } else if self.view.get(&id.name).is_some_and(|known| !known.is_living()) {
            // It does not know yet that it was declared dead.
            self.send_view(now, &id);
        }
    }

    /// Takes in one record from elsewhere and returns whether the view changed.
    fn learn(&mut self, now: Duration, member: Arc<Member>) -> bool {
        if member.id.name == self.own {
            return self.learn_own(&member);
        }
        let is_known = self.view.get(&member.id.name).is_some();
        if !is_known && !member.is_living() {
            // It is not taken in, or each would learn of it again from who forgets it later.
            if member.standing == Standing::Gone {
                self.actions.push(RosterAction::Missed(member.id.clone()));
            }
            return false;
        }
        self.put(now, member)
    }

    /// Somebody else's record of our name: refutes it, or yields to another run.
    fn learn_own(&mut self, theirs: &Member) -> bool {
        let own = self.own();
        if !theirs.overrides(own) {
            return false;
        }
        if theirs.id.boot != own.id.boot && theirs.is_living() {
            self.actions.push(RosterAction::Superseded { by: theirs.id.clone() });
            return false;
        }
        let incarnation = theirs.incarnation.saturating_add(1);
        self.set_own(Member { incarnation, ..own.clone() });
        true
    }

    /// Puts a record of another member where it stands, and what follows from it.
    pub(super) fn put(&mut self, now: Duration, member: Arc<Member>) -> bool {
        let NodeId { name, boot } = member.id.clone();
        let known = self.view.get(&name);
        let run = |m: &Member| (m.is_living(), m.id.boot, m.incarnation);
        let is_same = known.is_some_and(|known| run(known) == run(&member));
        let replaced = known.filter(|known| known.is_living()).map(|known| known.id.clone());
        let (is_living, standing) = (member.is_living(), member.standing);
        if !self.view.put(member) {
            return false;
        }
        self.revision += 1;
        let since = self.revision;
        let id = NodeId { name: name.clone(), boot };
        if standing == Standing::Forgotten {
            self.actions.push(RosterAction::Forgotten(id.clone()));
        }
        if let Some(peer) = self.peers.get_mut(&name).filter(|_| is_same) {
            peer.since = since;
            peer.gone = peer.gone.map(|_| now);
            return true;
        }
        if let Some(replaced) = replaced.filter(|replaced| *replaced != id || !is_living) {
            self.actions.push(match standing {
                Standing::Left if replaced == id => RosterAction::Left(replaced),
                _ => RosterAction::Died(replaced),
            });
        }
        if is_living {
            self.actions.push(RosterAction::Joined(id));
        }
        let view_sent = self.peers.get(&name).and_then(|peer| peer.view_sent);
        let gone = (!is_living).then_some(now);
        let evidence = Evidence::new(now);
        self.peers.insert(name, Peer { boot, evidence, gone, view_sent, since, told: 0, asked: 0 });
        true
    }

    pub(super) fn send_view(&mut self, now: Duration, to: &NodeId) {
        if self.views_left == 0 || !self.links.contains(to) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&to.name) {
            if peer.view_sent.is_some_and(|at| now < at + VIEW_PAUSE) {
                return;
            }
            peer.view_sent = Some(now);
            if peer.told == self.revision
                && std::mem::replace(&mut peer.asked, self.revision) == self.revision
            {
                // It was told all and asked for its own, and something of that was lost.
                peer.told = 0;
            }
        }
        self.views_left -= 1;
        self.actions.push(RosterAction::SendView { to: to.clone() });
    }
}
