//! Nodes that are told to go, and hand over what they have.

use std::time::Duration;

use rustix::process::Signal;
use smache::limits::SECOND_SIGNAL_AFTER;

use crate::load::{Load, Loss};
use crate::member::{Member, PATIENCE, cluster, settle, wait_until};

#[test]
fn four_nodes_are_restarted_one_after_the_other_and_no_request_fails() {
    let mut members = cluster(["a", "b", "c", "d"]);
    let load = Load::start(&members.each_ref(), Loss::Never);
    for at in 0..members.len() {
        let (name, addr) = (members[at].name.clone(), members[at].addr.clone());
        members[at].drain();
        let others = members.iter().filter(|other| other.name != name);
        let others: Vec<_> = others.map(|other| other.addr.as_str()).collect();
        let again = Member::start_at(&name, &addr, &others);
        load.add(&again);
        members[at] = again;
        settle(&members.each_ref());
        load.go_on();
    }
    load.finish().assert_clean();
}

#[test]
fn a_node_that_stands_still_while_it_leaves_hands_everything_over() {
    const KEYS: u64 = 200;
    let a = Member::start("a", &[]);
    let mut b =
        Member::start_with("b", "127.0.0.1:0", &[&a.addr], &[("SMACHE_DRAIN_TIMEOUT", "1s")]);
    settle(&[&a, &b]);
    for n in 0..KEYS {
        a.put(&format!("key-{n}"), n).unwrap();
    }
    // Nobody takes anything before both go on.
    a.signal(Signal::STOP);
    b.signal(Signal::TERM);
    b.wait_for_line("draining");
    b.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1_300));
    a.signal(Signal::CONT);
    b.signal(Signal::CONT);
    assert_eq!(b.wait().0.code(), Some(0));
    assert!((0..KEYS).all(|n| a.number(&format!("key-{n}")) == Some(n)));
}

#[test]
fn nodes_that_leave_at_the_same_time_lose_nothing() {
    let [a, mut b, mut c, d] = cluster(["a", "b", "c", "d"]);
    let load = Load::start(&[&a, &b, &c, &d], Loss::Never);
    b.signal(Signal::TERM);
    c.signal(Signal::TERM);
    assert!(b.wait().0.success() && c.wait().0.success());
    settle(&[&a, &d]);
    load.go_on();
    load.finish().assert_clean();
}

#[test]
fn a_node_that_leaves_while_another_joins_loses_nothing() {
    let [mut a, b] = cluster(["a", "b"]);
    let load = Load::start(&[&a, &b], Loss::Never);
    a.signal(Signal::TERM);
    let c = Member::start("c", &[&b.addr]);
    load.add(&c);
    assert!(a.wait().0.success());
    settle(&[&b, &c]);
    load.go_on();
    load.finish().assert_clean();
}

/// It may not have heard yet that the other one takes part.
#[test]
fn a_node_that_is_told_to_go_the_moment_another_is_ready_hands_everything_over() {
    const KEYS: u64 = 100;
    let mut last = Member::start("a", &[]);
    for n in 0..KEYS {
        last.put(&format!("key-{n}"), n).unwrap();
    }
    for name in ["b", "a"].into_iter().cycle().take(10) {
        let next = Member::start(name, &[&last.addr]);
        last.drain();
        assert_eq!(next.entries(), KEYS);
        last = next;
    }
    for n in 0..KEYS {
        assert_eq!(last.number(&format!("key-{n}")), Some(n));
    }
}

