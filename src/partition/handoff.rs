//! The machine that says which slots this node holds, and passes them from holder to holder.
//!
//! A slot is **held** by the node that answers for it, and by no other that has the same view. The
//! map says who should hold it: the owner. These are the rules.
//!
//! 1. An owner that does not hold a slot *claims* it from every other member, and from the one that
//!    should hold it by the map before, once all others have answered. Requests for it go there until
//!    then, and wait after that.
//! 2. A member answers a claim only if its view is the claimer's. If it holds the slot, it closes it
//!    first; then it says whether entries of the slot may be left with it, the *residue*.
//! 3. When all have answered, the owner opens the slot and holds it.
//! 4. Who holds a slot and does not own it any more goes on until the owner claims it.
//!
//! Why no two hold a slot: an owner opens with the word of all others of its view, each given in a
//! view in which that owner owns the slot. Whoever would open it next is the owner in a later view
//! and needs the word of this one, unless it is dead there.
//!
//! A member that is new to us may come from a cluster of its own, in which it held the same slots.
//! So who meets a new member that is not joining closes all it holds, and claims from it what it
//! owns. Only who was not alone and is older by more than [`SKEW_MAX`], as the incarnations tell both
//! sides, goes on, and asks the new one for residue only. A member that is seen joining holds nothing
//! yet, so that nobody waits for it. A member that was declared dead and lives has raised its
//! incarnation: it closes all it holds, as it may have been replaced, and so does a node that was
//! asleep.
//!
//! A member that is silent is never taken for one that has nothing: its word is waited for until it is
//! declared dead. Claims reach whoever anybody hears, by way of who does, and the holder of a slot
//! serves it until all others have answered. So who cannot be asked costs no more than time.
//!
//! What the driver has to know about entries:
//!
//! - While a slot is in [`Handoff::arriving`], an entry of it may be with one of its
//!   [`Handoff::sources`]. What is known of a key here is the newest there is unless the slot is in
//!   [`Handoff::doubtful`]: then it may have been left here from an earlier time. So for what is not
//!   known, or is doubtful, the sources are asked, the newest version counts, and the own table is
//!   looked at once more after they answered. If the slot was closed meanwhile, the request begins
//!   again. A source out of reach means waiting, not a miss.
//! - The answer to a claim carries the greatest version this node knows, and the claimer observes
//!   it before it opens. So each write to an open slot is newer than all its sources have.
//! - A request that another node routed here is done only if that node is a member of the map: a
//!   node that does not know the cluster yet must not answer for it.
//! - Entries are pushed to, and accepted by, a holder only, never by one that still claims: they
//!   must not leave the sources the present holder knows of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Slot;
use super::map::PartitionMap;
use super::slot_set::SlotSet;
use crate::limits::{CLAIM_PAUSE, CLAIM_RETRY, SKEW_MAX, SOURCE_POLL};
use crate::member::{Member, NodeId, Standing};

/// What happens to a handoff.
#[derive(Clone, Debug)]
pub enum HandoffEvent {
    /// [`HANDOFF_TICK`](crate::limits::HANDOFF_TICK) passed.
    Tick,
    /// The view changed, and this is its map.
    ViewChanged(Arc<PartitionMap>),
    /// A node claims slots from us.
    Claim {
        /// Who claims.
        from: NodeId,
        /// Its number for this claim.
        id: u64,
        /// The fingerprint of its view.
        digest: u64,
        /// What it claims.
        slots: SlotSet,
    },
    /// A node answered our claim.
    Answered {
        /// Who answered.
        from: NodeId,
        /// Which claim.
        id: u64,
        /// The slots of it whose entries may still be there.
        residue: SlotSet,
    },
    /// A node refused our claim, as its view is another.
    Refused {
        /// Who refused.
        from: NodeId,
        /// Which claim.
        id: u64,
    },
    /// A pass over all entries, begun with [`Handoff::begin_pass`], found none of these slots.
    ResidueCleared(SlotSet),
    /// This node was asleep for longer than others may have waited for it.
    Woke,
}

