//! What is seen of a cluster from outside: numbers of each node, and one request under one name on all.

use std::collections::BTreeMap;

use crate::member::{Member, PATIENCE, cluster, keys_of, settle, wait_until};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Every sample of a node, by its name and labels.
fn samples(member: &Member) -> BTreeMap<String, f64> {
    let text = member.get("/metrics").body;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
    };
    lines.filter_map(sample).collect()
}

#[test]
fn a_request_has_one_name_in_the_logs_of_all_nodes_it_comes_to() {
    let slow = [("SMACHE_SLOW", "0ms")];
    let a = Member::start_with("a", "127.0.0.1:0", &[], &slow);
    let b = Member::start_with("b", "127.0.0.1:0", &[&a.addr], &slow);
    settle(&[&a, &b]);
    let key = &keys_of("b", &a, 1)[0];
    let mut client = a.client();
    let named = [("x-request-id", "order-7"), ("traceparent", PARENT)];
    let target = format!("/api?key={key}");
    let found = client.request_with("GET", &target, &named, "");
    assert_eq!((found.status, found.header("x-request-id")), (200, Some("order-7")));
    for (node, says) in [(&a, "owner=b"), (&b, "from=a")] {
        let line = node.wait_for_line("order-7");
        assert!(line.contains(says), "{line}");
        assert!(line.contains("trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""), "{line}");
        assert!(!line.contains(key), "{line}");
    }
    let unnamed = client.request("GET", &target, "");
    let id = unnamed.header("x-request-id").unwrap();
    a.wait_for_line(id);
    b.wait_for_line(id);
}

#[test]
fn the_numbers_of_a_cluster_are_those_of_what_has_happened() {
    let [a, mut b] = cluster(["a", "b"]);
    let keys = keys_of("b", &a, 10);
    let before = samples(&a)["smache_forwards_total"];
    let mut client = a.client();
    for key in &keys {
        client.request("POST", "/api", &format!(r#"{{"key":"{key}","data":{{}}}}"#));
    }
    let seen = samples(&a);
    assert!(10.0 <= seen["smache_forwards_total"] - before, "{seen:?}");
    assert!((seen["smache_peers_connected"] - 1.0).abs() < 0.1);
    wait_until("a heartbeat is answered", PATIENCE, || {
        let trip = samples(&a).get("smache_peer_round_trip_seconds{peer=\"b\"}").copied();
        trip.is_some_and(|trip| 0.0 < trip && trip < 5.0)
    });
    assert!(0.0 < seen["smache_received_bytes_total{door=\"peer\"}"]);
    b.drain();
    wait_until("all is taken over", PATIENCE, || {
        10.0 <= samples(&a)["smache_entries_taken_over_total"]
    });
    assert!(samples(&a)["smache_slots_lost_total"].abs() < 0.1);
    let line = b.lines("moved entries").pop().unwrap();
    assert!(line.contains("to=\"a: "), "{line}");
    assert!(!a.lines("took slots over").is_empty() && !b.lines("gave slots away").is_empty());
    assert!(b.lines("gave slots away").iter().any(|line| line.contains("to=a")), "{line}");
}

#[test]
fn what_is_lost_with_a_member_that_dies_is_counted_and_said() {
    let [a, mut b] = cluster(["a", "b"]);
    let slots = samples(&b)["smache_slots"];
    b.kill();
    let line = a.wait_for_line("member is dead");
    assert!(line.contains(&format!("slots={slots}")), "{slots} {line}");
    let seen = samples(&a);
    assert!((seen["smache_members_died_total"] - 1.0).abs() < 0.1);
    assert!((seen["smache_slots_lost_total"] - slots).abs() < 0.1, "{seen:?}");
}

#[test]
fn a_node_whose_name_is_taken_says_so_a_few_times_and_who_it_is() {
    let a = Member::start("a", &[]);
    let second = Member::begin("a", &[&a.addr], &[("SMACHE_ALLOW_ALONE", "false")]);
    second.wait_for_line("no session with a peer");
    let said = a.wait_for_line("no session with a peer");
    assert!(said.contains("peer=a") && said.contains("name in use"), "{said}");
    // As often as it takes for many attempts.
    wait_until("it was tried often", PATIENCE, || {
        second.status()["cluster"]["peers"][0]["failures"].as_u64().is_some_and(|n| 8 <= n)
    });
    let lines = second.lines("name in use");
    assert!(lines.len() <= 4, "{lines:#?}");
}

#[test]
fn places_where_nobody_listens_are_one_line_together() {
    let places: Vec<_> = (0..5).map(|_| crate::member::free_addr()).collect();
    let places: Vec<_> = places.iter().map(String::as_str).collect();
    let a = Member::start("a", &places);
    let line = a.wait_for_line("nobody listens yet");
    assert!(line.contains("nobody=5") && line.contains("places=5"), "{line}");
    assert_eq!(a.lines("refused").len(), 0, "{:?}", a.lines("refused"));
}
