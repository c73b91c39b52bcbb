//! What is asked of many nodes at once: batches over any keys, and walks over all of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::Client;
use crate::member::{Member, PATIENCE, cluster, settle, wait_for};

/// Keys that are there throughout.
const STAYS: usize = 6_000;

fn run(client: &mut Client, operations: &[Value]) -> Vec<Value> {
    let answer = client.request("POST", "/v1/site", &json!(operations).to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().clone()
}

fn fill(at: &Member) {
    let put = |n| json!({"op": "put", "key": format!("stays-{n}"), "value": n});
    let puts: Vec<_> = (0..STAYS).map(put).collect();
    let answers = run(&mut at.client(), &puts);
    assert!(answers.iter().all(|answer| answer["status"] == 201));
}

#[test]
fn a_batch_is_over_the_keys_of_all_nodes_in_the_order_it_has() {
    let members = cluster(["a", "b"]);
    fill(&members[0]);
    let mut client = members[1].client();
    let mut operations = vec![];
    for n in 0..1_000 {
        let key = format!("stays-{n}");
        operations.push(json!({"op": "get", "key": key}));
        operations.push(json!({"op": "incr", "key": key, "by": 1_000_000}));
        operations.push(json!({"op": "get", "key": key}));
        operations.push(json!({"op": "incr", "key": key, "max": 5}));
    }
    let answers = run(&mut client, &operations);
    for (n, answers) in answers.chunks(4).enumerate() {
        assert_eq!(answers[0]["value"], n, "{n}");
        assert_eq!(
            (&answers[1]["value"], &answers[2]["value"]),
            (&json!(n + 1_000_000), &json!(n + 1_000_000))
        );
        assert_eq!(answers[3]["status"], 409, "{n}");
    }
    // The same through both, which have a part each.
    for member in &members {
        let share = member.entries();
        assert!(1_000 < share && share < STAYS as u64, "{} has {share}", member.name);
        assert_eq!(member.get("/v1/site?count").json(), json!({ "count": STAYS }));
    }
}

/// Walks over all keys at one node, looking after each page whether `is_time`, and returns what it found
/// and how many pages that took.
fn walk(at: &Member, limit: usize, mut after: impl FnMut(usize)) -> (BTreeSet<String>, usize) {
    let (mut found, mut cursor, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let target = format!("/v1/site?limit={limit}{cursor}");
        let page = wait_for_page(at, &target);
        found.extend(
            page["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()),
        );
        pages += 1;
        after(pages);
        match page["cursor"].as_str() {
            Some(text) => cursor = format!("&cursor={text}"),
            None => return (found, pages),
        }
    }
}

/// A page; it can be asked for again where an owner cannot be reached.
fn wait_for_page(at: &Member, target: &str) -> Value {
    let mut page = Value::Null;
    wait_for("there is a page", PATIENCE, || {
        let answer = at.get(target);
        match answer.status {
            200 => {
                page = answer.json();
                Ok(())
            }
            _ => Err(answer.body),
        }
    });
    page
}

#[test]
fn a_walk_misses_no_key_that_stays_while_one_node_joins_and_one_leaves() {
    let [a, b] = cluster(["a", "b"]);
    fill(&a);
    let (found, pages) = walk(&a, 100, |_| {});
    assert_eq!((found.len(), STAYS.div_ceil(100) <= pages), (STAYS, true));

    let (mut joined, mut leaves) = (None, Some(b));
    let (found, _) = walk(&a, 100, |pages| match pages {
        // In the midst of a pass, which the change of owners ends.
        10 => joined = Some(Member::start("c", &[&a.addr])),
        35 => leaves.take().unwrap().drain(),
        _ => {}
    });
    let missed: Vec<_> =
        (0..STAYS).filter(|n| !found.contains(&format!("stays-{n}"))).take(10).collect();
    assert_eq!(missed, Vec::<usize>::new());
    let c = joined.unwrap();
    settle(&[&a, &c]);
    assert_eq!(walk(&c, 10_000, |_| {}).0.len(), STAYS);
}