/// What a handoff wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandoffAction {
    /// Send a claim. It is repeated until it is answered.
    Claim {
        /// To whom.
        to: NodeId,
        /// Its number, for the answer.
        id: u64,
        /// The fingerprint of our view.
        digest: u64,
        /// What is claimed.
        slots: SlotSet,
    },
    /// Tell a claimer that our view is another, and exchange views with it.
    Refuse {
        /// To whom.
        to: NodeId,
        /// Which claim.
        id: u64,
    },
    /// Answer a claim, with the greatest version this node knows.
    Answer {
        /// To whom.
        to: NodeId,
        /// Which claim.
        id: u64,
        /// The slots of it whose entries may still be here.
        residue: SlotSet,
    },
    /// Serve these slots no longer: when this is done, no write to them is under way or follows.
    Close(SlotSet),
    /// Serve these slots from now on.
    Open(SlotSet),
    /// [`Handoff::arriving`] or [`Handoff::sources`] is another.
    SourcesChanged,
}

/// Which slots one node holds, claims and has left-overs of.
#[derive(Debug)]
pub struct Handoff {
    own: NodeId,
    map: Option<Arc<PartitionMap>>,
    /// What we own by the map.
    ours: SlotSet,
    held: SlotSet,
    /// What we do not hold and may still have entries of.
    residue: SlotSet,
    /// The part of it that came after the pass under way began.
    residue_fresh: SlotSet,
    /// What is arriving though something of it may be here from an earlier time, or comes from several.
    doubtful: SlotSet,
    /// Every member something is claimed from.
    peers: BTreeMap<NodeId, Peer>,
    claims: u64,
    /// No claim is due before; the one that is may be later.
    due: Duration,
    actions: Vec<HandoffAction>,
}

/// What we want of one member.
#[derive(Debug, Default)]
struct Peer {
    /// Ours, and it may hold them: it has not answered yet.
    owes: SlotSet,
    /// Those it should hold by the map before: it is asked for them once all others have answered.
    last: SlotSet,
    /// It does not hold them, but may have entries of them.
    arriving: SlotSet,
    /// The claim under way.
    asked: Option<(u64, SlotSet)>,
    /// When a claim was sent last.
    sent: Duration,
    /// When to send the next one, or the same again.
    next: Duration,
    /// Whether it was not asked for all it owes, as others have not answered yet.
    is_held_back: bool,
}

