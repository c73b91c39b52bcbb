//! `bench`: load on a node, and what it bears.
//!
//! The load shares a machine with the node as often as not, so it has to be cheap itself: requests
//! are written out beforehand, answers are parsed no further than needed, and threads share nothing
//! but a counter. A request is answered or counted as lost, and nothing is tried twice in secret.

mod answer;
mod client;
mod connection;
mod plan;
mod random;
mod report;
mod request;
mod stage;
mod tally;
mod worker;
mod zipf;

use std::io::IsTerminal;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;

pub use plan::{BenchArgs, Distribution};

use client::{Client, Common, lock};
use plan::{Goal, Plan};
use random::Random;
use report::Report;
use request::Forms;
use stage::{REQUESTS_ENDLESS, Stage, Work};
use tally::{Failure, Tally};
use worker::Worker;
use zipf::Zipf;

use super::output::{Format, print};
use super::settings::Settings;
use super::{ClientError, Exit};
use crate::limits::{
    BENCH_CONNECTS_MAX, BENCH_FILL_BATCH_BYTES, BENCH_FILL_BATCH_MAX, BENCH_INTERRUPT_GRACE,
};

/// Time between two drawings of the progress bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Puts the load of `args` on a node and prints what was measured, also after an interrupt.
///
/// # Errors
///
/// [`ClientError::Load`] if any request failed, after the report; others if nothing was measured.
pub(super) async fn run(args: &BenchArgs) -> Result<Exit, ClientError> {
    let plan = Plan::new(args)?;
    let mut bench = Bench::start(&plan, args.client.settings()?, args.client.format())?;
    let mut is_interrupted = bench.connect().await?;
    if plan.is_filled && !is_interrupted {
        is_interrupted = bench.fill().await?;
    }
    let requests = match plan.goal {
        _ if is_interrupted => 0,
        Goal::Requests(requests) => requests,
        Goal::Duration(_) => REQUESTS_ENDLESS,
    };
    let start = Instant::now();
    let deadline = match plan.goal {
        Goal::Requests(_) => None,
        Goal::Duration(duration) => Some(start + duration),
    };
    let stage = Stage::new(Work::Measure, requests, plan.pipeline, deadline);
    let outcome = bench.perform(stage).await;
    let tally = &outcome.tally;
    let end = tally.last_event.unwrap_or(start);
    let elapsed = end.saturating_duration_since(start);
    let is_goal_reached = match plan.goal {
        Goal::Requests(requests) => requests <= outcome.requests,
        // Each client stops at its first answer past the end.
        Goal::Duration(duration) => duration <= elapsed,
    };
    let report = Report {
        url: bench.url(),
        plan: &plan,
        elapsed,
        requests: outcome.requests,
        tally,
        is_cut_short: outcome.is_interrupted || !is_goal_reached,
    };
    match bench.format {
        Format::Json => print(&report.json().to_string())?,
        Format::Text => print(&report.text())?,
    }
    match &tally.first_failure {
        Some(failure) => Err(bench.failed(&outcome, "requests", failure)),
        None => Ok(Exit::Done),
    }
}

/// Threads with their clients, ready for one stage after the other.
struct Bench<'a> {
    plan: &'a Plan,
    common: Arc<Common>,
    workers: Vec<Worker>,
    // Heard from the start, so that an interrupt between two stages is not missed.
    interrupt: Signal,
    format: Format,
}

/// What came of a stage.
struct Outcome {
    tally: Tally,
    requests: u64,
    is_interrupted: bool,
}

impl<'a> Bench<'a> {
    fn start(plan: &'a Plan, settings: Settings, format: Format) -> Result<Self, ClientError> {
        let common = Arc::new(Common {
            forms: Forms::new(&settings, plan.value_bytes),
            target: settings.target,
            load: plan.load,
            keys: plan.keys,
            zipf: plan.zipf_exponent.map(|exponent| Zipf::new(plan.keys, exponent)),
            connects: Semaphore::new(BENCH_CONNECTS_MAX),
        });
        let mut shares: Vec<Vec<Client>> = (0..plan.threads).map(|_| Vec::new()).collect();
        for number in 0..plan.clients {
            let random = Random::new(plan.seed, number as u64);
            shares[number % plan.threads].push(Client::new(common.clone(), random));
        }
        let workers: Result<Vec<Worker>, _> = shares.into_iter().map(Worker::start).collect();
        let workers = workers.map_err(ClientError::Start)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(ClientError::Start)?;
        Ok(Self { plan, common, workers, interrupt, format })
    }

