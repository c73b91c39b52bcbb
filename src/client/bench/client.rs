//! One client of a load run: a task with a connection, which sends a batch, reads the answers, and
//! starts again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::answer::Malformed;
use super::connection::{Answers, Connection, Received, Unread};
use super::plan::Load;
use super::random::Random;
use super::request::{Forms, Kind};
use super::stage::{Stage, Work};
use super::tally::{Failure, Tally};
use super::zipf::Zipf;
use crate::client::target::Target;
use crate::limits::{BENCH_RECONNECT_PAUSE, BENCH_RECONNECTS_MAX};

/// What all clients of a run have in common and never changes.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) target: Target,
    pub(super) forms: Forms,
    pub(super) load: Load,
    pub(super) keys: u64,
    pub(super) zipf: Option<Zipf>,
    /// Permits for connections that are being opened.
    pub(super) connects: Semaphore,
}

/// One client. It keeps its connection from one stage to the next.
pub(super) struct Client {
    common: Arc<Common>,
    random: Random,
    connection: Option<Connection>,
    batch: Vec<u8>,
    due: VecDeque<Kind>,
    refusals: u32,
}

impl Client {
    /// A client that is not connected; `random` decides what it asks for.
    pub(super) fn new(common: Arc<Common>, random: Random) -> Self {
        Self {
            common,
            random,
            connection: None,
            batch: Vec::new(),
            due: VecDeque::new(),
            refusals: 0,
        }
    }

    /// Does its part of `stage` and counts it in `tally`.
    pub(super) async fn work(mut self, stage: Arc<Stage>, tally: Arc<Mutex<Tally>>) -> Self {
        match stage.work {
            Work::Connect => {
                if let Err(failure) = self.connect(&tally).await {
                    lock(&tally).count_lost(1, failure);
                }
            }
            Work::Fill | Work::Measure => self.send_all(&stage, &tally).await,
        }
        self
    }

    async fn send_all(&mut self, stage: &Stage, tally: &Mutex<Tally>) {
        let mut start = Instant::now();
        loop {
            let claimed = stage.claim(start);
            let requests = claimed.end - claimed.start;
            if requests == 0 {
                return;
            }
            if self.connection.is_none() {
                if let Err(failure) = self.connect(tally).await {
                    lock(tally).count_lost(requests, failure);
                    if !self.pause_before_another_try().await {
                        return;
                    }
                    start = Instant::now();
                    continue;
                }
                start = Instant::now();
            }
            self.prepare(stage.work, claimed);
            start = self.send_batch(start, tally).await;
        }
    }

    /// Opens the connection.
    async fn connect(&mut self, tally: &Mutex<Tally>) -> Result<(), Failure> {
        // The semaphore is never closed; without a permit, only the pace would be lost.
        let permit = self.common.connects.acquire().await;
        let opened = Connection::open(&self.common.target).await;
        drop(permit);
        let mut tally = lock(tally);
        tally.last_event = Some(Instant::now());
        self.connection = Some(opened?);
        self.refusals = 0;
        tally.connections += 1;
        Ok(())
    }

    /// Waits, longer each time; false if it has been tried often enough.
    async fn pause_before_another_try(&mut self) -> bool {
        if BENCH_RECONNECTS_MAX <= self.refusals {
            return false;
        }
        tokio::time::sleep(BENCH_RECONNECT_PAUSE * (1 << self.refusals)).await;
        self.refusals += 1;
        true
    }

    /// Writes the next requests into the batch.
    fn prepare(&mut self, work: Work, claimed: std::ops::Range<u64>) {
        self.batch.clear();
        self.due.clear();
        for number in claimed {
            let (kind, key) = match work {
                Work::Measure => self.draw(),
                Work::Connect | Work::Fill => (Kind::Write, number),
            };
            self.common.forms.append(kind, key, &mut self.batch);
            self.due.push_back(kind);
        }
    }

    fn draw(&mut self) -> (Kind, u64) {
        let Load::Entries { read_share } = self.common.load else {
            return (Kind::Health, 0);
        };
        let key = match &self.common.zipf {
            Some(zipf) => zipf.draw(&mut self.random),
            None => self.random.below(self.common.keys),
        };
        match self.random.unit() < read_share {
            true => (Kind::Read, key),
            false => (Kind::Write, key),
        }
    }

    /// Sends the batch, made at `start`, and returns when its last answer came.
    async fn send_batch(&mut self, start: Instant, tally: &Mutex<Tally>) -> Instant {
        let Some(connection) = &mut self.connection else {
            return start;
        };
        let mut batch = Batch { due: &mut self.due, start, now: start, tally };
        let ended = connection.exchange(&self.batch, start, &mut batch).await;
        let answered = batch.now;
        let mut tally = lock(tally);
        tally.sent_bytes += self.batch.len() as u64;
        let failure = match ended {
            Ok(Received::All) => return answered,
            Ok(Received::Some | Received::Closing) => Failure::Closed,
            Err(failure) => failure,
        };
        self.connection = None;
        let now = Instant::now();
        tally.last_event = Some(now);
        // Nothing is lost if the node announced the end with the last answer. Surplus answers cost
        // no request either, but they show that something is wrong.
        if !self.due.is_empty() || matches!(failure, Failure::Malformed(_)) {
            tally.count_lost(self.due.len() as u64, failure);
        }
        now
    }
}

/// The requests under way on one connection.
struct Batch<'a> {
    due: &'a mut VecDeque<Kind>,
    start: Instant,
    now: Instant,
    tally: &'a Mutex<Tally>,
}

impl Answers for Batch<'_> {
    fn receive(&mut self, bytes: usize, unread: &mut Unread<'_>) -> Result<Received, Malformed> {
        self.now = Instant::now();
        let latency = self.now - self.start;
        let mut tally = lock(self.tally);
        tally.received_bytes += bytes as u64;
        tally.last_event = Some(self.now);
        while let Some(kind) = self.due.front().copied() {
            let Some((answer, excerpt)) = unread.next()? else {
                return Ok(Received::Some);
            };
            tally.count_answer(kind, answer, excerpt, latency);
            self.due.pop_front();
            if answer.closes {
                return Ok(Received::Closing);
            }
        }
        Ok(Received::All)
    }
}

/// The counts, also if a thread panicked while it held them: they are never half written.
pub(super) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
