//! Nodes whose clocks are wrong: deadlines stay where they are, the newest write wins, nothing is lost.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::member::{Member, PATIENCE, keys_of, settle, wait_until, write_all};

/// By how many milliseconds the clock of a node is wrong.
const OFFSET: &str = "SMACHE_DEMO_CLOCK_OFFSET_MS";
const HOUR_MS: i64 = 3_600_000;
const KEYS: usize = 8;
const FAR_APART: &str = "clocks of two nodes are far apart";
/// How far a deadline may be from where it belongs.
const PRECISION: Duration = Duration::from_millis(100);
/// Longer than the others wait for a node that is stopped.
const STOPPED: Duration = Duration::from_secs(4);

fn start_wrong(name: &str, addr: &str, join: &[&str], offset_ms: i64) -> Member {
    Member::start_with(name, addr, join, &[(OFFSET, &offset_ms.to_string())])
}

/// Three nodes, of which `b` has a wrong clock.
fn cluster_with(offset_ms: i64) -> [Member; 3] {
    let a = Member::start("a", &[]);
    let b = start_wrong("b", "127.0.0.1:0", &[&a.addr], offset_ms);
    let c = Member::start("c", &[&a.addr, &b.addr]);
    settle(&[&a, &b, &c]);
    [a, b, c]
}

fn keys_of_all(members: &[&Member]) -> Vec<String> {
    members.iter().flat_map(|member| keys_of(&member.name, members[0], KEYS)).collect()
}

/// Puts a key that ends, and returns between which two moments that is.
fn put_for(member: &Member, key: &str, ttl: Duration) -> [Instant; 2] {
    let began = Instant::now();
    let target = format!("/v1/default/{key}?ttl={}ms", ttl.as_millis());
    let answer = member.client().request("PUT", &target, "value");
    assert!([201, 204].contains(&answer.status), "{answer:?}");
    [began + ttl, Instant::now() + ttl]
}

/// Whether a deadline that its owner tells of is where it belongs.
fn assert_ends(members: &[&Member], key: &str, [from, to]: [Instant; 2]) {
    let owner = members[0].owner_of(key);
    let owner = members.iter().find(|member| member.name == owner).unwrap();
    let asked = Instant::now();
    let explained = owner.get(&format!("/explain?key={key}")).json();
    let answered = Instant::now();
    let left = Duration::from_millis(explained["ttl_ms"].as_u64().expect("it is there and ends"));
    let is_early = answered + left + PRECISION < from;
    let is_late = to + PRECISION < asked + left;
    assert!(!is_early && !is_late, "{key} of {} has {left:?} left", owner.name);
}

/// When the write under a key was, by its version.
fn written_ms(members: &[&Member], key: &str) -> i64 {
    let owner = members[0].owner_of(key);
    let owner = members.iter().find(|member| member.name == owner).unwrap();
    let explained = owner.get(&format!("/explain?key={key}")).json();
    let version = u64::from_str_radix(explained["version"].as_str().unwrap(), 16).unwrap();
    i64::try_from(version >> 16).unwrap()
}

fn wall_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn assert_all(members: &[&Member], keys: &[String], n: u64) {
    for key in keys {
        let numbers: Vec<_> = members.iter().map(|member| member.number(key)).collect();
        assert_eq!(numbers, vec![Some(n); members.len()], "{key}");
    }
}

fn a_wrong_clock_moves_no_deadline(offset_ms: i64) {
    let members = cluster_with(offset_ms);
    let [a, b, c] = &members;
    let all = [a, b, c];
    let keys = keys_of_all(&all);
    let long = Duration::from_secs(600);
    // Asked of every node, for keys of every node.
    let ends: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            let ends = put_for(all[at % 3], key, long);
            assert_ends(&all, key, ends);
            ends
        })
        .collect();
    for (key, member) in keys.iter().zip(all.iter().cycle()) {
        let answer = member.get(&format!("/v1/default/{key}"));
        let age: u64 = answer.header("age").unwrap().parse().unwrap();
        let left = answer.header("cache-control").unwrap().strip_prefix("max-age=").unwrap();
        let left: u64 = left.parse().unwrap();
        assert!(age <= 20 && (580..=600).contains(&left), "{answer:?}");
    }
    // What moves keeps what is left of it.
    let [a, mut b, c] = members;
    b.drain();
    settle(&[&a, &c]);
    for (key, ends) in keys.iter().zip(&ends) {
        assert_ends(&[&a, &c], key, *ends);
    }
    // And it does end, at every node at once.
    let short = Duration::from_millis(700);
    for key in &keys {
        let [_, end] = put_for(&a, key, short);
        let is_gone = || c.get(&format!("/v1/default/{key}")).status == 404;
        wait_until("it has ended", PATIENCE, is_gone);
        assert!(end <= Instant::now() + PRECISION, "{key} has ended early");
        assert_eq!(a.get(&format!("/v1/default/{key}")).status, 404, "{key}");
    }
}

#[test]
fn a_clock_30_s_ahead_moves_no_deadline() {
    a_wrong_clock_moves_no_deadline(30_000);
}

#[test]
fn a_clock_30_s_behind_moves_no_deadline() {
    a_wrong_clock_moves_no_deadline(-30_000);
}

