//! What namespaces go by is the same on all nodes, whenever they come.

use serde_json::{Value, json};

use crate::member::{Member, PATIENCE, cluster, settle, wait_for};

fn put_policy(at: &Member, namespace: &str, policy: &Value) {
    let answer = at.client().request("PUT", &format!("/v1/{namespace}"), &policy.to_string());
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
}

fn policies(at: &Member) -> Value {
    at.get("/v1").json()["namespaces"].clone()
}

fn stats(at: &Member, namespace: &str) -> Value {
    let stats = at.get(&format!("/v1/{namespace}?stats")).json();
    assert!(stats["missing"].is_null(), "{stats}");
    stats
}

/// Puts so many values of a KiB through the nodes in turn.
fn fill(members: &[&Member], namespace: &str, count: usize) {
    let mut clients: Vec<_> = members.iter().map(|member| member.client()).collect();
    for (at, chunk) in (0..count).collect::<Vec<_>>().chunks(500).enumerate() {
        let put =
            |n: &usize| json!({"op": "put", "key": n.to_string(), "value": "x".repeat(1_024)});
        let body = json!(chunk.iter().map(put).collect::<Vec<_>>()).to_string();
        let client = &mut clients[at % members.len()];
        let answer = client.request("POST", &format!("/v1/{namespace}"), &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answers = answer.json();
        let is_done = |one: &Value| matches!(one["status"].as_u64(), Some(201 | 204));
        assert!(answers.as_array().unwrap().iter().all(is_done), "{answers}");
    }
}

#[test]
fn every_node_goes_by_a_policy_at_once_and_a_later_one_as_soon_as_it_has_joined() {
    let [a, b] = cluster(["a", "b"]);
    let policy = json!({"memory": "8MiB", "default_ttl": "100s", "max_ttl": "1h"});
    put_policy(&a, "site", &policy);
    // Whoever was told has told the other.
    assert_eq!(b.get("/v1/site?policy").json(), policy);
    put_policy(&b, "site", &json!({"default_ttl": "50s"}));
    assert_eq!(a.get("/v1/site?policy").json()["default_ttl"], "50s");
    put_policy(&a, "gone", &policy);
    assert_eq!(b.client().request("DELETE", "/v1/gone?policy", "").status, 204);
    let c = Member::start("c", &[&a.addr]);
    settle(&[&a, &b, &c]);
    wait_for("the joiner knows", PATIENCE, || match policies(&c) == policies(&a) {
        true => Ok(()),
        false => Err(format!("{} and {}", policies(&c), policies(&a))),
    });
    for n in 0..60 {
        let target = format!("/v1/site/{n}");
        let put = [&a, &b, &c][n % 3].client().request("PUT", &target, "x");
        assert_eq!(put.status, 201);
        let found = c.get(&target);
        assert_eq!(found.header("cache-control"), Some("max-age=50"), "{found:?}");
    }
}

#[test]
fn policies_outlive_every_node_that_was_told_them() {
    let mut members = cluster(["a", "b", "c"]);
    let policy = json!({"memory": "4MiB", "default_ttl": "1m", "max_ttl": null});
    put_policy(&members[0], "kept", &policy);
    put_policy(&members[1], "gone", &policy);
    assert_eq!(members[2].client().request("DELETE", "/v1/gone?policy", "").status, 204);
    let expected = json!([{"namespace": "kept", "policy": policy}]);
    for at in 0..members.len() {
        let (name, addr) = (members[at].name.clone(), members[at].addr.clone());
        members[at].drain();
        let others = members.iter().filter(|other| other.name != name);
        let join: Vec<_> = others.map(|other| other.addr.clone()).collect();
        let join: Vec<_> = join.iter().map(String::as_str).collect();
        members[at] = Member::start_at(&name, &addr, &join);
        settle(&members.each_ref());
        for member in &members {
            wait_for("it knows", PATIENCE, || match policies(member) == expected {
                true => Ok(()),
                false => Err(format!("{}: {}", member.name, policies(member))),
            });
        }
    }
}

#[test]
fn a_quota_is_of_all_nodes_together_and_evicts_nobody_else_on_any_of_them() {
    const QUOTA: u64 = 6 << 20;
    let [a, b] = cluster(["a", "b"]);
    put_policy(&a, "tight", &json!({"memory": QUOTA}));
    fill(&[&a, &b], "other", 10_000);
    fill(&[&a, &b], "tight", 20_000);
    let assert_held = |at: &Member, when: &str| {
        let tight = stats(at, "tight");
        let bytes = tight["bytes"].as_u64().unwrap();
        assert!((QUOTA * 95 / 100..=QUOTA).contains(&bytes), "{when}: {tight}");
        let other = stats(at, "other");
        let figures = (other["entries"].as_u64(), other["evictions"].as_u64());
        assert_eq!(figures, (Some(10_000), Some(0)), "{when}");
    };
    assert_held(&a, "on two nodes");
    assert_held(&b, "on two nodes, as the other says");
    // Who joins takes its part over, and nothing is evicted for that.
    let entries = stats(&a, "tight")["entries"].clone();
    let mut c = Member::start("c", &[&a.addr]);
    settle(&[&a, &b, &c]);
    assert_held(&c, "on three nodes");
    assert_eq!(stats(&c, "tight")["entries"], entries);
    fill(&[&a, &b, &c], "tight", 20_000);
    assert_held(&b, "on three nodes, written again");
    c.drain();
    settle(&[&a, &b]);
    fill(&[&a, &b], "tight", 20_000);
    assert_held(&a, "on two nodes again");
}