impl Handoff {
    /// A node that holds nothing and has not seen a view.
    #[must_use]
    pub fn new(own: NodeId) -> Self {
        Self {
            own,
            map: None,
            ours: SlotSet::new(),
            held: SlotSet::new(),
            residue: SlotSet::new(),
            residue_fresh: SlotSet::new(),
            doubtful: SlotSet::new(),
            peers: BTreeMap::new(),
            claims: 0,
            due: Duration::ZERO,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened at `now`, on the clock of the [`Roster`](crate::member::Roster).
    /// Returns what is to be done, in order.
    pub fn step(&mut self, now: Duration, event: HandoffEvent) -> Vec<HandoffAction> {
        let mut here = self.held.without(&self.arriving());
        here.add(&self.residue);
        match event {
            HandoffEvent::Tick => {}
            HandoffEvent::ViewChanged(map) => self.view_changed(now, &map),
            HandoffEvent::Claim { from, id, digest, slots } => {
                self.claimed(&from, id, digest, &slots);
            }
            HandoffEvent::Answered { from, id, residue } => {
                self.answered(now, &from, id, &residue);
            }
            HandoffEvent::Refused { from, id } => self.refused(now, &from, id),
            HandoffEvent::ResidueCleared(slots) => {
                self.residue.subtract(&slots.without(&self.residue_fresh));
            }
            HandoffEvent::Woke => self.doubt_all(now),
        }
        self.open();
        self.doubt(&here);
        self.claim(now);
        std::mem::take(&mut self.actions)
    }

    /// Begins a pass over all entries and returns of which slots they are to be pushed to the owner.
    /// What comes in addition while it lasts is not cleared by it. One pass at a time.
    #[must_use]
    pub fn begin_pass(&mut self) -> SlotSet {
        self.residue_fresh = SlotSet::new();
        self.residue.clone()
    }

    /// Whether there is more to be pushed than there was when the pass under way began.
    #[must_use]
    pub fn has_fresh_residue(&self) -> bool {
        !self.residue_fresh.is_empty()
    }

    /// The map of the last view.
    #[must_use]
    pub fn map(&self) -> Option<&Arc<PartitionMap>> {
        self.map.as_ref()
    }

    /// Whether this node answers for a slot.
    #[must_use]
    pub fn is_held(&self, slot: Slot) -> bool {
        self.held.contains(slot)
    }

    /// Whether this node owns a slot and waits for others to release it.
    #[must_use]
    pub fn is_claiming(&self, slot: Slot) -> bool {
        self.ours.contains(slot) && !self.held.contains(slot)
    }

    /// What this node answers for.
    #[must_use]
    pub fn held(&self) -> &SlotSet {
        &self.held
    }

    /// What this node owns and waits for.
    #[must_use]
    pub fn claiming(&self) -> SlotSet {
        self.ours.without(&self.held)
    }

    /// What this node does not answer for, though it may have entries of it.
    #[must_use]
    pub fn residue(&self) -> &SlotSet {
        &self.residue
    }

    /// What this node answers for, or will, and other nodes may have entries of.
    #[must_use]
    pub fn arriving(&self) -> SlotSet {
        let mut arriving = SlotSet::new();
        self.peers.values().for_each(|peer| arriving.add(&peer.arriving));
        arriving
    }

    /// What is arriving and may be known here as it was at an earlier time.
    ///
    /// Not where there was nothing of a slot when it began to arrive, and it comes from one node: that one
    /// writes no more, so that what has come of it is the newest there is.
    #[must_use]
    pub fn doubtful(&self) -> &SlotSet {
        &self.doubtful
    }

    /// Who may have entries of a slot in [`Handoff::arriving`].
    #[must_use]
    pub fn sources(&self, slot: Slot) -> Vec<&NodeId> {
        let peers = self.peers.iter().filter(|(_, peer)| peer.arriving.contains(slot));
        peers.map(|(id, _)| id).collect()
    }

    /// Whether nothing is left here that another node should have: a leaving node may go.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.held.is_empty() && self.residue.is_empty()
    }

    fn view_changed(&mut self, now: Duration, map: &Arc<PartitionMap>) {
        let before = self.map.replace(Arc::clone(map));
        if before.as_ref().is_some_and(|before| before.digest() == map.digest()) {
            return;
        }
        let id = self.own.clone();
        let own = map.member(&id.name).filter(|member| member.id == id);
        let was = before.as_ref().and_then(|before| before.member(&id.name));
        let is_refuted = was.is_some_and(|was| own.is_none_or(|own| !is_same_run(was, own)));
        let is_known = |member: &Member| {
            let was = before.as_ref().and_then(|before| before.member(&member.id.name));
            was.is_some_and(|was| is_same_run(was, member))
        };
        let others = || map.members().iter().filter(|member| member.id != id);
        let was_alone = before.as_ref().is_none_or(|before| before.members().len() <= 1);
        let is_safe = |m: &Member| {
            is_known(m)
                || m.standing == Standing::Joining
                || !was_alone && own.is_some_and(|own| is_clearly_older(own, m))
        };
        let is_doubtful = !others().all(is_safe);

        let claiming = self.claiming();
        self.ours = match own.is_some_and(|own| own.standing == Standing::Alive) {
            true => map.slots_of(&self.own.name),
            false => SlotSet::new(),
        };
        if is_refuted || is_doubtful {
            self.close_all();
        }
        self.forget_strangers(map);
        let gained = match is_refuted {
            true => self.ours.clone(),
            false => self.claiming().without(&claiming),
        };
        let ours = self.ours.clone();
        for member in others() {
            let can_hold = !is_known(member) && member.standing != Standing::Joining;
            self.owe(now, &member.id, if can_hold { &ours } else { &gained });
        }
        self.ask_holders_last(before.as_deref());
        self.peers.values_mut().for_each(|peer| peer.restart(now));
        self.due = now;
    }

    /// Notes for each slot that is claimed who should hold it: its owner by the map before, or who would
    /// own it without us.
    fn ask_holders_last(&mut self, before: Option<&PartitionMap>) {
        let Some(map) = self.map.clone() else { return };
        self.peers.values_mut().for_each(|peer| peer.last = SlotSet::new());
        if self.peers.values().filter(|peer| !peer.owes.is_empty()).count() <= 1 {
            return;
        }
        for slot in self.claiming().iter() {
            let owner = before.and_then(|before| before.owner(slot)).filter(|id| **id != self.own);
            let holder = match owner {
                Some(owner) => Some(owner),
                None => map.copies(slot, 2).into_iter().find(|id| **id != self.own),
            };
            if let Some(peer) = holder.and_then(|holder| self.peers.get_mut(holder)) {
                peer.last.insert(slot);
            }
        }
    }

    /// Drops what is wanted of members that are not there any more, or are another run, and what is
    /// not wanted any more of the others.
    fn forget_strangers(&mut self, map: &PartitionMap) {
        let mut wanted = self.ours.clone();
        wanted.add(&self.held);
        let count = self.peers.len();
        self.peers.retain(|id, peer| {
            peer.owes.keep(&self.ours);
            peer.arriving.keep(&wanted);
            let is_there = map.member(&id.name).is_some_and(|member| member.id == *id);
            is_there && !peer.is_settled()
        });
        if self.peers.len() != count {
            self.actions.push(HandoffAction::SourcesChanged);
        }
    }

    /// Others may have taken us for dead: closes everything and claims it anew.
    fn doubt_all(&mut self, now: Duration) {
        self.close_all();
        let Some(map) = self.map.clone() else { return };
        let (id, ours) = (self.own.clone(), self.ours.clone());
        for member in map.members().iter().filter(|member| member.id != id) {
            self.owe(now, &member.id, &ours);
        }
        self.peers.values_mut().for_each(|peer| peer.restart(now));
        self.due = now;
    }

    fn claimed(&mut self, from: &NodeId, id: u64, digest: u64, slots: &SlotSet) {
        let Some(map) = self.map.clone().filter(|map| map.digest() == digest) else {
            self.actions.push(HandoffAction::Refuse { to: from.clone(), id });
            return;
        };
        // An honest claimer asks for what it owns, or for left-overs of what it holds.
        let owned = |slot: &Slot| map.owner(*slot) == Some(from);
        let released: SlotSet = slots.and(&self.held).iter().filter(owned).collect();
        self.close(&released);
        let residue = self.residue.and(slots);
        self.actions.push(HandoffAction::Answer { to: from.clone(), id, residue });
    }

    fn answered(&mut self, now: Duration, from: &NodeId, id: u64, residue: &SlotSet) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Some((_, asked)) = peer.asked.take_if(|(asked, _)| *asked == id) else { return };
        let before = peer.arriving.clone();
        peer.owes.subtract(&asked);
        peer.arriving.subtract(&asked);
        peer.arriving.add(&residue.and(&asked));
        peer.next = now + SOURCE_POLL;
        self.due = self.due.min(peer.next);
        if peer.arriving != before {
            self.actions.push(HandoffAction::SourcesChanged);
        }
        if peer.is_settled() {
            self.peers.remove(from);
        }
        for peer in self.peers.values_mut().filter(|peer| peer.is_held_back) {
            (peer.is_held_back, peer.next, self.due) = (false, now, now);
        }
    }