#[test]
fn a_clock_an_hour_ahead_moves_no_deadline() {
    a_wrong_clock_moves_no_deadline(HOUR_MS);
}

/// The owner that is stopped is the one with the wrong clock.
fn the_newest_write_wins(offset_ms: i64) {
    let members = cluster_with(offset_ms);
    let [a, b, c] = &members;
    let keys = keys_of_all(&[a, b, c]);
    write_all(&[a, b, c], &keys, 1);
    // Versions are of the time of the cluster, which is that of its first node.
    for key in &keys {
        let written = written_ms(&[a, b, c], key);
        assert!((written - wall_ms()).abs() < 20_000, "{key} was written at {written}");
    }
    let is_told = |member: &Member| (1..=2).contains(&member.lines(FAR_APART).len());
    assert!([a, b].into_iter().all(is_told), "{:?} {:?}", a.lines(FAR_APART), b.lines(FAR_APART));
    assert!(a.lines(FAR_APART)[0].contains("the peer takes the time of this node"));
    assert!(b.lines(FAR_APART)[0].contains("this node takes the time of the peer"));

    let of_b: Vec<_> = keys.iter().filter(|key| a.owner_of(key) == "b").cloned().collect();
    b.signal(Signal::STOP);
    let stopped = Instant::now();
    write_all(&[a, c], &of_b, 2);
    std::thread::sleep(STOPPED.saturating_sub(stopped.elapsed()));
    b.signal(Signal::CONT);
    settle(&[a, b, c]);
    assert_all(&[a, b, c], &of_b, 2);
    let others: Vec<_> = keys.iter().filter(|key| !of_b.contains(key)).cloned().collect();
    assert_all(&[a, b, c], &others, 1);
    write_all(&[a, b, c], &keys, 3);
    assert_all(&[a, b, c], &keys, 3);
    // It is gone and nobody's clock was moved by it.
    let [a, mut b, c] = members;
    b.drain();
    settle(&[&a, &c]);
    write_all(&[&a, &c], &keys, 4);
    assert_all(&[&a, &c], &keys, 4);
    for key in &keys {
        assert!((written_ms(&[&a, &c], key) - wall_ms()).abs() < 20_000, "{key}");
    }
}

#[test]
fn the_newest_write_wins_where_a_clock_is_an_hour_ahead() {
    the_newest_write_wins(HOUR_MS);
}

#[test]
fn the_newest_write_wins_where_a_clock_is_an_hour_behind() {
    the_newest_write_wins(-HOUR_MS);
}

/// A node that is started again with another clock takes the place of its last run.
fn a_restart_wins(offset_ms: i64) {
    let a = Member::start("a", &[]);
    let mut b = start_wrong("b", "127.0.0.1:0", &[&a.addr], 0);
    settle(&[&a, &b]);
    let keys = keys_of_all(&[&a, &b]);
    write_all(&[&a], &keys, 1);
    let addr = b.addr.clone();
    b.kill();
    let again = start_wrong("b", &addr, &[&a.addr], offset_ms);
    settle(&[&a, &again]);
    let kept: Vec<_> = keys.iter().filter(|key| a.owner_of(key) == "a").cloned().collect();
    assert_all(&[&a, &again], &kept, 1);
    write_all(&[&a, &again], &keys, 2);
    assert_all(&[&a, &again], &keys, 2);
    // A run that hangs is replaced as well, and ends once it finds that out.
    let mut old = again;
    old.signal(Signal::STOP);
    let new = start_wrong("b", "127.0.0.1:0", &[&a.addr], 2 * offset_ms);
    settle(&[&a, &new]);
    write_all(&[&a, &new], &keys, 3);
    old.signal(Signal::CONT);
    assert_eq!(old.wait().0.code(), Some(1));
    settle(&[&a, &new]);
    assert_all(&[&a, &new], &keys, 3);
}

#[test]
fn a_restart_with_a_clock_an_hour_behind_wins_and_loses_nothing() {
    a_restart_wins(-HOUR_MS);
}

#[test]
fn a_restart_with_a_clock_an_hour_ahead_wins_and_loses_nothing() {
    a_restart_wins(HOUR_MS);
}

#[test]
fn of_two_clusters_that_meet_the_one_behind_takes_the_time_of_the_one_ahead() {
    let a = Member::start("a", &[]);
    let b = start_wrong("b", "127.0.0.1:0", &[], HOUR_MS);
    a.put("of-a", 1).unwrap();
    b.put("of-b", 1).unwrap();
    let c = Member::start("c", &[&a.addr, &b.addr]);
    settle(&[&a, &b, &c]);
    let keys: Vec<_> = ["of-a", "of-b"].map(str::to_owned).into();
    assert_all(&[&a, &b, &c], &keys, 1);
    write_all(&[&a, &b, &c], &keys, 2);
    assert_all(&[&a, &b, &c], &keys, 2);
    for key in keys_of_all(&[&a, &b, &c]) {
        write_all(&[&a], std::slice::from_ref(&key), 3);
        let ahead_ms = written_ms(&[&a, &b, &c], &key) - wall_ms();
        assert!((ahead_ms - HOUR_MS).abs() < 20_000, "{key} is {ahead_ms} ms ahead");
    }
    let lines = a.lines(FAR_APART);
    assert!(lines.iter().any(|line| line.contains("this node takes the time")), "{lines:?}");
}
