//! Nodes that start with the name of another.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::member::{
    Member, PATIENCE, agreed, cluster, keys_of, settle, wait_for, wait_until, write_all,
};

#[test]
fn a_killed_node_that_starts_again_replaces_its_old_self_at_once() {
    let [a, mut b] = cluster(["a", "b"]);
    let keys = keys_of("b", &a, 24);
    write_all(&[&a], &keys, 1);
    let addr = b.addr.clone();
    b.kill();
    let again = Member::start_at("b", &addr, &[&a.addr]);
    let (_, took) = wait_for("it is in", Duration::from_millis(1_500), || agreed(&[&a, &again]));
    assert!(write_all(&[&a, &again], &keys, 2) < Duration::from_secs(1), "{took:?}");
    assert!(keys.iter().all(|key| again.number(key) == Some(2)));
}

/// A hung node is replaced by another run of the same name, which sorts before or after the rest.
fn replace_a_hung_node(hung: &str, others: [&str; 2]) {
    let [a, b] = cluster(others);
    let mut old = Member::start(hung, &[&a.addr]);
    settle(&[&a, &b, &old]);
    let keys = keys_of(hung, &a, 24);
    write_all(&[&a], &keys, 1);
    old.signal(Signal::STOP);
    let stopped = Instant::now();
    let new = Member::start(hung, &[&a.addr, &b.addr]);
    let five = Duration::from_secs(5);
    let (_, took) = wait_for("it is in", five, || agreed(&[&a, &b, &new]));
    write_all(&[&a, &new], &keys, 2);
    assert!(stopped.elapsed() < five, "{took:?} {:?}", stopped.elapsed());

    old.signal(Signal::CONT);
    let line = old.wait_for_line("another run of this node has its name now");
    let (status, _) = old.wait();
    assert_eq!(status.code(), Some(1), "{line}");
    settle(&[&a, &b, &new]);
    assert!(keys.iter().all(|key| new.number(key) == Some(2) && b.number(key) == Some(2)));
}

#[test]
fn a_hung_node_is_replaced_within_5_s_where_its_name_comes_first() {
    replace_a_hung_node("a", ["m", "n"]);
}

#[test]
fn a_hung_node_is_replaced_within_5_s_where_its_name_comes_last() {
    replace_a_hung_node("z", ["m", "n"]);
}

#[test]
fn a_second_node_of_a_name_in_use_is_refused_and_says_so() {
    let [a, b] = cluster(["a", "b"]);
    a.put("key", 1).unwrap();
    let second = Member::begin("b", &[&a.addr], &[]);
    let line = second.wait_for_line("name in use");
    assert!(line.contains(&b.addr), "{line}");
    wait_until("its status says why", PATIENCE, || {
        let status = second.status();
        let reason =
            status["cluster"]["peers"][0]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("name in use")
    });
    let line = a.wait_for_line("name in use");
    assert!(line.contains("127.0.0.1:"), "{line}");
    settle(&[&a, &b]);
    assert_eq!((a.number("key"), b.number("key")), (Some(1), Some(1)));
    assert_eq!(second.get("/readyz").status, 503);
    // It goes on trying, and is let in once the name is free.
    let mut first = b;
    first.drain();
    wait_for("it is in", Duration::from_secs(5), || agreed(&[&a, &second]));
    assert_eq!(second.number("key"), Some(1));
}
