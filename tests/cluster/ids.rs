//! Ids are given once, whatever becomes of the node that gives them.

use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use smache::limits::IDS_FAR;

use crate::http::Client;
use crate::member::{Member, PATIENCE, agreed, cluster, settle, wait_for, wait_until};

/// Who owns this gives ids.
const COUNTER: &str = "next-id";
const CLIENTS: usize = 4;

/// Clients that have entries stored under the next ids, all the time and at any node.
struct Takers {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    targets: RwLock<Vec<SocketAddr>>,
    is_over: AtomicBool,
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    ids: HashSet<u64>,
    twice: Vec<u64>,
}

impl Takers {
    fn start(members: &[&Member]) -> Self {
        let shared = Arc::new(Shared {
            targets: RwLock::new(members.iter().map(|member| member.addr()).collect()),
            is_over: AtomicBool::new(false),
            given: Mutex::default(),
        });
        let clients = (0..CLIENTS).map(|at| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.take_ids(at))
        });
        Self { clients: clients.collect(), shared }
    }

    /// Has the clients use these nodes from now on.
    fn use_only(&self, members: &[&Member]) {
        *self.shared.targets.write().unwrap() =
            members.iter().map(|member| member.addr()).collect();
    }

    /// Waits until so many more ids were given, below `end` and from `start` on.
    fn go_on(&self, more: usize, start: u64, end: u64) {
        let count = || {
            let given = self.shared.given.lock().unwrap();
            given.ids.iter().filter(|id| start <= **id && **id < end).count()
        };
        let enough = count() + more;
        wait_until("ids are given", PATIENCE, || enough <= count());
    }

    fn finish(mut self) -> Given {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
        std::mem::take(&mut self.shared.given.lock().unwrap())
    }
}

impl Drop for Takers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn take_ids(&self, first: usize) {
        let mut client: Option<(SocketAddr, Client)> = None;
        for turn in first.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let addr = {
                let targets = self.targets.read().unwrap();
                targets[turn / 50 % targets.len()]
            };
            let known = client.take().filter(|(known, _)| *known == addr);
            let Some((_, mut open)) =
                known.or_else(|| Client::try_connect(addr).ok().map(|client| (addr, client)))
            else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            // A connection that breaks is opened anew.
            let Ok(answer) = open.try_request("POST", "/api", &[], r#"{"data":{}}"#) else {
                continue;
            };
            if answer.status == 200 {
                let id = answer.json()["id"].as_u64().unwrap();
                self.given.lock().unwrap().add(id);
                // Or a second one of the same id would find the key taken, and pass it over.
                if open.try_request("DELETE", &format!("/api?key={id}"), &[], "").is_err() {
                    continue;
                }
            }
            if answer.header("connection") != Some("close") {
                client = Some((addr, open));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Given {
    fn add(&mut self, id: u64) {
        assert!(0 < id && id < 1 << 53, "{id}");
        if !self.ids.insert(id) {
            self.twice.push(id);
        }
    }

    /// Fails if an id was given twice, and says what there were.
    fn assert_once(&self) {
        let far = self.ids.iter().filter(|id| IDS_FAR <= **id).count();
        let last = self.ids.iter().filter(|id| **id < IDS_FAR).max();
        let said = format!(
            "{} ids, {far} of them far, the last one {last:?}, {} given twice",
            self.ids.len(),
            self.twice.len()
        );
        // Not `println`, which is kept from everybody where a test passes.
        let _ = writeln!(std::io::stderr(), "{said}");
        assert!(self.twice.is_empty(), "{said}: {:?}", self.twice);
    }
}

fn next_id(client: &mut Client) -> u64 {
    let answer = client.request("POST", "/api", r#"{"data":{}}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["id"].as_u64().unwrap()
}

/// The place of the node that gives ids.
fn giver(members: &[Member]) -> usize {
    let owner = members[0].owner_of(COUNTER);
    members.iter().position(|member| member.name == owner).unwrap()
}

#[test]
fn ids_of_a_fresh_cluster_are_consecutive_from_1_through_any_node() {
    let members = cluster(["a", "b", "c"]);
    let mut clients = members.each_ref().map(|member| member.client());
    for id in 1..=900 {
        assert_eq!(next_id(&mut clients[id as usize % 3]), id);
    }
}

#[test]
fn no_id_is_given_twice_where_the_node_that_gives_them_is_killed_time_and_again() {
    let mut members = cluster(["a", "b", "c"]);
    let takers = Takers::start(&members.each_ref());
    for _ in 0..3 {
        takers.go_on(400, 1, IDS_FAR);
        let at = giver(&members);
        members[at].kill();
        let left: Vec<_> =
            members.iter().filter(|member| member.name != members[at].name).collect();
        takers.use_only(&left);
        // Its process is seen to be gone, so that nothing of it is waited for.
        takers.go_on(400, 1, IDS_FAR);
        let join: Vec<_> = left.iter().map(|member| member.addr.clone()).collect();
        let join: Vec<_> = join.iter().map(String::as_str).collect();
        let again = Member::start_at(&members[at].name, &members[at].addr, &join);
        members[at] = again;
        settle(&members.each_ref());
        takers.use_only(&members.each_ref());
    }
    takers.go_on(400, 1, IDS_FAR);
    takers.finish().assert_once();
}

#[test]
fn no_id_is_given_twice_where_the_node_that_gives_them_stops_for_5_s() {
    let members = cluster(["a", "b", "c"]);
    let takers = Takers::start(&members.each_ref());
    takers.go_on(400, 1, IDS_FAR);
    let giver = &members[giver(&members)];
    let left: Vec<_> = members.iter().filter(|member| member.name != giver.name).collect();
    giver.signal(Signal::STOP);
    let stopped = Instant::now();
    takers.use_only(&left);
    // It may live where nothing comes through, as far as anybody knows.
    takers.go_on(400, IDS_FAR, u64::MAX);
    std::thread::sleep(Duration::from_secs(5).saturating_sub(stopped.elapsed()));
    giver.signal(Signal::CONT);
    takers.use_only(&members.each_ref());
    settle(&members.each_ref());
    takers.go_on(400, 1, IDS_FAR);
    takers.finish().assert_once();
}

#[test]
fn no_id_is_given_twice_by_two_halves() {
    let members = cluster(["a", "b", "c"]);
    let takers = Takers::start(&members.each_ref());
    takers.go_on(400, 1, IDS_FAR);
    let [a, b, c] = &members;
    let pairs = [(a, c), (c, a), (b, c), (c, b)];
    pairs.iter().for_each(|(from, to)| from.disturb(to, "cut"));
    wait_for("both halves serve", PATIENCE, || agreed(&[a, b]).and(agreed(&[c])));
    takers.go_on(800, IDS_FAR, u64::MAX);
    pairs.iter().for_each(|(from, to)| from.disturb(to, "heal"));
    settle(&[a, b, c]);
    takers.go_on(400, 1, IDS_FAR);
    takers.finish().assert_once();
}
