//! The one rule of movement: what this node holds of a slot that is another's is sent there until it
//! is acknowledged, and then forgotten.
//!
//! Joining, leaving and healing are all the same to it. It goes over all entries, as often as it
//! takes; what was sent twice or overtaken by a newer write is sorted out by versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::Instant;
use tracing::{debug, info};

use super::Shared;
use super::message::{KeeperMsg, MoverMsg, Passed};
use super::task::Task;
use super::window::Windows;
use crate::clock;
use crate::limits::{
    MOVE_CHUNK_BYTES, MOVE_CHUNK_ENTRIES, MOVE_PAUSE_MAX, MOVE_PAUSE_MIN, MOVE_SCAN_ENTRIES,
    PEERS_MAX,
};
use crate::member::{NodeId, NodeName};
use crate::partition::SlotSet;
use crate::peer::Link;
use crate::peer::message::{PushOutcome, Response};
use crate::record::Record;
use crate::router::{Router, Routes};
use crate::shard::{Shard, Transfer};
use crate::supervision::{ChildSpec, Kind, Orders};
use crate::table::Cursor;

struct MoverActor;

struct MoverState {
    shared: Arc<Shared>,
    /// The pass under way.
    pass: Option<Task>,
    /// Whether the next pass has to wait.
    is_resting: bool,
    /// How long it waits if this one is in vain.
    pause: Duration,
    /// How much may be on its way to each, as the last pass found.
    windows: Windows,
}

/// How the mover is started.
pub(super) fn child(shared: &Arc<Shared>) -> ChildSpec {
    let args = Arc::clone(shared);
    // What the last mover left undone.
    let orders = Orders { first: Some(|| MoverMsg::Work), crash: || MoverMsg::Crash };
    let make = move || (MoverActor, Arc::clone(&args));
    ChildSpec::of_actor("mover", Kind::Mover, &shared.mover, &orders, make)
}

impl Actor for MoverActor {
    type Msg = MoverMsg;
    type State = MoverState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        _me: ActorRef<MoverMsg>,
        shared: Arc<Shared>,
    ) -> Result<MoverState, ActorProcessingErr> {
        let windows = Windows::new();
        Ok(MoverState { shared, pass: None, is_resting: false, pause: MOVE_PAUSE_MIN, windows })
    }

    async fn handle(
        &self,
        me: ActorRef<MoverMsg>,
        message: MoverMsg,
        state: &mut MoverState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MoverMsg::Work => state.work(me),
            MoverMsg::Passed(passed) => state.passed(&me, passed),
            MoverMsg::Rested => {
                state.is_resting = false;
                state.work(me);
            }
            MoverMsg::Crash => crash(),
        }
        Ok(())
    }
}

fn crash() {
    panic!("crashed on demand");
}

impl MoverState {
    fn work(&mut self, me: ActorRef<MoverMsg>) {
        if self.is_resting || self.pass.as_ref().is_some_and(|pass| !pass.is_finished()) {
            return;
        }
        let slots = {
            // Counted under the lock, so that the keeper knows which pass it hears of.
            let mut handoff = self.shared.handoff();
            self.shared.holdings.passes.fetch_add(1, Ordering::AcqRel);
            handoff.begin_pass()
        };
        if slots.is_empty() {
            return self.shared.holdings.moving.store(0, Ordering::Relaxed);
        }
        let pass = Pass::new(&self.shared, slots, std::mem::take(&mut self.windows));
        self.pass = Some(Task::spawn(async move {
            let passed = pass.run().await;
            // An actor that has ended needs not be told: the next one begins anew.
            drop(me.cast(MoverMsg::Passed(passed)));
        }));
    }

