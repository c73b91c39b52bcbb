//! What nodes say of members that are not there any more, and who can have them forgotten.

use std::time::Duration;

use serde_json::Value;

use crate::member::{Member, PATIENCE, cluster, free_addr, settle, wait_until};
use crate::process::smache;

/// What a node says of the places where it looks for others.
fn peers(node: &Member) -> Vec<Value> {
    node.status()["cluster"]["peers"].as_array().unwrap().clone()
}

fn metric(node: &Member, line: &str) -> bool {
    node.get("/metrics").body.lines().any(|other| other == line)
}

#[test]
fn who_has_left_is_left_and_who_was_killed_is_dead_until_it_is_forgotten() {
    let (mut a, mut b) = (Member::start("a", &[]), Member::start("b", &[]));
    let c = Member::start("c", &[&a.addr, &b.addr]);
    let d = Member::start("d", &[&c.addr]);
    settle(&[&a, &b, &c, &d]);
    a.drain();
    b.kill();
    for node in [&c, &d] {
        wait_until("b is dead", PATIENCE, || node.state_of("b") == "dead");
        wait_until("a has left", PATIENCE, || node.state_of("a") == "left");
        assert!(metric(node, r#"smache_members{state="left"} 1"#));
        assert!(metric(node, r#"smache_members{state="dead"} 1"#));
        assert_eq!(node.lines("member has left").len(), 1);
        assert_eq!(node.lines("member is dead").len(), 1);
        assert!(node.lines("WARN").iter().all(|line| !line.contains("peer=a")));
    }
    // Nobody dials who has left, where it does not look for others anyway.
    let places = peers(&d);
    assert!(places.iter().all(|place| place["addr"] != *a.addr), "{places:?}");
    let forget = |name: &str| c.client().request("DELETE", &format!("/cluster/members/{name}"), "");
    let refused = forget("nobody");
    assert_eq!(refused.status, 404);
    assert!(refused.message().contains("a, b"), "{refused:?}");
    for lives in ["c", "d"] {
        let refused = forget(lives);
        assert_eq!(refused.status, 409);
        assert!(refused.message().contains("alive"), "{refused:?}");
    }
    let command = smache(&["forget", "b", "--url", &c.url()]).output().unwrap();
    assert!(command.status.success(), "{command:?}");
    assert_eq!(forget("a").status, 200);
    assert_eq!(forget("a").status, 404);
    for node in [&c, &d] {
        wait_until("both are forgotten", PATIENCE, || node.sight().members.len() == 2);
        node.wait_for_line("member is forgotten");
    }
    // Who was forgotten is a member again when it is back.
    let again = Member::start("b", &[&d.addr]);
    settle(&[&c, &d, &again]);
}

#[test]
fn a_peer_that_is_back_has_no_reasons_of_its_earlier_life_and_no_node_is_its_own_peer() {
    let (own, other) = (free_addr(), free_addr());
    let named = other.replace("127.0.0.1", "localhost");
    let a = Member::start_at("a", &own, &[&own, &named]);
    for _ in 0..2 {
        let mut b = Member::start_at("b", &other, &[&own]);
        settle(&[&a, &b]);
        wait_until("it is connected, and nothing else is said", PATIENCE, || {
            let peers = peers(&a);
            let [peer] = &peers[..] else { panic!("{peers:?}") };
            peer["addr"] == *named && peer["connected"] == true && peer["reason"] == Value::Null
        });
        b.kill();
        wait_until("it says why it is not there", PATIENCE, || {
            peers(&a)[0]["reason"].as_str().is_some_and(|reason| reason.contains("refused"))
        });
        assert!(peers(&a)[0]["failures"].as_u64() < Some(20));
    }
}

#[test]
fn a_node_drains_on_the_word_of_a_client() {
    let [mut a, b] = cluster(["a", "b"]);
    for n in 0..200 {
        a.put(&format!("key-{n}"), n).unwrap();
    }
    assert_eq!(a.get("/drain").status, 405);
    let command = smache(&["drain", "--url", &a.url()]).output().unwrap();
    assert!(command.status.success(), "{command:?}");
    let (status, took) = a.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(1), "the command waits for it: {took:?}");
    assert!(a.wait_for_line("draining").contains("asked over HTTP"));
    settle(&[&b]);
    assert_eq!(b.entries(), 200);
}