    fn refused(&mut self, now: Duration, from: &NodeId, id: u64) {
        if let Some(peer) = self.peers.get_mut(from)
            && peer.asked.take_if(|(asked, _)| *asked == id).is_some()
        {
            peer.next = now + CLAIM_PAUSE;
            self.due = self.due.min(peer.next);
        }
    }

    /// Notes that a member may hold slots of ours.
    fn owe(&mut self, now: Duration, member: &NodeId, slots: &SlotSet) {
        if slots.is_empty() {
            return;
        }
        let new = || Peer { next: now, ..Peer::default() };
        self.peers.entry(member.clone()).or_insert_with(new).owes.add(slots);
    }

    fn close_all(&mut self) {
        let held = self.held.clone();
        self.close(&held);
    }

    /// Stops serving slots. What is there of them becomes residue.
    fn close(&mut self, slots: &SlotSet) {
        if slots.is_empty() {
            return;
        }
        self.held.subtract(slots);
        self.residue.add(slots);
        self.residue_fresh.add(slots);
        let gone = slots.without(&self.ours);
        self.peers.values_mut().for_each(|peer| peer.arriving.subtract(&gone));
        self.actions.push(HandoffAction::Close(slots.clone()));
        self.actions.push(HandoffAction::SourcesChanged);
    }

