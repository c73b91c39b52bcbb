//! Nodes that are killed, stopped or cut off: how soon the others take over.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::load::{Load, Loss};
use crate::member::{
    Member, PATIENCE, agreed, cluster, keys_of, settle, wait_for, wait_until, write_all,
};

const KEYS: usize = 24;
/// From the end of a process to the last of its slots that takes writes again.
const AFTER_KILL: Duration = Duration::from_millis(1_500);
/// From the last sign of life to the state `dead`.
const TO_DEAD: Duration = Duration::from_secs(3);
/// From the last sign of life to the last of its slots that takes writes again.
const AFTER_SILENCE: Duration = Duration::from_secs(5);

/// Keys of each of three nodes.
fn keys_of_all(members: &[Member; 3]) -> [Vec<String>; 3] {
    members.each_ref().map(|member| keys_of(&member.name, &members[0], KEYS))
}

#[test]
fn the_slots_of_a_killed_node_take_writes_again_within_1500_ms() {
    let mut members = cluster(["a", "b", "c"]);
    let keys = keys_of_all(&members);
    for keys in &keys {
        write_all(&members.each_ref(), keys, 1);
    }
    members[2].kill();
    let [a, b, _] = &members;
    let took = write_all(&[a, b], &keys[2], 2);
    assert!(took < AFTER_KILL, "{took:?}");
    settle(&[a, b]);
    // What the others had is where it was.
    let kept = [(0, 1), (1, 1), (2, 2)];
    for (at, n) in kept {
        assert!(keys[at].iter().all(|key| a.number(key) == Some(n) && b.number(key) == Some(n)));
    }
}

#[test]
fn keys_of_the_others_are_served_all_the_while_when_a_node_is_killed() {
    let mut members = cluster(["a", "b", "c"]);
    let keys = keys_of_all(&members);
    members[2].kill();
    let began = Instant::now();
    let [a, b, _] = &members;
    let mut n = 0;
    let mut longest = Duration::ZERO;
    while began.elapsed() < AFTER_KILL {
        n += 1;
        for key in keys[0].iter().chain(&keys[1]) {
            let asked = Instant::now();
            a.put(key, n).unwrap();
            assert_eq!(b.number(key), Some(n));
            longest = longest.max(asked.elapsed());
        }
    }
    // Their slots stay where they are, but for those that wait for the word of the dead node.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[test]
fn a_node_that_is_killed_under_load_takes_its_keys_along_and_leaves_nothing_stale() {
    let [a, b, mut c] = cluster(["a", "b", "c"]);
    let load = Load::start(&[&a, &b, &c], Loss::Possible);
    c.kill();
    load.remove(c.addr());
    settle(&[&a, &b]);
    load.go_on();
    let tally = load.finish();
    // What was under way at the killed node, or on the way to it, is lost; nothing else.
    assert!(tally.stale == 0 && tally.failed <= 16, "{tally}");
}

#[test]
fn a_stopped_node_is_dead_within_3_s_and_comes_back_when_it_goes_on() {
    let members = cluster(["a", "b", "c"]);
    let keys = keys_of_all(&members);
    for keys in &keys {
        write_all(&members.each_ref(), keys, 1);
    }
    let [a, b, c] = &members;
    c.signal(Signal::STOP);
    let stopped = Instant::now();
    std::thread::scope(|scope| {
        let dead = || {
            wait_until("it is dead", TO_DEAD, || {
                a.state_of("c") == "dead" && b.state_of("c") == "dead"
            })
        };
        let dead = scope.spawn(dead);
        write_all(&[a, b], &keys[2], 2);
        let took = stopped.elapsed();
        assert!(took < AFTER_SILENCE, "{took:?}");
        dead.join().unwrap();
    });
    settle(&[a, b]);
    c.signal(Signal::CONT);
    settle(&[a, b, c]);
    // What was written while it was stopped is newer than what it has.
    for (keys, n) in keys.iter().zip([1, 1, 2]) {
        for key in keys {
            assert_eq!([a, b, c].map(|member| member.number(key)), [Some(n); 3], "{key}");
        }
    }
    write_all(&[c], &keys.concat(), 3);
    assert!(keys.iter().flatten().all(|key| a.number(key) == Some(3)));
}

#[test]
fn a_node_that_was_stopped_only_briefly_stays_a_member() {
    let members = cluster(["a", "b"]);
    let [a, b] = &members;
    let keys = keys_of("b", a, KEYS);
    write_all(&[a], &keys, 1);
    b.signal(Signal::STOP);
    wait_until("it is suspect", TO_DEAD, || a.state_of("b") == "suspect");
    b.signal(Signal::CONT);
    settle(&[a, b]);
    assert!(keys.iter().all(|key| a.number(key) == Some(1)));
    assert!(a.lines("member is gone").is_empty());
}

#[test]
fn a_node_that_nobody_reaches_is_dead_within_3_s_and_comes_back_when_it_is_reached() {
    let members = cluster(["a", "b", "c"]);
    let keys = keys_of_all(&members);
    write_all(&[&members[0]], &keys[2], 1);
    let [a, b, c] = &members;
    for (from, to) in [(a, c), (c, a), (b, c), (c, b)] {
        from.disturb(to, "cut");
    }
    let cut = Instant::now();
    std::thread::scope(|scope| {
        let dead = scope.spawn(|| {
            wait_until("it is dead", TO_DEAD, || {
                a.state_of("c") == "dead" && b.state_of("c") == "dead"
            })
        });
        write_all(&[a, b], &keys[2], 2);
        let took = cut.elapsed();
        assert!(took < AFTER_SILENCE, "{took:?}");
        dead.join().unwrap();
    });
    for (from, to) in [(a, c), (c, a), (b, c), (c, b)] {
        from.disturb(to, "heal");
    }
    settle(&[a, b, c]);
    assert!(keys[2].iter().all(|key| c.number(key) == Some(2)));
}

#[test]
fn a_request_for_a_silent_owner_is_refused_in_words_or_answered_and_never_hangs() {
    let [a, b] = cluster(["a", "b"]);
    let keys = keys_of("b", &a, KEYS);
    a.disturb(&b, "cut");
    b.disturb(&a, "cut");
    let began = Instant::now();
    std::thread::scope(|scope| {
        for key in &keys {
            let a = &a;
            scope.spawn(move || {
                let answer = a.get(&format!("/api?key={key}"));
                let is_refused = answer.status == 503
                    && answer.header("retry-after").is_some()
                    && answer.message().contains('b');
                assert!(answer.status == 200 || is_refused, "{answer:?}");
            });
        }
    });
    assert!(began.elapsed() < AFTER_SILENCE, "{:?}", began.elapsed());
    wait_for("each serves alone", PATIENCE, || agreed(&[&a]).and(agreed(&[&b])));
}

#[test]
fn a_slow_network_slows_requests_and_nothing_else() {
    let [a, b] = cluster(["a", "b"]);
    let keys = keys_of("b", &a, KEYS);
    a.disturb(&b, "50ms");
    b.disturb(&a, "50ms");
    let took = write_all(&[&a], &keys, 1);
    assert!(Duration::from_millis(50) < took && took < Duration::from_secs(2), "{took:?}");
    assert!(keys.iter().all(|key| a.number(key) == Some(1)));
    a.disturb(&b, "heal");
    b.disturb(&a, "heal");
    assert!(a.lines("suspect").is_empty() && b.lines("suspect").is_empty());
}
