//! How nodes find each other, and what a node that joins costs.

use std::time::Duration;

use serde_json::Value;

use crate::load::{Load, Loss};
use crate::member::{Member, PATIENCE, agreed, cluster, free_addr, settle, wait_for, wait_until};

#[test]
fn a_node_joins_and_another_leaves_under_load_and_no_request_fails() {
    let [mut a, b] = cluster(["a", "b"]);
    let load = Load::start(&[&a, &b], Loss::Never);
    let c = Member::start("c", &[&a.addr]);
    load.add(&c);
    settle(&[&a, &b, &c]);
    load.go_on();
    a.drain();
    settle(&[&b, &c]);
    load.go_on();
    load.finish().assert_clean();
}

#[test]
fn three_nodes_that_join_at_once_under_load_cost_no_request() {
    let a = Member::start("a", &[]);
    let load = Load::start(&[&a], Loss::Never);
    let others: Vec<_> = std::thread::scope(|scope| {
        let start = |name: &'static str| {
            let join = a.addr.clone();
            scope.spawn(move || Member::start(name, &[&join]))
        };
        let starting: Vec<_> = ["b", "c", "d"].into_iter().map(start).collect();
        starting.into_iter().map(|member| member.join().unwrap()).collect()
    });
    others.iter().for_each(|member| load.add(member));
    let mut all = vec![&a];
    all.extend(&others);
    settle(&all);
    load.go_on();
    load.finish().assert_clean();
}

#[test]
fn nodes_that_start_together_and_know_each_other_become_one_cluster() {
    let addrs: Vec<_> = (0..4).map(|_| free_addr()).collect();
    let members: Vec<_> = std::thread::scope(|scope| {
        let start = |at: usize| {
            let addrs = &addrs;
            // Its own address is among them.
            let join = || addrs.iter().map(String::as_str).collect::<Vec<_>>();
            scope.spawn(move || Member::start_at(&format!("node-{at}"), &addrs[at], &join()))
        };
        let starting: Vec<_> = (0..4).map(start).collect();
        starting.into_iter().map(|member| member.join().unwrap()).collect()
    });
    let all: Vec<_> = members.iter().collect();
    let (_, took) = wait_for("they agree", Duration::from_secs(5), || agreed(&all));
    eprintln!("4 nodes agreed after {took:?}");
    for member in &members {
        let status = member.status();
        let peers = status["cluster"]["peers"].as_array().unwrap();
        let is_other = |peer: &Value| peer["addr"] != *member.addr && peer["connected"] == true;
        assert!(peers.len() == 3 && peers.iter().all(is_other), "{status}");
    }
}

#[test]
fn a_peer_that_comes_later_is_found_within_2500_ms() {
    let addr = free_addr();
    let a = Member::start("a", &[&addr]);
    a.put("before", 1).unwrap();
    wait_until("it was looked for in vain a few times", PATIENCE, || {
        a.status()["cluster"]["peers"][0]["failures"].as_u64() >= Some(4)
    });
    let b = Member::start_at("b", &addr, &[]);
    let took = wait_until("it is found", Duration::from_millis(2_500), || {
        a.state_of("b") == "alive" && b.state_of("a") == "alive"
    });
    settle(&[&a, &b]);
    assert_eq!(b.number("before"), Some(1), "{took:?}");
}

#[test]
fn a_node_that_finds_nobody_says_so_and_serves_alone() {
    let nobody = free_addr();
    let a = Member::start("a", &[&nobody, "no-such-host.invalid:4100"]);
    wait_until("it says so", PATIENCE, || !a.lines(&nobody).is_empty());
    assert!(a.lines(&nobody)[0].contains("nobody listens"), "{:?}", a.lines(&nobody));
    a.put("key", 1).unwrap();
    assert_eq!(a.number("key"), Some(1));
    wait_until("both are named in the status", PATIENCE, || {
        let status = a.status();
        let peers = status["cluster"]["peers"].as_array().unwrap().clone();
        peers.len() == 2
            && peers.iter().all(|peer| {
                peer["connected"] == false
                    && peer["reason"].is_string()
                    && 0 < peer["failures"].as_u64().unwrap()
            })
    });
    let dialled = |line: &&String| line.contains("dialled");
    let lines = a.lines("no-such-host.invalid");
    assert!(lines.iter().filter(dialled).count() == 1, "{lines:?}");
    settle(&[&a]);
}

#[test]
fn a_name_stands_for_all_its_addresses() {
    let a = Member::start("a", &[]);
    let port = a.addr.rsplit(':').next().unwrap().to_owned();
    let b = Member::start("b", &[&format!("dns:localhost:{port}")]);
    settle(&[&a, &b]);
    let c = Member::start("c", &[&format!("localhost:{port}")]);
    settle(&[&a, &b, &c]);
}

#[test]
fn nodes_meet_all_others_through_any_one_of_them() {
    let a = Member::start("a", &[]);
    let b = Member::start("b", &[&a.addr]);
    let c = Member::start("c", &[&b.addr]);
    let d = Member::start("d", &[&c.addr]);
    settle(&[&a, &b, &c, &d]);
}

#[test]
fn a_member_is_shown_with_its_version_while_there_is_a_session_with_it() {
    let [a, mut b] = cluster(["a", "b"]);
    let version = |at: &Member, of: &str| {
        let status = at.status();
        let members = status["cluster"]["members"].as_array().unwrap();
        let member = members.iter().find(|member| member["node"] == of).unwrap();
        member["version"].clone()
    };
    for at in [&a, &b] {
        let own = at.status()["version"].clone();
        assert_eq!([version(at, "a"), version(at, "b")], [own.clone(), own]);
    }
    b.kill();
    wait_until("there is no session", PATIENCE, || version(&a, "b").is_null());
    assert_eq!(version(&a, "a"), a.status()["version"]);
}
