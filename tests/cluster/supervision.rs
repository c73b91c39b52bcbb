//! Actors of the cluster that crash, and what clients notice of it.

use crate::load::{Load, Loss};
use crate::member::{Member, PATIENCE, cluster, settle, wait_until};

/// Crashes a child and waits until it runs again.
fn crash(member: &Member, child: &str) {
    let restarts = member.children()[child].1;
    member.crash(child);
    wait_until("it runs again", PATIENCE, || {
        // A link may come and go with its session.
        member.children().get(child).is_some_and(|(state, now)| {
            state == "running" && (restarts < *now || child.starts_with("link-"))
        })
    });
}

fn crash_under_load(children: &[&str]) {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let load = Load::start(&[&a, &b, &c], Loss::Never);
    for child in children {
        for member in [&a, &b] {
            crash(member, child);
            load.go_on();
        }
    }
    settle(&[&a, &b, &c]);
    load.finish().assert_clean();
}

#[test]
fn discovery_crashes_without_a_failed_request() {
    crash_under_load(&["discovery"; 3]);
}

#[test]
fn the_keeper_crashes_without_a_failed_request() {
    crash_under_load(&["keeper"; 3]);
}

#[test]
fn the_mover_crashes_without_a_failed_request() {
    crash_under_load(&["mover"; 3]);
}

#[test]
fn links_crash_without_a_failed_request() {
    crash_under_load(&["link-c"; 3]);
}

#[test]
fn the_server_of_sessions_crashes_and_is_back_without_a_lost_key() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let load = Load::start(&[&a, &b, &c], Loss::Never);
    for member in [&a, &b, &a] {
        crash(member, "node-server");
        load.go_on();
        settle(&[&a, &b, &c]);
    }
    let tally = load.finish();
    assert_eq!((tally.missing, tally.stale), (0, 0), "{tally}");
    eprintln!("over 3 crashes: {tally}");
    // Each crash ends the sessions, and a write that was under way on one may have happened or not.
    assert!(tally.failed <= 3 * 8, "{tally}");
}

#[test]
fn everything_crashes_while_a_node_joins_and_another_leaves_and_no_request_fails() {
    let [mut a, b] = cluster(["a", "b"]);
    let load = Load::start(&[&a, &b], Loss::Never);
    let c = Member::start("c", &[&a.addr]);
    load.add(&c);
    for child in ["keeper", "mover", "discovery"] {
        for member in [&a, &b, &c] {
            crash(member, child);
        }
    }
    settle(&[&a, &b, &c]);
    a.signal(rustix::process::Signal::TERM);
    for child in ["mover", "keeper", "discovery"] {
        for member in [&b, &c] {
            crash(member, child);
        }
    }
    assert!(a.wait().0.success());
    settle(&[&b, &c]);
    load.go_on();
    load.finish().assert_clean();
}