    fn passed(&mut self, me: &ActorRef<MoverMsg>, passed: Passed) {
        let Passed { cleared, moved, left, windows } = passed;
        self.pass = None;
        self.windows = windows;
        // One that lost count begins anew, and so do all where peers come and go.
        self.windows.retain(|_, window| window.is_idle());
        if PEERS_MAX < self.windows.len() {
            self.windows.clear();
        }
        self.shared.holdings.moving.store(left, Ordering::Relaxed);
        self.shared.figures.left.store(left, Ordering::Relaxed);
        if !cleared.is_empty() {
            let pass = self.shared.holdings.passes.load(Ordering::Acquire);
            self.shared.keeper.tell(KeeperMsg::Cleared(pass, cleared));
        }
        // Who takes nothing now is asked again in a while, and after longer and longer whiles. The timer
        // ends with the actor; nobody has to wait for it.
        self.is_resting = true;
        // A pass that was cut short says nothing of those who were not asked yet.
        let is_vain = moved == 0 && !self.shared.handoff().has_fresh_residue();
        let pause = if is_vain { self.pause } else { MOVE_PAUSE_MIN };
        self.pause = MOVE_PAUSE_MAX.min(2 * pause);
        drop(me.send_after(pause, || MoverMsg::Rested));
    }
}

/// One pass over all entries.
struct Pass {
    shared: Arc<Shared>,
    /// What is to be moved.
    slots: SlotSet,
    /// The part of it of which something is left.
    left: SlotSet,
    /// What gathers for each owner.
    chunks: HashMap<NodeId, Chunk>,
    /// How much may be on its way to each.
    windows: Windows,
    under_way: JoinSet<Sent>,
    moved: u64,
    /// Those by who took them.
    taken: BTreeMap<NodeName, usize>,
    /// Entries that nobody took.
    kept: u64,
    /// Whether it goes over all entries no more, as the next has more to look for.
    is_cut_short: bool,
}

/// Entries for one owner.
struct Chunk {
    link: Link,
    entries: Vec<Record>,
    bytes: usize,
}

/// What became of a chunk.
struct Sent {
    to: NodeId,
    entries: Vec<Record>,
    /// How often the slot of each had been opened here when it was sent.
    openings: Vec<u32>,
    outcomes: Vec<PushOutcome>,
    /// How long it took.
    trip: Duration,
}

impl Pass {
    fn new(shared: &Arc<Shared>, slots: SlotSet, windows: Windows) -> Self {
        Self {
            shared: Arc::clone(shared),
            slots,
            left: SlotSet::new(),
            chunks: HashMap::new(),
            windows,
            under_way: JoinSet::new(),
            moved: 0,
            taken: BTreeMap::new(),
            kept: 0,
            is_cut_short: false,
        }
    }

    /// Sends all there is.
    async fn run(mut self) -> Passed {
        let shared = Arc::clone(&self.shared);
        let routes = shared.router.routes();
        let shards = shared.router.shards();
        let count = self.slots.iter().map(|slot| shared.router.shard_of(slot).records(slot)).sum();
        shared.holdings.moving.store(count, Ordering::Relaxed);
        if let Err(reason) = shared.router.barrier().await {
            // A write from before the slots were closed may come behind where the pass has looked.
            debug!(%reason, "a shard has not let go of its slots yet");
            self.left = self.slots.clone();
        }
        for shard in shards {
            self.go_over(shard, &routes).await;
        }
        for (_, chunk) in std::mem::take(&mut self.chunks) {
            self.send(chunk).await;
        }
        while self.settle_one().await {}
        let cleared = match self.is_cut_short {
            true => SlotSet::new(),
            false => self.slots.without(&self.left),
        };
        let (slots, left) = (cleared.len(), self.kept);
        if 0 < self.moved {
            let to = self.taken.iter().map(|(name, count)| format!("{name}: {count}"));
            let to = Vec::from_iter(to).join(", ");
            info!(entries = self.moved, to, slots, left, "moved entries");
        }
        Passed { cleared, moved: self.moved, left, windows: self.windows }
    }

    async fn go_over(&mut self, shard: &Shard, routes: &Routes) {
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor
            && !self.is_cut_short
        {
            let wanted = |slot| self.slots.contains(slot);
            let step = shard.scan(at, MOVE_SCAN_ENTRIES, clock::now(), wanted);
            for record in step.found {
                self.add(record, routes).await;
            }
            cursor = step.next;
            self.settle_what_is_there().await;
            // What has come in addition may be for a peer that is idle now.
            self.is_cut_short = self.shared.handoff().has_fresh_residue();
            yield_now().await;
        }
    }