    /// Opens what is ours and nobody is waited for.
    fn open(&mut self) {
        let mut opened = self.claiming();
        let mut owed = self.peers.values();
        // Mostly the first that has not answered owes all there is to open.
        while !opened.is_empty()
            && let Some(peer) = owed.next()
        {
            opened.subtract(&peer.owes);
        }
        if opened.is_empty() {
            return;
        }
        self.held.add(&opened);
        self.residue.subtract(&opened);
        self.actions.push(HandoffAction::Open(opened));
    }

    /// Doubts what is known of slots that are arriving, if something of them was `here` before.
    fn doubt(&mut self, here: &SlotSet) {
        let (arriving, mixed) = self.once_and_twice(|peer| &peer.arriving);
        self.doubtful.add(here);
        self.doubtful.add(&mixed);
        self.doubtful.keep(&arriving);
    }

    /// The slots that are in what `of` says of somebody, and those that are in what it says of several.
    fn once_and_twice(&self, of: impl Fn(&Peer) -> &SlotSet) -> (SlotSet, SlotSet) {
        let (mut once, mut twice) = (SlotSet::new(), SlotSet::new());
        for slots in self.peers.values().map(of) {
            twice.add(&once.and(slots));
            once.add(slots);
        }
        (once, twice)
    }

    /// Sends the claims that are due.
    fn claim(&mut self, now: Duration) {
        let Some(digest) = self.map.as_ref().filter(|_| self.due <= now).map(|map| map.digest())
        else {
            return;
        };
        self.due = Duration::MAX;
        let (once, twice) = self.once_and_twice(|peer| &peer.owes);
        for (to, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.is_settled()) {
            if now < peer.next {
                self.due = self.due.min(peer.next);
                continue;
            }
            if peer.asked.is_none() {
                // Whoever else owes them is asked first.
                let mut others = twice.clone();
                others.add(&once.without(&peer.owes));
                let early = peer.last.and(&peer.owes).and(&others);
                peer.is_held_back = !early.is_empty();
                let mut slots = peer.owes.without(&early);
                slots.add(&peer.arriving);
                if slots.is_empty() {
                    continue;
                }
                self.claims += 1;
                peer.asked = Some((self.claims, slots));
            }
            peer.sent = now;
            peer.next = now + CLAIM_RETRY;
            self.due = self.due.min(peer.next);
            if let Some((id, slots)) = &peer.asked {
                let (to, id, slots) = (to.clone(), *id, slots.clone());
                self.actions.push(HandoffAction::Claim { to, id, digest, slots });
            }
        }
    }
}

impl Peer {
    fn is_settled(&self) -> bool {
        self.owes.is_empty() && self.arriving.is_empty()
    }

    /// The view is another: an answer to what was asked in the last one does not count, and patience
    /// begins again.
    fn restart(&mut self, now: Duration) {
        self.asked = None;
        self.next = now.max(self.sent + CLAIM_PAUSE);
        self.is_held_back = false;
    }
}

fn is_same_run(left: &Member, right: &Member) -> bool {
    left.id == right.id && left.incarnation == right.incarnation
}

/// Whether `left` was there before `right`, whatever is wrong with their clocks.
fn is_clearly_older(left: &Member, right: &Member) -> bool {
    Duration::from_millis(left.incarnation) + SKEW_MAX < Duration::from_millis(right.incarnation)
}
