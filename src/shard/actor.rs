//! The serialized writer of one table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::yield_now;
use tracing::info;

use super::Counts;
use super::gate::Gate;
use super::message::{ShardMsg, Turn, Waiting, Work};
use crate::clock;
use crate::entry::{Millis, Namespace, SLOTS, Slot, Version};
use crate::ids::Ids;
use crate::limits::{FULL_LOG_PAUSE, SHARD_TICK, SHARD_TICK_MORE, TOMBSTONE_TTL};
use crate::policy::{Governed, Policies, Policy};
use crate::quiet::Quiet;
use crate::supervision::Inbox;
use crate::table::{Quota, Table, TableStats, TableWriter};

pub(super) struct ShardActor;

/// What a shard holds and its actor only borrows: it outlives every actor.
pub(super) struct Holding {
    pub(super) id: usize,
    pub(super) table: Arc<Table>,
    pub(super) inbox: Inbox<Waiting>,
    pub(super) gate: Arc<Gate>,
    pub(super) counts: Counts,
    pub(super) ids: Arc<Ids>,
    pub(super) policies: Arc<Policies>,
    /// The greatest version seen elsewhere: those given from now on are greater.
    pub(super) seen: AtomicU64,
}

pub(super) struct ShardState {
    holding: Arc<Holding>,
    writer: TableWriter,
    /// What was taken from the inbox; empty between two messages, and kept for its room.
    taken: VecDeque<Waiting>,
    /// Whether a tick is on its way.
    is_ticking: bool,
    /// Entries that were evicted by the last look.
    evicted: u64,
    /// The policies that the writer goes by; `None` until it was told any.
    governed: Arc<Governed>,
    /// What it was told of quotas.
    quotas: Vec<Quota>,
    /// Changes of the gate by then.
    gate_changes: u64,
}

impl Actor for ShardActor {
    type Msg = ShardMsg;
    type State = ShardState;
    type Arguments = Arc<Holding>;

    async fn pre_start(
        &self,
        _me: ActorRef<ShardMsg>,
        holding: Arc<Holding>,
    ) -> Result<ShardState, ActorProcessingErr> {
        let writer = holding.table.writer().ok_or("the table still has its last writer")?;
        let evicted = holding.table.reader().stats().evictions;
        Ok(ShardState {
            holding,
            writer,
            taken: VecDeque::new(),
            is_ticking: false,
            evicted,
            governed: Arc::default(),
            quotas: vec![],
            gate_changes: 0,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<ShardMsg>,
        message: ShardMsg,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMsg::Work => {
                // Behind whoever is ready to ask: what they ask for is done together.
                yield_now().await;
                state.work(clock::now());
                state.schedule_tick(&me);
            }
            ShardMsg::Tick => state.tick(&me, clock::now()),
            ShardMsg::Crash => crash(),
        }
        Ok(())
    }
}

impl ShardState {
    /// Does all that waits in the inbox.
    fn work(&mut self, now: Millis) {
        self.keep_ended();
        self.govern();
        let Self { holding, writer, taken, governed, .. } = self;
        holding.inbox.take(taken);
        writer.set_lead(clock::lead_ms());
        // After the inbox: a slot that was opened before what is in there brought a version along.
        let seen = Version(holding.seen.load(Ordering::Acquire));
        if writer.version() < seen {
            writer.observe(seen);
        }
        let Holding { gate, counts, ids, .. } = &**holding;
        let mut turn = Turn { writer, gate, counts, ids, policies: governed, now };
        for Waiting { work, done, place } in taken.drain(..) {
            match &work {
                Work::Commands(batch) => batch.apply(&mut turn),
                Work::Transfers(batch) => batch.apply(&mut turn),
            }
            drop(place);
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }

    /// Has the table do a bounded piece of its own work, and asks to go on if there is more.
    fn tick(&mut self, me: &ActorRef<ShardMsg>, now: Millis) {
        self.is_ticking = false;
        self.keep_ended();
        self.say_if_full();
        self.share_quotas();
        let tick = self.writer.tick(now);
        if !tick.is_done {
            self.schedule_tick_after(SHARD_TICK_MORE, me);
        } else if self.writer.has_deadlines() {
            self.schedule_tick(me);
        }
    }

    /// Has the writer go by the policies that hold now.
    fn govern(&mut self) {
        let now = self.holding.policies.now();
        let is_same = Arc::ptr_eq(&self.governed, &now);
        if !is_same {
            // Only then: all shards count who has it in one place.
            self.governed = Arc::clone(&now);
        }
        drop(now);
        // What comes with a slot that was opened is written with what that adds to quotas.
        if !is_same || self.gate_changes != self.holding.gate.changes() {
            self.share_quotas();
        }
    }

    /// Tells the writer what this shard has of each quota: as much as it has of all slots.
    fn share_quotas(&mut self) {
        let gate_changes = self.holding.gate.changes();
        let has_quotas = self.governed.all().any(|(_, policy)| policy.memory.is_some());
        let slots = if has_quotas { self.slots() } else { 0 };
        let quota = |(namespace, policy): (&Namespace, &Policy)| {
            let (namespace, bytes_in_all) = (namespace.clone(), policy.memory?);
            // A quota is of 40 bits, and a number of slots of 15.
            let bytes_max = (bytes_in_all * slots).div_ceil(SLOTS.into());
            Some(Quota { namespace, bytes_max, bytes_in_all })
        };
        let quotas: Vec<_> = self.governed.all().filter_map(quota).collect();
        self.gate_changes = gate_changes;
        if self.quotas != quotas {
            self.writer.set_quotas(&quotas);
            self.quotas = quotas;
        }
    }

    /// Slots of which this shard has something to keep: those that are open here, and those that have
    /// entries still, which others have to take first.
    fn slots(&self) -> u64 {
        let reader = self.holding.table.reader();
        let tables = usize::from(reader.tables());
        let own = (0..SLOTS).map(Slot).skip(self.holding.id).step_by(tables);
        let is_kept =
            |slot: &Slot| self.holding.gate.is_open(*slot) || 0 < reader.count(*slot).keys;
        own.filter(is_kept).count() as u64
    }

    /// Says once in a while that there is no room for all entries.
    fn say_if_full(&mut self) {
        // All shards of a node fill at the same time.
        static SAID: Quiet<()> = Quiet::new(FULL_LOG_PAUSE, 1);
        let TableStats { evictions, entries, limit_bytes, .. } =
            self.holding.table.reader().stats();
        let evicted = evictions - std::mem::replace(&mut self.evicted, evictions);
        if 0 < evicted && SAID.may_say((), clock::steady()).is_some() {
            info!(
                entries,
                limit_bytes, "the memory of a shard is full: from now on entries are evicted"
            );
        }
    }

    /// Where there are other nodes, what has ended is remembered as what was deleted is.
    fn keep_ended(&self) {
        let has_peers = self.holding.gate.has_peers();
        self.writer.keep_ended(if has_peers { TOMBSTONE_TTL } else { Duration::ZERO });
    }

    fn schedule_tick(&mut self, me: &ActorRef<ShardMsg>) {
        if !self.is_ticking {
            self.schedule_tick_after(SHARD_TICK, me);
        }
    }

    fn schedule_tick_after(&mut self, pause: Duration, me: &ActorRef<ShardMsg>) {
        self.is_ticking = true;
        // The timer ends with the actor; nobody has to wait for it.
        drop(me.send_after(pause, || ShardMsg::Tick));
    }
}

fn crash() {
    panic!("crashed on demand");
}