    async fn add(&mut self, record: Record, routes: &Routes) {
        let slot = record.slot();
        let Some(link) = routes.link(slot).cloned() else {
            self.kept += 1;
            return self.left.insert(slot);
        };
        let owner = link.peer().clone();
        let new = || Chunk { link, entries: vec![], bytes: 0 };
        let chunk = self.chunks.entry(owner.clone()).or_insert_with(new);
        chunk.bytes += record.as_bytes().len();
        chunk.entries.push(record);
        let is_full = MOVE_CHUNK_ENTRIES <= chunk.entries.len() || MOVE_CHUNK_BYTES <= chunk.bytes;
        if is_full && let Some(chunk) = self.chunks.remove(&owner) {
            self.send(chunk).await;
        }
    }

    async fn send(&mut self, Chunk { link, entries, .. }: Chunk) {
        let to = link.peer().clone();
        let mut has_more = true;
        while has_more && !self.windows.entry(to.clone()).or_default().has_room() {
            has_more = self.settle_one().await;
        }
        self.windows.entry(to.clone()).or_default().sent();
        let gate = &self.shared.gate;
        let openings = entries.iter().map(|record| gate.openings(record.slot())).collect();
        self.under_way.spawn(async move {
            let began = Instant::now();
            let outcomes = match link.push(entries.clone()).await {
                Ok(Response::Pushed(outcomes)) => outcomes,
                Ok(_) => vec![],
                Err(reason) => {
                    debug!(peer = %link.peer(), %reason, "entries were not taken");
                    vec![]
                }
            };
            Sent { to, entries, openings, outcomes, trip: began.elapsed() }
        });
    }

    /// Waits for a chunk and forgets what was taken of it; whether there was one.
    async fn settle_one(&mut self) -> bool {
        let Some(sent) = self.under_way.join_next().await else { return false };
        self.settle(sent).await;
        true
    }

    /// Forgets what was taken by now.
    async fn settle_what_is_there(&mut self) {
        while let Some(sent) = self.under_way.try_join_next() {
            self.settle(sent).await;
        }
    }

    async fn settle(&mut self, sent: Result<Sent, JoinError>) {
        // A task that panicked has not said what became of its entries: the next pass finds them.
        let Ok(Sent { to, entries, openings, outcomes, trip }) = sent else {
            self.left = self.slots.clone();
            return;
        };
        let name = to.name.clone();
        let window = self.windows.entry(to.clone()).or_default();
        match outcomes.is_empty() {
            true => window.failed(),
            false => window.answered(trip),
        }
        let mut taken = Vec::with_capacity(entries.len());
        let mut outcomes = outcomes.into_iter();
        for (record, openings) in entries.into_iter().zip(openings) {
            let slot = record.slot();
            match outcomes.next() {
                Some(PushOutcome::Taken | PushOutcome::Older) => {
                    let (key, version) = (record.key(), record.version());
                    taken.push(Transfer::Forget { key, version, openings: Some(openings) });
                }
                Some(PushOutcome::Refused(_)) | None => {
                    self.kept += 1;
                    self.left.insert(slot);
                }
            }
        }
        let slots: Vec<_> = taken.iter().map(Transfer::slot).collect();
        self.moved += taken.len() as u64;
        if !taken.is_empty() {
            *self.taken.entry(name).or_default() += taken.len();
        }
        self.shared.moved(&to, taken.len());
        let forgotten = self.shared.router.transfer(taken).await;
        for (slot, outcome) in slots.into_iter().zip(forgotten) {
            if outcome.is_err() {
                self.left.insert(slot);
            }
        }
    }
}

impl Shared {
    /// Notes that a node has taken so many entries.
    fn moved(&self, to: &NodeId, count: usize) {
        if self.membership.is_leaving.load(Ordering::Relaxed) {
            *self.handed_over().entry(to.name.clone()).or_default() += count as u64;
        }
        let less = |moving: u64| Some(moving.saturating_sub(count as u64));
        // The closure never refuses.
        let _ = self.holdings.moving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.holdings.progress.notify_one();
    }
}

/// Takes over what a peer knows of keys that this node has now.
pub(super) async fn receive(router: &Router, entries: Vec<Record>) -> Response {
    let outcomes = router.transfer(entries.into_iter().map(Transfer::TakeOver).collect()).await;
    let outcomes = outcomes.into_iter().map(|outcome| match outcome {
        Ok(true) => PushOutcome::Taken,
        Ok(false) => PushOutcome::Older,
        Err(error) => PushOutcome::Refused(error),
    });
    Response::Pushed(outcomes.collect())
}