    /// Opens all connections; true if that was interrupted.
    async fn connect(&mut self) -> Result<bool, ClientError> {
        let outcome = self.perform(Stage::new(Work::Connect, 0, 1, None)).await;
        match outcome.tally.first_failure {
            None => Ok(outcome.is_interrupted),
            Some(Failure::Descriptors) => {
                Err(ClientError::Descriptors { clients: self.plan.clients })
            }
            Some(failure) => {
                Err(ClientError::Unreachable { url: self.url(), reason: failure.to_string() })
            }
        }
    }

    /// Writes all keys once; true if that was interrupted.
    async fn fill(&mut self) -> Result<bool, ClientError> {
        let depth = BENCH_FILL_BATCH_BYTES / self.common.forms.write_bytes();
        let depth = depth.clamp(1, BENCH_FILL_BATCH_MAX);
        let outcome = self.perform(Stage::new(Work::Fill, self.plan.keys, depth, None)).await;
        match &outcome.tally.first_failure {
            Some(failure) => Err(self.failed(&outcome, "writes before the run", failure)),
            None => Ok(outcome.is_interrupted),
        }
    }

    /// Has all threads do `stage`, shows how far they are, and ends it early if interrupted.
    async fn perform(&mut self, stage: Stage) -> Outcome {
        let stage = Arc::new(stage);
        let tallies: Vec<Arc<Mutex<Tally>>> =
            self.workers.iter().map(|_| Arc::new(Mutex::new(Tally::new()))).collect();
        let progress = Progress::new(self, stage.work);
        let workers = &self.workers;
        let mut all_done = pin!(async {
            let mut heard = Vec::new();
            for (worker, tally) in workers.iter().zip(&tallies) {
                heard.push(worker.assign(&stage, tally).await);
            }
            for done in heard {
                // An error means that the thread is gone, and then it is done as well.
                let _ = done.await;
            }
        });
        let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
        let mut is_interrupted = false;
        loop {
            tokio::select! {
                () = &mut all_done => break,
                _ = tick.tick() => progress.show(&tallies),
                _ = self.interrupt.recv(), if !is_interrupted => {
                    is_interrupted = true;
                    stage.stop();
                    abort_later(stage.clone());
                }
            }
        }
        progress.clear();
        let mut tally = Tally::new();
        for part in &tallies {
            tally.absorb(std::mem::replace(&mut *lock(part), Tally::new()));
        }
        Outcome { tally, requests: stage.claimed(), is_interrupted }
    }

    fn failed(&self, outcome: &Outcome, what: &'static str, first: &Failure) -> ClientError {
        ClientError::Load {
            url: self.url(),
            failed: outcome.tally.failed,
            requests: outcome.requests,
            what,
            first: first.to_string(),
        }
    }

    fn url(&self) -> String {
        self.common.target.to_string()
    }
}

/// Ends `stage` once requests under way have had their grace.
fn abort_later(stage: Arc<Stage>) {
    tokio::spawn(async move {
        tokio::time::sleep(BENCH_INTERRUPT_GRACE).await;
        stage.abort();
    });
}

/// A bar on standard error, if that is a terminal and nobody but people read along.
struct Progress {
    bar: ProgressBar,
    goal: Option<Duration>,
    start: Instant,
}

impl Progress {
    fn new(bench: &Bench<'_>, work: Work) -> Self {
        let start = Instant::now();
        let is_shown = bench.format == Format::Text && std::io::stderr().is_terminal();
        let (title, steps, goal) = match (work, bench.plan.goal) {
            (Work::Connect, _) => ("connecting", 0, None),
            (Work::Fill, _) => ("writing keys", bench.plan.keys, None),
            (Work::Measure, Goal::Requests(requests)) => ("measuring", requests, None),
            (Work::Measure, Goal::Duration(duration)) => ("measuring", 1_000, Some(duration)),
        };
        if !is_shown || work == Work::Connect {
            return Self { bar: ProgressBar::hidden(), goal, start };
        }
        let bar = ProgressBar::new(steps).with_message(title);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {prefix}") {
            bar.set_style(style);
        }
        Self { bar, goal, start }
    }

    fn show(&self, tallies: &[Arc<Mutex<Tally>>]) {
        if self.bar.is_hidden() {
            return;
        }
        let (mut finished, mut failed) = (0, 0);
        for tally in tallies {
            let tally = lock(tally);
            finished += tally.finished();
            failed += tally.failed;
        }
        let elapsed = self.start.elapsed();
        self.bar.set_position(match self.goal {
            None => finished,
            // A share of a thousand steps.
            Some(goal) => (elapsed.as_secs_f64() / goal.as_secs_f64() * 1e3) as u64,
        });
        let rate = finished as f64 / elapsed.as_secs_f64().max(1e-3);
        self.bar.set_prefix(format!("{rate:.0}/s, {failed} failed"));
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
