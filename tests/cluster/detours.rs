//! Two nodes that do not hear each other, and a third that hears both.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::http::Client;
use crate::member::{Member, PATIENCE, cluster, keys_of, settle, wait_until};

/// A request across a cut may wait for so long once.
const WAIT_MAX: Duration = Duration::from_millis(1_500);

fn cut(one: &Member, other: &Member, how: &str) {
    one.disturb(other, how);
    other.disturb(one, how);
}

/// By way of whom `at` reaches another node.
fn via(at: &Member, name: &str) -> Option<String> {
    let status = at.status();
    let members = status["cluster"]["members"].as_array().unwrap();
    let its = members.iter().find(|member| member["node"] == name).unwrap();
    its["via"].as_str().map(str::to_owned)
}

fn put_all(client: &mut Client, keys: &[String], n: u64) {
    for key in keys {
        let body = format!(r#"{{"key":"{key}","data":{{"n":{n}}}}}"#);
        assert_eq!(client.request("POST", "/api", &body).status, 200);
    }
}

fn assert_all(client: &mut Client, keys: &[String], n: u64) {
    for key in keys {
        let found = client.request("GET", &format!("/api?key={key}"), "");
        assert_eq!(found.status, 200, "{found:?}");
        assert_eq!(found.json()["data"]["n"].as_u64(), Some(n), "{key}");
    }
}

#[test]
fn a_cut_that_a_third_node_bridges_costs_a_moment_once() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let keys = keys_of("b", &a, 20);
    let mut client = a.client();
    put_all(&mut client, &keys, 1);
    cut(&a, &b, "cut");
    let began = Instant::now();
    assert_all(&mut client, &keys, 1);
    eprintln!("the first requests across the cut took {:?}", began.elapsed());
    assert!(began.elapsed() < WAIT_MAX, "{:?}", began.elapsed());
    assert_eq!(via(&a, "b").as_deref(), Some("c"));
    wait_until("the other side too", PATIENCE, || via(&b, "a").as_deref() == Some("c"));
    let longest = keys.iter().map(|key| {
        let began = Instant::now();
        put_all(&mut client, std::slice::from_ref(key), 2);
        assert_all(&mut client, std::slice::from_ref(key), 2);
        began.elapsed()
    });
    let longest = longest.max().unwrap();
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    // Nobody is taken for dead, however long it lasts.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        assert_all(&mut client, &keys, 2);
        assert_eq!((a.state_of("b").as_str(), b.state_of("a").as_str()), ("alive", "alive"));
    }
    assert!(0 < c.status()["cluster"]["relayed"].as_u64().unwrap());
    cut(&a, &b, "heal");
    wait_until("they hear each other again", PATIENCE, || via(&a, "b").is_none());
    settle(&[&a, &b, &c]);
    assert_all(&mut client, &keys, 2);
}

#[test]
fn a_drain_across_a_broken_link_goes_by_way_of_a_third_node() {
    let [mut a, b, c] = cluster(["a", "b", "c"]);
    let keys: Vec<_> = (0..600).map(|n| format!("key-{n}")).collect();
    put_all(&mut a.client(), &keys, 1);
    cut(&a, &b, "cut");
    wait_until("they go by way of c", PATIENCE, || {
        via(&a, "b").is_some() && via(&b, "a").is_some()
    });
    a.drain();
    settle(&[&b, &c]);
    for member in [&b, &c] {
        assert_all(&mut member.client(), &keys, 1);
    }
}

#[test]
fn a_node_that_joins_without_reaching_one_of_them_misses_nothing() {
    let [a, b] = cluster(["a", "b"]);
    let keys: Vec<_> = (0..600).map(|n| format!("key-{n}")).collect();
    put_all(&mut a.client(), &keys, 1);
    let answer = a.post("/cluster/chaos?peer=c&do=cut&ahead", "");
    assert_eq!(answer.status, 202, "{answer:?}");
    let c = Member::start("c", &[&b.addr]);
    assert_all(&mut c.client(), &keys, 1);
    wait_until("it has its slots", PATIENCE, || 0 < c.entries());
    assert_all(&mut c.client(), &keys, 1);
    assert_eq!(via(&c, "a").as_deref(), Some("b"));
    a.post("/cluster/chaos?peer=c&do=heal", "");
    settle(&[&a, &b, &c]);
    assert_all(&mut c.client(), &keys, 1);
}

#[test]
fn who_hangs_is_not_taken_for_one_that_is_only_unheard() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let keys = keys_of("b", &a, 5);
    put_all(&mut a.client(), &keys, 1);
    b.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1_500));
    b.signal(Signal::CONT);
    assert_all(&mut a.client(), &keys, 1);
    settle(&[&a, &b, &c]);
    assert_eq!(a.lines("nothing is heard of a member that others hear").len(), 0);
}
