//! One round: clients at work, two faults, the healing, and the judgement.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::clients::{Scene, Worker};
use super::ground::Ground;
use super::history::{History, Op};
use super::judge::{Verdict, judge_ids, judge_key, judge_last};
use super::plan::{Fault, actions};
use super::report::{Report, Tally, effects_of, excerpt};
use super::stage::{Progress, Stage, heal, lock};
use super::watch::{agree, agree_on_keys, note_calm};
use crate::http::Client;

const CLIENTS: usize = 10;
const KEYS: usize = 100;
/// From the healing of all to the agreement of all.
const AGREED_WITHIN: Duration = Duration::from_secs(5);
/// How long is waited for it, to tell what is slow from what never comes.
const AGREED_EVER: Duration = Duration::from_secs(25);
/// How long clients go on when all agree.
const AFTERWARDS: Duration = Duration::from_millis(500);
const GLANCE: Duration = Duration::from_millis(2);

/// What a run knows beyond its rounds.
pub struct Run {
    pub seed: u64,
    pub nodes: usize,
    /// The next number that no value has.
    pub next: u64,
    /// Every id that was given, and to what.
    pub ids: HashMap<u64, Op>,
}

/// What was done in a round, before it is judged.
struct Done {
    history: History,
    last: History,
    agreed: Result<Duration, String>,
}

impl Run {
    /// One round on these nodes, which are a cluster.
    pub fn round(&mut self, stage: &Mutex<Stage>, round: u64, faults: [Fault; 2]) -> Report {
        let began = lock(stage).begin_round();
        let scene = Scene {
            keys: (0..KEYS).map(|key| format!("r{round}-{key}")).collect(),
            addrs: lock(stage).addrs(),
            began,
            is_over: AtomicBool::new(false),
            next: AtomicU64::new(self.next),
        };
        let done = self.play(stage, &scene, round, &faults);
        self.next = scene.next.load(Ordering::Relaxed);
        self.judge(stage, &scene, round, faults, done)
    }

    /// Clients and faults, until all is healed, and what is read then.
    fn play(&self, stage: &Mutex<Stage>, scene: &Scene, round: u64, faults: &[Fault]) -> Done {
        let seed = self.seed.wrapping_add(round);
        std::thread::scope(|scope| {
            let client = |id| scope.spawn(move || Worker::new(scene, id, CLIENTS, seed).work());
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            let is_over = AtomicBool::new(false);
            let agreed = std::thread::scope(|scope| {
                scope.spawn(|| note_calm(stage, &is_over));
                disturb(stage, scene.began, faults);
                heal(stage);
                let agreed = agree(stage, AGREED_EVER);
                sleep(AFTERWARDS);
                is_over.store(true, Ordering::Relaxed);
                agreed
            });
            scene.is_over.store(true, Ordering::Relaxed);
            let recorded = clients.into_iter().flat_map(|client| client.join().unwrap());
            let history = History::of(KEYS, recorded);
            let last = Worker::new(scene, 0, CLIENTS, seed).read_all(0..self.nodes);
            Done { history, last: History::of(KEYS, last), agreed }
        })
    }

    fn judge(
        &mut self,
        stage: &Mutex<Stage>,
        scene: &Scene,
        round: u64,
        faults: [Fault; 2],
        done: Done,
    ) -> Report {
        let mut findings = lock(stage).take_findings();
        match &done.agreed {
            Ok(took) if *took <= AGREED_WITHIN => {}
            Ok(took) => {
                findings.push(format!("the nodes agreed only {took:?} after all was healed"));
            }
            Err(seen) => findings.push(format!("the nodes do not agree: {seen}")),
        }
        if let Err(counted) = agree_on_keys(stage, AGREED_WITHIN) {
            findings.push(format!("keys are counted differently: {counted}"));
        }
        findings.extend(held_twice(scene, self.nodes));
        let ground = {
            let stage = lock(stage);
            Ground::new(stage.effects(), stage.calm().to_vec(), scene.addrs.len())
        };
        let mut report = Report {
            seed: self.seed,
            round,
            faults,
            effects: effects_of(&ground, lock(stage).effects()),
            tally: Tally::of(&done.history),
            excused: Default::default(),
            findings,
            violations: vec![],
            agreed_ms: done.agreed.ok().map(|took| took.as_millis()),
        };
        for (at, mut ops) in done.history.keys.into_iter().enumerate() {
            let last = &done.last.keys[at];
            ops.extend(last.iter().cloned());
            let Verdict { mut violations, excused } = judge_key(&ops, &ground);
            violations.extend(judge_last(last));
            let shown = |violation| (excerpt(&scene.keys[at], &violation, &ops), violation);
            let shown = violations.into_iter().map(shown);
            report.violations.extend(shown.map(|(history, violation)| (violation, history)));
            for (excuse, count) in excused {
                *report.excused.entry(excuse).or_default() += count;
            }
        }
        let twice = judge_ids(&done.history.ids, &mut self.ids);
        report.violations.extend(twice.into_iter().map(|violation| (violation, String::new())));
        report
    }
}

/// Does all actions when they are due, or as soon after that as they can be done.
fn disturb(stage: &Mutex<Stage>, began: Instant, faults: &[Fault]) {
    let mut waiting = actions(faults);
    while !waiting.is_empty() {
        let mut now = lock(stage);
        now.look();
        let due = Duration::from_millis;
        // What is not possible yet holds up nothing else.
        waiting.retain(|(at, action)| {
            began.elapsed() < due(*at) || now.act(action) == Progress::NotYet
        });
        drop(now);
        let last = waiting.iter().map(|(at, _)| due(*at)).max();
        if last.is_some_and(|last| last + AGREED_EVER < began.elapsed()) {
            // The healing ends what cannot be done, and says so.
            return;
        }
        sleep(GLANCE);
    }
}

/// Keys that two nodes have, and still do after the time in which all should agree.
fn held_twice(scene: &Scene, nodes: usize) -> Option<String> {
    let began = Instant::now();
    loop {
        let holders = scene.keys.iter().map(|key| (key, holders(&scene.addrs[..nodes], key)));
        let twice: Vec<_> = holders.filter(|(_, holders)| 1 < holders.len()).collect();
        let (key, first) = twice.first()?;
        if AGREED_WITHIN < began.elapsed() {
            let count = twice.len();
            return Some(format!("{count} keys are at two nodes: {key} is at {}", first.join(" ")));
        }
        sleep(10 * GLANCE);
    }
}

/// What the nodes know of a key that have it in their own memory.
fn holders(addrs: &[SocketAddr], key: &str) -> Vec<String> {
    let explain = |addr: &SocketAddr| {
        let mut client = Client::try_connect_within(*addr, AGREED_WITHIN).ok()?;
        let answer = client.try_request("GET", &format!("/explain?key={key}"), &[], "").ok()?;
        (answer.json()["present"] == true).then(|| format!("{addr}: {}", answer.body))
    };
    addrs.iter().filter_map(explain).collect()
}
