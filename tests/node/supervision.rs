//! Actors that crash, and what clients notice of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::Value;

use crate::process::{Node, smache};

fn children(node: &Node) -> Vec<Value> {
    node.get("/supervision").json()["children"].as_array().unwrap().clone()
}

fn crash(node: &Node, child: &str) -> u16 {
    node.post(&format!("/supervision/{child}/crash"), "").status
}

/// The restarts of a child, once there are at least `least`.
fn wait_for_restarts(node: &Node, child: &str, least: u64) -> u64 {
    loop {
        let children = children(node);
        let child = children.iter().find(|c| c["name"] == child).unwrap();
        let restarts = child["restarts"].as_u64().unwrap();
        if least <= restarts && child["state"] == "running" {
            return restarts;
        }
    }
}

#[test]
fn supervision_md_describes_the_running_tree() {
    let doors = ["--cluster", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
    let node = Node::start(&[&doors[..], &["--shards", "3", "--node", "a@test"]].concat());
    let addr = node.get("/status").json()["cluster"]["members"][0]["addr"].clone();
    let join = ["--cluster", "127.0.0.1:0", "--join", addr.as_str().unwrap(), "--node", "b@test"];
    let _other = Node::start(&join);
    while !children(&node).iter().any(|child| child["kind"] == "link") {}
    let rows = include_str!("../../supervision.md").lines().filter_map(|line| {
        let mut cells =
            line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`'));
        Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
    });
    let described: Vec<_> = rows
        .flat_map(|(name, kind)| match name.strip_suffix("-N") {
            Some(name) => (0..3).map(|n| (format!("{name}-{n}"), kind.clone())).collect(),
            None => vec![(name.replace("NODE", "b@test"), kind)],
        })
        .collect();
    let tree = node.get("/supervision").json();
    let mut running = vec![("root".to_owned(), tree["kind"].as_str().unwrap().to_owned())];
    running.extend(children(&node).iter().map(|child| {
        let text = |name: &str| child[name].as_str().unwrap().to_owned();
        (text("name"), text("kind"))
    }));
    assert_eq!(described, running);
}

#[test]
fn shards_crash_under_traffic_without_a_failed_request_or_a_lost_key() {
    let node = Node::start(&["--demo", "--shards", "2"]);
    let is_over = AtomicBool::new(false);
    let written = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (is_over, written) = (&is_over, &written);
            let mut client = node.client();
            scope.spawn(move || {
                for n in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = format!(r#"{{"key":"{writer}-{n}","data":{{"n":{n}}}}}"#);
                    let answer = client.request("POST", "/api", &body);
                    assert_eq!(
                        (answer.status, answer.json()["data"]["n"].as_u64()),
                        (200, Some(n))
                    );
                    let found = client.request("GET", &format!("/api?key={writer}-{n}"), "");
                    assert_eq!(found.json()["data"]["n"].as_u64(), Some(n), "{found:?}");
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 1..=9 {
            for shard in ["shard-0", "shard-1"] {
                assert_eq!(crash(&node, shard), 202);
                wait_for_restarts(&node, shard, round);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let status = node.get("/status").json();
    let entries: u64 =
        status["shards"].as_array().unwrap().iter().filter_map(|s| s["entries"].as_u64()).sum();
    assert_eq!(entries, u64::from(written.load(Ordering::Relaxed)));
    assert!(status["shards"][0]["restarts"].as_u64() >= Some(9));
}

#[test]
fn a_door_that_crashes_keeps_its_port_and_its_connections() {
    let node = Node::start(&["--demo"]);
    let mut open = node.client();
    assert_eq!(open.request("GET", "/", "").status, 200);
    for round in 1..=5 {
        assert_eq!(crash(&node, "door-http"), 202);
        assert_eq!(open.request("GET", "/api?key=a", "").status, 200);
        assert_eq!(wait_for_restarts(&node, "door-http", round), round);
    }
    assert_eq!(node.get("/").status, 200);
}

#[test]
fn twenty_restarts_are_borne_and_one_more_ends_the_node_with_its_reason() {
    let mut node = Node::start(&["--demo"]);
    assert_eq!(crash(&node, "shard-0"), 202);
    wait_for_restarts(&node, "shard-0", 1);
    for round in 1..20 {
        assert_eq!(crash(&node, "shard-1"), 202);
        wait_for_restarts(&node, "shard-1", round);
    }
    assert_eq!(crash(&node, "shard-1"), 202);
    let reason = node.wait_for_line("restart budget spent");
    let said = "more than 20 times in 10 s (shard-1 19, shard-0 1), the last of them shard-1";
    assert!(reason.contains(said), "{reason}");
    let (status, _) = node.wait();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn parameters_that_nobody_knows_are_refused_on_every_route_of_operations() {
    let node = Node::start(&["--demo"]);
    for (method, target) in [
        ("GET", "/?x=1"),
        ("GET", "/healthcheck?x=1"),
        ("GET", "/livez?x"),
        ("GET", "/readyz?x=1"),
        ("GET", "/status?verbose=1"),
        ("GET", "/supervision?x=1"),
        ("GET", "/metrics?x=1"),
        ("GET", "/explain?key=a&name=b"),
        ("POST", "/supervision/shard-0/crash?x=1"),
        ("POST", "/cluster/chaos?peer=a&do=cut&x=1"),
        ("POST", "/drain?x=1"),
        ("DELETE", "/cluster/members/a?x=1"),
    ] {
        let answer = node.client().request(method, target, "");
        assert_eq!(answer.status, 400, "{method} {target}: {answer:?}");
        assert!(answer.message().contains("allowed: "), "{method} {target}: {answer:?}");
    }
    assert_eq!(node.get("/readyz").status, 200);
}

#[test]
fn what_changes_the_cluster_needs_a_token_or_demo() {
    let node = Node::start(&[]);
    for (method, target) in [("POST", "/drain"), ("DELETE", "/cluster/members/a")] {
        let answer = node.client().request(method, target, "");
        assert_eq!(answer.status, 403);
        assert!(answer.message().contains("allowed: on a node with a token"), "{answer:?}");
    }
    let mut command = smache(&["serve", "--http", "127.0.0.1:0"]);
    let mut node = Node::start_command(command.env("SMACHE_TOKEN", "hush"));
    assert_eq!(node.post("/drain", "").status, 401);
    let mut command = smache(&["drain", "--url", &node.url()]);
    let drained = command.env("SMACHE_TOKEN", "hush").output().unwrap();
    assert!(drained.status.success(), "{drained:?}");
    assert!(node.wait().0.success());
}

#[test]
fn connections_are_disturbed_to_nodes_that_are_there() {
    let cluster = ["--demo", "--cluster", "127.0.0.1:0", "--node"];
    let node = Node::start(&[&cluster[..], &["a@test"]].concat());
    let chaos =
        |peer: &str, how: &str| node.post(&format!("/cluster/chaos?peer={peer}&do={how}"), "");
    assert_eq!(chaos("b@test", "cut").status, 404);
    assert_eq!(chaos("b@test", "heal&ahead").status, 202);
    let addr = node.get("/status").json()["cluster"]["members"][0]["addr"].clone();
    let _other = Node::start(&[
        "--cluster",
        "127.0.0.1:0",
        "--join",
        addr.as_str().unwrap(),
        "--node",
        "b@test",
    ]);
    assert_eq!(chaos("b@test", "0ms").status, 202);
    for unknown in ["ghost@test", "a@test", ""] {
        let refused = chaos(unknown, "cut");
        assert_eq!((refused.status, refused.message().ends_with("allowed: b@test")), (404, true));
    }
    assert_eq!(chaos("b@test", "nothing").status, 400);
    let alone = Node::start(&["--demo"]);
    let refused = alone.post("/cluster/chaos?peer=b@test&do=cut", "");
    assert_eq!((refused.status, refused.message().contains("--cluster")), (400, true));
}

#[test]
fn actors_are_crashed_only_on_a_node_started_for_it() {
    let node = Node::start(&[]);
    let refused = node.post("/supervision/shard-0/crash", "");
    assert_eq!((refused.status, refused.message().contains("--demo")), (403, true));
    let demo = Node::start(&["--demo"]);
    let unknown = demo.post("/supervision/shard-9/crash", "");
    assert_eq!(
        (unknown.status, unknown.message().contains("shard-3, hub, feed, door-http")),
        (404, true)
    );
    assert_eq!(demo.get("/supervision/shard-0/crash").status, 405);
    assert!(children(&demo).iter().all(|child| child["restarts"] == 0));
}