#[test]
fn every_entry_is_with_the_last_node_after_all_others_left() {
    const KEYS: u64 = 2_000;
    let [mut a, mut b, c] = cluster(["a", "b", "c"]);
    let mut client = a.client();
    for n in 0..KEYS {
        let body = format!(r#"{{"key":"k{n}","data":{{"n":{n}}}}}"#);
        assert_eq!(client.request("POST", "/api", &body).status, 200);
    }
    assert_eq!(a.entries() + b.entries() + c.entries(), KEYS);
    drop(client);
    a.drain();
    b.drain();
    settle(&[&c]);
    assert_eq!(c.entries(), KEYS);
    let mut client = c.client();
    for n in 0..KEYS {
        let found = client.request("GET", &format!("/api?key=k{n}"), "");
        assert_eq!(found.json()["data"]["n"].as_u64(), Some(n));
    }
}

#[test]
fn signals_that_come_together_lose_nothing_and_the_last_line_says_who_has_what() {
    const KEYS: u64 = 500;
    for second in [Signal::TERM, Signal::INT, Signal::HUP] {
        let [mut a, b] = cluster(["a", "b"]);
        for n in 0..KEYS {
            a.put(&format!("key-{n}"), n).unwrap();
        }
        let had = a.entries();
        a.signal(Signal::TERM);
        a.signal(second);
        std::thread::sleep(Duration::from_millis(100));
        a.signal(second);
        let (status, _) = a.wait();
        assert_eq!(status.code(), Some(0), "{second:?}");
        assert_eq!(b.entries(), KEYS, "{second:?}");
        let line = a.wait_for_line("node stopped");
        for said in [&format!("handed_over={had} to=\"b {had}\""), "not_handed_over=0"] {
            assert!(line.contains(said), "{said}: {line}");
        }
    }
}

#[test]
fn a_second_signal_says_what_is_lost_and_has_the_code_of_that() {
    let [mut a, b] = cluster(["a", "b"]);
    for n in 0..200 {
        a.put(&format!("key-{n}"), n).unwrap();
    }
    let had = a.entries();
    b.signal(Signal::STOP);
    a.signal(Signal::TERM);
    a.wait_for_line("draining");
    std::thread::sleep(SECOND_SIGNAL_AFTER + Duration::from_millis(100));
    a.signal(Signal::INT);
    let (status, took) = a.wait();
    b.signal(Signal::CONT);
    assert_eq!(status.code(), Some(3));
    assert!(took < Duration::from_millis(500), "{took:?}");
    let line = a.wait_for_line("second signal, ending at once");
    assert!(line.contains("SIGINT") && line.contains(&format!("not_handed_over={had}")), "{line}");
}

#[test]
fn a_drain_that_nobody_takes_over_in_time_says_what_is_left_and_has_a_code_of_its_own() {
    let mut a = Member::start_with("a", "127.0.0.1:0", &[], &[("SMACHE_DRAIN_TIMEOUT", "1s")]);
    let b = Member::start("b", &[&a.addr]);
    settle(&[&a, &b]);
    for n in 0..200 {
        a.put(&format!("key-{n}"), n).unwrap();
    }
    b.signal(Signal::STOP);
    a.signal(Signal::TERM);
    let (status, _) = a.wait();
    b.signal(Signal::CONT);
    assert_eq!(status.code(), Some(3));
    assert_eq!(a.lines("leaving with what nobody took").len(), 1);
    let line = a.wait_for_line("node stopped with what nobody took");
    assert!(line.contains("handed_over=0") && line.contains("not_handed_over="), "{line}");
    let last = a.wait_for_line("that nobody took");
    assert!(last.contains("entries"), "{last}");
}

#[test]
fn who_comes_back_while_a_node_that_was_alone_ends_is_handed_everything() {
    let [mut a, b] = cluster(["a", "b"]);
    for n in 0..200 {
        a.put(&format!("key-{n}"), n).unwrap();
    }
    b.signal(Signal::STOP);
    wait_until("b is taken for dead", PATIENCE, || a.state_of("b") == "dead");
    for n in 0..200 {
        a.put(&format!("key-{n}"), 1_000 + n).unwrap();
    }
    // A request that is under way keeps the door, and so the node, from ending.
    let (mut slow, body) = (a.client(), r#"{"key":"slow","data":{"n":1}}"#);
    let head =
        format!("POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    slow.send(head.as_bytes()).unwrap();
    slow.send(&body.as_bytes()[..9]).unwrap();
    wait_until("it has begun", PATIENCE, || a.get("/livez").status == 200);
    a.signal(Signal::TERM);
    b.signal(Signal::CONT);
    wait_until("b has heard that a goes", PATIENCE, || b.state_of("a") == "leaving");
    slow.send(&body.as_bytes()[9..]).unwrap();
    assert_eq!(slow.receive().unwrap().status, 200);
    assert!(a.wait().0.success());
    settle(&[&b]);
    let found = |n: u64| b.number(&format!("key-{n}"));
    let lost: Vec<_> = (0..200).filter(|n| found(*n) != Some(1_000 + n)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(b.number("slow"), Some(1));
}
