//! When a node may begin a cluster of its own.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use smache::limits::{ALONE_AFTER, FORM_AFTER};

use crate::member::{Member, PATIENCE, free_addr, settle, wait_until};

fn assert_waits_for(node: &Member, place: &str) {
    let ready = node.get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains(place), "{ready:?}");
    let status = node.get("/status").json();
    assert!(status["cluster"]["waits_for"].as_str().unwrap().contains(place), "{status}");
    assert_eq!(status["cluster"]["members"][0]["slots"], 0);
}

#[test]
fn a_node_is_alone_at_once_where_nobody_listens() {
    let began = Instant::now();
    let node = Member::start("a", &[&free_addr()]);
    assert!(began.elapsed() < ALONE_AFTER / 2, "{:?}", began.elapsed());
    settle(&[&node]);
}

#[test]
fn a_node_whose_first_dials_come_to_nothing_joins_when_they_do_not() {
    // Somebody listens and says nothing that could be understood.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let closes = std::thread::spawn(move || {
        let until = Instant::now() + 3 * FORM_AFTER;
        silent.set_nonblocking(true).unwrap();
        while Instant::now() < until {
            drop(silent.accept());
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let node = Member::begin("b", &[&addr], &[]);
    node.wait_for_line("waiting: there may be a cluster");
    std::thread::sleep(2 * FORM_AFTER);
    assert_waits_for(&node, &addr);
    closes.join().unwrap();
    let first = Member::start_at("a", &addr, &[]);
    node.wait_for_line("node is ready");
    settle(&[&first, &node]);
    assert_eq!(node.status()["cluster"]["waits_for"], serde_json::Value::Null);
}

#[test]
fn a_node_that_was_refused_is_not_ready() {
    let first = Member::start_with("a", "127.0.0.1:0", &[], &[("SMACHE_COOKIE", "one-cookie")]);
    let other = Member::begin("b", &[&first.addr], &[("SMACHE_COOKIE", "another-cookie")]);
    let same_name = Member::begin("a", &[&first.addr], &[("SMACHE_COOKIE", "one-cookie")]);
    for node in [&other, &same_name] {
        node.wait_for_line("waiting: there may be a cluster");
    }
    // Also longer than one waits that may be alone: somebody is there.
    std::thread::sleep(ALONE_AFTER + FORM_AFTER);
    for node in [&other, &same_name] {
        assert_waits_for(node, &first.addr);
    }
    settle(&[&first]);
}

#[test]
fn a_node_that_sees_nothing_is_alone_only_if_it_may_be() {
    let join = "nobody.invalid:4100";
    let waits = Member::begin("b", &[join], &[("SMACHE_ALLOW_ALONE", "false")]);
    let began = Instant::now();
    let forms = Member::begin("b", &[join], &[("SMACHE_ALLOW_ALONE", "true")]);
    waits.wait_for_line("waiting: there may be a cluster");
    assert_waits_for(&waits, join);
    forms.wait_for_line("node is ready");
    assert!(ALONE_AFTER <= began.elapsed() + Duration::from_millis(200));
    wait_until("it serves", PATIENCE, || forms.get("/readyz").status == 200);
    assert_waits_for(&waits, join);
}

#[test]
fn a_node_waits_for_as_many_members_as_it_was_told_once() {
    let settings = [("SMACHE_MEMBERS_MIN", "2")];
    let a = Member::begin("a", &[], &settings);
    let line = a.wait_for_line("waiting: 2 members");
    assert!(line.contains("--members-min") && line.contains("1 are alive"), "{line}");
    let ready = a.get("/readyz");
    assert_eq!((ready.status, ready.message().contains("2 members")), (503, true), "{ready:?}");
    let status = a.status();
    assert!(status["cluster"]["waits_for"].as_str().unwrap().contains("2 members"), "{status}");
    let waiting = |node: &Member| {
        let metrics = node.get("/metrics").body;
        metrics.lines().find_map(|line| line.strip_prefix("smache_waiting ")).map(str::to_owned)
    };
    assert_eq!(waiting(&a).as_deref(), Some("1"));
    let mut b = Member::start_with("b", "127.0.0.1:0", &[&a.addr], &settings);
    a.wait_for_line("node is ready");
    assert_eq!((a.get("/readyz").status, waiting(&a).as_deref()), (200, Some("0")));
    // One more that is taken out of service would make it worse.
    b.kill();
    wait_until("b is dead", PATIENCE, || a.state_of("b") == "dead");
    assert_eq!(a.get("/readyz").status, 200);
}
